"""Documents from a table: JSON Lines or CSV with the columns ``path`` and ``text``.

Further columns are left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..core.errors import UserError
from ..core.files import csv_rows, read_text
from .patterns import Selection
from .records import Document
from .settings import CorpusSettings
from .texts import document

HAS_ROWS = (".jsonl", ".csv")
"""How the names of such files end."""


def read_rows(source: Path, settings: CorpusSettings) -> Iterator[Document]:
    """Yield the documents of a table.

    Raises:
        UserError: a row has no path or no text; the message names the line.
    """
    selection = Selection(settings.include, settings.exclude)
    rows = _csv(source) if source.suffix.lower() == ".csv" else _jsonl(source)
    for line, row in rows:
        path, text = row.get("path"), row.get("text")
        for name, value in (("path", path), ("text", text)):
            if not isinstance(value, str):
                raise UserError(f"{source}, line {line}: {name}: expected a text")
        assert isinstance(path, str)  # noqa: S101 - for mypy
        assert isinstance(text, str)  # noqa: S101
        if not path.strip() or any(ord(each) < 0x20 or ord(each) == 0x7F for each in path):
            raise UserError(f"{source}, line {line}: path: blank, or with a control character")
        if path in selection:
            yield document(path, text, _left_out(source, line, text, settings))


def _left_out(source: Path, line: int, text: str, settings: CorpusSettings) -> str | None:
    try:
        size = len(text.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise UserError(
            f"{source}, line {line}: text: {error.object[error.start]!r} is half a character"
        ) from error
    if "\0" in text:
        return "binary"
    return f"larger than max_bytes ({size:,} bytes)" if size > settings.max_bytes else None


def _jsonl(source: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(read_text(source).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{source}, line {number}: not valid JSON ({error})") from error
        if not isinstance(row, dict):
            raise UserError(f"{source}, line {number}: not a JSON object with columns")
        yield number, row


def _csv(source: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    rows = csv_rows(source)
    _, header = next(rows, (1, []))
    header = [name.removeprefix("\ufeff").strip() for name in header]
    for number, cells in rows:
        if len(cells) != len(header):
            raise UserError(
                f"{source}, line {number}: {len(cells)} cells for {len(header)} columns"
            )
        yield number, dict(zip(header, cells, strict=True))
