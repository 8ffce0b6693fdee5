"""Servers that speak OpenAI's chat completions: vLLM, llama-server, LM Studio, LocalAI, …"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

from ..config.schema import BackendSettings
from ..errors import UserError
from ..records import Completion, Decoding, Message
from .chat_completions import answered, chat_body, nearest, read_chat
from .http import NO_LIMIT, HttpServer, Reply, api_key, first_reply, until_ready

log = logging.getLogger(__name__)

KEY_VARIABLE = "ASSAY_OPENAI_COMPATIBLE_API_KEY"
"""Environment variable of the key, where the server wants one. OPENAI_API_KEY is left alone: that
key is nothing to be sent to another server."""

_CHAT = "/v1/chat/completions"
_MODELS = "/v1/models"
_HEALTH = "/health"

_OFF = {"top_p": 1.0}
"""Parameters of OpenAI's interface whose defaults servers change."""

_LLAMA_CPP = {"top_k": 0, "min_p": 0.0, "repeat_penalty": 1.0}
_OFF_AT: Mapping[str, Mapping[str, Any]] = {
    "llamacpp": _LLAMA_CPP,  # llama-server
    "me": _LLAMA_CPP,  # llama_cpp.server
    "vllm": {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0},
}
"""The same of single servers, by what they say as ``owned_by``: llama.cpp's cut to 40 tokens and
to 5% of the likeliest by default, and vLLM does as the model's generation_config.json says."""


class _Meta(Reply):
    n_params: int | None = None
    size: int | None = None
    n_ctx: int | None = None


class _Model(Reply):
    id: str
    owned_by: str | None = None
    root: str | None = None  # vLLM: what is behind the name
    max_model_len: int | None = None  # vLLM
    meta: _Meta | None = None  # llama-server: the same by its numbers


class _Models(Reply):
    data: list[_Model]


class OpenAICompatibleClient:
    """Answers chats with a model behind ``/v1/chat/completions``.

    Decoding parameters that are ``None`` are off where the interface or a server that we know lets
    us say so; else they are as the server is set up.
    """

    max_concurrent = NO_LIMIT

    def __init__(self, settings: BackendSettings) -> None:
        base = str(settings.local_endpoint).rstrip("/").removesuffix("/v1").rstrip("/")
        key = api_key(KEY_VARIABLE) if os.environ.get(KEY_VARIABLE, "").strip() else None
        self._server = HttpServer(
            base,
            timeout_s=settings.request_timeout_s,
            headers={"Authorization": f"Bearer {key}"} if key else None,
            secrets=[key],
        )
        self._model_id = settings.model

    async def open(self) -> None:
        """See that the server runs and serves the model."""
        log.info("%s", await self.check())

    async def check(self) -> str:
        """See that the server runs, serves the model and has loaded it."""
        self._model = await self._served_model()
        # llama-server lists its model while it is still loading it.
        await until_ready(self._server, _HEALTH)
        length = self._model.max_model_len or (self._model.meta and self._model.meta.n_ctx)
        context = f" (context of {length} tokens)" if length else ""
        return f"{self._server.base_url} serves {self._model_id}{context}"

    async def close(self) -> None:
        """Close the connections."""
        await self._server.close()

    async def _served_model(self) -> _Model:
        """What the server says about the configured model.

        Raises:
            UserError: it does not answer, wants another key, or does not serve that model.
        """
        served = await first_reply(
            self._server,
            _MODELS,
            _Models,
            "Is the server up, and this its address (local_endpoint in the config, or the "
            "environment variable ASSAY_LOCAL_ENDPOINT)? If it wants a key, set the "
            f"environment variable {KEY_VARIABLE}.",
        )
        for model in served.data:
            if model.id == self._model_id:
                return model
        ids = [model.id for model in served.data]
        raise UserError(
            f"{self._server.base_url} does not serve the model {self._model_id!r} "
            f"(it serves: {nearest(self._model_id, ids)}). Change model_id, or start the server "
            "with that model."
        )

    def identity(self) -> Mapping[str, str]:
        """Engine, endpoint and model, with what the server tells of itself and of the weights.

        The address is not in it: a server that comes back elsewhere gives the same answers.
        """
        told = {
            "server": self._model.owned_by,
            "root": self._model.root,
            "n_params": self._model.meta and self._model.meta.n_params,
            "size": self._model.meta and self._model.meta.size,
        }
        return {
            "engine": "openai_compatible",
            "endpoint": _CHAT,
            "model": self._model_id,
            **{name: str(value) for name, value in told.items() if value is not None},
        }

    async def generate(self, messages: Sequence[Message], decoding: Decoding) -> Completion:
        """Answer one chat."""
        body = self._body(messages, decoding)
        return await answered("openai_compatible", self._server, _CHAT, body)

    def read_reply(
        self,
        reply: str,
        messages: Sequence[Message],
        decoding: Decoding,
        latency_s: float | None = None,
    ) -> Completion:
        """Read the answer to a chat from a reply as it came."""
        body = self._body(messages, decoding)
        return read_chat("openai_compatible", self._server, reply, body, latency_s)

    def _body(self, messages: Sequence[Message], decoding: Decoding) -> dict[str, Any]:
        return {
            **_OFF,
            **_OFF_AT.get(self._model.owned_by or "", {}),
            **chat_body("openai_compatible", self._model_id, messages, decoding),
        }
