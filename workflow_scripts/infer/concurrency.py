"""How many requests are in flight at once: a fixed number, or as many as the server bears."""

from __future__ import annotations

import asyncio
import logging

log = logging.getLogger(__name__)

FIRST_LIMIT = 8
"""Where the adaptive limit begins."""

_HIGHEST_LIMIT = 512
_SHRINK = 0.5
_GROW = 1.0


class Concurrency:
    """Lets requests in, never more at once than its limit.

    With ``adaptive``, the limit follows the rule of TCP (slow start, then additive increase and
    multiplicative decrease; Chiu and Jain 1989): it doubles per round of answers until the server
    first pushes back, then halves at each push-back and grows by one per round in between.

    Args:
        limit: the number of requests at once; with ``adaptive``, the highest that is tried.
        adaptive: whether the limit follows the server.
    """

    def __init__(self, limit: int, *, adaptive: bool = False) -> None:
        self._adaptive = adaptive
        self._highest = min(limit, _HIGHEST_LIMIT) if adaptive else limit
        self._limit = float(min(limit, FIRST_LIMIT) if adaptive else limit)
        self._slow_start = True
        self._in_flight = 0
        self._sent = 0
        self._sent_before_shrinking = 0
        self._room = asyncio.Event()
        self._room.set()

    @property
    def limit(self) -> int:
        """Requests that may be in flight now."""
        return max(1, int(self._limit))

    async def enter(self) -> int:
        """Wait until there is room for one more request; returns its number, for `leave`."""
        while self._in_flight >= self.limit:
            self._room.clear()
            await self._room.wait()
        self._in_flight += 1
        self._sent += 1
        return self._sent

    def leave(self) -> None:
        """Make room for another request."""
        self._in_flight -= 1
        self._room.set()

    def answered(self) -> None:
        """The server answered a request."""
        if self._adaptive and 2 * self._in_flight >= self._limit:  # else the limit is not felt
            step = _GROW if self._slow_start else _GROW / self._limit
            self._limit = min(self._highest, self._limit + step)
            self._room.set()

    def pushed_back(self, number: int, wait_s: float) -> None:
        """The server refused a request because it has too many.

        Refusals of requests that were sent before the limit last shrank say nothing new.
        """
        if not self._adaptive:
            log.info("the server asks for fewer requests; waiting %.1f s", wait_s)
            return
        if number > self._sent_before_shrinking:
            self._slow_start = False
            self._limit = max(1.0, self._limit * _SHRINK)
            self._sent_before_shrinking = self._sent
            log.info("the server pushes back: %d requests at once now", self.limit)
