"""The dialects in which backends are sent JSON schemas."""

from __future__ import annotations

from .dialect import Dialect, Schema, Sent

JSON_SCHEMA = Dialect("json_schema", 1, lambda schema: Sent(dict(schema)))
"""A schema as it is."""


def _of_llguidance(schema: Schema) -> Sent:
    from .llguidance import translate  # a library that only this dialect needs

    return translate(schema)


LLGUIDANCE = Dialect("llguidance", 1, _of_llguidance)
"""Schemas as llguidance enforces them, within llama.cpp."""
