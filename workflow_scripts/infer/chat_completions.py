"""The wire shape of OpenAI's chat completions, which many providers and servers speak."""

from __future__ import annotations

import difflib
import time
from collections.abc import Collection, Sequence
from typing import Annotated, Any

from pydantic import Field

from ..records import Completion, Decoding, Message, Usage
from .capabilities import capabilities, parameters
from .client import RequestError
from .http import Count, HttpServer, Reply, content_id, message_in, read_json, traits_of

_REFUSED = ("content_filter", "refusal")
_NAMED_AT_MOST = 5
_OK = 200


class ChatMessage(Reply):
    """The assistant's turn."""

    content: str | None
    refusal: str | None = None


class Choice(Reply):
    """One of the answers; we ask for one."""

    message: ChatMessage
    finish_reason: str


class PromptDetails(Reply):
    """Which of the prompt's tokens met the server's prompt cache."""

    cached_tokens: Count = None
    cache_write_tokens: Count = None


class ChatUsage(Reply):
    """Token counts, where the server gives them."""

    prompt_tokens: Count = None
    completion_tokens: Count = None
    total_tokens: Count = None
    prompt_tokens_details: PromptDetails | None = None

    def counts(self) -> Usage:
        """The counts as our record."""
        details = self.prompt_tokens_details or PromptDetails()
        return Usage(
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
            total_tokens=self.total_tokens,
            **details.model_dump(),
        )


class Chat(Reply):
    """A ``chat.completion`` object."""

    id: str | None = None
    choices: Annotated[list[Choice], Field(min_length=1)]
    usage: ChatUsage | None = None


class BatchLine(Reply):
    """One line of a batch job's results.

    OpenAI wraps the chat in a ``response`` with ``status_code`` and ``body``; Fireworks' response
    is the chat itself. A line without an answer has an ``error``, or a response with an error's
    status.
    """

    custom_id: str
    response: dict[str, Any] | None = None
    error: Any = None


def chat_body(
    engine: str, model: str, messages: Sequence[Message], decoding: Decoding
) -> dict[str, Any]:
    """The body of one request. Parameters that are off are left out."""
    body = {
        "model": model,
        "messages": [message.model_dump() for message in messages],
        **parameters(engine, model, decoding),
        **capabilities(engine, model).always,
    }
    if decoding.json_schema is not None:
        schema = {"name": "answer", "schema": decoding.json_schema, "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    return body


def chat_answer(engine: str, chat: Chat, asked: Any, latency_s: float | None) -> Completion:
    """The answer in a reply.

    Args:
        engine: for the id of replies that have none.
        chat: the reply.
        asked: what was sent; the id is made of it where the server gives none.
        latency_s: wall time of the request in seconds.

    Raises:
        RequestError: the server broke the answer off, or answered with something else than text.
    """
    choice, usage = chat.choices[0], chat.usage or ChatUsage()
    refusal = choice.message.refusal
    finish = "refusal" if refusal else choice.finish_reason
    if finish in _REFUSED:
        finish = f"refused:{finish}"
    elif finish not in ("stop", "length"):
        raise RequestError(
            f"the answer was broken off ({finish!r})",
            retryable=True,
            may_be_charged=True,
            usage=usage.counts(),
        )
    return Completion(
        response_text=refusal or choice.message.content or "",
        finish_reason=finish,
        request_id=chat.id or content_id(engine, asked),
        usage=usage.counts(),
        latency_s=latency_s,
    )


async def answered(engine: str, server: HttpServer, path: str, body: Any) -> Completion:
    """Send one request and read its answer.

    Raises:
        RequestError: there is none.
    """
    started = time.perf_counter()
    chat = await server.post(path, body, Chat)
    return chat_answer(engine, chat, body, round(time.perf_counter() - started, 6))


def batch_answer(engine: str, line: bytes) -> tuple[str, Completion | RequestError]:
    """The key of a line of a batch job's results, and the answer or why there is none.

    Raises:
        ValueError, TypeError: the line is malformed.
    """
    row = BatchLine.model_validate(read_json(line))
    key = row.custom_id
    if row.error or row.response is None:
        return key, _row_error(row.error)
    status, body = row.response.get("status_code", _OK), row.response.get("body", row.response)
    if status != _OK:
        said = f"status {status}: {message_in(body)}"
        return key, RequestError(said, **traits_of(int(status), body))
    try:
        return key, chat_answer(engine, Chat.model_validate(body), key, None)
    except RequestError as error:
        return key, error


def _row_error(error: Any) -> RequestError:
    """An error outside of HTTP: a word (``batch_expired``) or, at Fireworks, a status."""
    code = error.get("code") if isinstance(error, dict) else None
    said = message_in(error) if error else "neither an answer nor an error"
    if isinstance(code, int):
        return RequestError(f"status {code}: {said}", **traits_of(code))
    return RequestError(f"{code}: {said}" if code else said, retryable=True)


def nearest(model: str, served: Collection[str]) -> str:
    """The names most like a model's, for messages; some of all where none is like it."""
    like = difflib.get_close_matches(model, served, n=_NAMED_AT_MOST, cutoff=0.3)
    return ", ".join(like or list(served)[:_NAMED_AT_MOST]) or "none at all"
