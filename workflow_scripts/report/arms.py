"""The arms of a trial in words: their names, and what differs between them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..comparisons.differences import SCHEMA, Differences
from ..config.trial import INSTRUCTION, Arm, Template, Trial
from ..core.prompts import CONTROL
from ..tasks.registry import TASKS, options_of
from ..tasks.task import Task
from .contrast import tasks_of

_LONG = {"system prompt": "see “System prompts”", INSTRUCTION: "see “Instructions”"}
"""What the page shows in full elsewhere, and where."""

_LEAST = "as little as the model can"
"""How much a model thinks where the config does not say it."""

_BY_TASK = {"max new tokens"}

_WORDS = {"max new tokens": "longest answer"}
"""What has another name for readers."""


@dataclass(frozen=True)
class Differing:
    """One thing that a treatment has otherwise than the control, as a row of a table.

    ``requests``: of how many requests, of ``of`` in each arm; 0 of something that is declared and
    shows in no request.
    """

    treatment: str
    what: str
    control: str
    value: str
    requests: int
    of: int


def arm_names(trial: Trial) -> dict[str, str]:
    """What the arms are called on the page, by condition."""
    return {condition: f"“{arm.name}”" for condition, arm in trial.arms.items()}


def sources(trial: Trial) -> dict[str, str]:
    """Who answered, and at which temperature; of answers made elsewhere, their files."""
    asked = [arm for arm in trial.arms.values() if arm.answers is None]
    files = dict.fromkeys(arm.answers.shown for arm in trial.arms.values() if arm.answers)
    found = {}
    if asked:
        engine = f" ({trial.engine})" if trial.engine != trial.backend else ""
        found["Model"] = ", ".join(dict.fromkeys(arm.model for arm in asked))
        found["Backend"] = ", ".join(dict.fromkeys(arm.backend for arm in asked)) + engine
        found["Temperature"] = ", ".join(map(trial.temperature, trial.temps))
    if files:
        found["Answers from"] = ", ".join(files)
    return found


def called(trial: Trial, condition: str) -> str:
    """A treatment as the subject of a sentence."""
    arm, control = trial.arms.get(condition), trial.arms[CONTROL]
    if arm is None or arm.differing(control) in ([], ["system prompt"]):
        return f"Prompt “{arm.name if arm else condition}”"
    return f"Arm “{arm.name}”"


def question(trial: Trial) -> str:
    """What the trial asks."""
    control = trial.arms[CONTROL]
    treatments = [arm for condition, arm in trial.arms.items() if condition != CONTROL]
    differing = {name for arm in treatments for name in arm.differing(control)}
    if differing <= {"system prompt"}:
        said = "the system prompt " + " or ".join(f"“{arm.name}”" for arm in treatments)
    else:
        said = " or ".join(f"“{arm.name}” ({_in_words(arm, control)})" for arm in treatments)
    about = asked_about(tasks_of(trial).values())
    return f"Does {said} change {about} compared with “{control.name}”?"


def asked_about(tasks: Iterable[Task]) -> str:
    """What a change may change in some tasks, in words."""
    return ", or ".join(dict.fromkeys(task.is_about for task in tasks))


def _in_words(arm: Arm, control: Arm) -> str:
    """What an arm has otherwise than the control, in a few words."""
    options = _options(arm, control)
    words = [
        f"another {name}"
        if name in _LONG
        else f"{_WORDS.get(name, name)} {value} instead of {other}"
        for name in arm.differing(control)
        if name != INSTRUCTION or not options
        for value, other in [_values(name, arm, control)]
    ]
    words += [f"{name} {value} instead of {other}" for name, value, other in options]
    return ", ".join(words) or "nothing differs"


def _options(arm: Arm, control: Arm) -> list[tuple[str, str, str]]:
    """The options in which two arms with the same templates differ, with the values of both."""
    if arm.answers or control.answers or arm.templates != control.templates:
        return []
    found: dict[str, list[Any]] = {}
    for task in arm.options:
        value, other = (options_of(task, each.options).model_dump() for each in (arm, control))
        for name, of, of_other in _apart(value, other):
            if isinstance(of, dict) and isinstance(of_other, dict):
                found |= {inner: rest for inner, *rest in _apart(of, of_other)}
            else:
                found[name] = [of, of_other]
    return [
        (name.replace("_", " "), _text(value, None), _text(other, None))
        for name, (value, other) in found.items()
    ]


def _apart(value: Mapping[str, Any], other: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    return [(name, value[name], other[name]) for name in value if value[name] != other[name]]


def differing(trial: Trial, found: Differences) -> list[Differing]:
    """The table of what differs between the arms' requests."""
    control = trial.arms[CONTROL]
    return [
        Differing(
            treatment=condition,
            what=_WORDS.get(name, name),
            control=control_value,
            value=value,
            requests=max(
                of_treatment.differing.get(each, 0)
                for each in ((name, SCHEMA) if name == INSTRUCTION else (name,))
            ),
            of=of_treatment.requests,
        )
        for condition, of_treatment in found.treatments.items()
        for name in trial.arms[condition].differing(control)
        for value, control_value in [_values(name, trial.arms[condition], control)]
    ]


def instructions(trial: Trial) -> list[tuple[str, str, Template]]:
    """The text around the items of each data set: its name, which arms, and the text's origin."""
    found: list[tuple[str, str, Template]] = []
    asked = [arm for arm in trial.arms.values() if arm.answers is None]
    for dataset in asked[0].templates if asked else ():
        by_arm = {f"“{arm.name}”": arm.templates[dataset] for arm in asked}
        distinct = list(dict.fromkeys(by_arm.values()))
        for template in distinct:
            users = [name for name, own in by_arm.items() if own == template]
            found.append((dataset, "all" if len(distinct) == 1 else ", ".join(users), template))
    return found


def _values(name: str, arm: Arm, control: Arm) -> tuple[str, str]:
    """One thing that differs, as an arm and its control have it."""
    options = _options(arm, control) if name == INSTRUCTION else []
    if options:
        values = [f"{option} {value}" for option, value, _ in options]
        others = [f"{option} {other}" for option, _, other in options]
        return ", ".join(values), ", ".join(others)
    if name in _LONG:
        return _LONG[name], _LONG[name]
    if arm.answers or control.answers:
        return _origin(arm), _origin(control)
    value, other = (each.asks()[name] for each in (arm, control))
    if name == "reasoning":
        return str(value or _LEAST), str(other or _LEAST)
    differing = {key for key in value if value[key] != other[key]} if name in _BY_TASK else None
    return _text(value, differing), _text(other, differing)


def _origin(arm: Arm) -> str:
    """Where an arm's answers come from."""
    return f"from {arm.answers.shown}" if arm.answers else f"by {arm.model} ({arm.backend})"


def _text(value: Any, tasks: set[str] | None) -> str:
    """A value in words; of values by task those of some tasks."""
    if tasks is not None:
        alone = len(value) == 1
        return ", ".join(
            str(of) if alone else f"{of} in {TASKS[task].label.lower()}"
            for task, of in value.items()
            if task in tasks
        )
    if isinstance(value, dict):
        given = {name: of for name, of in value.items() if of is not None}
        return "(" + ", ".join(f"{name.replace('_', ' ')} {of}" for name, of in given.items()) + ")"
    if isinstance(value, list):
        return ", ".join(map(repr, value)) or "none"
    return "off" if value is None else str(value)
