"""What the providers' own SDKs can send: the fields of a request's body, and their types.

The SDKs are imported when the first request comes: each takes a second.
"""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from .base import Json

_REQUESTS = {
    "openai": "openai.types.chat.completion_create_params:CompletionCreateParamsNonStreaming",
    "fireworks": "fireworks.types.chat.completion_create_params:CompletionCreateParamsNonStreaming",
    "anthropic": "anthropic.types.message_create_params:MessageCreateParamsNonStreaming",
    "gemini": "google.genai.types:GenerationConfig",
}


@cache
def _type_of(provider: str) -> Any:
    module, _, name = _REQUESTS[provider].partition(":")
    return getattr(importlib.import_module(module), name)


@cache
def _adapter(provider: str) -> TypeAdapter[Any]:
    return TypeAdapter(_type_of(provider))


@cache
def fields(provider: str) -> frozenset[str]:
    """The fields of a body that the SDK has."""
    return frozenset(_type_of(provider).__annotations__)


def wrong_type(provider: str, body: Json) -> str | None:
    """Why the SDK could not have made a body of these fields; None if it could."""
    try:
        # A streamed request has a type of its own, which differs in this field alone.
        streamed = {"stream": False} if body.get("stream") else {}
        _adapter(provider).validate_python({**body, **streamed})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return None
