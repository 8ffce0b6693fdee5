"""Items and their scores as columns: a million rows are a few arrays, not a million objects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from ..core.errors import UserError
from ..core.files import csv_rows, read_csv, read_jsonl
from ..core.records import TASKS, Item, ItemScores

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

METRICS = ("em", "f1", "abstain_rate", "false_answer_rate", "unsupported_rate")

_NUMBERS = (*METRICS, *(f"{metric}_std" for metric in METRICS))
_CHUNK = 50_000
"""Rows that are text at one time."""


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
    unanswerable: BoolArray

    @classmethod
    def of(cls, items: Iterable[Item]) -> Self:
        """Take in items; one key for two different items is an error."""
        dataset_codes: dict[str, int] = {}
        cluster_codes: dict[tuple[int, str], int] = {}
        found: dict[str, tuple[int, int, bool]] = {}
        for item in items:
            dataset = dataset_codes.setdefault(item.dataset, len(dataset_codes))
            cluster = cluster_codes.setdefault((dataset, item.cluster_id), len(cluster_codes))
            facts = (dataset, cluster, item.is_unanswerable)
            if found.setdefault(item.key, facts) != facts:
                raise UserError(
                    f"item {item.key!r} stands in the item files twice, with different content; "
                    "give each data set a name of its own"
                )
        keys = sorted(found)
        columns = np.array([found[key] for key in keys], dtype=np.int64).reshape(-1, 3)
        names = list(dataset_codes)
        by_name = {(names[dataset], name): code for (dataset, name), code in cluster_codes.items()}
        return cls(
            keys=keys,
            index={key: number for number, key in enumerate(keys)},
            dataset_names=sorted(names),
            datasets=_ranks(dataset_codes)[columns[:, 0]],
            clusters=_ranks(by_name)[columns[:, 1]],
            unanswerable=columns[:, 2].astype(np.bool_),
        )

    @classmethod
    def read(cls, paths: Iterable[Path]) -> Self:
        """Read item files; their texts are not kept."""
        return cls.of(item for path in paths for item in read_jsonl(path, Item))


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
    metric of `METRICS`; a metric that was not measured is NaN.
    """

    items: IntArray
    scores: FloatArray
    deviations: FloatArray


Scores = dict[Group, ArmScores]


def scores_of(rows: Iterable[ItemScores], table: ItemTable) -> Scores:
    """The scores of records in memory."""
    builder = _Builder(table)
    records = iter(rows)
    while chunk := list(islice(records, _CHUNK)):
        builder.add(
            [row.item_key for row in chunk],
            [Group(row.type, row.condition, row.temp) for row in chunk],
            np.array(
                [[getattr(row, name) for name in _NUMBERS] for row in chunk], dtype=np.float64
            ),
        )
    return builder.scores()


def read_scores(paths: Sequence[Path], table: ItemTable) -> Scores:
    """Read per_item_scores.csv files; a row that does not fit stops with file, line and field."""
    builder = _Builder(table)
    for path in paths:
        try:
            for keys, groups, numbers in _chunks(path):
                builder.add(keys, groups, numbers)
        except ValueError:
            for _ in read_csv(path, ItemScores):
                pass  # it says which cell is wrong
            raise
    return builder.scores()


def _chunks(path: Path) -> Iterator[tuple[list[str], list[Group], FloatArray]]:
    """The rows of a score file, many at a time; a `ValueError` if any of them is not valid."""
    position = {name: number for number, name in enumerate(ItemScores.model_fields)}
    rows = (cells for _, cells in csv_rows(path))
    if next(rows, None) != list(position):
        raise ValueError("not the columns of ItemScores")
    while chunk := list(islice(rows, _CHUNK)):
        columns = list(zip(*chunk, strict=True))
        if len(columns) != len(position):
            raise ValueError("a row has another number of cells")
        texts = [
            [cell.removeprefix("'") for cell in columns[position[name]]]
            for name in ("item_key", *Group._fields)
        ]
        numbers = np.array(
            [[float(cell or "nan") for cell in columns[position[name]]] for name in _NUMBERS]
        ).T
        _check(texts[1], columns, position, numbers)
        yield texts[0], list(map(Group, *texts[1:])), numbers


def _check(
    tasks: Sequence[str],
    columns: Sequence[Sequence[str]],
    position: Mapping[str, int],
    numbers: FloatArray,
) -> None:
    """Hold a chunk against the same limits as `ItemScores`."""
    if not set(tasks) <= set(TASKS):
        raise ValueError("unknown task")
    for name, column in zip(_NUMBERS, numbers.T, strict=True):
        missing = np.array([not cell for cell in columns[position[name]]])
        optional = not ItemScores.model_fields[name].is_required()
        if not optional and missing.any():
            raise ValueError("empty cell")
        most = np.inf if name.endswith("_std") else 1.0
        fits = (column >= 0) & (column <= most) & np.isfinite(column)
        if not (fits | missing).all():
            raise ValueError("out of range")


class _Builder:
    """Gathers chunks of rows into one `ArmScores` per group."""

    def __init__(self, table: ItemTable) -> None:
        self._table = table
        self._codes: dict[Group, int] = {}
        self._chunks: list[tuple[IntArray, IntArray, FloatArray]] = []

    def add(self, keys: list[str], groups: list[Group], numbers: FloatArray) -> None:
        """Take in rows: ``numbers`` has a column per name in `_NUMBERS`."""
        index, codes = self._table.index, self._codes
        try:
            items = np.array([index[key] for key in keys], dtype=np.int64)
        except KeyError as error:
            raise UserError(
                f"item {error.args[0]!r} has scores but is not in the item files"
            ) from None
        of_row = np.array([codes.setdefault(group, len(codes)) for group in groups])
        self._chunks.append((of_row, items, numbers))

    def scores(self) -> Scores:
        """All groups; two rows for one item in one of them are an error."""
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
            raise UserError(
                f"item {self._table.keys[items[twice[0]]]!r} has two rows of scores for "
                f"{group.type}, {group.condition}, temp {group.temp}"
            )
        unmeasured = np.isnan(numbers[:, : len(METRICS)])
        if (unmeasured.any(axis=0) != unmeasured.all(axis=0)).any():
            raise UserError(
                "unsupported_rate is empty on some rows of one task only; score it again"
            )
        return ArmScores(items, numbers[:, : len(METRICS)], numbers[:, len(METRICS) :])
