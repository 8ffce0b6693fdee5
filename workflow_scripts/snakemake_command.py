"""The environment's ``snakemake`` command: Snakemake, with three things put right first.

1. A target may follow any option. Snakemake's options with an open number of values swallow it:
   ``--resources gpu=1 results/report.html`` and ``--dag results/report.html`` end in an error.
   Here, the first word that cannot be a value of the option is the first target.
2. Jobs find the Python of this environment under the name ``python``, also when the environment
   is not activated.
3. A config file with a syntax error is told with its line; Snakemake says only that there is one.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from .config.load import read_yaml
from .errors import command

_NAME_VALUE = re.compile(r"[^=]+=.*", re.DOTALL)
_GRAPH_FORMAT = re.compile("dot|mermaid-js")
_QUIET_ABOUT = re.compile("all|host|progress|reason|rules")

_CONFIG_FILE_OPTIONS = ("--configfile", "--configfiles")
_DEFAULT_CONFIG = "config/config.yaml"

_VALUES = {
    **dict.fromkeys(("--resources", "--res", "--config", "-C"), _NAME_VALUE),
    **dict.fromkeys(("--default-resources", "--default-res"), _NAME_VALUE),
    **dict.fromkeys(("--set-resources", "--set-threads"), _NAME_VALUE),
    **dict.fromkeys(("--dag", "--rulegraph"), _GRAPH_FORMAT),
    **dict.fromkeys(("--quiet", "-q"), _QUIET_ABOUT),
    **dict.fromkeys(_CONFIG_FILE_OPTIONS, re.compile(r".*\.(ya?ml|json)")),
    "--lint": re.compile("text|json"),
}
"""Options with an open number of values, and what such a value looks like."""


def separate_targets(arguments: Sequence[str]) -> list[str]:
    """Move targets that follow the values of such an option to the end, behind ``--``.

    >>> separate_targets(["--cores", "8", "--resources", "gpu=1", "results/report.html"])
    ['--cores', '8', '--resources', 'gpu=1', '--', 'results/report.html']
    """
    if "--" in arguments:
        return list(arguments)
    kept: list[str] = []
    targets: list[str] = []
    value: re.Pattern[str] | None = None
    for argument in arguments:
        if argument.startswith("-"):
            value = _VALUES.get(argument)
            kept.append(argument)
        elif value is not None and not value.fullmatch(argument):
            targets.append(argument)
        else:
            kept.append(argument)
    return [*kept, "--", *targets] if targets else kept


def config_files(arguments: Sequence[str]) -> list[Path]:
    """The config files that Snakemake will read."""
    named: list[Path] = []
    option = ""
    for argument in arguments:
        if argument.startswith("-"):
            option, _, value = argument.partition("=")
            if option in _CONFIG_FILE_OPTIONS and value:
                named.append(Path(value))
        elif option in _CONFIG_FILE_OPTIONS:
            named.append(Path(argument))
    return named or [Path(_DEFAULT_CONFIG)]


@command
def main() -> None:
    """Run Snakemake with the arguments of this process."""
    arguments = separate_targets(sys.argv[1:])
    for path in config_files(arguments):
        if path.is_file():
            read_yaml(path)

    environment = str(Path(sys.executable).parent)
    os.environ["PATH"] = os.pathsep.join([environment, os.environ.get("PATH", os.defpath)])

    from snakemake.cli import main as snakemake_main

    snakemake_main(arguments)


if __name__ == "__main__":
    main()
