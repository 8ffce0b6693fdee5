"""Google's Gemini API, as a declaration; `gemini_client` asks it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..schemas.dialects import GEMINI
from .backend import Backend
from .capabilities import ALWAYS_THINKS, Capabilities

KEY_VARIABLES = ("GEMINI_API_KEY", "GOOGLE_API_KEY")

_NAMES = {
    "temperature": "temperature",
    "max_new_tokens": "maxOutputTokens",
    "top_p": "topP",
    "top_k": "topK",
    "stop": "stopSequences",
    "seed": "seed",
}
_NOT_SAMPLED = dict.fromkeys(
    ("temperature", "top_p", "top_k"),
    "this model ignores sampling parameters, which are deprecated; it samples at temperature 1",
)
_UNSAMPLED = {name: theirs for name, theirs in _NAMES.items() if name not in _NOT_SAMPLED}


def _budget(tokens: int) -> dict[str, Any]:
    return {"thinkingConfig": {"thinkingBudget": tokens, "includeThoughts": True}}


def _levels(words: str) -> dict[str, Mapping[str, Any]]:
    """Levels of thinking by our words, which are Google's."""
    return {
        word: {"thinkingConfig": {"thinkingLevel": word.upper(), "includeThoughts": True}}
        for word in words.split()
    }


_OFF = {"thinkingConfig": {"thinkingBudget": 0}}
_BY_BUDGET = {
    "minimal": _budget(1024), "low": _budget(1024), "medium": _budget(8192),
    "high": _budget(24_576),
}  # fmt: skip
"""Levels of models that take budgets, as Google's own interface for OpenAI's clients has them."""

_NEVER: dict[str, Mapping[str, Any]] = {"none": {}}


def _gemini(
    models: str,
    *,
    sampled: bool = True,
    thinking: Mapping[str, Any] | None = None,
    room: int = 0,
    **more: Any,
) -> Capabilities:
    return Capabilities(
        models,
        _NAMES if sampled else _UNSAMPLED,
        {} if sampled else _NOT_SAMPLED,
        always={"thinkingConfig": thinking} if thinking else {},
        thinking_room=room,
        most_stops=5,
        **more,
    )


_WITHOUT_SCHEMAS = re.compile(r"(gemini-1|gemma|learnlm).*")
"""Models that take no `responseJsonSchema`, by "Structured outputs" in the documentation."""

BACKEND = Backend(
    name="gemini",
    description="Google's Gemini API",
    client="workflow_scripts.backends.gemini_client:GeminiClient",
    reader="workflow_scripts.backends.gemini_client:kept_answer",
    # ai.google.dev/gemini-api/docs: "Thinking", and what is new in each model since 3.5. Gemma 4:
    # any level but these two, and any budget, is refused (pi, issues 2811 and 2812). Budgets are
    # exceeded by models since 3 (python-genai, issue 1795), so they are for 2.5 alone. Of models
    # since 2.5, the Developer API says "Logprobs is not enabled" (langchain-google, pull 1266).
    rows=(
        _gemini(
            r"gemini-2\.5-flash-lite.*",
            thinking={"thinkingBudget": 0},
            efforts={"none": _OFF, **_BY_BUDGET},
            budget=_budget,
            budgets=(512, 24_576),
        ),
        _gemini(
            r"gemini-2\.5-flash.*",
            thinking={"thinkingBudget": 0},
            efforts={"none": _OFF, **_BY_BUDGET},
            budget=_budget,
            budgets=(1, 24_576),
        ),
        _gemini(
            r"gemini-2\.5-pro.*",
            thinking={"thinkingBudget": 128},
            room=256,
            efforts=_BY_BUDGET,
            budget=_budget,
            budgets=(128, 32_768),
        ),
        _gemini(
            r"gemma-4.*", thinking={"thinkingLevel": "MINIMAL"}, efforts=_levels("minimal high")
        ),
        _gemini(r"gemini-2\.0.*", efforts=_NEVER, logprobs={"responseLogprobs": True}),
        _gemini(r"(gemini-1|gemma|learnlm).*", efforts=_NEVER),
        _gemini(
            r"gemini-3-pro.*",
            thinking={"thinkingLevel": "LOW"},
            room=ALWAYS_THINKS,
            efforts=_levels("low high"),
        ),
        _gemini(
            r"gemini-3\.1-pro.*",
            thinking={"thinkingLevel": "LOW"},
            room=ALWAYS_THINKS,
            efforts=_levels("low medium high"),
        ),
        _gemini(
            r"gemini-3(\.1)?-flash.*|gemini-3\.5-flash(?!-lite).*",
            thinking={"thinkingLevel": "MINIMAL"},
            efforts=_levels("minimal low medium high"),
        ),
        _gemini(
            r"gemini-3\.(5-flash-lite|6-flash).*",
            sampled=False,
            thinking={"thinkingLevel": "MINIMAL"},
            efforts=_levels("minimal low medium high"),
        ),
        _gemini(
            ".*",
            sampled=False,
            thinking={"thinkingLevel": "LOW"},
            room=ALWAYS_THINKS,
            efforts=_levels("low medium high"),
        ),
    ),
    is_hosted=True,
    has_batch_api=True,
    key_variables=KEY_VARIABLES,
    dialect=lambda identity: None if _WITHOUT_SCHEMAS.fullmatch(identity["model"]) else GEMINI,
)
