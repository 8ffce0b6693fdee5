"""The arms of a trial in words: their names, and what differs between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..comparisons.differences import Differences
from ..config.arms import Arm, Template
from ..config.trials import Trial
from ..core.prompts import CONTROL

_LONG = {"system prompt", "instruction"}
"""What is shown elsewhere on the page in full."""


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
    return f"Does {said} change accuracy and hallucination compared with “{control.name}”?"


def _in_words(arm: Arm, control: Arm) -> str:
    """What an arm has otherwise than the control, in a few words."""
    words = [
        f"another {name}"
        if name in _LONG
        else f"{name} {_value(arm, name)} instead of {_value(control, name)}"
        for name in arm.differing(control)
    ]
    return ", ".join(words) or "nothing differs"


def differing(trial: Trial, found: Differences) -> list[Differing]:
    """The table of what differs between the arms' requests."""
    control = trial.arms[CONTROL]
    return [
        Differing(
            treatment=condition,
            what=name,
            control="see below" if name in _LONG else _value(control, name),
            value="see below" if name in _LONG else _value(trial.arms[condition], name),
            requests=of_treatment.differing.get(name, 0),
            of=of_treatment.requests,
        )
        for condition, of_treatment in found.treatments.items()
        for name in trial.arms[condition].differing(control)
    ]


def instructions(trial: Trial) -> list[tuple[str, str, Template]]:
    """The text around the items of each data set: its name, which arms, and the text's origin."""
    found: list[tuple[str, str, Template]] = []
    for dataset in trial.arms[CONTROL].templates:
        by_arm = {f"“{arm.name}”": arm.templates[dataset] for arm in trial.arms.values()}
        distinct = list(dict.fromkeys(by_arm.values()))
        for template in distinct:
            users = [name for name, own in by_arm.items() if own == template]
            found.append((dataset, "all" if len(distinct) == 1 else ", ".join(users), template))
    return found


def _value(arm: Arm, name: str) -> str:
    value: Any = arm.asks()[name]
    if isinstance(value, dict):
        return ", ".join(f"{key} {each}" for key, each in value.items())
    if isinstance(value, list):
        return ", ".join(map(repr, value)) or "none"
    return "off" if value is None else str(value)
