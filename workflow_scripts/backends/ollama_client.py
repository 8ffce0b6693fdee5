"""Ollama: models served on this machine by its native API.

Field names and behaviour follow Ollama's own types (`api/types.go`) and handlers
(`server/routes.go`, `template/template.go`).
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from ..core.errors import UserError
from ..core.records import Completion, Decoding, Message, Reasoning, Usage
from .capabilities import logprobs, parameters
from .chat_completions import nearest
from .client import NoAnswerError, RequestError
from .http import (
    NO_LIMIT,
    Count,
    Counted,
    Duration,
    HttpServer,
    OrNone,
    Reply,
    SparseReply,
    content_id,
    first_reply,
    message_in,
    read_whole,
)
from .logprobs import TokenLogprob, of_answer
from .ollama import OFF, thinking
from .reuse import Reuse
from .schema import sent_schema
from .settings import BackendSettings

log = logging.getLogger(__name__)

_NS_PER_S = 1e9
_CHAT = "/api/chat"
_GENERATE = "/api/generate"
_LASTING = re.compile(r'^(option ".*" must be of type|invalid format: )')
_NOTHING_ASKED = ("load", "unload")
_CLOUD = re.compile(r":([^/:]*-)?cloud$")
"""Tags of models at Ollama's cloud, such as `gpt-oss:120b-cloud`."""
_REFUSES_LONG_PROMPTS_SINCE = (0, 12, 6)
_REPORTS_LOGPROBS_SINCE = (0, 12, 11)


class _Version(Reply):
    version: str


class _Tag(Reply):
    name: str
    digest: str
    remote_host: str | None = None  # of models that Ollama only passes on


class _Tags(Reply):
    models: list[_Tag]


class _Details(Reply):
    family: str | None = None


class _Thinking(Reply):
    values: list[bool | str] | None = None


class Shown(SparseReply):
    """What Ollama tells of a model. Fields came with its versions, so all may be absent."""

    template: str = ""
    template_source: str | None = None
    renderer: str | None = None
    modelfile: str = ""
    capabilities: list[str] | None = None
    details: _Details | None = None
    thinking: _Thinking | None = None
    model_info: dict[str, Any] = Field(default_factory=dict)
    remote_host: str | None = None

    @property
    def trained_length(self) -> int | None:
        """The context length in tokens that the model was trained for."""
        architecture = self.model_info.get("general.architecture")
        length = self.model_info.get(f"{architecture}.context_length")
        return length if isinstance(length, int) else None

    @property
    def takes_system_prompts(self) -> bool:
        """Whether a system message becomes part of the prompt.

        A template without a place for it, such as the bare one of models that only complete text,
        leaves it out without a word. Where a renderer is named, the template is not used.
        """
        if self.renderer or re.search(r"^RENDERER ", self.modelfile, re.MULTILINE):
            return True
        if self.template_source not in (None, "go_template", "none"):
            return True
        return re.search(r"\.(System|Messages)\b", self.template) is not None

    @property
    def least_thinking(self) -> bool | str:
        """The value of ``think`` under which the model thinks least.

        Left out, models that can think do so. gpt-oss takes no false, only levels.
        """
        if self.thinking and self.thinking.values:
            return False if False in self.thinking.values else self.thinking.values[0]
        family = self.details.family if self.details else None
        return "low" if family in ("gptoss", "gpt-oss") else False

    def check(self, reasoning: Reasoning) -> None:
        """See that the model can do what is asked, which Ollama itself may pass over.

        Raises:
            UserError: it cannot.
        """
        asked = thinking(reasoning)
        can_think = "thinking" in (self.capabilities or ["thinking"])
        takes: list[bool | str] = [False, True] if can_think else [False]
        if self.thinking and self.thinking.values:
            takes = self.thinking.values
        elif self.least_thinking == "low":
            takes = ["low", "medium", "high"]
        if asked and asked["think"] not in takes:
            names = {False: "none", True: "default"}
            words = [names[each] if isinstance(each, bool) else each for each in takes]
            raise UserError(
                f"the model cannot do reasoning {reasoning}; it takes "
                f"{', '.join(dict.fromkeys([*words, 'default']))}"
            )


@dataclass(frozen=True)
class Installed:
    """A model that Ollama has: Ollama's version, the checksum of the model, and what it tells."""

    version: str
    digest: str
    shown: Shown


async def installed(server: HttpServer, model: str, key: str) -> Installed:
    """Return the model that now has a tag.

    Args:
        server: Ollama.
        model: the tag.
        key: of the config, for messages.

    Raises:
        UserError: Ollama is away, no model has the tag, or Ollama asks another host for it.
    """
    if _CLOUD.search(model):
        raise _passed_on(model, "its cloud", key)
    version = await first_reply(
        server,
        "/api/version",
        _Version,
        "Is Ollama running there? Start it with `ollama serve`, or say where it is: "
        "local_endpoint in the config, or the environment variable ASSAY_LOCAL_ENDPOINT.",
    )
    tags = await first_reply(server, "/api/tags", _Tags, "Is this Ollama?")
    there = {tag.name: tag for tag in tags.models}
    wanted = model if ":" in model.rsplit("/", maxsplit=1)[-1] else f"{model}:latest"
    if wanted not in there:
        raise UserError(
            f"Ollama at {server.base_url} does not have the model {model!r} (installed there: "
            f"{nearest(wanted, there)}). Run `ollama pull {model}`, or change {key}."
        )
    tag = there[wanted]
    shown = await first_reply(
        server, "/api/show", Shown, "Is this Ollama?", method="POST", json={"model": model}
    )
    if host := tag.remote_host or shown.remote_host:
        raise _passed_on(model, host, key)
    return Installed(version.version, tag.digest, shown)


def _passed_on(model: str, host: str, key: str) -> UserError:
    return UserError(
        f"Ollama does not run {model!r} itself: it passes each request on to {host}. Its checksum "
        "is not that of the model that answers, which may change unseen, and no JSON schema is "
        f"enforced there. Change {key} to a model that `ollama ls` lists with its size."
    )


class _Turn(Reply):
    """The assistant's turn in a chat."""

    content: str | None = None
    thinking: str | None = None


class _Used(Counted):
    """The counts of a reply, of which nothing else may be readable."""

    prompt_eval_count: Count = None
    eval_count: Count = None
    load_duration: Duration = None
    prompt_eval_duration: Duration = None

    def counts(self) -> Usage:
        prompt, completion = self.prompt_eval_count, self.eval_count
        both = None if prompt is None or completion is None else prompt + completion
        evaluated = self.prompt_eval_duration
        return Usage(
            prompt_tokens=prompt,
            completion_tokens=completion,
            total_tokens=both,
            first_token_s=None
            if evaluated is None
            else ((self.load_duration or 0) + evaluated) / _NS_PER_S,
        )


class _Reply(_Used):
    """What ``/api/chat`` and ``/api/generate`` send; a chat has a ``message``."""

    message: _Turn | None = None
    response: str | None = None
    thinking: str | None = None
    done: bool | None = None
    done_reason: str | None = None
    logprobs: Annotated[list[TokenLogprob] | None, OrNone] = None


class OllamaServer(HttpServer):
    """Knows by their texts the lasting errors that Ollama sends with status 500."""

    def judge(self, status: int, body: Any) -> dict[str, Any]:
        """Whether the same request would fail again."""
        return {"retryable": False} if _LASTING.search(message_in(body or "")) else {}


class OllamaClient:
    """Answers chats with a model that Ollama serves.

    Decoding parameters that are ``None`` are off, not Ollama's or the model file's defaults, and
    so is thinking. A prompt that does not fit into ``n_ctx`` fails instead of losing its
    beginning.

    A model whose template has no place for a system prompt is asked by ``/api/generate`` with one
    text: system prompt, blank line, question. All others are asked by ``/api/chat``.
    """

    max_concurrent = NO_LIMIT

    def __init__(self, settings: BackendSettings) -> None:
        self._settings = settings
        self._server = OllamaServer(str(settings.address), timeout_s=settings.request_timeout_s)
        self._model = settings.model
        self._n_ctx = settings.n_ctx

    async def open(self) -> None:
        """See that Ollama runs and has the model, and which one it is."""
        log.info("%s", await self.check())

    async def check(self) -> str:
        """See that Ollama runs, has the model, and that it writes text."""
        found = await installed(self._server, self._model, "local_model")
        version, shown = found.version, found.shown
        self._version, self._digest = version, found.digest
        if shown.capabilities is not None and "completion" not in shown.capabilities:
            raise UserError(
                f"Ollama's model {self._model!r} does not write text (it can: "
                f"{', '.join(shown.capabilities) or 'nothing'}). Change local_model."
            )
        self._endpoint = _CHAT if shown.takes_system_prompts else _GENERATE
        self._think = shown.least_thinking
        self._shown = shown
        for reasoning in self._settings.reasonings:
            shown.check(reasoning)
        if self._settings.logprobs and _is_before(version, _REPORTS_LOGPROBS_SINCE):
            raise UserError(
                f"Ollama {version} reports no log-probabilities, and 0.12.11 is the first "
                "that does. Install a newer one, or leave out logprobs"
            )
        self._trained_length = shown.trained_length
        remarks = [self._digest[:19]]
        if self.context_length < self._n_ctx:
            remarks.append(
                f"it was trained for {self._trained_length} tokens, to which Ollama lowers n_ctx"
            )
        if self._endpoint == _GENERATE:
            remarks.append("its template takes no system prompt: it gets each prompt as one text")
        if self._think:
            remarks.append("it always thinks first, within max_new_tokens")
        if _is_before(version, _REFUSES_LONG_PROMPTS_SINCE):
            remarks.append(
                "this old Ollama cuts prompts longer than n_ctx without a word: update it"
            )
        said = f"Ollama {version} at {self._server.base_url} has {self._model}"
        return f"{said} ({'; '.join(remarks)})"

    async def close(self) -> None:
        """Close the connections."""
        await self._server.close()

    @property
    def context_length(self) -> int:
        """Longest prompt with its answer in tokens."""
        return min(self._n_ctx, self._trained_length or self._n_ctx)

    def identity(self) -> Mapping[str, str]:
        """Engine, endpoint, tag and the checksum behind it, context length, thinking, version."""
        version = self._settings.model_version
        told = {"version": self._version, "model_version": version}
        return self._former_identity() | {name: text for name, text in told.items() if text}

    def reuse(self) -> Reuse:
        """Earlier versions' answers count, unless another server may have given them."""
        former = None if self._settings.rivals else self._former_identity()
        return Reuse(former=former, counts_exactly=True)

    def _former_identity(self) -> dict[str, str]:
        """The identity as versions before 0.2 had it."""
        return {
            "engine": "ollama",
            "endpoint": self._endpoint,
            "model": self._model,
            "model_digest": self._digest,
            "n_ctx": str(self._n_ctx),
            "think": json.dumps(self._think),
        }

    async def generate(self, messages: Sequence[Message], decoding: Decoding) -> Completion:
        """Answer one chat."""
        body = self._body(messages, decoding)
        started = time.perf_counter()
        reply = await self._server.ask(self._endpoint, body)
        return self._read(reply, body, round(time.perf_counter() - started, 6))

    def read_reply(
        self,
        reply: str,
        messages: Sequence[Message],
        decoding: Decoding,
        latency_s: float | None = None,
    ) -> Completion:
        """Read the answer to a chat from a reply as it came."""
        return self._read(reply, self._body(messages, decoding), latency_s)

    def _read(self, reply: str, asked: object, latency_s: float | None) -> Completion:
        def completion(data: Any) -> Completion:
            update = {
                "request_id": content_id("ollama", self._digest, asked),
                "latency_s": latency_s,
                "served_by": {
                    "address": self._server.base_url,
                    "server": "ollama",
                    "version": self._version,
                    "model": self._digest,
                    "context_length": str(self.context_length),
                },
            }
            return _answer(data).model_copy(update=update)

        return self._server.answer(reply, completion, latency_s)

    def _body(self, messages: Sequence[Message], decoding: Decoding) -> dict[str, Any]:
        thinks = {"think": self._think}
        if decoding.reasoning is not None:
            self._shown.check(decoding.reasoning)
            thinks = thinking(decoding.reasoning)
        body: dict[str, Any] = {
            "model": self._model,
            "stream": False,
            "truncate": False,
            "shift": False,
            **thinks,
            "options": self._options(decoding),
            **logprobs("ollama", self._model, decoding),
        }
        if self._endpoint == _CHAT:
            body["messages"] = [message.model_dump() for message in messages]
        else:
            body["prompt"] = "\n\n".join(each.content for each in messages)
        if decoding.json_schema is not None:
            body["format"] = sent_schema(self.identity(), decoding.json_schema).schema
        return body

    def _options(self, decoding: Decoding) -> dict[str, Any]:
        # num_ctx is the same in all requests: another one reloads the model.
        return {**OFF} | {"num_ctx": self._n_ctx} | parameters("ollama", self._model, decoding)


def kept_answer(data: Any, decoding: Decoding) -> Completion:
    """Return the answer in a kept reply."""
    return _answer(data)


def _answer(data: Any) -> Completion:
    """Return the answer in a reply, without an id: Ollama gives none.

    Fields came with Ollama's versions. A reply without a reason for its end has ended by itself,
    if it holds a text.

    Raises:
        NoAnswerError: the reply is none that can be read.
        RequestError: Ollama loaded or unloaded the model, and nothing else.
    """
    reply = read_whole(_Reply, data, _Used)
    usage, word = reply.counts(), reply.done_reason or None
    text = reply.response if reply.message is None else reply.message.content
    if word in _NOTHING_ASKED:
        raise RequestError(f"Ollama answered nothing (done_reason: {word!r})", retryable=True)
    if reply.done is False:
        raise NoAnswerError("the answer was broken off (it may repeat itself without end)", usage)
    if word is None and text and text.strip():
        word = "stop"
    if word not in ("stop", "length") or (reply.message is None and reply.response is None):
        raise NoAnswerError(f"the reply holds no answer (done_reason: {word!r})", usage)
    tokens = [each.read() for each in reply.logprobs or ()]
    thoughts = reply.thinking if reply.message is None else reply.message.thinking
    return Completion(
        response_text=text or "",
        finish_reason=word,
        request_id="",
        usage=usage,
        thoughts=thoughts or None,
        logprobs=of_answer(tokens, text or "", thinks=bool(thoughts)),
    )


def _is_before(version: str, other: tuple[int, ...]) -> bool:
    """Whether a version is older. Builds of one's own say 0.0.0, which tells nothing."""
    numbers = re.match(r"(\d+)\.(\d+)\.(\d+)", version)
    return numbers is not None and (0, 0, 0) < tuple(map(int, numbers.groups())) < other
