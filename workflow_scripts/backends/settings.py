"""What a config says about a backend."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    Field,
    WithJsonSchema,
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
from .shape import JsonValue, Omitted, Renamed, Shape, own_key
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
    ending = parts.path.rstrip("/")
    if full := next((path for path in _RESOURCES if ending.endswith(path)), None):
        raise ValueError(f"leave out {full} at the end: Assay adds what each request needs")
    return url


_RESOURCES = ("/chat/completions", "/completions", "/responses", "/models", "/api/chat")

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE = re.compile(r"(?:[A-Za-z]+ )?\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_OWN_HEADERS = ("host", "content-length", "content-type", "transfer-encoding")
_SECRET_IN_NAME = re.compile(r"key|token|secret|password|signature", re.IGNORECASE)


def _from_environment(headers: dict[str, str]) -> dict[str, str]:
    """Refuse headers with values of their own: a config must not hold a key.

    The messages do not repeat a value.
    """
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name) or name.lower() in _OWN_HEADERS:
            raise ValueError(f"{name!r} is no header that a config can set")
        if not _HEADER_VALUE.fullmatch(value):
            raise ValueError(
                f"the value of {name} must come from the environment: write ${{VARIABLE}}, or one "
                "word and it, such as Bearer ${VARIABLE}, and set VARIABLE in the file .env"
            )
    return headers


def header_variable(value: str) -> str:
    """Return the environment variable of a header's value."""
    found = _HEADER_VALUE.fullmatch(value)
    if found is None:
        raise ValueError("a header's value names no variable")
    return found[1]


def _no_keys(query: dict[str, str]) -> dict[str, str]:
    """Refuse keys in addresses: these end up in logs."""
    if names := [name for name in query if _SECRET_IN_NAME.search(name)]:
        raise ValueError(f"a key does not belong into the address ({names[0]}); use headers")
    return query


def _no_own_field(fields: dict[str, Any]) -> dict[str, Any]:
    if problem := own_key(fields):
        raise ValueError(problem)
    return fields


def _is_empty(value: object) -> bool:
    return not value


NAMING_A_SERVER = frozenset({"backend", "base_url", "local_endpoint"})
"""Keys by which a backend of a config names a server of its own."""

OF_ONE_SERVER = ("base_url", "headers", "query", "extra_body", "omit", "rename", "model_check")
"""Keys that hold for one server alone; servers behind ``base_url`` need them."""

_OLLAMA_PORT = 11434


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
        "OpenAI-compatible server; with a hosted backend the same as base_url.",
    )
    base_url: Annotated[str, AfterValidator(_server_url)] | None = Field(
        None,
        description="openai_compatible, instead of local_endpoint: the address up to "
        "/chat/completions, with any path (docs/servers.md); with a hosted backend: a gateway to "
        "ask instead.",
        exclude_if=_is_empty,
    )
    headers: Annotated[dict[str, str], AfterValidator(_from_environment)] = Field(
        default_factory=dict,
        description="openai_compatible: headers, each with a value from the environment, such as "
        "`api-key: ${AZURE_OPENAI_API_KEY}`.",
        exclude_if=_is_empty,
    )
    query: Annotated[dict[str, str], AfterValidator(_no_keys)] = Field(
        default_factory=dict,
        description="openai_compatible: what is added to each address after `?`, such as "
        "`api-version`.",
        exclude_if=_is_empty,
    )
    extra_body: Annotated[
        dict[str, JsonValue],
        AfterValidator(_no_own_field),
        WithJsonSchema({"type": "object", "additionalProperties": True}),
    ] = Field(
        default_factory=dict,
        description="openai_compatible: further fields of each request. A change sends requests "
        "again.",
        exclude_if=_is_empty,
    )
    omit: list[Omitted] = Field(
        default_factory=list,
        description="openai_compatible: parameters that are not sent. A change sends requests "
        "again.",
        exclude_if=_is_empty,
    )
    rename: dict[Renamed, str] = Field(
        default_factory=dict,
        description="openai_compatible: the server's names of `max_tokens` and `seed`. A change "
        "sends requests again.",
        exclude_if=_is_empty,
    )
    model_check: bool = Field(
        True,
        description="openai_compatible: off for a server that does not list its models.",
        exclude_if=lambda looks: looks,
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
        None, ge=1, description="CPU threads of llama_cpp; absent: one for each physical core."
    )
    reasoning: Reasoning | None = Field(
        None,
        description="How much the model thinks before it answers: none, minimal, low, medium, "
        "high, budget_tokens: N, or default (as its provider has it); absent: as little as it can "
        "(docs/backends.md#reasoning).",
    )
    logprobs: bool = Field(
        False,
        description="Have the server report how likely each token of an answer was, for curves of "
        "risk against confidence (docs/backends.md#log-probabilities). A change sends requests "
        "again.",
        exclude_if=lambda asked: not asked,
    )
    n_sequences: int | None = Field(
        None,
        ge=1,
        le=256,
        description="Answers that llama_cpp_python makes at once; absent: 16, on a GPU 64, fewer "
        "where free memory is short.",
    )
    n_batch: int | None = Field(
        None,
        ge=1,
        description="Tokens that llama_cpp_python evaluates together at most; absent: 512, fewer "
        "where free memory is short.",
        exclude_if=lambda size: size is None,
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
        taken = {"base_url"} if declared.is_hosted else set()
        changed = self._set() - taken
        door = [name for name in OF_ONE_SERVER if name in changed]
        if door and not declared.takes_shape:
            raise ValueError(
                f"backend {self.engine!r} does not take {door[0]}, which is for servers that "
                "speak as OpenAI does. With several backends, write it in the block of such a one"
            )
        if self.base_url and self.local_endpoint:
            raise ValueError("set base_url or local_endpoint, not both (ASSAY_LOCAL_ENDPOINT?)")
        given = self.given_address
        if declared.server and (given or declared.server.default) is None:
            raise ValueError(
                f"backend {self.engine!r} needs local_endpoint, the server's address, "
                "such as http://localhost:8000"
            )
        if declared.is_hosted and given and urlsplit(given).port == _OLLAMA_PORT:
            raise ValueError(
                f"the address has Ollama's port, {_OLLAMA_PORT}, but backend {self.engine!r} is "
                "a hosted service. Ollama has an engine of its own: see docs/backends.md"
            )
        return self

    def _set(self) -> set[str]:
        """The keys whose value is not the default."""
        return {
            name
            for name, field in type(self).model_fields.items()
            if getattr(self, name) != field.get_default(call_default_factory=True)
        }

    @property
    def engine(self) -> str:
        """The name under which the backend is declared."""
        return self.local_engine if self.local_engine and self.backend == LOCAL else self.backend

    @property
    def declaration(self) -> Backend:
        """What the backend's module says about it."""
        return BACKENDS[self.engine]

    @property
    def given_address(self) -> str | None:
        """The address in the config: of a server, or of a gateway to a hosted service."""
        return self.base_url or self.local_endpoint

    @property
    def address(self) -> str | None:
        """The address of the user's own server, without the path of its interface."""
        server = self.declaration.server
        if server is None:
            return None
        address = str(self.given_address or server.default).rstrip("/")
        return address.removesuffix(server.path).rstrip("/")

    @property
    def path(self) -> str:
        """What is between `address` and the resources of the interface."""
        server = self.declaration.server
        path = server.path if server else ""
        ends = self.base_url is None or self.base_url.rstrip("/").endswith(path)
        return path if ends else ""

    @property
    def shape(self) -> Shape:
        """What the config changes of requests."""
        return Shape(omit=self.omit, rename=self.rename, extra_body=self.extra_body)

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
