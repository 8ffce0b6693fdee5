"""The parts of a schema: what holds at one place together, each with its pointer."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from .dialect import CannotEnforceError
from .nodes import TYPES
from .patterns import PatternError, SlowPatternError, found

KEYWORDS_OF: dict[str, tuple[str, ...]] = {
    "object": (
        *("properties", "required", "additionalProperties", "patternProperties", "minProperties"),
        *("maxProperties", "propertyNames", "dependentRequired", "dependentSchemas"),
        "unevaluatedProperties",
    ),
    "array": (
        *("items", "prefixItems", "minItems", "maxItems", "uniqueItems", "contains"),
        *("minContains", "maxContains", "unevaluatedItems"),
    ),
    "string": ("minLength", "maxLength", "pattern", "format"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
}
_TYPED = frozenset(itertools.chain(*KEYWORDS_OF.values()))
_UNTYPED = frozenset(("type", "enum", "const", "anyOf", "oneOf", "not", "if", "$ref"))
ASSERTIONS = _TYPED | _UNTYPED | {"$dynamicRef"}


class Part(NamedTuple):
    """A schema that holds at a place, and its pointer."""

    schema: Any
    at: str


class ImpossibleError(Exception):
    """No value obeys a node."""

    def __init__(self, keyword: str, at: str) -> None:
        super().__init__(keyword)
        self.keyword = keyword
        self.at = at


def notes_of(parts: Iterable[Part]) -> dict[str, str]:
    """Return title and description, of several the first."""
    notes: dict[str, str] = {}
    for part in parts:
        for key in ("title", "description"):
            if isinstance(part.schema.get(key), str):
                notes.setdefault(key, part.schema[key])
    return notes


def without(part: Part, *keywords: str) -> Part:
    """A part without some keywords."""
    kept = {key: value for key, value in part.schema.items() if key not in keywords}
    return Part(kept, part.at)


def said(parts: Iterable[Part], keywords: Sequence[str]) -> Iterator[tuple[str, Any, str]]:
    """Yield what the parts say by some keywords: keyword, value and pointer of the part."""
    for part in parts:
        for keyword in keywords:
            if keyword in part.schema:
                yield keyword, part.schema[keyword], part.at


def types_of(parts: Iterable[Part]) -> list[str] | None:
    """The types that all parts allow, or that their keywords imply; None if any value is."""
    allowed: list[str] | None = None
    implied: set[str] = set()
    for part in parts:
        if "type" in part.schema:
            given = part.schema["type"]
            names = [given] if isinstance(given, str) else given
            allowed = names if allowed is None else _in_both(allowed, names)
        implied |= {
            name for name, keys in KEYWORDS_OF.items() if any(key in part.schema for key in keys)
        }
    if allowed is None:
        return [name for name in TYPES if name in implied] or None
    return [name for name in dict.fromkeys(allowed) if name != "integer" or "number" not in allowed]


def _in_both(one: Sequence[str], other: Sequence[str]) -> list[str]:
    both = [name for name in one if name in other]
    for names, others in ((one, other), (other, one)):
        if "integer" in names and "number" in others and "integer" not in both:
            both.append("integer")
    return both


def entry(parts: Iterable[Part], number: int) -> list[Part]:
    """What holds for an entry of a list that some part has a prefix for."""
    held = []
    for part in parts:
        prefix = part.schema.get("prefixItems", ())
        if number < len(prefix):
            held.append(Part(prefix[number], f"{part.at}/prefixItems/{number}"))
        elif "items" in part.schema:
            held.append(Part(part.schema["items"], f"{part.at}/items"))
    return held


def member(parts: Iterable[Part], name: str, at: str) -> list[Part]:
    """What holds for a property of an object."""
    held = []
    for part in parts:
        schema = part.schema
        named = False
        if name in schema.get("properties", {}):
            named = True
            held.append(Part(schema["properties"][name], f"{part.at}/properties/{token(name)}"))
        for pattern, sub in schema.get("patternProperties", {}).items():
            if _matches(pattern, name, part.at):
                named = True
                held.append(Part(sub, f"{part.at}/patternProperties/{token(pattern)}"))
        if not named and "additionalProperties" in schema:
            place = f"{part.at}/additionalProperties"
            held.append(Part(schema["additionalProperties"], place))
    return held or [Part({}, f"{at}/properties/{token(name)}")]


def _matches(pattern: str, name: str, at: str) -> bool:
    try:
        return found(pattern, name)
    except (PatternError, SlowPatternError) as error:
        raise CannotEnforceError("patternProperties", at, f"{pattern!r}: {error}") from error


def token(key: str) -> str:
    """Return a key as JSON pointers have it."""
    return key.replace("~", "~0").replace("/", "~1")
