"""Remote jobs as they are known here: a few files for each, beside the journal of who answers.

Of a job ``NAME`` there are ``NAME.json`` (its `Job`), ``NAME.keys`` (its requests' digests),
``NAME.jsonl`` (what is sent, until its results are here) and ``NAME.results`` (the results as they
came, until the journal has all of them).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import Field

from ..backends.client import BatchIntent
from ..core.errors import UserError
from ..core.files import read_settings, read_text, write_text
from ..core.records import Record

RESULTS = "results"
LINES = "jsonl"


class Job(Record):
    """What is known here of one remote job. Times are ISO 8601, in UTC.

    ``address`` is where it is, as its client says. ``not_ours`` are ids that were taken for its
    own. ``collected``: what came of it is in the journal; of that, ``unread`` are requests whose
    results are kept but cannot be read yet. ``held`` jobs were stopped from outside: what they
    leave unanswered is sent again only when the user says so (``resend``).
    """

    name: str
    requests: int
    intended_at: str
    address: str | None = None
    id: str | None = None
    submitted_at: str | None = None
    not_ours: list[str] = Field(default_factory=list)
    collected: bool = False
    unread: list[str] = Field(default_factory=list)
    held: Literal["cancelled", "gone"] | None = None
    resend: bool = False

    @property
    def intent(self) -> BatchIntent:
        """What was to be created."""
        return BatchIntent(self.name, self.requests, datetime.fromisoformat(self.intended_at))

    def keeps_back(self) -> bool:
        """Whether some of its requests are neither answered nor to be sent again."""
        return not self.resend and bool(self.unread or self.held)


class JobFolder:
    """All jobs of one identity (provider and model)."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def journal(self) -> Path:
        """The folder of the answers to its jobs' requests."""
        return self.path.parent

    def jobs(self) -> list[Job]:
        """All jobs."""
        found = (self.find(path.stem) for path in sorted(self.path.glob("assay-*.json")))
        return [job for job in found if job is not None]

    def find(self, name: str) -> Job | None:
        """One job, or None if there is none, or it was withdrawn."""
        path = self.file(name, "json")
        try:
            return read_settings(path, Job)
        except UserError:
            if path.exists():
                raise
            return None

    def write(self, job: Job) -> None:
        """Write down what is known of a job."""
        write_text(self.file(job.name, "json"), job.model_dump_json(indent=2) + "\n")

    def intend(self, job: Job, keys: Collection[str]) -> None:
        """Write down a job that is about to be created."""
        write_text(self.file(job.name, "keys"), "\n".join(sorted(keys)) + "\n")
        self.write(job)

    def withdraw(self, job: Job) -> None:
        """Forget a job that was never created."""
        for suffix in ("json", "keys", LINES):
            self.file(job.name, suffix).unlink(missing_ok=True)

    def keys(self, name: str) -> set[str]:
        """The digests of a job's requests."""
        return set(read_text(self.file(name, "keys")).split())

    def file(self, name: str, suffix: str) -> Path:
        """One of a job's files."""
        return self.path / f"{name}.{suffix}"

    def name_for(self, keys: Collection[str]) -> str:
        """A job's name: made of its keys, and of how many such jobs have ended before."""
        text = "".join(sorted(keys))
        for attempt in range(1, 10_000):
            name = f"assay-{hashlib.sha256(f'{attempt}{text}'.encode()).hexdigest()[:24]}"
            job = self.find(name)
            if job is None or not job.collected:
                return name
        raise AssertionError("thousands of jobs for the same requests")


def job_folders(journal_root: Path, engine: str) -> Iterator[JobFolder]:
    """The folders of all models of a provider."""
    for path in sorted(journal_root.glob(f"{engine}-*/jobs")):
        yield JobFolder(path)


def submitted_keys(folder: Path) -> set[str]:
    """The keys of all requests that are with the provider, or are not to be sent again.

    Args:
        folder: the folder of an identity's jobs.
    """
    jobs = JobFolder(folder)
    return {
        key
        for job in jobs.jobs()
        if not job.collected or job.keeps_back()
        for key in (job.unread if job.collected and not job.held else jobs.keys(job.name))
    }
