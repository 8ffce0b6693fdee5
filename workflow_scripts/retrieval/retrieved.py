"""The passages that the arms of a trial were given, for the stages after the answers."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from pydantic import ConfigDict

from ..core.errors import UserError
from ..core.files import read_line_at, read_offsets
from ..core.records import SEPARATOR, Record
from .records import Retrieval

Retrieved = Mapping[tuple[str, str], Retrieval]
"""By condition and `Item.key`, what was found for an item, best first; left-out ones included."""


class RetrievedFile(NamedTuple):
    """What was retrieved in the arm of a condition."""

    condition: str
    path: Path


def retrieved_file(argument: str) -> RetrievedFile:
    """Read an argument ``CONDITION=FILE``.

    Raises:
        argparse.ArgumentTypeError: it is something else.
    """
    condition, equals, path = argument.partition("=")
    if not (condition and equals and path):
        raise argparse.ArgumentTypeError(f"{argument!r}: write CONDITION=FILE")
    return RetrievedFile(condition, Path(path))


def add_retrieved_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--retrieved CONDITION=FILE …``: a file of retrievals for each arm that searches."""
    parser.add_argument(
        "--retrieved",
        type=retrieved_file,
        nargs="*",
        default=[],
        metavar="CONDITION=FILE",
        help="what the arms that search were given (JSONL)",
    )


class _Whose(Record):
    """The item of a line, read without its passages."""

    model_config = ConfigDict(extra="ignore")

    dataset: str
    item_id: str


class RetrievedOnDisk(Mapping[tuple[str, str], Retrieval]):
    """What was retrieved, with only its keys in memory; a line is read when it is needed.

    Arms that share a file share its lines.

    Raises:
        UserError: a line is not valid, or an item is there twice.
    """

    def __init__(self, files: Iterable[RetrievedFile]) -> None:
        self._files: dict[str, list[Path]] = {}
        self._offsets: dict[Path, dict[str, int]] = {}
        for condition, path in files:
            if path not in self._offsets:
                self._offsets[path] = _offsets(path)
            self._files.setdefault(condition, []).append(path)

    def __getitem__(self, key: tuple[str, str]) -> Retrieval:
        condition, item_key = key
        for path in self._files.get(condition, ()):
            if (offset := self._offsets[path].get(item_key)) is not None:
                return read_line_at(path, offset, Retrieval)
        raise KeyError(key)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        for condition, paths in self._files.items():
            for path in paths:
                yield from ((condition, item_key) for item_key in self._offsets[path])

    def __len__(self) -> int:
        return sum(len(self._offsets[path]) for paths in self._files.values() for path in paths)


def _offsets(path: Path) -> dict[str, int]:
    """By `Item.key`, where the line of an item begins."""
    found: dict[str, int] = {}
    for offset, whose in read_offsets(path, _Whose):
        key = f"{whose.dataset}{SEPARATOR}{whose.item_id}"
        if found.setdefault(key, offset) != offset:
            raise UserError(
                f"{path}: item {key!r} was retrieved twice; delete the file and run again to make "
                "it again"
            )
    return found
