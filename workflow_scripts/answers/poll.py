"""Wait until the jobs of one part have come to their end."""

from __future__ import annotations

import asyncio
from pathlib import Path

from ..backends.client import make_client
from ..core.errors import command
from ..core.files import read_settings, write_record
from .arguments import begin
from .batch import Completed, Submitted, left_running, opened
from .settings import InferSettings


async def poll(submitted: Submitted, settings: InferSettings, journal: Path) -> Completed:
    """Look at the jobs until none is running."""
    client = make_client(settings.backend)
    async with opened(client, journal, settings.backend.poll_interval_s) as batches:
        return Completed(jobs=[await batches.wait(job) for job in submitted.jobs])


@command
def main() -> None:
    """Wait for the jobs of one part; the file that is written says how each ended."""
    args, settings = begin(main.__doc__, "submitted")
    submitted = read_settings(args.submitted, Submitted)
    with left_running():
        completed = asyncio.run(poll(submitted, settings, args.journal))
    write_record(args.output, completed)


if __name__ == "__main__":
    main()
