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

    def members(self, subgroup: str | None) -> BoolArray:
        """Return which items belong to a subgroup, or to a data set (``dataset=…``).

        All of them for ``None``.

        Raises:
            ValueError: none does.
        """
        if subgroup is None:
            return np.ones(len(self.keys), dtype=np.bool_)
        names = [f"dataset={name}" for name in self.dataset_names]
        found = self.subgroups.get(subgroup)
        if found is None and subgroup in names:
            found = self.datasets == names.index(subgroup)
        if found is None:
            raise ValueError(
                f"no item belongs to the subgroup {subgroup!r}; there are "
                f"{', '.join([*names, *self.subgroups])}"
            )
        return found

    def rows_of(self, keys: Sequence[str]) -> IntArray:
        """Return the rows of items.

        Raises:
            ValueError: an item is not in the table.
        """
        try:
            return np.fromiter(map(self.index.__getitem__, keys), np.int64, len(keys))
        except KeyError as error:
            raise ValueError(
                f"item {error.args[0]!r} has scores but is not in the item files"
            ) from None


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
    metric of ``metrics``. A share that the task does not measure is NaN on all items; an amount is
    NaN on each item without a value.
    """

    metrics: tuple[Metric, ...]
    items: IntArray
    scores: FloatArray
    deviations: FloatArray


Scores = dict[Group, ArmScores]


class ScoreBuilder:
    """Gathers rows, many at a time, into one `ArmScores` per group.

    Args:
        table: the items that the rows are about.
        metrics: the columns.
    """

    def __init__(self, table: ItemTable, metrics: Sequence[Metric]) -> None:
        self._table = table
        self._metrics = tuple(metrics)
        self._parts: dict[Group, list[tuple[IntArray, FloatArray]]] = {}

    def add(self, group: Group, items: IntArray, numbers: FloatArray) -> None:
        """Take in rows of one group.

        Args:
            group: what the rows have in common.
            items: the rows' items, as rows of the table.
            numbers: a column per metric, then one per metric's deviation.
        """
        self._parts.setdefault(group, []).append((items, numbers))

    def scores(self) -> Scores:
        """All groups; the builder is empty afterwards.

        Raises:
            ValueError: an item has two rows in one of them, or a share is measured in some only.
        """
        return {group: self._arm(group, self._parts.pop(group)) for group in sorted(self._parts)}

    def _arm(self, group: Group, parts: Sequence[tuple[IntArray, FloatArray]]) -> ArmScores:
        items, numbers = (np.concatenate(each) for each in zip(*parts, strict=True))
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
        partly = unmeasured.any(axis=0) != unmeasured.all(axis=0)
        for metric in (self._metrics[column] for column in np.flatnonzero(partly)):
            if metric.kind == "share":
                raise ValueError(empty_on_some(metric))
        return ArmScores(self._metrics, items, numbers[:, :n_metrics], numbers[:, n_metrics:])


def empty_on_some(metric: Metric) -> str:
    """What to say of a share that only some rows of a task have."""
    return f"{metric.name} is empty on some rows of one task only; score it again"
