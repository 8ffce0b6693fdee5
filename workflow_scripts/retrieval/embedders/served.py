"""Embedders behind a server: Ollama, OpenAI, and those that speak as OpenAI does.

Checked against the official SDKs' types: openai 3.52 (`CreateEmbeddingResponse`), ollama 0.6
(`EmbedResponse`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Self, TypeVar

import dotenv
import numpy as np
from pydantic import model_validator

from ...backends.chat_completions import nearest
from ...backends.http import (
    Count,
    HttpServer,
    Reply,
    SparseReply,
    first_reply,
)
from ...backends.ollama_client import Installed, OllamaServer, Shown, installed
from ...backends.openai import KEY_VARIABLE
from ...backends.openai_client import ENDPOINT, openai_server
from ...backends.openai_compatible_client import request_headers
from ...core.errors import UserError
from .embedder import Vectors
from .settings import (
    OllamaEmbedderSettings,
    OpenAIEmbedderSettings,
    ServerFields,
)

_OPENAI_READS = 8192
"""Tokens of a text that OpenAI's embedding models read. It refuses longer ones."""

_REFUSE_LONG_TEXTS = ("vllm", "llamacpp")
"""Servers that refuse a text that is too long, by what they say as ``owned_by``."""

Result = TypeVar("Result")


class _Item(Reply):
    index: int
    embedding: list[float]


class _Usage(Reply):
    prompt_tokens: Count = None


class _Embeddings(SparseReply):
    """What ``/v1/embeddings`` sends."""

    data: list[_Item]
    usage: _Usage = _Usage()

    @model_validator(mode="after")
    def _has_each_once(self) -> Self:
        if sorted(each.index for each in self.data) != list(range(len(self.data))):
            raise ValueError("the indexes of its vectors are not 0, 1, 2 …")
        return self

    def in_order(self) -> list[list[float]]:
        """Return the vectors in the order of the texts."""
        return [each.embedding for each in sorted(self.data, key=lambda each: each.index)]


class _Embedded(SparseReply):
    """What ``/api/embed`` sends."""

    embeddings: list[list[float]]
    prompt_eval_count: Count = None


class _Meta(SparseReply):
    n_params: int | None = None
    size: int | None = None
    n_ctx: int | None = None


class _Model(SparseReply):
    id: str
    owned_by: str | None = None
    root: str | None = None
    max_model_len: int | None = None
    meta: _Meta = _Meta()


class _Models(Reply):
    data: list[_Model]


class ServedEmbedder:
    """Asks a server. Belongs to one thread.

    Args:
        settings: of the embedder.
        server: the server.
    """

    new_in_identity: tuple[str, ...] = ()

    def __init__(self, settings: ServerFields, server: HttpServer) -> None:
        self._settings = settings
        self._server = server
        self._runner = asyncio.Runner()
        self.batch = settings.batch
        self.max_tokens = settings.max_tokens

    def open(self) -> None:
        """Find out who answers."""
        self._run(self._find())

    async def _find(self) -> None:
        raise NotImplementedError

    def count_tokens(self, text: str) -> int | None:
        """Return None: only the server knows."""
        return None

    def embed(self, texts: Sequence[str]) -> tuple[Vectors, int | None]:
        """Return the vectors of texts, and the tokens that the server counted."""
        found, tokens = self._run(self._ask(texts))
        if len(found) != len(texts):
            problem = f"the reply has {len(found)} vectors for {len(texts)} texts"
            raise self._server.error(problem, retryable=True, may_be_charged=True)
        if len({len(each) for each in found}) != 1:
            problem = "the reply has vectors of different lengths"
            raise self._server.error(problem, retryable=True, may_be_charged=True)
        return np.array(found, np.float32), tokens

    async def _ask(self, texts: Sequence[str]) -> tuple[list[list[float]], int | None]:
        raise NotImplementedError

    def _run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return self._runner.run(work)

    def close(self) -> None:
        """Close the connections."""
        self._run(self._server.close())
        self._runner.close()


class OpenAIEmbedder(ServedEmbedder):
    """An embedding model of OpenAI, or of a gateway that speaks the same."""

    _path: ClassVar[str] = "/v1/embeddings"

    @classmethod
    def of(cls, settings: OpenAIEmbedderSettings) -> Self:
        """Return the embedder of a config.

        Raises:
            UserError: there is no key.
        """
        dotenv.load_dotenv()
        return cls(settings, openai_server(settings.backend()))

    async def _find(self) -> None:
        self.max_tokens = self._settings.max_tokens or _OPENAI_READS
        path = f"/v1/models/{self._settings.model}"
        await first_reply(self._server, path, _Model, f"Are {KEY_VARIABLE} and the model right?")

    def identity(self) -> Mapping[str, str]:
        """Return who embeds."""
        return {
            "kind": "openai",
            "model": self._settings.model,
            **_dimensions(self._settings),
            **({} if self._server.base_url == ENDPOINT else {"address": self._server.base_url}),
        }

    async def _ask(self, texts: Sequence[str]) -> tuple[list[list[float]], int | None]:
        body: dict[str, Any] = {
            "model": self._settings.model,
            "input": list(texts),
            "encoding_format": "float",
        }
        if self._settings.dimensions is not None:
            body["dimensions"] = self._settings.dimensions
        reply = await self._server.post(self._path, body, _Embeddings)
        return reply.in_order(), reply.usage.prompt_tokens


class CompatibleEmbedder(OpenAIEmbedder):
    """An embedding model behind OpenAI's interface."""

    _path = "/embeddings"
    _model = _Model(id="")

    @classmethod
    def of(cls, settings: Any) -> Self:
        """Return the embedder of a config.

        Raises:
            UserError: a variable with a key is not set.
        """
        dotenv.load_dotenv()
        backend = settings.backend()
        headers, secrets = request_headers(backend)
        server = HttpServer(
            f"{backend.address}{backend.path}",
            timeout_s=settings.request_timeout_s,
            headers=headers,
            secrets=secrets,
            query=backend.query,
        )
        return cls(settings, server)

    async def _find(self) -> None:
        remedy = "Is the server up, and is base_url its address?"
        models = await first_reply(self._server, "/models", _Models, remedy)
        named = {model.id: model for model in models.data}
        name = self._settings.model
        if name not in named:
            raise UserError(
                f"{self._server.base_url} does not serve the model {name!r} (it serves: "
                f"{nearest(name, list(named))}). Change the embedder's model"
            )
        self._model = named[name]
        told = self._model.max_model_len or self._model.meta.n_ctx
        limits = [each for each in (told, self._settings.max_tokens) if each is not None]
        self.max_tokens = min(limits, default=None)

    def identity(self) -> Mapping[str, str]:
        """Return who embeds, by what the server tells of it."""
        settings: Any = self._settings
        told = {
            "server": self._model.owned_by,
            "root": self._model.root,
            "n_params": self._model.meta.n_params,
            "size": self._model.meta.size,
            "model_version": settings.model_version,
        }
        return {
            "kind": "openai_compatible",
            "address": self._server.base_url,
            "model": settings.model,
            **_dimensions(settings),
            **{name: str(value) for name, value in told.items() if value is not None},
        }

    async def _ask(self, texts: Sequence[str]) -> tuple[list[list[float]], int | None]:
        limit = self.max_tokens
        if limit is None or self._model.owned_by in _REFUSE_LONG_TEXTS:
            return await super()._ask(texts)
        # Others cut in silence: a text that may be too long is sent alone, and its tokens counted.
        found: list[list[float]] = []
        counted: list[int | None] = []
        for group in _with_long_ones_alone(texts, limit):
            vectors, tokens = await super()._ask(group)
            if len(group) == 1 and tokens is not None and tokens >= limit:
                problem = f"the model reads {limit} tokens, and the text has as many or more"
                raise self._server.error(problem, retryable=False, status=400)
            found += vectors
            counted.append(tokens)
        known = [each for each in counted if each is not None]
        return found, sum(known) if len(known) == len(counted) else None


def _with_long_ones_alone(texts: Sequence[str], limit: int) -> Iterator[list[str]]:
    """Yield texts in groups; one that may have more tokens than the limit is one of its own.

    A text has no more tokens than bytes, and the two around it.
    """
    short: list[str] = []
    for text in texts:
        if len(text.encode()) <= limit - 2:
            short.append(text)
            continue
        if short:
            yield short
            short = []
        yield [text]
    if short:
        yield short


class OllamaEmbedder(ServedEmbedder):
    """An embedding model that Ollama serves. A text that is too long fails; nothing is cut."""

    new_in_identity = ("version", "num_ctx")
    _found = Installed("", "", Shown())

    @classmethod
    def of(cls, settings: OllamaEmbedderSettings) -> Self:
        """Return the embedder of a config."""
        address = str(settings.backend().address)
        return cls(settings, OllamaServer(address, timeout_s=settings.request_timeout_s))

    async def _find(self) -> None:
        name = self._settings.model
        self._found = await installed(self._server, name, "the embedder's model")
        can = self._found.shown.capabilities
        if can is not None and "embedding" not in can:
            raise UserError(
                f"Ollama's model {name!r} makes no embeddings (it can: "
                f"{', '.join(can) or 'nothing'}). Change the embedder's model"
            )
        trained = self._found.shown.trained_length
        limits = [each for each in (trained, self._settings.max_tokens) if each is not None]
        self.max_tokens = min(limits, default=None)

    def identity(self) -> Mapping[str, str]:
        """Return who embeds: the model by its digest, Ollama's version and the context.

        `num_batch` is left to Ollama, which decides it by its version, the model and the context.
        """
        return {
            "kind": "ollama",
            "model": self._found.digest,
            "version": self._found.version,
            **({} if self.max_tokens is None else {"num_ctx": str(self.max_tokens)}),
            **_dimensions(self._settings),
        }

    async def _ask(self, texts: Sequence[str]) -> tuple[list[list[float]], int | None]:
        body: dict[str, Any] = {
            "model": self._settings.model,
            "input": list(texts),
            "truncate": False,
        }
        if self.max_tokens is not None:
            body["options"] = {"num_ctx": self.max_tokens}
        if self._settings.dimensions is not None:
            body["dimensions"] = self._settings.dimensions
        reply = await self._server.post("/api/embed", body, _Embedded)
        return reply.embeddings, reply.prompt_eval_count


def _dimensions(settings: ServerFields) -> dict[str, str]:
    return {} if settings.dimensions is None else {"dimensions": str(settings.dimensions)}
