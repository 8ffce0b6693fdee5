"""Texts of an object that are in no list that its schema has for their place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

_JOINED = ("allOf", "anyOf", "oneOf")


def unknown_names(schema: dict[str, Any], value: Any) -> list[str]:
    """Return the texts that are outside of each ``enum`` for their place, each once.

    A place has a list where all ways to write a text there have one: with ``{"anyOf": [{"enum":
    ["a"]}, {"type": "string"}]}`` every text is known.
    """
    return list(dict.fromkeys(_unknown([schema], value, schema)))


def _unknown(schemas: list[Any], value: Any, root: dict[str, Any]) -> Iterator[str]:
    if isinstance(value, str):
        lists = [_names(schema, root) for schema in schemas]
        allowed = [names for names in lists if names is not None]
        if allowed and not any(value in names for names in allowed):
            yield value
    elif isinstance(value, dict | list):
        parts = list(_parts(schemas, root))
        steps = value.items() if isinstance(value, dict) else enumerate(value)
        for step, inner in steps:
            below = [each for part in parts for each in _below(part, step)]
            if below:
                yield from _unknown(below, inner, root)


def _names(schema: Any, root: dict[str, Any], depth: int = 0) -> set[str] | None:
    """The texts that a schema lists; ``None`` where it allows others."""
    if not isinstance(schema, dict) or depth > _DEEPEST:
        return None
    if "enum" in schema or "const" in schema:
        listed = schema.get("enum", [schema.get("const")])
        return {each for each in listed if isinstance(each, str)}
    kinds = schema.get("type", "string")
    if "string" not in ([kinds] if isinstance(kinds, str) else kinds):
        return set()
    found = []
    if "$ref" in schema:
        found.append(_names(_target(schema["$ref"], root), root, depth + 1))
    found += [_names(each, root, depth + 1) for each in schema.get("allOf", [])]
    for keyword in ("anyOf", "oneOf"):
        ways = [_names(each, root, depth + 1) for each in schema.get(keyword, [])]
        if ways:
            found.append(None if None in ways else {name for way in ways for name in way or ()})
    lists = [names for names in found if names is not None]
    return set.intersection(*lists) if lists else None


def _parts(schemas: list[Any], root: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Schemas with those that they consist of, each once."""
    seen: set[int] = set()
    waiting = list(schemas)
    while waiting:
        schema = waiting.pop()
        if not isinstance(schema, dict) or id(schema) in seen:
            continue
        seen.add(id(schema))
        yield schema
        waiting += [each for keyword in _JOINED for each in schema.get(keyword, [])]
        waiting += [schema[keyword] for keyword in ("if", "then", "else") if keyword in schema]
        if "$ref" in schema:
            waiting.append(_target(schema["$ref"], root))


def _below(schema: dict[str, Any], step: str | int) -> Iterator[Any]:
    """The schemas of a property or an entry."""
    if isinstance(step, int):
        first = schema.get("prefixItems", [])
        if step < len(first):
            yield first[step]
        elif "items" in schema:
            yield schema["items"]
    elif step in schema.get("properties", {}):
        yield schema["properties"][step]
    elif "additionalProperties" in schema:
        yield schema["additionalProperties"]


def _target(ref: str, root: dict[str, Any]) -> Any:
    """The schema that a reference within the document leads to; ``None`` for other kinds."""
    found: Any = root
    for step in ref.removeprefix("#").split("/")[1:]:
        name = unquote(step).replace("~1", "/").replace("~0", "~")
        found = found.get(name) if isinstance(found, dict) else None
    return found if ref.startswith("#/") or ref == "#" else None


_DEEPEST = 32
"""Steps from schema to schema after which a list is looked for no longer."""
