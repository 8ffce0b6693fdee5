"""Structured outputs at the test servers: what a provider refuses, and answers that obey.

Made from the providers' documentation, not from Assay's tables: what is not in a list here is
refused. llama.cpp's own converter speaks for its servers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import jsonschema_rs
import xllamacpp

Json = dict[str, Any]
Refusal = Callable[[Json], str | None]
"""Why a provider refuses a schema; None if it does not."""

_REMARKS = {"title", "description"}
_CORE = _REMARKS | {
    *("type", "enum", "const", "anyOf", "properties", "required", "additionalProperties", "items"),
    *("$ref", "$defs"),
}
_NUMBERS = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}


def obeying(text: str, schema: Json | None) -> str:
    """What an enforced answer is: the given text if it obeys, else the smallest that does."""
    if schema is None:
        return text
    try:
        value = json.loads(text)
    except ValueError:
        return json.dumps(smallest(schema, schema))
    obeys = jsonschema_rs.validator_for(schema).is_valid(value)
    return text if obeys else json.dumps(smallest(schema, schema))


def smallest(schema: Any, root: Json) -> Any:  # noqa: PLR0911 - one for each kind of schema
    """A small value that obeys a schema; null where that may be."""
    if schema is True or schema == {}:
        return None
    if "$ref" in schema:
        target: Any = root
        for token in schema["$ref"].removeprefix("#/").split("/"):
            target = target[token]
        return smallest(target, root)
    if "enum" in schema:
        return schema["enum"][0]
    if "anyOf" in schema:
        branches = sorted(schema["anyOf"], key=lambda each: each != {"type": "null"})
        return smallest(branches[0], root)
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    kind = "null" if "null" in kinds else kinds[0]
    if kind == "object":
        subs = schema.get("properties", {})
        return {name: smallest(subs[name], root) for name in schema.get("required", ())}
    if kind == "array":
        return [smallest(schema["items"], root)] * schema.get("minItems", 0)
    if kind == "string":
        return "x" * schema.get("minLength", 1)
    return {"integer": schema.get("minimum", 0), "number": 0.5, "boolean": True, "null": None}[kind]


def _nodes(schema: Any) -> Iterator[Json]:
    """All schemas in one."""
    if not isinstance(schema, dict):
        return
    yield schema
    for keyword in ("properties", "$defs", "patternProperties"):
        for sub in schema.get(keyword, {}).values():
            yield from _nodes(sub)
    for keyword in ("anyOf", "allOf", "oneOf", "prefixItems"):
        for sub in schema.get(keyword, ()):
            yield from _nodes(sub)
    for keyword in ("items", "additionalProperties", "not"):
        yield from _nodes(schema.get(keyword))


def _unknown(schema: Json, known: set[str]) -> str | None:
    for node in _nodes(schema):
        for keyword in node:
            if keyword not in known:
                return f"'{keyword}' is not permitted."
    return None


def openai(schema: Json) -> str | None:
    """Strict mode: an object, all of whose properties are required, with few keywords."""
    if schema.get("type") != "object" or "anyOf" in schema:
        return "schema must be a JSON Schema of 'type: \"object\"'."
    for node in _nodes(schema):
        if not node.keys() & {"type", "anyOf", "$ref"}:
            return "schema must have a 'type' key."
        if "$ref" in node and len(node) > 1:
            return "$ref cannot have keywords beside it."
        if node.get("type") == "object":
            if node.get("additionalProperties") is not False:
                return "'additionalProperties' is required to be supplied and to be false."
            if set(node.get("required", ())) != set(node.get("properties", {})):
                return "'required' must include every key in properties."
    return _unknown(schema, _CORE | _NUMBERS | {"pattern", "format", "minItems", "maxItems"})


def anthropic(schema: Json) -> str | None:
    """Closed objects, `minItems` of 0 or 1, no bounds and lengths."""
    for node in _nodes(schema):
        if node.get("type") == "object" and node.get("additionalProperties") is not False:
            return "For 'object' type, 'additionalProperties' must be explicitly set to false"
        if node.get("minItems", 0) > 1:
            return "For 'array' type, 'minItems' values other than 0 or 1 are not supported"
    return _unknown(schema, _CORE | {"pattern", "format", "minItems", "allOf", "default"})


def gemini(schema: Json) -> str | None:
    """The keywords of `response_json_schema`; values are texts and numbers."""
    for node in _nodes(schema):
        if any(isinstance(value, bool) or value is None for value in node.get("enum", ())):
            return "enum: only strings and numbers"
    known = _CORE - {"const"} | {"format", "minItems", "maxItems", "minimum", "maximum"}
    return _unknown(schema, known | {"prefixItems", "oneOf", "$id", "$anchor"})


def fireworks(schema: Json) -> str | None:
    """No `oneOf`, lengths and patterns."""
    return _unknown(schema, _CORE | {"allOf", "default", "definitions", "$schema", "$id"})


def llama_cpp(schema: Json) -> str | None:
    """What llama.cpp's converter cannot read."""
    try:
        xllamacpp.json_schema_to_grammar(json.dumps(schema))
    except Exception as error:
        return str(error)
    return None
