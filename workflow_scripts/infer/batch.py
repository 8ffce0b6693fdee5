"""Parts as jobs of a provider's batch API, each paid for once whatever happens.

A job is written down before the provider hears of it (its intent, with the keys of its requests),
and its id right after. Names derive from the keys, so a process that was killed in between finds
the job at the provider instead of submitting it again. A request that is in an open job is never
put into another one: parts that share requests share the job.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

import tenacity
from tqdm import tqdm

from ..costs.spending import JobSpending
from ..errors import UserError
from ..files import read_settings, read_text, write_text
from ..records import Record, Request
from .client import BatchClient, BatchIntent, BatchStatus, InferenceClient, RequestError
from .journal import Journal, journal_folder
from .locks import locked
from .part import Part

log = logging.getLogger(__name__)

Result = TypeVar("Result")

_FIRST_PAUSE_S = 2.0
_PAUSE_GROWTH = 1.5
_UNREACHABLE_AFTER_S = 3600.0
_WARN_OF_WAITING_AFTER_S = 2 * 3600.0
_GIVE_UP_WAITING_AFTER_S = 26 * 3600.0  # all providers end jobs by themselves before that
_QUEUE_PAUSE_S = 300.0
_CREATE_TRIES = 6
_RESULT_TRIES = 4


class Job(Record):
    """What is known here of one remote job. Times are ISO 8601, in UTC."""

    name: str
    requests: int
    intended_at: str
    id: str | None = None
    submitted_at: str | None = None
    collected: bool = False

    @property
    def intent(self) -> BatchIntent:
        """What was to be created."""
        return BatchIntent(self.name, self.requests, datetime.fromisoformat(self.intended_at))


class Batches:
    """All jobs of one identity (provider and model), kept beside its journal.

    Args:
        client: the provider; opened.
        folder: where the jobs are written down.
        longest_pause_s: longest time between two looks at a running job.
        spending: writes down what jobs cost, and stops where the budget is reached.
    """

    def __init__(
        self,
        client: BatchClient,
        folder: Path,
        *,
        longest_pause_s: float,
        spending: JobSpending | None = None,
    ) -> None:
        self._client = client
        self._engine = client.identity()["engine"]
        self._folder = folder
        self._longest_pause_s = longest_pause_s
        self._spending = spending

    async def submit(self, part: Part) -> list[Job]:
        """See to it that every unanswered request of a part is in a job.

        Returns:
            The jobs that hold them: new ones, and open ones that other parts have submitted.

        Raises:
            UserError: the provider refuses a job, or cannot be reached, or the budget is reached.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        # One submission at a time per provider: not all of them let us name our jobs.
        with locked(self._folder.parent.parent / f"{self._engine}.lock"):
            for job in self._jobs():
                if job.collected:
                    self._settle(job, part.journal)
            wanted = {digest for digest, _ in part.unanswered()}
            jobs = []
            for job in self._open_jobs():
                keys = self._keys(job)
                if wanted.isdisjoint(keys):
                    continue
                if job.id is None:  # an earlier process was cut off while it submitted the job
                    self._reserve(job.name, keys, part, intended=True)
                    jobs.append(await self._create(job))
                else:
                    jobs.append(job)
                wanted -= keys
            for keys in self._spool(part, wanted):
                self._reserve(self._name(keys), keys, part)
                jobs.append(await self._create(self._intend(keys)))
        return jobs

    async def wait(self, job: Job) -> EndedJob:
        """Wait until a job has come to its end, and show how far it is.

        Raises:
            UserError: the provider cannot be reached any more, or the job never starts.
        """
        pause, started = min(_FIRST_PAUSE_S, self._longest_pause_s), time.monotonic()
        warned = False
        while True:
            status = await self._patiently(
                partial(self._client.batch_status, _id(job)),
                tenacity.stop_after_delay(_UNREACHABLE_AFTER_S),
                f"{job.name}: its state cannot be read; the job goes on at the provider",
            )
            log.info("%s", _progress(job, status, time.monotonic() - started))
            if status.state != "running":
                return EndedJob(job=job, ended_at=_now(), **asdict(status))
            waited = time.monotonic() - started
            if status.done == 0 and waited > _WARN_OF_WAITING_AFTER_S and not warned:
                warned = True
                log.warning(
                    "%s has not begun after %.0f hours (%s). Does this model run in batch jobs? "
                    "If not, set use_batch_api: false.",
                    job.name, waited / 3600, status.word,
                )  # fmt: skip
            if waited > _GIVE_UP_WAITING_AFTER_S:
                raise UserError(
                    f"{job.name} ({job.id}) is still {status.word!r} after "
                    f"{waited / 3600:.0f} hours. If this model does not run in batch jobs, delete "
                    "the job at the provider and set use_batch_api: false."
                )
            await asyncio.sleep(pause)
            pause = min(pause * _PAUSE_GROWTH, self._longest_pause_s)

    async def collect(self, end: EndedJob, part: Part) -> None:
        """Bring a job's results home: answers into the journal, failures to the part.

        Results that were brought home before are not asked for again.

        Raises:
            UserError: the results cannot be read now; they stay at the provider.
        """
        job = end.job
        keys = self._keys(job)
        with locked(self._folder / f"{job.name}.lock"):
            if self._read(job.name).collected:
                part.look_up()
                self._settle(job, part.journal)
                return
            if end.state == "ended":
                await self._patiently(
                    partial(self._bring_home, job, keys, part),
                    tenacity.stop_after_attempt(_RESULT_TRIES),
                    f"{job.name}: its results cannot be read",
                )
            else:
                why = f"the job is {end.word}: {end.message or 'no reason given'}"
                for key in keys:
                    part.fail(key, RequestError(why, retryable=True))
            self._write(job.model_copy(update={"collected": True}))
            self._settle(job, part.journal)
            self._path(job.name, "jsonl").unlink(missing_ok=True)

    async def run_again(self, part: Part, tries: int) -> None:
        """Put what is missing of a part into further jobs and bring their results home.

        Args:
            part: knows what is missing.
            tries: how often; jobs that only met a full queue do not count.
        """
        started = time.monotonic()
        while tries > 0 and any(part.unanswered()):
            log.info("%s: %d requests are tried again, alone", part.name, part.missing)
            ends = [await self.wait(job) for job in await self.submit(part)]
            for end in ends:
                await self.collect(end, part)
            if not any(end.queue_full for end in ends):
                tries -= 1
                continue
            if time.monotonic() - started > _GIVE_UP_WAITING_AFTER_S:
                raise UserError(f"{part.name}: the provider's queue stays full: {ends[0].message}")
            log.info("%s: the provider's queue is full; waiting", part.name)
            await asyncio.sleep(min(_QUEUE_PAUSE_S, 5 * self._longest_pause_s))

    def _reserve(
        self, name: str, keys: Collection[str], part: Part, *, intended: bool = False
    ) -> None:
        """Set aside what a job may cost, before it is even intended.

        One that is intended already was allowed then, and the provider may have it.
        """
        if self._spending is None:
            return
        requests = (request for key, request in part.unanswered() if key in keys)
        try:
            self._spending.reserve(name, requests, allowed=intended)
        except UserError:
            self._path(name, "jsonl").unlink(missing_ok=True)
            raise

    def _settle(self, job: Job, journal: Journal) -> None:
        """Write down what a collected job has cost, if this experiment pays for it."""
        if self._spending is not None and self._spending.is_open(job.name):
            answers = journal.find(self._keys(job)).values()
            self._spending.settle(job.name, job.requests, map(journal.read, answers))

    async def _bring_home(self, job: Job, keys: Collection[str], part: Part) -> None:
        here = part.journal.find(keys)
        missing = set(keys)
        with part.journal:
            async for key, result in self._client.batch_results(_id(job)):
                if not key:
                    log.warning("%s: a result cannot be read: %s", job.name, result)
                    continue
                if key not in missing:
                    what = "twice" if key in keys else "though it was never asked"
                    log.warning("%s: a result came %s: %s", job.name, what, key)
                    continue
                missing.remove(key)
                if isinstance(result, RequestError):
                    part.fail(key, result)
                elif key not in here:
                    part.answer(key, result)
        for key in missing - here.keys():
            part.fail(key, RequestError("no result came back for it", retryable=True))

    async def _create(self, job: Job) -> Job:
        """Find the job at the provider, or create it there; write down its id."""
        claimed = self._ids_of_all_models()
        lines = self._path(job.name, "jsonl")

        async def find_or_create() -> str:
            found = await self._client.find_batch(job.intent, claimed)
            if found is not None:
                log.info("%s: found at the provider as %s", job.name, found)
                return found
            return await self._client.submit_batch(job.intent, lines)

        try:
            identifier = await self._patiently(
                find_or_create,
                _stop_creating,
                f"{job.name}: the job cannot be submitted",
            )
        except UserError as error:
            refused = isinstance(error.__cause__, RequestError) and not error.__cause__.retryable
            if refused and self._spending is not None:
                self._spending.settle(job.name, job.requests, ())
            raise
        created = job.model_copy(update={"id": identifier, "submitted_at": _now()})
        self._write(created)
        log.info("%s: %d requests submitted as %s", job.name, job.requests, identifier)
        return created

    async def _patiently(
        self, call: Callable[[], Awaitable[Result]], stop: Any, problem: str
    ) -> Result:
        retry = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(
                lambda error: isinstance(error, RequestError) and error.retryable
            ),
            stop=stop,
            wait=tenacity.wait_random_exponential(multiplier=0.5, max=self._longest_pause_s),
            reraise=True,
        )
        try:
            result: Result = await retry(call)
        except RequestError as error:
            raise UserError(
                f"{problem}: {error}. Nothing is lost: start again to go on."
            ) from error
        return result

    def _spool(self, part: Part, wanted: Collection[str]) -> Iterator[set[str]]:
        """Write the provider's input for the wanted requests, cut where a job would be too big.

        Yields the keys of each file, whose name is made of them.
        """
        lines = (
            (digest, self._line(digest, request))
            for digest, request in part.unanswered()
            if digest in wanted
        )
        following = next(lines, None)
        while following is not None:
            keys: set[str] = set()
            size = 0
            spool = self._folder / f"spool-{os.getpid()}.tmp"
            with spool.open("wb") as stream:
                while following is not None and self._fits(keys, size + len(following[1])):
                    digest, line = following
                    keys.add(digest)
                    size += stream.write(line)
                    following = next(lines, None)
                stream.flush()
                os.fsync(stream.fileno())
            spool.replace(self._path(self._name(keys), "jsonl"))
            yield keys

    def _fits(self, keys: Collection[str], size: int) -> bool:
        """Whether one more line still goes into a job; a single one always does."""
        limit = self._client.max_batch_requests
        return not keys or (len(keys) < limit and size <= self._client.max_batch_bytes)

    def _line(self, digest: str, request: Request) -> bytes:
        line = self._client.batch_line(digest, request)
        return json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"

    def _name(self, keys: Collection[str]) -> str:
        """The job's name: of its keys, and of how many such jobs have ended before."""
        text = "".join(sorted(keys))
        for attempt in range(1, 10_000):
            name = f"assay-{hashlib.sha256(f'{attempt}{text}'.encode()).hexdigest()[:24]}"
            if not self._path(name, "json").exists() or not self._read(name).collected:
                return name
        raise AssertionError("thousands of jobs for the same requests")

    def _intend(self, keys: Collection[str]) -> Job:
        """Write down a job that is about to be created. Its lines are spooled already."""
        job = Job(name=self._name(keys), requests=len(keys), intended_at=_now())
        write_text(self._path(job.name, "keys"), "\n".join(sorted(keys)) + "\n")
        self._write(job)
        return job

    def _ids_of_all_models(self) -> set[str]:
        """The jobs at this provider that are known here."""
        jobs = self._folder.parent.parent.glob(f"{self._engine}-*/jobs/assay-*.json")
        return {job.id for job in (read_settings(path, Job) for path in jobs) if job.id}

    def _jobs(self) -> list[Job]:
        return [self._read(path.stem) for path in sorted(self._folder.glob("assay-*.json"))]

    def _open_jobs(self) -> list[Job]:
        return [job for job in self._jobs() if not job.collected]

    def _keys(self, job: Job) -> set[str]:
        return set(read_text(self._path(job.name, "keys")).split())

    def _read(self, name: str) -> Job:
        return read_settings(self._path(name, "json"), Job)

    def _write(self, job: Job) -> None:
        write_text(self._path(job.name, "json"), job.model_dump_json(indent=2) + "\n")

    def _path(self, name: str, suffix: str) -> Path:
        return self._folder / f"{name}.{suffix}"


class Submitted(Record):
    """A part's requests are at the provider; ``jobs`` is empty if the journal had them all."""

    request_digest: str
    requests: int
    answered_before: int
    jobs: list[Job]


class EndedJob(Record):
    """A job that has come to its end, with its provider's word for it and its counts."""

    job: Job
    state: Literal["ended", "failed", "gone"]
    word: str
    done: int | None
    failed: int | None
    total: int | None
    message: str
    queue_full: bool
    ended_at: str


class Completed(Record):
    """All jobs of a part have come to their end."""

    jobs: list[EndedJob]


@contextlib.asynccontextmanager
async def opened(
    client: InferenceClient,
    journal_root: Path,
    longest_pause_s: float,
    spending: JobSpending | None = None,
) -> AsyncIterator[Batches]:
    """The jobs of a client, which is open as long."""
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(client.close)
        await client.open()
        folder = journal_folder(journal_root, client.identity()) / "jobs"
        yield Batches(
            cast(BatchClient, client), folder, longest_pause_s=longest_pause_s, spending=spending
        )


def submitted_keys(folder: Path) -> set[str]:
    """The keys of all requests in jobs that are not collected yet, from the folder of jobs."""
    return {
        key
        for path in folder.glob("assay-*.json")
        if not read_settings(path, Job).collected
        for key in read_text(path.with_suffix(".keys")).split()
    }


def _stop_creating(state: tenacity.RetryCallState) -> bool:
    """A queue that is full is waited for; other troubles are tried a few times."""
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, RequestError) and error.overloaded:
        return (state.seconds_since_start or 0) > _GIVE_UP_WAITING_AFTER_S
    return state.attempt_number >= _CREATE_TRIES


@contextlib.contextmanager
def left_running() -> Iterator[None]:
    """Turn Ctrl+C into the news that remote jobs go on."""
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(
            "interrupted: jobs that are submitted go on at the provider; run the same command "
            "again to wait for them and fetch their results"
        )


def _id(job: Job) -> str:
    assert job.id is not None, job.name  # noqa: S101 - only created jobs are looked at
    return job.id


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _progress(job: Job, status: BatchStatus, seconds: float) -> str:
    total = status.total or job.requests
    meter = tqdm.format_meter(
        status.done or 0, total, seconds, ncols=100, prefix=job.name, unit="req",
        postfix=status.word,
    )  # fmt: skip
    failed = f", {status.failed} failed" if status.failed else ""
    return f"{meter}{failed}"
