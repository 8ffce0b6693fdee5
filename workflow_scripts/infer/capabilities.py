"""Which decoding parameters each backend's models take, and under which names.

What a model does not take is not sent, and the plan (`plan.json`) says so; nothing is dropped in
silence. Sources: the providers' API references and SDKs, named at each row.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..records import Decoding

PARAMETERS = ("temperature", "max_new_tokens", "top_p", "top_k", "stop", "seed")


@dataclass(frozen=True)
class Capabilities:
    """One row: the models of an engine whose id matches ``models``.

    ``names`` maps our parameter to the provider's; ``dropped`` maps it to why it is not sent.
    Every parameter stands in exactly one of them. Of the stop texts, the first ``most_stops`` are
    sent.
    """

    engine: str
    models: str
    names: Mapping[str, str]
    dropped: Mapping[str, str] = field(default_factory=dict)
    most_stops: int | None = None

    def __post_init__(self) -> None:
        told = [*self.names, *self.dropped]
        assert sorted(told) == sorted(PARAMETERS), (self.engine, self.models)  # noqa: S101


_CHAT_COMPLETIONS = {
    "temperature": "temperature",
    "max_new_tokens": "max_tokens",
    "top_p": "top_p",
    "top_k": "top_k",
    "stop": "stop",
    "seed": "seed",
}

_OPENAI = {name: _CHAT_COMPLETIONS[name] for name in ("temperature", "top_p", "stop", "seed")} | {
    "max_new_tokens": "max_completion_tokens"
}
_NO_TOP_K = {"top_k": "OpenAI has no such parameter"}
_BY_DEFAULT = "OpenAI's reasoning models decode with their own defaults (temperature 1)"
_NO_STOPS = "OpenAI's reasoning models take no stop texts"

TABLE = (
    Capabilities(
        "ollama",
        ".*",
        {**_CHAT_COMPLETIONS, "max_new_tokens": "num_predict"},
    ),
    Capabilities("openai_compatible", ".*", _CHAT_COMPLETIONS),
    # OpenAI: the API reference of chat completions (also in openai 3.52, completion_create_params),
    # and the 400 "Only the default (1) value is supported" that users of GPT-5 to 5.4 report.
    Capabilities("openai", r"gpt-5-chat-latest", _OPENAI, _NO_TOP_K, most_stops=4),
    Capabilities(
        "openai",
        r"(ft:)?(o\d|gpt-([5-9]|\d\d)).*",
        {name: _OPENAI[name] for name in ("max_new_tokens", "seed")},
        {**_NO_TOP_K, "temperature": _BY_DEFAULT, "top_p": _BY_DEFAULT, "stop": _NO_STOPS},
    ),
    Capabilities("openai", ".*", _OPENAI, _NO_TOP_K, most_stops=4),
    # Fireworks: the API reference of chat completions (fireworks-ai 1.2.28, the same).
    Capabilities("fireworks", ".*", _CHAT_COMPLETIONS, most_stops=4),
    Capabilities("llama_cpp", ".*", {name: name for name in PARAMETERS}),
)
"""The first row that matches an engine and a model holds."""


def capabilities(engine: str, model: str) -> Capabilities:
    """The row of a model."""
    return next(
        row for row in TABLE if row.engine == engine and re.fullmatch(row.models, model, re.DOTALL)
    )


def parameters(engine: str, model: str, decoding: Decoding) -> dict[str, Any]:
    """The decoding parameters as the model's provider names them, without what it does not take.

    Parameters that are off (``None``, no stop texts) are left out.
    """
    row, values = capabilities(engine, model), decoding.model_dump()
    values["stop"] = decoding.stop[: row.most_stops]
    return {
        theirs: values[ours] for ours, theirs in row.names.items() if values[ours] not in (None, [])
    }


def dropped(engine: str, model: str, decoding: Decoding) -> dict[str, str]:
    """The parameters that are set but not sent, each with the reason."""
    row, values = capabilities(engine, model), decoding.model_dump()
    reasons = dict(row.dropped)
    if row.most_stops is not None and len(decoding.stop) > row.most_stops:
        reasons["stop"] = f"only the first {row.most_stops} texts are sent; more are not taken"
    return {
        name: reason
        for name, reason in reasons.items()
        if values[name] not in (None, []) and not (name == "seed" and values["temperature"] == 0)
    }
