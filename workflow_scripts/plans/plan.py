"""Plans of analysis and changes to them; which changes can be applied."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from ..core.records import Record
from .profile import Profile

MAX_STEPS = 30
"""Steps that a plan can have; no more can be added."""


class Step(Record):
    """One step: a call of a tool, and its purpose in a few words."""

    id: str = Field(min_length=1)
    tool: str
    description: str = ""
    params: dict[str, Any] = Field(default_factory=dict)


class Plan(Record):
    """A plan of analysis. The steps run in their order, those that prepare the table first."""

    name: str
    title: str
    steps: list[Step]

    def text(self) -> str:
        """Return what a model is shown: one line of JSON a step."""
        steps = (each.model_dump(mode="json") for each in self.steps)
        return "\n".join(json.dumps(each, ensure_ascii=False) for each in steps)


class Change(Record):
    """One change to a plan.

    ``params`` of a modified step are those that change: the others stay, unless ``tool`` changes.
    ``None`` as a parameter's value takes it away. An added step comes last.
    """

    action: Literal["add", "remove", "modify"]
    step_id: str
    tool: str | None = None
    description: str | None = None
    params: dict[str, Any] | None = None


class Rejected(Record):
    """A change that cannot be applied.

    ``number`` counts the changes from 1. ``unknown`` are the names in it that do not exist: of a
    step, a tool, a parameter or a column.
    """

    number: int = Field(ge=1)
    change: Change
    reason: str
    unknown: list[str] = Field(default_factory=list)


class _UnusableError(Exception):
    """A change cannot be applied; ``unknown`` are names in it that do not exist."""

    def __init__(self, reason: str, unknown: Sequence[str] = ()) -> None:
        super().__init__(reason)
        self.unknown = list(unknown)


def apply_changes(
    plan: Plan, changes: Sequence[Change], profile: Profile
) -> tuple[Plan, list[Rejected]]:
    """Return the changed plan, and the changes that cannot be applied to this table.

    Changes are applied one after the other, each whole or not at all.
    """
    steps = {each.id: each for each in plan.steps}
    rejected = []
    for number, change in enumerate(changes, start=1):
        try:
            _apply(steps, change, profile)
        except _UnusableError as error:
            rejected.append(
                Rejected(number=number, change=change, reason=str(error), unknown=error.unknown)
            )
    return plan.model_copy(update={"steps": list(steps.values())}), rejected


def _apply(steps: dict[str, Step], change: Change, profile: Profile) -> None:
    from .tools import TOOLS, faults  # they need numpy and Arrow; readers of plans do not

    if change.action == "add":
        old = _new_step(steps, change)
    elif change.step_id not in steps:
        raise _UnusableError(f"there is no step {change.step_id!r}", [change.step_id])
    elif change.action == "remove":
        del steps[change.step_id]
        return
    else:
        old = steps[change.step_id]
    tool = change.tool or old.tool
    merged = {**(old.params if tool == old.tool else {}), **(change.params or {})}
    params = {name: value for name, value in merged.items() if value is not None}
    if found := faults(tool, params, profile):
        unknown = [name for each in found for name in each.unknown]
        raise _UnusableError("; ".join(each.reason for each in found), unknown)
    steps[old.id] = Step(
        id=old.id,
        tool=tool,
        description=old.description if change.description is None else change.description,
        params={name: params[name] for name in TOOLS[tool].parameters if name in params},
    )


def _new_step(steps: dict[str, Step], change: Change) -> Step:
    if not change.step_id.strip():
        raise _UnusableError("the added step has no id")
    if change.step_id in steps:
        raise _UnusableError(f"there is already a step {change.step_id!r}")
    if len(steps) >= MAX_STEPS:
        raise _UnusableError(f"a plan has at most {MAX_STEPS} steps")
    if not change.tool:
        raise _UnusableError("the added step names no tool")
    return Step(id=change.step_id, tool=change.tool)
