"""Ollama, as a declaration; `ollama_client` asks it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..core.records import Decoding, Reasoning
from ..schemas.dialects import LLAMA_CPP
from .backend import Backend, Server
from .capabilities import ANY_EFFORT, CHAT_COMPLETIONS, LOGPROBS, Capabilities

OFF: Mapping[str, Any] = {
    "top_p": 1.0,
    "top_k": 0,
    "min_p": 0.0,
    "repeat_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
}
"""What Ollama and the model's own file would otherwise add to the decoding that was asked for."""


def thinking(reasoning: Reasoning) -> dict[str, Any]:
    """Return what a request says about thinking, where the config does."""
    if reasoning == "default":
        return {}
    return {"think": False if reasoning == "none" else str(reasoning)}


def _also_sent(identity: Mapping[str, str], decoding: Decoding) -> dict[str, Any]:
    asked = decoding.reasoning
    thinks = {"think": json.loads(identity["think"])} if asked is None else thinking(asked)
    return {**OFF, "num_ctx": int(identity["n_ctx"]), **thinks}


BACKEND = Backend(
    name="ollama",
    description="Ollama, by its native API",
    client="workflow_scripts.backends.ollama_client:OllamaClient",
    reader="workflow_scripts.backends.ollama_client:kept_answer",
    model="an Ollama tag",
    # What a model takes of `efforts`, Ollama tells (`/api/show`); the client checks it.
    rows=(
        Capabilities(
            ".*",
            {**CHAT_COMPLETIONS, "max_new_tokens": "num_predict"},
            efforts=ANY_EFFORT,
            logprobs=LOGPROBS,
        ),
    ),
    is_local=True,
    server=Server(default="http://localhost:11434"),
    concurrency=2,  # small GPUs
    occupies_accelerator=True,
    dialect=lambda identity: LLAMA_CPP,
    judges_by_schema=True,
    also_sent=_also_sent,
)
