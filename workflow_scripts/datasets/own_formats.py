"""Readers of the user's own files: JSON Lines and CSV with the columns of `OwnRow`."""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from ..core.records import Item, Task
from .checks import (
    ItemId,
    Located,
    Text,
    decode,
    distinct,
    explain,
    make_item,
    read_lines,
    unknown_column,
)
from .formats import DataFormat
from .source import Source

ANSWER_SEPARATOR = "||"
"""Stands between the gold answers in a CSV cell."""


class OwnRow(BaseModel):
    """One item as users write it; the fields are the columns. See docs/data.md."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: ItemId
    question: Text
    answers: list[Text]
    context: Text | None = None
    is_unanswerable: bool = False
    cluster_id: Text | None = None
    dataset: str | None = None


COLUMNS = tuple(OwnRow.model_fields)

_OTHER_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "'|'"}

_NOT_GIVEN = frozenset({"nan", "NaN", "None", "null", "NULL", "<NA>", "NaT", "#N/A"})
"""What pandas, databases and spreadsheets write for an empty cell."""

_LIST = re.compile(r"\s*\[.*\]\s*", re.DOTALL)
_ANOTHER_SEPARATOR = re.compile(r"\|(?<!\|\|)(?!\|)|;")


def read_jsonl_items(source: Source, task: Task) -> Iterator[Located]:
    """Yield the items of a JSON Lines file."""
    for place, row in read_lines(source, OwnRow):
        yield place, _item(source, place, row, task)


def read_csv_items(source: Source, task: Task) -> Iterator[Located]:
    """Yield the items of a CSV file; an empty cell counts as not given."""
    rows = _csv_rows(source)
    _, header = next(rows, (1, []))
    _check_header(source, header)
    for line, cells in rows:
        place = f"line {line}"
        if len(cells) != len(header):
            raise source.error(
                place,
                f"{len(cells)} cells, but the header has {len(header)}; "
                'put cells that contain a comma into "double quotes"',
            )
        values: dict[str, Any] = {
            name: cell for name, cell in zip(header, cells, strict=True) if cell
        }
        _check_cells(source, place, values)
        values["answers"] = _split_answers(values.get("answers", ""))
        try:
            row = OwnRow.model_validate(values)
        except ValidationError as error:
            raise source.error(place, explain(error, COLUMNS)) from error
        yield place, _item(source, place, row, task)


def _check_cells(source: Source, place: str, values: dict[str, str]) -> None:
    """Refuse cells that would be taken for something else in silence."""
    for name, cell in values.items():
        if cell.strip() in _NOT_GIVEN:
            raise source.error(
                place,
                f"{name}: {cell.strip()!r} is what programs write for an empty cell; leave the "
                "cell empty, or use JSON Lines if it is the text that you mean",
            )
    answers = values.get("answers", "")
    if _LIST.fullmatch(answers) or _ANOTHER_SEPARATOR.search(answers):
        raise source.error(
            place,
            f"answers: {answers!r} would be one gold answer; write several answers as "
            f"Oslo{ANSWER_SEPARATOR}Bergen, or use JSON Lines if it is one",
        )


def _split_answers(cell: str) -> list[str]:
    return [answer.strip() for answer in cell.split(ANSWER_SEPARATOR)] if cell.strip() else []


def _csv_rows(source: Source) -> Iterator[tuple[int, list[str]]]:
    """Yield each row with the line that it begins on (a quoted cell may span lines)."""
    with source.open() as stream:
        text = decode(source, stream.read())
    _check_separator(source, text.partition("\n")[0])
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    line = 1
    try:
        for row in reader:
            yield line, row
            line = reader.line_num + 1
    except csv.Error as error:
        raise source.error(
            f"line {line}", f"not valid CSV ({error}); look for a double quote too many or too few"
        ) from error


def _check_separator(source: Source, header: str) -> None:
    """Tell the one mistake that would otherwise look like many: columns not separated by commas."""
    for separator, called in _OTHER_SEPARATORS.items():
        names = {name.strip(' "\r').lower() for name in header.split(separator)}
        if len(names.intersection(COLUMNS)) > 1:
            raise source.error(
                "line 1",
                f"the columns are separated by {called}; save the file with commas between them "
                "(many spreadsheets call that 'CSV UTF-8, comma delimited')",
            )


def _check_header(source: Source, header: list[str]) -> None:
    for name in header:
        if name not in COLUMNS:
            raise source.error("line 1", unknown_column(name, COLUMNS))
        if header.count(name) > 1:
            raise source.error("line 1", f"the column '{name}' occurs twice")
    for name, field in OwnRow.model_fields.items():
        if field.is_required() and name not in header:
            raise source.error("line 1", f"the column '{name}' is missing")


def _item(source: Source, place: str, row: OwnRow, task: Task) -> Item:
    if row.dataset not in (None, source.dataset):
        raise source.error(
            place,
            f"dataset is '{row.dataset}', but the config calls this data set '{source.dataset}'; "
            "make them equal or remove the column",
        )
    if task == "open_book" and row.context is None:
        raise source.error(
            place,
            f"item '{row.id}' has no context, but open_book puts the passage into the prompt; "
            "add it in column 'context' or set the data set's task to closed_book",
        )
    context = row.context if task == "open_book" else None
    return make_item(
        source,
        place,
        id=row.id,
        question=row.question,
        answers=distinct(row.answers),
        context=context,
        is_unanswerable=row.is_unanswerable,
        cluster_id=row.cluster_id or _default_cluster(row.id, context),
    )


def _default_cluster(item_id: str, context: str | None) -> str:
    """Items with the same passage are dependent; without a passage each stands alone."""
    if context is None:
        return item_id
    return f"context-{hashlib.sha256(context.encode()).hexdigest()[:16]}"


JSONL = DataFormat(
    name="jsonl", description="JSON Lines, one object per line", read=read_jsonl_items
)
CSV = DataFormat(
    name="csv",
    description="a table with commas, its columns named in the first line",
    read=read_csv_items,
)
