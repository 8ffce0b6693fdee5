"""Validate config files without running anything."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..core.errors import UserError, command
from ..core.wording import counted
from .load import read_config
from .trials import left_out, trials


def config_files(paths: list[Path]) -> list[Path]:
    """The given files, and the YAML files of the given folders."""
    return [
        file
        for path in paths
        for file in (sorted(path.glob("*.yaml")) if path.is_dir() else [path])
    ]


@command
def main() -> None:
    """Check config files and name the trials that each one makes."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("configs", nargs="+", type=Path, help="config files, or folders of them")
    args = parser.parse_args()

    bad = 0
    for path in config_files(args.configs):
        try:
            config = read_config(path)
        except UserError as error:
            bad += 1
            print(f"{path}: not valid", error, sep="\n", file=sys.stderr)
        else:
            found = trials(config)
            print(f"{path}: valid, {counted(len(found), 'trial')}")
            for trial in found:
                print(f"    {trial.folder}")
            for note in left_out(config):
                print(f"    note: {note}")
    if bad:
        raise UserError(f"{bad} of the config files are not valid")


if __name__ == "__main__":
    main()
