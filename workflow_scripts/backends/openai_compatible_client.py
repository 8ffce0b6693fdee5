"""Servers that speak OpenAI's chat completions: vLLM, llama-server, LM Studio, LocalAI, …"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from pydantic import model_validator
from yarl import URL

from ..core.errors import UserError
from ..core.records import Completion, Decoding, Message, Reasoning, ThinkingBudget
from ..schemas.dialects import UNKNOWN
from .chat_completions import (
    answered,
    chat_answer,
    chat_body,
    nearest,
    read_chat,
    response_format,
    split_thoughts,
)
from .client import RequestError
from .http import (
    NO_LIMIT,
    AnyReply,
    HttpError,
    HttpServer,
    Reply,
    api_key,
    content_id,
    error_code,
    first_reply,
    until_ready,
)
from .openai_compatible import KEY_VARIABLE
from .reuse import Reuse
from .schema import dialect_of
from .servers import KnownServer, off_at, server_of, thinking_at, with_omissions
from .settings import BackendSettings, header_variable

log = logging.getLogger(__name__)

_CHAT = "/chat/completions"
_MODELS = "/models"
_HEALTH = "/health"
_VERSION = "/version"  # vLLM
_PROPS = "/props"  # llama-server

_DOES_NOT_TELL = frozenset({400, 401, 403, 404, 405, 422, 501})
"""Statuses of a server that has no such resource, does not show it to us, or takes no such chat."""


_MODEL_FAILED, _NO_CAPACITY = 424, 498
_OLLAMA_PORT = 11434

_UNLIKELY_WORD = "qz7"
_UNLIKELY = {
    "type": "object",
    "properties": {"word": {"enum": [_UNLIKELY_WORD]}},
    "required": ["word"],
}
"""A schema that no answer obeys by chance."""


class _Meta(Reply):
    n_params: int | None = None
    size: int | None = None
    n_ctx: int | None = None


class _Model(Reply):
    id: str
    owned_by: str | None = None
    root: str | None = None  # vLLM: what is behind the name
    max_model_len: int | None = None  # vLLM, SGLang
    meta: _Meta | None = None  # llama-server: the same by its numbers


class _Models(Reply):
    data: list[_Model]

    @model_validator(mode="before")
    @classmethod
    def _bare_list(cls, data: Any) -> Any:
        return {"data": data} if isinstance(data, list) else data  # Together


class _Server(HttpServer):
    """A server of this kind, with the errors that only some of them send."""

    def judge(self, status: int, body: Any) -> dict[str, Any]:
        """What may pass at Bedrock (424) and Groq (498; broken JSON, which is charged)."""
        if status == _NO_CAPACITY:
            return {"retryable": True, "overloaded": True}
        if status == _MODEL_FAILED:
            return {"retryable": True}
        if error_code(body) == "json_validate_failed":
            return {"retryable": True, "may_be_charged": True}
        return {}


class _Version(Reply):
    version: str | None = None


class _Generation(Reply):
    n_ctx: int | None = None  # of one slot


class _Props(Reply):
    build_info: str | None = None
    chat_template: str | None = None
    default_generation_settings: _Generation = _Generation()


class _Probe(Reply):
    system_fingerprint: str | None = None


class OpenAICompatibleClient:
    """Answers chats with a model behind ``/v1/chat/completions``.

    Decoding parameters that are ``None`` are off where the interface or a server that we know lets
    us say so; else they are as the server is set up.
    """

    max_concurrent = NO_LIMIT

    def __init__(self, settings: BackendSettings) -> None:
        headers, secrets = request_headers(settings)
        self._server = _Server(
            str(settings.address),
            timeout_s=settings.request_timeout_s,
            headers=headers,
            secrets=secrets,
            query=settings.query,
        )
        self._settings, self._shape = settings, settings.shape
        self._chat, self._models = settings.path + _CHAT, settings.path + _MODELS
        self._model_id = settings.model
        self._seeing = asyncio.Lock()
        self._enforces = False
        self._version: dict[str, str] = {}

    async def open(self) -> None:
        """See that the server runs and serves the model."""
        log.info("%s", await self.check())

    async def check(self) -> str:
        """See that the server runs, serves the model and has loaded it, and what it runs.

        vLLM reports its settings (precision, quantisation, …) only beside an answer, so it is
        asked for one token.
        """
        self._model = await self._served_model()
        for reasoning in self._settings.reasonings:
            self._check_reasoning(reasoning)
        # llama-server lists its model while it is still loading it.
        await until_ready(self._server, _HEALTH)
        self._version = await self._running()
        told = self._served_by()
        about = [told[name] for name in ("server", "version", "fingerprint") if name in told]
        if self.context_length is not None:
            about.append(f"context of {self.context_length} tokens")
        remark = f" ({', '.join(about)})" if about else ""
        if URL(self._server.base_url).port == _OLLAMA_PORT:
            remark += (
                f"; {_OLLAMA_PORT} is Ollama's port, where top_k and n_ctx have no effect in this "
                "way. Its own engine can set them (docs/backends.md)"
            )
        if not self._settings.model_check:
            return f"{self._server.base_url}: {self._model_id} not checked (model_check){remark}"
        return f"{self._server.base_url} serves {self._model_id}{remark}"

    async def close(self) -> None:
        """Close the connections."""
        await self._server.close()

    async def _served_model(self) -> _Model:
        """What the server says about the configured model.

        Raises:
            UserError: it does not answer, wants another key, or does not serve that model.
        """
        if not self._settings.model_check:
            return _Model(id=self._model_id)
        served = await first_reply(self._server, self._models, _Models, self._remedy())
        for model in served.data:
            if model.id in (self._model_id, f"models/{self._model_id}"):  # Google's have a prefix
                return model
        ids = [model.id for model in served.data]
        raise UserError(
            f"{self._server.base_url} does not serve the model {self._model_id!r} "
            f"(it serves: {nearest(self._model_id, ids)}). Change model_id, or start the server "
            "with that model."
        )

    def _remedy(self) -> str:
        if self._settings.base_url is None:
            place = "local_endpoint in the config, or the environment variable ASSAY_LOCAL_ENDPOINT"
        else:
            place = f"base_url in the config; requests go to {self._server.base_url}{self._chat}"
        if variables := [*map(header_variable, self._settings.headers.values())]:
            key = f"Is the key in {' and '.join(variables)} right?"
        else:
            key = f"If it wants a key, set the environment variable {KEY_VARIABLE}."
        return (
            f"Is the server up, and this its address ({place})? {key} "
            "If it does not list its models, set model_check: off."
        )

    async def _running(self) -> dict[str, str]:
        """The server's program and settings, as far as it reports what decides its answers."""
        told: dict[str, str | None] = {}
        self._slot_length: int | None = None
        reports = self._known.reports
        if reports == "version":
            version = await self._told(_VERSION, _Version)
            probe = await self._told(
                self._chat,
                _Probe,
                method="POST",
                json={
                    "model": self._model_id,
                    "messages": [{"role": "user", "content": "."}],
                    "max_tokens": 1,
                },
            )
            told["version"] = version.version if version else None
            told["fingerprint"] = probe.system_fingerprint if probe else None
        elif reports == "props":
            props = await self._told(_PROPS, _Props) or _Props()
            self._slot_length = props.default_generation_settings.n_ctx
            told["version"] = props.build_info
            if props.chat_template is not None:
                told["chat_template"] = content_id("sha256", props.chat_template)
        return {name: value for name, value in told.items() if value is not None}

    @property
    def _known(self) -> KnownServer:
        """What is known about servers of this kind."""
        return server_of({"server": self._model.owned_by or "", **self._version})

    async def _told(self, path: str, reply: type[AnyReply], **options: Any) -> AnyReply | None:
        """What the server says about itself, or None where it does not.

        Raises:
            UserError: it fails. Without what it says its answers would not be found again.
        """
        try:
            return await first_reply(
                self._server, path, reply, "Is the server all right?", **options
            )
        except UserError as error:
            cause = error.__cause__
            if isinstance(cause, HttpError) and cause.status in _DOES_NOT_TELL:
                return None
            raise

    @property
    def context_length(self) -> int | None:
        """Longest prompt with its answer in tokens, where the server reports it."""
        return (
            self._slot_length
            or self._model.max_model_len
            or (self._model.meta.n_ctx if self._model.meta else None)
        )

    def _served_by(self) -> dict[str, str]:
        length = self.context_length
        told = {
            "address": self._server.base_url,
            "server": self._model.owned_by,
            **self._version,
            "context_length": None if length is None else str(length),
            "model_version": self._settings.model_version,
        }
        return {name: value for name, value in told.items() if value is not None}

    def identity(self) -> Mapping[str, str]:
        """Engine, endpoint and model, with what the server tells of itself and of the weights.

        A server that tells what it runs gives the same answers elsewhere. The address of one that
        does not, and of which the config does not say it (``model_version``), is all there is to
        tell it from others.
        """
        identity = {**self._former_identity(), **self._version, **self._shape.identity()}
        if self._settings.model_version is not None:
            identity["model_version"] = self._settings.model_version
        elif not identity.keys() & {"fingerprint", "chat_template"}:
            identity["address"] = self._server.base_url
        return identity

    def _former_identity(self) -> dict[str, str]:
        """The identity as versions before 0.2 had it."""
        told = {
            "server": self._model.owned_by,
            "root": self._model.root,
            "n_params": self._model.meta and self._model.meta.n_params,
            "size": self._model.meta and self._model.meta.size,
        }
        return {
            "engine": "openai_compatible",
            "endpoint": self._chat,
            "model": self._model_id,
            **{name: str(value) for name, value in told.items() if value is not None},
        }

    def reuse(self) -> Reuse:
        """Earlier versions' answers count, unless another server may have given them."""
        is_new = self._settings.rivals or self._shape.identity()
        former = None if is_new else self._former_identity()
        return Reuse(former=former, counts_exactly=True)

    async def generate(self, messages: Sequence[Message], decoding: Decoding) -> Completion:
        """Answer one chat.

        Raises:
            UserError: the server was restarted with other settings, or ignores JSON schemas.
        """
        if decoding.json_schema is not None and dialect_of(self.identity()) is UNKNOWN:
            await self._see_enforced()
        body = self._body(messages, decoding)
        edit = partial(_cut, decoding=decoding)
        answer = await answered("openai_compatible", self._server, self._chat, body, edit)
        began, now = self._version.get("fingerprint"), (answer.served_by or {}).get("fingerprint")
        if began is not None and now != began:
            lost = RequestError(
                "another server answered", retryable=False, may_be_charged=True, usage=answer.usage
            )
            raise UserError(
                f"{self._server.base_url} now answers as {now}, not as {began}: it was restarted "
                "with other settings, or several servers answer there. Answers of both would be "
                "mixed, so no more requests are sent. Run again: then the new server is asked."
            ) from lost
        return self._with_server(answer)

    async def _see_enforced(self) -> None:
        """See, once, that a server of an unknown kind holds an answer to a JSON schema.

        Raises:
            RequestError: it does not answer.
            UserError: it does not.
        """
        async with self._seeing:
            if self._enforces:
                return
            decoding = Decoding(temperature=0.0, max_new_tokens=64, seed=0, json_schema=_UNLIKELY)
            body = self._body([Message(role="user", content="Say hello.")], decoding)
            answer = await answered("openai_compatible", self._server, self._chat, body)
            with contextlib.suppress(ValueError):
                self._enforces = json.loads(answer.response_text) == {"word": _UNLIKELY_WORD}
            if not self._enforces:
                raise UserError(
                    f"{self._server.base_url} does not hold answers to a JSON schema: to a schema "
                    f"that allows one word alone it answered {answer.response_text[:60]!r}. Ask "
                    "without enforcing the schema, or use another server"
                )

    def read_reply(
        self,
        reply: str,
        messages: Sequence[Message],
        decoding: Decoding,
        latency_s: float | None = None,
    ) -> Completion:
        """Read the answer to a chat from a reply as it came."""
        body = self._body(messages, decoding)
        edit = partial(_cut, decoding=decoding)
        answer = read_chat("openai_compatible", self._server, reply, body, latency_s, edit)
        return self._with_server(answer)

    def _body(self, messages: Sequence[Message], decoding: Decoding) -> dict[str, Any]:
        identity = self.identity()
        shape = with_omissions(self._shape, self._known)
        self._check_reasoning(decoding.reasoning)
        chat = chat_body("openai_compatible", self._model_id, messages, decoding, shape)
        return {
            **off_at(identity),
            **shape.extra_body,
            **chat,
            **thinking_at(identity, decoding.reasoning),
            **response_format(identity, decoding),
        }

    def _check_reasoning(self, reasoning: Reasoning | None) -> None:
        """See that the server takes what is asked.

        Raises:
            UserError: it takes no budget of thoughts.
        """
        if isinstance(reasoning, ThinkingBudget) and self._known.budget is None:
            raise UserError(
                f"{self._server.base_url} is not known to take reasoning budget_tokens; vLLM "
                "and llama-server do. Choose none, minimal, low, medium, high or default."
            )

    def _with_server(self, answer: Completion) -> Completion:
        """Return an answer with what is known about the server."""
        served_by = {**(answer.served_by or {}), **self._served_by()}
        return answer.model_copy(update={"served_by": served_by})


def kept_answer(data: Any, decoding: Decoding) -> Completion:
    """Return the answer in a kept reply."""
    return chat_answer("", data, None, None, partial(_cut, decoding=decoding))


def _cut(answer: Completion, decoding: Decoding) -> Completion:
    """Return an answer without thoughts in tags, cut at the stop texts."""
    if decoding.reasoning is not None and answer.thoughts is None:
        thoughts, rest = split_thoughts(answer.response_text)
        answer = answer.model_copy(update={"response_text": rest, "thoughts": thoughts})
    text = before_stops(answer.response_text, decoding.stop)
    if text != answer.response_text:
        answer = answer.model_copy(update={"response_text": text, "finish_reason": "stop"})
    return answer


def request_headers(settings: BackendSettings) -> tuple[dict[str, str], list[str]]:
    """Return the headers of requests, and the secrets in them.

    The common key is for servers without headers of their own: it may be another server's.

    Raises:
        UserError: a variable is not set.
    """
    if not settings.headers:
        key = api_key(KEY_VARIABLE) if os.environ.get(KEY_VARIABLE, "").strip() else None
        return ({"Authorization": f"Bearer {key}"}, [key]) if key else ({}, [])
    headers, secrets = {}, []
    for name, value in settings.headers.items():
        variable = header_variable(value)
        secrets.append(secret := api_key(variable))
        headers[name] = value.replace(f"${{{variable}}}", secret)
    return headers, secrets


def before_stops(text: str, stops: Sequence[str]) -> str:
    """Return the text up to the first of the stop texts in it.

    Servers that take a few stop texts only (vLLM: 4) are sent as many; the others end here.
    """
    return text[: min((at for stop in stops if (at := text.find(stop)) >= 0), default=None)]
