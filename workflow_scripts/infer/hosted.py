"""Patience with what a provider of batches does not know yet."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from typing import TypeVar

from .client import RequestError
from .http import HttpError

NOT_FOUND = 404

LISTING_LAG_S = 1.0
"""How long a new batch may be missing from the list of batches, in seconds."""

UNSEEN_WAITS_S = (1.0, 4.0)
"""Waits in seconds before a batch that is not found is asked for again: shortly after its creation
not all of a provider's machines know it (seen at Anthropic: anthropic-sdk-python, issue 1432), and
a batch that is taken for gone is paid for twice."""

Found = TypeVar("Found")


class Attempts:
    """Remembers when a batch may have been created without this process knowing its id."""

    def __init__(self) -> None:
        self._began = time.time()
        self._last = 0.0

    def ended(self) -> None:
        """A batch was sent just now, in whatever way that ended."""
        self._last = time.time()

    async def find(
        self, find: Callable[[], Awaitable[Found | None]], written: datetime
    ) -> Found | None:
        """What ``find`` finds in a list of batches that may not be up to date yet.

        An intent that was written in this process, and for which nothing was sent since, has no
        batch; ``find`` could only find that of somebody else.

        Args:
            find: looks through the list.
            written: when the intent was written.
        """
        if written.timestamp() > max(self._began, self._last):
            return None
        found = await find()
        if found is None:
            await asyncio.sleep(LISTING_LAG_S)
            found = await find()
        return found


async def read_patiently(read: Callable[[], Awaitable[Found]]) -> Found | None:
    """What ``read`` reads, or None where it does not exist; see `UNSEEN_WAITS_S`."""
    for wait_s in (*UNSEEN_WAITS_S, None):
        try:
            return await read()
        except HttpError as error:
            if error.status != NOT_FOUND:
                raise
        if wait_s is not None:
            await asyncio.sleep(wait_s)
    return None


async def numbered(lines: AsyncIterator[bytes]) -> AsyncIterator[tuple[int, bytes]]:
    """The lines that are not blank, with their numbers from 1."""
    number = 0
    async for line in lines:
        number += 1
        if line.strip():
            yield number, line


class MalformedResultError(RequestError):
    """A result that came back, but cannot be read."""

    def __init__(self, message: str) -> None:
        super().__init__(message, retryable=True)


class ShortResults:
    """Has results that are fewer than their job says read once more, and then takes them.

    A download that a proxy cut short, or answered with nothing, may look whole; taking it as it is
    would mean to pay for the missing requests again.
    """

    def __init__(self) -> None:
        self._seen: set[str] = set()

    async def checked(
        self, job_id: str, expected: int, results: AsyncIterator[tuple[str, Found]]
    ) -> AsyncIterator[tuple[str, Found]]:
        """The results, each with its key.

        Args:
            job_id: whose results they are.
            expected: how many there are, as the provider counts.
            results: as they are read; malformed ones and those without a key do not count.

        Raises:
            RequestError: they are too few, for the first time.
        """
        found = 0
        async for key, result in results:
            found += bool(key) and not isinstance(result, MalformedResultError)
            yield key, result
        if found < expected and job_id not in self._seen:
            self._seen.add(job_id)
            raise RequestError(f"{job_id}: only {found} of {expected} results came", retryable=True)
