"""Ollama, as a declaration; `ollama_client` asks it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ..schemas.dialect import Dialect
from ..schemas.dialects import LLAMA_CPP
from .backend import Backend, Server
from .capabilities import ANY_EFFORT, CHAT_COMPLETIONS, LOGPROBS, Capabilities


def _dialect(identity: Mapping[str, str]) -> Dialect | None:
    """Ollama's cloud enforces no schema (docs.ollama.com, "Structured outputs")."""
    return None if re.search(r"[:-]cloud$", identity["model"]) else LLAMA_CPP


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
    dialect=_dialect,
    judges_by_schema=True,
)
