"""Bring the results of a part's jobs home and write its raw part."""

from __future__ import annotations

import asyncio
from pathlib import Path

from ..backends.client import make_client
from ..backends.ledger import job_spending
from ..core.errors import command
from ..core.files import read_settings
from .arguments import begin
from .batch import Completed, left_running, opened
from .part import Part
from .settings import InferSettings


async def collect(
    requests: Path, completed: Completed, settings: InferSettings, journal: Path, output: Path
) -> None:
    """Journal the results, put what is missing into further jobs, and write the raw part.

    Further jobs hold what expired, failed in a way that may pass, or has no result; they are made
    at most ``max_retries`` times. Then it becomes an error line.
    """
    client = make_client(settings.backend)
    spending = job_spending(settings.spending)
    async with opened(client, journal, settings.backend.poll_interval_s, spending) as batches:
        part = Part(requests, client.identity(), journal)
        part.look_up()
        part.read_kept(client)
        await batches.finish(completed.jobs, part, settings.max_retries)
        part.write(output)


@command
def main() -> None:
    """Write one raw part from the results of its jobs."""
    args, settings = begin(main.__doc__, "requests", "completed")
    completed = read_settings(args.completed, Completed)
    with left_running():
        asyncio.run(collect(args.requests, completed, settings, args.journal, args.output))


if __name__ == "__main__":
    main()
