"""Commands that make one JSON file of a settings file."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from .files import Model, read_settings, write_json
from .seals import SealWriter, add_seal_argument


def write_from_settings(
    description: str | None,
    model: type[Model],
    make: Callable[[Model], Any],
    reads: Callable[[Model], Iterable[str]],
) -> None:
    """The whole of such a command.

    Args:
        description: what it writes.
        model: the settings that it reads.
        make: makes the file's content.
        reads: the files of the trial that it is made from, for the seal.

    Raises:
        UserError: a file cannot be read or written.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--settings", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    add_seal_argument(parser)
    args = parser.parse_args()
    settings = read_settings(args.settings, model)
    seal = SealWriter(args.seal, reads(settings))
    write_json(args.output, make(settings))
    seal.seal(args.output)
