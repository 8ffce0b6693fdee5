"""Fireworks, as a declaration; `fireworks_client` asks it."""

from __future__ import annotations

from ..schemas.dialects import JSON_SCHEMA
from .backend import Backend
from .capabilities import ALWAYS_THINKS, CHAT_COMPLETIONS, Capabilities

KEY_VARIABLE = "FIREWORKS_API_KEY"


def _row(models: str, effort: str | None = None, *, room: int = 0) -> Capabilities:
    return Capabilities(
        models,
        CHAT_COMPLETIONS,
        most_stops=4,
        always={"reasoning_effort": effort} if effort else {},
        thinking_room=room,
    )


BACKEND = Backend(
    name="fireworks",
    description="Fireworks",
    client="workflow_scripts.backends.fireworks_client:FireworksClient",
    model="a model's whole name (accounts/…/models/…)",
    # fireworks-ai 1.2.28, completion_create_params: "reasoning_effort", "stop", "top_k".
    rows=(
        _row(r".*/(gpt-oss|minimax-m2).*", "low", room=ALWAYS_THINKS),
        _row(r".*/(qwen3-\d+b(-a\d+b)?|deepseek-v3p[12]|glm-4p[567](-air)?)", "none"),
        _row(r".*/(deepseek-r1|.*thinking).*", room=ALWAYS_THINKS),
        _row(".*"),
    ),
    is_hosted=True,
    has_batch_api=True,
    key_variables=(KEY_VARIABLE,),
    dialect=lambda identity: JSON_SCHEMA,
    judges_by_schema=True,
)
