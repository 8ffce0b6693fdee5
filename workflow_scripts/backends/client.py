"""The seam between Assay and whatever answers: one module per backend, made here from config."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import dotenv

from ..core.records import Completion, Decoding, Message, Request, Usage
from ..core.registry import load
from .reuse import Reuse
from .settings import BackendSettings


class RequestError(Exception):
    """A request got no answer.

    Args:
        message: what happened, in words for the user; holds no key.
        retryable: it may pass, so the same request is sent again after a while.
        wait_s: how long the server asks to be left alone, in seconds.
        overloaded: the server is pushing back; fewer requests at once would help.
        may_be_charged: the server may have answered it, and charge for it.
        usage: the tokens that it reports all the same.
        timed_out: no reply came in time. The server may still be at work on it, or have a long
            queue.
        away: there is no server at the moment. It is waited for before the next try.
        sent: it reached the server.
    """

    def __init__(
        self,
        message: str,
        *,
        retryable: bool,
        wait_s: float = 0.0,
        overloaded: bool = False,
        may_be_charged: bool = False,
        usage: Usage | None = None,
        timed_out: bool = False,
        away: bool = False,
        sent: bool = True,
    ) -> None:
        super().__init__(message)
        self.retryable = retryable
        self.wait_s = wait_s
        self.overloaded = overloaded
        self.may_be_charged = may_be_charged
        self.usage = usage
        self.timed_out = timed_out
        self.away = away
        self.sent = sent


class NoAnswerError(ValueError):
    """What was received whole is not an answer that this version can read.

    Args:
        problem: what is wrong with it.
        usage: the tokens that it reports, as far as they can be read.
    """

    def __init__(self, problem: str, usage: Usage | None = None) -> None:
        super().__init__(problem)
        self.usage = usage


class UnreadableReplyError(RequestError):
    """A reply came whole and with a status of success, but no answer can be read from it.

    It may have been paid for. So it is kept as it came, and read again at the next start by the
    reader that is installed then; its request is not sent again by itself.

    Args:
        message: what is wrong with it, in words for the user; holds no key.
        reply: the reply as it came, without the key.
        usage: the tokens that it reports, as far as they can be read.
        latency_s: wall time of the request in seconds; None for a line of a batch job's results.
    """

    def __init__(
        self,
        message: str,
        reply: str,
        *,
        usage: Usage | None = None,
        latency_s: float | None = None,
    ) -> None:
        super().__init__(message, retryable=False, may_be_charged=True, usage=usage)
        self.reply = reply
        self.latency_s = latency_s


class InferenceClient(Protocol):
    """Answers one chat at a time; many may be in flight at once in one event loop.

    Making a client touches neither network nor model. Before anything else it is opened.
    """

    max_concurrent: int
    """Requests that it can make use of at once."""

    async def open(self) -> None:
        """Find out who answers: see that a local server has the model.

        Raises:
            UserError: it cannot answer; the message says what to do.
        """
        ...

    async def check(self) -> str:
        """See, without paying for an answer, whether key, address and model are right.

        Returns:
            What was found, in one line.

        Raises:
            UserError: what is wrong, and what to do.
        """
        ...

    def identity(self) -> Mapping[str, str]:
        """What decides the answers besides the request itself; part of the journal's digest.

        Known at once, or where a server tells what is behind a model's name, after `check`.
        """
        ...

    async def generate(self, messages: Sequence[Message], decoding: Decoding) -> Completion:
        """Answer one chat. A model in this process is loaded for the first one.

        Raises:
            RequestError: there is no answer.
            UserError: there is none to any request; the message says what to do. Where this
                request may have been charged all the same, its cause is a `RequestError`.
        """
        ...

    async def close(self) -> None:
        """Let go of connections and memory."""
        ...


@runtime_checkable
class ReplyReader(Protocol):
    """A client whose server sends replies that can be kept and read again."""

    def read_reply(
        self,
        reply: str,
        messages: Sequence[Message],
        decoding: Decoding,
        latency_s: float | None = None,
    ) -> Completion:
        """Read the answer to a chat from a reply as it came.

        Raises:
            RequestError: it holds none; `UnreadableReplyError` where it may hold one.
        """
        ...


@runtime_checkable
class LocalClient(Protocol):
    """What the clients of a user's own models say besides."""

    @property
    def context_length(self) -> int | None:
        """Longest prompt with its answer in tokens, where it is known. Ask after `check`."""
        ...

    def reuse(self) -> Reuse:
        """Which journaled answers count. Ask after `check`."""
        ...


@dataclass(frozen=True)
class BatchIntent:
    """A job that is to exist at the provider. It is on disk before the provider hears of it.

    ``name`` derives from the digests of the job's ``requests`` requests; ``at`` is when the
    intent was written.
    """

    name: str
    requests: int
    at: datetime


@dataclass(frozen=True)
class BatchStatus:
    """A remote job as its provider describes it.

    ``ended`` jobs have results, all or some; ``cancelled`` ones those that were ready by then;
    ``failed`` ones never ran; ``gone`` ones are deleted, or their results are. ``word`` is the
    provider's own. Counts are ``None`` where it gives none. ``queue_full`` says that a job failed
    only because too much else is waiting there.
    """

    state: Literal["running", "ended", "cancelled", "failed", "gone"]
    word: str
    done: int | None = None
    failed: int | None = None
    total: int | None = None
    message: str = ""
    queue_full: bool = False


@dataclass(frozen=True)
class BatchResults:
    """An ended job's results as they arrive: lines in any order, and how many at least.

    ``expected`` is None where the provider does not count them: then a result of each request is.
    """

    expected: int | None
    lines: AsyncIterator[bytes]


@dataclass(frozen=True)
class ListedBatch:
    """A job in its provider's list. ``requests`` is None where the list does not count them."""

    id: str
    word: str
    created_at: datetime
    is_running: bool
    requests: int | None = None


class BatchClient(InferenceClient, Protocol):
    """A client whose provider also takes many requests as one job."""

    max_batch_requests: int
    max_batch_bytes: int

    @property
    def address(self) -> str:
        """Where the jobs are: one address, one list of jobs."""
        ...

    def batch_line(self, key: str, request: Request) -> Mapping[str, Any]:
        """One line of the provider's input; ``key`` (64 hex digits) comes back with the answer."""
        ...

    async def find_batch(self, intent: BatchIntent, claimed: Collection[str]) -> str | None:
        """The id of the job that an earlier process created for this intent, if it did.

        ``claimed`` are ids of jobs that belong to other intents. A provider that gives jobs no
        name of ours may return another intent's job: only its results' keys tell.
        """
        ...

    async def submit_batch(self, intent: BatchIntent, lines: Path) -> str:
        """Create the job from a file of lines and return its id. May be repeated after a kill."""
        ...

    async def batch_status(self, job_id: str) -> BatchStatus:
        """How far the job is."""
        ...

    async def batch_results(self, job_id: str) -> BatchResults:
        """What there is of an ended job's results."""
        ...

    def read_result(self, line: bytes) -> tuple[str, Completion | RequestError]:
        """Key and result in one line of the results, or an `UnreadableReplyError`; never raises.

        The key is empty where the line is no whole JSON, or names none: then it is no result.
        """
        ...

    def list_batches(self) -> AsyncIterator[ListedBatch]:
        """All jobs of the account, whoever created them."""
        ...

    async def cancel_batch(self, job_id: str) -> None:
        """Ask for a job's end. What is answered by then may be paid and kept."""
        ...


class BatchExecutor(Protocol):
    """Answers a whole part."""

    def run_jsonl(self, input_path: Path, output_path: Path, max_concurrent: int) -> None:
        """Write the raw part of the requests in ``input_path``, in their order."""
        ...


def make_client(settings: BackendSettings) -> InferenceClient:
    """The client of a backend.

    Raises:
        UserError: its key is missing.
    """
    dotenv.load_dotenv(Path(".env"))  # keys, where a stage is run by hand
    declared = settings.declaration
    made: InferenceClient = load(declared.client, f"the client of {declared.name!r}")(settings)
    return made
