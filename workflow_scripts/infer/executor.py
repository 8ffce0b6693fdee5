"""Answers a part request by request: from the journal where it can, from the client otherwise."""

from __future__ import annotations

import contextlib
import itertools
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

import tenacity
from filelock import FileLock, Timeout
from tqdm import tqdm

from ..errors import UserError
from ..files import read_jsonl, write_jsonl
from ..records import Completion, Failure, RawLine, Request, RequestMeta
from .client import InferenceClient, RequestError
from .failures import record_failures
from .journal import Journal, request_digest

log = logging.getLogger(__name__)

_PROGRESS_EVERY_S = 2.0


class SyncExecutor:
    """Runs parts through a client that answers one request at a time.

    Args:
        client: who answers.
        journal: where answers are kept as they arrive.
        max_failure_share: a part with a larger share of failed requests stops with an error.
        max_retries: further tries of a request that failed in a way that may pass.
    """

    def __init__(
        self,
        client: InferenceClient,
        journal: Journal,
        *,
        max_failure_share: float,
        max_retries: int,
    ) -> None:
        self._client = client
        self._journal = journal
        self._max_failure_share = max_failure_share
        self._retry = tenacity.Retrying(
            retry=tenacity.retry_if_exception(
                lambda error: isinstance(error, RequestError) and error.retryable
            ),
            stop=tenacity.stop_after_attempt(max_retries + 1),
            wait=tenacity.wait_random_exponential(multiplier=0.5, max=30),
            reraise=True,
        )

    def run_jsonl(self, input_path: Path, output_path: Path, max_concurrent: int) -> None:
        """Answer the requests in ``input_path`` and write their raw part, in their order.

        Only requests without a journaled answer are sent. One that keeps failing becomes an error
        line and is tried again by the next run.

        Raises:
            UserError: too many requests failed.
        """
        requests = list(read_jsonl(input_path, Request))
        identity = self._client.identity()
        digests = {each.custom_id: request_digest(identity, each) for each in requests}
        with _only_writer(self._journal.folder / f"{output_path.stem}.lock"):
            answers = self._journal.answers(digests.values())
            missing = [each for each in requests if digests[each.custom_id] not in answers]
            log.info(
                "%s: %d requests, %d answered before, %d to send",
                output_path.stem,
                len(requests),
                len(requests) - len(missing),
                len(missing),
            )
            failed: dict[str, Failure] = {}
            limit = self._max_failure_share * len(requests)
            with self._journal as journal:
                for request, result in self._ask(missing, output_path.stem, max_concurrent):
                    digest = digests[request.custom_id]
                    if isinstance(result, Completion):
                        answers[digest] = result
                        journal.append(digest, result)
                        continue
                    log.warning("%s failed: %s", request.custom_id, result.message)
                    failed[request.custom_id] = result
                    if len(failed) > limit:
                        raise UserError(
                            f"{output_path}: {len(failed)} of {len(requests)} requests failed, "
                            f"more than max_failure_share={self._max_failure_share:g} allows. "
                            f"The last one: {result.message}. Answers so far are kept; mend the "
                            "cause and start again, or raise max_failure_share."
                        )
            record_failures(output_path, list(failed))
            write_jsonl(
                output_path,
                (
                    _raw_line(each, answers.get(digests[each.custom_id]), failed)
                    for each in requests
                ),
            )

    def _ask(
        self, requests: list[Request], name: str, max_concurrent: int
    ) -> Iterator[tuple[Request, Completion | Failure]]:
        """Send requests, at most ``max_concurrent`` at once, and yield results as they come."""
        started = reported = time.monotonic()
        for done, pair in enumerate(
            _as_completed(
                self._generate, requests, min(max_concurrent, self._client.max_concurrent)
            ),
            start=1,
        ):
            yield pair
            now = time.monotonic()
            if now - reported >= _PROGRESS_EVERY_S or done == len(requests):
                reported = now
                log.info(
                    tqdm.format_meter(
                        done, len(requests), now - started, ncols=100, prefix=name, unit="req"
                    )
                )

    def _generate(self, request: Request) -> Completion | Failure:
        try:
            return self._retry(self._client.generate, request.messages, request.decoding)
        except RequestError as error:
            return Failure(type=type(error).__name__, message=str(error))


def _as_completed(
    generate: Callable[[Request], Completion | Failure], requests: Iterable[Request], workers: int
) -> Iterator[tuple[Request, Completion | Failure]]:
    """Results in the order of their arrival, with at most ``workers`` requests handed out."""
    waiting = iter(requests)
    running: dict[Future[Completion | Failure], Request] = {}
    with ThreadPoolExecutor(workers) as pool:
        for request in itertools.islice(waiting, workers):
            running[pool.submit(generate, request)] = request
        while running:
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                request = running.pop(future)
                following = next(waiting, None)
                if following is not None:
                    running[pool.submit(generate, following)] = following
                yield request, future.result()


@contextlib.contextmanager
def _only_writer(lock_path: Path) -> Iterator[None]:
    """Hold the part's lock, waiting for an earlier process that still answers it.

    When Snakemake is killed, its jobs live on; the next run's job for the same part must not ask
    what that one is asking.
    """
    lock_path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(lock_path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.info("%s: a process of an earlier run still answers it; waiting", lock_path.stem)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _raw_line(request: Request, answer: Completion | None, failed: dict[str, Failure]) -> RawLine:
    echoed = request.model_dump(include=set(RequestMeta.model_fields))
    if answer is None:
        return RawLine(**echoed, error=failed[request.custom_id])
    return RawLine(**echoed, **{name: getattr(answer, name) for name in Completion.model_fields})
