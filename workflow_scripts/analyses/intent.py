"""Write the request that asks what a question is about."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..core.errors import command
from ..core.files import read_settings
from ..core.logs import log_to
from ..plans.profile import Profile
from .asking import described, request, user, write_requests
from .settings import AnalysisSettings


@command
def main() -> None:
    """Write a batch-input part with one request."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--profile", type=Path, required=True, help="profile.json")
    parser.add_argument("--settings", type=Path, required=True, help="AnalysisSettings as JSON")
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()

    log_to(None)
    settings = read_settings(args.settings, AnalysisSettings)
    profile = read_settings(args.profile, Profile)
    job = settings.jobs["intent"]
    text = job.filled(
        {
            "question": settings.question,
            "profile": profile.text(),
            "schema": described(settings, job.schema_of_reply),
        }
    )
    asked = request(settings, "intent", [user(text)], job.schema_of_reply)
    write_requests(args.output, [asked], [args.profile])


if __name__ == "__main__":
    main()
