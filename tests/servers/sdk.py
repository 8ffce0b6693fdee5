"""The providers' own SDKs on both sides of the test servers.

A request that the SDK could not have made is refused, and a reply has every optional field that
the SDK declares. An SDK is imported when its server is made: it takes a second, or many on a busy
machine, for which no client should have to wait.
"""

from __future__ import annotations

import builtins
import collections.abc
import datetime
import enum
import importlib
import types
import typing
from functools import cache
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from .base import Json

_REQUESTS = {
    "openai": "openai.types.chat.completion_create_params:CompletionCreateParamsNonStreaming",
    "fireworks": "fireworks.types.chat.completion_create_params:CompletionCreateParamsNonStreaming",
    "anthropic": "anthropic.types.message_create_params:MessageCreateParamsNonStreaming",
    "gemini": "google.genai.types:GenerationConfig",
}
_REPLIES = {
    "openai": "openai.types.chat:ChatCompletion",
    "fireworks": "fireworks.types.chat:CompletionCreateResponse",
    "anthropic": "anthropic.types:Message",
    "gemini": "google.genai.types:GenerateContentResponse",
}
_LEAVES: dict[type, Any] = {
    bool: False,
    int: 0,
    float: 0.0,
    bytes: "AAEC",
    datetime.datetime: "2026-10-04T18:37:24.100435Z",
}
"""Values of plain types; those of all others are texts."""

ABSENT = object()
"""Stands for a value that is not given."""


@cache
def named(name: str) -> Any:
    """Return what a "module:name" names."""
    module, _, name = name.partition(":")
    return getattr(importlib.import_module(module), name)


@cache
def _adapter(provider: str) -> TypeAdapter[Any]:
    return TypeAdapter(named(_REQUESTS[provider]))


def get_ready(provider: str) -> None:
    """Import a provider's SDK and build what the first request needs."""
    _adapter(provider)
    whole_reply(provider, {})


@cache
def fields(provider: str) -> frozenset[str]:
    """The fields of a body that the SDK has."""
    return frozenset(named(_REQUESTS[provider]).__annotations__)


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


def whole_reply(provider: str, reply: Json) -> Json:
    """Return a reply with all optional fields that the provider's SDK declares."""
    filled: Json = whole(named(_REPLIES[provider]), reply)
    return filled


def whole(  # noqa: PLR0911 - one for each kind of type
    kind: Any, given: Any = ABSENT, inside: tuple[Any, ...] = ()
) -> Any:
    """Return JSON of an SDK's type in which each optional field has a value.

    Lists that are not given have one element of each type that they may hold. A type in itself
    has only the fields that it must have.

    Args:
        kind: an annotation.
        given: what of it is fixed; its own fields stay, also those that are null.
        inside: the types around it.
    """
    if given is None:
        return None
    arguments = typing.get_args(kind)
    match typing.get_origin(kind):
        case typing.Annotated:
            return whole(arguments[0], given, inside)
        case typing.Union | types.UnionType:
            return whole(_branch(_branches(kind), given, inside), given, inside)
        case typing.Literal:
            return arguments[0] if given is ABSENT else given
        case collections.abc.Sequence | collections.abc.Iterable | builtins.list:
            elements = _branches(arguments[0]) if given is ABSENT else given
            return [
                whole(each, inside=inside) if given is ABSENT else whole(arguments[0], each, inside)
                for each in elements
            ]
        case collections.abc.Mapping | builtins.dict:
            return {"x": whole(arguments[1], inside=inside)} if given is ABSENT else given
    if hasattr(kind, "__value__"):  # a named alias
        return whole(kind.__value__, given, inside)
    if isinstance(kind, type) and issubclass(kind, BaseModel) and kind is not BaseModel:
        return _whole_object(kind, {} if given is ABSENT else given, inside)
    if given is not ABSENT:
        return given
    if not isinstance(kind, type):
        return "x"
    if kind is BaseModel:
        return {}  # a field that the SDK fills in itself
    if issubclass(kind, enum.Enum):
        return next((each.value for each in kind), "x")
    return next((value for leaf, value in _LEAVES.items() if issubclass(kind, leaf)), "x")


def _whole_object(model: type[BaseModel], given: Any, inside: tuple[Any, ...]) -> Any:
    if not isinstance(given, dict):
        return given
    model.model_rebuild()
    made = {
        field.alias or name: whole(
            field.annotation, given.get(field.alias or name, ABSENT), (*inside, model)
        )
        for name, field in model.model_fields.items()
        if model not in inside or field.is_required() or (field.alias or name) in given
    }
    return {**made, **{name: value for name, value in given.items() if name not in made}}


def _branches(kind: Any) -> list[Any]:
    """The types that a value may have, except null."""
    if typing.get_origin(kind) is typing.Annotated or hasattr(kind, "__value__"):
        return _branches(getattr(kind, "__value__", None) or typing.get_args(kind)[0])
    if typing.get_origin(kind) not in (typing.Union, types.UnionType):
        return [kind]
    return [
        branch
        for argument in typing.get_args(kind)
        if argument is not types.NoneType
        for branch in _branches(argument)
    ]


def _branch(branches: list[Any], given: Any, inside: tuple[Any, ...]) -> Any:
    """The type that a given value has, by its fields with one value alone; else the first."""
    if not isinstance(given, dict):
        return next((each for each in branches if each not in inside), branches[0])
    return next((each for each in branches if _may_be(each, given)), branches[0])


def _may_be(kind: Any, given: Json) -> bool:
    if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
        return False
    return all(
        given.get(name) in typing.get_args(field.annotation)
        for name, field in kind.model_fields.items()
        if typing.get_origin(field.annotation) is typing.Literal and name in given
    )
