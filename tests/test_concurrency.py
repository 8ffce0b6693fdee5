"""How many requests are in flight: simulations of servers that bear only so many, in no time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any

from answering import completion
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated import Part, SimulatedTime, simulate

from workflow_scripts.answers.concurrency import FIRST_LIMIT, Concurrency
from workflow_scripts.answers.executor import _Sending
from workflow_scripts.backends.client import RequestError
from workflow_scripts.core.records import Completion, Decoding, Message


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


class QueueingServer:
    """Works on ``slots`` requests at once, and has the others wait until they time out."""

    max_concurrent = 1000

    def __init__(self, slots: int, latency_s: float, timeout_s: float) -> None:
        self.timed_out = 0
        self._latency_s = latency_s
        self._timeout_s = timeout_s
        self._slots = asyncio.Semaphore(slots)
        self._chance = random.Random(slots)

    async def generate(self, messages: Sequence[Message], decoding: Decoding) -> Completion:
        try:
            async with asyncio.timeout(self._timeout_s), self._slots:
                await asyncio.sleep(self._latency_s * self._chance.uniform(0.5, 1.5))
        except TimeoutError:
            self.timed_out += 1
            raise RequestError("no reply", retryable=True, timed_out=True) from None
        return completion()


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


@settings(max_examples=12)
@given(slots=st.integers(1, 150), latency_s=st.floats(0.02, 5))
def test_the_limit_grows_no_further_where_a_server_queues(slots: int, latency_s: float) -> None:
    requests = 40 * slots + 500
    server = QueueingServer(slots, latency_s, timeout_s=20 * latency_s)
    found = simulate(server, requests)
    assert (found["answered"], found["failed"]) == (requests, 0)
    assert 0.7 * slots <= found["limit"] <= max(2 * FIRST_LIMIT, 3.5 * slots)
    assert server.timed_out == 0
    assert found["seconds"] < 1.5 * latency_s * requests / slots


def test_a_timeout_pushes_back_and_is_no_failed_try() -> None:
    server = QueueingServer(2, latency_s=1.0, timeout_s=3.0)
    found = simulate(server, 400)
    assert (found["answered"], found["failed"]) == (400, 0)
    assert found["limit"] <= 6
    assert 0 < server.timed_out < 40


def test_the_limit_reaches_what_is_allowed_where_the_server_bears_it() -> None:
    found = simulate(Server(bears=1000, latency_s=0.5, retry_after_s=0.0), 1000, limit=64)
    assert (found["answered"], found["limit"]) == (1000, 64)


def test_a_fixed_number_stays_fixed() -> None:
    server = Server(5, latency_s=0.1, retry_after_s=0.0)
    found = simulate(server, 100, limit=12, adaptive=False)
    assert (found["answered"], found["failed"], found["limit"]) == (100, 0, 12)


def test_the_limit_grows_only_where_it_is_felt() -> None:
    async def trickle() -> int:
        concurrency = Concurrency(1000, adaptive=True)
        for _ in range(200):  # one at a time
            async with concurrency.turn() as number:
                concurrency.answered(number, 1.0)
        return concurrency.limit

    assert asyncio.run(trickle()) == FIRST_LIMIT
