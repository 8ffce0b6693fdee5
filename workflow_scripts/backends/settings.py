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
from ..core.values import (
    NotEmpty,
)

BackendKind = Literal["fireworks", "openai", "anthropic", "gemini", "openai_compatible", "local"]


Engine = Literal["ollama", "llama_cpp"]


OLLAMA_ENDPOINT = "http://localhost:11434"


BATCH_BACKENDS = ("fireworks", "openai", "anthropic", "gemini")
"""Backends with a batch API."""


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

    backend: BackendKind = Field("fireworks", description="Which kind of backend answers.")
    local_engine: Engine | None = Field(None, description="With backend local: the engine.")
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
    n_threads: int | None = Field(
        None, ge=1, description="CPU threads of llama_cpp; default: all cores."
    )
    max_concurrent_requests: Annotated[int, Field(ge=1)] | Literal["auto"] | None = Field(
        None,
        description="Requests in flight at once; auto: as many as the server bears, found out "
        "while it answers. Default: 2 with backend local (small GPUs), auto otherwise.",
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

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if self.backend == "local":
            if self.local_engine is None:
                raise ValueError("backend 'local' needs local_engine: 'ollama' or 'llama_cpp'")
            if self.local_model is None:
                raise ValueError(
                    "backend 'local' needs local_model: an Ollama tag or the path of a GGUF file"
                )
        elif self.model_id is None:
            raise ValueError(f"backend '{self.backend}' needs model_id, the provider's model name")
        if self.backend == "openai_compatible" and self.local_endpoint is None:
            raise ValueError(
                "backend 'openai_compatible' needs local_endpoint, the server's address, "
                "such as http://localhost:8000"
            )
        return self

    @property
    def address(self) -> str | None:
        """The address of the user's own server, without the path of its interface."""
        if self.engine == "ollama":
            return (self.local_endpoint or OLLAMA_ENDPOINT).rstrip("/")
        if self.engine == "openai_compatible":
            return str(self.local_endpoint).rstrip("/").removesuffix("/v1").rstrip("/")
        return None

    @property
    def engine(self) -> str:
        """The name under which the backend's client is registered."""
        return self.local_engine if self.local_engine and self.backend == "local" else self.backend

    @property
    def concurrency(self) -> int | Literal["auto"]:
        """Requests in flight at once, with the default for this kind of backend."""
        return self.max_concurrent_requests or (2 if self.backend == "local" else "auto")

    @property
    def runs_batches(self) -> bool:
        """Whether parts are sent as jobs of the provider's batch API."""
        return self.use_batch_api and self.backend in BATCH_BACKENDS

    @property
    def model(self) -> str:
        """The model as its backend knows it: a GGUF path, an Ollama tag or a model id."""
        return str(self.local_model if self.backend == "local" else self.model_id)
