"""Anthropic, as a declaration; `anthropic_client` asks it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..schemas.dialects import ANTHROPIC
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


def _adaptive(off: Mapping[str, Any] | None, **shown: str) -> dict[str, Mapping[str, Any]]:
    """What models that decide for themselves take, and how thinking is turned off, if at all."""
    levels: dict[str, Mapping[str, Any]] = {
        effort: {"thinking": {"type": "adaptive", **shown}, "output_config": {"effort": effort}}
        for effort in ("low", "medium", "high")
    }
    return levels if off is None else {"none": off, **levels}


_SHOWN = {"display": "summarized"}  # these models leave out the text of their thoughts otherwise


def _budget(tokens: int) -> dict[str, Any]:
    return {"thinking": {"type": "enabled", "budget_tokens": tokens}}


_BY_BUDGET: dict[str, Any] = {
    "budget": _budget,
    "budgets": (1024, 128_000),
    "unsampled": ("temperature", "top_p", "top_k"),
}


def _claude(models: str, *, sampled: bool = False, **more: Any) -> Capabilities:
    return Capabilities(
        models,
        _NAMES if sampled else _UNSAMPLED,
        _NO_SEED if sampled else _NOT_SAMPLED,
        blank_stops=False,
        highest_temperature=1.0,
        **more,
    )


_DISABLED = {"thinking": {"type": "disabled"}}
_BETWEEN_TOOLS = {"thinking": {"type": "between_tools"}}

_WITHOUT_SCHEMAS = re.compile(r"claude-([123][-.].*|instant.*|(opus|sonnet)-4-(0|\d{8}))")
"""Models before Opus 4.1, by "Structured outputs" in the documentation."""

BACKEND = Backend(
    name="anthropic",
    description="Anthropic's Claude",
    client="workflow_scripts.backends.anthropic_client:AnthropicClient",
    reader="workflow_scripts.backends.anthropic_client:kept_answer",
    # platform.claude.com/docs: migration guides of each model, and "Thinking"; API versions.
    # anthropic 2.14: ThinkingConfigParam, OutputConfigParam.
    rows=(
        _claude(
            r"claude-(sonnet-5|opus-5|haiku-5-5)(-\d{8})?",
            always=_DISABLED,
            efforts=_adaptive(_DISABLED, **_SHOWN),
        ),
        _claude(
            r"claude-sonnet-5-5(-\d{8})?",
            always=_BETWEEN_TOOLS,
            efforts=_adaptive(_BETWEEN_TOOLS, **_SHOWN),
        ),
        _claude(r"claude-opus-4-[78](-\d{8})?", efforts=_adaptive({}, **_SHOWN)),
        _claude(
            r"claude-(opus|sonnet)-4-6(-\d{8})?",
            sampled=True,
            one_of=("temperature", "top_p"),
            efforts=_adaptive({}),
            **_BY_BUDGET,
        ),
        _claude(
            r"claude-(opus-4-[15]|sonnet-4-5|haiku-4-5)(-\d{8})?",
            sampled=True,
            one_of=("temperature", "top_p"),
            efforts={"none": {}},
            **_BY_BUDGET,
        ),
        _claude(
            r"claude-(3-7.*|(opus|sonnet)-4-(0|\d{8}))",
            sampled=True,
            efforts={"none": {}},
            **_BY_BUDGET,
        ),
        _claude(r"claude-([123][-.].*|instant.*)", sampled=True, efforts={"none": {}}),
        # Opus 5.5, Fable, Mythos, and what comes next
        _claude(".*", thinking_room=ALWAYS_THINKS, efforts=_adaptive(None, **_SHOWN)),
    ),
    is_hosted=True,
    has_batch_api=True,
    key_variables=(KEY_VARIABLE,),
    caches_all=False,
    dialect=lambda identity: None if _WITHOUT_SCHEMAS.fullmatch(identity["model"]) else ANTHROPIC,
)
