"""Requests and tokens per minute, shared by all processes that send to one model.

The generic cell rate algorithm (ITU-T I.371): a file holds the time at which the next request may
be sent. Each request moves it on by its share of a minute.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable
from pathlib import Path

from ..backends.settings import BackendSettings
from ..core.files import write_text
from ..core.locks import locked
from ..core.records import Request, Usage

_MINUTE_S = 60.0

_LONGEST_WAIT_S = 600.0
"""After a clock that was set back."""

_BYTES_A_TOKEN = 4
"""A prompt's estimate, until the answer says how many tokens it had."""


class RateLimit:
    """One limit.

    Args:
        path: of its file; a lock lies beside it.
        per_minute: how much may be sent in a minute.
        clock: seconds since the epoch, the same in all processes.
    """

    def __init__(self, path: Path, per_minute: int, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._share_s = _MINUTE_S / per_minute
        self._clock = clock

    def reserve(self, amount: float) -> float:
        """Reserve the next place for an amount, and return how many seconds to wait for it."""
        with locked(self._path.with_suffix(".lock")):
            now = self._clock()
            free_at = max(now, self._free_at(now))
            write_text(self._path, repr(free_at + amount * self._share_s))
        return free_at - now

    def settle(self, difference: float) -> None:
        """Correct an amount that was reserved, by what it was more (or, negative, less)."""
        with locked(self._path.with_suffix(".lock")):
            now = self._clock()
            write_text(self._path, repr(self._free_at(now) + difference * self._share_s))

    def _free_at(self, now: float) -> float:
        """When the next one may be sent."""
        try:
            return min(float(self._path.read_text("utf-8")), now + _LONGEST_WAIT_S)
        except (FileNotFoundError, ValueError):
            return now


class RateLimits:
    """The limits of a backend's model. One request at a time waits for its place.

    Args:
        settings: the backend, with its limits.
        folder: of the files that processes share.
    """

    def __init__(self, settings: BackendSettings, folder: Path) -> None:
        asked = f"{settings.engine}|{settings.address}|{settings.model}"
        stem = folder / hashlib.sha256(asked.encode()).hexdigest()[:12]
        self._turn = asyncio.Lock()
        self._requests = self._tokens = None
        if settings.requests_per_minute is not None:
            path = stem.with_suffix(".requests")
            self._requests = RateLimit(path, settings.requests_per_minute)
        if settings.tokens_per_minute is not None:
            self._tokens = RateLimit(stem.with_suffix(".tokens"), settings.tokens_per_minute)

    async def wait(self, request: Request) -> None:
        """Wait until a request may be sent."""
        async with self._turn:
            waits = [0.0]
            if self._requests is not None:
                waits.append(self._requests.reserve(1))
            if self._tokens is not None:
                waits.append(self._tokens.reserve(_most_tokens(request)))
            await asyncio.sleep(max(waits))

    def settle(self, request: Request, usage: Usage) -> None:
        """Give back the tokens that a request did not need."""
        if self._tokens is not None and usage.total_tokens is not None:
            self._tokens.settle(usage.total_tokens - _most_tokens(request))


def _most_tokens(request: Request) -> int:
    size = sum(len(each.content.encode("utf-8")) for each in request.messages)
    return size // _BYTES_A_TOKEN + request.decoding.most_tokens
