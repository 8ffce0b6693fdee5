"""Reading items and per_item_scores.csv into the arrays that the statistics take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from ..core.errors import UserError
from ..core.files import csv_rows, read_csv
from ..core.metric import Metric
from ..core.records import ErrorRow, Item, ItemScores
from ..scoring.tables import metrics_in, score_columns
from ..stats.scores import Facts, FloatArray, Group, ItemTable, ScoreBuilder, Scores
from ..stats.worst_case import Failures
from ..tasks.items import each_item

_CHUNK = 50_000
"""Rows that are text at one time."""


def read_table(paths: Iterable[Path]) -> ItemTable:
    """Read item files; their texts are not kept.

    Raises:
        UserError: one key stands for two different items.
    """
    return table_of(each_item(paths))


def table_of(items: Iterable[Item]) -> ItemTable:
    """Return what the statistics need of items in memory; errors as in `read_table`."""
    try:
        return ItemTable.of(
            Facts(item.key, item.dataset, item.cluster_id, item.subgroups()) for item in items
        )
    except ValueError as error:
        raise UserError(str(error)) from error


def scores_of(rows: Iterable[ItemScores], table: ItemTable) -> Scores:
    """Return the scores of records in memory, all with the same metrics."""
    records = list(rows)
    if not records:
        return {}
    metrics = metrics_in(list(type(records[0]).model_fields))
    builder = ScoreBuilder(table, metrics)
    names = _numbers(metrics)
    builder.add(
        [row.item_key for row in records],
        [Group(row.type, row.condition, row.temp) for row in records],
        np.array([[getattr(row, name) for name in names] for row in records], dtype=np.float64),
    )
    return builder.scores()


def read_scores(paths: Sequence[Path], table: ItemTable) -> Scores:
    """Read per_item_scores.csv files; a row that does not fit stops with file, line and field."""
    builder: ScoreBuilder | None = None
    for path in paths:
        metrics = score_columns(path)
        builder = builder or ScoreBuilder(table, metrics)
        try:
            for keys, groups, numbers in _chunks(path, metrics):
                builder.add(keys, groups, numbers)
        except ValueError as error:
            for _ in read_csv(path, ItemScores.with_metrics(metrics)):
                pass  # it says which cell is wrong
            raise UserError(str(error)) from error
    try:
        return builder.scores() if builder else {}
    except ValueError as error:
        raise UserError(str(error)) from error


def _numbers(metrics: Sequence[Metric]) -> list[str]:
    names = [metric.name for metric in metrics]
    return [*names, *(f"{name}_std" for name in names)]


def _chunks(
    path: Path, metrics: Sequence[Metric]
) -> Iterator[tuple[list[str], list[Group], FloatArray]]:
    """The rows of a score file, many at a time; a `ValueError` if any of them is not valid."""
    rows = (cells for _, cells in csv_rows(path))
    position = {name: number for number, name in enumerate(next(rows))}
    while chunk := list(islice(rows, _CHUNK)):
        columns = list(zip(*chunk, strict=True))
        if len(columns) != len(position):
            raise ValueError("a row has another number of cells")
        texts = [
            [cell.removeprefix("'") for cell in columns[position[name]]]
            for name in ("item_key", *Group._fields)
        ]
        numbers = np.array(
            [
                [float(cell or "nan") for cell in columns[position[name]]]
                for name in _numbers(metrics)
            ]
        ).T
        _check(metrics, columns, position, numbers)
        yield texts[0], list(map(Group, *texts[1:])), numbers


def _check(
    metrics: Sequence[Metric],
    columns: Sequence[Sequence[str]],
    position: Mapping[str, int],
    numbers: FloatArray,
) -> None:
    """Hold a chunk against the same limits as `ItemScores.with_metrics`."""
    most = [1.0 if metric.kind == "share" else np.inf for metric in metrics]
    for name, limit, column in zip(
        _numbers(metrics), [*most, *(np.inf for _ in most)], numbers.T, strict=True
    ):
        missing = np.array([not cell for cell in columns[position[name]]])
        fits = (column >= 0) & (column <= limit) & np.isfinite(column)
        if not (fits | missing).all():
            raise ValueError("out of range")


def failures_of(rows: Iterable[ErrorRow], table: ItemTable) -> Failures:
    """The failed requests in errors.csv by condition and item."""
    found: dict[Group, Counter[int]] = {}
    for row in rows:
        key = f"{row.dataset}|{row.item_id}"
        if key not in table.index:
            raise UserError(f"item {key!r} has a failed request but is not in the item files")
        group = Group(row.type, row.condition, row.temp)
        found.setdefault(group, Counter())[table.index[key]] += 1
    return found
