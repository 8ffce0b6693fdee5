"""Ollama: models served on this machine by its native API.

Field names follow Ollama's own types (`api/types.go`) and handlers (`server/routes.go`).
"""

from __future__ import annotations

import difflib
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from ..config.schema import BackendSettings
from ..errors import UserError
from ..records import Completion, Decoding, Message, Usage
from .capabilities import parameters
from .http import NO_LIMIT, Count, HttpServer, Reply, content_id, first_reply

log = logging.getLogger(__name__)

DEFAULT_ENDPOINT = "http://localhost:11434"

_CHAT = "/api/chat"
_NAMED_AT_MOST = 5

_OFF = {
    "top_p": 1.0,
    "top_k": 0,
    "min_p": 0.0,
    "repeat_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
}
"""What Ollama and the model's own file would otherwise add to the decoding that was asked for."""


class _Version(Reply):
    version: str


class _Model(Reply):
    name: str
    digest: str


class _Tags(Reply):
    models: list[_Model]


class _Answer(Reply):
    role: Literal["assistant"]
    content: str


class _Chat(Reply):
    message: _Answer
    done: Literal[True]
    done_reason: Literal["stop", "length"]  # others are no answers: load, unload, broken off
    prompt_eval_count: Count = None
    eval_count: Count = None


class OllamaClient:
    """Answers chats with a model that Ollama serves.

    Decoding parameters that are ``None`` are off, not Ollama's or the model file's defaults. A
    prompt that does not fit into ``n_ctx`` fails instead of losing its beginning.
    """

    max_concurrent = NO_LIMIT

    def __init__(self, settings: BackendSettings) -> None:
        endpoint = (settings.local_endpoint or DEFAULT_ENDPOINT).rstrip("/")
        self._server = HttpServer(endpoint, timeout_s=settings.request_timeout_s)
        self._model = settings.model
        self._n_ctx = settings.n_ctx

    async def open(self) -> None:
        """See that Ollama runs and has the model, and which one it is."""
        log.info("%s", await self.check())

    async def check(self) -> str:
        """See that Ollama runs and has the model."""
        version = await first_reply(
            self._server,
            "/api/version",
            _Version,
            "Is Ollama running there? Start it with `ollama serve`, or say where it is: "
            "local_endpoint in the config, or the environment variable ASSAY_LOCAL_ENDPOINT.",
        )
        self._digest = await self._installed_digest()
        return (
            f"Ollama {version.version} at {self._server.base_url} has {self._model} "
            f"({self._digest[:19]})"
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._server.close()

    async def _installed_digest(self) -> str:
        """The checksum of the model that now has the configured tag.

        Raises:
            UserError: no model has it.
        """
        tags = await first_reply(self._server, "/api/tags", _Tags, "Is this Ollama?")
        installed = {model.name: model.digest for model in tags.models}
        wanted = self._model
        if ":" not in wanted.rsplit("/", maxsplit=1)[-1]:
            wanted += ":latest"
        if wanted in installed:
            return installed[wanted]
        nearest = difflib.get_close_matches(wanted, installed, n=_NAMED_AT_MOST, cutoff=0.3)
        named = ", ".join(nearest or list(installed)[:_NAMED_AT_MOST]) or "none at all"
        raise UserError(
            f"Ollama at {self._server.base_url} does not have the model {self._model!r} "
            f"(installed there: {named}). Run `ollama pull {self._model}`, or change local_model."
        )

    def identity(self) -> Mapping[str, str]:
        """Engine, endpoint, tag, the checksum behind the tag, and the context it runs with."""
        return {
            "engine": "ollama",
            "endpoint": _CHAT,
            "model": self._model,
            "model_digest": self._digest,
            "n_ctx": str(self._n_ctx),
        }

    async def generate(self, messages: Sequence[Message], decoding: Decoding) -> Completion:
        """Answer one chat."""
        body = {
            "model": self._model,
            "messages": [message.model_dump() for message in messages],
            "stream": False,
            "truncate": False,
            "shift": False,
            "options": self._options(decoding),
        }
        started = time.perf_counter()
        chat = await self._server.post(_CHAT, body, _Chat)
        latency = time.perf_counter() - started
        prompt, completion = chat.prompt_eval_count, chat.eval_count
        both = None if prompt is None or completion is None else prompt + completion
        return Completion(
            response_text=chat.message.content,
            finish_reason=chat.done_reason,
            request_id=content_id("ollama", self._digest, body),
            usage=Usage(prompt_tokens=prompt, completion_tokens=completion, total_tokens=both),
            latency_s=round(latency, 6),
        )

    def _options(self, decoding: Decoding) -> dict[str, Any]:
        # num_ctx is the same in all requests: another one reloads the model.
        return _OFF | {"num_ctx": self._n_ctx} | parameters("ollama", self._model, decoding)
