"""OpenAI, as a declaration; `openai_client` asks it."""

from __future__ import annotations

from ..schemas.dialects import JSON_SCHEMA
from .backend import Backend
from .capabilities import ALWAYS_THINKS, Capabilities

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
_UNSAMPLED = dict.fromkeys(
    ("temperature", "top_p"), "this model takes no sampling parameters; it samples at temperature 1"
)


def _reasoning(
    models: str, effort: str | None = None, *, sampled: bool = False, room: int = 0
) -> Capabilities:
    refused = _NO_STOPS if sampled else {**_NO_STOPS, **_UNSAMPLED}
    return Capabilities(
        models,
        {name: theirs for name, theirs in _NAMES.items() if name not in refused},
        {**_NO_TOP_K, **refused},
        always={"reasoning_effort": effort} if effort else {},
        thinking_room=room,
    )


BACKEND = Backend(
    name="openai",
    description="OpenAI",
    client="workflow_scripts.backends.openai_client:OpenAIClient",
    # developers.openai.com/api/docs: the pages of the models (their reasoning efforts), "Parameter
    # compatibility" in the guides to GPT-5.1, 5.2, 5.4 and 6 (sampling); openai 3.52 (the rest).
    rows=(
        Capabilities("gpt-5-chat-latest", _NAMES, _NO_TOP_K, most_stops=4),
        _reasoning(r"gpt-5\.[124](-mini|-nano)?(-\d{4}.*)?", "none", sampled=True),
        _reasoning(r"gpt-(5\.5|5\.6(-\w+)?|6-(sol|luna))(-\d{4}.*)?", "none"),
        _reasoning(r"gpt-5(-mini|-nano)?(-\d{4}.*)?", "minimal", room=256),
        _reasoning(r"gpt-6.*|(ft:)?o\d.*", "low", room=ALWAYS_THINKS),
        _reasoning(r"gpt-([5-9]|\d\d).*", room=ALWAYS_THINKS),  # and what comes next
        Capabilities(".*", _NAMES, _NO_TOP_K, most_stops=4),
    ),
    is_hosted=True,
    has_batch_api=True,
    key_variables=(KEY_VARIABLE,),
    dialect=lambda identity: JSON_SCHEMA,
    judges_by_schema=True,
)
