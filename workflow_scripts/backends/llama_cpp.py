"""llama.cpp in this process, as a declaration; `llama_cpp_client` asks it."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Any, Literal

from ..core.control_tokens import CONTROL_TEXT
from ..core.records import Reasoning, Request, ThinkingBudget
from ..schemas.dialects import LLGUIDANCE
from .backend import Backend
from .capabilities import ANY_EFFORT, PARAMETERS, Capabilities

BindingName = Literal["xllamacpp", "llama_cpp_python"]
"""The libraries that run llama.cpp."""

_MODULES: Mapping[BindingName, str] = {"xllamacpp": "xllamacpp", "llama_cpp_python": "llama_cpp"}

_INSTALL: Mapping[BindingName, str] = {
    "xllamacpp": "python -m pip install --requirement requirements.txt",
    "llama_cpp_python": "make llama-cpp (on Windows: .\\tasks.ps1 llama-cpp)",
}


BATCHING: frozenset[BindingName] = frozenset({"llama_cpp_python"})
"""Those that make several answers at once."""

_NO_LIMIT = 1_000_000
"""As many requests at once as the client can make use of."""


def missing(binding: BindingName) -> str | None:
    """Return that a library is not installed, and the command that does it; None if it is."""
    if importlib.util.find_spec(_MODULES[binding]) is not None:
        return None
    return f"the library {binding!r} is not installed. Run: {_INSTALL[binding]}"


def _new_rules(request: Request) -> list[str]:
    """What of a request is asked differently since version 0.2; earlier answers are wrong."""
    rules = []
    if len(set(request.decoding.stop)) > 1:
        rules.append("the stop text that comes first in the answer ends it")
    if any(CONTROL_TEXT.search(each.content) for each in request.messages):
        rules.append("control tokens in messages are text")
    return rules


def template_told(reasoning: Reasoning | None) -> dict[str, Any]:
    """Return what a chat template is told about thinking.

    The names are those in use at Qwen, DeepSeek and gpt-oss.
    """
    if reasoning in (None, "default"):
        return {}
    thinks = reasoning != "none"
    level = {} if isinstance(reasoning, ThinkingBudget) else {"reasoning_effort": reasoning}
    return {"enable_thinking": thinks, "thinking": thinks, **level}


BACKEND = Backend(
    name="llama_cpp",
    # Which of them a model takes, its chat template says; the client checks it.
    rows=(
        Capabilities(
            ".*",
            {name: name for name in PARAMETERS},
            efforts=ANY_EFFORT,
            budget=lambda tokens: {"budget_tokens": tokens},
            logprobs={"logprobs": True},
        ),
    ),
    description="llama.cpp in this process",
    client="workflow_scripts.backends.llama_cpp_client:LlamaCppClient",
    model="the path of a GGUF file",
    is_local=True,
    model_is_file=True,
    concurrency=_NO_LIMIT,
    occupies_accelerator=True,
    dialect=lambda identity: LLGUIDANCE,
    also_sent=lambda identity, decoding: template_told(decoding.reasoning),
    new_rules=_new_rules,
)
