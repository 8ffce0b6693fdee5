"""Submit the unanswered requests of one part as jobs of the provider's batch API."""

from __future__ import annotations

import asyncio
from pathlib import Path

from ..backends.client import make_client
from ..backends.ledger import job_spending
from ..core.errors import command
from ..core.files import write_record
from .arguments import begin
from .batch import Submitted, opened
from .part import Part
from .settings import InferSettings


async def submit(requests: Path, settings: InferSettings, journal: Path) -> Submitted:
    """Put every request without a journaled answer into a job."""
    client = make_client(settings.backend)
    spending = job_spending(settings.spending)
    async with opened(client, journal, settings.backend.poll_interval_s, spending) as batches:
        part = Part(requests, client.identity(), journal)
        jobs = await batches.submit(part)
        return Submitted(
            request_digest=part.digest,
            requests=part.size,
            answered_before=part.size - part.missing,
            jobs=jobs,
        )


@command
def main() -> None:
    """Submit one part; the file that is written names its jobs."""
    args, settings = begin(main.__doc__, "requests")
    submitted = asyncio.run(submit(args.requests, settings, args.journal))
    write_record(args.output, submitted)


if __name__ == "__main__":
    main()
