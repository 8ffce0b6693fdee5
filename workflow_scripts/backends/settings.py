"""What a config says about a backend."""

from __future__ import annotations

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    Field,
    model_validator,
)

from ..core.block import Block
from ..core.records import Reasoning
from ..core.registry import NameIn
from ..core.values import (
    NotEmpty,
)
from .backend import Backend
from .llama_cpp import BindingName
from .table import BACKENDS, DEFAULT

LOCAL = "local"
"""What configs write as ``backend`` for the engines of models on this machine."""


def _no_engine(name: str) -> str:
    if name in BACKENDS and BACKENDS[name].is_local:
        raise ValueError(f"write backend: {LOCAL} and local_engine: {name}")
    return name


_ENGINES = NameIn(BACKENDS, lambda each: each.is_local)

Kind = Annotated[
    str, AfterValidator(_no_engine), NameIn(BACKENDS, lambda each: not each.is_local, (LOCAL,))
]
Engine = Annotated[str, _ENGINES]


def _server_url(url: str) -> str:
    """Refuse what is not the address of a server."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises where it is none
    except ValueError as error:
        raise ValueError(f"not the address of a server: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
        raise ValueError("not the address of a server, such as http://localhost:11434")
    if parts.username is not None:
        raise ValueError("credentials do not belong into the address; see docs/backends.md")
    return url


class BackendFields(Block):
    """Where text comes from; at the top level of a config and in each of its ``backends``."""

    backend: Kind = Field(DEFAULT, description="Which kind of backend answers.")
    local_engine: Engine | None = Field(None, description="With backend local: the engine.")
    local_binding: BindingName = Field(
        "xllamacpp",
        description="Which library runs llama_cpp: xllamacpp, which set-up installs, or "
        "llama_cpp_python, which `make llama-cpp` compiles (docs/backends.md).",
    )
    local_endpoint: Annotated[str, AfterValidator(_server_url)] | None = Field(
        None,
        description="Address of the Ollama (default: http://localhost:11434) or "
        "OpenAI-compatible server; with a hosted backend: a gateway to ask instead.",
    )
    local_model: str | None = Field(None, description="Ollama tag, or path of a GGUF file.")
    model_id: str | None = Field(None, description="The provider's name of the model.")
    model_version: NotEmpty | None = Field(
        None,
        description="What answers, in your own words, where a server does not say it (Ollama, "
        "openai_compatible). Another version is another model: it is asked again.",
    )
    tokenizer: str | None = Field(
        None,
        description="GGUF file or tokenizer.json whose tokenizer measures prompts; default: the "
        "model's own.",
    )
    n_ctx: int = Field(2048, ge=1, description="Context length in tokens (local engines).")
    n_gpu_layers: int = Field(0, ge=-1, description="Layers kept on the GPU; -1 is all.")
    auto_fit: bool = Field(
        False,
        description="llama_cpp: where free memory is too small, keep fewer layers on the GPU or "
        "shorten n_ctx, to the largest that fits; the log says which.",
    )
    n_threads: int | None = Field(
        None, ge=1, description="CPU threads of llama_cpp; absent: llama.cpp chooses."
    )
    reasoning: Reasoning | None = Field(
        None,
        description="How much the model thinks before it answers: none, minimal, low, medium, "
        "high, budget_tokens: N, or default (as its provider has it); absent: as little as it can "
        "(docs/backends.md#reasoning).",
    )
    n_sequences: int | None = Field(
        None,
        ge=1,
        le=256,
        description="Answers that llama_cpp_python makes at once; absent: 16, on a GPU 64.",
    )
    max_concurrent_requests: Annotated[int, Field(ge=1)] | Literal["auto"] | None = Field(
        None,
        description="Requests in flight at once; auto: as many as the server bears, found out "
        "while it answers. Default: 2 with Ollama (small GPUs), with llama_cpp as many as "
        "n_sequences can use, auto otherwise.",
    )
    requests_per_minute: int | None = Field(
        None,
        ge=1,
        description="Requests sent to a model in a minute at most, by all jobs of these results "
        "together. Batch jobs are not slowed down.",
    )
    tokens_per_minute: int | None = Field(
        None,
        ge=1,
        description="The same for tokens: the prompt's and max_new_tokens, corrected by the "
        "answer's own count.",
    )
    request_timeout_s: float = Field(
        600, gt=0, description="Longest silence of a server, in seconds, before a request failed."
    )
    use_batch_api: bool = Field(
        True,
        description="Hosted backends: send parts as batch jobs, at half the price; false: request "
        "by request.",
    )
    poll_interval_s: float = Field(
        60, gt=0, description="Longest pause between two looks at a batch job, in seconds."
    )


class BackendSettings(BackendFields):
    """One backend with one model, complete: what a client is made from."""

    rivals: dict[str, str | None] = Field(default_factory=dict)
    """The addresses, each with its model_version, at which other backends of the config ask for
    the same model."""

    reasonings: list[Reasoning] = Field(default_factory=list, exclude_if=lambda asked: not asked)
    """What is asked of the model as ``reasoning``, in trials and in arms; `check` looks at it."""

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if self.backend == LOCAL and self.local_engine is None:
            engines = " or ".join(map(repr, _ENGINES.names()))
            raise ValueError(f"backend {LOCAL!r} needs local_engine: {engines}")
        declared = self.declaration
        if getattr(self, self.model_key) is None:
            raise ValueError(f"backend {self.engine!r} needs {self.model_key}, {declared.model}")
        if declared.server and (self.local_endpoint or declared.server.default) is None:
            raise ValueError(
                f"backend {self.engine!r} needs local_endpoint, the server's address, "
                "such as http://localhost:8000"
            )
        return self

    @property
    def engine(self) -> str:
        """The name under which the backend is declared."""
        return self.local_engine if self.local_engine and self.backend == LOCAL else self.backend

    @property
    def declaration(self) -> Backend:
        """What the backend's module says about it."""
        return BACKENDS[self.engine]

    @property
    def address(self) -> str | None:
        """The address of the user's own server, without the path of its interface."""
        server = self.declaration.server
        if server is None:
            return None
        address = str(self.local_endpoint or server.default).rstrip("/")
        return address.removesuffix(server.path).rstrip("/")

    @property
    def concurrency(self) -> int | Literal["auto"]:
        """Requests in flight at once, with the backend's default."""
        return self.max_concurrent_requests or self.declaration.concurrency

    @property
    def runs_batches(self) -> bool:
        """Whether parts are sent as jobs of the provider's batch API."""
        return self.use_batch_api and self.declaration.has_batch_api

    @property
    def runs_here(self) -> bool:
        """Whether the model works on this machine, in this process or in a server beside it."""
        if self.address is None:
            return self.declaration.is_local
        host = urlsplit(self.address).hostname or ""
        return host == "localhost" or host.startswith("127.") or host in ("::1", "0.0.0.0")  # noqa: S104 - compared

    @property
    def takes_turns_on(self) -> Literal["gpu", "cpu_model"] | None:
        """What its jobs share on this machine, by the name of the resource: the GPU or the CPU."""
        if not self.declaration.occupies_accelerator or not self.runs_here:
            return None
        return "cpu_model" if self.model_file is not None and self.n_gpu_layers == 0 else "gpu"

    @property
    def model_key(self) -> Literal["local_model", "model_id"]:
        """The key under which the config names the model."""
        return "local_model" if self.backend == LOCAL else "model_id"

    @property
    def model(self) -> str:
        """The model as its backend knows it: a GGUF path, an Ollama tag or a model id."""
        return str(getattr(self, self.model_key))

    @property
    def model_file(self) -> str | None:
        """The model's file on this machine, where it is one."""
        return self.model if self.declaration.model_is_file else None
