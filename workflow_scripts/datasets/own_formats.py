"""Readers of the user's own files: JSON Lines and CSV with the columns that the task declares."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ValidationError

from ..core.records import Item
from ..tasks.task import Task
from .checks import (
    Located,
    decode,
    explain,
    make_item,
    read_lines,
    unknown_column,
)
from .columns import Columns, question_id, read_objects
from .formats import DataFormat
from .source import Source

LIST_SEPARATOR = "||"
"""Stands between the texts of a CSV cell that holds several."""


_OTHER_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "'|'"}

_NOT_GIVEN = frozenset({"nan", "NaN", "None", "null", "NULL", "<NA>", "NaT", "#N/A"})
"""What pandas, databases and spreadsheets write for an empty cell."""

_LIST = re.compile(r"\s*\[.*\]\s*", re.DOTALL)
_ANOTHER_SEPARATOR = re.compile(r"\|(?<!\|\|)(?!\|)|;")


def read_jsonl_items(source: Source, task: Task) -> Iterator[Located]:
    """Yield the items of a JSON Lines file."""
    if source.columns:
        yield from _renamed_items(source, task)
        return
    for place, row in read_lines(source, task.row):
        yield place, _item(source, place, row, task)


def _renamed_items(source: Source, task: Task) -> Iterator[Located]:
    """Yield the items of a JSON Lines file whose columns the config names."""
    columns = Columns(source, tuple(task.row.model_fields))
    place = "line 1"
    for place, given in read_objects(source):
        values = _with_id(columns.ours(given))
        for name in task.lists & values.keys():
            if isinstance(values[name], str):
                values[name] = [values[name]]
        try:
            row = task.row.model_validate(values, strict=True, context=source.context)
        except ValidationError as error:
            raise source.error(place, explain(error, task.row.model_fields)) from error
        yield place, _item(source, place, row, task)
    columns.check_found(place)


def _with_id(values: dict[str, Any]) -> dict[str, Any]:
    """The values of a row, with a digest of its question where the file has no ids."""
    question = values.get("question")
    if "id" in values or not isinstance(question, str):
        return values
    return {"id": question_id(question), **values}


def read_csv_items(source: Source, task: Task) -> Iterator[Located]:
    """Yield the items of a CSV file; an empty cell counts as not given."""
    columns = tuple(task.row.model_fields)
    rows = _csv_rows(source, columns)
    _, header = next(rows, (1, []))
    if source.columns:
        fields = (name for name in (*source.columns, *header) if _object_of(name, task))
        header = _renamed_header(source, header, (*columns, *dict.fromkeys(fields)))
    else:
        _check_header(source, header, task)
    for line, cells in rows:
        place = f"line {line}"
        if len(cells) != len(header):
            raise source.error(
                place,
                f"{len(cells)} cells, but the header has {len(header)}; "
                'put cells that contain a comma into "double quotes"',
            )
        values: dict[str, Any] = {
            name: cell for name, cell in zip(header, cells, strict=True) if cell and name
        }
        if source.columns:
            values = _with_id(values)
        _check_cells(source, place, values, task)
        values.update({name: _split(values.get(name, "")) for name in task.lists})
        _gather(source, place, values, task)
        try:
            row = task.row.model_validate(values, context=source.context)
        except ValidationError as error:
            raise source.error(place, explain(error, columns)) from error
        yield place, _item(source, place, row, task)


def _renamed_header(source: Source, header: list[str], known: tuple[str, ...]) -> list[str]:
    """Our names of a file's columns; an empty one where it is none of ours."""
    columns = Columns(source, known)
    ours = columns.ours({name: name for name in header})
    columns.check_found("line 1")
    names = {theirs: name for name, theirs in ours.items()}
    return [names.get(name, "") for name in header]


def _check_cells(source: Source, place: str, values: dict[str, str], task: Task) -> None:
    """Refuse cells that would be taken for something else in silence."""
    for name, cell in values.items():
        if cell.strip() in _NOT_GIVEN and not (cell == "null" and _object_of(name, task)):
            raise source.error(
                place,
                f"{name}: {cell.strip()!r} is what programs write for an empty cell; leave the "
                "cell empty, or use JSON Lines if it is the text that you mean",
            )
    for name in sorted(task.lists):
        cell = values.get(name, "")
        if _LIST.fullmatch(cell) or _ANOTHER_SEPARATOR.search(cell):
            raise source.error(
                place,
                f"{name}: {cell!r} would be one text; write several as "
                f"Oslo{LIST_SEPARATOR}Bergen, or use JSON Lines if it is one",
            )


def _object_of(name: str, task: Task) -> str:
    """The object that a column holds a field of, such as ``expected.name``; else nothing."""
    column, dot, _ = name.partition(".")
    return column if dot and column in task.objects else ""


def _gather(source: Source, place: str, values: dict[str, Any], task: Task) -> None:
    """Put the cells of an object's fields into the object: ``a.b.c`` is field ``c`` of ``b``."""
    for name in [name for name in values if _object_of(name, task)]:
        *path, last = name.split(".")
        inner: Any = values
        for step in path:
            inner = inner.setdefault(step, {}) if isinstance(inner, dict) else None
        if not isinstance(inner, dict) or last in inner:
            raise source.error(place, f"{name}: another column has this field as well")
        inner[last] = _value(values.pop(name))


def _value(cell: str) -> Any:
    """The value of a cell that holds one field: JSON where it is JSON, else the text."""
    try:
        return json.loads(cell, parse_constant=lambda _: cell)
    except (ValueError, RecursionError):
        return cell


def _split(cell: str) -> list[str]:
    return [text.strip() for text in cell.split(LIST_SEPARATOR)] if cell.strip() else []


def _csv_rows(source: Source, columns: tuple[str, ...]) -> Iterator[tuple[int, list[str]]]:
    """Yield each row with the line that it begins on (a quoted cell may span lines)."""
    with source.open() as stream:
        text = decode(source, stream.read())
    _check_separator(source, text.partition("\n")[0], columns)
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


def _check_separator(source: Source, header: str, columns: tuple[str, ...]) -> None:
    """Tell the one mistake that would otherwise look like many: columns not separated by commas."""
    for separator, called in _OTHER_SEPARATORS.items():
        names = {name.strip(' "\r').lower() for name in header.split(separator)}
        if len(names.intersection(columns)) > 1:
            raise source.error(
                "line 1",
                f"the columns are separated by {called}; save the file with commas between them "
                "(many spreadsheets call that 'CSV UTF-8, comma delimited')",
            )


def _check_header(source: Source, header: list[str], task: Task) -> None:
    columns = tuple(task.row.model_fields)
    for name in header:
        if name not in columns and not _object_of(name, task):
            raise source.error("line 1", unknown_column(name, columns))
        if header.count(name) > 1:
            raise source.error("line 1", f"the column '{name}' occurs twice")
    for name, field in task.row.model_fields.items():
        found = name in header or any(_object_of(each, task) == name for each in header)
        if field.is_required() and not found:
            raise source.error("line 1", f"the column '{name}' is missing")


def _item(source: Source, place: str, row: BaseModel, task: Task) -> Item:
    named = getattr(row, "dataset", None)
    if named not in (None, source.dataset):
        raise source.error(
            place,
            f"dataset is '{named}', but the config calls this data set '{source.dataset}'; make "
            "them equal or remove the column",
        )
    try:
        fields = task.item_fields(row)
    except ValueError as error:
        raise source.error(place, str(error)) from error
    return make_item(source, place, task, **fields)


JSONL = DataFormat(
    name="jsonl",
    description="JSON Lines, one object per line",
    read=read_jsonl_items,
    has_columns=True,
)
CSV = DataFormat(
    name="csv",
    description="a table with commas, its columns named in the first line",
    read=read_csv_items,
    has_columns=True,
)
