"""Checksums of files; those of large ones, such as models, are computed once."""

from __future__ import annotations

import contextlib
import json
import time
from os import stat_result
from pathlib import Path

from .errors import UserError
from .files import sha256_of, unreadable, write_json

_KNOWN = Path("results/journal/model_checksums.json")

_LARGE = 16 * 2**20
"""Bytes. A smaller file is read faster than it could be doubted."""

_SETTLED_NS = 2 * 10**9
"""A file that changed less than this ago may change again without a new time stamp."""


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file.

    That of a large file is remembered. The time of the last change of its inode (its creation, on
    Windows) and the inode's number say that it was replaced, also by an older or equally old one.

    Raises:
        UserError: the file cannot be read.
    """
    try:
        stat = path.stat()
        if stat.st_size < _LARGE:
            return sha256_of(path)
        key = _key(path, stat)
        known = _read_known()
        if key not in known:
            is_settled = all(
                abs(time.time_ns() - changed) > _SETTLED_NS
                for changed in (stat.st_mtime_ns, stat.st_ctime_ns)
            )
            digest = sha256_of(path)
            if not is_settled or _key(path, path.stat()) != key:
                return digest
            known[key] = digest
            with contextlib.suppress(UserError):  # then it is computed again next time
                write_json(_KNOWN, known)
        return known[key]
    except OSError as error:
        raise unreadable(path, error) from error


def _key(path: Path, stat: stat_result) -> str:
    changed = f"{stat.st_mtime_ns}|{stat.st_ctime_ns}|{stat.st_ino}"
    return f"{path.resolve().as_posix()}|{stat.st_size}|{changed}"


def _read_known() -> dict[str, str]:
    """Return the remembered checksums; none if the file cannot be read or is damaged."""
    try:
        known = json.loads(_KNOWN.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(known, dict):
        return {}
    return {key: value for key, value in known.items() if isinstance(value, str)}
