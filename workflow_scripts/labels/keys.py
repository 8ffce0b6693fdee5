"""Key files: which response, item and arm is behind each opaque id of a labelling page."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from ..core.errors import UserError
from ..core.files import read_table
from ..core.records import Record, TaskName
from ..core.values import Checksum, Temp, Text


class KeyRow(Record):
    """One row of a key file: a response under one arm.

    ``id`` is what the page calls it. Equal responses of one item share an id, so they are labelled
    once. ``trial`` is as in a label. ``stratum`` is ``differing`` where two verdicts on the item
    differed, else ``other``.
    """

    id: str
    trial: str | None = None
    dataset: Text
    item_id: Text
    arm: Text
    type: TaskName
    temp: Temp
    sample_index: int = Field(ge=0)
    response_sha256: Checksum
    probability: Annotated[float, Field(gt=0, le=1)]
    stratum: str


def sample_digest(rows: Iterable[KeyRow]) -> str:
    """Return what ties a page and its export to a key file (16 hex digits)."""
    text = json.dumps(
        [row.model_dump(exclude_none=True) for row in rows], sort_keys=True, ensure_ascii=False
    )
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def is_beginning(first: Sequence[KeyRow], rows: Sequence[KeyRow]) -> bool:
    """Whether a sample is the beginning of another one; chances differ with the size."""
    return [_response(row) for row in first] == [_response(row) for row in rows[: len(first)]]


def _response(row: KeyRow) -> dict[str, object]:
    return row.model_dump(exclude={"probability"})


def read_key(path: Path) -> Sequence[KeyRow]:
    """Read a key file.

    Raises:
        UserError: with file, line and field; or it has no rows.
    """
    rows = [row for _, row in read_table(path, KeyRow)]
    if not rows:
        raise UserError(f"{path}: the key file has no rows; draw the sample again")
    return rows
