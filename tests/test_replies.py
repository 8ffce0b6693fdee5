"""What is made of replies under a status of success: read where they can be, else kept.

A reply that was paid for is not bought again.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from answering import request
from hypothesis import given
from hypothesis import strategies as st
from local_backends import Backend, run
from pydantic import TypeAdapter

from workflow_scripts.answers.executor import SyncExecutor
from workflow_scripts.answers.part import Part
from workflow_scripts.backends import (
    anthropic_client,
    chat_completions,
    gemini_client,
    ollama_client,
)
from workflow_scripts.backends.chat_completions import chat_answer, content_text
from workflow_scripts.backends.client import NoAnswerError, RequestError
from workflow_scripts.backends.http import Count, is_cut_off, read_json
from workflow_scripts.backends.ledger import Ledger, RequestSpending, SpendingSettings
from workflow_scripts.backends.prices import Quote, Rates
from workflow_scripts.backends.settings import BackendSettings
from workflow_scripts.backends.tokens import tokenizer_of
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import write_jsonl
from workflow_scripts.core.records import RawLine

BLOCK = {"type": "text", "text": "Oslo"}
THOUGHT = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}


def replies(backend: Backend, content: Any) -> None:
    """Make the server send this, as it is or as JSON, with status 200."""
    sent = content if isinstance(content, bytes) else json.dumps(content).encode()

    def chat(handler: Any, body: Any) -> None:
        handler.server.record(str(body["messages"][-1]["content"]), "answered")
        handler.send(200, sent, "application/json")

    backend.server.RequestHandlerClass = type(
        "Handler", (backend.server.RequestHandlerClass,), {"chat": chat}
    )


def chat_reply(**choice: Any) -> dict[str, Any]:
    usage = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
    message = {"role": "assistant", "content": "Oslo"}
    return {
        "id": "chatcmpl-1",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop", **choice}],
        "usage": usage,
    }


def asked(backend: Backend, folder: Path, **options: Any) -> RawLine:
    (line,) = run(folder, backend.client(), [request(1)], **options)
    return line


def times_sent(backend: Backend) -> int:
    return backend.server.outcomes("answered").total()


# Replies of real servers (contracts of OpenRouter, Together, Mistral, Google, vLLM, LocalAI)


@pytest.mark.parametrize(
    ("choice", "text", "finish"),
    [
        ({"finish_reason": None}, "Oslo", "stop"),
        ({"finish_reason": ""}, "Oslo", "stop"),
        ({"finish_reason": "eos"}, "Oslo", "stop"),
        ({"finish_reason": "model_length"}, "Oslo", "length"),
        ({"message": {"role": "assistant"}, "finish_reason": "length"}, "", "length"),
        ({"message": {"role": "assistant"}, "finish_reason": "stop"}, "", "stop"),
        ({"message": {"content": None, "reasoning": "Hm"}, "finish_reason": "stop"}, "", "stop"),
        ({"message": None, "finish_reason": "content_filter"}, "", "refused:content_filter"),
        ({"finish_reason": "content_filter"}, "Oslo", "refused:content_filter"),
        ({"message": {"refusal": "No."}, "finish_reason": None}, "No.", "refused:refusal"),
        ({"message": {"content": "Oslo", "refusal": 5}}, "Oslo", "stop"),
        (
            {"message": {"content": [THOUGHT, {"type": "text", "text": "Os"}, "lo"]}},
            "Oslo",
            "stop",
        ),
        ({"message": {"content": [{"text": "Oslo"}]}}, "Oslo", "stop"),
        ({"message": {"content": {"type": "text", "text": "Oslo"}}}, "Oslo", "stop"),
        ({"message": {"content": [THOUGHT]}, "finish_reason": "length"}, "", "length"),
        ({"message": {"content": []}}, "", "stop"),
        ({"message": {"content": "caf\ud83d"}}, "caf\ufffd", "stop"),
    ],
)
def test_replies_of_real_servers_are_answers(
    of_openai: Backend, tmp_path: Path, choice: dict[str, Any], text: str, finish: str
) -> None:
    reply = chat_reply(**choice)
    if finish == "length":  # all that was allowed: fewer would be a request that did not fit
        reply["usage"] |= {"completion_tokens": 8, "total_tokens": 15}
    replies(of_openai, reply)
    line = asked(of_openai, tmp_path)
    assert (line.error, line.response_text, line.finish_reason) == (None, text, finish)
    assert times_sent(of_openai) == 1


def test_a_broken_byte_does_not_lose_an_answer(of_openai: Backend, tmp_path: Path) -> None:
    sent = json.dumps(chat_reply()).encode().replace(b"Oslo", b"Osl\xc3")
    replies(of_openai, sent)
    assert asked(of_openai, tmp_path).response_text == "Osl\ufffd"


@pytest.mark.parametrize(
    "changes",
    [
        {"id": None},
        {"id": 7},
        {"usage": None},
        {"usage": []},
        {"usage": {"prompt_tokens": 7, "prompt_tokens_details": 3}},
        {"error": None},
        {"error": {"message": "the second candidate failed"}},
        {"object": 3, "created": "now", "model": None},
    ],
)
def test_what_stands_beside_an_answer_cannot_spoil_it(
    of_openai: Backend, tmp_path: Path, changes: dict[str, Any]
) -> None:
    replies(of_openai, chat_reply() | changes)
    line = asked(of_openai, tmp_path)
    assert line.response_text == "Oslo"
    assert line.request_id


@pytest.mark.parametrize(
    ("sent", "count"),
    [
        (12, 12),
        (12.0, 12),
        ("12", 12),
        (0, 0),
        (-1, None),
        (12.5, None),
        ("", None),
        ("twelve", None),
        ("-1", None),
        ("٣", None),
        (True, None),
        (None, None),
        ([12], None),
        (10**30, None),
        ("9" * 5000, None),
    ],
)
def test_counts_are_read_however_they_are_written(sent: object, count: int | None) -> None:
    assert TypeAdapter(Count).validate_python(sent) == count
    usage = chat_answer("x", chat_reply() | {"usage": {"prompt_tokens": sent}}, "", None).usage
    assert usage.prompt_tokens == count


@given(st.recursive(st.none() | st.text(max_size=3) | st.integers(), st.lists, max_leaves=6))
def test_any_content_is_a_text_or_none(content: Any) -> None:
    text = content_text(content)
    assert text is None or isinstance(text, str)


def test_thoughts_that_only_the_total_counts_are_generated_tokens() -> None:
    """As at xAI and at Google (seen there: 20 and 424 of 1016)."""
    counts = {"prompt_tokens": 20, "completion_tokens": 424, "total_tokens": 1016}
    usage = chat_answer("x", chat_reply() | {"usage": counts}, "", None).usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (20, 996, 1016)


@pytest.mark.parametrize(
    ("changes", "text", "finish"),
    [
        ({"stop_reason": None}, "Oslo", "stop"),
        ({"content": None, "stop_reason": "max_tokens"}, "", "length"),
        ({"content": [], "stop_reason": "end_turn"}, "", "stop"),
        ({"usage": None, "id": None}, "Oslo", "stop"),
        ({"content": [{"type": "thinking", "thinking": "Hm"}, BLOCK]}, "Oslo", "stop"),
        ({"content": [{**BLOCK, "citations": None}, {"type": "newly made"}]}, "Oslo", "stop"),
        ({"stop_reason": "model_context_window_exceeded"}, "Oslo", "length"),
    ],
)
def test_messages_of_anthropic(changes: dict[str, Any], text: str, finish: str) -> None:
    whole = {"id": "msg_1", "content": [BLOCK], "stop_reason": "end_turn", "usage": {}}
    answer = anthropic_client._answer(whole | changes, None, "asked")
    assert (answer.response_text, answer.finish_reason) == (text, finish)
    assert answer.request_id


@pytest.mark.parametrize(
    ("candidate", "text", "finish"),
    [
        ({"finishReason": None}, "Oslo", "stop"),
        ({"content": None, "finishReason": "MAX_TOKENS"}, "", "length"),
        ({"content": {"role": "model"}, "finishReason": "MAX_TOKENS"}, "", "length"),
        ({"content": {"parts": None}, "finishReason": "STOP"}, "", "stop"),
        ({"finishReason": "CONTINUATION"}, "Oslo", "length"),
        (
            {
                "content": {
                    "parts": [{"text": "Hm", "thought": True}, {"text": "Os"}, {"text": "lo"}]
                }
            },
            "Oslo",
            "stop",
        ),
        ({"content": {"parts": [{"thoughtSignature": "x"}, {"text": "Oslo"}]}}, "Oslo", "stop"),
    ],
)
def test_responses_of_gemini(candidate: dict[str, Any], text: str, finish: str) -> None:
    whole = {"content": {"parts": [{"text": "Oslo"}]}, "finishReason": "STOP"}
    counts = {"promptTokenCount": 5.0, "candidatesTokenCount": "2", "thoughtsTokenCount": None}
    response = {"candidates": [whole | candidate], "usageMetadata": counts}
    answer = gemini_client._answer(response, None, "asked")
    assert (answer.response_text, answer.finish_reason) == (text, finish)
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (5, 2)


def test_counts_of_gemini_that_cannot_be_read_are_unknown_and_not_0() -> None:
    candidate = {"content": {"parts": [{"text": "Oslo"}]}, "finishReason": "STOP"}
    counts = {"promptTokenCount": -1, "candidatesTokenCount": -1}
    response = {"candidates": [candidate], "usageMetadata": counts}
    usage = gemini_client._answer(response, None, "asked").usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (None, None, None)


@pytest.mark.parametrize("counts", [{}, {"promptTokenCount": 5}])
def test_a_response_of_gemini_without_anything_is_worth_another_try(counts: dict[str, int]) -> None:
    with pytest.raises(RequestError, match="neither an answer nor a reason") as caught:
        gemini_client._answer({"usageMetadata": counts}, None, "asked")
    assert (caught.value.retryable, caught.value.may_be_charged) == (True, True)
    with pytest.raises(NoAnswerError):  # something was generated
        gemini_client._answer({"usageMetadata": {"thoughtsTokenCount": 9}}, None, "asked")


@pytest.mark.parametrize(
    ("changes", "text", "finish"),
    [
        ({"done_reason": None}, "Oslo", "stop"),  # optional by the SDK's types
        ({"message": {"role": "assistant"}, "done_reason": "length"}, "", "length"),
        ({"message": {"content": "", "thinking": "Hm"}, "done_reason": "length"}, "", "length"),
        ({"prompt_eval_count": "?"}, "Oslo", "stop"),
    ],
)
def test_replies_of_ollama(changes: dict[str, Any], text: str, finish: str) -> None:
    whole = {"message": {"content": "Oslo"}, "done": True, "done_reason": "stop"}
    answer = ollama_client._answer(whole | changes)
    assert (answer.response_text, answer.finish_reason) == (text, finish)


@pytest.mark.parametrize(
    ("reported", "seconds"),
    [(1_500_000_000, 1.75), (None, None), (-1, None), ("soon", None)],
)
def test_the_time_to_the_first_token_is_the_servers_own(reported: Any, seconds: Any) -> None:
    times = {"load_duration": 250_000_000, "prompt_eval_duration": reported}
    whole = {"message": {"content": "Oslo"}, "done": True, "done_reason": "stop"}
    assert ollama_client._answer(whole | times).usage.first_token_s == seconds
    chat = {**chat_reply(), "timings": {"prompt_ms": reported}}  # as llama-server sends it
    usage = chat_answer("openai_compatible", chat, "asked", None).usage
    assert usage.first_token_s == (None if seconds is None else 1_500_000)
    assert "first_token_s" not in usage.model_dump()


def test_an_answer_that_ollama_breaks_off_is_not_asked_for_again() -> None:
    """Its guard against endless repeats; at temperature 0 each try would end like this."""
    with pytest.raises(NoAnswerError, match="broken off"):
        ollama_client._answer({"message": {"content": "la " * 40}, "done": False})


# Replies that cannot be read


UNREADABLE = [
    chat_reply(finish_reason="newly invented"),
    chat_reply(finish_reason="tool_calls"),
    chat_reply(finish_reason=7),
    chat_reply(finish_reason=None, message={"role": "assistant"}),
    chat_reply(message={"content": 42}),
    chat_reply(message={"content": [{"type": "hologram", "data": "x"}]}),
    chat_reply(message=None),
    {**chat_reply(), "choices": []},
    {**chat_reply(), "choices": None},
    {"text": "Oslo"},
    [],
    "Oslo",
    b"<html><body>Please log in</body></html>",
    b'{"choices": []} and more',
    b"data: {}\n\ndata: [DONE]\n\n",
]


@pytest.mark.parametrize("sent", UNREADABLE)
def test_a_reply_that_cannot_be_read_is_kept_and_not_bought_again(
    of_openai: Backend, tmp_path: Path, sent: Any
) -> None:
    replies(of_openai, sent)
    line = asked(of_openai, tmp_path, retries=5)
    assert line.error is not None
    assert line.error.type == "UnreadableReplyError"
    assert times_sent(of_openai) == 1
    (path,) = (tmp_path / "journal").rglob("*.jsonl")
    assert path.as_posix() in line.error.message
    (kept,) = [json.loads(each) for each in path.read_text("utf-8").splitlines()[1:]]
    whole = sent.decode() if isinstance(sent, bytes) else json.dumps(sent)
    assert (kept["digest"], kept["unread"]) == (line.request_digest, whole)
    assert line.request_digest[:12] in line.error.message

    line = asked(of_openai, tmp_path, retries=5)  # the next start reads it again, for nothing
    assert line.error is not None
    assert path.as_posix() in line.error.message
    assert times_sent(of_openai) == 1


@pytest.fixture
def newly_invented(of_openai: Backend, tmp_path: Path) -> Path:
    """The journal's file with one reply that cannot be read."""
    replies(of_openai, chat_reply(finish_reason="newly invented"))
    assert asked(of_openai, tmp_path).error
    (path,) = (tmp_path / "journal").rglob("*.jsonl")
    return path


def test_a_later_reader_reads_a_kept_reply_for_nothing(
    of_openai: Backend, tmp_path: Path, newly_invented: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(chat_completions._FINISH, "newly invented", "stop")
    for _ in range(2):
        line = asked(of_openai, tmp_path)
        assert (line.error, line.response_text, line.finish_reason) == (None, "Oslo", "stop")
        assert line.usage is not None
        assert (line.usage.prompt_tokens, line.usage.completion_tokens) == (7, 2)
        assert line.latency_s is not None
    assert times_sent(of_openai) == 1
    journal = list((tmp_path / "journal").rglob("*.jsonl"))
    assert sum(path.read_text("utf-8").count('"completion":') for path in journal) == 1


def test_a_later_reader_that_takes_it_for_a_failure_does_not_send_it_again(
    of_openai: Backend, tmp_path: Path, newly_invented: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat_completions, "_BROKEN_OFF", {"newly invented"})
    line = asked(of_openai, tmp_path, retries=3)
    assert line.error is not None
    assert "broken off" in line.error.message
    assert times_sent(of_openai) == 1


def test_without_the_line_the_request_is_sent_again(
    of_openai: Backend, tmp_path: Path, newly_invented: Path
) -> None:
    lines = newly_invented.read_text("utf-8").splitlines(keepends=True)
    newly_invented.write_text("".join(lines[:-1]), encoding="utf-8", newline="")
    replies(of_openai, chat_reply())
    assert asked(of_openai, tmp_path).response_text == "Oslo"
    assert times_sent(of_openai) == 2


def test_an_edited_reply_is_refused(
    of_openai: Backend, tmp_path: Path, newly_invented: Path
) -> None:
    text = newly_invented.read_text("utf-8")
    newly_invented.write_text(text.replace("Oslo", "Rome"), encoding="utf-8", newline="")
    with pytest.raises(UserError, match=r"line 2: .*was changed after it was recorded"):
        asked(of_openai, tmp_path)


def test_a_torn_line_is_no_kept_reply(
    of_openai: Backend, tmp_path: Path, newly_invented: Path
) -> None:
    text = newly_invented.read_text("utf-8")
    newly_invented.write_text(text[:-30], encoding="utf-8", newline="")
    replies(of_openai, chat_reply())
    assert asked(of_openai, tmp_path).response_text == "Oslo"


def test_no_job_buys_what_is_kept(of_openai: Backend, tmp_path: Path, newly_invented: Path) -> None:
    """Jobs and single requests share the journal."""
    part = Part(tmp_path / "input.jsonl", of_openai.identity(), tmp_path / "journal")
    part.look_up()
    assert list(part.unanswered()) == []


@pytest.mark.parametrize("fault", ["half", "half JSON", "empty"])
def test_a_reply_that_is_cut_off_is_tried_again(
    backend: Backend, tmp_path: Path, fault: str
) -> None:
    backend.server.faults = lambda question, tries: (
        fault if question == "Question 1?" and tries < 2 else ""
    )
    line = asked(backend, tmp_path, retries=2)
    assert line.response_text == "to Question 1?"
    assert not [
        path
        for path in (tmp_path / "journal").rglob("*.jsonl")
        if '"unread"' in path.read_text("utf-8")
    ]


@pytest.mark.parametrize(
    ("code", "retried"), [(None, True), ("oops", True), (502, True), (402, False)]
)
def test_an_error_with_status_200_is_an_error(
    of_openai: Backend, tmp_path: Path, code: object, retried: bool
) -> None:
    replies(of_openai, {"error": {"message": "no credit or no luck", "code": code}})
    line = asked(of_openai, tmp_path, retries=1)
    assert line.error is not None
    assert "no credit or no luck" in line.error.message
    assert line.error.type == "HttpError"
    assert (times_sent(of_openai) > 1) == retried


def test_the_end_of_json_is_told_from_what_is_no_json() -> None:
    whole = json.dumps(chat_reply(message={"content": 'a "b" \\ \u2028 ü'})).encode()
    for end in range(len(whole)):
        with pytest.raises(ValueError, match="EOF") as caught:
            read_json(whole[:end].decode("utf-8", errors="ignore"))
        assert is_cut_off(caught.value)
    for text in ("<html>", "Bad gateway", whole.decode() + "x", "data: {"):
        with pytest.raises(ValueError, match=r".") as caught:
            read_json(text)
        assert not is_cut_off(caught.value)


def test_counts_survive_a_malformed_reply() -> None:
    with pytest.raises(NoAnswerError) as caught:
        chat_answer("x", chat_reply(finish_reason=7), "", None)
    assert caught.value.usage is not None
    assert caught.value.usage.prompt_tokens == 7


# What it costs


@pytest.fixture
def spent(of_openai: Backend, tmp_path: Path) -> Callable[[], float]:
    """Run a part with one request; how much was written down in the end, in tokens."""
    settings = SpendingSettings(
        folder=(tmp_path / "spending").as_posix(),
        engine="openai_compatible",
        model="m",
        tokenizer=tokenizer_of(BackendSettings(model_id="m", use_batch_api=False)),
        quote=Quote(
            rates=Rates(input_per_million=1e6, output_per_million=1e6), source="a dollar a token"
        ),
        budget_usd=None,
    )

    def run_once() -> float:
        write_jsonl(tmp_path / "input.jsonl", [request(1)])
        with RequestSpending(settings, "part") as spending:
            executor = SyncExecutor(
                of_openai.client(), tmp_path / uuid.uuid4().hex, max_retries=1, spending=spending
            )
            executor.run_jsonl(tmp_path / "input.jsonl", tmp_path / "raw.jsonl", 1)
        return Ledger(tmp_path / "spending").spent().total_usd

    return run_once


def test_a_reply_that_cannot_be_read_costs_what_it_reports(
    of_openai: Backend, spent: Callable[[], float]
) -> None:
    replies(of_openai, chat_reply(finish_reason="newly invented"))
    assert spent() == 7 + 2


@pytest.mark.parametrize("sent", [b"<html>", {"choices": []}])
def test_a_reply_without_counts_costs_the_most_that_it_may(
    of_openai: Backend, spent: Callable[[], float], sent: Any
) -> None:
    replies(of_openai, sent)
    assert spent() > 8  # max_new_tokens alone


def test_a_reply_that_is_cut_off_is_written_down_each_time(
    of_openai: Backend, spent: Callable[[], float]
) -> None:
    replies(of_openai, b"<html>")
    once = spent()
    replies(of_openai, b'{"choices": [')
    assert spent() == pytest.approx(3 * once)  # one before, and two tries now
