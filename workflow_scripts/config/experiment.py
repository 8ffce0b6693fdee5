"""One config file for each experiment of a results folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..core.errors import UserError
from ..core.files import read_settings, write_record
from ..core.records import Record
from ..core.yaml_file import read_yaml
from .schema import Config

_NAME = "config.json"

_DEFAULT = Config.model_fields["experiment"].default


class Origin(Record):
    """The config file that an experiment's folder was made from."""

    config: str


def claim(experiment: str, files: Sequence[Path]) -> None:
    """Record which config file an experiment's folder under results/ belongs to.

    A second config with the same name would remake the files of the first, and each page would
    show a part of the other's numbers. A file that was renamed or deleted, or names another
    experiment by now, has no claim any more.

    Args:
        experiment: its name.
        files: the config files of this run. The last one with the key ``experiment`` counts, or
            the first one if none has it.

    Raises:
        UserError: another file has the same name for its experiment.
    """
    owners = [path for path in files if "experiment" in read_yaml(path)] or [*files[:1]]
    if not owners or _named_in(owners[-1]) != experiment:  # named on the command line
        return
    config = _from_here(owners[-1])
    other = config_of(experiment)
    if other is not None and other != config:
        raise UserError(
            f"{config.as_posix()}: experiment: {experiment!r} is the experiment of "
            f"{other.as_posix()} too, and its results are in results/{experiment}. Choose another "
            "name: two configs under one name would overwrite each other's results."
        )
    if other != config:
        path = Path("results") / experiment / _NAME
        write_record(path, Origin(config=config.as_posix()))


def config_of(experiment: str) -> Path | None:
    """Return the config file of an experiment, if it is there and still names the experiment."""
    path = Path("results") / experiment / _NAME
    if not path.exists():
        return None
    config = Path(read_settings(path, Origin).config)
    return config if _named_in(config) == experiment else None


def _named_in(path: Path) -> str | None:
    """The experiment that a config file names, or the default name if it names none."""
    try:
        name = read_yaml(path).get("experiment", _DEFAULT)
    except UserError:  # deleted, renamed, or no config any more
        return None
    return str(name)


def _from_here(path: Path) -> Path:
    resolved, here = path.resolve(), Path.cwd()
    return resolved.relative_to(here) if resolved.is_relative_to(here) else resolved
