"""What a config says about embedders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from ...backends.llama_cpp import BindingName
from ...backends.settings import LOCAL, BackendFields, BackendSettings
from ...core.block import Block
from ...core.errors import UserError
from ...core.values import ByName, LocalPath, Name, Text


class Bm25Settings(Block):
    """Search by words (Okapi BM25, Lucene's form). Needs no model."""

    kind: Literal["bm25"]
    k1: float = Field(1.2, ge=0, description="How much a repeated word counts.")
    b: float = Field(0.75, ge=0, le=1, description="How much the length of a chunk counts.")


class DenseFields(Block):
    """What all embedders that make vectors have in common."""

    exact_up_to: int = Field(
        200_000,
        ge=1,
        description="Up to so many chunks the search compares all; beyond, it follows an HNSW "
        "graph, which may miss some.",
    )


class LsaSettings(DenseFields):
    """Vectors from the corpus itself: tf-idf and a truncated SVD. Needs no model."""

    kind: Literal["lsa"]
    dimensions: int = Field(256, ge=1, description="Length of a vector.")


class LearnedFields(DenseFields):
    """What all embedders with a model have in common."""

    model: Text = Field(description="The model: a GGUF path, an Ollama tag or a provider's name.")
    query_prefix: str = Field("", description="Written before each question.")
    passage_prefix: str = Field("", description="Written before each chunk.")
    max_tokens: int | None = Field(
        None,
        ge=1,
        description="The most tokens that the model reads of a text; absent: as it says itself.",
    )

    def backend(self) -> BackendSettings:
        """Return the settings of the backend that answers."""
        raise NotImplementedError


class LlamaCppEmbedderSettings(LearnedFields):
    """A GGUF encoder in this process."""

    kind: Literal["llama_cpp"]
    model: LocalPath = Field(description="Path of a GGUF file.")
    local_binding: BindingName = "xllamacpp"
    n_gpu_layers: int = Field(0, ge=-1, description="Layers kept on the GPU; -1 is all.")
    n_threads: int | None = Field(None, ge=1, description="CPU threads.")

    def backend(self) -> BackendSettings:
        """Return the settings of llama.cpp."""
        return BackendSettings(
            backend=LOCAL,
            local_engine="llama_cpp",
            local_model=self.model,
            local_binding=self.local_binding,
            n_gpu_layers=self.n_gpu_layers,
            n_threads=self.n_threads,
        )


class ServerFields(LearnedFields):
    """What all embedders behind a server have in common."""

    dimensions: int | None = Field(
        None, ge=1, description="Shorter vectors, of models that can make them."
    )
    batch: int = Field(64, ge=1, le=2048, description="Texts sent together.")
    request_timeout_s: float = Field(600, gt=0, description="Longest silence of the server.")

    def _to(self, backend: str, **more: Any) -> BackendSettings:
        names = ("local_endpoint", "base_url", "headers", "query", "model_version")
        given = {name: getattr(self, name) for name in names if name in type(self).model_fields}
        given["request_timeout_s"] = self.request_timeout_s
        return BackendSettings(backend=backend, **{**given, **more})


_FIELDS = BackendFields.model_fields


class OllamaEmbedderSettings(ServerFields):
    """An embedding model that Ollama serves (`/api/embed`)."""

    kind: Literal["ollama"]
    local_endpoint: Annotated[str | None, _FIELDS["local_endpoint"]] = None

    def backend(self) -> BackendSettings:
        """Return the settings of Ollama."""
        return self._to(LOCAL, local_engine="ollama", local_model=self.model)


class OpenAIEmbedderSettings(ServerFields):
    """An embedding model of OpenAI (`/v1/embeddings`)."""

    kind: Literal["openai"]
    local_endpoint: Annotated[str | None, _FIELDS["local_endpoint"]] = None

    def backend(self) -> BackendSettings:
        """Return the settings of OpenAI."""
        return self._to("openai", model_id=self.model)


class OpenAICompatibleEmbedderSettings(ServerFields):
    """An embedding model behind OpenAI's interface: vLLM, llama-server and others."""

    kind: Literal["openai_compatible"]
    base_url: Annotated[str | None, _FIELDS["base_url"]] = None
    headers: Annotated[dict[str, str], _FIELDS["headers"]] = Field(default_factory=dict)
    query: Annotated[dict[str, str], _FIELDS["query"]] = Field(default_factory=dict)
    model_version: Annotated[str | None, _FIELDS["model_version"]] = None

    def backend(self) -> BackendSettings:
        """Return the settings of the server."""
        return self._to("openai_compatible", model_id=self.model)


class HybridSettings(Block):
    """Two embedders whose rankings are fused (reciprocal rank fusion)."""

    kind: Literal["hybrid"]
    parts: tuple[Name, Name] = Field(description="The names of the two embedders.")
    k: int = Field(60, ge=0, description="How little the first ranks count more than later ones.")


def _kind(value: Any) -> Any:
    return value.get("kind") if isinstance(value, dict) else getattr(value, "kind", None)


EmbedderSettings = Annotated[
    Annotated[Bm25Settings, Tag("bm25")]
    | Annotated[LsaSettings, Tag("lsa")]
    | Annotated[LlamaCppEmbedderSettings, Tag("llama_cpp")]
    | Annotated[OllamaEmbedderSettings, Tag("ollama")]
    | Annotated[OpenAIEmbedderSettings, Tag("openai")]
    | Annotated[OpenAICompatibleEmbedderSettings, Tag("openai_compatible")]
    | Annotated[HybridSettings, Tag("hybrid")],
    Discriminator(
        _kind,
        custom_error_type="embedder_kind",
        custom_error_message="kind is one of bm25, lsa, llama_cpp, ollama, openai, "
        "openai_compatible and hybrid",
    ),
]
"""One embedder of a config."""

Embedders = ByName[Name, EmbedderSettings]

SHIPPED: Mapping[str, Bm25Settings | LsaSettings] = {
    "bm25": Bm25Settings(kind="bm25"),
    "lsa": LsaSettings(kind="lsa"),
}
"""Embedders that need no entry in a config."""


class IndexSettings(Block):
    """An embedder by its name, with those that it is made of."""

    embedder: Name
    embedders: Embedders

    @model_validator(mode="after")
    def _knows_its_parts(self) -> Self:
        if problem := mistake(self.embedder, self.embedders):
            raise ValueError(problem)
        return self

    @property
    def settings(self) -> EmbedderSettings:
        """The embedder's own settings."""
        return self.embedders[self.embedder]

    def part(self, name: str) -> IndexSettings:
        """Return the settings of a part of a hybrid."""
        return index_settings(name, self.embedders)


def index_settings(name: str, embedders: Mapping[str, EmbedderSettings]) -> IndexSettings:
    """Return what the stages of one embedder read.

    Raises:
        UserError: there is no such embedder, or a hybrid has a wrong part.
    """
    known = {**SHIPPED, **embedders}
    if problem := mistake(name, known):
        raise UserError(problem)
    own = known[name]
    names = [name, *own.parts] if isinstance(own, HybridSettings) else [name]
    return IndexSettings(embedder=name, embedders={each: known[each] for each in names})


def mistake(name: str, embedders: Mapping[str, EmbedderSettings]) -> str | None:
    """Return what is wrong with the name of an embedder or the parts of a hybrid, if anything."""
    if name not in embedders:
        return f"there is no embedder {name!r}; there are {', '.join(sorted(embedders))}"
    own = embedders[name]
    if not isinstance(own, HybridSettings):
        return None
    for part in own.parts:
        if part not in embedders:
            there = ", ".join(sorted(embedders))
            return f"embedder {name!r}: there is no embedder {part!r}; there are {there}"
        if isinstance(embedders[part], HybridSettings):
            return f"embedder {name!r}: its part {part!r} is a hybrid itself; name the parts of it"
    if own.parts[0] == own.parts[1]:
        return f"embedder {name!r}: parts are two different embedders"
    return None
