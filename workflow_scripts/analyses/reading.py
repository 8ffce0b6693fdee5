"""A CSV file as a table: its names made unique and legal, its values as the texts that they are."""

from __future__ import annotations

import csv
import re
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import UserError
from ..core.files import read_text, unreadable
from ..plans.table import Labels, Table, Texts

_DELIMITERS = ",;\t|"
_MAX_NAME = 80
_MAX_COLUMNS = 2000


def read_table(path: Path) -> tuple[Table, dict[str, str]]:
    """Read a CSV file; return the table, and the file's own names of columns that were changed.

    The separator is the comma, semicolon, tab or bar that cuts the first line into most names.

    Raises:
        UserError: the file is no table, or has no rows.
    """
    header, lines, delimiter = _header(path)
    names, originals = column_names(header)
    columns = _columns(path, len(header), lines, delimiter)
    texts = {name: _texts(column) for name, column in zip(names, columns, strict=True)}
    return Table(texts, len(columns[0])), originals


def column_names(header: list[str]) -> tuple[list[str], dict[str, str]]:
    """Return names that are unique, not blank, on one line and not long, and what they were."""
    names: list[str] = []
    originals: dict[str, str] = {}
    for place, original in enumerate(header, start=1):
        printable = "".join(
            " " if unicodedata.category(each) in {"Cc", "Cf", "Cs", "Zl", "Zp"} else each
            for each in original
        )
        stem = " ".join(printable.split())[:_MAX_NAME].strip() or f"column {place}"
        name, number = stem, 1
        while name.casefold() in {each.casefold() for each in names}:
            number += 1
            name = f"{stem} ({number})"
        names.append(name)
        if name != original:
            originals[name] = original
    return names, originals


def _header(path: Path) -> tuple[list[str], int, str]:
    """The names in the first record, the number of lines that it takes, and the separator."""
    read = [_first_record(path, each) for each in _DELIMITERS]
    best = max(range(len(read)), key=lambda n: len(read[n][0]))
    header, lines = read[best]
    if not any(each.strip() for each in header):
        raise UserError(f"{path}: the first line has no names of columns")
    if len(header) > _MAX_COLUMNS:
        raise UserError(f"{path}: {len(header)} columns; at most {_MAX_COLUMNS} can be analysed")
    return header, lines, _DELIMITERS[best]


def _first_record(path: Path, delimiter: str) -> tuple[list[str], int]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = csv.reader(stream, delimiter=delimiter)
            return next(rows, []), rows.line_num
    except OSError as error:
        raise unreadable(path, error) from error
    except csv.Error as error:
        raise UserError(f"{path}, line 1: not valid CSV ({error})") from error
    except UnicodeDecodeError:
        read_text(path)  # its error names the line
        raise


def _columns(path: Path, number: int, lines: int, delimiter: str) -> list[Any]:
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    ragged: list[Any] = []

    def refused(row: Any) -> str:
        ragged.append(row)
        return "error"

    try:
        table = arrow_csv.read_csv(
            path,
            read_options=arrow_csv.ReadOptions(
                skip_rows=lines, column_names=[str(n) for n in range(number)]
            ),
            parse_options=arrow_csv.ParseOptions(
                delimiter=delimiter,
                newlines_in_values=True,
                ignore_empty_lines=number > 1,
                invalid_row_handler=refused,
            ),
            convert_options=arrow_csv.ConvertOptions(
                column_types={str(n): pa.string() for n in range(number)}
            ),
        )
    except pa.ArrowInvalid as error:
        raise _no_table(path, number, lines, ragged, str(error)) from error
    if not table.num_rows:
        raise UserError(f"{path}: there are names of columns, but no rows below them")
    return list(table.columns)


def _no_table(path: Path, number: int, lines: int, ragged: list[Any], error: str) -> UserError:
    if ragged:
        row = ragged[0]
        where = "" if row.number is None else f", row {row.number}"
        return UserError(
            f"{path}{where}: {row.actual_columns} cells for {number} columns "
            f"({row.text[:60]!r}); quote cells that contain the separator"
        )
    read_text(path)  # raises if it is not UTF-8
    if re.search("empty|too short", error, re.IGNORECASE):
        return UserError(f"{path}: there are names of columns, but no rows below them")
    return UserError(f"{path}: not valid CSV ({error.splitlines()[0]})")


def _texts(column: Any) -> Texts:
    import pyarrow.compute as pc

    encoded = column.combine_chunks().dictionary_encode()
    labels = encoded.dictionary
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    blank = np.append(pc.equal(labels, "").to_numpy(zero_copy_only=False), False)
    return Texts(Labels(labels), np.where(blank[codes], -1, codes))
