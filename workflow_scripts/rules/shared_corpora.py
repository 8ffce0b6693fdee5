"""Names of corpora, chunkings and embedders that two experiments define differently.

All experiments share results/corpora. Two definitions under one name would overwrite each other's
files, and the pages of one experiment would show the passages of the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..config.experiment import config_of
from ..config.load import read_config
from ..config.mistakes import Location, Sources
from ..core.errors import UserError
from . import stages
from .corpora_stages import jobs_of_corpora
from .experiment import Experiment
from .layout import CORPUS

_BLOCKS = ("corpora", "chunkings", "embedders")
"""The blocks of a config that name the folders below results/corpora, from the outside in."""


def refuse_different(experiment: Experiment, sources: Sources) -> None:
    """Raise an error if another experiment defines a name differently.

    Another experiment counts while its config file is there, valid, and names it.

    Args:
        experiment: the one that is run.
        sources: of its config.

    Raises:
        UserError: it does; the message lists the names.
    """
    own = dict(_definitions(experiment))
    if not own:
        return
    found: dict[str, None] = {}
    for path in _other_configs(experiment.config.experiment):
        try:
            other = dict(_definitions(Experiment(read_config(path))))
        except UserError:  # it cannot run as it is, so it overwrites nothing
            continue
        different: list[Sequence[str]] = []
        for place, (names, definition) in own.items():
            theirs = other.get(place, (names, definition))[1]
            if theirs != definition and not any(place[: len(each)] == each for each in different):
                different.append(place)
                location: Location = (_BLOCKS[len(names) - 1], names[-1])
                problem = _problem(names, definition, theirs, path)
                found[sources.message(location, problem)] = None
    if found:
        raise UserError("\n".join(found))


def _other_configs(name: str) -> Iterator[Path]:
    """Yield the config files of the other experiments of this results folder."""
    for folder in sorted(path.parent for path in Path("results").glob("*/config.json")):
        if folder.name != name and (path := config_of(folder.name)) is not None:
            yield path


def _definitions(
    experiment: Experiment,
) -> Iterator[tuple[tuple[str, ...], tuple[tuple[str, ...], Mapping[str, Any]]]]:
    """Yield the folders of corpora, each with its names and what decides its files.

    Folders are told apart as Windows does: without regard to case.
    """
    for stage, job in jobs_of_corpora(experiment):
        if stage == "checkout":  # its settings are part of the corpus's
            continue
        names = tuple(job.wildcards.values())
        definition = dict(_flat(stages.settings_of(stage, job).model_dump(mode="json")))
        if len(names) == 1:
            definition["path"] = experiment.corpus_path(job.wildcards)
        yield tuple(name.casefold() for name in names), (names, definition)


def _flat(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for name, each in value.items():
            yield from _flat(each, f"{key}.{name}" if key else name)
    else:
        yield key, value


def _problem(
    names: Sequence[str], mine: Mapping[str, Any], theirs: Mapping[str, Any], path: Path
) -> str:
    keys = [key for key in {**mine, **theirs} if mine.get(key) != theirs.get(key)]
    told = "; ".join(
        f"{key} is {mine.get(key)!r} here and {theirs.get(key)!r} there" for key in keys
    )
    folder = "/".join([CORPUS.format(corpus=names[0]), *names[1:]])
    return (
        f"{path.as_posix()} defines it differently ({told}), and both would write {folder}. Choose "
        "another name here, or use the same definition"
    )
