"""Gemini's client: what it sends, what it reads, and what it makes of trouble."""

from __future__ import annotations

import asyncio
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
from servers.base import running
from servers.gemini import GeminiServer

from workflow_scripts.config.schema import BackendSettings
from workflow_scripts.errors import UserError
from workflow_scripts.files import read_jsonl
from workflow_scripts.infer import gemini_client, hosted
from workflow_scripts.infer.capabilities import capabilities, dropped, parameters, problems
from workflow_scripts.infer.client import RequestError, make_client
from workflow_scripts.infer.gemini_client import KEY_VARIABLES, GeminiClient
from workflow_scripts.records import Completion, Decoding, RawLine

MODEL = "gemini-2.5-flash"
CREATE = f"POST /v1beta/models/{MODEL}:batchGenerateContent"
UPLOAD = "POST /upload/v1beta/files"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[GeminiServer]:
    monkeypatch.setattr(hosted, "LISTING_LAG_S", 0.0)
    monkeypatch.setattr(hosted, "UNSEEN_WAITS_S", (0.0, 0.0))
    monkeypatch.setattr(gemini_client, "FILE_WAITS_S", (0.0, 0.0, 0.0))
    for variable in KEY_VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    with running(GeminiServer()) as server:
        assert isinstance(server, GeminiServer)
        monkeypatch.setenv("GEMINI_API_KEY", server.key)
        yield server


def settings(server: GeminiServer, **changes: Any) -> BackendSettings:
    values = {
        "backend": "gemini",
        "local_endpoint": server.url,
        "model_id": MODEL,
        "poll_interval_s": 0.01,
        **changes,
    }
    return BackendSettings.model_validate(values)


def client_of(server: GeminiServer, **changes: Any) -> GeminiClient:
    client = make_client(settings(server, **changes))
    assert isinstance(client, GeminiClient)
    return client


def always(what: str, fault: str) -> Callable[[str, int], str]:
    return lambda asked, tries: fault if asked == what else ""


# What is sent


def test_a_chat_is_sent_with_all_parameters(server: GeminiServer) -> None:
    asked(settings(server), chat("Where is Oslo?"), SAMPLED)
    assert server.bodies == [
        {
            "systemInstruction": {"parts": [{"text": "Answer."}]},
            "contents": [{"role": "user", "parts": [{"text": "Where is Oslo?"}]}],
            "generationConfig": {
                "temperature": 0.7,
                "topP": 0.9,
                "topK": 20,
                "maxOutputTokens": 1200,
                "stopSequences": ["END", "\n"],
                "seed": 42,
                "thinkingConfig": {"thinkingBudget": 0},
            },
        }
    ]
    asked(settings(server), chat()[1:])
    assert "systemInstruction" not in server.bodies[1]


@pytest.mark.parametrize(
    ("model", "sampled", "thinking", "room"),
    [
        ("gemini-2.0-flash", True, None, 0),
        ("gemini-1.5-pro", True, None, 0),
        ("gemma-3-27b-it", True, None, 0),
        ("gemini-2.5-flash", True, {"thinkingBudget": 0}, 0),
        ("gemini-2.5-flash-lite", True, {"thinkingBudget": 0}, 0),
        ("gemini-2.5-pro", True, {"thinkingBudget": 128}, 256),
        ("gemini-3-flash-preview", True, {"thinkingLevel": "MINIMAL"}, 0),
        ("gemini-3.1-flash-lite", True, {"thinkingLevel": "MINIMAL"}, 0),
        ("gemini-3.5-flash", True, {"thinkingLevel": "MINIMAL"}, 0),
        ("gemini-3-pro-preview", True, {"thinkingLevel": "LOW"}, 1024),
        ("gemini-3.1-pro-preview", True, {"thinkingLevel": "LOW"}, 1024),
        ("gemini-3.5-flash-lite", False, {"thinkingLevel": "MINIMAL"}, 0),
        ("gemini-3.6-flash", False, {"thinkingLevel": "MINIMAL"}, 0),
        ("gemini-3.8-flash", False, {"thinkingLevel": "LOW"}, 1024),
        ("gemini-flash-latest", False, {"thinkingLevel": "LOW"}, 1024),
    ],
)
def test_each_model_gets_the_parameters_that_it_takes(
    model: str, sampled: bool, thinking: dict[str, object] | None, room: int
) -> None:
    sampling = {"temperature", "topP", "topK"}
    others = {"maxOutputTokens", "stopSequences", "seed"}
    assert parameters("gemini", model, SAMPLED).keys() == (sampling if sampled else set()) | others
    assert dropped("gemini", model, SAMPLED).keys() == (
        set() if sampled else {"temperature", "top_p", "top_k"}
    )
    row = capabilities("gemini", model)
    assert row.always == ({"thinkingConfig": thinking} if thinking else {})
    assert row.thinking_room == room


@pytest.mark.parametrize("model", sorted(GeminiServer().models))
def test_every_kind_of_model_takes_what_is_sent(server: GeminiServer, model: str) -> None:
    for decoding in (DECODING, SAMPLED):
        answer = asked(settings(server, model_id=model), chat("one two three"), decoding)
        assert (answer.response_text, answer.finish_reason) == ("to one two three", "stop")


def test_what_a_model_cannot_do_is_known_before_any_job() -> None:
    assert problems("gemini", MODEL, DECODING) == []
    short = Decoding(temperature=2.0, max_new_tokens=200, seed=0)
    (problem,) = problems("gemini", "gemini-2.5-pro", short)
    assert "200 leave no room for an answer. Set max_new_tokens to 256 or more" in problem
    many = Decoding(temperature=0, max_new_tokens=9, seed=0, stop=list("abcdef"))
    assert parameters("gemini", MODEL, many)["stopSequences"] == list("abcde")
    assert "only the first 5" in dropped("gemini", MODEL, many)["stop"]


def test_the_identity_has_what_decides_answers_and_no_more(server: GeminiServer) -> None:
    same = client_of(server).identity()
    assert same == {
        "engine": "gemini",
        "endpoint": "generateContent",
        "model": MODEL,
        "thinkingConfig": '{"thinkingBudget": 0}',
    }
    assert client_of(server, local_endpoint="http://gateway").identity() == same
    assert client_of(server, model_id=f"models/{MODEL}").identity() == same
    assert client_of(server, use_batch_api=False).identity() == same
    assert client_of(server, model_id="gemini-2.5-pro").identity() != same


# What is read


def test_thoughts_are_no_answer_but_are_counted(server: GeminiServer) -> None:
    server.shows_thoughts = True
    answer = asked(settings(server, model_id="gemini-2.5-pro"), chat("one"))
    assert answer.response_text == "to one"
    usage = answer.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (2, 12, 14)


@pytest.mark.parametrize(
    ("ending", "finish_reason"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("SAFETY", "refused:SAFETY"),
        ("RECITATION", "refused:RECITATION"),
        ("BLOCKLIST", "refused:BLOCKLIST"),
        ("PROHIBITED_CONTENT", "refused:PROHIBITED_CONTENT"),
        ("SPII", "refused:SPII"),
        ("blocked SAFETY", "refused:SAFETY"),
        ("blocked OTHER", "refused:OTHER"),
    ],
)
def test_ends_of_answers(server: GeminiServer, ending: str, finish_reason: str) -> None:
    server.ending = lambda question: ending
    answer = asked(settings(server), chat("one"))
    assert answer.finish_reason == finish_reason
    assert answer.response_text == ("" if finish_reason.startswith("refused") else "to one")
    assert answer.request_id.startswith("response-")
    assert answer.latency_s is not None
    assert answer.usage.prompt_tokens == 2


@pytest.mark.parametrize(
    "ending", ["OTHER", "MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "FINISH_NEWLY"]
)
def test_what_is_no_answer_is_an_error(server: GeminiServer, ending: str) -> None:
    server.ending = lambda question: ending
    error = refused(settings(server), chat())
    assert ending in str(error)
    assert (error.retryable, error.final) == (True, False)


# Trouble


@pytest.mark.parametrize(
    ("fault", "retryable", "overloaded"),
    [
        ("429", True, True),
        ("500", True, False),
        ("503", True, True),
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
        ("404", False, False),
    ],
)
def test_what_may_pass_is_told_from_what_may_not(
    server: GeminiServer, fault: str, retryable: bool, overloaded: bool
) -> None:
    server.faults = always("one", fault)
    timeout_s = 0.2 if fault == "slow" else 60
    error = refused(settings(server, request_timeout_s=timeout_s), chat("one"))
    assert (error.retryable, error.overloaded) == (retryable, overloaded)
    assert error.final == (fault == "400")
    assert server.key not in str(error)
    server.faults = always("nothing", "")
    assert asked(settings(server), chat("one")).response_text == "to one"


def test_the_time_that_the_server_asks_for_is_heeded(server: GeminiServer) -> None:
    server.retry_after = "7.5"
    server.faults = always("one", "429")
    assert refused(settings(server), chat("one")).wait_s == 7.5

    async def second(client: GeminiClient) -> None:
        with pytest.raises(RequestError):
            await client.generate(chat("one"), DECODING)
        await asyncio.wait_for(client.generate(chat("two"), DECODING), 0.2)

    with pytest.raises(TimeoutError):  # the next request waits too
        use(client_of(server), second)
    assert "two" not in [heard for _, heard in server.heard]


def test_only_an_invalid_request_is_refused_for_good(
    server: GeminiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = {"code": 400, "message": "User location is not supported for the API use."}
    body = {"error": {**said, "status": "FAILED_PRECONDITION"}}
    monkeypatch.setattr(server.RequestHandlerClass, "error_body", lambda *_: body)
    server.faults = always("one", "400")
    error = refused(settings(server), chat("one"))
    assert (error.retryable, error.final) == (False, False)


def test_a_wrong_key_is_told_and_never_shown(
    server: GeminiServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", "AIza-secret")
    error = refused(settings(server), chat())
    assert "API key not valid" in str(error)
    assert (error.retryable, error.final) == (False, False)
    body = {"error": {"message": "no AIza-secret!"}}
    monkeypatch.setattr(server.RequestHandlerClass, "error_body", lambda *_: body)
    assert "no [key]!" in str(refused(settings(server), chat()))
    with pytest.raises(UserError, match=r"Is the key in GEMINI_API_KEY or GOOGLE_API_KEY right\?"):
        use(client_of(server), lambda client: client.check())
    assert not [call for call in server.calls if "secret" in call]
    lines = lines_of(settings(server), [request(0)], tmp_path)
    assert "AIza-secret" not in lines.read_text(encoding="utf-8")
    assert "AIza-secret" not in str(client_of(server).identity())


def test_the_key_may_have_either_name(
    server: GeminiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", " ")
    with pytest.raises(UserError, match="GEMINI_API_KEY is not set"):
        make_client(settings(server))
    monkeypatch.setenv("GOOGLE_API_KEY", "two words")
    with pytest.raises(UserError, match="GOOGLE_API_KEY has spaces"):
        make_client(settings(server))
    monkeypatch.setenv("GOOGLE_API_KEY", server.key)
    assert asked(settings(server), chat("one")).response_text == "to one"


def test_the_check_finds_the_model_or_the_nearest(server: GeminiServer) -> None:
    found = use(client_of(server), lambda client: client.check())
    assert found == f"{server.url} has {MODEL} (Gemini 2.5 Flash)"
    with pytest.raises(UserError, match=r"no model 'gemini-2\.5-fast'.*it has: gemini-2\.5-flash,"):
        use(client_of(server, model_id="gemini-2.5-fast"), lambda client: client.check())
    with pytest.raises(UserError, match="the connection failed"):
        use(
            client_of(server, local_endpoint="http://127.0.0.1:9"),
            lambda client: client.check(),
        )
    assert not server.bills


@pytest.mark.parametrize("ending", ["", "/", "/v1beta", "/v1beta/"])
def test_the_address_may_end_as_users_write_it(server: GeminiServer, ending: str) -> None:
    changed = settings(server, local_endpoint=server.url + ending)
    assert asked(changed, chat("one")).response_text == "to one"


# Batches


def submitted(server: GeminiServer, requests: list[Any], folder: Path, name: str = "a") -> str:
    lines = lines_of(settings(server), requests, folder)
    wanted = intent(len(requests), name=name)
    return use(client_of(server), lambda client: client.submit_batch(wanted, lines))


def batch_of(server: GeminiServer, job: str) -> Any:
    return server.batches[job.removeprefix("batches/")]


def test_a_batch_holds_what_single_requests_would_hold(
    server: GeminiServer, tmp_path: Path
) -> None:
    requests = [request(0), request(1, decoding=SAMPLED)]
    job = submitted(server, requests, tmp_path)
    for each in requests:
        asked(settings(server), each.messages, each.decoding)
    rows = batch_of(server, job).rows
    assert [row.key for row in rows] == [key(0), key(1)]
    assert [row.request for row in rows] == server.bodies
    assert batch_of(server, job).display_name == intent(2).name


def test_a_batch_is_followed_and_read(server: GeminiServer, tmp_path: Path) -> None:
    def faults(what: str, tries: int) -> str:
        return {question(1): "500", question(2): "400"}.get(what, "")

    server.faults = faults
    server.rows_per_poll = 2
    job = submitted(server, [request(number) for number in range(4)], tmp_path)
    client = client_of(server)
    words = []
    for _ in range(3):
        status = use(client, lambda client: client.batch_status(job))
        words.append((status.state, status.word, status.done, status.failed, status.total))
    assert words == [
        ("running", "RUNNING", 0, 0, 4),
        ("running", "RUNNING", 1, 1, 4),
        ("ended", "SUCCEEDED", 2, 2, 4),
    ]
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


def test_what_was_answered_before_a_cancellation_is_kept(
    server: GeminiServer, tmp_path: Path
) -> None:
    server.rows_per_poll = 1
    job = submitted(server, [request(number) for number in range(3)], tmp_path)
    client = client_of(server)
    for _ in range(2):
        use(client, lambda client: client.batch_status(job))
    batch_of(server, job).cancelling = True
    status = use(client, lambda client: client.batch_status(job))
    assert (status.state, status.word, status.done, status.failed) == ("ended", "CANCELLED", 1, 2)
    results = use(client, lambda client: gathered(client, job))
    assert isinstance(results[key(0)], Completion)
    for number in (1, 2):
        error = results[key(number)]
        assert isinstance(error, RequestError)
        assert error.retryable


def test_an_expired_batch_has_ended_without_results(server: GeminiServer, tmp_path: Path) -> None:
    server.rows_per_poll = 1
    job = submitted(server, [request(number) for number in range(3)], tmp_path)
    server.ahead += 49 * 3600
    client = client_of(server)
    status = use(client, lambda client: client.batch_status(job))
    assert (status.state, status.word) == ("ended", "EXPIRED")
    assert "48 hours" in status.message
    assert use(client, lambda client: gathered(client, job)) == {}


def test_a_batch_that_never_ran_says_why(server: GeminiServer, tmp_path: Path) -> None:
    lines = lines_of(settings(server), [request(0)], tmp_path)
    lines.write_text("{no json\n", encoding="utf-8")
    client = client_of(server)
    job = use(client, lambda client: client.submit_batch(intent(1), lines))
    for _ in range(2):
        status = use(client, lambda client: client.batch_status(job))
    assert (status.state, status.word) == ("failed", "FAILED")
    assert status.message == "Failed to parse the input file at line 1."


def test_a_batch_without_its_output_has_not_ended_yet(server: GeminiServer, tmp_path: Path) -> None:
    job = submitted(server, [request(0)], tmp_path)
    client = client_of(server)
    server.shows_output = False
    for _ in range(3):
        status = use(client, lambda client: client.batch_status(job))
    assert (status.state, status.message) == ("running", "its output is not there yet")
    server.shows_output = True
    assert use(client, lambda client: client.batch_status(job)).state == "ended"


def test_a_state_that_is_not_known_is_no_end(server: GeminiServer, tmp_path: Path) -> None:
    job = submitted(server, [request(0)], tmp_path)
    server.held = batch_of(server, job).state = "PAUSED"
    status = use(client_of(server), lambda client: client.batch_status(job))
    assert (status.state, status.word) == ("running", "PAUSED")


def test_a_batch_is_gone_only_when_it_is_in_no_list(server: GeminiServer, tmp_path: Path) -> None:
    server.unseen = 5
    job = submitted(server, [request(0)], tmp_path)
    client = client_of(server)
    assert use(client, lambda client: client.batch_status(job)).state == "running"
    server.batches.clear()
    assert use(client, lambda client: client.batch_status(job)).state == "gone"
    with pytest.raises(RequestError, match="not known any more"):
        use(client, lambda client: gathered(client, job))


def results_with(
    server: GeminiServer, folder: Path, *faults: str
) -> list[tuple[str, Completion | RequestError]]:
    server.output_faults = faults
    job = submitted(server, [request(number) for number in range(4)], folder)
    client = client_of(server)
    for _ in range(2):
        use(client, lambda client: client.batch_status(job))

    async def pairs(client: GeminiClient) -> list[tuple[str, Completion | RequestError]]:
        with contextlib.suppress(RequestError):  # they come short: read once more
            return [pair async for pair in client.batch_results(job)]
        return [pair async for pair in client.batch_results(job)]

    return use(client, pairs)


def test_odd_results_are_handed_on_and_broken_ones_are_errors(
    server: GeminiServer, tmp_path: Path
) -> None:
    pairs = results_with(server, tmp_path, "twice", "unknown", "missing", "shapeless")
    assert len(pairs) == 5
    errors = [result for _, result in pairs if isinstance(result, RequestError)]
    assert len(errors) == 1
    assert errors[0].retryable
    assert "malformed" in str(errors[0])


def test_a_line_cut_short_is_an_error_of_its_request(server: GeminiServer, tmp_path: Path) -> None:
    pairs = results_with(server, tmp_path, "malformed")
    assert {each for each, _ in pairs} == {key(number) for number in range(4)}
    (error,) = [result for _, result in pairs if isinstance(result, RequestError)]
    assert error.retryable
    client = client_of(server)
    assert client._result(b'{"key') is None
    assert client._result(b"[]") is None
    _, neither = client._result(json.dumps({"key": key(0)}).encode()) or ("", None)
    assert isinstance(neither, RequestError)
    assert neither.retryable


def test_results_that_come_short_are_read_once_more_and_then_taken(
    server: GeminiServer, tmp_path: Path
) -> None:
    server.output_faults = ("malformed",)
    job = submitted(server, [request(number) for number in range(4)], tmp_path)
    client = client_of(server)
    for _ in range(2):
        use(client, lambda client: client.batch_status(job))
    with pytest.raises(RequestError, match="only 3 of 4 results came") as caught:
        use(client, lambda client: gathered(client, job))
    assert caught.value.retryable
    results = use(client, lambda client: gathered(client, job))
    assert sum(isinstance(result, Completion) for result in results.values()) == 3


@pytest.mark.parametrize(
    "fault", ["half", "after half", "after half JSON", "empty", "reset", "503", "slow"]
)
def test_results_that_break_off_can_be_read_again(
    server: GeminiServer, tmp_path: Path, fault: str
) -> None:
    job = submitted(server, [request(number) for number in range(50)], tmp_path)
    client = client_of(server)
    for _ in range(2):
        use(client, lambda client: client.batch_status(job))
    file = batch_of(server, job).output["responsesFile"]
    server.faults = always(f"GET /v1beta/{file}:download", fault)
    with pytest.raises(RequestError) as caught:
        use(
            client_of(server, request_timeout_s=0.2 if fault == "slow" else 60),
            lambda client: gathered(client, job),
        )
    assert caught.value.retryable
    server.faults = always("nothing", "")
    assert len(use(client, lambda client: gathered(client, job))) == 50


# Files


def test_a_file_is_used_once_it_is_ready(server: GeminiServer, tmp_path: Path) -> None:
    server.processing = 2
    assert submitted(server, [request(0)], tmp_path)
    server.processing = 9
    with pytest.raises(RequestError, match="does not get ready") as caught:
        submitted(server, [request(0)], tmp_path, name="b")
    assert caught.value.retryable
    assert len(server.batches) == 1


def test_an_upload_of_other_lines_is_not_taken(server: GeminiServer, tmp_path: Path) -> None:
    submitted(server, [request(0)], tmp_path)
    submitted(server, [request(0), request(1)], tmp_path)  # the same name
    assert len(server.files) == 2
    server.most_per_page = 1
    submitted(server, [request(0)], tmp_path)
    assert len(server.files) == 2


def test_the_upload_stays_at_the_address_of_the_config(
    server: GeminiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = server.RequestHandlerClass.begin_upload  # type: ignore[attr-defined]

    def elsewhere(handler: Any) -> Any:
        response = begin(handler)
        url = handler.upload_headers["X-Goog-Upload-URL"]
        handler.upload_headers["X-Goog-Upload-URL"] = url.replace(server.url, "http://127.0.0.1:9")
        return response

    monkeypatch.setattr(server.RequestHandlerClass, "begin_upload", elsewhere)
    assert submitted(server, [request(0)], tmp_path)


# Found again


AFTER_THE_EFFECT = ["after reset", "after half", "after half JSON", "after 500"]
BEFORE_THE_EFFECT = ["reset", "500", "429", "HTML"]


@pytest.mark.parametrize("fault", [*AFTER_THE_EFFECT, *BEFORE_THE_EFFECT])
def test_a_lost_reply_makes_no_second_batch(
    server: GeminiServer, tmp_path: Path, fault: str
) -> None:
    server.faults = lambda what, tries: fault if what == CREATE and not tries else ""
    lines = lines_of(settings(server), [request(0), request(1)], tmp_path)
    client, wanted = client_of(server), intent(2)

    async def twice(client: GeminiClient) -> str:
        assert await client.find_batch(wanted, []) is None
        with pytest.raises(RequestError) as caught:
            await client.submit_batch(wanted, lines)
        assert caught.value.retryable
        return await client.find_batch(wanted, []) or await client.submit_batch(wanted, lines)

    job = use(client, twice)
    assert [f"batches/{name}" for name in server.batches] == [job]
    assert server.called(CREATE) == (1 if fault in AFTER_THE_EFFECT else 2)
    assert len(server.files) == 1


@pytest.mark.parametrize("call", range(5))
@pytest.mark.parametrize("when", ["", "after "])
def test_a_process_cut_off_at_any_call_makes_no_second_batch(
    server: GeminiServer, tmp_path: Path, call: int, when: str
) -> None:
    lines = lines_of(settings(server), [request(0), request(1)], tmp_path)
    wanted = intent(2, datetime.now(UTC) - timedelta(seconds=1))

    def faults(what: str, tries: int) -> str:
        return f"{when}slow" if len(server.calls) == call + 1 else ""

    async def one_run(client: GeminiClient) -> str:
        return await client.find_batch(wanted, []) or await client.submit_batch(wanted, lines)

    server.faults = faults
    cut_off(server, client_of(server), one_run)
    assert len(server.calls) == call + 1
    server.faults = always("nothing", "")
    job = use(client_of(server), one_run)
    assert [f"batches/{name}" for name in server.batches] == [job]
    assert len(server.files) == 1


def test_a_killed_process_makes_no_second_batch(server: GeminiServer, tmp_path: Path) -> None:
    server.faults = lambda what, tries: "after slow" if what == CREATE and not tries else ""
    kill_and_submit_again(
        settings(server), {"GEMINI_API_KEY": server.key}, tmp_path, lambda: bool(server.batches)
    )
    assert len(server.batches) == 1


def test_a_batch_that_the_list_does_not_show_yet_is_waited_for(
    server: GeminiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosted, "LISTING_LAG_S", 0.2)
    server.unlisted = 1
    server.faults = lambda what, tries: "after reset" if what == CREATE else ""
    lines = lines_of(settings(server), [request(0)], tmp_path)
    wanted = intent(1)

    async def lost(client: GeminiClient) -> str | None:
        with pytest.raises(RequestError):
            await client.submit_batch(wanted, lines)
        return await client.find_batch(wanted, [])

    assert use(client_of(server), lost) == f"batches/{next(iter(server.batches))}"


def test_among_other_batches_the_right_one_is_found(server: GeminiServer, tmp_path: Path) -> None:
    server.most_per_page = 2
    written = datetime.now(UTC)

    def created(name: str, seconds: float) -> str:
        job = submitted(server, [request(0)], tmp_path, name)
        batch_of(server, job).created += seconds
        return job

    created("a", -7200)  # of a run whose results were deleted
    older = created("a", 0)
    ours = created("a", 1)
    claimed = created("a", 2)
    for _ in range(5):
        created("b", 3)
    client = client_of(server)
    found = use(client, lambda client: client.find_batch(intent(1, written), [claimed]))
    assert found == ours
    taken = [claimed, ours, older]
    assert use(client, lambda client: client.find_batch(intent(1, written), taken)) is None


# The whole way


def test_every_request_is_billed_once_whatever_goes_wrong(
    server: GeminiServer, tmp_path: Path
) -> None:
    requests = [request(number) for number in range(20)]

    def faults(what: str, tries: int) -> str:
        if what == CREATE:
            return ["after reset", "", "503", "after half"][tries % 4]
        if what == UPLOAD:
            return ["", "after reset", "500", "reset", ""][tries % 5]
        if what.endswith(":download"):
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
