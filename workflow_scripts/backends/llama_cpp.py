"""llama.cpp in this process, as a declaration; `llama_cpp_client` asks it."""

from __future__ import annotations

from ..core.control_tokens import CONTROL_TEXT
from ..core.records import Request
from .backend import Backend


def _new_rules(request: Request) -> list[str]:
    """What of a request is asked differently since version 0.2; earlier answers are wrong."""
    rules = []
    if len(set(request.decoding.stop)) > 1:
        rules.append("the stop text that comes first in the answer ends it")
    if any(CONTROL_TEXT.search(each.content) for each in request.messages):
        rules.append("control tokens in messages are text")
    return rules


BACKEND = Backend(
    name="llama_cpp",
    description="llama.cpp in this process",
    client="workflow_scripts.backends.llama_cpp_client:LlamaCppClient",
    model="the path of a GGUF file",
    is_local=True,
    model_is_file=True,
    concurrency=2,
    occupies_accelerator=True,
    new_rules=_new_rules,
)
