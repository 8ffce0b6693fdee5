"""The environment's ``snakemake`` command: Snakemake, with two things put right first.

1. ``--resources gpu=1 results/report.html`` works as typed. Snakemake's ``--resources`` takes any
   number of values and swallows a target that follows them; here, the first word that is not
   ``NAME=VALUE`` ends the list.
2. Jobs find the Python of this environment under the name ``python``, also when the environment
   is not activated.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

_NAME_VALUE_OPTIONS = frozenset(
    {
        *("--resources", "--res", "--config", "-C"),
        *("--default-resources", "--default-res", "--set-resources", "--set-threads"),
    }
)
"""Options whose values all have the form NAME=VALUE."""


def separate_targets(arguments: Sequence[str]) -> list[str]:
    """Move targets that follow the values of a NAME=VALUE option to the end, behind ``--``.

    >>> separate_targets(["--cores", "8", "--resources", "gpu=1", "results/report.html"])
    ['--cores', '8', '--resources', 'gpu=1', '--', 'results/report.html']
    """
    if "--" in arguments:
        return list(arguments)
    kept: list[str] = []
    targets: list[str] = []
    in_values = False
    for argument in arguments:
        if argument.startswith("-"):
            in_values = argument in _NAME_VALUE_OPTIONS
            kept.append(argument)
        elif in_values and "=" not in argument:
            targets.append(argument)
        else:
            kept.append(argument)
    return [*kept, "--", *targets] if targets else kept


def main() -> None:
    """Run Snakemake with the arguments of this process."""
    environment = str(Path(sys.executable).parent)
    os.environ["PATH"] = os.pathsep.join([environment, os.environ.get("PATH", os.defpath)])

    from snakemake.cli import main as snakemake_main

    snakemake_main(separate_targets(sys.argv[1:]))


if __name__ == "__main__":
    main()
