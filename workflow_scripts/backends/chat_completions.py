"""The wire shape of OpenAI's chat completions, which many providers and servers speak."""

from __future__ import annotations

import difflib
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field

from ..core.records import Completion, Decoding, Message, Usage
from .capabilities import logprobs, parameters, thinking
from .client import NoAnswerError, RequestError
from .http import (
    Count,
    Counted,
    Duration,
    HttpError,
    HttpServer,
    OrNone,
    Reply,
    Text,
    content_id,
    error_code,
    error_in,
    message_in,
    read_json,
    read_whole,
    traits_of,
)
from .logprobs import ChatLogprobs, of_answer
from .schema import sent_schema
from .servers import server_of
from .shape import Shape

_AS_IT_IS = Shape()
_NAMED_AT_MOST = 5
_OK, _FIRST_NOT_OK = 200, 400
_FILTERED = "content_filter"

_FINISH = {
    "stop": "stop",
    "eos": "stop",  # Together
    "length": "length",
    "model_length": "length",  # Mistral
    "content_filter": "refused:content_filter",
    "refusal": "refused:refusal",
}
_NO_ROOM = "Could not finish the message because max_tokens or model output limit was reached"
"""OpenAI's error for a model that used up a small limit while it thought (modelparams.dev, 356)."""

_BROKEN_OFF = {"error", "abort", "aborted", "insufficient_system_resource"}
"""By these OpenRouter, Mistral, SGLang and DeepSeek say that they failed themselves."""

_TAGS = ("think", "thought", "reasoning")

_THOUGHTS = {"thinking", "redacted_thinking", "reasoning"}


class ChatMessage(Reply):
    """The assistant's turn. Models that are cut while they think may leave out the content."""

    content: Any = None
    refusal: Text = None
    reasoning_content: Any = None  # Fireworks, DeepSeek, SGLang, llama-server
    reasoning: Any = None  # vLLM, OpenRouter, Groq, Together, Cerebras, Ollama, LocalAI

    @property
    def thoughts(self) -> str | None:
        """What the model thought, under any of the names in use; None where it is not shown."""
        parts = self.content if isinstance(self.content, list) else []
        told = [self.reasoning_content or self.reasoning, *map(_thought_of, parts)]
        return "\n".join(text for text in told if isinstance(text, str) and text) or None


class Choice(Reply):
    """One of the answers; we ask for one."""

    message: ChatMessage | None = None
    finish_reason: str | None = None
    logprobs: Annotated[ChatLogprobs | None, OrNone] = None


class PromptDetails(Reply):
    """Which of the prompt's tokens met the server's prompt cache."""

    cached_tokens: Count = None
    cache_write_tokens: Count = None


class CompletionDetails(Reply):
    """How many of the generated tokens were thoughts."""

    reasoning_tokens: Count = None


class ChatUsage(Reply):
    """Token counts, where the server gives them."""

    prompt_tokens: Count = None
    completion_tokens: Count = None
    total_tokens: Count = None
    reasoning_tokens: Count = None  # SGLang
    prompt_tokens_details: Annotated[PromptDetails | None, OrNone] = None
    completion_tokens_details: Annotated[CompletionDetails | None, OrNone] = None

    def counts(self) -> Usage:
        """The counts as our record.

        xAI and Google count thoughts in the total alone; they are billed as generated tokens.
        """
        details = self.prompt_tokens_details or PromptDetails()
        thoughts = (self.completion_tokens_details or CompletionDetails()).reasoning_tokens
        prompt, completion, total = self.prompt_tokens, self.completion_tokens, self.total_tokens
        if prompt is not None and completion is not None and total is not None:
            completion = max(completion, total - prompt)
        return Usage(
            prompt_tokens=prompt,
            completion_tokens=completion,
            total_tokens=total,
            cached_tokens=details.cached_tokens,
            cache_write_tokens=details.cache_write_tokens,
            thought_tokens=self.reasoning_tokens if thoughts is None else thoughts,
        )


class _Timings(Reply):
    """Times that llama-server reports, in milliseconds."""

    prompt_ms: Duration = None


class _Used(Counted):
    """The counts of a reply, of which nothing else may be readable."""

    usage: Annotated[ChatUsage | None, OrNone] = None
    timings: Annotated[_Timings | None, OrNone] = None

    def counts(self) -> Usage:
        usage = (self.usage or ChatUsage()).counts()
        if self.timings is None or self.timings.prompt_ms is None:
            return usage
        return usage.model_copy(update={"first_token_s": self.timings.prompt_ms / 1e3})


class Chat(_Used):
    """A ``chat.completion`` object."""

    id: Text = None
    choices: Annotated[list[Choice], Field(min_length=1)]
    system_fingerprint: Any = None  # what the server runs, where it says so: a text


class BatchLine(Reply):
    """One line of a batch job's results.

    OpenAI wraps the chat in a ``response`` with ``status_code`` and ``body``; Fireworks' response
    is the chat itself. A line without an answer has an ``error``, or a response with an error's
    status.
    """

    custom_id: str
    response: dict[str, Any] | None = None
    error: Any = None


def chat_body(
    engine: str,
    model: str,
    messages: Sequence[Message],
    decoding: Decoding,
    shape: Shape = _AS_IT_IS,
) -> dict[str, Any]:
    """The body of one request, without its schema. Parameters that are off are left out."""
    return {
        "model": model,
        "messages": [message.model_dump() for message in messages],
        **parameters(engine, model, decoding, shape),
        **thinking(engine, model, decoding),
        **logprobs(engine, model, decoding),
    }


def response_format(identity: Mapping[str, str], decoding: Decoding) -> dict[str, Any]:
    """What a request's body says of its JSON schema; nothing where it has none.

    Args:
        identity: who answers; it decides the dialect of the schema.
        decoding: of the request.

    Raises:
        CannotEnforceError: they cannot be held to the schema.
    """
    if decoding.json_schema is None:
        return {}
    schema = sent_schema(identity, decoding.json_schema).schema
    if server_of(identity).bare_schema:
        return {"response_format": {"type": "json_object", "schema": schema}}
    named = {"name": "answer", "schema": schema, "strict": True}
    return {"response_format": {"type": "json_schema", "json_schema": named}}


Edit = Callable[[Completion], Completion]


def as_it_is(answer: Completion) -> Completion:
    """Return an answer as it was sent."""
    return answer


def chat_answer(
    engine: str, data: Any, asked: Any, latency_s: float | None, edit: Edit = as_it_is
) -> Completion:
    """Return the answer in a ``chat.completion``.

    A missing content is an empty answer, where the reply says why it ended. A missing reason for
    the end (Together, OpenRouter, Cerebras, Fireworks, LocalAI and Ollama declare it optional) is
    ``stop``, where there is a text.

    Args:
        engine: for the id of replies that have none.
        data: the reply.
        asked: what was sent; the id is made of it where the server gives none.
        latency_s: wall time of the request in seconds.
        edit: cuts the answer out of what was sent.

    Raises:
        NoAnswerError: the reply is none that can be read.
        RequestError: the server says that it broke the answer off.
    """
    chat = read_whole(Chat, data, _Used)
    choice, usage = chat.choices[0], chat.counts()
    fingerprint = chat.system_fingerprint
    message, word = choice.message or ChatMessage(), choice.finish_reason or None
    if word in _BROKEN_OFF:
        raise RequestError(
            f"the answer was broken off ({word!r})",
            retryable=True,
            may_be_charged=True,
            usage=usage,
        )
    text = message.refusal or content_text(message.content)
    finish = "refused:refusal" if message.refusal else _FINISH.get(word or "")
    if text is None:
        raise NoAnswerError("the content of the message is not text", usage)
    if word is None and text.strip():
        finish = finish or "stop"
    if finish is None or (finish == "stop" and choice.message is None):
        raise NoAnswerError(f"the reply holds no answer (finish_reason: {word!r})", usage)
    answer = edit(
        Completion(
            response_text=text,
            finish_reason=finish,
            request_id=chat.id or content_id(engine, asked),
            usage=usage,
            latency_s=latency_s,
            served_by={"fingerprint": fingerprint} if isinstance(fingerprint, str) else None,
            thoughts=message.thoughts,
        )
    )
    if choice.logprobs is None or message.refusal:
        return answer
    thinks = bool(answer.thoughts or usage.thought_tokens)
    found = of_answer(choice.logprobs.read(), answer.response_text, thinks=thinks)
    return answer.model_copy(update={"logprobs": found})


def kept_answer(data: Any, decoding: Decoding) -> Completion:
    """Return the answer in a kept reply: a chat, or a line of a batch job's results."""
    if "custom_id" in data:
        data = data["response"].get("body", data["response"])
    return chat_answer("", data, None, None)


def content_text(content: Any) -> str | None:
    """Return the text of a message's content: a text, or a list of parts; None if it is neither.

    Thoughts are no part of the answer. Parts that are not text are passed over beside others that
    are.
    """
    if content is None or isinstance(content, str):
        return content or ""
    parts = content if isinstance(content, list) else [content]
    texts = [each if isinstance(each, str) else _text_of(each) for each in parts]
    known = [text for text in texts if text is not None]
    return "".join(known) if known or not parts else None


def _thought_of(part: Any) -> str | None:
    """Return the text of a part that is a thought: Mistral's are lists of texts in it."""
    if not isinstance(part, dict) or part.get("type") not in _THOUGHTS:
        return None
    inner = part.get("thinking") or part.get("text")
    return content_text(inner) if isinstance(inner, list) else inner


def split_thoughts(text: str) -> tuple[str | None, str]:
    """Return what stands in thinking tags at the beginning of a text, and the rest of it.

    Templates may have opened the tag in the prompt, so the end alone counts; a model that was cut
    off while it thought has an opening tag alone.
    """
    for tag in _TAGS:
        head, end, tail = text.partition(f"</{tag}>")
        opened = head.lstrip().startswith(f"<{tag}>")
        if end or opened:
            return head.strip().removeprefix(f"<{tag}>").strip(), tail.lstrip() if end else ""
    return None, text


def _text_of(part: Any) -> str | None:
    """Return the text of one part of a content: empty for a thought, None for anything unknown."""
    if not isinstance(part, dict):
        return None
    if part.get("type") in _THOUGHTS:
        return ""
    text = part.get("refusal" if part.get("type") == "refusal" else "text")
    return text if isinstance(text, str) else None


def read_chat(
    engine: str,
    server: HttpServer,
    reply: str,
    asked: Any,
    latency_s: float | None,
    edit: Edit = as_it_is,
) -> Completion:
    """Return the answer in a reply as it came; see `HttpServer.answer` and `chat_answer`."""

    def read(data: Any) -> Completion:
        return chat_answer(engine, data, asked, latency_s, edit)

    return server.answer(reply, read, latency_s)


async def answered(
    engine: str, server: HttpServer, path: str, body: Any, edit: Edit = as_it_is
) -> Completion:
    """Send one request and read its answer.

    Raises:
        RequestError: there is none.
    """
    started = time.perf_counter()
    try:
        reply = await server.ask(path, body)
    except HttpError as error:
        finish = _end_by_error(str(error), error.code)
        if finish is None:
            raise
        return _without_text(engine, body, finish, round(time.perf_counter() - started, 6))
    latency_s = round(time.perf_counter() - started, 6)
    return read_chat(engine, server, reply, body, latency_s, edit)


def _end_by_error(said: str, code: str | None) -> str | None:
    """Return how an answer ended, where a server reports that as an error; else None."""
    if _NO_ROOM in said:
        return "length"
    return _FINISH[_FILTERED] if code == _FILTERED else None


def _without_text(engine: str, asked: Any, finish: str, latency_s: float | None) -> Completion:
    """An empty answer that a server reports as an error.

    OpenAI does so where it was cut off, Azure where its filter refused the prompt or the answer.
    """
    return Completion(
        response_text="",
        finish_reason=finish,
        request_id=content_id(engine, asked),
        usage=Usage(),
        latency_s=latency_s,
    )


def batch_answer(engine: str, line: bytes) -> tuple[str, Completion | RequestError]:
    """The key of a line of a batch job's results, and the answer or why there is none.

    Raises:
        ValueError: the line cannot be read.
    """
    row = BatchLine.model_validate(read_json(line))
    key = row.custom_id
    if row.error:
        return key, _row_error(row.error)
    if row.response is None:
        raise NoAnswerError("neither an answer nor an error")
    status, body = row.response.get("status_code", _OK), row.response.get("body", row.response)
    if isinstance(status, int) and status >= _FIRST_NOT_OK:
        said = f"status {status}: {message_in(body)}"
        if finish := _end_by_error(said, error_code(body)):
            return key, _without_text(engine, key, finish, None)
        return key, RequestError(said, **traits_of(status, body))
    try:
        return key, chat_answer(engine, body, key, None)
    except NoAnswerError:
        if said := error_in(body):
            return key, _row_error(said)
        raise
    except RequestError as error:
        return key, error


def _row_error(error: Any) -> RequestError:
    """An error outside of HTTP: a word (``batch_expired``) or, at Fireworks, a status."""
    code = error.get("code") if isinstance(error, dict) else None
    said = message_in(error)
    if isinstance(code, int):
        return RequestError(f"status {code}: {said}", **traits_of(code))
    return RequestError(f"{code}: {said}" if code else said, retryable=True)


def nearest(model: str, served: Collection[str]) -> str:
    """The names most like a model's, for messages; some of all where none is like it."""
    like = difflib.get_close_matches(model, served, n=_NAMED_AT_MOST, cutoff=0.3)
    return ", ".join(like or list(served)[:_NAMED_AT_MOST]) or "none at all"
