"""The dialects in which backends are sent JSON schemas."""

from __future__ import annotations

from .dialect import Dialect, Sent

JSON_SCHEMA = Dialect("json_schema", 1, lambda schema: Sent(dict(schema)))
"""A schema as it is."""
