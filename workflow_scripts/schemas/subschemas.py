"""The subschemas of a JSON Schema, with the places at which they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

Path = tuple[str | int, ...]
"""The steps from a whole schema to a part of it."""

ONE = frozenset(
    {
        "additionalProperties",
        "contains",
        "contentSchema",
        "else",
        "if",
        "items",
        "not",
        "propertyNames",
        "then",
        "unevaluatedItems",
        "unevaluatedProperties",
    }
)
"""Keywords with one subschema."""

LISTS = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
"""Keywords with a list of subschemas."""

NAMED = frozenset({"$defs", "definitions", "dependentSchemas", "patternProperties", "properties"})
"""Keywords with subschemas by name. ``definitions`` is the older name of ``$defs``."""


def pointer(path: Iterable[str | int]) -> str:
    """Return a JSON pointer (RFC 6901); the whole is the empty text."""
    return "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in path)


def children(schema: Any) -> Iterator[tuple[Path, Any]]:
    """Yield the subschemas that are directly in a schema, each with its path."""
    if not isinstance(schema, dict):
        return
    for keyword, value in schema.items():
        if keyword in ONE:
            yield (keyword,), value
        elif keyword in LISTS and isinstance(value, list):
            yield from (((keyword, number), each) for number, each in enumerate(value))
        elif keyword in NAMED and isinstance(value, dict):
            yield from (((keyword, name), each) for name, each in value.items())


def subschemas(schema: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yield a schema and all of its subschemas, each with its path."""
    yield path, schema
    for step, child in children(schema):
        yield from subschemas(child, (*path, *step))


def with_children(schema: Any, change: Callable[[Any], Any]) -> Any:
    """Return a copy of a schema with the changed ones in place of its direct subschemas."""
    if not isinstance(schema, dict):
        return schema
    copy = dict(schema)
    for keyword, value in schema.items():
        if keyword in ONE:
            copy[keyword] = change(value)
        elif keyword in LISTS and isinstance(value, list):
            copy[keyword] = [change(each) for each in value]
        elif keyword in NAMED and isinstance(value, dict):
            copy[keyword] = {name: change(each) for name, each in value.items()}
    return copy
