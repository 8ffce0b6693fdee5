"""The environment's ``snakemake`` command: Snakemake, with eight things put right first.

1. A target may follow any option. Snakemake's options with an open number of values swallow it:
   ``--resources gpu=1 results/report.html`` and ``--dag results/report.html`` end in an error.
   Here, the first word that cannot be a value of the option is the first target.
2. Jobs find the Python of this environment under the name ``python``, also when the environment
   is not activated.
3. A config file with a syntax error is told with its line; Snakemake says only that there is one,
   and ends in a traceback where the file is missing or not UTF-8.
4. A ``--config`` that Snakemake cannot read is told with the spelling that it can.
5. ``snakemake plan`` counts and prints each time. Its files depend on the journal, which grows, so
   Snakemake cannot see that they are out of date.
6. ``snakemake gate`` decides each time, and ends with the exit codes of `gate_exit`.
7. A run shows a line for each stage; see `terminal`.
8. ``snakemake doctor`` is no rule: it must work where Snakemake refuses to start.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..core.errors import UserError, command
from ..core.yaml_file import read_yaml
from . import gate_exit

_NAME_VALUE = re.compile(r"[^=]+=.*", re.DOTALL)
_GRAPH_FORMAT = re.compile("dot|mermaid-js")
_QUIET_ABOUT = re.compile("all|host|progress|reason|rules")

_CONFIG_FILE_OPTIONS = ("--configfile", "--configfiles")
_CONFIG_OPTIONS = ("--config", "-C")
_DEFAULT_CONFIG = "config/config.yaml"

_VALUES = {
    **dict.fromkeys(("--resources", "--res", *_CONFIG_OPTIONS), _NAME_VALUE),
    **dict.fromkeys(("--default-resources", "--default-res"), _NAME_VALUE),
    **dict.fromkeys(("--set-resources", "--set-threads"), _NAME_VALUE),
    **dict.fromkeys(("--dag", "--rulegraph"), _GRAPH_FORMAT),
    **dict.fromkeys(("--quiet", "-q"), _QUIET_ABOUT),
    **dict.fromkeys(_CONFIG_FILE_OPTIONS, re.compile(r"(?!results[/\\]).*\.(ya?ml|json)")),
    "--lint": re.compile("text|json"),
}
"""Options with an open number of values, and what such a value looks like."""

_MADE_EACH_TIME = ("plan", gate_exit.TARGET)
"""Targets that are made anew whenever they are asked for."""

_WITH = {"plan": ("plan_embeddings",)}
"""Rules that are then run anew, too."""

_DOCTOR = "doctor"

_CONFIG_KEY = re.compile(r"[a-zA-Z_][\w-]*\w")
"""What Snakemake takes for a key."""


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
    needs_value = False
    for argument in arguments:
        if argument.startswith("-"):
            value = _VALUES.get(argument)
            needs_value = argument in (*_CONFIG_FILE_OPTIONS, *_CONFIG_OPTIONS)
            kept.append(argument)
        elif value is not None and not needs_value and not value.fullmatch(argument):
            targets.append(argument)
        else:
            needs_value = False
            kept.append(argument)
    return [*kept, "--", *targets] if targets else kept


def config_files(arguments: Sequence[str]) -> list[Path]:
    """The config files that Snakemake will read."""
    return [Path(value) for value in _values(arguments, _CONFIG_FILE_OPTIONS)] or [
        path for path in (Path(_DEFAULT_CONFIG),) if path.is_file()
    ]


def check_overrides(arguments: Sequence[str]) -> None:
    """Check that ``--config`` has keys that Snakemake can read."""
    for entry in _values(arguments, _CONFIG_OPTIONS):
        key, equals, value = entry.partition("=")
        first, *others = key.split(".")
        if not equals:
            raise UserError(f"--config {entry}: expected KEY=VALUE")
        if others:
            block = value
            for each in reversed(others):
                block = f"{{{each}: {block}}}"
            raise UserError(
                f'--config {entry}: write a key inside a block as --config "{first}={block}"'
            )
        if not _CONFIG_KEY.fullmatch(key):
            raise UserError(
                f"--config {entry}: {key!r} is no key; all keys are described in docs/config.md"
            )


def _values(arguments: Sequence[str], options: Sequence[str]) -> Iterator[str]:
    """The values given to one of the options, as ``--option value …`` or ``--option=value``."""
    option = ""
    for argument in arguments:
        if argument.startswith("-"):
            option, equals, value = argument.partition("=")
            if equals and option in options:
                yield value
            if equals:  # what follows is no value of it
                option = ""
        elif option in options:
            yield argument


def force_targets(arguments: Sequence[str]) -> list[str]:
    """Add ``--forcerun`` for ``plan`` and ``gate`` if they are targets and nothing else is forced.

    >>> force_targets(["plan", "--cores", "1"])
    ['plan', '--cores', '1', '--forcerun', 'plan', 'plan_embeddings']
    """
    if not any(each in arguments for each in _MADE_EACH_TIME):
        return list(arguments)
    from snakemake.cli import get_argument_parser

    parsed = get_argument_parser().parse_args(arguments)
    found = [each for each in _MADE_EACH_TIME if each in parsed.targets]
    forced = [rule for each in found for rule in (each, *_WITH.get(each, ()))]
    if not forced or parsed.forcerun:
        return list(arguments)
    end = arguments.index("--") if "--" in arguments else len(arguments)
    return [*arguments[:end], "--forcerun", *forced, *arguments[end:]]


def with_calm_terminal(arguments: Sequence[str]) -> list[str]:
    """Let `terminal` show a run, unless Snakemake's own words are asked for.

    They are for a dry run, and with ``--verbose``, ``--quiet`` or a ``--logger`` of one's own.
    """
    from snakemake.cli import get_argument_parser

    from . import terminal

    terminal.install()
    parsed = get_argument_parser().parse_args(arguments)
    if parsed.dryrun or parsed.verbose or parsed.quiet or parsed.logger:
        return list(arguments)
    end = arguments.index("--") if "--" in arguments else len(arguments)
    return [*arguments[:end], "--logger", terminal.NAME, *arguments[end:]]


def main() -> None:
    """Run Snakemake with the arguments of this process."""
    arguments = sys.argv[1:]
    if _DOCTOR in arguments:
        from ..doctor.__main__ import main as doctor

        doctor([each for each in arguments if each != _DOCTOR])
    elif gate_exit.TARGET in arguments:
        gate_exit.with_own_codes(_run)
    else:
        _run()


@command
def _run() -> None:
    arguments = separate_targets(sys.argv[1:])
    check_overrides(arguments)
    for path in config_files(arguments):
        read_yaml(path)

    environment = str(Path(sys.executable).parent)
    os.environ["PATH"] = os.pathsep.join([environment, os.environ.get("PATH", os.defpath)])

    from snakemake.cli import main as snakemake_main

    snakemake_main(with_calm_terminal(force_targets(arguments)))


if __name__ == "__main__":
    main()
