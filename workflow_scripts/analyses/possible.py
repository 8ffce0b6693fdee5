"""Write the requests that an analysis may send after its first one, for the plan of costs."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..core.errors import command
from ..core.files import read_settings, write_jsonl
from ..core.logs import log_to
from ..core.records import Request
from ..plans.profile import Profile
from ..plans.templates import Template, fitting, read_templates
from .adaptation import adaptation_request
from .adapted import Adapted
from .repair import repair_request
from .settings import AnalysisSettings, ReplyOrigin


def possible_requests(
    settings: AnalysisSettings, profile: Profile, templates: Sequence[Template]
) -> Iterator[Request]:
    """Yield, for each ready plan that fits, the request to adapt it, and one for a repair.

    A repair quotes the first reply, which is not known yet: it is taken to be as long as the plan.
    """
    nothing = ReplyOrigin(request_digest=None, schema_enforced=None)
    for plan in fitting(templates, profile, settings.question):
        yield adaptation_request(settings, profile, plan)
        adapted = Adapted(plan=plan, rationale="", applied=[], problem="-", origin=nothing)
        yield repair_request(settings, profile, plan, plan.text(), adapted)


@command
def main() -> None:
    """Write the requests as JSON lines."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--profile", type=Path, required=True, help="profile.json")
    parser.add_argument("--plans", type=Path, required=True, nargs="+", help="ready plans")
    parser.add_argument("--settings", type=Path, required=True, help="AnalysisSettings as JSON")
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()

    log_to(None)
    settings = read_settings(args.settings, AnalysisSettings)
    profile = read_settings(args.profile, Profile)
    write_jsonl(args.output, possible_requests(settings, profile, read_templates(args.plans)))


if __name__ == "__main__":
    main()
