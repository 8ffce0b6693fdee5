"""Items and their scores as columns: a million rows are a few arrays, not a million objects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from ..core.metric import Metric

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


class Facts(NamedTuple):
    """What the statistics need of one item; ``key`` is unique."""

    key: str
    dataset: str
    cluster: str
    subgroups: tuple[str, ...]


@dataclass(frozen=True)
class ItemTable:
    """What the statistics need of the items, in the order of their sorted keys.

    ``datasets`` and ``clusters`` are codes: ``dataset_names[code]`` names a data set, and items
    with one cluster code depend on each other. A cluster's name counts within its data set only.
    """

    keys: list[str]
    index: Mapping[str, int]
    dataset_names: list[str]
    datasets: IntArray
    clusters: IntArray
    subgroups: Mapping[str, BoolArray]

    @classmethod
    def of(cls, items: Iterable[Facts]) -> Self:
        """Take in items; an item may come twice with the same facts.

        Raises:
            ValueError: one key stands for two different items.
        """
        dataset_codes: dict[str, int] = {}
        cluster_codes: dict[tuple[int, str], int] = {}
        found: dict[str, tuple[int, int, tuple[str, ...]]] = {}
        for item in items:
            dataset = dataset_codes.setdefault(item.dataset, len(dataset_codes))
            cluster = cluster_codes.setdefault((dataset, item.cluster), len(cluster_codes))
            facts = (dataset, cluster, item.subgroups)
            if found.setdefault(item.key, facts) != facts:
                raise ValueError(
                    f"item {item.key!r} stands in the item files twice, with different content; "
                    "give each data set a name of its own"
                )
        keys = sorted(found)
        columns = np.array([found[key][:2] for key in keys], dtype=np.int64).reshape(-1, 2)
        names = list(dataset_codes)
        by_name = {(names[dataset], name): code for (dataset, name), code in cluster_codes.items()}
        subgroups = sorted({name for _, _, of_item in found.values() for name in of_item})
        return cls(
            keys=keys,
            index={key: number for number, key in enumerate(keys)},
            dataset_names=sorted(names),
            datasets=_ranks(dataset_codes)[columns[:, 0]],
            clusters=_ranks(by_name)[columns[:, 1]],
            subgroups={
                name: np.array([name in found[key][2] for key in keys], dtype=np.bool_)
                for name in subgroups
            },
        )


def _ranks(codes: Mapping[str, int] | Mapping[tuple[str, str], int]) -> IntArray:
    """Code -> position of its name in sorted order, so that no input order shows."""
    ranks = np.empty(len(codes), dtype=np.int64)
    ranks[[code for _, code in sorted(codes.items())]] = np.arange(len(codes))
    return ranks


class Group(NamedTuple):
    """The rows of per_item_scores.csv that belong together."""

    type: str
    condition: str
    temp: str


@dataclass(frozen=True)
class ArmScores:
    """One condition at one temperature in one task: ``items`` are rows of the `ItemTable`, rising.

    ``scores`` and ``deviations`` (over an item's samples) have a row per item and a column per
    metric of ``metrics``; a metric that was not measured is NaN.
    """

    metrics: tuple[Metric, ...]
    items: IntArray
    scores: FloatArray
    deviations: FloatArray


Scores = dict[Group, ArmScores]


class ScoreBuilder:
    """Gathers chunks of rows into one `ArmScores` per group.

    Args:
        table: the items that the rows are about.
        metrics: the columns.
    """

    def __init__(self, table: ItemTable, metrics: Sequence[Metric]) -> None:
        self._table = table
        self._metrics = tuple(metrics)
        self._codes: dict[Group, int] = {}
        self._chunks: list[tuple[IntArray, IntArray, FloatArray]] = []

    def add(self, keys: Sequence[str], groups: Sequence[Group], numbers: FloatArray) -> None:
        """Take in rows: ``numbers`` has a column per metric, then one per metric's deviation.

        Raises:
            ValueError: an item is not in the table.
        """
        index, codes = self._table.index, self._codes
        try:
            items = np.array([index[key] for key in keys], dtype=np.int64)
        except KeyError as error:
            raise ValueError(
                f"item {error.args[0]!r} has scores but is not in the item files"
            ) from None
        of_row = np.array([codes.setdefault(group, len(codes)) for group in groups])
        self._chunks.append((of_row, items, numbers))

    def scores(self) -> Scores:
        """All groups.

        Raises:
            ValueError: an item has two rows in one of them, or a metric is measured in some only.
        """
        if not self._chunks:
            return {}
        groups, items, numbers = (
            np.concatenate([chunk[part] for chunk in self._chunks]) for part in range(3)
        )
        self._chunks.clear()
        return {
            group: self._arm(group, items[groups == code], numbers[groups == code])
            for group, code in sorted(self._codes.items())
        }

    def _arm(self, group: Group, items: IntArray, numbers: FloatArray) -> ArmScores:
        order = np.argsort(items, kind="stable")
        items, numbers = items[order], numbers[order]
        twice = np.flatnonzero(np.diff(items) == 0)
        if len(twice):
            raise ValueError(
                f"item {self._table.keys[items[twice[0]]]!r} has two rows of scores for "
                f"{group.type}, {group.condition}, temp {group.temp}"
            )
        n_metrics = len(self._metrics)
        unmeasured = np.isnan(numbers[:, :n_metrics])
        partly = np.flatnonzero(unmeasured.any(axis=0) != unmeasured.all(axis=0))
        if len(partly):
            raise ValueError(empty_on_some(self._metrics[partly[0]]))
        return ArmScores(self._metrics, items, numbers[:, :n_metrics], numbers[:, n_metrics:])


def empty_on_some(metric: Metric) -> str:
    """What to say of a metric that only some rows of a task have."""
    return f"{metric.name} is empty on some rows of one task only; score it again"
