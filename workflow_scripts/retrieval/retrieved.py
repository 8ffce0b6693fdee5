"""The passages that the arms of a trial were given, for the stages after the answers."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from ..core.errors import UserError
from ..core.files import read_jsonl
from ..core.records import SEPARATOR
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


def read_retrieved(files: Iterable[RetrievedFile]) -> dict[tuple[str, str], Retrieval]:
    """Read what was retrieved; arms that share a file share its passages.

    Raises:
        UserError: a line is not valid, or an item is there twice.
    """
    of_files: dict[Path, dict[str, Retrieval]] = {}
    found: dict[tuple[str, str], Retrieval] = {}
    for condition, path in files:
        if path not in of_files:
            of_files[path] = _by_item(path)
        found.update({(condition, key): each for key, each in of_files[path].items()})
    return found


def _by_item(path: Path) -> dict[str, Retrieval]:
    found: dict[str, Retrieval] = {}
    for each in read_jsonl(path, Retrieval):
        key = f"{each.dataset}{SEPARATOR}{each.item_id}"
        if key in found:
            raise UserError(
                f"{path}: item {key!r} was retrieved twice; delete the file and run again to make "
                "it again"
            )
        found[key] = each
    return found
