"""Google's Gemini API (Developer API): generateContent, and batches at half the price.

A batch's requests go up as a file. File and batch carry the intent's name, so both are found
again when the process that made them was killed.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlsplit

from pydantic import AwareDatetime, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from ..core.errors import UserError
from ..core.records import Completion, Decoding, Message, Request, Usage
from .capabilities import capabilities, logprobs, parameters, thinking
from .client import BatchIntent, BatchResults, BatchStatus, ListedBatch, NoAnswerError, RequestError
from .gemini import KEY_VARIABLES
from .hosted import first, in_late_list, known_model, no_such_model, read_patiently, read_row
from .http import (
    NO_LIMIT,
    Count,
    Counted,
    HttpServer,
    OrNone,
    Reply,
    SparseReply,
    Text,
    api_key,
    content_id,
    error_in,
    first_reply,
    read_json,
    read_whole,
)
from .logprobs import Token, of_answer
from .schema import sent_schema
from .settings import BackendSettings

DEFAULT_ENDPOINT = "https://generativelanguage.googleapis.com"

CLOCK_SKEW = timedelta(hours=1)
"""How far this machine's clock may be ahead of Google's."""

FILE_WAITS_S = (0.2, 1.0, 2.0, 5.0, 10.0, 20.0)
"""Waits while an uploaded file is not ready yet, in seconds."""

_V = "/v1beta"
_PAGE = "100"

_FINISH = {"STOP": "stop", "MAX_TOKENS": "length", "CONTINUATION": "length"}
_REFUSALS = {
    *("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "LANGUAGE"),
    *("ESCALATION", "MODEL_ARMOR"),
}
_BROKEN_OFF = {"OTHER", "MALFORMED_RESPONSE"}
_ACCOUNT_IS_LIMITED = "PUP_LIMITED_DISABLED"
_COMPLETE = {"SUCCEEDED", "PARTIALLY_SUCCEEDED"}
_ENDED = _COMPLETE | {"CANCELLED", "EXPIRED"}
_LASTING_CODES = {3, 5, 7, 9, 16, 400, 401, 403, 404}  # of google.rpc.Code, and of HTTP

Number = Annotated[int, Field(strict=False)]
"""A number of 64 bits, which Google writes as text."""

Moment = Annotated[AwareDatetime, Field(strict=False)]
"""A time as text."""


_ROLES = {"user": "user", "assistant": "model"}
"""Gemini's names of who says what; the system prompt stands apart."""


class _GoogleReply(Reply):
    """Base of the replies: fields are in camel case on the wire, and left out where empty."""

    model_config = ConfigDict(alias_generator=to_camel)


class _Part(_GoogleReply):
    text: str | None = None
    thought: bool | None = None


class _Content(_GoogleReply):
    parts: list[_Part] | None = None


class _Chosen(_GoogleReply):
    token: str = ""
    log_probability: float


class _Logprobs(_GoogleReply):
    chosen_candidates: list[_Chosen] = Field(default_factory=list)


class _Candidate(_GoogleReply):
    content: _Content | None = None
    finish_reason: str | None = None
    logprobs_result: Annotated[_Logprobs | None, OrNone] = None

    @property
    def tokens(self) -> list[Token]:
        """The generated tokens, where Google reports them."""
        chosen = self.logprobs_result.chosen_candidates if self.logprobs_result else ()
        return [Token(each.token.encode(), each.log_probability) for each in chosen]

    @property
    def text(self) -> str:
        """All that is no thought."""
        parts = (self.content and self.content.parts) or ()
        return "".join(part.text or "" for part in parts if not part.thought)

    @property
    def thoughts(self) -> str | None:
        """What Google shows of the thoughts."""
        parts = (self.content and self.content.parts) or ()
        return "".join(part.text or "" for part in parts if part.thought) or None


class _Feedback(_GoogleReply):
    block_reason: str | None = None


class _Usage(SparseReply, _GoogleReply):
    prompt_token_count: Count = None
    candidates_token_count: Count = None
    thoughts_token_count: Count = None
    cached_content_token_count: Count = None
    total_token_count: Count = None

    def counts(self) -> Usage:
        """The counts as our record; those that are 0 are left out on the wire."""
        prompt = self._sum("prompt_token_count") or None  # no prompt has none
        completion = self._sum("candidates_token_count", "thoughts_token_count")
        both = None if prompt is None or completion is None else prompt + completion
        return Usage(
            prompt_tokens=prompt,
            completion_tokens=completion,
            total_tokens=self.total_token_count or both,
            cached_tokens=self._sum("cached_content_token_count"),
            thought_tokens=self.thoughts_token_count,
        )

    def _sum(self, *names: str) -> int | None:
        """Add counts up; a count that is there and cannot be read makes the sum unknown."""
        counts = [getattr(self, name) for name in names]
        if any(
            count is None and name in self.model_fields_set
            for name, count in zip(names, counts, strict=True)
        ):
            return None
        return sum(count or 0 for count in counts)


class _Used(Counted, _GoogleReply):
    """The counts of a response, of which nothing else may be readable."""

    usage_metadata: Annotated[_Usage | None, OrNone] = None

    def counts(self) -> Usage:
        return self.usage_metadata.counts() if self.usage_metadata else Usage()


class _Response(_Used):
    candidates: list[_Candidate] | None = None
    prompt_feedback: Annotated[_Feedback | None, OrNone] = None
    response_id: Text = None


class _Model(_GoogleReply):
    name: str
    display_name: str = ""


class _Models(_GoogleReply):
    models: list[_Model] = Field(default_factory=list)


class _File(_GoogleReply):
    name: str
    display_name: str = ""
    size_bytes: Number = 0
    state: str = "ACTIVE"


class _Uploaded(_GoogleReply):
    file: _File


class _Files(_GoogleReply):
    files: list[_File] = Field(default_factory=list)
    next_page_token: str | None = None


class _Stats(_GoogleReply):
    request_count: Number = 0
    successful_request_count: Number = 0
    failed_request_count: Number = 0


class _Output(_GoogleReply):
    responses_file: str | None = None


class _Metadata(_GoogleReply):
    display_name: str = ""
    state: str
    create_time: Moment
    batch_stats: _Stats = _Stats()
    output: _Output = _Output()


class _Status(_GoogleReply):
    """A google.rpc.Status."""

    code: int = 2  # unknown
    message: str = "no reason given"


class _Batch(_GoogleReply):
    name: str
    metadata: _Metadata
    error: _Status | None = None

    @property
    def word(self) -> str:
        return self.metadata.state.removeprefix("BATCH_STATE_").removeprefix("JOB_STATE_")


class _Batches(_GoogleReply):
    operations: list[_Batch] = Field(default_factory=list)
    next_page_token: str | None = None


class _Line(_GoogleReply):
    key: str
    response: Any = None
    error: _Status | None = None


class _Violation(_GoogleReply):
    quota_id: str = ""


class _Detail(_GoogleReply):
    retry_delay: str = ""
    violations: list[_Violation] = Field(default_factory=list)


class _Refusal(_GoogleReply):
    status: str = ""
    message: str = ""
    details: list[_Detail] = Field(default_factory=list)


class GeminiServer(HttpServer):
    """Reads from Google's error bodies what other providers say in headers and status codes."""

    def judge(self, status: int, body: Any) -> dict[str, Any]:
        """How long to wait.

        Raises:
            UserError: no other request would be answered either.
        """
        try:
            refusal = _Refusal.model_validate(body["error"])
        except (TypeError, KeyError, ValidationError):
            return {}
        if refusal.status == "FAILED_PRECONDITION":  # no free tier in the country, no billing
            raise UserError(
                f"{self.base_url}: {refusal.message.rstrip('.')}. This holds for all requests, so "
                "none is sent."
            )
        traits: dict[str, Any] = {}
        for detail in refusal.details:
            for violation in detail.violations:
                if "PerDay" in violation.quota_id:
                    raise UserError(
                        f"{self.base_url}: the quota of a day is used up ({violation.quota_id}). "
                        "It is renewed at midnight, Pacific time. Run again then: answers so far "
                        "are kept, and only the rest is sent."
                    )
            seconds = detail.retry_delay.removesuffix("s")
            if seconds.replace(".", "", 1).isdecimal():
                traits["wait_s"] = float(seconds)
        return traits


class GeminiClient:
    """Answers chats with a Gemini model, one by one or as batches."""

    max_concurrent = NO_LIMIT
    max_batch_requests = 100_000
    max_batch_bytes = 2_000_000_000  # of 2 GB

    def __init__(self, settings: BackendSettings) -> None:
        endpoint = (settings.given_address or DEFAULT_ENDPOINT).rstrip("/")
        key = api_key(*KEY_VARIABLES)
        self._server = GeminiServer(
            endpoint.removesuffix(_V),
            timeout_s=settings.request_timeout_s,
            headers={"x-goog-api-key": key},
            secrets=[key],
        )
        self._model = settings.model.removeprefix("models/")
        self._path = f"{_V}/models/{quote(self._model, safe='')}"
        self._always = dict(capabilities("gemini", self._model).always)

    async def open(self) -> None:
        """Nothing to make ready."""

    async def check(self) -> str:
        """See that the key is right and the model there."""
        remedy = (
            f"Is the key in {' or '.join(KEY_VARIABLES)} right? Keys are made at "
            "https://aistudio.google.com."
        )
        model = await known_model(self._server, self._path, _Model, remedy)
        if model is None:
            listed = await first_reply(self._server, f"{_V}/models?pageSize=1000", _Models, "")
            names = [each.name.removeprefix("models/") for each in listed.models]
            raise no_such_model(self._server, self._model, names)
        return f"{self._server.base_url} has {self._model} ({model.display_name})"

    async def close(self) -> None:
        """Close the connections."""
        await self._server.close()

    def identity(self) -> Mapping[str, str]:
        """Engine, endpoint, model, and what goes out with every request.

        Batches and single requests have the same, so each finds the other's answers.
        """
        return {
            "engine": "gemini",
            "endpoint": "generateContent",
            "model": self._model,
            **{name: json.dumps(value, sort_keys=True) for name, value in self._always.items()},
        }

    async def generate(self, messages: Sequence[Message], decoding: Decoding) -> Completion:
        """Answer one chat."""
        body = self._body(messages, decoding)
        started = time.perf_counter()
        reply = await self._server.ask(f"{self._path}:generateContent", body)
        try:
            return self._read(reply, body, round(time.perf_counter() - started, 6))
        except _LimitedAccountError as error:
            raise UserError(f"{error}, so no further request is sent.") from error

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

    def _body(self, messages: Sequence[Message], decoding: Decoding) -> dict[str, Any]:
        schema: dict[str, Any] = {}
        if decoding.json_schema is not None:
            written = sent_schema(self.identity(), decoding.json_schema).schema
            schema = {"responseMimeType": "application/json", "responseJsonSchema": written}
        system = [{"text": each.content} for each in messages if each.role == "system"]
        return {
            **({"systemInstruction": {"parts": system}} if system else {}),
            "contents": [
                {"role": _ROLES[each.role], "parts": [{"text": each.content}]}
                for each in messages
                if each.role != "system"
            ],
            "generationConfig": {
                **parameters("gemini", self._model, decoding),
                **thinking("gemini", self._model, decoding),
                **logprobs("gemini", self._model, decoding),
                **schema,
            },
        }

    # Batches

    @property
    def address(self) -> str:
        """Where the batches are."""
        return self._server.base_url

    def batch_line(self, key: str, request: Request) -> Mapping[str, Any]:
        """One line of the input file."""
        return {"key": key, "request": self._body(request.messages, request.decoding)}

    async def find_batch(self, intent: BatchIntent, claimed: Collection[str]) -> str | None:
        """The newest batch that has the intent's name and that no other intent claims.

        Batches from before the intent are of a run whose results were deleted, on purpose.
        """
        return await in_late_list(lambda: self._found(intent, claimed))

    async def _found(self, intent: BatchIntent, claimed: Collection[str]) -> str | None:
        since = intent.at - CLOCK_SKEW
        named = [
            batch
            async for batch in self._listed()
            if batch.metadata.display_name == intent.name
            and batch.metadata.create_time >= since
            and batch.name not in claimed
        ]
        newest = max(named, key=lambda each: each.metadata.create_time, default=None)
        return newest.name if newest else None

    async def _listed(self) -> AsyncIterator[_Batch]:
        params = {"pageSize": _PAGE}
        while True:
            page = await self._server.get(f"{_V}/batches", _Batches, params)
            for batch in page.operations:
                yield batch
            if not page.next_page_token:
                return
            params["pageToken"] = page.next_page_token

    async def submit_batch(self, intent: BatchIntent, lines: Path) -> str:
        """Create the batch from a file, which is uploaded unless an earlier process did it.

        A try of which the outcome is not known is not repeated here.
        """
        file = await self._found_file(intent.name, lines) or await self._upload(intent.name, lines)
        await self._wait_for(file)
        body = {"batch": {"displayName": intent.name, "inputConfig": {"fileName": file.name}}}
        batch = await self._server.post(f"{self._path}:batchGenerateContent", body, _Batch)
        return batch.name

    async def _found_file(self, name: str, lines: Path) -> _File | None:
        """The whole upload of the same lines, if there is one."""
        size = lines.stat().st_size
        params = {"pageSize": _PAGE}
        while True:
            page = await self._server.get(f"{_V}/files", _Files, params)
            for file in page.files:
                if (file.display_name, file.size_bytes) == (name, size) and file.state != "FAILED":
                    return file
            if not page.next_page_token:
                return None
            params["pageToken"] = page.next_page_token

    async def _upload(self, name: str, lines: Path) -> _File:
        """Upload by Google's resumable protocol, in one part."""
        headers = {
            "X-Goog-Upload-Protocol": "resumable",
            "X-Goog-Upload-Command": "start",
            "X-Goog-Upload-Header-Content-Length": str(lines.stat().st_size),
            "X-Goog-Upload-Header-Content-Type": "application/jsonl",
        }
        file = {"file": {"displayName": name}}
        async with self._server.response(
            "POST", f"/upload{_V}/files", json=file, headers=headers
        ) as response:
            given = urlsplit(response.headers.get("X-Goog-Upload-URL", ""))
        if not given.query:
            raise self._server.error("the reply names no URL for the upload", retryable=True)
        # Always at the address that we trust with the key, as Google's own client does it.
        with lines.open("rb") as stream:
            uploaded = await self._server.request(
                "POST",
                f"{self._server.base_url}{given.path}?{given.query}",
                _Uploaded,
                data=stream,
                headers={
                    "X-Goog-Upload-Command": "upload, finalize",
                    "X-Goog-Upload-Offset": "0",
                    "Content-Type": "application/jsonl",
                },
            )
        return uploaded.file

    async def _wait_for(self, file: _File) -> None:
        """Wait until an uploaded file can be used."""
        for wait_s in FILE_WAITS_S:
            if file.state == "ACTIVE":
                return
            await asyncio.sleep(wait_s)
            file = await self._server.get(f"{_V}/{file.name}", _File)
        if file.state != "ACTIVE":
            text = f"the uploaded file {file.name} does not get ready ({file.state})"
            raise self._server.error(text, retryable=True)

    async def batch_status(self, job_id: str) -> BatchStatus:
        """How far the batch is."""
        batch = await self._batch(job_id)
        if batch is None:
            return BatchStatus("gone", "not found")
        word, stats = batch.word, batch.metadata.batch_stats
        message = batch.error.message if batch.error else ""
        state: Literal["running", "ended", "cancelled", "failed"] = "running"
        if word == "FAILED":
            state = "failed"
        elif word == "CANCELLED":
            state = "cancelled"
        elif word == "SUCCEEDED" and batch.metadata.output.responses_file is None:
            message = "its output is not there yet"
        elif word in _ENDED:
            state = "ended"
        return BatchStatus(
            state,
            word,
            done=stats.successful_request_count,
            failed=stats.failed_request_count,
            total=stats.request_count,
            message=message,
        )

    async def _batch(self, job_id: str) -> _Batch | None:
        """A batch, or None where it does not exist."""
        read = await read_patiently(lambda: self._server.get(f"{_V}/{job_id}", _Batch))
        if read is not None:
            return read
        return await first(self._listed(), lambda each: each.name == job_id)

    async def batch_results(self, job_id: str) -> BatchResults:
        """The results of a batch that has ended, in Google's order; an expired one has none.

        Of a cancelled one, requests that were not answered may have none.
        """
        batch = await self._batch(job_id)
        if batch is None:
            raise self._server.error(f"{job_id} is not known any more", retryable=False)
        file, stats = batch.metadata.output.responses_file, batch.metadata.batch_stats
        if file is None:
            return BatchResults(0, _nothing())
        is_complete = batch.word in _COMPLETE
        expected = stats.request_count or None if is_complete else stats.successful_request_count
        path = f"{_V}/{file}:download"
        return BatchResults(expected, self._server.lines(path, params={"alt": "media"}))

    def read_result(self, line: bytes) -> tuple[str, Completion | RequestError]:
        """Key and result in one line of the results."""
        return read_row(line, self._result)

    async def list_batches(self) -> AsyncIterator[ListedBatch]:
        """All batches of the key's project."""
        async for each in self._listed():
            yield ListedBatch(
                each.name,
                each.word,
                each.metadata.create_time,
                is_running=each.word not in {*_ENDED, "FAILED"},
                requests=each.metadata.batch_stats.request_count,
            )

    async def cancel_batch(self, job_id: str) -> None:
        """Whether what is answered by then is kept, Google does not promise."""
        await self._server.send("POST", f"{_V}/{job_id}:cancel")

    def _result(self, line: bytes) -> tuple[str, Completion | RequestError]:
        read = _Line.model_validate(read_json(line))
        if read.response is not None:
            try:
                return read.key, _answer(read.response, None, read.key)
            except RequestError as error:
                return read.key, error
        if read.error is None:
            raise NoAnswerError("neither an answer nor an error")
        return read.key, self._server.error(
            f"code {read.error.code}: {read.error.message}",
            retryable=read.error.code not in _LASTING_CODES,
        )


async def _nothing() -> AsyncIterator[bytes]:
    """No lines."""
    return
    yield


def kept_answer(data: Any, decoding: Decoding) -> Completion:
    """Return the answer in a kept reply: a response, or a line of a batch's results."""
    return _answer(data["response"] if "key" in data else data, None, None)


def _answer(data: Any, latency_s: float | None, asked: object) -> Completion:
    """Return the answer in a response; thoughts are no part of it, but of its price.

    A candidate without content is an empty answer, where it says why it ended. One that does not
    say so has ended by itself, if it holds a text (Google's types declare all fields optional).

    Args:
        data: what came back.
        latency_s: wall time of the request in seconds.
        asked: what was sent; the id is made of it where the response has none.

    Raises:
        NoAnswerError: the response is none that can be read.
        RequestError: Google says that it failed, or made nothing.
    """
    response = read_whole(_Response, data, _Used)
    usage = response.counts()
    blocked = response.prompt_feedback and response.prompt_feedback.block_reason
    text, finish = "", f"refused:{blocked}" if blocked else None
    if response.candidates:
        text, word = response.candidates[0].text, response.candidates[0].finish_reason
        finish = _finish(word, text, usage)
        if finish is None:
            raise NoAnswerError(f"the reply holds no answer (finishReason: {word!r})", usage)
    elif finish is None:
        problem = "the reply holds neither an answer nor a reason"
        nothing_made = response.usage_metadata is None or usage.completion_tokens == 0
        if not nothing_made or error_in(data):
            raise NoAnswerError(problem, usage)
        raise RequestError(problem, retryable=True, may_be_charged=True, usage=usage)
    candidate = response.candidates[0] if response.candidates else _Candidate()
    thoughts = candidate.thoughts
    return Completion(
        response_text=text,
        finish_reason=finish,
        request_id=response.response_id or content_id("gemini", asked),
        usage=usage,
        latency_s=latency_s,
        thoughts=thoughts,
        logprobs=of_answer(candidate.tokens, text, thinks=bool(thoughts)),
    )


class _LimitedAccountError(RequestError):
    """Google refuses the account, whatever it asks."""


def _finish(word: str | None, text: str, usage: Usage) -> str | None:
    """Return our word for the end of an answer, or None where it is not known.

    An answer that ended by itself without a text or a token of one is a fault of the service
    (LiteLLM, issues 24442 and 24467).

    Raises:
        RequestError: Google failed, or refuses the account.
    """
    made = usage.completion_tokens
    if word == "STOP" and not text and made is not None and made == (usage.thought_tokens or 0):
        raise RequestError(
            "Google ended the answer before its first token",
            retryable=True,
            may_be_charged=True,
            usage=usage,
        )
    if word in _BROKEN_OFF:
        raise RequestError(
            f"the answer was broken off ({word!r})",
            retryable=True,
            may_be_charged=True,
            usage=usage,
        )
    if word == _ACCOUNT_IS_LIMITED:
        raise _LimitedAccountError(
            f"Google limits this account because of its policies ({word})", retryable=False
        )
    if word is None:
        return "stop" if text.strip() else None
    return f"refused:{word}" if word in _REFUSALS else _FINISH.get(word)
