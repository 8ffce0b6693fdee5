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
from workflow_scripts.core.records import Completion, Decoding

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
