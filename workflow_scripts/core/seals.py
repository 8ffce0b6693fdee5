"""Seals: what a command read and wrote, by content, so that a later edit of either is found.

The seal of a file lies in the folder ``seals`` beside it. It is written by the process that wrote
the file, when it has written it, and by no other. `workflow_scripts.verify` reads seals.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from .files import sha256_of, unreadable, write_json
from .records import Record

FOLDER = "seals"

_LINE_BYTES = 3
"""Bytes of a line's digest: enough to name the line of an edit, which the SHA-256 has found."""


class SealedFile(Record):
    """A file by its content.

    ``path`` is relative to the seal's folder, with forward slashes. ``lines`` is, for outputs, the
    digest of each line, 3 bytes a line, in base64.
    """

    path: str
    sha256: str
    lines: str | None = None

    def first_difference(self, path: Path) -> int | None:
        """Return the number of the first line of a file that is not as it was sealed."""
        if self.lines is None:
            return None
        sealed, now = base64.b64decode(self.lines), _digests(path)[1]
        for start in range(0, max(len(sealed), len(now)), _LINE_BYTES):
            if sealed[start : start + _LINE_BYTES] != now[start : start + _LINE_BYTES]:
                return start // _LINE_BYTES + 1
        return None


class Seal(Record):
    """What one command read and wrote."""

    inputs: list[SealedFile]
    outputs: list[SealedFile]


class SealWriter:
    """Writes the seal of a command: made before it reads its inputs, used when it has written.

    Args:
        path: where the seal is to lie; without one, none is written.
        inputs: the files of the trial that the command reads.

    Raises:
        UserError: an input cannot be read.
    """

    def __init__(self, path: Path | None, inputs: Iterable[Path | str]) -> None:
        self._path = path
        self._inputs = [_sealed_file(Path(each), path.parent) for each in inputs] if path else []

    def seal(self, *outputs: Path) -> None:
        """Write the seal of the files that were just written.

        Raises:
            UserError: it cannot be written.
        """
        if self._path is not None:
            folder = self._path.parent
            written = [_sealed_file(each, folder, with_lines=True) for each in outputs]
            seal = Seal(inputs=self._inputs, outputs=written)
            write_json(self._path, seal.model_dump(exclude_none=True))


def seal_beside(path: Path, name: str) -> Path:
    """Return where the seal of a file lies, for commands that are not given the place."""
    return path.parent / FOLDER / f"{name}.json"


def add_seal_argument(parser: argparse.ArgumentParser) -> None:
    """Let a command take the path of its seal."""
    parser.add_argument("--seal", type=Path, help="where to write what was read and written")


def _sealed_file(path: Path, folder: Path, *, with_lines: bool = False) -> SealedFile:
    try:
        relative = Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:  # on another drive of Windows
        relative = path.absolute().as_posix()
    if not with_lines:
        return SealedFile(path=relative, sha256=sha256_of(path))
    whole, lines = _digests(path)
    return SealedFile(path=relative, sha256=whole, lines=base64.b64encode(lines).decode())


def _digests(path: Path) -> tuple[str, bytes]:
    """Return the SHA-256 of a file, and the short digests of its lines one after the other."""
    whole, lines = hashlib.sha256(), bytearray()
    try:
        with path.open("rb") as stream:
            for line in stream:
                whole.update(line)
                lines += hashlib.blake2b(line, digest_size=_LINE_BYTES).digest()
    except OSError as error:
        raise unreadable(path, error) from error
    return whole.hexdigest(), bytes(lines)
