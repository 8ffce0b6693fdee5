"""Reading items and per_item_scores.csv into the arrays that the statistics take."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..core.errors import UserError
from ..core.files import read_csv
from ..core.metric import Metric
from ..core.records import ErrorRow, Item, ItemScores
from ..stats.amounts import without_ratio
from ..stats.scores import (
    BoolArray,
    Facts,
    FloatArray,
    Group,
    IntArray,
    ItemTable,
    ScoreBuilder,
    Scores,
)
from ..stats.settings import Stats
from ..stats.worst_case import Failures
from ..tasks.items import each_item
from ..tasks.registry import TASKS
from ..tasks.score_tables import metrics_in, score_columns

_TEXTS = ("item_key", *Group._fields)

_CHUNK = 50_000
"""Records that are in memory at one time."""

_BLOCK = 2**22
"""Bytes of a file that are read at one time."""


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
    """Return the scores of records in memory, all with the same metrics.

    Raises:
        UserError: an item is not in the table or has two rows, or a share is measured in some rows
            of a task only.
    """
    records = list(rows)
    if not records:
        return {}
    metrics = metrics_in(list(type(records[0]).model_fields))
    builder = ScoreBuilder(table, metrics)
    try:
        for chunk in _record_chunks(records, metrics):
            for part in _by_group(chunk, table):
                builder.add(*part)
        return builder.scores()
    except ValueError as error:
        raise UserError(str(error)) from error


def read_scores(paths: Sequence[Path], table: ItemTable) -> Scores:
    """Read per_item_scores.csv files with the same columns; other errors as in `scores_of`.

    Raises:
        UserError: a row does not fit; the message has file, line and field.
    """
    builder: ScoreBuilder | None = None
    for path in paths:
        metrics = score_columns(path)
        builder = builder or ScoreBuilder(table, metrics)
        try:
            for part in _parts(path, metrics, table):
                builder.add(*part)
        except ValueError as error:
            raise UserError(f"{path}: {error}") from error
    try:
        return builder.scores() if builder else {}
    except ValueError as error:
        raise UserError(str(error)) from error


_Part = tuple[Group, IntArray, FloatArray]
"""Rows of one group, as `ScoreBuilder.add` takes them."""


class _Chunk(NamedTuple):
    """Rows as columns: ``numbers`` has those of `_numbers`; the others are codes of texts.

    ``texts`` are those of item keys and of `Group`'s fields, each once; ``codes`` say which of
    them each row has.
    """

    texts: Sequence[Sequence[str]]
    codes: Sequence[IntArray]
    numbers: FloatArray


def _by_group(chunk: _Chunk, table: ItemTable) -> Iterator[_Part]:
    items = table.rows_of(chunk.texts[0])[chunk.codes[0]]
    groups = np.zeros(len(items), dtype=np.int64)
    for texts, codes in zip(chunk.texts[1:], chunk.codes[1:], strict=True):
        groups = groups * len(texts) + codes
    for group in np.unique(groups):
        rows = np.flatnonzero(groups == group)
        names = (
            texts[codes[rows[0]]]
            for texts, codes in zip(chunk.texts[1:], chunk.codes[1:], strict=True)
        )
        yield Group(*names), items[rows], chunk.numbers[rows]


def _numbers(metrics: Sequence[Metric]) -> list[str]:
    names = [metric.name for metric in metrics]
    return [*names, *(f"{name}_std" for name in names)]


def _parts(path: Path, metrics: Sequence[Metric], table: ItemTable) -> list[_Part]:
    """The rows of a score file; a `ValueError` where an item is not in the table."""
    try:
        return [part for chunk in _columns(path, metrics) for part in _by_group(chunk, table)]
    except ValueError:
        # It names file, line and field, or reads what Arrow does not.
        chunks = _record_chunks(_records(path, metrics), metrics)
        return [part for chunk in chunks for part in _by_group(chunk, table)]


def _columns(path: Path, metrics: Sequence[Metric]) -> Iterator[_Chunk]:
    """The rows as Arrow reads them; a `ValueError` where any might not be valid.

    pandas would be no help: its own reader fills short rows, and its use of Arrow's takes
    temperatures for numbers.
    """
    from pyarrow import ArrowException, csv, dictionary, float64, int32, string

    names = _numbers(metrics)
    kinds = dict.fromkeys(_TEXTS, dictionary(int32(), string())) | dict.fromkeys(names, float64())
    with path.open("rb") as stream:
        stream.seek(-1, os.SEEK_END)
        if stream.read() != b"\n":
            raise ValueError("the last line has no end")
    try:
        with csv.open_csv(
            path,
            csv.ReadOptions(block_size=_BLOCK),
            csv.ParseOptions(ignore_empty_lines=False),
            csv.ConvertOptions(column_types=kinds, null_values=[""], strings_can_be_null=False),
        ) as batches:
            for batch in batches:
                texts = [batch.column(name) for name in _TEXTS]
                chunk = _Chunk(
                    [_unguarded(column.dictionary.to_pylist()) for column in texts],
                    [np.from_dlpack(column.indices).astype(np.int64) for column in texts],
                    np.column_stack([_floats(batch.column(name)) for name in names]),
                )
                empty = [batch.column(name).null_count for name in names]
                if not (_fit(chunk.numbers, empty, metrics) and set(chunk.texts[1]) <= set(TASKS)):
                    raise ValueError("a cell is not valid")
                yield chunk
    except ArrowException as error:
        raise ValueError(str(error)) from error


def _floats(column: Any) -> FloatArray:
    """A column of Arrow, NaN where it is empty.

    Its own `to_numpy` imports pandas where that is installed, which takes longer than most files.
    """
    validity, values = column.buffers()
    rows = slice(column.offset, column.offset + len(column))
    found = np.frombuffer(values, dtype=np.float64)[rows].copy()
    if validity is not None:
        is_valid = np.unpackbits(np.frombuffer(validity, dtype=np.uint8), bitorder="little")[rows]
        found[is_valid == 0] = np.nan
    return found


def _unguarded(texts: list[str]) -> list[str]:
    """Texts without the apostrophe that `workflow_scripts.core.files.csv_row` puts before some."""
    return [text.removeprefix("'") for text in texts]


def _fit(numbers: FloatArray, empty: Sequence[int], metrics: Sequence[Metric]) -> bool:
    """Hold numbers against the same limits as `ItemScores.with_metrics`.

    Args:
        numbers: the columns of `_numbers`, NaN for empty cells.
        empty: number of empty cells in each of them.
        metrics: the metrics.
    """
    most = [1.0 if metric.kind == "share" else np.inf for metric in metrics]
    limits = np.array([*most, *(np.inf for _ in most)])
    fits = (numbers >= 0) & (numbers <= limits) & (numbers != np.inf)
    return bool((np.count_nonzero(~fits, axis=0) == empty).all())


def _records(path: Path, metrics: Sequence[Metric]) -> Iterator[ItemScores]:
    """The rows one by one; one that is not valid stops with file, line and field."""
    for number, row in enumerate(read_csv(path, ItemScores.with_metrics(metrics)), start=2):
        if row.type not in TASKS:
            raise UserError(f"{path}, line {number}: type: {TASKS.no_such(row.type, TASKS)}")
        yield row


def _record_chunks(rows: Iterable[ItemScores], metrics: Sequence[Metric]) -> Iterator[_Chunk]:
    names, left = _numbers(metrics), iter(rows)
    while records := list(islice(left, _CHUNK)):
        texts, codes = [], []
        for name in _TEXTS:
            known: dict[str, int] = {}
            column = [known.setdefault(getattr(row, name), len(known)) for row in records]
            codes.append(np.array(column, dtype=np.int64))
            texts.append(list(known))
        numbers = [[getattr(row, name) for name in names] for row in records]
        yield _Chunk(texts, codes, np.array(numbers, dtype=np.float64))


def declared_items(table: ItemTable, stats: Stats) -> BoolArray:
    """Return which items the declared primary question is about.

    Raises:
        UserError: it is about a subgroup that no item belongs to.
    """
    try:
        return table.members(stats.registration.subgroup if stats.registration else None)
    except ValueError as error:
        raise UserError(f"stats.registration.subgroup: {error}") from error


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


def require_ratios(scores: Scores, table: ItemTable) -> None:
    """Check that all amounts can be compared by ratios.

    Raises:
        UserError: one is 0 or less; the message names the item.
    """
    for group, arm in scores.items():
        for item, amount, value in without_ratio(arm, table.keys):
            raise UserError(
                f"item {item!r} has {amount} {value:g} under {group.condition!r}, and ratios need "
                "values above 0: give an amount that can be 0 another scale, such as 1 + the "
                "count, or no value to items without one"
            )
