"""Commands that make one JSON file of a settings file."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .files import Model, read_settings, write_json


def write_from_settings(
    description: str | None, model: type[Model], make: Callable[[Model], Any]
) -> None:
    """The whole of such a command.

    Args:
        description: what it writes.
        model: the settings that it reads.
        make: makes the file's content.

    Raises:
        UserError: a file cannot be read or written.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--settings", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    write_json(args.output, make(read_settings(args.settings, model)))
