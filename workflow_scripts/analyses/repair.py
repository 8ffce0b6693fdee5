"""Write the request that asks once to repair changes that cannot be applied, if there are any."""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path

from ..core.errors import command
from ..core.files import read_settings
from ..core.logs import log_to
from ..core.records import Message, Request
from ..plans.plan import Plan
from ..plans.profile import Profile
from ..plans.templates import Chosen
from ..plans.tools import tools_text
from .adaptation import adaptation_request, changes_schema
from .adapted import Adapted, first
from .asking import described, read_line, request, user, write_requests
from .settings import AnalysisSettings

log = logging.getLogger(__name__)


def repair_request(
    settings: AnalysisSettings, profile: Profile, plan: Plan, reply: str, adapted: Adapted
) -> Request:
    """Return the request: the former one, the reply, what is wrong with it, and what exists."""
    job = settings.jobs["repair_plan"]
    schema = changes_schema(settings, profile)
    problems = [
        f"- change {each.number} ({json.dumps(each.change.model_dump(), ensure_ascii=False)}): "
        f"{each.reason}"
        for each in adapted.repaired
    ]
    text = job.filled(
        {
            "problems": adapted.problem or "\n".join(problems),
            "steps": ", ".join(json.dumps(each.id) for each in adapted.plan.steps),
            "columns": profile.text(),
            "tools": tools_text(),
            "schema": described(settings, schema),
        }
    )
    before = adaptation_request(settings, profile, plan).messages
    return request(
        settings, "repair_plan", [*before, Message(role="assistant", content=reply), user(text)],
        schema,
    )  # fmt: skip


@command
def main() -> None:
    """Write a batch-input part with one request, or an empty one if nothing needs repair."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--profile", type=Path, required=True, help="profile.json")
    parser.add_argument("--plan", type=Path, required=True, help="plan_template.json")
    parser.add_argument("--adaptation", type=Path, required=True, help="its raw part")
    parser.add_argument("--settings", type=Path, required=True, help="AnalysisSettings as JSON")
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()

    log_to(None)
    settings = read_settings(args.settings, AnalysisSettings)
    profile = read_settings(args.profile, Profile)
    chosen = read_settings(args.plan, Chosen)
    adapted = first(chosen.plan, profile, args.adaptation, changes_schema(settings, profile))
    asked = []
    if adapted.problem or adapted.repaired:
        line = read_line(args.adaptation)
        assert line is not None  # noqa: S101 - it was read above
        reply = str(line.response_text)
        asked.append(repair_request(settings, profile, chosen.plan, reply, adapted))
        for each in adapted.repaired:
            log.warning("change %d cannot be applied: %s", each.number, each.reason)
        if adapted.problem:
            log.warning("%s", adapted.problem)
    write_requests(args.output, asked, [args.profile, args.plan, args.adaptation])


if __name__ == "__main__":
    main()
