"""Anthropic, as a declaration; `anthropic_client` asks it."""

from __future__ import annotations

from typing import Any

from .backend import Backend
from .capabilities import ALWAYS_THINKS, Capabilities

KEY_VARIABLE = "ANTHROPIC_API_KEY"

_NAMES = {
    "temperature": "temperature",
    "max_new_tokens": "max_tokens",
    "top_p": "top_p",
    "top_k": "top_k",
    "stop": "stop_sequences",
}
_UNSAMPLED = {"max_new_tokens": "max_tokens", "stop": "stop_sequences"}
_NO_SEED = {"seed": "Anthropic's API has no seed"}
_NOT_SAMPLED = _NO_SEED | dict.fromkeys(
    ("temperature", "top_p", "top_k"),
    "this model takes no sampling parameters; it samples at temperature 1",
)


def _claude(models: str, *, sampled: bool = False, **more: Any) -> Capabilities:
    return Capabilities(
        models,
        _NAMES if sampled else _UNSAMPLED,
        _NO_SEED if sampled else _NOT_SAMPLED,
        blank_stops=False,
        highest_temperature=1.0,
        **more,
    )


BACKEND = Backend(
    name="anthropic",
    description="Anthropic's Claude",
    client="workflow_scripts.backends.anthropic_client:AnthropicClient",
    # platform.claude.com/docs: migration guides of each model, and "Thinking"; API versions.
    rows=(
        _claude(
            r"claude-(sonnet-5|opus-5|haiku-5-5)(-\d{8})?",
            always={"thinking": {"type": "disabled"}},
        ),
        _claude(r"claude-sonnet-5-5(-\d{8})?", always={"thinking": {"type": "between_tools"}}),
        _claude(r"claude-opus-4-[78](-\d{8})?"),
        _claude(
            r"claude-(opus-4-[156]|sonnet-4-[56]|haiku-4-5)(-\d{8})?",
            sampled=True,
            one_of=("temperature", "top_p"),
        ),
        _claude(r"claude-([123][-.].*|instant.*|(opus|sonnet)-4-(0|\d{8}))", sampled=True),
        _claude(".*", thinking_room=ALWAYS_THINKS),  # Opus 5.5, Fable, Mythos, and what comes next
    ),
    is_hosted=True,
    has_batch_api=True,
    key_variables=(KEY_VARIABLE,),
    caches_all=False,
)
