"""Reading and writing the project's files: whole or not at all, and checked at the boundary."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import os
import re
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, TextIO, TypeVar

from pydantic import BaseModel, ValidationError

from . import unique_keys
from .errors import UserError
from .placed import folder_of

Model = TypeVar("Model", bound=BaseModel)

csv.field_size_limit(2**31 - 1)  # the default of 128 KiB is less than a long answer

_GUARDED = re.compile(r"'|[\s\0]*[=+\-@＝＋－＠]|[\t\r\n\0]")
"""How text begins that some spreadsheet might run as a formula; spaces and NULs are skipped by
some, full-width signs are signs to others. An apostrophe, so that taking one off is exact."""

_QUOTED = re.compile(r'[",;\t\r\n]')
"""What a cell is quoted for: by RFC 4180, and separators that spreadsheets look for besides."""

_PLAIN = re.compile(r"""[^\s\0'"=+\-@＝＋－＠,;][^",;\t\r\n]*""")
"""Text that is neither guarded nor quoted, as most is: one look is enough."""

_NUMBER = (int, float)

_SYNC_EVERY_S = 1.0

_REPLACE_AFTER_S = (0.02, 0.1, 0.5, 2.0)
"""Waits in seconds: Windows replaces no file while another process reads it."""


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """The place of a temporary file that is at ``path`` only when the block ends without an error.

    It lies in the same folder, is flushed to disk and then renamed, so a reader never sees half a
    file, whenever the writer is killed.

    Raises:
        UserError: the file cannot be written (no permission, disk full).
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            with temporary.open("rb+") as stream:
                os.fsync(stream.fileno())
            _replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error})") from error


def _replace(temporary: Path, path: Path) -> None:
    for wait_s in _REPLACE_AFTER_S:
        try:
            temporary.replace(path)
        except PermissionError:
            time.sleep(wait_s)
        else:
            return
    try:
        temporary.replace(path)
    except PermissionError as error:
        raise UserError(
            f"{path}: cannot be replaced ({error.strerror}). Another program has it open, "
            "or you may not write there; close the program and start again"
        ) from error


@contextlib.contextmanager
def atomic_writer(path: Path) -> Iterator[TextIO]:
    """Open a text file that appears at ``path`` whole or not at all, as `atomic_path` does."""
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as text:
        yield text


class AppendedFile:
    """A file to which one process appends lines. Opened, and made, with the first of them.

    A line survives a kill of the process at once, and a power cut after a second. One that an
    earlier process has left torn gets its end, so that it spoils no other.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stream: BinaryIO | None = None
        self._synced = 0.0

    @property
    def is_open(self) -> bool:
        """Whether anything was appended since it was closed."""
        return self._stream is not None

    def append(self, line: str) -> int:
        """Append a line, given without its end, and return the offset at which it begins.

        Raises:
            OSError: it cannot be written; a part of it may have been.
        """
        if self._stream is None:
            self._stream = self._opened()
        offset = self._stream.tell()
        self._stream.write(line.encode("utf-8") + b"\n")
        self._stream.flush()
        if time.monotonic() - self._synced > _SYNC_EVERY_S:
            os.fsync(self._stream.fileno())
            self._synced = time.monotonic()
        return offset

    def close(self) -> None:
        """Close the file; a full disk was told when it was met."""
        if self._stream is not None:
            stream, self._stream = self._stream, None
            with contextlib.suppress(OSError):
                stream.close()

    def _opened(self) -> BinaryIO:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        stream = self.path.open("ab+")
        if stream.tell():
            stream.seek(-1, os.SEEK_END)
            if stream.read(1) != b"\n":
                stream.write(b"\n")
        return stream


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's content (64 hex digits).

    Raises:
        UserError: it cannot be read.
    """
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(path, error) from error


def read_text(path: Path) -> str:
    """The text of a file in UTF-8, with or without a byte order mark, lines ending in ``\\n``."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise unreadable(path, error) from error
    except UnicodeDecodeError as error:
        raise _not_utf8(path, 1, error) from error


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` whole."""
    with atomic_writer(path) as stream:
        stream.write(text)


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON. NaN and Infinity are errors: they are not JSON."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False) + "\n")


def write_record(path: Path, record: BaseModel) -> None:
    """Write a record as `write_json` does; `read_settings` reads it."""
    write_json(path, record.model_dump(mode="json"))


def read_json(path: Path) -> Any:
    """Read a JSON file, in which no object has a key twice."""
    try:
        return unique_keys.parse(read_text(path))
    except json.JSONDecodeError as error:
        raise UserError(f"{path}, line {error.lineno}: not valid JSON ({error.msg})") from error
    except unique_keys.RepeatedKeyError as error:
        raise UserError(f"{path}, line {error.line}: {error}") from error


def read_settings(path: Path, model: type[Model]) -> Model:
    """Read a JSON file as ``model``: the settings of one stage, a slice of the config."""
    try:
        return model.model_validate(read_json(path), context={"folder": folder_of(path)})
    except ValidationError as error:
        raise UserError(f"{path}: {describe(error)}") from error


def write_jsonl(path: Path, records: Iterable[BaseModel]) -> None:
    """Write records as JSON lines, without fields that are ``None``."""
    with atomic_writer(path) as stream:
        for record in records:
            stream.write(record.model_dump_json(exclude_none=True) + "\n")


def read_jsonl(path: Path, model: type[Model]) -> Iterator[Model]:
    """Read JSON lines as ``model``; a line that does not fit stops with file, line and field."""
    return (record for _, record in read_offsets(path, model))


def read_offsets(path: Path, model: type[Model]) -> Iterator[tuple[int, Model]]:
    """Yield the records of `read_jsonl`, each with the place of its line for `read_line_at`."""
    offset = 0
    for number, line in _lines(path):
        try:
            record = model.model_validate_json(line)
        except ValidationError as error:
            raise UserError(f"{path}, line {number}: {describe(error)}") from error
        yield offset, record
        offset += len(line.encode("utf-8"))


def read_line_at(path: Path, offset: int, model: type[Model]) -> Model:
    """Return the record whose line begins at ``offset``, in bytes.

    Raises:
        UserError: the line does not fit, or the file cannot be read.
    """
    try:
        with path.open("rb") as lines:
            lines.seek(offset)
            return model.model_validate_json(lines.readline())
    except ValidationError as error:
        raise UserError(f"{path}, at byte {offset}: {describe(error)}") from error
    except OSError as error:
        raise unreadable(path, error) from error


def write_csv(path: Path, model: type[BaseModel], records: Iterable[BaseModel]) -> None:
    """Write records as CSV with ``model``'s fields as columns.

    ``None`` becomes an empty cell, which `read_csv` reads as the field's default.

    Rows are written by `csv_row`; `read_csv` takes its apostrophes off again.
    """
    with atomic_writer(path) as stream:
        stream.writelines(csv_lines(model, records))


def csv_lines(model: type[BaseModel], records: Iterable[BaseModel]) -> Iterator[str]:
    """Yield the rows of a CSV file of records as `write_csv` writes them, the header first."""
    columns = list(model.model_fields)
    yield csv_row(columns)
    for record in records:
        yield csv_row([getattr(record, column) for column in columns])


def csv_row(cells: Iterable[Any]) -> str:
    """A row of CSV with its end (RFC 4180), in which a spreadsheet finds nothing to run.

    ``None`` becomes an empty cell. Text that a spreadsheet would run as a formula gets a leading
    apostrophe (the OWASP advice on CSV injection).
    """
    return ",".join([_cell(each) for each in cells]) + "\r\n"


def _cell(value: Any) -> str:
    if value is None or value == "":
        return ""
    if isinstance(value, str):
        if _PLAIN.fullmatch(value):
            return value
        if _GUARDED.match(value):
            value = "'" + value
    elif isinstance(value, _NUMBER):
        return str(value)
    text = str(value)
    return '"' + text.replace('"', '""') + '"' if _QUOTED.search(text) else text


def read_csv(path: Path, model: type[Model]) -> Iterator[Model]:
    """Read a CSV file that `write_csv` wrote; a row that does not fit stops with file and line.

    The file must be whole: each row has all its cells, and the last one its line end.
    """
    columns = list(model.model_fields)
    rows = csv_rows(path)
    _, header = next(rows, (1, []))
    if header != columns:
        raise UserError(f"{path}, line 1: the columns are {header}, expected {columns}")
    for _, record in _records(path, rows, columns, model):
        yield record


def read_table(path: Path, model: type[Model]) -> Iterator[tuple[int, Model]]:
    """Read a CSV file that people made: yield each row with the line that it begins on.

    Columns may be in any order, optional ones may be absent, and a byte order mark is skipped. All
    else is as for `read_csv`.

    Raises:
        UserError: a column is missing, unknown or repeated, or a row does not fit.
    """
    rows = csv_rows(path)
    _, header = next(rows, (1, []))
    columns = [name.removeprefix("\ufeff").strip() for name in header]
    needed = [name for name, field in model.model_fields.items() if field.is_required()]
    for problem, names in (
        ("are missing", [name for name in needed if name not in columns]),
        ("are unknown", [name for name in columns if name not in model.model_fields]),
        ("occur twice", sorted({name for name in columns if columns.count(name) > 1})),
    ):
        if names:
            raise UserError(
                f"{path}, line 1: columns {names} {problem}; needed are {needed}, separated by "
                f"commas, and known are {list(model.model_fields)}"
            )
    yield from _records(path, rows, columns, model)


def _records(
    path: Path, rows: Iterator[tuple[int, list[str]]], columns: list[str], model: type[Model]
) -> Iterator[tuple[int, Model]]:
    optional = {name for name, field in model.model_fields.items() if not field.is_required()}
    for number, cells in rows:
        if len(cells) != len(columns):
            raise UserError(
                f"{path}, line {number}: {len(cells)} cells for {len(columns)} columns; "
                "the file is cut off or was edited"
            )
        values = {
            name: cell[1:] if cell[:1] == "'" else cell  # without the guard of `csv_row`
            for name, cell in zip(columns, cells, strict=True)
            if cell or name not in optional
        }
        try:
            yield number, model.model_validate_strings(values)
        except ValidationError as error:
            raise UserError(f"{path}, line {number}: {describe(error)}") from error


def csv_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The cells of each row with the line that it begins on (a quoted cell may span lines).

    As they stand in the file, the header first. For readers of columns; others use `read_csv`.
    """
    reader = csv.reader(_whole_lines(path), strict=True)
    number = 1
    try:
        for cells in reader:
            yield number, cells
            number = reader.line_num + 1
    except csv.Error as error:
        raise UserError(f"{path}, line {number}: not valid CSV ({error})") from error


def _whole_lines(path: Path) -> Iterator[str]:
    for number, line in _lines(path):
        if not line.endswith("\n"):
            raise UserError(f"{path}, line {number}: the file is cut off: the line has no end")
        yield line


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a file, with their numbers and their ends as they are."""
    try:
        with path.open("rb") as stream:
            for number, line in enumerate(stream, start=1):
                try:
                    yield number, line.decode("utf-8")
                except UnicodeDecodeError as error:
                    raise _not_utf8(path, number, error) from error
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: OSError) -> UserError:
    """The error of a file that cannot be read."""
    if isinstance(error, FileNotFoundError):
        return UserError(f"{path}: no such file")
    return UserError(f"{path}: cannot be read ({error.strerror})")


def _not_utf8(path: Path, first_line: int, error: UnicodeDecodeError) -> UserError:
    line = first_line + error.object.count(b"\n", 0, error.start)
    return UserError(
        f"{path}, line {line}: byte 0x{error.object[error.start]:02x} is not UTF-8; "
        "save the file with the encoding UTF-8"
    )


def describe(error: ValidationError) -> str:
    """A pydantic error as one line: each field with what is wrong with it."""
    return "; ".join(
        f"{'.'.join(str(part) for part in detail['loc']) or 'the record'}: "
        f"{detail['msg'].removeprefix('Value error, ')}"
        for detail in error.errors(include_url=False)
    )
