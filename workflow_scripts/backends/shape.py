"""How one server wants its requests, where it differs from its kind: what a config says of that."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from ..core.block import Block

SCHEMA = "response_format"

Omitted = Literal[
    "temperature",
    "top_p",
    "top_k",
    "stop",
    "seed",
    "min_p",
    "repeat_penalty",
    "repetition_penalty",
    "presence_penalty",
    "frequency_penalty",
    "response_format",
]
Renamed = Literal["max_tokens", "seed"]

JsonValue = bool | int | float | str | list[Any] | dict[str, Any] | None

_OWN_KEYS = {
    "model": "model_id",
    "messages": "the prompts",
    "stream": "nothing: Assay does not stream",
    "n": "samples_per_item",
    "max_tokens": "max_new_tokens",
    "max_completion_tokens": "max_new_tokens and rename",
    "temperature": "temps",
    "stop": "stop",
    "seed": "seed",
    SCHEMA: "json_schema",
}
"""Fields of a request that Assay writes, and what decides them."""


class Shape(Block):
    """What is left out of requests, renamed in them and added to them.

    A request without ``response_format`` has no JSON schema, so the server counts as one that
    enforces none. Fields that Assay writes win over those of ``extra_body``.
    """

    omit: list[Omitted] = Field(default_factory=list)
    rename: dict[Renamed, str] = Field(default_factory=dict)
    extra_body: dict[str, JsonValue] = Field(default_factory=dict)

    def identity(self) -> dict[str, str]:
        """Return what of it decides answers, as part of a client's identity; empty by default."""
        found = {
            "omit": ",".join(sorted(self.omit)),
            "rename": ",".join(f"{ours}:{theirs}" for ours, theirs in sorted(self.rename.items())),
            "extra_body": json.dumps(self.extra_body, sort_keys=True) if self.extra_body else "",
        }
        return {name: value for name, value in found.items() if value}


def shape_in(identity: Mapping[str, str]) -> Shape:
    """Return the shape with what an identity says is omitted."""
    omitted = identity.get("omit")
    return Shape.model_validate({"omit": omitted.split(",") if omitted else []})


def own_key(fields: Mapping[str, object]) -> str | None:
    """Return why the fields cannot be in ``extra_body``; None if they can."""
    for name in fields:
        if name in _OWN_KEYS:
            return f"Assay writes {name} itself; it is decided by {_OWN_KEYS[name]}"
    return None
