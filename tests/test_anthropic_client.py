"""Anthropic's client: what it sends, what it reads, and what it makes of trouble."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hosted_requests import (
    DECODING,
    SAMPLED,
    asked,
    chat,
    cut_off,
    gathered,
    intent,
    key,
    kill_and_submit_again,
    lines_of,
    question,
    refused,
    request,
    run_whole,
    use,
)
from servers.anthropic import AnthropicServer
from servers.base import running

from workflow_scripts.config.schema import BackendSettings
from workflow_scripts.errors import UserError
from workflow_scripts.files import read_jsonl
from workflow_scripts.infer import anthropic_client, hosted
from workflow_scripts.infer.anthropic_client import KEY_VARIABLE, AnthropicClient
from workflow_scripts.infer.capabilities import capabilities, dropped, parameters, problems
from workflow_scripts.infer.client import RequestError, make_client
from workflow_scripts.records import Completion, Decoding, RawLine

CREATE = "POST /v1/messages/batches"
LIST = "GET /v1/messages/batches"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[AnthropicServer]:
    monkeypatch.setattr(hosted, "LISTING_LAG_S", 0.0)
    monkeypatch.setattr(hosted, "UNSEEN_WAITS_S", (0.0, 0.0))
    with running(AnthropicServer()) as server:
        assert isinstance(server, AnthropicServer)
        monkeypatch.setenv(KEY_VARIABLE, server.key)
        yield server


def settings(server: AnthropicServer, **changes: Any) -> BackendSettings:
    values = {
        "backend": "anthropic",
        "local_endpoint": server.url,
        "model_id": "claude-haiku-4-5",
        "poll_interval_s": 0.01,
        **changes,
    }
    return BackendSettings.model_validate(values)


def client_of(server: AnthropicServer, **changes: Any) -> AnthropicClient:
    client = make_client(settings(server, **changes))
    assert isinstance(client, AnthropicClient)
    return client


def always(what: str, fault: str) -> Callable[[str, int], str]:
    return lambda asked, tries: fault if asked == what else ""


# What is sent


def test_a_chat_is_sent_with_all_parameters(server: AnthropicServer) -> None:
    decoding = SAMPLED.model_copy(update={"top_p": None})
    asked(settings(server), chat("Where is Oslo?"), decoding)
    assert server.bodies == [
        {
            "model": "claude-haiku-4-5",
            "system": [
                {
                    "type": "text",
                    "text": "Answer.",
                    "cache_control": {"type": "ephemeral", "ttl": "5m"},
                }
            ],
            "messages": [{"role": "user", "content": "Where is Oslo?"}],
            "temperature": 0.7,
            "max_tokens": 1200,
            "top_k": 20,
            "stop_sequences": ["END"],
        }
    ]


def test_a_chat_without_a_system_prompt_has_none(server: AnthropicServer) -> None:
    asked(settings(server), chat()[1:])
    assert "system" not in server.bodies[0]


@pytest.mark.parametrize(
    ("model", "sampling", "thinking"),
    [
        ("claude-3-haiku-20240307", {"temperature", "top_p", "top_k"}, None),
        ("claude-sonnet-4-20250514", {"temperature", "top_p", "top_k"}, None),
        ("claude-opus-4-1-20250805", {"temperature", "top_k"}, None),
        ("claude-sonnet-4-5", {"temperature", "top_k"}, None),
        ("claude-haiku-4-5-20251001", {"temperature", "top_k"}, None),
        ("claude-opus-4-6", {"temperature", "top_k"}, None),
        ("claude-opus-4-7", set(), None),
        ("claude-opus-4-8", set(), None),
        ("claude-sonnet-5", set(), "disabled"),
        ("claude-opus-5", set(), "disabled"),
        ("claude-sonnet-5-5", set(), "between_tools"),
        ("claude-haiku-5-5", set(), "disabled"),
        ("claude-opus-5-5", set(), None),
        ("claude-fable-5-1", set(), None),
        ("claude-opus-9", set(), None),
    ],
)
def test_each_model_gets_the_parameters_that_it_takes(
    model: str, sampling: set[str], thinking: str | None
) -> None:
    sent = parameters("anthropic", model, SAMPLED)
    assert sent.keys() & {"temperature", "top_p", "top_k"} == sampling
    assert "seed" not in sent
    told = dropped("anthropic", model, SAMPLED)
    assert told.keys() == {"seed", "stop", "temperature", "top_p", "top_k"} - sampling
    assert "white space" in told["stop"]
    always_sent = capabilities("anthropic", model).always
    assert always_sent == ({"thinking": {"type": thinking}} if thinking else {})


@pytest.mark.parametrize("model", sorted(AnthropicServer().models))
def test_every_kind_of_model_takes_what_is_sent(server: AnthropicServer, model: str) -> None:
    for decoding in (DECODING, SAMPLED, SAMPLED.model_copy(update={"temperature": 1.0})):
        answer = asked(settings(server, model_id=model), chat("one two three"), decoding)
        assert (answer.response_text, answer.finish_reason) == ("to one two three", "stop")


def test_of_temperature_and_top_p_the_one_that_matters_is_sent() -> None:
    hot = SAMPLED.model_copy(update={"temperature": 1.0})
    assert parameters("anthropic", "claude-haiku-4-5", hot)["top_p"] == 0.9
    assert "top_p" not in dropped("anthropic", "claude-haiku-4-5", hot)
    assert "temperature" not in dropped("anthropic", "claude-haiku-4-5", hot)
    assert (
        "one of temperature and top_p" in dropped("anthropic", "claude-haiku-4-5", SAMPLED)["top_p"]
    )


def test_what_a_model_cannot_do_is_known_before_any_job() -> None:
    hot = Decoding(temperature=1.5, max_new_tokens=32, seed=0)
    assert problems("anthropic", "claude-haiku-4-5", DECODING) == []
    (problem,) = problems("anthropic", "claude-haiku-4-5", hot)
    assert problem == "temperature 1.5 is more than claude-haiku-4-5 takes: 1 at most"
    (problem,) = problems("anthropic", "claude-opus-5-5", hot)  # it takes no temperature at all
    assert "32 leave no room for an answer. Set max_new_tokens to 1024 or more" in problem


def test_the_identity_has_what_decides_answers_and_no_more(server: AnthropicServer) -> None:
    same = client_of(server).identity()
    assert same == {"engine": "anthropic", "endpoint": "/v1/messages", "model": "claude-haiku-4-5"}
    assert client_of(server, local_endpoint="http://gateway").identity() == same
    assert client_of(server, use_batch_api=False).identity() == same
    other = client_of(server, model_id="claude-sonnet-5-5").identity()
    assert other["thinking"] == '{"type": "between_tools"}'


# What is read


def test_the_system_prompt_is_cached_and_all_tokens_are_counted(server: AnthropicServer) -> None:
    server.least_cached = 3
    messages = chat("one two", system="Be very brief.")
    first, second = (asked(settings(server), messages).usage for _ in range(2))
    for usage in (first, second):
        assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (5, 3, 8)
    assert (first.cache_write_tokens, first.cached_tokens) == (3, 0)
    assert (second.cache_write_tokens, second.cached_tokens) == (0, 3)
    assert server.cached


def test_thoughts_are_no_answer_but_are_counted(server: AnthropicServer) -> None:
    answer = asked(settings(server, model_id="claude-opus-5-5"), chat("one"))
    assert answer.response_text == "to one"
    assert answer.usage.completion_tokens == 12


def test_the_answer_is_all_text_blocks_and_no_others() -> None:
    blocks = [("text", "Os"), ("thinking", "They ask me."), ("text", "lo")]
    message = anthropic_client._Message.model_validate(
        {
            "id": "msg_1",
            "content": [{"type": kind, "text": text} for kind, text in blocks],
            "stop_reason": "end_turn",
            "usage": {},
        }
    )
    answer = anthropic_client._answer(message, None)
    assert answer.response_text == "Oslo"
    assert answer.usage.model_dump(exclude_none=True) == {}


@pytest.mark.parametrize(
    ("stop_reason", "finish_reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "refused:refusal"),
    ],
)
def test_ends_of_answers(server: AnthropicServer, stop_reason: str, finish_reason: str) -> None:
    server.ending = lambda question: stop_reason
    answer = asked(settings(server), chat("one"))
    assert answer.finish_reason == finish_reason
    assert answer.request_id.startswith("msg_")
    assert answer.latency_s is not None


@pytest.mark.parametrize("stop_reason", ["tool_use", "pause_turn", "something new"])
def test_what_is_no_answer_is_an_error(server: AnthropicServer, stop_reason: str) -> None:
    server.ending = lambda question: stop_reason
    error = refused(settings(server), chat())
    assert stop_reason in str(error)
    assert (error.retryable, error.final) == (True, False)


# Trouble


@pytest.mark.parametrize(
    ("fault", "retryable", "overloaded"),
    [
        ("429", True, True),
        ("500", True, False),
        ("503", True, True),
        ("529", True, True),
        ("504", True, False),
        ("reset", True, False),
        ("half", True, False),
        ("half JSON", True, False),
        ("empty", True, False),
        ("wrong types", True, False),
        ("error in 200", True, False),
        ("HTML", True, False),
        ("slow", True, False),
        ("400", False, False),
        ("403", False, False),
        ("413", False, False),
    ],
)
def test_what_may_pass_is_told_from_what_may_not(
    server: AnthropicServer, fault: str, retryable: bool, overloaded: bool
) -> None:
    server.faults = always("one", fault)
    timeout_s = 0.2 if fault == "slow" else 60
    error = refused(settings(server, request_timeout_s=timeout_s), chat("one"))
    assert (error.retryable, error.overloaded) == (retryable, overloaded)
    assert error.final == (fault in ("400", "413"))
    assert server.key not in str(error)
    server.faults = always("nothing", "")
    assert asked(settings(server), chat("one")).response_text == "to one"


def test_the_time_that_the_server_asks_for_is_heeded(server: AnthropicServer) -> None:
    server.retry_after = "7"
    server.faults = always("one", "429")
    assert refused(settings(server), chat("one")).wait_s == 7.0


@pytest.mark.parametrize(
    ("said", "final"),
    [
        ("Your credit balance is too low to access the Anthropic API.", False),
        ("You have reached your specified API usage limits.", False),
        ("prompt is too long: 210000 tokens > 200000 maximum", True),
    ],
)
def test_a_lack_of_money_is_no_fault_of_the_request(
    server: AnthropicServer, monkeypatch: pytest.MonkeyPatch, said: str, final: bool
) -> None:
    handler = server.RequestHandlerClass
    original = handler.error_body  # type: ignore[attr-defined]
    monkeypatch.setattr(handler, "error_body", lambda self, status, _: original(self, status, said))
    server.faults = always("one", "400")
    error = refused(settings(server), chat("one"))
    assert (error.retryable, error.final) == (False, final)
    # and the same in a batch
    client = client_of(server)
    server.faults = always(question(0), "400")
    row = json.dumps(
        {
            "custom_id": key(0),
            "result": {
                "type": "errored",
                "error": {
                    "type": "error",
                    "error": {"type": "invalid_request_error", "message": said},
                },
            },
        }
    )
    _, result = client._result(row.encode()) or ("", None)
    assert isinstance(result, RequestError)
    assert (result.retryable, result.final) == (False, final)


def test_a_wrong_key_is_told_and_never_shown(
    server: AnthropicServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "sk-ant-secret")
    error = refused(settings(server), chat())
    assert "invalid x-api-key" in str(error)
    assert (error.retryable, error.final) == (False, False)
    handler = server.RequestHandlerClass
    monkeypatch.setattr(
        handler, "error_body", lambda *_: {"error": {"type": "x", "message": "no sk-ant-secret!"}}
    )
    assert "no [key]!" in str(refused(settings(server), chat()))
    with pytest.raises(UserError, match=r"status 401.*Is the key in ANTHROPIC_API_KEY right\?"):
        use(client_of(server), lambda client: client.check())
    lines = lines_of(settings(server), [request(0)], tmp_path)
    assert "sk-ant-secret" not in lines.read_text(encoding="utf-8")
    assert "sk-ant-secret" not in str(client_of(server).identity())


@pytest.mark.parametrize("value", ["", " ", "two words", "sk-ant-\u2026"])
def test_a_key_that_is_none_is_told_at_once(
    server: AnthropicServer, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, value)
    with pytest.raises(UserError, match=KEY_VARIABLE):
        make_client(settings(server))


def test_the_check_finds_the_model_or_the_nearest(server: AnthropicServer) -> None:
    found = use(client_of(server), lambda client: client.check())
    assert found == f"{server.url} has claude-haiku-4-5 (Claude Haiku 4 5)"
    with pytest.raises(UserError, match=r"no model 'claude-haiku-4\.5'.*it has: claude-haiku-4-5,"):
        use(client_of(server, model_id="claude-haiku-4.5"), lambda client: client.check())
    with pytest.raises(UserError, match="the connection failed"):
        use(
            client_of(server, local_endpoint="http://127.0.0.1:9"),
            lambda client: client.check(),
        )
    assert not server.bills


@pytest.mark.parametrize("ending", ["", "/", "/v1", "/v1/"])
def test_the_address_may_end_as_users_write_it(server: AnthropicServer, ending: str) -> None:
    changed = settings(server, local_endpoint=server.url + ending)
    assert asked(changed, chat("one")).response_text == "to one"


# Batches


def submitted(server: AnthropicServer, requests: list[Any], folder: Path, **changes: Any) -> str:
    lines = lines_of(settings(server, **changes), requests, folder)
    return use(
        client_of(server, **changes),
        lambda client: client.submit_batch(intent(len(requests)), lines),
    )


def test_a_batch_holds_what_single_requests_would_hold(
    server: AnthropicServer, tmp_path: Path
) -> None:
    requests = [request(0), request(1, decoding=SAMPLED)]
    job = submitted(server, requests, tmp_path)
    for each in requests:
        asked(settings(server), each.messages, each.decoding)
    rows = server.batches[job].rows
    assert [row.custom_id for row in rows] == [key(0), key(1)]
    alone = json.loads(json.dumps(server.bodies).replace('"5m"', '"1h"'))
    assert [row.params for row in rows] == alone


@pytest.mark.parametrize("last_line", ["\n", ""])
def test_lines_are_sent_as_they_are_in_pieces(
    server: AnthropicServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    last_line: str,
) -> None:
    monkeypatch.setattr(anthropic_client, "_CHUNK_BYTES", 100)
    lines = lines_of(settings(server), [request(number) for number in range(30)], tmp_path)
    text = lines.read_text(encoding="utf-8")
    lines.write_text(text.rstrip("\n") + last_line, encoding="utf-8", newline="\n")
    job = use(client_of(server), lambda client: client.submit_batch(intent(30), lines))
    questions = [row.params["messages"][0]["content"] for row in server.batches[job].rows]
    assert questions == [question(number) for number in range(30)]


def test_a_batch_is_followed_and_read(server: AnthropicServer, tmp_path: Path) -> None:
    def faults(what: str, tries: int) -> str:
        return {question(1): "500", question(2): "400"}.get(what, "")

    server.faults = faults
    server.rows_per_poll = 2
    job = submitted(server, [request(number) for number in range(4)], tmp_path)
    client = client_of(server)
    status = use(client, lambda client: client.batch_status(job))
    assert (status.state, status.word) == ("running", "in_progress")
    assert (status.done, status.failed, status.total) == (None, None, 4)
    status = use(client, lambda client: client.batch_status(job))
    assert (status.state, status.word) == ("ended", "ended")
    assert (status.done, status.failed, status.total) == (2, 2, 4)
    results = use(client, lambda client: gathered(client, job))
    answer = results[key(3)]
    assert isinstance(answer, Completion)
    assert answer.response_text == f"to {question(3).split(chr(10))[-1]}"
    assert answer.latency_s is None
    passing, lasting = results[key(1)], results[key(2)]
    assert isinstance(passing, RequestError)
    assert isinstance(lasting, RequestError)
    assert (passing.retryable, passing.final) == (True, False)
    assert (lasting.retryable, lasting.final) == (False, True)


@pytest.mark.parametrize("way", ["canceled", "expired"])
def test_what_was_answered_before_the_end_is_kept(
    server: AnthropicServer, tmp_path: Path, way: str
) -> None:
    server.rows_per_poll = 1
    job = submitted(server, [request(number) for number in range(3)], tmp_path)
    client = client_of(server)
    use(client, lambda client: client.batch_status(job))
    if way == "canceled":
        server.batches[job].cancel_initiated = server.clock
    else:
        server.ahead += 24 * 3600
    status = use(client, lambda client: client.batch_status(job))
    assert (status.state, status.done, status.failed) == ("ended", 1, 2)
    results = use(client, lambda client: gathered(client, job))
    assert isinstance(results[key(0)], Completion)
    for number in (1, 2):
        error = results[key(number)]
        assert isinstance(error, RequestError)
        assert error.retryable
        assert way in str(error)


def test_results_that_are_not_kept_any_more_are_gone(
    server: AnthropicServer, tmp_path: Path
) -> None:
    job = submitted(server, [request(0)], tmp_path)
    client = client_of(server)
    assert use(client, lambda client: client.batch_status(job)).state == "ended"
    server.ahead += 30 * 24 * 3600
    status = use(client, lambda client: client.batch_status(job))
    assert (status.state, status.message) == ("gone", "results are kept for 29 days")


def test_a_batch_is_gone_only_when_it_is_in_no_list(
    server: AnthropicServer, tmp_path: Path
) -> None:
    server.unseen = 2
    job = submitted(server, [request(0)], tmp_path)
    client = client_of(server)
    assert use(client, lambda client: client.batch_status(job)).state == "ended"  # the third time
    server.unseen = 5
    job = submitted(server, [request(0)], tmp_path)
    assert use(client, lambda client: client.batch_status(job)).state == "running"  # by the list
    server.batches.clear()
    assert use(client, lambda client: client.batch_status(job)).state == "gone"


def results_with(
    server: AnthropicServer, folder: Path, *faults: str
) -> list[tuple[str, Completion | RequestError]]:
    job = submitted(server, [request(number) for number in range(4)], folder)
    client = client_of(server)
    use(client, lambda client: client.batch_status(job))
    server.output_faults = faults

    async def pairs(client: AnthropicClient) -> list[tuple[str, Completion | RequestError]]:
        with contextlib.suppress(RequestError):  # they come short: read once more
            return [pair async for pair in client.batch_results(job)]
        return [pair async for pair in client.batch_results(job)]

    return use(client, pairs)


def test_odd_results_are_handed_on_and_broken_ones_are_errors(
    server: AnthropicServer, tmp_path: Path
) -> None:
    pairs = results_with(server, tmp_path, "twice", "unknown", "missing", "shapeless")
    keys = [each for each, _ in pairs]
    assert len(keys) == 5
    errors = [result for _, result in pairs if isinstance(result, RequestError)]
    assert len(errors) == 1
    assert errors[0].retryable
    assert "malformed" in str(errors[0])


def test_a_line_cut_short_is_an_error_of_its_request(
    server: AnthropicServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pairs = results_with(server, tmp_path, "malformed")
    assert {each for each, _ in pairs} == {key(number) for number in range(4)}
    (error,) = [result for _, result in pairs if isinstance(result, RequestError)]
    assert error.retryable
    client = client_of(server)
    assert client._result(b'{"custom') is None
    assert client._result(b"[]") is None


def test_results_that_come_short_are_read_once_more_and_then_taken(
    server: AnthropicServer, tmp_path: Path
) -> None:
    server.output_faults = ("malformed",)
    job = submitted(server, [request(number) for number in range(4)], tmp_path)
    client = client_of(server)
    use(client, lambda client: client.batch_status(job))
    with pytest.raises(RequestError, match="only 3 of 4 results came") as caught:
        use(client, lambda client: gathered(client, job))
    assert caught.value.retryable
    results = use(client, lambda client: gathered(client, job))
    assert sum(isinstance(result, Completion) for result in results.values()) == 3


@pytest.mark.parametrize(
    "fault", ["half", "after half", "after half JSON", "empty", "reset", "503", "slow", "404"]
)
def test_results_that_break_off_can_be_read_again(
    server: AnthropicServer, tmp_path: Path, fault: str
) -> None:
    job = submitted(server, [request(number) for number in range(50)], tmp_path)
    client = client_of(server)
    use(client, lambda client: client.batch_status(job))
    server.faults = always(f"GET /v1/messages/batches/{job}/results", fault)
    with pytest.raises(RequestError) as caught:
        use(
            client_of(server, request_timeout_s=0.2 if fault == "slow" else 60),
            lambda client: gathered(client, job),
        )
    assert caught.value.retryable
    server.faults = always("nothing", "")
    assert len(use(client, lambda client: gathered(client, job))) == 50


# Found again


AFTER_THE_EFFECT = ["after reset", "after half", "after half JSON", "after 500"]
BEFORE_THE_EFFECT = ["reset", "500", "529", "HTML"]


@pytest.mark.parametrize("fault", [*AFTER_THE_EFFECT, *BEFORE_THE_EFFECT])
def test_a_lost_reply_makes_no_second_batch(
    server: AnthropicServer, tmp_path: Path, fault: str
) -> None:
    server.faults = lambda what, tries: fault if what == CREATE and not tries else ""
    lines = lines_of(settings(server), [request(0), request(1)], tmp_path)
    client, wanted = client_of(server), intent(2)

    async def twice(client: AnthropicClient) -> str:
        assert await client.find_batch(wanted, []) is None
        with pytest.raises(RequestError) as caught:
            await client.submit_batch(wanted, lines)
        assert caught.value.retryable
        return await client.find_batch(wanted, []) or await client.submit_batch(wanted, lines)

    job = use(client, twice)
    assert list(server.batches) == [job]
    assert server.called(CREATE) == (1 if fault in AFTER_THE_EFFECT else 2)


@pytest.mark.parametrize("call", range(3))
@pytest.mark.parametrize("when", ["", "after "])
def test_a_process_cut_off_at_any_call_makes_no_second_batch(
    server: AnthropicServer, tmp_path: Path, call: int, when: str
) -> None:
    lines = lines_of(settings(server), [request(0), request(1)], tmp_path)
    wanted = intent(2, datetime.now(UTC) - timedelta(seconds=1))

    def faults(what: str, tries: int) -> str:
        return f"{when}slow" if len(server.calls) == call + 1 else ""

    async def one_run(client: AnthropicClient) -> str:
        return await client.find_batch(wanted, []) or await client.submit_batch(wanted, lines)

    server.faults = faults
    cut_off(server, client_of(server), one_run)
    assert len(server.calls) == call + 1
    server.faults = always("nothing", "")
    job = use(client_of(server), one_run)
    assert list(server.batches) == [job]


def test_a_killed_process_makes_no_second_batch(server: AnthropicServer, tmp_path: Path) -> None:
    server.faults = lambda what, tries: "after slow" if what == CREATE and not tries else ""
    kill_and_submit_again(
        settings(server), {KEY_VARIABLE: server.key}, tmp_path, lambda: bool(server.batches)
    )
    assert len(server.batches) == 1


def test_a_batch_that_the_list_does_not_show_yet_is_waited_for(
    server: AnthropicServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosted, "LISTING_LAG_S", 0.2)
    server.unlisted = 2  # the clock is compared in the first one
    server.faults = lambda what, tries: "after reset" if what == CREATE else ""
    lines = lines_of(settings(server), [request(0)], tmp_path)
    wanted = intent(1)

    async def lost(client: AnthropicClient) -> str | None:
        with pytest.raises(RequestError):
            await client.submit_batch(wanted, lines)
        return await client.find_batch(wanted, [])

    assert use(client_of(server), lost) == next(iter(server.batches))


def test_an_intent_of_this_process_has_no_batch_yet(server: AnthropicServer) -> None:
    client = client_of(server)
    assert use(client, lambda client: client.find_batch(intent(2), [])) is None
    assert not server.calls


@pytest.mark.parametrize("ahead_s", [-3000, 0, 3000])
def test_among_other_batches_the_right_one_is_found(
    server: AnthropicServer, tmp_path: Path, ahead_s: float
) -> None:
    server.most_per_page = 2
    server.ahead = ahead_s
    written = datetime.now(UTC)

    def created(requests: int, seconds: float) -> str:
        job = submitted(server, [request(number) for number in range(requests)], tmp_path)
        server.batches[job].created += seconds
        return job

    too_old = created(2, -3600)
    another_count = created(3, 0)
    claimed = created(2, 1)
    ours = created(2, 2)
    later = created(2, 50)
    for _ in range(5):
        created(1, 60)
    client = client_of(server)
    found = use(client, lambda client: client.find_batch(intent(2, written), [claimed]))
    assert found == ours
    rest = [claimed, ours, later]
    assert use(client, lambda client: client.find_batch(intent(2, written), rest)) is None
    assert too_old
    assert use(client, lambda client: client.find_batch(intent(3, written), [])) == another_count
    assert server.called(LIST) > 6


# The whole way


def test_every_request_is_billed_once_whatever_goes_wrong(
    server: AnthropicServer, tmp_path: Path
) -> None:
    requests = [request(number) for number in range(20)]

    def faults(what: str, tries: int) -> str:
        if what == CREATE:
            return ["after reset", "", "503", "after half"][tries % 4]
        if what.endswith("/results"):
            return "half" if tries == 0 else ""
        if what.startswith("GET"):
            return "500" if tries % 3 == 1 else ""
        return "500" if what in (question(3), question(7)) and tries == 0 else ""

    server.faults = faults
    server.rows_per_poll = 7
    run_whole(settings(server), requests, tmp_path)
    lines = list(read_jsonl(tmp_path / "raw.jsonl", RawLine))
    assert [line.error for line in lines] == [None] * 20
    assert len(server.batches) == 2  # the second one for what failed in the first one
    assert sorted(server.billed().values()) == [1] * 20
    run_whole(settings(server), requests, tmp_path)
    assert len(server.bills) == 20
