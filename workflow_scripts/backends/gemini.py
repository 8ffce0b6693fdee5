"""Google's Gemini API, as a declaration; `gemini_client` asks it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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


def _gemini(
    models: str, *, sampled: bool = True, thinking: Mapping[str, Any] | None = None, room: int = 0
) -> Capabilities:
    return Capabilities(
        models,
        _NAMES if sampled else _UNSAMPLED,
        {} if sampled else _NOT_SAMPLED,
        always={"thinkingConfig": thinking} if thinking else {},
        thinking_room=room,
        most_stops=5,
    )


BACKEND = Backend(
    name="gemini",
    description="Google's Gemini API",
    client="workflow_scripts.backends.gemini_client:GeminiClient",
    # ai.google.dev/gemini-api/docs: "Thinking", and what is new in each model since 3.5.
    rows=(
        _gemini(r"gemini-2\.5-flash.*", thinking={"thinkingBudget": 0}),
        _gemini(r"gemini-2\.5-pro.*", thinking={"thinkingBudget": 128}, room=256),
        _gemini(r"(gemini-(1|2\.0)|gemma|learnlm).*"),
        _gemini(r"gemini-3(\.1)?-pro.*", thinking={"thinkingLevel": "LOW"}, room=ALWAYS_THINKS),
        _gemini(
            r"gemini-3(\.1)?-flash.*|gemini-3\.5-flash(?!-lite).*",
            thinking={"thinkingLevel": "MINIMAL"},
        ),
        _gemini(
            r"gemini-3\.(5-flash-lite|6-flash).*",
            sampled=False,
            thinking={"thinkingLevel": "MINIMAL"},
        ),
        _gemini(".*", sampled=False, thinking={"thinkingLevel": "LOW"}, room=ALWAYS_THINKS),
    ),
    is_hosted=True,
    has_batch_api=True,
    key_variables=KEY_VARIABLES,
)
