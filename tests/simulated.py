"""A part that is sent in simulated time: what takes hours takes none, and nothing races."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

from workflow_scripts.answers.concurrency import Concurrency
from workflow_scripts.answers.executor import _Sending
from workflow_scripts.backends.client import RequestError


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


class NoJournal(contextlib.nullcontext[None]):
    def check_space(self) -> None:
        """There is always enough."""


class Part:
    """As much of a part as is needed to send it."""

    name = "part"
    identity: Mapping[str, str] = {"engine": "test", "model": "m"}
    journal = NoJournal()

    def __init__(self, requests: int) -> None:
        self.requests = requests
        self.answered = 0
        self.failed = 0

    def in_prefix_order(self, digests: Collection[str]) -> Iterator[tuple[str, Any]]:
        for number in digests:
            yield number, SimpleNamespace(messages=[], decoding=None, custom_id=number)

    def digests(self) -> list[str]:
        return [str(number) for number in range(self.requests)]

    def answer(self, digest: str, completion: object) -> None:
        self.answered += 1

    def fail(self, digest: str, error: RequestError) -> None:
        self.failed += 1


def simulate(
    server: Any,
    requests: int,
    *,
    limit: int = 1000,
    adaptive: bool = True,
    retries: int = 0,
    spending: Any = None,
    part: Part | None = None,
) -> Mapping[str, float]:
    """Send a part. Returns the counts, the last limit, and the seconds it would have taken."""
    part = part or Part(requests)

    async def send() -> tuple[int, float]:
        concurrency = Concurrency(limit, adaptive=adaptive)
        sending: Any = _Sending(part, server, concurrency, retries, spending)
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
