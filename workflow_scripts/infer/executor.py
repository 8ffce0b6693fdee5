"""Answers a part request by request: from the journal where it can, from the client otherwise."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from pathlib import Path

import tenacity
from tqdm import tqdm

from ..costs.spending import RequestSpending
from ..errors import UserError
from ..records import Completion, Request
from .client import InferenceClient, RequestError, UnreadableReplyError
from .concurrency import Concurrency
from .http import LONGEST_WAIT_S
from .part import Part, only_writer

log = logging.getLogger(__name__)

_PROGRESS_EVERY_S = 2.0
PATIENCE_S = 600.0
"""How long a request goes on trying while the server only says that it has too many."""

_GIVE_UP_AFTER = 20
"""Failures in a row, with no answer between them, after which the rest of a part is not sent."""


class SyncExecutor:
    """Runs parts through a client that answers one request at a time.

    Memory does not grow with the answers: a part's requests are read three times (what is asked,
    what is missing, what came of it), and of each answer only its place in the journal is held.

    Args:
        client: who answers.
        journal_root: folder of all journals.
        max_retries: further tries of a request that failed in a way that may pass.
        adaptive: let the number of requests at once follow the server.
        spending: writes down what answers cost, and stops where the budget is reached.
    """

    def __init__(
        self,
        client: InferenceClient,
        journal_root: Path,
        *,
        max_retries: int,
        adaptive: bool = False,
        spending: RequestSpending | None = None,
    ) -> None:
        self._client = client
        self._journal_root = journal_root
        self._max_retries = max_retries
        self._adaptive = adaptive
        self._spending = spending

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
            stack.push_async_callback(self._client.close)
            await self._client.open()
            part = Part(input_path, self._client.identity(), self._journal_root)
            stack.enter_context(only_writer(part.journal.folder / f"{part.name}.lock"))
            part.look_up()
            part.read_kept(self._client)
            if part.missing:
                limit = min(max_concurrent, self._client.max_concurrent)
                sending = _Sending(
                    part, self._client, Concurrency(limit, adaptive=self._adaptive),
                    self._max_retries, self._spending,
                )  # fmt: skip
                with part.journal:
                    await sending.send_all()
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
    ) -> None:
        self._part = part
        self._client = client
        self._concurrency = concurrency
        self._spending = spending
        self._max_retries = max_retries
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
        self._failed_in_a_row = 0
        self._done = 0
        self._total = part.missing
        self._started = self._reported = time.monotonic()

    async def send_all(self) -> None:
        """Send everything that is missing.

        Raises:
            UserError: why the rest was not sent.
        """
        self._part.journal.check_space()
        async with asyncio.TaskGroup() as group:
            for digest, request in self._part.unanswered():
                await self._concurrency.enter()
                reserved = await self._reserve(request)
                if self._stopped is not None:
                    break
                group.create_task(self._send(digest, request, reserved))
        if self._stopped is not None:
            raise self._stopped

    async def _reserve(self, request: Request) -> float:
        """Set aside what a request may cost, or stop."""
        if self._spending is None or self._stopped is not None:
            return 0.0
        try:
            return await self._spending.reserve(request)
        except UserError as error:
            self._stopped = error
            return 0.0

    async def _send(self, digest: str, request: Request, reserved: float) -> None:
        try:
            completion = await self._answered(request)
        except UserError as error:
            self._settle(reserved, request, None)
            self._stopped = error
        except RequestError as error:
            self._settle(reserved, request, None)
            log.warning("%s failed: %s", request.custom_id, error)
            self._fail(digest, error)
            self._failed_in_a_row += 1
            if self._failed_in_a_row == _GIVE_UP_AFTER:
                self._stopped = UserError(
                    f"{self._part.name}: {_GIVE_UP_AFTER} requests in a row failed, so the rest is "
                    f"not sent. The last one: {error}. Answers so far are kept; mend the cause and "
                    "start again."
                )
        else:
            self._settle(reserved, request, completion)
            self._keep(digest, completion)
        finally:
            self._concurrency.leave()
        self._report()

    async def _answered(self, request: Request) -> Completion:
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

        completion: Completion = await self._retry.copy(stop=_Enough(self._max_retries))(attempt)
        return completion

    async def _try(self, request: Request) -> Completion:
        async with self._concurrency.turn() as number:
            try:
                completion = await self._client.generate(request.messages, request.decoding)
            except RequestError as error:
                if error.may_be_charged:
                    self._book(request, error)
                if error.overloaded:
                    self._concurrency.pushed_back(number, error.wait_s)
                raise
            self._concurrency.answered()
        return completion

    def _book(self, request: Request, error: RequestError) -> None:
        """Write down what a try without an answer may have cost."""
        if self._spending is None:
            return
        try:
            self._spending.may_be_charged(request, error.usage)
        except UserError as stop:
            self._stopped = stop

    def _settle(self, reserved: float, request: Request, completion: Completion | None) -> None:
        if self._spending is None:
            return
        try:
            self._spending.settle(reserved, request, completion)
        except UserError as error:
            self._stopped = error

    def _keep(self, digest: str, completion: Completion) -> None:
        self._failed_in_a_row = 0
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
        log.info(
            tqdm.format_meter(
                self._done, self._total, now - self._started, ncols=100, prefix=self._part.name,
                unit="req", postfix=f"{self._concurrency.limit} at once",
            )
        )  # fmt: skip
        try:
            self._part.journal.check_space()
        except UserError as error:
            self._stopped = error


class _Enough(tenacity.stop.stop_base):
    """Whether to give a request up. Being told to come later is no failed try, for a while."""

    def __init__(self, max_retries: int) -> None:
        self._tries_left = max_retries

    def __call__(self, retry_state: tenacity.RetryCallState) -> bool:
        error = retry_state.outcome.exception() if retry_state.outcome else None
        if isinstance(error, RequestError) and error.overloaded:
            return (retry_state.seconds_since_start or 0) > PATIENCE_S
        self._tries_left -= 1
        return self._tries_left < 0


def _wait_asked_for(error: BaseException) -> float:
    return min(error.wait_s, LONGEST_WAIT_S) if isinstance(error, RequestError) else 0.0
