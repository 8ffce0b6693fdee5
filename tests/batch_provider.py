"""A provider of batches that outlives killed processes, and a part run against it."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from answering import completion, request

from workflow_scripts.answers import collect, poll, submit
from workflow_scripts.answers.job_folder import Job, JobFolder
from workflow_scripts.answers.settings import InferSettings
from workflow_scripts.backends.client import (
    BatchIntent,
    BatchResults,
    BatchStatus,
    ListedBatch,
    RequestError,
    UnreadableReplyError,
)
from workflow_scripts.backends.ledger import Ledger, Spent
from workflow_scripts.backends.settings import BackendSettings
from workflow_scripts.config.schema import Config
from workflow_scripts.core.files import read_jsonl, write_jsonl
from workflow_scripts.core.records import Completion, Decoding, Message, RawLine, Request
from workflow_scripts.rules import experiment, stages

IDENTITY = {"engine": "provider", "model": "m"}
SETTINGS = InferSettings(
    backend=BackendSettings(model_id="m", poll_interval_s=0.001), max_retries=2
)


def priced(**keys: Any) -> InferSettings:
    """Settings of an experiment that writes down what its jobs cost, below the working folder."""
    rates = {"input_per_million": 1000.0, "output_per_million": 1000.0}
    config = {
        "experiment": "e",
        "backend": "anthropic",
        "model_id": "m",
        "poll_interval_s": 0.001,
        "datasets": {"d": {"format": "jsonl", "path": "d.jsonl", "task": "closed_book"}},
        "prompt_sets": {"s": {"control": "control", "treatment": "treatment"}},
        "pricing": {"m": rates},
        **keys,
    }
    (settings,) = stages.jobs(
        experiment.Job(experiment.Experiment(Config.model_validate(config)), {})
    ).models.values()
    return settings


def ledger() -> Spent:
    """What that experiment has paid and set aside."""
    return Ledger(Path("results/e/spending")).spent()


class Killed(BaseException):
    """The process is gone."""


@dataclass
class RemoteJob:
    """A job as its provider keeps it."""

    name: str
    keys: list[str]
    looks: int = 0


@dataclass
class Provider:
    """A provider that lives on while processes are killed.

    ``steps`` counts what a process does; at ``kill_at`` it is killed. ``results`` says how often
    tried keys end: by default all are answered.
    """

    jobs: dict[str, RemoteJob] = field(default_factory=dict)
    billed: Counter[str] = field(default_factory=Counter)
    steps: int = 0
    kill_at: int | None = None
    end: str = "ended"
    outcome: Any = None
    extra: list[tuple[str, Completion]] = field(default_factory=list)
    create_errors: list[RequestError] = field(default_factory=list)
    lost_replies: int = 0
    max_requests: int = 1000
    full_for: int = 0  # jobs that meet a full queue
    unreadable: set[str] = field(default_factory=set)  # answers
    counts_all: bool = False  # whether it says how many results there are

    def step(self) -> None:
        """One more thing that a process does."""
        self.steps += 1
        if self.steps == self.kill_at:
            raise Killed


class Client:
    """A client of the provider."""

    max_concurrent = 1
    max_batch_bytes = 10**9
    address = "nowhere"

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.max_batch_requests = provider.max_requests

    async def open(self) -> None:
        pass

    async def check(self) -> str:
        return ""

    async def close(self) -> None:
        pass

    def identity(self) -> Mapping[str, str]:
        return IDENTITY

    async def generate(self, messages: Sequence[Message], decoding: Decoding) -> Completion:
        raise AssertionError("not used")

    def batch_line(self, key: str, request: Request) -> Mapping[str, Any]:
        return {"key": key, "question": request.messages[-1].content}

    async def find_batch(self, intent: BatchIntent, claimed: Collection[str]) -> str | None:
        self.provider.step()
        found = [each for each, job in self.provider.jobs.items() if job.name == intent.name]
        return found[0] if found else None

    async def submit_batch(self, intent: BatchIntent, lines: Path) -> str:
        self.provider.step()
        if self.provider.create_errors:
            raise self.provider.create_errors.pop(0)
        keys = [json.loads(line)["key"] for line in lines.read_bytes().splitlines()]
        assert len(keys) == len(set(keys)) == intent.requests
        identifier = f"job-{len(self.provider.jobs)}"
        self.provider.jobs[identifier] = RemoteJob(intent.name, keys)
        if self.provider.lost_replies:
            self.provider.lost_replies -= 1
            raise RequestError("the connection broke", retryable=True)
        self.provider.step()
        return identifier

    async def batch_status(self, job_id: str) -> BatchStatus:
        self.provider.step()
        job = self.provider.jobs[job_id]
        job.looks += 1
        if int(job_id.removeprefix("job-")) < self.provider.full_for:
            return BatchStatus("failed", "failed", message="queue full", queue_full=True)
        if job.looks < 3:
            return BatchStatus("running", "IN_PROGRESS", done=job.looks, total=len(job.keys))
        if job.looks == 3 and self.provider.end == "ended":
            for key in job.keys:
                self.provider.billed[key] += self._result(job, key) is not None
        return BatchStatus(self.provider.end, "DONE", done=len(job.keys), total=len(job.keys))

    def _result(self, job: RemoteJob, key: str) -> Completion | RequestError | None:
        if self.provider.outcome is None:
            return completion(f"to {key[:6]}")
        attempt = sum(key in other.keys for other in self.provider.jobs.values())
        return self.provider.outcome(key, attempt)

    async def batch_results(self, job_id: str) -> BatchResults:
        self.provider.step()
        expected = len(self.provider.jobs[job_id].keys) if self.provider.counts_all else 0
        return BatchResults(expected, self._lines(job_id))

    async def _lines(self, job_id: str) -> AsyncIterator[bytes]:
        job = self.provider.jobs[job_id]
        for key in reversed(job.keys):
            result = self._result(job, key)
            if result is not None:
                yield written(key, result)
                self.provider.step()
        for key, answer in self.provider.extra:
            yield written(key, answer)

    def read_result(self, line: bytes) -> tuple[str, Completion | RequestError]:
        row = json.loads(line)
        if "error" in row:
            return row["key"], RequestError(row["error"], **row["traits"])
        if row["answer"] in self.provider.unreadable:
            return row["key"], UnreadableReplyError("the result cannot be read", row["answer"])
        return row["key"], completion(row["answer"])

    async def list_batches(self) -> AsyncIterator[ListedBatch]:
        raise AssertionError("not used")
        yield

    async def cancel_batch(self, job_id: str) -> None:
        raise AssertionError("not used")


def written(key: str, result: Completion | RequestError) -> bytes:
    """A line of results."""
    row: dict[str, Any] = {"key": key}
    if isinstance(result, RequestError):
        row |= {
            "error": str(result),
            "traits": {"retryable": result.retryable},
        }
    else:
        row["answer"] = result.response_text
    return json.dumps(row).encode()


@contextmanager
def asked_by_all_commands() -> Iterator[Provider]:
    """A provider that all three commands ask; writing to disk is a step, too."""
    made = Provider()
    write = JobFolder.write

    def counted(self: JobFolder, job: Job) -> None:
        made.step()
        write(self, job)
        made.step()

    with pytest.MonkeyPatch.context() as patch:
        for module in (submit, poll, collect):
            patch.setattr(module, "make_client", lambda settings: Client(made))
        patch.setattr(JobFolder, "write", counted)
        yield made


def run_part(
    folder: Path, requests: list[Request], name: str = "part", settings: InferSettings = SETTINGS
) -> list[RawLine]:
    """Submit, poll and collect one part, each as a command does that is killed and run again."""
    asked, raw, journal = folder / f"{name}.jsonl", folder / f"raw-{name}.jsonl", folder / "journal"
    write_jsonl(asked, requests)

    def again(work: Any) -> Any:
        while True:
            try:
                return asyncio.run(work())
            except Killed:
                continue

    submitted = again(lambda: submit.submit(asked, settings, journal))
    completed = again(lambda: poll.poll(submitted, settings, journal))
    again(lambda: collect.collect(asked, completed, settings, journal, raw))
    return list(read_jsonl(raw, RawLine))


REQUESTS = [request(number) for number in range(5)]
