"""OpenAI, as a declaration; `openai_client` asks it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..schemas.dialect import Dialect
from ..schemas.dialects import OPENAI, OPENAI_TUNED
from .backend import Backend
from .capabilities import ALWAYS_THINKS, LOGPROBS, Capabilities

KEY_VARIABLE = "OPENAI_API_KEY"

_NAMES = {
    "temperature": "temperature",
    "max_new_tokens": "max_completion_tokens",
    "top_p": "top_p",
    "stop": "stop",
    "seed": "seed",
}
_NO_TOP_K = {"top_k": "OpenAI has no such parameter"}
_NO_STOPS = {"stop": "OpenAI's reasoning models take no stop texts"}
_SAMPLED = {"sampling": "as asked"}
_UNSAMPLED = dict.fromkeys(
    ("temperature", "top_p"), "this model takes no sampling parameters; it samples at temperature 1"
)


def _reasoning(
    models: str,
    effort: str | None = None,
    *,
    takes: str = "low medium high",
    sampled: bool = False,
    room: int = 0,
    **more: Any,
) -> Capabilities:
    refused = _NO_STOPS if sampled else {**_NO_STOPS, **_UNSAMPLED}
    return Capabilities(
        models,
        {name: theirs for name, theirs in _NAMES.items() if name not in refused},
        {**_NO_TOP_K, **refused},
        always={"reasoning_effort": effort} if effort else {},
        thinking_room=room,
        efforts={each: {"reasoning_effort": each} for each in takes.split()},
        unsampled=("temperature", "top_p") if sampled else (),
        logprobs=LOGPROBS if sampled else {},
        **more,
    )


_PLAIN: dict[str, Any] = {
    "efforts": {"none": {}},
    "most_stops": 4,
    "logprobs": LOGPROBS,
}  # models that do not think
_FROM_NONE = "none low medium high"

_WITHOUT_SCHEMAS = re.compile(
    r"(ft:)?(gpt-3.*|gpt-4(-(?!o).*)?|gpt-4o-2024-05-13.*|chatgpt-4o.*|o1-(mini|preview).*)(:.*)?"
)
"""Models from before structured outputs (gpt-4o-2024-08-06), by the guide's list."""


def _dialect(identity: Mapping[str, str]) -> Dialect | None:
    model = identity["model"]
    if _WITHOUT_SCHEMAS.fullmatch(model):
        return None
    return OPENAI_TUNED if model.startswith("ft:") else OPENAI


BACKEND = Backend(
    name="openai",
    description="OpenAI",
    client="workflow_scripts.backends.openai_client:OpenAIClient",
    reader="workflow_scripts.backends.chat_completions:kept_answer",
    # developers.openai.com/api/docs: the pages of the models (their reasoning efforts), "Parameter
    # compatibility" in the guides to GPT-5.1, 5.2, 5.4 and 6 (sampling); openai 3.52 (the rest).
    # Reasoning models report log-probabilities at effort none alone (the same guides).
    # GPT-5.6-luna took temperatures of 0.2 and 1.5 without reasoning (models.dev, issue 6639), and
    # 5.3-chat-latest does not reason (models.dev). By LiteLLM (discussion 42523), so do GPT-6 Sol
    # and Luna. Nobody has shown that 5.5 and the others of 5.6 take one.
    rows=(
        Capabilities("gpt-5-chat-latest", _NAMES, _NO_TOP_K, **_PLAIN),
        Capabilities("gpt-5.3-chat-latest", _NAMES, _NO_TOP_K, new_rules=_SAMPLED, **_PLAIN),
        _reasoning(
            r"gpt-5\.[124](-mini|-nano)?(-\d{4}.*)?", "none", takes=_FROM_NONE, sampled=True
        ),
        _reasoning(
            r"gpt-(5\.6-luna|6-(sol|luna))(-\d{4}.*)?",
            "none",
            takes=_FROM_NONE,
            sampled=True,
            new_rules=_SAMPLED,
        ),
        _reasoning(r"gpt-5\.(5|6(-\w+)?)(-\d{4}.*)?", "none", takes=_FROM_NONE),
        _reasoning(
            r"gpt-5(-mini|-nano)?(-\d{4}.*)?", "minimal", takes="minimal low medium high", room=256
        ),
        _reasoning(r"gpt-6.*|(ft:)?o\d.*", "low", room=ALWAYS_THINKS),
        _reasoning(r"gpt-5-pro.*", takes="high", room=ALWAYS_THINKS),
        _reasoning(r"gpt-5\.\d-pro.*", takes="medium high", room=ALWAYS_THINKS),
        _reasoning(r"gpt-5\.\d-chat-latest", takes="medium", room=ALWAYS_THINKS),
        _reasoning(r"gpt-([5-9]|\d\d).*", room=ALWAYS_THINKS),  # and what comes next
        Capabilities(".*", _NAMES, _NO_TOP_K, **_PLAIN),
    ),
    is_hosted=True,
    has_batch_api=True,
    key_variables=(KEY_VARIABLE,),
    dialect=_dialect,
    judges_by_schema=True,
)
