"""Choose a plan by the intent, and write the request that asks how to adapt it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..core.errors import UserError, command
from ..core.files import read_settings, write_record
from ..core.logs import log_to
from ..core.records import Request
from ..core.seals import SealWriter, add_seal_argument
from ..plans.plan import Plan
from ..plans.profile import Profile
from ..plans.templates import Chosen, choose, read_templates
from ..plans.tools import narrowed, tools_text
from .asking import UnusableReplyError, described, parsed, read_line, request, user, write_requests
from .settings import AnalysisSettings, AskedIntent, IntentReply, ReplyOrigin


def asked_intent(path: Path, settings: AnalysisSettings) -> AskedIntent:
    """Return what the model said that the question is about.

    Raises:
        UserError: it gave no answer, or none that can be used.
    """
    line = read_line(path)
    assert line is not None  # noqa: S101 - it is always asked
    try:
        reply = parsed(line, IntentReply, settings.jobs["intent"].schema_of_reply)
    except UnusableReplyError as error:
        raise UserError(
            f"{path}: {error}. No intent is assumed in its place. Use a backend that enforces JSON "
            "schemas or a better model, or edit prompts/jobs/intent.md"
        ) from error
    return AskedIntent(**dict(reply), **dict(ReplyOrigin.of(line)))


def changes_schema(settings: AnalysisSettings, profile: Profile) -> dict[str, Any]:
    """Return the schema of a reply with changes: of the first one, and of a repair."""
    return narrowed(settings.jobs["adapt_plan"].schema_of_reply, profile)


def adaptation_request(settings: AnalysisSettings, profile: Profile, plan: Plan) -> Request:
    """Return the request that asks how to adapt a plan to a table and a question."""
    job = settings.jobs["adapt_plan"]
    schema = changes_schema(settings, profile)
    text = job.filled(
        {
            "question": settings.question,
            "profile": profile.text(),
            "plan": plan.text(),
            "tools": tools_text(),
            "schema": described(settings, schema),
        }
    )
    return request(settings, "adapt_plan", [user(text)], schema)


@command
def main() -> None:
    """Write intent.json, plan_template.json, and a batch-input part with one request."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--profile", type=Path, required=True, help="profile.json")
    parser.add_argument("--intent", type=Path, required=True, help="the raw part of the intent")
    parser.add_argument("--plans", type=Path, required=True, nargs="+", help="ready plans")
    parser.add_argument("--settings", type=Path, required=True, help="AnalysisSettings as JSON")
    parser.add_argument("--intent-output", type=Path, required=True, help="intent.json")
    parser.add_argument("--plan", type=Path, required=True, help="plan_template.json")
    parser.add_argument("--output", type=Path, required=True, help="the requests")
    add_seal_argument(parser)
    args = parser.parse_args()

    log_to(None)
    settings = read_settings(args.settings, AnalysisSettings)
    profile = read_settings(args.profile, Profile)
    seal = SealWriter(args.seal, [args.profile, args.intent])
    intent = asked_intent(args.intent, settings)
    chosen: Chosen = choose(read_templates(args.plans), profile, intent.primary, settings.question)
    write_record(args.intent_output, intent)
    write_record(args.plan, chosen)
    seal.seal(args.intent_output, args.plan)
    asked = adaptation_request(settings, profile, chosen.plan)
    write_requests(args.output, [asked], [args.profile, args.intent])


if __name__ == "__main__":
    main()
