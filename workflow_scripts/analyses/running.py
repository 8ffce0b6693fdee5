"""A plan run on its table: the steps in order, and enough charts."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from ..plans.plan import Plan, Step
from ..plans.profile import Profile
from ..plans.result import Result
from ..plans.table import Table
from ..plans.tools import TOOLS

FEWEST_CHARTS, MOST_CHARTS = 5, 10

Origin = Literal["ready plan", "model", "Assay"]
"""Whose idea a step was; Assay's own ones make up for charts that are missing."""


@dataclass(frozen=True)
class Done:
    """A step that was run. ``is_drawn``: it has a chart, and the page has room for it."""

    step: Step
    origin: Origin
    result: Result
    is_drawn: bool


def run(before: Plan, plan: Plan, profile: Profile, table: Table) -> list[Done]:
    """Run a plan: first the steps that prepare the table, then the others.

    With fewer than 5 charts, further steps about single columns are added, as many as the table
    allows. Of more than 10, the first are drawn.

    Args:
        before: the ready plan, whose steps nobody changed are its own.
        plan: the adapted one.
        profile: of the table.
        table: the table.
    """
    ready = {each.id: each for each in before.steps}
    done: list[Done] = []
    for step in sorted(plan.steps, key=lambda each: not TOOLS[each.tool].prepares):
        origin: Origin = "ready plan" if ready.get(step.id) == step else "model"
        table = _run(done, step, origin, table)
    calls = [(each.step.tool, each.step.params) for each in done]
    for step in further_steps(profile):
        if _drawn(done) >= FEWEST_CHARTS:
            break
        if (step.tool, step.params) not in calls:
            _run(done, step, "Assay", table)
    return done


def further_steps(profile: Profile) -> Iterator[Step]:
    """Yield steps about single columns, the usual ones first."""
    by_column = [list(_about(each.name, each.type)) for each in profile.columns]
    for round_of_columns in itertools.zip_longest(*by_column):
        yield from filter(None, round_of_columns)


def _about(name: str, kind: str) -> Iterator[Step]:
    calls = {
        "number": (("histogram", "x"), ("box", "y"), ("line", "x"), ("anomalies", "value")),
        "date": (("line", "x"), ("bar", "x")),
        "empty": (),
    }
    for tool, parameter in calls.get(kind, (("bar", "x"),)):
        yield Step(
            id=f"{tool} of {name}",
            tool=tool,
            description="Added because the plan has few charts",
            params={parameter: name},
        )


def _run(done: list[Done], step: Step, origin: Origin, table: Table) -> Table:
    tool = TOOLS[step.tool]
    result = tool.run(table, **tool.checked(step.params))
    has_chart = bool(result.chart and result.rows)
    done.append(Done(step, origin, result, has_chart and _drawn(done) < MOST_CHARTS))
    return table if result.table is None else result.table


def _drawn(done: list[Done]) -> int:
    return sum(each.is_drawn for each in done)
