"""How many requests are in flight at once: a fixed number, or as many as the server bears."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

log = logging.getLogger(__name__)

FIRST_LIMIT = 8
"""Where the adaptive limit begins."""

_HIGHEST_LIMIT = 512
_FIRST_SHRINK = 0.5  # doubling went too far by up to a factor of two
_SHRINK = 0.8
_GROW = 0.1
_HOLD = 10.0
_LEAST_COST_S = 1.0


class Concurrency:
    """Lets requests in, and each of their tries, never more at once than its limit.

    With ``adaptive``, the limit follows the rules of TCP (slow start, then additive increase and
    multiplicative decrease; Chiu and Jain 1989): it doubles per round of answers until the server
    first pushes back; from then on it shrinks at each push-back and grows by one, or a tenth, per
    round in between. To try more than the server last bore costs the pause that the server then
    asks for, so that is done only after ten times as long.

    Args:
        limit: the number of requests at once; with ``adaptive``, the highest that is tried.
        adaptive: whether the limit follows the server.
    """

    def __init__(self, limit: int, *, adaptive: bool = False) -> None:
        self._adaptive = adaptive
        self._highest = min(limit, _HIGHEST_LIMIT) if adaptive else limit
        self._limit = float(min(limit, FIRST_LIMIT) if adaptive else limit)
        self._ceiling = math.inf  # the server pushed back here
        self._held_until = 0.0
        self._requests = 0
        self._tries = 0
        self._tries_begun = 0
        self._begun_before_push_back = 0
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

    def answered(self) -> None:
        """The server answered a request."""
        if not self._adaptive or 2 * self._tries < self._limit:  # else the limit is not felt
            return
        step = 1.0 if self._ceiling == math.inf else max(1.0 / self._limit, _GROW)
        grown = self._limit + step
        if grown < self._ceiling or asyncio.get_running_loop().time() >= self._held_until:
            self._limit = min(self._highest, grown)
            self._room.set()

    def pushed_back(self, number: int, wait_s: float) -> None:
        """The server refused a try because it has too many.

        Refusals of tries that were begun before the last push-back say nothing new.
        """
        if number <= self._begun_before_push_back:
            return
        self._begun_before_push_back = self._tries_begun
        if not self._adaptive:
            log.info("the server pushes back: it wants fewer than %d requests at once", self.limit)
            return
        shrink = _FIRST_SHRINK if self._ceiling == math.inf else _SHRINK
        self._ceiling = self.limit
        self._limit = max(1.0, self._limit * shrink)
        cost_s = max(wait_s, _LEAST_COST_S)
        self._held_until = asyncio.get_running_loop().time() + _HOLD * cost_s
        log.info("the server pushes back: %d requests at once now", self.limit)
