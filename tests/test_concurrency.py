"""How many requests are in flight: simulations of servers that bear only so many, in no time."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from answering import completion
from hypothesis import given, settings
from hypothesis import strategies as st

from workflow_scripts.infer.client import RequestError
from workflow_scripts.infer.concurrency import FIRST_LIMIT, Concurrency
from workflow_scripts.infer.executor import _Sending
from workflow_scripts.records import Completion, Decoding, Message


class SimulatedTime(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next thing that is due."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0

    def time(self) -> float:
        return self._now

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:
            self._now = max(self._now, self._scheduled[0]._when)
        super()._run_once()


class Server:
    """Bears ``bears`` requests at once; more are refused and told to wait.

    Like `HttpServer`, its client keeps quiet until the time that the server asked for.
    """

    max_concurrent = 1000

    def __init__(self, bears: int, latency_s: float, retry_after_s: float) -> None:
        self.bears = bears
        self.refused = 0
        self._latency_s = latency_s
        self._retry_after_s = retry_after_s
        self._at_once = 0
        self._quiet_until = 0.0
        self._chance = random.Random(bears)

    async def generate(self, messages: Sequence[Message], decoding: Decoding) -> Completion:
        loop = asyncio.get_running_loop()
        while (wait_s := self._quiet_until - loop.time()) > 0:
            await asyncio.sleep(wait_s)
        self._at_once += 1
        try:
            if self._at_once > self.bears:
                await asyncio.sleep(0.002)
                self.refused += 1
                self._quiet_until = loop.time() + self._retry_after_s
                raise RequestError(
                    "busy", retryable=True, overloaded=True, wait_s=self._retry_after_s
                )
            await asyncio.sleep(self._latency_s * self._chance.uniform(0.7, 1.3))
        finally:
            self._at_once -= 1
        return completion()


class NoJournal(contextlib.nullcontext[None]):
    def check_space(self) -> None:
        """There is always enough."""


class Part:
    """As much of a part as is needed to send it."""

    name = "part"
    journal = NoJournal()

    def __init__(self, requests: int) -> None:
        self.requests = requests
        self.answered = 0
        self.failed = 0

    def unanswered(self) -> Iterator[tuple[str, Any]]:
        for number in range(self.requests):
            yield str(number), SimpleNamespace(messages=[], decoding=None, custom_id=str(number))

    def digests(self) -> set[str]:
        return {digest for digest, _ in self.unanswered()}

    def answer(self, digest: str, completion: Completion) -> None:
        self.answered += 1

    def fail(self, digest: str, error: RequestError) -> None:
        self.failed += 1


def simulate(
    server: Server, requests: int, *, limit: int = 1000, adaptive: bool = True
) -> Mapping[str, float]:
    """Send a part. Returns the counts, the last limit, and the seconds it would have taken."""
    part = Part(requests)

    async def send() -> tuple[int, float]:
        concurrency = Concurrency(limit, adaptive=adaptive)
        sending: Any = _Sending(part, server, concurrency, 0, None)
        await sending.send(part.digests())
        return concurrency.limit, asyncio.get_running_loop().time()

    with asyncio.Runner(loop_factory=SimulatedTime) as runner:
        last_limit, seconds = runner.run(send())
    return {
        "answered": part.answered,
        "failed": part.failed,
        "limit": last_limit,
        "seconds": seconds,
    }


@settings(max_examples=12)
@given(
    bears=st.integers(1, 150),
    latency_s=st.floats(0.02, 5),
    retry_after_s=st.sampled_from([0.0, 0.5, 1.0, 20.0]),
)
def test_any_server_is_used_about_as_far_as_it_bears(
    bears: int, latency_s: float, retry_after_s: float
) -> None:
    server = Server(bears, latency_s, retry_after_s)
    requests = 20 * bears + 50
    found = simulate(server, requests)
    assert (found["answered"], found["failed"]) == (requests, 0)
    assert 0.5 * bears - 1 <= found["limit"] <= 1.2 * bears + FIRST_LIMIT
    assert server.refused < requests


def test_probing_costs_little_where_the_server_asks_for_long_pauses() -> None:
    server = Server(20, latency_s=0.05, retry_after_s=1.0)
    requests = 20_000
    found = simulate(server, requests)
    ideal_s = requests / 20 * 0.05
    assert found["limit"] <= 21
    assert ideal_s / found["seconds"] > 0.75
    assert server.refused < requests / 100


def test_what_a_server_bears_is_found_again_when_it_changes() -> None:
    server = Server(20, latency_s=0.5, retry_after_s=0.0)

    async def send() -> list[int]:
        concurrency = Concurrency(1000, adaptive=True)
        limits = []

        async def change() -> None:
            for bears in (5, 40):
                await asyncio.sleep(60)
                limits.append(concurrency.limit)
                server.bears = bears
            await asyncio.sleep(120)
            limits.append(concurrency.limit)

        part = Part(50_000)
        sending: Any = _Sending(part, server, concurrency, 0, None)
        changes = asyncio.create_task(change())
        work = asyncio.create_task(sending.send(part.digests()))
        await changes
        work.cancel()
        return limits

    with asyncio.Runner(loop_factory=SimulatedTime) as runner:
        first, less, more = runner.run(send())
    assert 15 <= first <= 21
    assert 3 <= less <= 6
    assert 30 <= more <= 41


def test_a_fixed_number_stays_fixed() -> None:
    server = Server(5, latency_s=0.1, retry_after_s=0.0)
    found = simulate(server, 100, limit=12, adaptive=False)
    assert (found["answered"], found["failed"], found["limit"]) == (100, 0, 12)


def test_the_limit_grows_only_where_it_is_felt() -> None:
    async def trickle() -> int:
        concurrency = Concurrency(1000, adaptive=True)
        for _ in range(200):  # one at a time
            async with concurrency.turn():
                concurrency.answered()
        return concurrency.limit

    assert asyncio.run(trickle()) == FIRST_LIMIT
