"""Ready plans, from files in resources/plans/: which one fits a table, and its columns filled in.

A parameter of a template names a column by its role: ``$measure`` is the first column to compute
with, ``$measure2`` the second, ``$measures`` all of them, up to six. With a question mark behind
it, the parameter is left out if there is no such column; without, the step.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from ..core.errors import UserError
from ..core.files import read_settings
from ..core.records import Record
from .plan import Plan, Step
from .profile import Profile, Role, first_mentioned
from .tools import faults

FOLDER = Path("resources/plans")

Intent = Literal["time_series", "anomalies", "comparison", "drivers", "general_exploration"]
"""What somebody who asks a question wants to know."""

_PLACE = re.compile(r"\$(measure|category|time)(s|[2-9])?(\?)?")
_MOST_COLUMNS = 6
_INTENT_POINTS, _GENERAL_POINTS, _STEP_POINTS = 100, 50, 10


class Requirements(Record):
    """How many rows, and columns of each role, a template needs at least."""

    rows: int = 1
    measure: int = 0
    category: int = 0
    time: int = 0


class Template(Record):
    """A ready plan. ``intents``: what it answers; ``requires``: without it, it is never chosen."""

    name: str
    title: str
    intents: list[Intent]
    requires: Requirements
    steps: list[Step]


class Candidate(Record):
    """How well a template fits: its score, or which requirements are not met."""

    name: str
    score: int | None
    unmet: list[str] = Field(default_factory=list)


class Chosen(Record):
    """The template for a table and an intent, its columns filled in, and all that were compared."""

    plan: Plan
    candidates: list[Candidate]


def template_files(folder: Path = FOLDER) -> list[Path]:
    """Return the files of the templates, in the order of their names.

    Raises:
        UserError: there are none.
    """
    files = sorted(folder.glob("*.json"))
    if not files:
        raise UserError(f"{folder.as_posix()}: there is no plan (*.json)")
    return files


def read_templates(files: Sequence[Path]) -> list[Template]:
    """Return the templates in these files.

    Raises:
        UserError: a file does not fit, or two templates have one name.
    """
    templates = [read_settings(path, Template) for path in files]
    names: dict[str, Path] = {}
    for path, each in zip(files, templates, strict=True):
        other = names.setdefault(each.name, path)
        if other != path:
            raise UserError(
                f"{path.as_posix()} and {other.as_posix()}: both plans are called {each.name!r}; "
                "rename one"
            )
    return templates


def choose(
    templates: Sequence[Template], profile: Profile, intent: Intent, question: str
) -> Chosen:
    """Return the template that fits best: by intent, then by the share of steps that can run.

    Of equal ones the first. `Candidate.score` is 100 for the intent, 50 for a plan of general
    exploration, and up to 10 for the steps.

    Raises:
        UserError: the requirements of none are met.
    """
    candidates = [_rated(each, profile, intent, question) for each in templates]
    rated = [each.score for each in candidates if each.score is not None]
    if not rated:
        unmet = "; ".join(f"{each.name} needs {', '.join(each.unmet)}" for each in candidates)
        raise UserError(f"no plan fits the table: {unmet}. Add one that does to {FOLDER}")
    best = next(n for n, each in enumerate(candidates) if each.score == max(rated))
    return Chosen(plan=filled(templates[best], profile, question), candidates=candidates)


def filled(template: Template, profile: Profile, question: str) -> Plan:
    """Return a template as a plan for a table: the columns that the question names come first."""
    columns = {
        role: [each.name for each in first_mentioned(profile.with_role(role), question)]
        for role in _roles()
    }
    steps = [_filled_step(each, columns) for each in template.steps]
    return Plan(
        name=template.name,
        title=template.title,
        steps=[each for each in steps if each and not faults(each.tool, each.params, profile)],
    )


def fitting(templates: Sequence[Template], profile: Profile, question: str) -> list[Plan]:
    """Return the plans that `choose` can come to, whatever the intent is."""
    return [filled(each, profile, question) for each in templates if not _unmet(each, profile)]


def _unmet(template: Template, profile: Profile) -> list[str]:
    """The requirements that a table does not meet."""
    needs = template.requires
    unmet = [
        f"{getattr(needs, role)} of {role}"
        for role in _roles()
        if len(profile.with_role(role)) < getattr(needs, role)
    ]
    return unmet if profile.rows >= needs.rows else [*unmet, f"{needs.rows} rows"]


def _rated(template: Template, profile: Profile, intent: Intent, question: str) -> Candidate:
    if unmet := _unmet(template, profile):
        return Candidate(name=template.name, score=None, unmet=unmet)
    possible = len(filled(template, profile, question).steps)
    points = _STEP_POINTS * possible // len(template.steps)
    if intent in template.intents:
        points += _INTENT_POINTS
    elif "general_exploration" in template.intents:
        points += _GENERAL_POINTS
    return Candidate(name=template.name, score=points)


def _roles() -> tuple[Role, ...]:
    return ("measure", "category", "time")


def _filled_step(step: Step, columns: dict[Role, list[str]]) -> Step | None:
    params: dict[str, Any] = {}
    for name, value in step.params.items():
        place = _PLACE.fullmatch(value) if isinstance(value, str) else None
        if place is None:
            params[name] = value
            continue
        found = _columns_at(place, columns)
        if found is not None:
            params[name] = found
        elif not place[3]:
            return None
    return step.model_copy(update={"params": params})


def _columns_at(place: re.Match[str], columns: dict[Role, list[str]]) -> str | list[str] | None:
    role: Role = place[1]  # type: ignore[assignment]
    of_role = columns[role]
    if place[2] == "s":
        return of_role[:_MOST_COLUMNS] or None
    number = int(place[2] or 1) - 1
    return of_role[number] if number < len(of_role) else None
