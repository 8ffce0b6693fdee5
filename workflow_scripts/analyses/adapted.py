"""A plan with the changes that a model asked for: at once, and after one repair."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from ..core.errors import UserError
from ..core.records import Record
from ..plans.plan import Change, Plan, Rejected, apply_changes
from ..plans.profile import Profile
from .asking import UnusableReplyError, parsed, read_line
from .settings import AdaptationReply, ReplyOrigin


class Adapted(Record):
    """plan_adapted.json: the plan that is run, and how it came about.

    ``applied``: the changes in the order in which they were made. ``repaired``: those of the first
    reply that could not be applied, for which one repair was asked. ``dropped``: those of the last
    reply that could not be applied. ``problem``: why the first reply could not be read at all.
    ``origin`` and ``repair`` are those of both replies.
    """

    plan: Plan
    rationale: str
    applied: list[Change]
    repaired: list[Rejected] = Field(default_factory=list)
    dropped: list[Rejected] = Field(default_factory=list)
    problem: str | None = None
    origin: ReplyOrigin
    repair: ReplyOrigin | None = None


def first(plan: Plan, profile: Profile, raw: Path, schema: dict[str, Any]) -> Adapted:
    """Return a plan with the changes of the first reply; what is wrong with it is not yet dropped.

    Args:
        plan: the ready one.
        profile: of the table.
        raw: the reply.
        schema: of the reply.

    Raises:
        UserError: the model gave no answer.
    """
    line = read_line(raw)
    assert line is not None  # noqa: S101 - it is always asked
    origin = ReplyOrigin.of(line)
    try:
        reply = parsed(line, AdaptationReply, schema)
    except UnusableReplyError as error:
        return Adapted(plan=plan, rationale="", applied=[], problem=str(error), origin=origin)
    changed, rejected = apply_changes(plan, reply.changes, profile)
    return Adapted(
        plan=changed,
        rationale=reply.rationale,
        applied=_applied(reply.changes, rejected),
        repaired=rejected,
        origin=origin,
    )


def final(plan: Plan, profile: Profile, raw: Path, repair: Path, schema: dict[str, Any]) -> Adapted:
    """Return a plan with the changes of both replies.

    Args:
        plan: the ready one.
        profile: of the table.
        raw: the first reply.
        repair: the second one; no line if none was needed.
        schema: of both.

    Raises:
        UserError: the model gave no answer, or both replies cannot be read.
    """
    before = first(plan, profile, raw, schema)
    line = read_line(repair)
    if line is None:
        return before
    try:
        reply = parsed(line, AdaptationReply, schema)
    except UnusableReplyError as error:
        if before.problem is not None:
            raise UserError(
                f"{repair}: {error}. The first reply could not be read either ({before.problem}). "
                "The plan is not run as if nothing had to change. Use a backend that enforces JSON "
                "schemas or a better model, or edit prompts/jobs/adapt_plan.md"
            ) from error
        return before.model_copy(
            update={"dropped": before.repaired, "repair": ReplyOrigin.of(line)}
        )
    changed, rejected = apply_changes(before.plan, reply.changes, profile)
    return before.model_copy(
        update={
            "plan": changed,
            "rationale": "\n\n".join(filter(None, (before.rationale, reply.rationale))),
            "applied": [*before.applied, *_applied(reply.changes, rejected)],
            "dropped": rejected,
            "repair": ReplyOrigin.of(line),
        }
    )


def _applied(changes: list[Change], rejected: list[Rejected]) -> list[Change]:
    numbers = {each.number for each in rejected}
    return [each for number, each in enumerate(changes, start=1) if number not in numbers]
