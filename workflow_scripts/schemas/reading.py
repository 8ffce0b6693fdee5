"""Reads answers back from a backend's dialect into the schema that was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .dialect import Schema


def read_back(schema: Schema, value: Any) -> Any:
    """Return an enforced answer as an answer to the original schema.

    Where a dialect knows no optional properties, they come as null. Those that may not be null are
    removed. No other dialect lets such a null pass, so its answers stay as they are.

    Args:
        schema: the original, valid and without references to other documents.
        value: the answer, parsed; it may break the schema. It is not changed.
    """
    if not _holds_null(value):
        return value
    from jsonschema import Draft202012Validator  # slow to import

    return _read(Draft202012Validator(schema), schema, schema, value)


def _holds_null(value: Any) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return value is None or any(map(_holds_null, inner))


def _read(validator: Any, root: Schema, schema: Any, value: Any) -> Any:
    if not isinstance(schema, Mapping) or not isinstance(value, dict | list):
        return value
    if "$ref" in schema:
        value = _read(validator, root, _target(root, schema["$ref"]), value)
    for sub in schema.get("allOf", ()):
        value = _read(validator, root, sub, value)
    if isinstance(value, list):
        prefix = schema.get("prefixItems", [])
        rest = schema.get("items", True)
        subs = [*prefix, *[rest] * (len(value) - len(prefix))]
        value = [_read(validator, root, sub, each) for sub, each in zip(subs, value, strict=False)]
    else:
        value = _object(validator, root, schema, value)
    for keyword in ("anyOf", "oneOf"):
        for sub in schema.get(keyword, ()):
            read = _read(validator, root, sub, value)
            if validator.evolve(schema=sub).is_valid(read):
                value = read
                break
    return value


def _object(
    validator: Any, root: Schema, schema: Mapping[str, Any], value: dict[str, Any]
) -> dict[str, Any]:
    required, properties = schema.get("required", ()), schema.get("properties", {})
    further = schema.get("additionalProperties", True)
    read = {}
    for name, each in value.items():
        sub = properties.get(name, further)
        optional = name in properties and name not in required
        if each is None and optional and not validator.evolve(schema=sub).is_valid(None):
            continue
        read[name] = _read(validator, root, sub, each)
    return read


def _target(root: Schema, ref: str) -> Any:
    """The schema that a reference within the document names."""
    found: Any = root
    for token in ref.removeprefix("#").split("/")[1:]:
        key = token.replace("~1", "/").replace("~0", "~")
        found = found[int(key)] if isinstance(found, list) else found[key]
    return found
