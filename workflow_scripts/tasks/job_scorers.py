"""The scorers of ready-made jobs: what `StructuredScorer` measures, and what is special to them.

`workflow_scripts.tasks.jobs` defines their metrics. Plans are compared after the changes of the
reply and after the expected ones: see `compare_plans`. A change that cannot be applied changes
nothing. Its unknown tools, parameters, columns and steps count among the unknown names.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

from pydantic import ValidationError

from ..core.block import Block
from ..metrics.final_answer import without_reasoning
from ..plans.plan import Change, Plan, Rejected, Step
from ..plans.tools import TOOLS
from .jobs import (
    ACCURACY,
    BRIER,
    CHANGE_F1,
    EXTRA_STEPS,
    PLAN_MATCH,
    PlanAdaptation,
    PlanItem,
    QuestionIntent,
)
from .settings import ScoreSettings
from .structured import SCHEMA_VALID, UNKNOWN_NAMES
from .structured_scorer import StructuredScorer, read_answer
from .task import Difference, Score, Task

_LONGEST = 2000
"""Characters of the reasons for rejected changes that are kept."""

_MOST_NAMES, _LONGEST_NAME = 100, 200
"""Unknown names of a reply that are kept, and their characters."""

Calls = Counter[str]
"""The calls of a plan's steps without ids and wording, each with how often it occurs."""


class Gold(NamedTuple):
    """The calls of an item's plan before, and after the expected changes."""

    before: Calls
    wanted: Calls


class Adapted(NamedTuple):
    """What became of a plan.

    ``matches``: it has the expected steps. ``change_f1``: F1 of the steps taken out and put in.
    ``extra``: steps put in that the expected plan does not have.
    """

    matches: bool
    change_f1: float
    extra: int


class IntentScorer(StructuredScorer):
    """Scores the intent that a reply names, and its confidence."""

    def completed(self, item: Any, score: Score, value: dict[str, Any]) -> Score:
        """Return a score with that of the intent."""
        return _with_intent(item, score, value)


def _with_intent(item: Any, score: Score, value: Mapping[str, Any]) -> Score:
    primary = value.get("primary")
    accuracy = float(primary == item.expected["primary"])
    stated = _probability(value.get("confidence")) if isinstance(primary, str) else None
    metrics = {
        **score.metrics,
        ACCURACY.name: accuracy,
        BRIER.name: 1.0 if stated is None else (stated - accuracy) ** 2,
    }
    return replace(
        score,
        metrics={metric.name: metrics[metric.name] for metric in QuestionIntent.metrics},
        details={**score.details, "stated_confidence": stated},
    )


class PlanScorer(StructuredScorer):
    """Scores the plan that a reply's changes make; prepares each item once."""

    def __init__(self, task: Task, settings: ScoreSettings, options: Block) -> None:
        super().__init__(task, settings, options)
        self._golds: dict[str, Gold] = {}

    def completed(self, item: Any, score: Score, value: dict[str, Any]) -> Score:
        """Return a score with that of the plan."""
        return _with_plan(item, score, self._gold(item), value)

    def _gold(self, item: PlanItem) -> Gold:
        if item.key not in self._golds:
            self._golds[item.key] = gold_of(item)
        return self._golds[item.key]


def _with_plan(item: PlanItem, score: Score, gold: Gold, value: dict[str, Any]) -> Score:
    changes = read_changes(value)
    adapted = Adapted(matches=False, change_f1=0.0, extra=0)
    rejected: list[Rejected] = []
    if changes is not None:
        given, rejected = item.adapted(changes)
        adapted = compare_plans(gold, calls(given))
    unknown = [name for each in rejected for name in each.unknown]
    metrics = {
        **score.metrics,
        PLAN_MATCH.name: float(adapted.matches),
        CHANGE_F1.name: adapted.change_f1,
        EXTRA_STEPS.name: float(adapted.extra > 0),
        UNKNOWN_NAMES.name: max(score.metrics[UNKNOWN_NAMES.name] or 0.0, float(bool(unknown))),
    }
    right = adapted.matches and score.metrics[SCHEMA_VALID.name] == 1
    outcome = score.outcome
    if outcome in ("correct", "wrong"):
        outcome = "correct" if right else "wrong"
    reasons = "; ".join(f"change {each.number}: {each.reason}" for each in rejected)
    names = [name[:_LONGEST_NAME] for name in dict.fromkeys(unknown)][:_MOST_NAMES]
    return Score(
        outcome=outcome,
        metrics={metric.name: metrics[metric.name] for metric in PlanAdaptation.metrics},
        details={
            **score.details,
            **({"names_outside": json.dumps(names, ensure_ascii=False)} if names else {}),
            "unjustified": float(adapted.extra),
            "rejected_changes": reasons[:_LONGEST],
        },
    )


def compared_plans(
    item: PlanItem, response: str, finish_reason: str, *, enforced: bool
) -> Iterator[Difference]:
    """Yield which steps a reply takes out of the plan and puts in, against the expected ones."""
    reply = read_answer(item, without_reasoning(response), finish_reason, enforced=enforced)
    changes = read_changes(reply.value or {})
    before, wanted = gold_of(item)
    got = before if changes is None else calls(item.adapted(changes)[0])
    for place, expected, given in (
        ("steps taken out", before - wanted, before - got),
        ("steps put in", wanted - before, got - before),
    ):
        for call in (expected & given).elements():
            yield Difference(place, call, call, "right")
        for call in (expected - given).elements():
            yield Difference(place, call, None, "missing")
        for call in (given - expected).elements():
            yield Difference(place, None, call, "extra")


def calls(plan: Plan) -> Calls:
    """Return the tool calls of a plan, parameters with their defaults and lists in any order."""
    return Counter(map(_call, plan.steps))


def _call(step: Step) -> str:
    return _normalised(step.tool, json.dumps(step.params))


@lru_cache(maxsize=4096)
def _normalised(tool: str, params_text: str) -> str:
    params: dict[str, Any] = json.loads(params_text)
    if tool in TOOLS:
        with suppress(ValidationError):  # of a step that cannot run, only text can be compared
            params = TOOLS[tool].checked(params)
    sets = {
        name: sorted(value, key=json.dumps) if isinstance(value, list) else value
        for name, value in params.items()
    }
    return json.dumps([tool, sets], sort_keys=True)


def compare_plans(gold: Gold, got: Calls) -> Adapted:
    """Compare the plan that a reply makes with the expected one."""
    before, wanted = gold
    right = ((wanted - before) & (got - before)).total()
    right += ((before - wanted) & (before - got)).total()
    changed = sum(((after - before) + (before - after)).total() for after in (wanted, got))
    return Adapted(
        matches=wanted == got,
        change_f1=2 * right / changed if changed else 1.0,
        extra=((got - before) - wanted).total(),
    )


def read_changes(value: Mapping[str, Any]) -> list[Change] | None:
    """Return the changes of a reply; ``None`` where one of them cannot be read."""
    found = value.get("changes")
    if not isinstance(found, list):
        return None
    try:
        return [Change.model_validate(each) for each in found]
    except ValidationError:
        return None


def gold_of(item: PlanItem) -> Gold:
    """Return what the plan of a reply is compared with."""
    changes = [Change.model_validate(each) for each in item.expected["changes"]]
    return Gold(calls(item.plan), calls(item.adapted(changes)[0]))


def _probability(value: Any) -> float | None:
    """A value as a probability; ``None`` where it is none."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1:
        return float(value)
    return None
