"""Ollama, as a declaration; `ollama_client` asks it."""

from __future__ import annotations

from ..schemas.dialects import JSON_SCHEMA
from .backend import Backend, Server
from .capabilities import ANY_EFFORT, CHAT_COMPLETIONS, Capabilities

BACKEND = Backend(
    name="ollama",
    description="Ollama, by its native API",
    client="workflow_scripts.backends.ollama_client:OllamaClient",
    model="an Ollama tag",
    # What a model takes of `efforts`, Ollama tells (`/api/show`); the client checks it.
    rows=(
        Capabilities(
            ".*",
            {**CHAT_COMPLETIONS, "max_new_tokens": "num_predict"},
            efforts=ANY_EFFORT,
        ),
    ),
    is_local=True,
    server=Server(default="http://localhost:11434"),
    concurrency=2,  # small GPUs
    occupies_accelerator=True,
    dialect=lambda identity: JSON_SCHEMA,
    judges_by_schema=True,
)
