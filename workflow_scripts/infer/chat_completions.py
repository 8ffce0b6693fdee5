"""The wire shape of OpenAI's chat completions, which many providers and servers speak."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field

from ..records import Completion, Decoding, Message, Usage
from .capabilities import parameters
from .client import RequestError
from .http import Count, Reply, content_id

_REFUSED = ("content_filter", "refusal")


class ChatMessage(Reply):
    """The assistant's turn."""

    content: str | None = None
    refusal: str | None = None


class Choice(Reply):
    """One of the answers; we ask for one."""

    message: ChatMessage
    finish_reason: str


class ChatUsage(Reply):
    """Token counts, where the server gives them."""

    prompt_tokens: Count = None
    completion_tokens: Count = None
    total_tokens: Count = None


class Chat(Reply):
    """A ``chat.completion`` object."""

    id: str | None = None
    choices: Annotated[list[Choice], Field(min_length=1)]
    usage: ChatUsage | None = None


def chat_body(
    engine: str, model: str, messages: Sequence[Message], decoding: Decoding
) -> dict[str, Any]:
    """The body of one request. ``top_p`` that is off is left out: 1 is the default everywhere."""
    return {
        "model": model,
        "messages": [message.model_dump() for message in messages],
        **parameters(engine, model, decoding),
    }


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
        raise RequestError(f"the answer was broken off ({finish!r})", retryable=True)
    return Completion(
        response_text=refusal or choice.message.content or "",
        finish_reason=finish,
        request_id=chat.id or content_id(engine, asked),
        usage=Usage(**usage.model_dump()),
        latency_s=latency_s,
    )
