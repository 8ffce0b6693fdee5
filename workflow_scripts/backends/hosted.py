"""What the clients of all hosted providers do alike."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from typing import TypeVar

from pydantic import ValidationError

from ..core.errors import UserError
from ..core.files import describe
from ..core.records import Completion
from .chat_completions import nearest
from .client import NoAnswerError, RequestError, UnreadableReplyError
from .http import AnyReply, HttpError, HttpServer, first_reply

NOT_FOUND = 404

LISTING_LAG_S = 10.0
"""How long a new batch may be missing from the list of batches, in seconds. Its creation may also
still be going on at the provider when the process that asked for it is killed."""

UNSEEN_WAITS_S = (1.0, 4.0)
"""Waits in seconds before a batch that is not found is asked for again: shortly after its creation
not all of a provider's machines know it (seen at Anthropic: anthropic-sdk-python, issue 1432), and
a batch that is taken for gone is paid for twice."""

Found = TypeVar("Found")


async def in_late_list(find: Callable[[], Awaitable[Found | None]]) -> Found | None:
    """What ``find`` finds in a list of batches that may not be up to date yet."""
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


async def first(listed: AsyncIterator[Found], is_it: Callable[[Found], bool]) -> Found | None:
    """The first of a list that is the one looked for, or None."""
    async for each in listed:
        if is_it(each):
            return each
    return None


async def known_model(
    server: HttpServer, path: str, reply: type[AnyReply], remedy: str
) -> AnyReply | None:
    """What a provider tells of a model, or None where it has none of that name.

    Raises:
        UserError: it tells nothing; the message ends with ``remedy``.
    """
    try:
        return await first_reply(server, path, reply, remedy)
    except UserError as error:
        if isinstance(error.__cause__, HttpError) and error.__cause__.status == NOT_FOUND:
            return None
        raise


def no_such_model(server: HttpServer, model: str, offered: Collection[str]) -> UserError:
    """The error for a model that a provider does not have, with the names most like it."""
    return UserError(
        f"{server.base_url} does not offer the model {model!r} to this key "
        f"(it offers: {nearest(model, offered)}). Change model_id."
    )


def read_row(
    line: bytes, result_of: Callable[[bytes], tuple[str, Completion | RequestError]]
) -> tuple[str, Completion | RequestError]:
    """Key and result of a line of results, with the line; see `BatchClient.read_result`.

    Args:
        line: as it came.
        result_of: reads it; raises ValueError or TypeError where it cannot.
    """
    usage, reply = None, line.decode("utf-8", errors="replace")
    try:
        key, result = result_of(line)
        if isinstance(result, Completion):
            result = result.model_copy(update={"reply": reply})
        return key, result
    except ValidationError as error:
        problem = describe(error)
    except NoAnswerError as error:
        problem, usage = str(error), error.usage
    except (ValueError, TypeError, RecursionError) as error:
        problem = str(error)
    message = f"the result cannot be read: {problem}"
    return _key(line), UnreadableReplyError(message, reply, usage=usage)


def _key(line: bytes) -> str:
    """The key of a line that is whole JSON; empty where it has none."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return ""
    names = [row.get(name) for name in ("custom_id", "key")] if isinstance(row, dict) else []
    return next((name for name in names if isinstance(name, str)), "")
