"""Families of models: those of one family may like each other's answers."""

from __future__ import annotations

import re

_FAMILY = re.compile(
    r"claude|command|deepseek|gemini|gemma|glm|gpt|grok|kimi|llama|mistral|mixtral|nova|phi|qwen"
)


def family_of(model: str) -> str | None:
    """Return the family that a model's name says it belongs to; ``None`` if it says none."""
    found = _FAMILY.search(model.lower())
    return found[0] if found else None
