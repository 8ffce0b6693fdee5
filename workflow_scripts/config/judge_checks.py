"""What a config must hold beyond its schema about judges and labels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..core.errors import UserError
from ..core.records import ItemScores, SampleOutcome
from ..judges.instruments import CORRECTNESS, OWN_PASSAGES, PAIR, PASSAGES, REFUSAL
from ..judges.settings import Judge
from ..tasks.registry import TASKS, metrics_of
from . import trials
from .mistakes import Location, Problem
from .schema import Config

_TAKEN = {"people", "panel"}
"""What labels are called among the verdicts, and several judges together."""


def uses_labels(config: Config) -> bool:
    """Whether people's labels decide correctness anywhere."""
    return "labels" in {level for _, level in _levels(config)}


def judging_files(config: Config) -> Iterator[tuple[Location, Path, str]]:
    """The files that judges and labels name."""
    for name, judge in config.judges.items():
        if judge.prompt:
            yield ("judges", name, "prompt"), Path(judge.prompt), "the judge's prompt file"
        if judge.verdicts_file:
            yield ("judges", name, "verdicts_file"), Path(judge.verdicts_file), "the verdicts' file"
    if config.labels:
        yield ("labels",), Path(config.labels), "the labels' file"


def impossible_judging(config: Config) -> Iterator[Problem]:  # noqa: PLR0912 - one per problem
    """Correctness that nobody decides, judges whose names are taken, prompts that do not fit."""
    measured = {judge.measures for judge in config.judges.values()}
    for location, level in _levels(config):
        if level == "judge" and CORRECTNESS.name not in measured:
            yield (
                location,
                "no judge decides correctness; declare one under judges (docs/judges.md)",
            )
        if level == "labels" and not (config.labels or trials.files_of_answers(config)):
            yield location, "there are no labels; name their file as labels (docs/labels.md)"
    if config.undecided == "judge" and REFUSAL.name not in measured:
        yield (
            ("undecided",),
            "no judge decides about undecided responses; declare one with measures: refused under "
            "judges (docs/judges.md)",
        )
    judged = config.judges or config.labels or uses_labels(config)
    if config.judge_bar is not None and not judged:
        yield (
            ("judge_bar",),
            "there is nothing to hold against people; declare judges or labels, or delete "
            "judge_bar",
        )
    temp, temps = config.labelling.temp, trials.temps(config)
    if temp not in (None, *temps):
        yield (
            ("labelling", "temp"),
            f"no response has temperature {temp}; choose one of {', '.join(temps)}",
        )
    registration = config.stats.registration
    if registration is not None and registration.waves and judged:
        yield (
            ("stats", "registration", "waves"),
            "responses are judged when all are there, so waves cannot stop earlier; delete waves, "
            "or judges and labels",
        )
    taken = {metric.name for metric in metrics_of(trials.tasks(config))} | {*config.metrics}
    taken |= {*ItemScores.model_fields, *SampleOutcome.model_fields, *_TAKEN}
    taken |= {*trials.tasks(config)}
    searches = any(TASKS[task].searches for task in trials.tasks(config))
    for name, judge in config.judges.items():
        if name in taken or name.endswith("_std"):
            yield ("judges", name), f"{name!r} is the name of something else; choose another"
        if judge.measures == PAIR.name:
            for prompt_set in trials.active_prompt_sets(config):
                if len(config.prompt_sets[prompt_set].treatment) > 1:
                    problem = f"a pair needs two arms, and prompt set {prompt_set!r} has more"
                    yield ("judges", name, "measures"), problem
        if judge.asks:
            yield from _unusable_prompt(name, judge, searches=searches)


def _unusable_prompt(name: str, judge: Judge, *, searches: bool) -> Iterator[Problem]:
    where: Location = ("judges", name, "prompt") if judge.prompt else ("judges", name)
    try:
        found = judge.fields_of_prompt()
    except UserError as error:
        yield where, str(error)
        return
    instrument = judge.instrument()
    file = Path(judge.prompt_file).as_posix()
    if searches and instrument.pairs and found & PASSAGES and not found >= OWN_PASSAGES:
        own = " and ".join(f"{{{name}}}" for name in sorted(OWN_PASSAGES))
        yield where, f"{file}: each arm has passages of its own, so it needs {own}, or neither"
        return
    wanted, allowed = instrument.fields, instrument.fields | instrument.optional
    if not (wanted <= found <= allowed):
        fields = ", ".join(f"{{{each}}}" for each in sorted(wanted))
        yield where, f"{file}: its fields are {sorted(found)}, but it needs {fields}"


def _levels(config: Config) -> Iterator[tuple[Location, str | None]]:
    yield ("correctness",), config.correctness
    for name, spec in config.datasets.items():
        yield ("datasets", name, "correctness"), spec.correctness
