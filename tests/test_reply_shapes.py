"""No reply that a provider's SDK would take is lost: it is an answer, or it is kept.

What is sent is made from the SDKs' types, and the SDKs themselves say which text is the answer.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import anthropic.types
import anthropic.types.messages
import fireworks.types
import fireworks.types.chat
import google.genai.types
import ollama
import openai.types
import openai.types.chat
import pytest
from answering import chat
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from local_backends import ollama_settings, openai_settings
from pydantic import BaseModel, ValidationError
from sdk_replies import reply
from servers import sdk as sdks
from servers.base import running
from servers.ollama import OllamaServer
from servers.openai_compatible import CompatibleServer

from workflow_scripts.backends.chat_completions import batch_answer
from workflow_scripts.backends.client import (
    BatchResults,
    BatchStatus,
    ReplyReader,
    RequestError,
    UnreadableReplyError,
    make_client,
)
from workflow_scripts.backends.hosted import read_row
from workflow_scripts.backends.settings import BackendSettings
from workflow_scripts.core.records import Completion, Decoding, Usage

Shape = dict[str, Any]
Read = Completion | RequestError

KEY = "0f" * 32
DECODING = Decoding(temperature=0.0, max_new_tokens=8, seed=0)
MESSAGES = chat("Where is Oslo?")
MODELS = {
    "openai": "gpt-4o-mini",
    "fireworks": "accounts/fireworks/models/llama-v3p3-70b-instruct",
    "anthropic": "claude-haiku-4-5",
    "gemini": "gemini-2.5-flash",
    "openai_compatible": "tiny",
}

steady = settings(
    derandomize=True, database=None, max_examples=25,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip


@dataclass(frozen=True)
class Sdk:
    """How a provider's own library sees a reply: its type, and the answer's text in it."""

    type: type[BaseModel]
    text: Callable[[Any], str]
    answers: Callable[[Any], bool]
    """Whether the reply certainly holds an answer: it has a text, and a known reason to end."""


def _of_chat(chat: Any) -> str:
    message = chat.choices[0].message
    content = getattr(message, "refusal", None) or message.content or ""
    parts = content if isinstance(content, list) else []  # by the types of Fireworks
    return "".join(part.text or "" for part in parts) if parts else content or ""


def _of_message(message: Any) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


def _of_ollama(chat: Any) -> str:
    return (chat.response if hasattr(chat, "response") else chat.message.content) or ""


def _ends(chat: Any) -> bool:
    if not chat.choices or chat.choices[0].finish_reason not in ("stop", "length"):
        return False
    return bool(_of_chat(chat)) or not chat.choices[0].message.content


SDKS = {
    "openai": Sdk(openai.types.chat.ChatCompletion, _of_chat, _ends),
    "fireworks": Sdk(fireworks.types.chat.CompletionCreateResponse, _of_chat, _ends),
    "anthropic": Sdk(
        anthropic.types.Message,
        _of_message,
        lambda message: message.stop_reason not in ("tool_use", "pause_turn", None),
    ),
    "gemini": Sdk(
        google.genai.types.GenerateContentResponse,
        lambda response: response.text or "",
        lambda response: bool(
            response.candidates
            and response.candidates[0].finish_reason in ("STOP", "MAX_TOKENS", "SAFETY")
        ),
    ),
    "ollama chat": Sdk(
        ollama.ChatResponse,
        _of_ollama,
        lambda chat: bool(chat.done) and chat.done_reason in ("stop", "length"),
    ),
    "ollama generate": Sdk(
        ollama.GenerateResponse,
        _of_ollama,
        lambda chat: bool(chat.done) and chat.done_reason in ("stop", "length"),
    ),
}
SDKS["openai_compatible"] = SDKS["openai"]

BROKEN_OFF = {"OTHER", "MALFORMED_RESPONSE", "PUP_LIMITED_DISABLED"}
"""Words by which Google says that it failed, or that the account is limited."""


@pytest.fixture(scope="module")
def clients() -> Iterator[dict[str, Any]]:
    """The clients that read; of Ollama's, one that asked its server which endpoint to use."""
    with pytest.MonkeyPatch.context() as patch, running(OllamaServer()) as server:
        for name in ("OPENAI", "FIREWORKS", "ANTHROPIC", "GEMINI"):
            patch.setenv(f"{name}_API_KEY", "key-of-the-test")
        made: dict[str, Any] = {
            backend: make_client(
                BackendSettings(
                    backend=backend,
                    model_id=model,
                    use_batch_api=False,
                    local_endpoint="http://server.invalid",
                )
            )
            for backend, model in MODELS.items()
            if backend != "openai_compatible"
        }
        with running(CompatibleServer()) as compatible:
            made["openai_compatible"] = _checked(openai_settings(compatible))
        made["ollama chat"] = made["ollama generate"] = _checked(ollama_settings(server))
        yield made


def _checked(values: dict[str, Any]) -> Any:
    client: Any = make_client(BackendSettings(**values))

    async def check() -> None:
        try:
            await client.check()
        finally:
            await client.close()

    asyncio.run(check())
    assert isinstance(client, ReplyReader)
    return client


def outcome(client: Any, sent: str) -> Read:
    """What a client makes of a reply."""
    try:
        read: Completion = client.read_reply(sent, MESSAGES, DECODING, 0.5)
        return read
    except RequestError as error:
        return error


def is_kept_or_nothing_was_made(error: RequestError, sent: str, made: Any) -> bool:
    """Whether an error loses nothing: the reply is kept, or it holds nothing."""
    if isinstance(error, UnreadableReplyError):
        return error.reply == sent and not error.retryable
    candidates = getattr(made, "candidates", None)
    if candidates:
        return candidates[0].finish_reason in BROKEN_OFF
    if isinstance(made, google.genai.types.GenerateContentResponse):
        counts = made.usage_metadata
        return not counts or not (counts.candidates_token_count or counts.thoughts_token_count)
    return getattr(made, "done_reason", None) in ("load", "unload")


@pytest.mark.parametrize("provider", SDKS)
@steady
@given(data=st.data())
def test_a_reply_is_the_answer_that_the_sdk_shows_or_it_is_kept(
    provider: str, data: st.DataObject, clients: dict[str, Any]
) -> None:
    sdk = SDKS[provider]
    shape = data.draw(reply(sdk.type))
    try:
        made = sdk.type.model_validate(shape)
    except ValidationError:
        assume(False)
    sent = json.dumps(shape)
    read = outcome(clients[provider], sent)
    if isinstance(read, Completion):
        assert read.response_text == sdk.text(made)
    else:
        assert not sdk.answers(made), read
        assert is_kept_or_nothing_was_made(read, sent, made), read


# Whole replies: all that may stand beside an answer, at once


@dataclass(frozen=True)
class Given:
    """The fields of a reply that decide, and what is to be read from it.

    Fields of null are those that would decide if they were there. ``end`` is where the reason for
    the end is.
    """

    reply: Shape
    usage: Usage
    end: tuple[str | int, ...]
    thoughts: str | None = None


COUNTED = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
CHAT = Given(
    {
        "id": "chatcmpl-1",
        "choices": [
            {
                "message": {
                    "role": "assistant", "content": "Oslo", "refusal": None,
                    "reasoning": None, "reasoning_content": "Hm.",
                },
                "finish_reason": "stop", "logprobs": None,
            }
        ],
        "system_fingerprint": None,
        "timings": None,
        "usage": {
            **COUNTED, "reasoning_tokens": None,
            "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 1},
            "completion_tokens_details": {"reasoning_tokens": 2},
        },
    },
    Usage(**COUNTED, cached_tokens=4, cache_write_tokens=1, thought_tokens=2),
    ("choices", 0, "finish_reason"),
    "Hm.",
)  # fmt: skip
OF_OLLAMA: Shape = {
    "done": True, "done_reason": "stop", "prompt_eval_count": 7, "eval_count": 3,
    "prompt_eval_duration": 500_000_000, "load_duration": 1_000_000_000, "logprobs": None,
}  # fmt: skip
USED_BY_OLLAMA = Usage(**COUNTED, first_token_s=1.5)
WHOLE = {
    "openai": CHAT,
    "openai_compatible": CHAT,
    "fireworks": CHAT,
    "anthropic": Given(
        {
            "id": "msg_1",
            "content": [
                {"type": "thinking", "thinking": "Hm.", "signature": "signed"},
                {"type": "text", "text": "Os", "thinking": None},
                {"type": "text", "text": "lo", "thinking": None},
            ],
            "stop_reason": "end_turn",
            "usage": {
                "input_tokens": 2, "output_tokens": 3, "cache_read_input_tokens": 4,
                "cache_creation_input_tokens": 1, "output_tokens_details": {"thinking_tokens": 2},
            },
        },
        CHAT.usage,
        ("stop_reason",),
        "Hm.",
    ),
    "gemini": Given(
        {
            "responseId": "response-1",
            "candidates": [
                {
                    "content": {
                        "role": "model",
                        "parts": [
                            {"text": "Hm.", "thought": True},
                            {"text": "Os", "thought": False},
                            {"text": "lo", "thought": None},
                        ],
                    },
                    "finishReason": "STOP", "logprobsResult": None,
                }
            ],
            "usageMetadata": {
                "promptTokenCount": 7, "candidatesTokenCount": 1, "thoughtsTokenCount": 2,
                "cachedContentTokenCount": 4, "totalTokenCount": 10,
            },
        },
        Usage(**COUNTED, cached_tokens=4, thought_tokens=2),
        ("candidates", 0, "finishReason"),
        "Hm.",
    ),
    "ollama chat": Given(
        {**OF_OLLAMA, "message": {"role": "assistant", "content": "Oslo", "thinking": "Hm."}},
        USED_BY_OLLAMA,
        ("done_reason",),
        "Hm.",
    ),
    "ollama generate": Given(
        {**OF_OLLAMA, "response": "Oslo", "thinking": "Hm.", "message": None},
        USED_BY_OLLAMA,
        ("done_reason",),
        "Hm.",
    ),
}  # fmt: skip
"""By hand, from the providers' documentation."""

NEWER: tuple[Any, ...] = ("NEWLY_MADE", 7, None, [], {"newly": ["made"]})
"""Values that an enumeration, or a field of any type, may have one day."""

Path = tuple[str | int, ...]


def objects(value: Any, path: Path = ()) -> Iterator[Path]:
    """Where the objects in a JSON value are."""
    if isinstance(value, dict):
        yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for key, each in inner:
        if isinstance(each, dict | list):
            yield from objects(each, (*path, key))


def at(value: Any, path: Path) -> Any:
    for key in path:
        value = value[key]
    return value


def changed(value: Any, path: Path, new: Any) -> Any:
    """A copy with another value in one place."""
    copy = json.loads(json.dumps(value))
    at(copy, path[:-1])[path[-1]] = new
    return copy


def beside(whole: Shape, given: Shape) -> list[Shape]:
    """Replies that differ from a whole one in a field that decides nothing."""
    places = [
        (*path, name)
        for path in objects(given)
        for name in [*at(whole, path), "newly_made"]
        if name not in at(given, path)
    ]
    return [changed(whole, place, new) for place in places for new in NEWER]


@pytest.mark.parametrize("provider", SDKS)
def test_what_may_stand_beside_an_answer_changes_nothing_of_it(
    provider: str, clients: dict[str, Any]
) -> None:
    sdk, given = SDKS[provider], WHOLE[provider]
    whole = sdks.whole(sdk.type, given.reply)
    assert sdk.text(sdk.type.model_validate(whole)) == "Oslo"
    others = beside(whole, given.reply)
    assert len(others) > len(NEWER) * len(list(objects(given.reply)))  # the SDK declares more
    for sent in [given.reply, whole, *others]:
        read = outcome(clients[provider], json.dumps(sent))
        assert isinstance(read, Completion), (read, sent)
        assert (read.response_text, read.finish_reason) == ("Oslo", "stop")
        assert (read.usage, read.thoughts) == (given.usage, given.thoughts), sent
        assert read.logprobs is None
        name = given.reply.get("id") or given.reply.get("responseId")
        assert read.request_id == (name or read.request_id)  # Ollama gives none


@pytest.mark.parametrize("provider", ["openai", "fireworks", "anthropic", "gemini"])
def test_nor_does_it_in_a_row_of_results(provider: str, clients: dict[str, Any]) -> None:
    kind, in_line = rows()[provider]
    given = WHOLE[provider]
    whole = sdks.whole(SDKS[provider].type, given.reply)
    held: Shape = whole
    if provider == "anthropic":
        held = {"result": {"type": "succeeded", "message": whole}}
    elif provider == "gemini":
        held = {"response": whole, "error": None}
    line = in_line(sdks.whole(kind, held))
    wrapped = changed(line, ("newly_made",), {"x": [1]})
    for sent in [line, wrapped, in_line(held)]:
        key, read = read_row(json.dumps(sent).encode(), _result_of(provider, clients[provider]))
        assert isinstance(read, Completion), (read, sent)
        assert (key, read.response_text, read.finish_reason) == (KEY, "Oslo", "stop")
        assert (read.usage, read.thoughts) == (given.usage, given.thoughts)


REASONS = {
    "openai": {"length": "length", "content_filter": "refused:content_filter"},
    "fireworks": {"length": "length"},
    "anthropic": {
        "stop_sequence": "stop",
        "max_tokens": "length",
        "model_context_window_exceeded": "length",
        "refusal": "refused:refusal",
    },
    "gemini": {
        "MAX_TOKENS": "length",
        "CONTINUATION": "length",
        **{
            word: f"refused:{word}"
            for word in ("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII")
        },
    },
    "ollama chat": {"length": "length"},
}


@pytest.mark.parametrize(
    ("provider", "word", "finish"),
    [(provider, *each) for provider, words in REASONS.items() for each in words.items()],
)
def test_reasons_to_end(provider: str, word: str, finish: str, clients: dict[str, Any]) -> None:
    given = WHOLE[provider]
    read = outcome(clients[provider], json.dumps(changed(given.reply, given.end, word)))
    assert isinstance(read, Completion), read
    assert (read.response_text, read.finish_reason) == ("Oslo", finish)
    assert read.usage == given.usage


@pytest.mark.parametrize("provider", ["openai", "fireworks"])
def test_a_refusal_of_the_model_is_its_text(provider: str, clients: dict[str, Any]) -> None:
    message = {"role": "assistant", "content": None, "refusal": "I won't."}
    reply = changed(WHOLE[provider].reply, ("choices", 0, "message"), message)
    read = outcome(clients[provider], json.dumps(reply))
    assert isinstance(read, Completion), read
    assert (read.response_text, read.finish_reason) == ("I won't.", "refused:refusal")


@pytest.mark.parametrize("word", ["SAFETY", "OTHER"])
def test_a_prompt_that_gemini_blocks_is_refused(word: str, clients: dict[str, Any]) -> None:
    usage = {"promptTokenCount": 7, "totalTokenCount": 7}
    reply = {"promptFeedback": {"blockReason": word}, "usageMetadata": usage}
    read = outcome(clients["gemini"], json.dumps(reply))
    assert isinstance(read, Completion), read
    assert (read.response_text, read.finish_reason) == ("", f"refused:{word}")
    assert (read.usage.prompt_tokens, read.usage.completion_tokens) == (7, 0)


NO_ANSWERS = [
    *("NEWLY_MADE", "tool_calls", "function_call", "tool_use", "pause_turn"),
    *("MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL"),
]


@pytest.mark.parametrize("provider", SDKS)
@pytest.mark.parametrize("end", NO_ANSWERS)
def test_a_reason_to_end_that_is_not_known_is_kept_with_its_counts(
    provider: str, end: str, clients: dict[str, Any]
) -> None:
    given = WHOLE[provider]
    sent = json.dumps(changed(given.reply, given.end, end))
    error = outcome(clients[provider], sent)
    assert isinstance(error, UnreadableReplyError), error
    assert (error.reply, error.retryable, error.may_be_charged) == (sent, False, True)
    assert error.usage == given.usage
    assert end in str(error)


def test_of_all_blocks_of_anthropic_only_texts_are_the_answer(clients: dict[str, Any]) -> None:
    kind = SDKS["anthropic"].type
    blocks = sdks.whole(kind.model_fields["content"].annotation)
    assert len({block["type"] for block in blocks}) == len(blocks) > 8
    sent = sdks.whole(kind, WHOLE["anthropic"].reply | {"content": blocks})
    assert _of_message(kind.model_validate(sent)) == "x"
    newer = {**sent, "content": [*blocks, {"type": "newly made", "text": "no"}]}
    read = outcome(clients["anthropic"], json.dumps(newer))
    assert isinstance(read, Completion)
    assert (read.response_text, read.usage) == ("x", WHOLE["anthropic"].usage)


NONSENSE = (
    st.none()
    | st.booleans()
    | st.integers(-5, 10**30)
    | st.floats()
    | st.text(max_size=4)
    | st.sampled_from(["12", "12.0", "-1", 12.0, 12.5, "9" * 5000, float("inf")])
)


@pytest.mark.parametrize("provider", SDKS)
@steady
@given(data=st.data())
def test_no_count_of_tokens_can_spoil_an_answer(
    provider: str, data: st.DataObject, clients: dict[str, Any]
) -> None:
    names = {
        "anthropic": ("input_tokens", "output_tokens", "cache_read_input_tokens"),
        "gemini": ("promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount"),
    }.get(provider, ("prompt_tokens", "completion_tokens", "prompt_tokens_details"))
    counts = data.draw(
        st.dictionaries(st.sampled_from(names), NONSENSE) | NONSENSE | st.lists(NONSENSE)
    )
    whole: Shape = {
        "choices": [{"message": {"content": "Oslo"}, "finish_reason": "stop"}],
        "content": [{"type": "text", "text": "Oslo"}],
        "stop_reason": "end_turn",
        "candidates": [{"content": {"parts": [{"text": "Oslo"}]}, "finishReason": "STOP"}],
        "message": {"content": "Oslo"},
        "done": True,
        "done_reason": "stop",
        "prompt_eval_count": counts,
        "eval_count": counts,
        "usage": counts,
        "usageMetadata": counts,
    }
    if provider == "ollama generate":
        whole["response"] = "Oslo"
        del whole["message"]
    read = outcome(clients[provider], json.dumps(whole))
    assert isinstance(read, Completion), read
    assert read.response_text == "Oslo"
    for count in read.usage.model_dump().values():
        assert count is None or (type(count) is int and 0 <= count <= 4 * 10**9)


def rows() -> dict[str, tuple[type[BaseModel], Callable[[Shape], Shape]]]:
    """Lines of results: the SDK's type of what is in them, and how it stands in a line."""
    return {
        "openai": (
            SDKS["openai"].type,
            lambda body: {
                "id": "batch_req_1",
                "custom_id": KEY,
                "response": {"status_code": 200, "request_id": "req_1", "body": body},
                "error": None,
            },
        ),
        "fireworks": (SDKS["fireworks"].type, lambda body: {"custom_id": KEY, "response": body}),
        "anthropic": (
            anthropic.types.messages.MessageBatchIndividualResponse,
            lambda line: {**line, "custom_id": KEY},
        ),
        "gemini": (google.genai.types.InlinedResponse, lambda line: {**line, "key": KEY}),
    }


def _result_of(provider: str, client: Any) -> Callable[[bytes], tuple[str, Read]]:
    if provider in ("openai", "fireworks"):
        return partial(batch_answer, provider)
    result: Callable[[bytes], tuple[str, Read]] = client._result
    return result


@pytest.mark.parametrize("provider", ["openai", "fireworks", "anthropic", "gemini"])
@steady
@given(data=st.data())
def test_a_row_of_results_is_an_answer_or_kept_or_says_that_nothing_was_made(
    provider: str, data: st.DataObject, clients: dict[str, Any]
) -> None:
    kind, in_line = rows()[provider]
    shape = data.draw(reply(kind))
    try:
        made: Any = kind.model_validate(shape)
    except ValidationError:
        assume(False)
    line = json.dumps(in_line(shape))
    key, read = read_row(line.encode(), _result_of(provider, clients[provider]))
    assert key == KEY
    holder = made
    if provider == "anthropic":
        holder = made.result.message if made.result.type == "succeeded" else None
    elif provider == "gemini":
        holder = made.response
    if isinstance(read, Completion):
        assert read.response_text == SDKS[provider].text(holder)
    elif holder is None:
        assert isinstance(read, RequestError)
    else:
        assert not SDKS[provider].answers(holder), read
        assert is_kept_or_nothing_was_made(read, line, holder), read


@dataclass(frozen=True)
class SdkJob:
    """How a provider's own library sees a batch job: its type, and what it says about its end.

    Google's library has a type of its own for what is sent.
    """

    type: type[BaseModel]
    state: Callable[[Any], str]


def _state_of_messages(job: Any) -> str:
    if job.archived_at is not None:
        return "gone"
    if job.processing_status != "ended":
        return "running"
    return "ended" if job.cancel_initiated_at is None else "cancelled"


ENDS = {
    **dict.fromkeys(("completed", "expired", "early_stopped"), "ended"),
    **dict.fromkeys(("deleting", "deleting_cleaning_up"), "gone"),
    "cancelled": "cancelled",
    "failed": "failed",
}
JOBS = {
    "openai": SdkJob(openai.types.Batch, lambda job: ENDS.get(job.status, "running")),
    "anthropic": SdkJob(anthropic.types.messages.MessageBatch, _state_of_messages),
    "fireworks": SdkJob(
        fireworks.types.BatchInferenceJob,
        lambda job: ENDS.get((job.state or "").removeprefix("JOB_STATE_").lower(), "running"),
    ),
}


@pytest.mark.parametrize("provider", JOBS)
@steady
@given(data=st.data())
def test_the_state_of_a_job_is_the_one_that_the_sdk_shows(
    provider: str, data: st.DataObject, clients: dict[str, Any]
) -> None:
    """A job that is wrongly thought to have failed would be bought again."""
    sdk, client = JOBS[provider], clients[provider]
    shape = data.draw(reply(sdk.type))
    try:
        made: Any = sdk.type.model_validate(shape)
    except ValidationError:
        assume(False)

    async def request(method: str, path: str, kind: Any, **_: Any) -> Any:
        return client._server._checked(json.dumps(shape).encode(), kind)

    async def look() -> tuple[BatchStatus, BatchResults]:
        return await client.batch_status("job"), await client.batch_results("job")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client._server, "request", request)
        status, results = asyncio.run(look())
    assert status.state == sdk.state(made)
    assert results.expected is None or results.expected >= 0
