"""Replies made from the types of the providers' own SDKs: whatever a type allows may come.

Optional fields are absent, null or there; of unions each branch comes; literals and enumerations
have all their values. Nothing here knows what our clients read.
"""

from __future__ import annotations

import builtins
import collections.abc
import datetime
import enum
import types
import typing
from functools import cache
from typing import Any

from hypothesis import strategies as st
from pydantic import BaseModel

Json = st.SearchStrategy[Any]

_DEEPEST = 5
"""Models that lie deeper have only the fields that they must have."""

TEXTS = st.text(max_size=8) | st.sampled_from(["Oslo", " Oslo\n", "", " ", "東京 😀"])
COUNTS = st.integers(0, 3000)
ANYTHING = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.text(max_size=3)
    | st.lists(st.integers(0, 3), max_size=2)
    | st.dictionaries(st.text(max_size=3), st.integers(0, 3), max_size=2)
)
_SCALARS: dict[Any, Json] = {
    str: TEXTS,
    int: COUNTS,
    float: st.floats(0, 100) | COUNTS,
    bool: st.booleans(),
    bytes: st.sampled_from(["", "AAEC"]),
    datetime.datetime: st.just("2026-10-04T18:37:24.100435Z"),
    types.NoneType: st.none(),
}


def reply(model: type[BaseModel], **fields: Json) -> Json:
    """JSON as ``model`` describes it.

    Args:
        model: a type of an SDK.
        fields: strategies that stand in for fields, by their names on the wire.
    """
    return _object(model, 0).flatmap(
        lambda made: st.fixed_dictionaries(fields).map(lambda given: {**made, **given})
    )


@cache
def _object(model: type[BaseModel], depth: int) -> Json:
    model.model_rebuild()
    required, optional = {}, {}
    for name, field in model.model_fields.items():
        wire = field.alias or name
        if field.is_required():
            required[wire] = _value(field.annotation, depth + 1)
        elif depth < _DEEPEST:
            optional[wire] = _value(field.annotation, depth + 1)
    return st.fixed_dictionaries(required, optional=optional)


def _value(kind: Any, depth: int) -> Json:
    """JSON of a type annotation."""
    arguments = typing.get_args(kind)
    match typing.get_origin(kind):
        case typing.Annotated:
            made = _value(arguments[0], depth)
        case typing.Union | types.UnionType:
            made = st.one_of(_value(each, depth) for each in arguments)
        case typing.Literal:
            made = st.sampled_from(arguments)
        case collections.abc.Sequence | collections.abc.Iterable | builtins.list:
            made = st.lists(_value(arguments[0], depth), max_size=2)
        case collections.abc.Mapping | builtins.dict:
            made = st.dictionaries(TEXTS, _value(arguments[1], depth), max_size=2)
        case _:
            made = _plain(kind, depth)
    return made


def _plain(kind: Any, depth: int) -> Json:
    """JSON of a class, or of anything else that is not made of other annotations."""
    if kind in _SCALARS:
        return _SCALARS[kind]
    if hasattr(kind, "__value__"):  # a named alias
        return _value(kind.__value__, depth)
    if kind in (BaseModel, enum.Enum):
        return st.just({})  # fields that the SDK fills in itself
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return st.sampled_from([each.value for each in kind])
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return st.deferred(lambda: _object(kind, depth))
    return ANYTHING
