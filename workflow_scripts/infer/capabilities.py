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
    Every parameter stands in exactly one of them.
    """

    engine: str
    models: str
    names: Mapping[str, str]
    dropped: Mapping[str, str] = field(default_factory=dict)

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

TABLE = (
    Capabilities(
        "ollama",
        ".*",
        {**_CHAT_COMPLETIONS, "max_new_tokens": "num_predict"},
    ),
    Capabilities("openai_compatible", ".*", _CHAT_COMPLETIONS),
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
    values = decoding.model_dump()
    return {
        theirs: values[ours]
        for ours, theirs in capabilities(engine, model).names.items()
        if values[ours] not in (None, [])
    }


def dropped(engine: str, model: str, decoding: Decoding) -> dict[str, str]:
    """The parameters that are set but not sent, each with the reason."""
    values = decoding.model_dump()
    return {
        name: reason
        for name, reason in capabilities(engine, model).dropped.items()
        if values[name] not in (None, []) and not (name == "seed" and values["temperature"] == 0)
    }
