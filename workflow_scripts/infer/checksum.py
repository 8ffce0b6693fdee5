"""Checksums of model files, computed once per file."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from ..files import unreadable, write_json

_KNOWN = Path("results/journal/model_checksums.json")


def file_sha256(path: Path) -> str:
    """The sha256 of a file; remembered by size and time stamp, since models have gigabytes.

    Raises:
        UserError: the file cannot be read.
    """
    try:
        stat = path.stat()
    except OSError as error:
        raise unreadable(path, error) from error
    key = f"{path.resolve().as_posix()}|{stat.st_size}|{stat.st_mtime_ns}"
    known = _read_known()
    if key not in known:
        with path.open("rb") as stream:
            known[key] = hashlib.file_digest(stream, "sha256").hexdigest()
        write_json(_KNOWN, known)
    return known[key]


def _read_known() -> dict[str, str]:
    try:
        known: dict[str, str] = json.loads(_KNOWN.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return known
