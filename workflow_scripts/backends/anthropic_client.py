"""Anthropic: Claude by the Messages API, and by Message Batches at half the price.

Batches carry no name. One that was created when its process was killed is found again by when it
was created and how many requests it has; see `AnthropicClient.find_batch`.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

from pydantic import AwareDatetime, Field

from ..core.errors import UserError
from ..core.records import Completion, Decoding, Message, Request, Usage
from .anthropic import KEY_VARIABLE
from .capabilities import capabilities, parameters, thinking
from .client import BatchIntent, BatchResults, BatchStatus, ListedBatch, NoAnswerError, RequestError
from .hosted import (
    NOT_FOUND,
    first,
    in_late_list,
    known_model,
    no_such_model,
    read_patiently,
    read_row,
)
from .http import (
    NO_LIMIT,
    Count,
    Counted,
    HttpError,
    HttpServer,
    OrNone,
    Reply,
    Text,
    api_key,
    content_id,
    first_reply,
    read_json,
    read_whole,
)
from .schema import sent_schema
from .settings import BackendSettings

DEFAULT_ENDPOINT = "https://api.anthropic.com"

API_VERSION = "2023-06-01"
"""Not the newest: from 2026-10-21 on the API refuses sampling parameters for all models, also for
those that take them."""

_MESSAGES = "/v1/messages"
_BATCHES = "/v1/messages/batches"
_MODELS = "/v1/models"
_CHUNK_BYTES = 2**20
_TOLERANCE = timedelta(minutes=1)  # of clocks that were compared

_FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "refused:refusal",
}
_UNBILLED = {"errored", "canceled", "expired"}
_LASTING = {
    *("authentication_error", "billing_error", "invalid_request_error", "not_found_error"),
    "permission_error",
}

Moment = Annotated[AwareDatetime, Field(strict=False)]
"""A time as text."""


class _Block(Reply):
    type: Text = None
    text: Text = None
    thinking: Text = None


class _OutputDetails(Reply):
    thinking_tokens: Count = None


class _Usage(Reply):
    output_tokens_details: Annotated[_OutputDetails | None, OrNone] = None
    input_tokens: Count = None
    output_tokens: Count = None
    cache_creation_input_tokens: Count = None
    cache_read_input_tokens: Count = None

    def counts(self) -> Usage:
        """The counts as our record; Anthropic's input tokens are those that met no cache."""
        parts = (
            self.input_tokens,
            self.cache_creation_input_tokens,
            self.cache_read_input_tokens,
        )
        prompt = None if self.input_tokens is None else sum(part or 0 for part in parts)
        completion = self.output_tokens
        return Usage(
            prompt_tokens=prompt,
            completion_tokens=completion,
            total_tokens=None if prompt is None or completion is None else prompt + completion,
            cached_tokens=self.cache_read_input_tokens,
            cache_write_tokens=self.cache_creation_input_tokens,
            thought_tokens=(self.output_tokens_details or _OutputDetails()).thinking_tokens,
        )


class _Used(Counted):
    """The counts of a message, of which nothing else may be readable."""

    usage: Annotated[_Usage | None, OrNone] = None

    def counts(self) -> Usage:
        return (self.usage or _Usage()).counts()


class _Message(_Used):
    id: Text = None
    content: list[_Block] | None = None
    stop_reason: str | None = None


class _Supported(Reply):
    supported: bool | None = None


class _Thinking(Reply):
    types: dict[str, _Supported | None] | None = None


class _Capabilities(Reply):
    thinking: Annotated[_Thinking | None, OrNone] = None
    effort: dict[str, Annotated[_Supported | None, OrNone]] | None = None


class _Model(Reply):
    id: str
    display_name: str = ""
    lifecycle: str = "active"
    capabilities: Annotated[_Capabilities | None, OrNone] = None

    def refused(self, asked: Mapping[str, Any]) -> str | None:
        """Return what of a request about thinking Anthropic says that the model refuses."""
        told = self.capabilities or _Capabilities()
        kind = asked.get("thinking", {}).get("type", "")
        effort = asked.get("output_config", {}).get("effort", "")
        if _is_refused(((told.thinking or _Thinking()).types or {}).get(kind)):
            return f"thinking of type {kind}"
        return f"effort {effort}" if _is_refused((told.effort or {}).get(effort)) else None


def _is_refused(told: _Supported | None) -> bool:
    return told is not None and told.supported is False


class _Models(Reply):
    data: list[_Model]


class _Counts(Reply):
    processing: int
    succeeded: int
    errored: int
    canceled: int
    expired: int

    @property
    def total(self) -> int:
        return self.processing + self.succeeded + self.errored + self.canceled + self.expired


class _Batch(Reply):
    id: str
    processing_status: str
    request_counts: _Counts
    created_at: Moment
    archived_at: Moment | None = None
    cancel_initiated_at: Moment | None = None


class _BatchList(Reply):
    data: list[_Batch]
    has_more: bool
    last_id: str | None


class _Error(Reply):
    type: str
    message: str


class _ErrorEnvelope(Reply):
    error: _Error


class _Result(Reply):
    type: str
    message: Any = None
    error: Annotated[_ErrorEnvelope | None, OrNone] = None


class _Line(Reply):
    custom_id: str
    result: _Result


class AnthropicClient:
    """Answers chats with a Claude model, one by one or as batches.

    The system prompt is marked for prompt caching: the requests of a part share it, and cached
    tokens cost a tenth. That changes the price, never an answer.
    """

    max_concurrent = NO_LIMIT
    max_batch_requests = 100_000
    max_batch_bytes = 250_000_000  # of 256 MB

    def __init__(self, settings: BackendSettings) -> None:
        endpoint = (settings.given_address or DEFAULT_ENDPOINT).rstrip("/")
        key = api_key(KEY_VARIABLE)
        self._server = HttpServer(
            endpoint.removesuffix("/v1"),
            timeout_s=settings.request_timeout_s,
            headers={"x-api-key": key, "anthropic-version": API_VERSION},
            secrets=[key],
        )
        self._model = settings.model
        self._reasonings = settings.reasonings
        self._always = dict(capabilities("anthropic", self._model).always)

    async def open(self) -> None:
        """Nothing to make ready."""

    async def check(self) -> str:
        """See that the key is right and the model there."""
        remedy = (
            f"Is the key in {KEY_VARIABLE} right? Keys are made at https://platform.claude.com."
        )
        path = f"{_MODELS}/{quote(self._model, safe='')}"
        model = await known_model(self._server, path, _Model, remedy)
        if model is None:
            listed = await first_reply(self._server, f"{_MODELS}?limit=1000", _Models, "")
            raise no_such_model(self._server, self._model, [each.id for each in listed.data])
        self._check_thinking(model)
        told = "" if model.lifecycle == "active" else f", which is {model.lifecycle}"
        return f"{self._server.base_url} has {model.id} ({model.display_name}){told}"

    def _check_thinking(self, model: _Model) -> None:
        """See that the model takes what it is to be told about thinking, by its own page.

        Raises:
            UserError: it would refuse each request.
        """
        for reasoning in (None, *self._reasonings):
            asked = Decoding(temperature=0, max_new_tokens=1, seed=0, reasoning=reasoning)
            if refused := model.refused(thinking("anthropic", self._model, asked)):
                raise UserError(
                    f"{self._server.base_url} says that {model.id} refuses {refused}"
                    f", which reasoning {reasoning or 'as little as it can'} needs. Choose another "
                    "reasoning, such as default."
                )

    async def close(self) -> None:
        """Close the connections."""
        await self._server.close()

    def identity(self) -> Mapping[str, str]:
        """Engine, endpoint, model, and what goes out with every request.

        Batches and single requests have the same, so each finds the other's answers.
        """
        return {
            "engine": "anthropic",
            "endpoint": _MESSAGES,
            "model": self._model,
            **{name: json.dumps(value, sort_keys=True) for name, value in self._always.items()},
        }

    async def generate(self, messages: Sequence[Message], decoding: Decoding) -> Completion:
        """Answer one chat."""
        body = self._body(messages, decoding)
        started = time.perf_counter()
        reply = await self._server.ask(_MESSAGES, body)
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
        return self._server.answer(reply, lambda data: _answer(data, latency_s, asked), latency_s)

    def _body(
        self, messages: Sequence[Message], decoding: Decoding, *, cached_for: str = "5m"
    ) -> dict[str, Any]:
        system = "\n\n".join(each.content for each in messages if each.role == "system")
        told = dict(thinking("anthropic", self._model, decoding))
        if decoding.json_schema is not None:
            written = sent_schema(self.identity(), decoding.json_schema).schema
            told["output_config"] = {
                **told.get("output_config", {}),  # the effort
                "format": {"type": "json_schema", "schema": written},
            }
        mark = {"cache_control": {"type": "ephemeral", "ttl": cached_for}}
        return {
            "model": self._model,
            **({"system": [{"type": "text", "text": system, **mark}]} if system else {}),
            "messages": [each.model_dump() for each in messages if each.role != "system"],
            **parameters("anthropic", self._model, decoding),
            **told,
        }

    # Batches

    @property
    def address(self) -> str:
        """Where the batches are."""
        return self._server.base_url

    def batch_line(self, key: str, request: Request) -> Mapping[str, Any]:
        """One of the batch's requests. Batches take longer than five minutes, so the cache does."""
        params = self._body(request.messages, request.decoding, cached_for="1h")
        return {"custom_id": key, "params": params}

    async def find_batch(self, intent: BatchIntent, claimed: Collection[str]) -> str | None:
        """The batch that an earlier process created for this intent, if it did.

        It is one that no other intent claims, created when this one was written or later, of the
        same number of requests; of several, the one created next to that time. It may be somebody
        else's: only its results' ids tell.
        """
        return await in_late_list(lambda: self._found(intent, claimed))

    async def _found(self, intent: BatchIntent, claimed: Collection[str]) -> str | None:
        written = intent.at - await self._clock_ahead()
        candidates: list[_Batch] = []
        async for batch in self._listed():
            if batch.created_at < written - _TOLERANCE:
                break
            if batch.id not in claimed and batch.request_counts.total == intent.requests:
                candidates.append(batch)
        if not candidates:
            return None
        return min(candidates, key=lambda each: abs(each.created_at - written)).id

    async def _clock_ahead(self) -> timedelta:
        """How far this machine's clock is ahead of Anthropic's, which dates the batches."""
        async with self._server.response("GET", _BATCHES, params={"limit": "1"}) as response:
            try:
                theirs = parsedate_to_datetime(response.headers.get("Date", ""))
                return datetime.now(UTC) - theirs
            except (ValueError, TypeError):  # a gateway may leave it out; TypeError: no time zone
                return timedelta()

    async def _listed(self) -> AsyncIterator[_Batch]:
        """All batches of the key's workspace, newest first."""
        params = {"limit": "1000"}
        while True:
            page = await self._server.get(_BATCHES, _BatchList, params)
            for batch in page.data:
                yield batch
            if not page.has_more or page.last_id is None:
                return
            params["after_id"] = page.last_id

    async def submit_batch(self, intent: BatchIntent, lines: Path) -> str:
        """Create the batch. A try of which the outcome is not known is not repeated here."""
        with lines.open("rb") as stream:
            before, after = b'{"requests":[', b"]}"
            size = lines.stat().st_size
            stream.seek(max(0, size - 1))
            size -= stream.read() == b"\n"
            stream.seek(0)

            async def content() -> AsyncIterator[bytes]:
                yield before
                rest = size
                while rest:
                    chunk = stream.read(min(rest, _CHUNK_BYTES))
                    rest -= len(chunk)
                    yield chunk.replace(b"\n", b",")
                yield after

            batch = await self._server.request(
                "POST",
                _BATCHES,
                _Batch,
                data=content(),
                headers={
                    "Content-Type": "application/json",
                    "Content-Length": str(len(before) + size + len(after)),
                },
            )
        return batch.id

    async def batch_status(self, job_id: str) -> BatchStatus:
        """How far the batch is. Anthropic counts only once the whole batch has ended."""
        batch = await self._batch(job_id)
        if batch is None:
            return BatchStatus("gone", "not found")
        word, counts = batch.processing_status, batch.request_counts
        if batch.archived_at is not None:
            return BatchStatus("gone", "archived", message="results are kept for 29 days")
        if word != "ended":
            return BatchStatus("running", word, total=counts.total)
        return BatchStatus(
            "ended" if batch.cancel_initiated_at is None else "cancelled",
            word,
            done=counts.succeeded,
            failed=counts.errored + counts.canceled + counts.expired,
            total=counts.total,
        )

    async def _batch(self, job_id: str) -> _Batch | None:
        """A batch, or None where it does not exist."""
        read = await read_patiently(lambda: self._server.get(f"{_BATCHES}/{job_id}", _Batch))
        if read is not None:
            return read
        return await first(self._listed(), lambda each: each.id == job_id)

    async def batch_results(self, job_id: str) -> BatchResults:
        """The results of a batch that has ended: one for each request, whatever became of it."""
        batch = await self._batch(job_id)
        expected = batch.request_counts.total if batch is not None else None
        return BatchResults(expected, self._lines(job_id))

    async def _lines(self, job_id: str) -> AsyncIterator[bytes]:
        # results_url names the provider's own address, where a gateway may not be passed by.
        path = f"{_BATCHES}/{job_id}/results"
        try:
            async for line in self._server.lines(path):
                yield line
        except HttpError as error:
            if error.status != NOT_FOUND:
                raise
            raise self._server.error(str(error), retryable=True) from error

    def read_result(self, line: bytes) -> tuple[str, Completion | RequestError]:
        """Key and result in one line of the results."""
        return read_row(line, self._result)

    async def list_batches(self) -> AsyncIterator[ListedBatch]:
        """All batches of the key's workspace, newest first."""
        async for each in self._listed():
            yield ListedBatch(
                each.id,
                each.processing_status,
                each.created_at,
                is_running=each.processing_status != "ended",
                requests=each.request_counts.total,
            )

    async def cancel_batch(self, job_id: str) -> None:
        """Requests that are answered by then are paid and kept."""
        await self._server.send("POST", f"{_BATCHES}/{job_id}/cancel")

    def _result(self, line: bytes) -> tuple[str, Completion | RequestError]:
        read = _Line.model_validate(read_json(line))
        try:
            return read.custom_id, self._outcome(read)
        except RequestError as error:
            return read.custom_id, error

    def _outcome(self, line: _Line) -> Completion:
        result = line.result
        if result.type not in _UNBILLED:
            return _answer(result.message, None, line.custom_id)
        if result.error is None:
            raise self._server.error(f"the batch's request is {result.type}", retryable=True)
        error = result.error.error
        raise self._server.error(
            f"{error.type}: {error.message}",
            retryable=error.type not in _LASTING,
        )


def kept_answer(data: Any, decoding: Decoding) -> Completion:
    """Return the answer in a kept reply: a message, or a line of a batch's results."""
    return _answer(data["result"]["message"] if "custom_id" in data else data, None, None)


def _answer(data: Any, latency_s: float | None, asked: object) -> Completion:
    """Return the answer in a message; thoughts are no part of it, but of its price.

    A message without content is an empty answer, where it says why it ended. One that does not
    say so has ended by itself, if it holds a text (Anthropic's types declare the reason optional).

    Args:
        data: the message.
        latency_s: wall time of the request in seconds.
        asked: what was sent; the id is made of it where the message has none.

    Raises:
        NoAnswerError: the message is none that can be read.
    """
    message = read_whole(_Message, data, _Used)
    usage = message.counts()
    blocks = [block for block in message.content or () if block.type == "text"]
    text = "".join(block.text or "" for block in blocks)
    thoughts = [block.thinking for block in message.content or () if block.thinking]
    word = message.stop_reason
    finish = "stop" if word is None and text.strip() else _FINISH.get(word or "")
    if finish is None:
        raise NoAnswerError(f"the reply holds no answer (stop_reason: {word!r})", usage)
    return Completion(
        response_text=text,
        finish_reason=finish,
        request_id=message.id or content_id("anthropic", asked),
        usage=usage,
        latency_s=latency_s,
        thoughts="\n".join(thoughts) or None,
    )
