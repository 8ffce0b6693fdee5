"""How many requests are in flight at once: a fixed number, or as many as the server can use."""

from __future__ import annotations

import asyncio
import logging
import math
import statistics
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

log = logging.getLogger(__name__)

FIRST_LIMIT = 8
"""Where the adaptive limit begins."""

_HIGHEST_LIMIT = 512
_FIRST_SHRINK = 0.5  # doubling went too far by up to a factor of two
_SHRINK = 0.8
_GROW = 0.1
_DOUBLE = 2.0
_WORTH_IT = 1.2
"""By how much twice the requests at once must raise the answers per second."""

_LEAST_ANSWERS = 32  # fewer say little about the mean latency
_HOLD = 10.0
_LEAST_COST_S = 1.0
_LEAST_LATENCY_S = 1e-6


class Concurrency:
    """Lets requests in, and each of their tries, never more at once than its limit.

    With ``adaptive``, the limit follows the rules of TCP (slow start, then additive increase and
    multiplicative decrease; Chiu and Jain 1989): it doubles per round of answers until the server
    first pushes back; from then on it shrinks at each push-back and grows by one, or a tenth, per
    round in between. To try more than the server last bore costs the pause that the server then
    asks for, so that is done only after ten times as long.

    Many servers never push back: they queue. So a limit that has doubled is kept only if the
    server then gives at least a fifth more answers per second. Their number is the limit divided
    by the mean latency (Little 1961).

    Args:
        limit: the number of requests at once; with ``adaptive``, the highest that is tried.
        adaptive: whether the limit follows the server.
    """

    def __init__(self, limit: int, *, adaptive: bool = False) -> None:
        self._adaptive = adaptive
        self._highest = min(limit, _HIGHEST_LIMIT) if adaptive else limit
        self._limit = float(min(limit, FIRST_LIMIT) if adaptive else limit)
        self._ceiling = math.inf  # more than this was no use, or too much
        self._held_until = 0.0
        self._target = self._limit  # grows to this by one per answer
        self._base = 0.0  # the limit that a doubled one is compared with
        self._rate = 0.0  # answers per second under it
        self._fruitless = 0  # doubled limits in a row that were of no use
        self._requests = 0
        self._tries = 0
        self._tries_begun = 0
        self._begun_before_push_back = 0
        self._begun_before_round = 0
        self._latencies_s: list[float] = []
        self._room = asyncio.Event()

    @property
    def limit(self) -> int:
        """Requests that may be in flight now."""
        return int(self._limit)

    @property
    def at_once(self) -> int:
        """Tries in flight now."""
        return self._tries

    async def enter(self) -> None:
        """Wait until there is room for one more request."""
        while self._requests >= self.limit:
            await self._wait_for_room()
        self._requests += 1

    def leave(self) -> None:
        """Make room for another request."""
        self._requests -= 1
        self._room.set()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[int]:
        """Wait for the turn to try a request that is in, with the number of the try.

        There is something to wait for where the limit shrank while requests were in.
        """
        while self._tries >= self.limit:
            await self._wait_for_room()
        self._tries += 1
        self._tries_begun += 1
        try:
            yield self._tries_begun
        finally:
            self._tries -= 1
            self._room.set()

    async def _wait_for_room(self) -> None:
        self._room.clear()
        await self._room.wait()

    def answered(self, number: int, latency_s: float) -> None:
        """The server answered a try after so many seconds."""
        if not self._adaptive or 2 * self._tries < self._limit:  # else the limit is not felt
            return
        if self._limit < self._target:
            self._limit = min(self._limit + 1, self._target)
            self._room.set()
            if self._limit == self._target:
                self._begin_round()
        elif number > self._begun_before_round:
            self._latencies_s.append(latency_s)
            if len(self._latencies_s) >= max(self._limit, _LEAST_ANSWERS):
                self._end_round(statistics.fmean(self._latencies_s))

    def pushed_back(self, number: int, cost_s: float) -> None:
        """A try failed because the server has too many; that took so many seconds, or will.

        Tries that were begun before the last push-back say nothing new.
        """
        if number <= self._begun_before_push_back:
            return
        self._begun_before_push_back = self._tries_begun
        if not self._adaptive:
            log.info("the server pushes back: it wants fewer than %d requests at once", self.limit)
            return
        shrink = _FIRST_SHRINK if self._ceiling == math.inf else _SHRINK
        self._ceiling = self.limit
        self._hold(cost_s)
        self._base = 0.0
        self._set(max(1.0, self._limit * shrink))
        log.info("the server pushes back: %d requests at once now", self.limit)

    def _end_round(self, latency_s: float) -> None:
        """Judge a limit by the mean latency under it, and set the next one."""
        rate = self._limit / max(latency_s, _LEAST_LATENCY_S)
        if self._base and self._limit >= _DOUBLE * self._base and rate < _WORTH_IT * self._rate:
            log.info(
                "%d requests at once are answered no faster than %d: %d at once now",
                self.limit, self._base, self._base,
            )  # fmt: skip
            self._ceiling = self._base
            self._fruitless += 1
            self._hold(latency_s * 2**self._fruitless)
            self._set(self._base)
            return
        if self._limit >= _DOUBLE * self._base:
            self._fruitless = 0
        if self._limit <= self._base or self._limit >= _DOUBLE * self._base:
            self._base, self._rate = self._limit, rate
        self._target = min(self._highest, self._grown())
        self._begin_round()

    def _grown(self) -> float:
        if self._ceiling == math.inf:
            return self._limit * _DOUBLE
        grown = self._limit + max(1.0, self._limit * _GROW)
        is_held = asyncio.get_running_loop().time() < self._held_until
        return self._limit if is_held and grown >= self._ceiling else grown

    def _set(self, limit: float) -> None:
        self._limit = self._target = limit
        self._begin_round()

    def _begin_round(self) -> None:
        self._begun_before_round = self._tries_begun
        self._latencies_s.clear()

    def _hold(self, cost_s: float) -> None:
        """Try no more than the ceiling for a time that makes the attempt cheap."""
        held_s = _HOLD * max(cost_s, _LEAST_COST_S)
        self._held_until = asyncio.get_running_loop().time() + held_s
