"""Parts as jobs of a provider's batch API, each paid for once whatever happens.

A job is written down before the provider hears of it (its intent, with the keys of its requests),
and its id right after. Where a process was killed in between, the next one first finds out what
became of that job; only then does it intend another. So at most one intent is open, and a remote
job that nobody claims can only be that intent's or a stranger's. Names derive from the keys; where
a provider takes no name, the keys of a job's results prove whose it is, and a wrong claim is given
up again. A request that is in an open job is never put into another one: parts that share requests
share the job.

Results are kept as they came before they are read, until the journal has all of them. One that
cannot be read is read again by each start and never bought again; what a job that was cancelled at
the provider leaves unanswered waits until the user has it sent again.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import re
import sys
import time
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import AbstractContextManager
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

import tenacity

from ..backends.client import (
    BatchClient,
    BatchStatus,
    InferenceClient,
    RequestError,
    UnreadableReplyError,
)
from ..backends.ledger import JobSpending
from ..core.errors import UserError
from ..core.files import atomic_path
from ..core.locks import locked
from ..core.progress import Progress
from ..core.records import Completion, Record, Request
from .claims import Claims, given_up
from .job_folder import LINES, RESULTS, Job, JobFolder, job_folders
from .journal import Journal, journal_folder
from .part import Part

log = logging.getLogger(__name__)

Result = TypeVar("Result")

_DIGEST = re.compile(r"[0-9a-f]{64}")

_FIRST_PAUSE_S = 2.0
_PAUSE_GROWTH = 1.5
_UNREACHABLE_AFTER_S = 3600.0
_WARN_OF_WAITING_AFTER_S = 2 * 3600.0
_GIVE_UP_WAITING_AFTER_S = 26 * 3600.0  # all providers end jobs by themselves before that
_QUEUE_PAUSE_S = 300.0
_CREATE_TRIES = 6
_RESULT_TRIES = 4

_HOW_TO_RESEND = (
    "Nothing of it is sent again by itself; `snakemake jobs` shows how to have that done"
)


class Batches:
    """All jobs of one identity (provider and model), kept beside its journal.

    Args:
        client: the provider; opened.
        journal_root: folder of all journals.
        longest_pause_s: longest time between two looks at a running job.
        spending: writes down what jobs cost, and stops where the budget is reached.
    """

    def __init__(
        self,
        client: BatchClient,
        journal_root: Path,
        *,
        longest_pause_s: float,
        spending: JobSpending | None = None,
    ) -> None:
        self._client = client
        self._root = journal_root
        self._engine = client.identity()["engine"]
        self._jobs = JobFolder(journal_folder(journal_root, client.identity()) / "jobs")
        self._longest_pause_s = longest_pause_s
        self._spending = spending

    async def submit(self, part: Part) -> list[Job]:
        """See to it that every unanswered request of a part is in a job.

        Requests that another process sends one by one are waited for.

        Returns:
            The jobs that hold them: new ones, and open ones that other parts have submitted.

        Raises:
            UserError: the provider refuses a job, or cannot be reached, or the budget is reached.
        """
        self._jobs.path.mkdir(parents=True, exist_ok=True)
        claims = Claims(part.journal.folder)
        while True:
            with self._submitting():
                await self._resolve()
                for job in self._jobs.jobs():
                    if job.collected:
                        self._settle(job, part.journal)
                with claims.claim([digest for digest, _ in part.unanswered()]) as of_others:
                    jobs, waited_for = await self._submit_all_but(of_others, part)
            if not waited_for:
                return jobs
            log.info("%s: the rest is being sent by another process; waiting", part.name)
            await given_up(waited_for)

    async def _submit_all_but(
        self, of_others: Mapping[str, Path], part: Part
    ) -> tuple[list[Job], set[Path]]:
        """Submit what no other process has claimed.

        Returns:
            The jobs that hold the part's requests, and the locks of claims on the others.
        """
        part.look_up()
        part.read_kept(self._client)
        self.recall(part)
        wanted = {digest for digest, _ in part.unanswered()}
        jobs = []
        for job in self._jobs.jobs():
            if job.collected or job.id is None:
                continue
            keys = self._jobs.keys(job.name)
            if not wanted.isdisjoint(keys):
                jobs.append(job)
                wanted -= keys
        for keys in self._spool(part, wanted - of_others.keys()):
            self._reserve(self._jobs.name_for(keys), keys, part)
            jobs.append(await self._create(self._intend(keys)))
        return jobs, {of_others[digest] for digest in wanted & of_others.keys()}

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
                f"{job.name}: its state cannot be read; the job continues at the provider",
            )
            log.info("%s", _progress(job, status))
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
                    f"{waited / 3600:.0f} hours. If this model does not run in batch jobs, cancel "
                    "the job (`snakemake jobs` shows how) and set use_batch_api: false."
                )
            await asyncio.sleep(pause)
            pause = min(pause * _PAUSE_GROWTH, self._longest_pause_s)

    async def finish(self, ends: Sequence[EndedJob], part: Part, retries: int) -> None:
        """Bring the results of a part's jobs home, and of further jobs for what is missing.

        Args:
            ends: the part's jobs.
            part: knows what is missing.
            retries: how many further jobs; those for jobs that only met a full queue, or turned
                out to be somebody else's, do not count.

        Raises:
            UserError: the results cannot be read now; they stay at the provider.
        """
        started = time.monotonic()
        while True:
            tried = [await self._collect(end, part) for end in ends]
            self.recall(part)
            retries -= all(tried)
            if retries < 0 or not any(part.unanswered()):
                return
            if any(end.queue_full for end in ends):
                if time.monotonic() - started > _GIVE_UP_WAITING_AFTER_S:
                    raise UserError(
                        f"{part.name}: the provider's queue stays full: {ends[0].message}"
                    )
                log.info("%s: the provider's queue is full; waiting", part.name)
                await asyncio.sleep(min(_QUEUE_PAUSE_S, 5 * self._longest_pause_s))
            log.info("%s: %d requests are tried again, alone", part.name, part.missing)
            ends = [await self.wait(job) for job in await self.submit(part)]

    def recall(self, part: Part) -> None:
        """Note which of a part's requests earlier jobs keep back, so that they are not sent.

        Results that could not be read are read again, from the files that were kept.
        """
        wanted = {digest for digest, _ in part.unanswered()}
        for job in self._jobs.jobs() if wanted else ():
            if not (job.collected and job.keeps_back()):
                continue
            self._read_again(job, part, wanted)
            if job.held is not None:
                error = RequestError(_why_held(job), retryable=False)
                for key in wanted & self._jobs.keys(job.name):
                    part.fail(key, error)
                    wanted.remove(key)

    def _read_again(self, job: Job, part: Part, wanted: set[str]) -> None:
        """Read what could not be read of a job's results; take it from ``wanted``."""
        unread = wanted.intersection(job.unread)
        if not unread:
            return
        path = self._jobs.file(job.name, RESULTS)
        if not path.exists():
            gone = f"its result was kept in {path.as_posix()}, which is missing. {_HOW_TO_RESEND}"
            for key in unread:
                part.fail(key, RequestError(gone, retryable=False))
            wanted -= unread
            return
        still = set(job.unread)
        with part.journal:
            for key, result in self._results(job):
                if key not in unread:
                    continue
                unread.remove(key)
                wanted.discard(key)
                if isinstance(result, Completion):
                    part.answer(key, result)
                    still.remove(key)
                else:
                    kept = f"{result} ({path.as_posix()}). It is paid: each start reads it again"
                    part.fail(key, UnreadableReplyError(kept, ""))
        if len(still) < len(job.unread):
            self._jobs.write(job.model_copy(update={"unread": sorted(still)}))

    def _results(self, job: Job) -> Iterator[tuple[str, Completion | RequestError]]:
        """The results of a job that were kept, each with its key."""
        with self._jobs.file(job.name, RESULTS).open("rb") as stream:
            for line in stream:
                if line.strip():
                    yield self._client.read_result(line)

    def _submitting(self) -> AbstractContextManager[None]:
        """One submission at a time per provider: not all of them let us name our jobs."""
        return locked(self._root / f"{self._engine}.lock")

    async def _resolve(self) -> None:
        """Find out what became of submissions that were cut off, of all models.

        What the provider does not have is withdrawn before anything else is intended: otherwise
        a later job could be taken for it.
        """
        while True:
            known = [
                (folder, job)
                for folder in job_folders(self._root, self._engine)
                for job in folder.jobs()
                if job.address in (None, self._client.address)
            ]
            cut_off = [(folder, job) for folder, job in known if job.id is None]
            if not cut_off:
                return
            # Versions before 0.2 left several open intents, and claims that no key had proved.
            unproved = {
                job.id for _, job in known if job.address is None and not job.collected and job.id
            }
            claimed = self._ids_of_all_models() - unproved
            found = {
                job.name: await self._patiently(
                    partial(self._client.find_batch, job.intent, claimed | set(job.not_ours)),
                    tenacity.stop_after_attempt(_CREATE_TRIES),
                    f"{job.name}: whether it was submitted cannot be seen",
                )
                for _, job in cut_off
            }
            ids = [each for each in found.values() if each is not None]
            contested = next((id_ for id_ in ids if id_ in unproved or ids.count(id_) > 1), None)
            if contested is not None:
                claims = [each for each in known if each[1].id in (None, contested)]
                await self._decide(contested, claims)
                continue
            for folder, job in cut_off:
                identifier = found[job.name]
                if identifier is not None:
                    log.info("%s: found at the provider as %s", job.name, identifier)
                    folder.write(_created(job, identifier))
                    continue
                log.info("%s: it was never submitted", job.name)
                if self._spending is not None and self._spending.is_open(job.name):
                    self._spending.settle(job.name, job.requests, ())
                folder.withdraw(job)

    async def _decide(self, identifier: str, intents: Sequence[tuple[JobFolder, Job]]) -> None:
        """Wait until the keys of a remote job can be seen, and give it to the intent that has them.

        A wrong guess would be paid for; waiting is not.
        """
        names = ", ".join(job.name for _, job in intents)
        log.info("%s may belong to any of %s: waiting for its results' keys", identifier, names)
        first = intents[0][1]
        end = await self.wait(first.model_copy(update={"id": identifier}))
        keys: set[str] = set()
        if end.state in ("ended", "cancelled"):
            seen_in = self._jobs.path / f"{first.name}.seen"
            keys = await self._download(_created(first, identifier), seen_in)
            seen_in.unlink()
        for folder, job in intents:
            if not keys.isdisjoint(folder.keys(job.name)):
                folder.write(_created(job, identifier))
            elif keys or job.id is None:  # a job that is gone stays with the one that claims it
                not_ours = [*job.not_ours, identifier]
                folder.write(job.model_copy(update={"id": None, "not_ours": not_ours}))

    async def _collect(self, end: EndedJob, part: Part) -> bool:
        """Bring a job's results home: answers into the journal, failures to the part.

        Results that were brought home before are not asked for again.

        Returns:
            Whether its requests were tried.
        """
        with locked(self._jobs.file(end.job.name, "lock")):
            job = self._jobs.find(end.job.name)
            if job is None or job.id != end.job.id:  # that was somebody else's job
                return False
            if job.collected:
                part.look_up()
            elif end.state in ("ended", "cancelled"):
                results = self._jobs.file(job.name, RESULTS)
                if not results.exists():
                    await self._download(job, results)
                if self._holds_others(job):
                    self._give_up(job, part)
                    results.unlink()
                    return False
                job = self._bring_home(job, end, part)
            else:
                job = self._never_came(job, end, part)
            self._settle(job, part.journal)
        return not end.queue_full

    async def _download(self, job: Job, path: Path) -> set[str]:
        """Keep a job's results as they come, whole or not at all, and return their keys.

        Raises:
            UserError: they cannot be read, or are fewer than the provider counts. Where it counts
                none, fewer than there are requests.
        """

        async def download() -> set[str]:
            with atomic_path(path) as temporary:
                results = await self._client.batch_results(_id(job))
                keys: set[str] = set()
                with temporary.open("wb") as stream:
                    async for line in results.lines:
                        stream.write(line + b"\n")
                        keys.add(self._client.read_result(line)[0])
                keys.discard("")
                expected = job.requests if results.expected is None else results.expected
                if len(keys) < expected and not job.resend:
                    raise RequestError(
                        f"{job.id}: {expected} results are expected, {len(keys)} came. "
                        f"{_HOW_TO_RESEND}",
                        retryable=True,
                    )
            return keys

        return await self._patiently(
            download,
            tenacity.stop_after_attempt(_RESULT_TRIES),
            f"{job.name}: its results cannot be read",
        )

    def _holds_others(self, job: Job) -> bool:
        """Whether a remote job has results, and none to a request of the job it was taken for."""
        mine = self._jobs.keys(job.name)
        keys = (key for key, _ in self._results(job) if key)
        first = next(keys, None)
        return first is not None and first not in mine and mine.isdisjoint(keys)

    def _bring_home(self, job: Job, end: EndedJob, part: Part) -> Job:
        """Read the results that were kept. Returns the job, collected."""
        keys = self._jobs.keys(job.name)
        here = part.journal.find(keys)
        missing = set(keys)
        unread: set[str] = set()
        journaled = 0
        stopped = end.state == "cancelled"
        with part.journal:
            for key, result in self._results(job):
                if not key:
                    log.warning("%s: a result cannot be read: %s", job.name, result)
                    continue
                if key not in missing:
                    what = "twice" if key in keys else "though it was never asked"
                    log.warning("%s: a result came %s: %s", job.name, what, key)
                    continue
                missing.remove(key)
                if key in here:
                    continue
                if isinstance(result, UnreadableReplyError):
                    log.warning("%s: %s: %s", job.name, key, result)
                    unread.add(key)
                elif not isinstance(result, RequestError):
                    part.answer(key, result)
                    journaled += result.reply is not None
                elif not (stopped and result.retryable):
                    part.fail(key, result)
        if not stopped:
            for key in missing - here.keys():
                part.fail(key, RequestError("no result came back for it", retryable=True))
        held = "cancelled" if stopped else None
        collected = self._collected(job, unread=sorted(unread), held=held)
        if journaled == len(keys):
            self._jobs.file(job.name, RESULTS).unlink(missing_ok=True)  # the journal has it all
        return collected

    def _never_came(self, job: Job, end: EndedJob, part: Part) -> Job:
        """Note that a job failed, or that its results are gone. Returns the job, collected."""
        if end.state == "gone":
            return self._collected(job, held="gone")
        why = f"the job is {end.word}: {end.message or 'no reason given'}"
        for key in self._jobs.keys(job.name):
            part.fail(key, RequestError(why, retryable=True))
        return self._collected(job)

    def _collected(self, job: Job, **changes: Any) -> Job:
        collected = job.model_copy(update={"collected": True, **changes})
        self._jobs.write(collected)
        self._jobs.file(job.name, LINES).unlink(missing_ok=True)
        return collected

    def _give_up(self, job: Job, part: Part) -> None:
        """Note that a remote job is not the one it was taken for, and give it to whose it is.

        Answers that nobody is known to wait for are kept: an intent may have been withdrawn.
        """
        log.warning("%s: %s turned out to hold other requests", job.name, job.id)
        unclaimed = {key for key, _ in self._results(job) if _DIGEST.fullmatch(key)}
        with self._submitting():
            for folder in job_folders(self._root, self._engine):
                for other in folder.jobs():
                    asked = unclaimed & folder.keys(other.name)
                    if asked - Journal(folder.journal).find(asked).keys():
                        log.info("%s: found at the provider as %s", other.name, job.id)
                        folder.write(_created(other, _id(job)))
                    unclaimed -= asked
            unclaimed -= part.journal.find(unclaimed).keys()
            with part.journal:
                for key, result in self._results(job):
                    if key in unclaimed and isinstance(result, Completion):
                        part.journal.append(key, result)
            seen = [*job.not_ours, _id(job)]
            released = {"id": None, "submitted_at": None, "not_ours": seen}
            self._jobs.write(job.model_copy(update=released))

    def _reserve(self, name: str, keys: Collection[str], part: Part) -> None:
        """Set aside what a job may cost, before it is even intended."""
        if self._spending is None:
            return
        requests = (request for key, request in part.unanswered() if key in keys)
        try:
            self._spending.reserve(name, requests)
        except UserError:
            self._jobs.file(name, LINES).unlink(missing_ok=True)
            raise

    def _settle(self, job: Job, journal: Journal) -> None:
        """Write down what a collected job has cost, if this experiment pays for it.

        Results that cannot be read, and those that the provider has deleted, are paid as well.
        """
        if self._spending is None or not self._spending.is_open(job.name):
            return
        answers = journal.find(self._jobs.keys(job.name)).values()
        lost = job.requests - len(answers) if job.held == "gone" else len(job.unread)
        self._spending.settle(job.name, job.requests, map(journal.read, answers), lost=lost)

    async def _create(self, job: Job) -> Job:
        """Create a job at the provider, once, and write down its id."""
        claimed = self._ids_of_all_models()
        lines = self._jobs.file(job.name, LINES)
        was_sent = False  # perhaps: the outcome of a try that fails is not known

        async def create() -> str:
            nonlocal was_sent
            found = await self._client.find_batch(job.intent, claimed) if was_sent else None
            if found is not None:
                log.info("%s: found at the provider as %s", job.name, found)
                return found
            was_sent = True
            return await self._client.submit_batch(job.intent, lines)

        try:
            identifier = await self._patiently(
                create,
                _stop_creating,
                f"{job.name}: the job cannot be submitted",
            )
        except UserError as error:
            refused = isinstance(error.__cause__, RequestError) and not error.__cause__.retryable
            if refused and self._spending is not None:
                self._spending.settle(job.name, job.requests, ())
            raise
        created = _created(job, identifier)
        self._jobs.write(created)
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
            raise UserError(f"{problem}: {error}. Nothing is lost: run again to resume.") from error
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
            spool = self._jobs.path / f"spool-{os.getpid()}.tmp"
            with spool.open("wb") as stream:
                while following is not None and self._fits(keys, size + len(following[1])):
                    digest, line = following
                    keys.add(digest)
                    size += stream.write(line)
                    following = next(lines, None)
                stream.flush()
                os.fsync(stream.fileno())
            spool.replace(self._jobs.file(self._jobs.name_for(keys), LINES))
            yield keys

    def _fits(self, keys: Collection[str], size: int) -> bool:
        """Whether one more line still goes into a job; a single one always does."""
        limit = self._client.max_batch_requests
        return not keys or (len(keys) < limit and size <= self._client.max_batch_bytes)

    def _line(self, digest: str, request: Request) -> bytes:
        line = self._client.batch_line(digest, request)
        return json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"

    def _intend(self, keys: Collection[str]) -> Job:
        """Write down a job that is about to be created. Its lines are spooled already."""
        job = Job(
            name=self._jobs.name_for(keys),
            requests=len(keys),
            intended_at=_now(),
            address=self._client.address,
        )
        self._jobs.intend(job, keys)
        return job

    def _ids_of_all_models(self) -> set[str]:
        """The jobs at this provider that are known here."""
        folders = job_folders(self._root, self._engine)
        return {job.id for folder in folders for job in folder.jobs() if job.id is not None}


class Submitted(Record):
    """A part's requests are at the provider; ``jobs`` is empty if the journal had them all."""

    request_digest: str
    requests: int
    answered_before: int
    jobs: list[Job]


class EndedJob(Record):
    """A job that has come to its end, with its provider's word for it and its counts."""

    job: Job
    state: Literal["ended", "cancelled", "failed", "gone"]
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
        yield Batches(
            cast(BatchClient, client),
            journal_root,
            longest_pause_s=longest_pause_s,
            spending=spending,
        )


def _stop_creating(state: tenacity.RetryCallState) -> bool:
    """A queue that is full is waited for; other troubles are tried a few times."""
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, RequestError) and error.overloaded:
        return (state.seconds_since_start or 0) > _GIVE_UP_WAITING_AFTER_S
    return state.attempt_number >= _CREATE_TRIES


@contextlib.contextmanager
def left_running() -> Iterator[None]:
    """Turn Ctrl+C into the message that remote jobs continue."""
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(
            "interrupted: submitted jobs continue at the provider; run the same command "
            "again to wait for them and fetch their results"
        )


def _id(job: Job) -> str:
    assert job.id is not None, job.name  # noqa: S101 - only created jobs are looked at
    return job.id


def _created(job: Job, identifier: str) -> Job:
    found = {"id": identifier, "submitted_at": _now(), "collected": False}
    return job.model_copy(update=found)


def _why_held(job: Job) -> str:
    what = (
        "was cancelled at the provider"
        if job.held == "cancelled"
        else "is not at the provider any more: it was deleted, or its results were"
    )
    return f"the job {job.id} {what}. {_HOW_TO_RESEND}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _progress(job: Job, status: BatchStatus) -> Progress:
    return Progress(
        name=job.name,
        done=status.done or 0,
        total=status.total or job.requests,
        failed=status.failed or 0,
        note=status.word,
    )
