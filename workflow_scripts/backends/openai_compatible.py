"""Servers that speak OpenAI's chat completions, as a declaration."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..core.records import Decoding
from ..schemas.dialect import Dialect
from .backend import Backend, Server
from .capabilities import ANY_EFFORT, CHAT_COMPLETIONS, LOGPROBS, Capabilities
from .servers import off_at, server_of, thinking_at
from .shape import SCHEMA, shape_in

KEY_VARIABLE = "ASSAY_OPENAI_COMPATIBLE_API_KEY"
"""Environment variable of the key, where the server wants one. OPENAI_API_KEY is left alone: that
key is nothing to be sent to another server."""


def _dialect(identity: Mapping[str, str]) -> Dialect | None:
    if SCHEMA in shape_in(identity).omit:
        return None
    return server_of(identity).dialect


def _also_sent(identity: Mapping[str, str], decoding: Decoding) -> dict[str, Any]:
    changed = json.loads(identity.get("extra_body", "{}"))
    off = {name: value for name, value in off_at(identity).items() if name not in changed}
    return {**off, **thinking_at(identity, decoding.reasoning)}


BACKEND = Backend(
    name="openai_compatible",
    description="vLLM, llama-server, LM Studio, LocalAI and others that speak as OpenAI does",
    client="workflow_scripts.backends.openai_compatible_client:OpenAICompatibleClient",
    reader="workflow_scripts.backends.openai_compatible_client:kept_answer",
    model="the name under which the server offers the model",
    # vLLM takes 4 stop texts (VLLM_MAX_STOP_STRINGS), as OpenAI, OpenRouter, Groq and others do.
    # reasoning_effort: the OpenAPI documents and SDKs of OpenRouter 1.3, Groq 1.7, Cerebras 1.91,
    # Mistral 3.7 and SGLang 0.5; vLLM 0.32, protocol.py; llama-server's README.
    rows=(
        Capabilities(
            ".*",
            CHAT_COMPLETIONS,
            most_stops=4,
            cuts_at_further_stops=True,
            efforts={effort: {"reasoning_effort": effort} for effort in ANY_EFFORT},
            budget=lambda tokens: {},  # under the name of each server
            logprobs=LOGPROBS,
        ),
    ),
    server=Server(path="/v1"),
    key_variables=(KEY_VARIABLE,),
    occupies_accelerator=True,
    dialect=_dialect,
    takes_shape=True,
    judges_by_schema=True,
    also_sent=_also_sent,
)
