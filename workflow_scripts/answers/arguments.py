"""The arguments of the commands that bring a part's answers home."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from ..core.files import read_settings
from ..core.logs import log_to
from .settings import InferSettings


def begin(
    description: str | None,
    *inputs: str,
    optional: str | None = None,
    arguments: Sequence[str] | None = None,
) -> tuple[argparse.Namespace, InferSettings]:
    """Read a command's arguments and settings, and start its log.

    Args:
        description: what the command does.
        inputs: the names of its input files, each an argument.
        optional: the name of a further file, which may be left out.
        arguments: instead of those of this process.

    Raises:
        UserError: the settings cannot be read, or the log cannot be written.
    """
    parser = argparse.ArgumentParser(description=description)
    for name in inputs:
        parser.add_argument(f"--{name}", type=Path, required=True)
    if optional:
        parser.add_argument(f"--{optional}", type=Path, nargs="?")
    parser.add_argument("--settings", type=Path, required=True)
    parser.add_argument("--journal", type=Path, required=True, help="folder of earlier answers")
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args(arguments)
    log_to(None)
    return args, read_settings(args.settings, InferSettings)
