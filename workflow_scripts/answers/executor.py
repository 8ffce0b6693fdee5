"""Answers a part request by request: from the journal where it can, from the client otherwise."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import tenacity

from ..backends.client import InferenceClient, LocalClient, RequestError, UnreadableReplyError
from ..backends.http import LONGEST_WAIT_S, HttpError, is_away
from ..backends.ledger import RequestSpending, Reservation
from ..backends.reuse import Reuse
from ..backends.table import BACKENDS
from ..core.errors import UserError
from ..core.progress import Progress
from ..core.records import Completion, Request, Usage
from .claims import Claims, given_up
from .concurrency import Concurrency
from .job_folder import submitted_keys
from .part import Part
from .rate_limits import RateLimits

log = logging.getLogger(__name__)

_PROGRESS_EVERY_S = 2.0
PATIENCE_S = 600.0
"""How long a request is tried while the server has too many, or takes no connection."""

_OUTAGES = 3
"""How many times an outage of the server may cut a request off before that is a failed try."""

_IN_A_JOB = (
    "a batch job holds this request or its result, so it is not sent a second time. Set "
    "use_batch_api: true and run again to get the answer; `snakemake jobs` lists the jobs"
)

_GIVE_UP_AFTER = 20
"""Failures in a row, with no answer between them, after which the rest of a part is not sent."""


class SyncExecutor:
    """Runs parts through a client that answers one request at a time.

    Memory does not grow with the answers: a part's requests are read again at each step, and of
    each answer only its place in the journal is held.

    Args:
        client: who answers.
        journal_root: folder of all journals.
        max_retries: further tries of a request that failed in a way that may pass.
        adaptive: let the number of requests at once follow the server.
        spending: writes down what answers cost, and stops where the budget is reached.
        count: takes the usage of each answer when it comes.
        limits: lets as many requests and tokens through per minute as the config says.
        closes_client: whether a part closes the client; if not, it also answers the next part.
    """

    def __init__(
        self,
        client: InferenceClient,
        journal_root: Path,
        *,
        max_retries: int,
        adaptive: bool = False,
        spending: RequestSpending | None = None,
        count: Callable[[Usage], None] | None = None,
        limits: RateLimits | None = None,
        closes_client: bool = True,
    ) -> None:
        self._client = client
        self._closes_client = closes_client
        self._journal_root = journal_root
        self._max_retries = max_retries
        self._adaptive = adaptive
        self._spending = spending
        self._count = count
        self._limits = limits

    def run_jsonl(self, input_path: Path, output_path: Path, max_concurrent: int) -> None:
        """Answer the requests in ``input_path`` and write their raw part, in their order.

        Only requests without a journaled answer are sent, and of several that are the same only
        one. One that keeps failing becomes an error line and is tried again by the next run.

        Raises:
            UserError: the client cannot answer at all.
        """
        asyncio.run(self._run(input_path, output_path, max_concurrent))

    async def _run(self, input_path: Path, output_path: Path, max_concurrent: int) -> None:
        async with contextlib.AsyncExitStack() as stack:
            if self._closes_client:
                stack.push_async_callback(self._client.close)
            await self._client.open()
            client = self._client
            reuse = client.reuse() if isinstance(client, LocalClient) else Reuse()
            part = Part(input_path, client.identity(), self._journal_root, reuse)
            claims = Claims(part.journal.folder)
            limit = min(max_concurrent, client.max_concurrent)
            if part.is_retest and isinstance(client, LocalClient):
                limit = 1  # what else is in its batch can change an answer
            sending = _Sending(
                part, client, Concurrency(limit, adaptive=self._adaptive),
                self._max_retries, self._spending, self._count, self._limits,
            )  # fmt: skip
            while untried := part.untried:
                with claims.claim(untried) as of_others:
                    part.look_up()
                    part.read_kept(client)
                    for digest in part.untried & submitted_keys(part.journal.folder / "jobs"):
                        part.fail(digest, RequestError(_IN_A_JOB, retryable=False))
                    await sending.send(part.untried - of_others.keys())
                waited_for = {of_others[digest] for digest in part.untried & of_others.keys()}
                if waited_for:
                    log.info("%s: the rest is being sent by another process; waiting", part.name)
                await given_up(waited_for)
            part.write(output_path)


class _Sending:
    """Sends what is missing of a part. Everything happens in one event loop, so nothing is locked.

    A reason to stop (the disk is full, the budget is reached, nothing is answered any more) is
    kept until the requests in flight have ended, so that no answer which is paid for is thrown
    away.
    """

    def __init__(
        self,
        part: Part,
        client: InferenceClient,
        concurrency: Concurrency,
        max_retries: int,
        spending: RequestSpending | None,
        count: Callable[[Usage], None] | None = None,
        limits: RateLimits | None = None,
    ) -> None:
        self._part = part
        self._client = client
        self._concurrency = concurrency
        self._spending = spending
        self._count = count
        self._limits = limits
        self._max_retries = max_retries
        # The price of a hosted model may not be known.
        backend = BACKENDS.get(part.identity["engine"])
        self._is_paid = spending is not None or (backend is not None and backend.is_hosted)
        self._retry = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(
                lambda error: (
                    isinstance(error, RequestError) and error.retryable and self._stopped is None
                )
            ),
            wait=tenacity.wait_random_exponential(multiplier=0.5, max=30)
            + tenacity.wait_exception(_wait_asked_for),
            reraise=True,
        )
        self._stopped: UserError | None = None
        self._waiting = asyncio.Lock()
        self._seen_at = -math.inf
        self._failed_in_a_row = 0
        self._done = self._failed = self._total = 0
        self._started = self._reported = time.monotonic()

    async def send(self, digests: Collection[str]) -> None:
        """Send requests of the part.

        Raises:
            UserError: why the rest was not sent.
        """
        if not digests:
            return
        self._total += len(digests)
        self._part.journal.check_space()
        with self._part.journal:
            await self._send_all(digests)

    async def _send_all(self, digests: Collection[str]) -> None:
        async with asyncio.TaskGroup() as group:
            for digest, request in self._part.in_prefix_order(digests):
                await self._concurrency.enter()
                reserved = await self._reserve(request)
                if self._stopped is not None:
                    self._settle(reserved, None)
                    break
                group.create_task(self._send(digest, request, reserved))
        if self._stopped is not None:
            raise self._stopped

    async def _reserve(self, request: Request) -> Reservation | None:
        """Set aside what a request may cost, or stop."""
        if self._spending is None or self._stopped is not None:
            return None
        try:
            return await self._spending.reserve(request)
        except UserError as error:
            self._stopped = error
            return None

    async def _send(self, digest: str, request: Request, reserved: Reservation | None) -> None:
        try:
            completion = await self._answered(request, reserved)
        except UserError as error:
            cause = error.__cause__  # a try that may have been charged all the same
            self._settle(reserved, cause if isinstance(cause, RequestError) else None)
            self._stopped = error
        except RequestError as error:
            self._settle(reserved, error)
            self._fail(digest, error)
            self._failed += 1
            self._failed_in_a_row += 1
            if self._stopped is None:
                log.warning("%s failed: %s", request.custom_id, error)
            if self._stopped is None and self._failed_in_a_row == _GIVE_UP_AFTER:
                self._stopped = UserError(
                    f"{self._part.name}: {_GIVE_UP_AFTER} requests in a row failed, so the rest is "
                    f"not sent. The last one: {error}. Answers so far are kept; fix the cause and "
                    "start again."
                )
        else:
            self._settle(reserved, completion)
            self._keep(digest, completion)
        finally:
            self._concurrency.leave()
        self._report()

    async def _answered(self, request: Request, reserved: Reservation | None) -> Completion:
        """The answer, after as many tries as it may take.

        Most need one, and are spared tenacity's price, a sixth of all the CPU time of a part.
        """
        failures: list[RequestError] = []
        try:
            return await self._try(request)
        except RequestError as error:
            failures.append(error)

        async def attempt() -> Completion:
            if failures:
                raise failures.pop()
            return await self._try(request)

        async def book(state: tenacity.RetryCallState) -> None:
            error = state.outcome.exception() if state.outcome else None
            if self._spending and reserved is not None and isinstance(error, RequestError):
                await self._spending.again(reserved, error)

        enough = _Enough(self._max_retries, is_paid=self._is_paid)
        completion: Completion = await self._retry.copy(stop=enough, before_sleep=book)(attempt)
        return completion

    async def _try(self, request: Request) -> Completion:
        try:
            return await self._in_turn(request)
        except RequestError as error:
            if error.away:
                await self._until_back()
            raise

    async def _in_turn(self, request: Request) -> Completion:
        clock = asyncio.get_running_loop().time
        if self._limits is not None:
            await self._limits.wait(request)
        async with self._concurrency.turn() as number:
            at_once = self._concurrency.at_once
            began = clock()
            try:
                completion = await self._client.generate(request.messages, request.decoding)
            except RequestError as error:
                if error.overloaded:
                    self._concurrency.pushed_back(number, error.wait_s)
                if error.timed_out:
                    self._concurrency.pushed_back(number, clock() - began)
                raise
            self._concurrency.answered(number, clock() - began)
        if self._limits is not None:
            self._limits.settle(request, completion.usage)
        return completion.model_copy(update={"at_once": completion.at_once or at_once})

    async def _until_back(self) -> None:
        """Wait, once for all requests, until a server that is away is there again.

        If it stays away, or comes back as another one, nothing more is sent.
        """
        clock = asyncio.get_running_loop().time
        failed_at = clock()
        async with self._waiting:
            if self._stopped is not None or self._seen_at > failed_at:
                return
            try:
                await self._client.check()
                self._see_that_it_is(self._part.identity)
            except UserError as error:
                cause = error.__cause__
                is_there = isinstance(cause, HttpError) and cause.retryable and not is_away(cause)
                if not is_there:
                    self._stopped = error
                    return
            self._seen_at = clock()

    def _see_that_it_is(self, identity: Mapping[str, str]) -> None:
        now = self._client.identity()
        changes = [
            f"{name} was {identity.get(name)} and is {now.get(name)}"
            for name in sorted({*identity, *now})
            if identity.get(name) != now.get(name)
        ]
        if changes:
            raise UserError(
                f"{self._part.name}: the server came back as another one ({'; '.join(changes)}), "
                "so the rest is not sent. Answers so far are kept. Restore the server, or start "
                "again to ask the new one everything."
            )

    def _settle(
        self, reserved: Reservation | None, outcome: Completion | RequestError | None
    ) -> None:
        if self._spending is None or reserved is None:
            return
        try:
            self._spending.settle(reserved, outcome)
        except UserError as error:
            self._stopped = error

    def _keep(self, digest: str, completion: Completion) -> None:
        self._failed_in_a_row = 0
        if self._count is not None:
            self._count(completion.usage)
        try:
            self._part.answer(digest, completion)
        except UserError as error:
            self._stopped = error

    def _fail(self, digest: str, error: RequestError) -> None:
        if not isinstance(error, UnreadableReplyError):
            self._part.fail(digest, error)
            return
        try:
            self._part.keep(digest, error)
        except UserError as stop:
            self._stopped = stop

    def _report(self) -> None:
        self._done += 1
        now = time.monotonic()
        if now - self._reported < _PROGRESS_EVERY_S and self._done < self._total:
            return
        self._reported = now
        seconds = now - self._started
        log.info(
            "%s",
            Progress(
                name=self._part.name,
                done=self._done,
                total=self._total,
                failed=self._failed,
                per_s=self._done / seconds if seconds else None,
                paid_usd=self._spending.paid_usd if self._spending else None,
                note=f"{self._concurrency.limit} at once",
            ),
        )
        try:
            self._part.journal.check_space()
        except UserError as error:
            self._stopped = error


class _Enough(tenacity.stop.stop_base):
    """Whether to give a request up.

    A try that met a server which is away or has too many is no failed one, for a while. Nor is one
    that timed out in the server's queue or was cut off by an outage, except where the provider may
    have charged it.
    """

    def __init__(self, max_retries: int, *, is_paid: bool) -> None:
        self._tries_left = max_retries
        self._outages_left = 0 if is_paid else _OUTAGES
        self._is_paid = is_paid

    def __call__(self, retry_state: tenacity.RetryCallState) -> bool:
        error = retry_state.outcome.exception() if retry_state.outcome else None
        if isinstance(error, RequestError):
            since_s = retry_state.seconds_since_start or 0
            if self._will_pass(error) and since_s < PATIENCE_S:
                return False
            if error.away and self._outages_left:
                self._outages_left -= 1
                return False
        self._tries_left -= 1
        return self._tries_left < 0

    def _will_pass(self, error: RequestError) -> bool:
        return error.overloaded or not error.sent or (error.timed_out and not self._is_paid)


def _wait_asked_for(error: BaseException) -> float:
    return min(error.wait_s, LONGEST_WAIT_S) if isinstance(error, RequestError) else 0.0
