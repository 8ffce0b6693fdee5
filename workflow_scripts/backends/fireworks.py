"""Fireworks, as a declaration; `fireworks_client` asks it."""

from __future__ import annotations

from typing import Any

from ..schemas.dialects import FIREWORKS
from .backend import Backend
from .capabilities import ALWAYS_THINKS, CHAT_COMPLETIONS, LOGPROBS, Capabilities

KEY_VARIABLE = "FIREWORKS_API_KEY"


def _row(
    models: str,
    effort: str | None = None,
    *,
    takes: str = "",
    room: int = 0,
    **more: Any,
) -> Capabilities:
    return Capabilities(
        models,
        CHAT_COMPLETIONS,
        most_stops=4,
        always={"reasoning_effort": effort} if effort else {},
        thinking_room=room,
        logprobs=LOGPROBS,
        **{"efforts": {each: {"reasoning_effort": each} for each in takes.split()}, **more},
    )


_ON_OFF = "none medium"

BACKEND = Backend(
    name="fireworks",
    description="Fireworks",
    client="workflow_scripts.backends.fireworks_client:FireworksClient",
    reader="workflow_scripts.backends.chat_completions:kept_answer",
    model="a model's whole name (accounts/…/models/…)",
    # fireworks-ai 1.2.30, completion_create_params: "reasoning_effort", "stop", "top_k".
    # models.dev, issues 2080, 3777, 5763, 6237, 6741: what models since DeepSeek V4 and GLM 5 took.
    rows=(
        _row(r".*/(gpt-oss|minimax-m2).*", "low", takes="low medium high", room=ALWAYS_THINKS),
        _row(r".*/glm-5p3(-flash)?", "low", takes="low high", room=ALWAYS_THINKS),
        _row(r".*/(deepseek-r1|.*thinking).*", room=ALWAYS_THINKS),
        _row(
            r".*/(qwen3-\d+b(-a\d+b)?|qwen3p\d.*)",
            "none",
            takes="none low medium high",
            budget=lambda tokens: {"reasoning_effort": tokens},
        ),
        # These are on or off, and Fireworks reads "on" as medium.
        _row(
            r".*/(deepseek-v3p[12]|glm-4p[567](-air)?|glm-5p1|kimi-k2p7.*)", "none", takes=_ON_OFF
        ),
        _row(r".*/glm-5p2", "none", takes="none high"),
        _row(
            r".*/(deepseek-v4.*|kimi-k2p6|kimi-k3|minimax-m3)", "none", takes="none low medium high"
        ),
        _row(r".*/(llama-v\d|mixtral|mistral|gemma-[23]|qwen2|phi-).*", efforts={"none": {}}),
        _row(".*"),
    ),
    is_hosted=True,
    has_batch_api=True,
    key_variables=(KEY_VARIABLE,),
    dialect=lambda identity: FIREWORKS,
    judges_by_schema=True,
)
