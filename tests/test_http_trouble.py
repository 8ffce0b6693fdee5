"""The clients of local servers: what they make of trouble, and that nothing is paid twice."""

from __future__ import annotations

import email.utils
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import multidict
import pytest
from answering import journaled, request, until
from conftest import REPOSITORY, clean_environment
from local_backends import DECODING, Backend, always, chat, first_try, run
from servers.base import FAULTS

from workflow_scripts.answers import executor
from workflow_scripts.answers.failures import failed_attempts
from workflow_scripts.backends import http
from workflow_scripts.backends.client import InferenceClient, RequestError
from workflow_scripts.backends.ollama_client import OllamaClient
from workflow_scripts.backends.settings import BackendSettings
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import read_jsonl, write_json, write_jsonl
from workflow_scripts.core.records import RawLine

PASSING = [
    *(each for each in FAULTS if each != "wrong types"),
    "408",
    "409",
    "429",
    "500",
    "502",
    "503",
    "504",
]
LASTING = ["400", "401", "403", "404", "413", "422"]
OUTAGES = {"reset", "502", "HTML"}


@pytest.mark.parametrize("fault", PASSING)
def test_passing_trouble_is_tried_again_and_answered_once(
    backend: Backend, tmp_path: Path, fault: str
) -> None:
    backend.server.faults = first_try(fault)
    client = backend.client(request_timeout_s=0.5 if fault == "slow" else 60)
    (line,) = run(tmp_path, client, [request(1)])
    assert (line.error, line.response_text) == (None, "to Question 1?")
    assert [outcome for _, outcome in backend.server.ledger] == [fault, "answered"]


@pytest.mark.parametrize("fault", PASSING)
def test_trouble_that_does_not_pass_is_an_error_line_and_no_answer(
    backend: Backend, tmp_path: Path, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor, "PATIENCE_S", 0.0)
    backend.server.faults = always(fault)
    client = backend.client(request_timeout_s=0.2 if fault == "slow" else 60)
    (line,) = run(tmp_path, client, [request(1)], retries=1)
    assert line.error is not None
    assert line.error.message.startswith(backend.server.url)
    assert (line.response_text, line.finish_reason) == (None, None)
    assert [outcome for _, outcome in backend.server.ledger] == [fault] * (
        5 if fault in OUTAGES else 2  # the first three outages count for nothing
    )
    assert not list((tmp_path / "journal").rglob("*.jsonl"))
    assert failed_attempts(tmp_path / "raw.jsonl") == 1


@pytest.mark.parametrize("fault", LASTING)
def test_lasting_trouble_is_not_tried_again(backend: Backend, tmp_path: Path, fault: str) -> None:
    backend.server.faults = always(fault)
    (line,) = run(tmp_path, backend.client(), [request(1)], retries=5)
    assert line.error is not None
    assert line.error.message == f"{backend.server.url}: status {fault}: refused"
    assert [outcome for _, outcome in backend.server.ledger] == [fault]
    assert failed_attempts(tmp_path / "raw.jsonl") == 1


@pytest.mark.parametrize(
    ("spoiled", "said"),
    [
        ({"options": {"seed": "x"}}, 'option "seed" must be of type integer'),
        ({"format": "xml"}, 'invalid format: "xml"; expected "json" or a valid JSON Schema object'),
    ],
)
def test_lasting_trouble_that_ollama_reports_as_its_own_is_not_tried_again(
    of_ollama: Backend,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    spoiled: dict[str, Any],
    said: str,
) -> None:
    body = OllamaClient._body
    monkeypatch.setattr(OllamaClient, "_body", lambda *given: {**body(*given), **spoiled})
    (line,) = run(tmp_path, of_ollama.client(), [request(1)], retries=5)
    assert line.error is not None
    assert line.error.message == f"{of_ollama.server.url}: status 500: {said}"
    assert len(of_ollama.server.bodies) == 1


@pytest.mark.parametrize("fault", LASTING)
def test_what_a_server_refused_is_sent_again_once_a_run(
    backend: Backend, tmp_path: Path, fault: str
) -> None:
    """Restarted with a longer context, say, or with the model enabled."""
    requests = [request(1), request(2)]
    backend.server.faults = lambda question, tries: fault if question == "Question 1?" else ""
    for attempts in (1, 2):
        first, second = run(tmp_path, backend.client(), requests, retries=5)
        assert (first.error is not None, second.response_text) == (True, "to Question 2?")
        assert backend.server.outcomes(fault).total() == attempts
        assert failed_attempts(tmp_path / "raw.jsonl") == attempts
    backend.server.faults = lambda question, tries: ""
    first, second = run(tmp_path, backend.client(), requests, retries=5)
    assert first.response_text == "to Question 1?"
    assert backend.server.outcomes("answered") == Counter(["Question 1?", "Question 2?"])
    assert failed_attempts(tmp_path / "raw.jsonl") == 2


def test_being_pushed_back_uses_up_no_try(backend: Backend, tmp_path: Path) -> None:
    backend.server.faults = lambda question, tries: (
        "" if question.startswith("/") else dict(enumerate(["429"] * 5 + ["500"])).get(tries, "")
    )
    backend.server.retry_after = "0"
    (line,) = run(tmp_path, backend.client(), [request(1)], retries=1)
    assert line.error is None
    assert [outcome for _, outcome in backend.server.ledger] == ["429"] * 5 + ["500", "answered"]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("slow", "no reply within 0.1 s"),
        ("reset", r"the connection failed \(.*reset"),
        ("half JSON", "the reply is not whole JSON"),
        ("wrong types", r"the reply is malformed: \S+: Input should be "),
        ("error in 200", "something broke half-way"),
        ("HTML", "status 502: Bad Gateway"),
    ],
)
def test_the_message_says_what_went_wrong(backend: Backend, fault: str, said: str) -> None:
    backend.server.faults = always(fault)
    with pytest.raises(RequestError, match=said):
        backend.ask(request_timeout_s=0.1)


def test_trouble_with_tls_lasts(of_openai: Backend) -> None:
    spoken_plainly = of_openai.server.url.replace("http:", "https:")
    with pytest.raises(UserError, match=r"the connection failed \(TLS: ") as caught:
        of_openai.check(local_endpoint=spoken_plainly)
    assert isinstance(caught.value.__cause__, RequestError)
    assert not caught.value.__cause__.retryable


def test_a_server_that_vanishes_is_a_passing_failure(backend: Backend) -> None:
    async def after_the_end(client: InferenceClient) -> None:
        backend.server.shutdown()
        backend.server.server_close()
        await client.close()  # else the connection at hand would still be answered
        await client.generate(chat("Where is Oslo?"), DECODING)

    with pytest.raises(RequestError, match=r"connection failed \(refused\)") as caught:
        backend.use(after_the_end)
    assert caught.value.retryable


def test_a_prompt_that_does_not_fit_fails_instead_of_losing_its_start(of_ollama: Backend) -> None:
    with pytest.raises(RequestError, match="exceeds the context length") as caught:
        of_ollama.ask("word " * 65)
    assert not caught.value.retryable


def test_a_used_up_quota_of_a_day_is_not_waited_for(backend: Backend, tmp_path: Path) -> None:
    backend.server.faults = lambda question, tries: "day" if question == "Question 1?" else ""
    with pytest.raises(UserError, match=r"requests per day.*The quota of a day is used up"):
        run(tmp_path, backend.client(), [request(0), request(1), request(2)], max_concurrent=1)
    assert [outcome for _, outcome in backend.server.ledger] == ["answered", "day"]


@pytest.mark.parametrize(
    ("said", "is_daily"),
    [
        ("Rate limit reached for x on tokens per day (TPD): Limit 100000, Used 99984", True),
        ("Rate limit exceeded: free-models-per-day. Add 10 credits", True),
        ("You exceeded your daily limit", True),
        ("Rate limit reached for x on requests per min (RPM): Limit 3, Used 3", False),
        ("Too many requests today? Try again in a moment", False),
    ],
)
def test_which_messages_are_about_a_day(said: str, *, is_daily: bool) -> None:
    assert bool(http.A_DAY.search(said)) is is_daily


@pytest.mark.parametrize("fault", ["429", "503"])
def test_a_server_that_asks_to_wait_is_left_alone(
    backend: Backend, tmp_path: Path, fault: str
) -> None:
    backend.server.faults = lambda question, tries: (
        fault if question == "Question 1?" and not tries else ""
    )
    backend.server.retry_after = "1"
    run(tmp_path, backend.client(), [request(each) for each in range(1, 4)], max_concurrent=1)
    times = [heard for heard, _ in backend.server.heard]
    assert [question[-2] for _, question in backend.server.heard] == ["1", "1", "2", "3"]
    assert times[1] - times[0] >= 1


def test_no_request_of_a_part_is_sent_while_the_server_wants_quiet(
    backend: Backend, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    backend.server.faults = lambda question, tries: (
        "429" if question == "Question 0?" and not tries else ""
    )
    backend.server.retry_after = "0.5"
    # Before the client has read of the wait, an answer would make room for a further request.
    backend.server.begin = lambda: lambda: "the server pushes back" not in caplog.text
    with caplog.at_level("INFO"):
        run(tmp_path, backend.client(), [request(each) for each in range(40)], max_concurrent=2)
    first = next(heard for heard, question in backend.server.heard if question == "Question 0?")
    early = [question for heard, question in backend.server.heard if heard - first < 0.4]
    assert set(early) <= {"Question 0?", "Question 1?"}  # those that were under way


@pytest.mark.parametrize(
    ("headers", "least", "most"),
    [
        ({"Retry-After": "7"}, 7, 7),
        ({"Retry-After": "0.5"}, 0.5, 0.5),
        ({"retry-after-ms": "250", "Retry-After": "7"}, 0.25, 0.25),
        ({"Retry-After": "Sat, 01 Jan 2000 00:00:00 GMT"}, 0, 0),
        ({"Retry-After": "-3"}, 0, 0),
        ({"Retry-After": "inf"}, 0, 0),
        ({"Retry-After": "soon"}, 0, 0),
        ({}, 0, 0),
    ],
)
def test_retry_after_is_read_in_all_its_forms(
    headers: dict[str, str], least: float, most: float
) -> None:
    assert least <= http._retry_after(multidict.CIMultiDict(headers)) <= most


def test_a_date_to_retry_after_is_the_time_until_then() -> None:
    date = email.utils.formatdate(time.time() + 3600, usegmt=True)
    assert 3000 <= http._retry_after(multidict.CIMultiDict({"Retry-After": date})) <= 3600


@pytest.mark.parametrize(
    ("left", "reset", "seconds"),
    [
        ("0", "1s", 1),
        ("0", "6m0s", 360),
        ("0", "12ms", 0.012),
        ("0", "1h0m2.5s", 3602.5),
        ("0", "soon", 0),
        ("1", "1s", 0),
        ("0", "27.5", 27.5),
    ],
)
@pytest.mark.parametrize("what", ["requests", "tokens", "tokens-minute"])
def test_used_up_rate_limits_are_read(what: str, left: str, reset: str, seconds: float) -> None:
    headers = {f"X-RateLimit-Remaining-{what}": left, f"X-RateLimit-Reset-{what}": reset}
    assert http._until_reset(multidict.CIMultiDict(headers)) == pytest.approx(seconds)


def test_a_used_up_rate_limit_is_waited_for(
    of_openai: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = of_openai.server.RequestHandlerClass
    plain = handler.end_headers

    def with_limits(self: Any) -> None:
        self.send_header("x-ratelimit-remaining-requests", "0")
        self.send_header("x-ratelimit-reset-requests", "300ms")
        plain(self)

    monkeypatch.setattr(handler, "end_headers", with_limits)
    run(tmp_path, of_openai.client(), [request(1), request(2)], max_concurrent=1)
    (first, _), (second, _) = of_openai.server.heard
    assert second - first >= 0.3


# Never pay twice


def test_each_request_is_billed_once_whatever_happens(backend: Backend, tmp_path: Path) -> None:
    """Random faults, ``kill -9`` in the middle, then the same command again."""
    server = backend.server
    number = 120
    chance = random.Random(20261121)
    faulty = {
        f"Question {each}?": chance.sample(
            ["429", "500", "reset", "half", "half JSON", "empty", "error in 200"], 2
        )
        for each in range(0, number, 4)
    }
    server.faults = lambda question, tries: dict(enumerate(faulty.get(question, []))).get(tries, "")
    server.hold_after = number // 2
    server.latency_s = 0.002
    write_jsonl(tmp_path / "input.jsonl", [request(each) for each in range(number)])
    settings = BackendSettings(**backend.settings, max_concurrent_requests=8)
    write_json(
        tmp_path / "settings.json",
        {"backend": settings.model_dump(mode="json"), "max_retries": 3},
    )

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "workflow_scripts.answers.send"),
                *("--requests", str(tmp_path / "input.jsonl")),
                *("--settings", str(tmp_path / "settings.json")),
                *("--journal", str(tmp_path / "journal")),
                *("--output", str(tmp_path / "raw.jsonl")),
            ],
            cwd=REPOSITORY, env=clean_environment(), stderr=subprocess.DEVNULL,
        )  # fmt: skip

    process = start()
    until(lambda: len(journaled(tmp_path / "journal")) >= number // 2)
    until(lambda: server._begun > number // 2)  # one is in flight, and waits
    process.send_signal(getattr(signal, "SIGKILL", signal.SIGTERM))
    assert process.wait() != 0
    until(lambda: not server._at_once)  # the server notices that its client is gone
    assert server.outcomes("abandoned").total() > 0
    server.hold_after = None
    assert start().wait(timeout=60) == 0

    expected = Counter({f"Question {each}?": 1 for each in range(number)})
    assert server.outcomes("answered") == expected
    lines = list(read_jsonl(tmp_path / "raw.jsonl", RawLine))
    assert [line.response_text for line in lines] == [
        f"to Question {each}?" for each in range(number)
    ]
    assert sum(outcome not in ("answered", "abandoned") for _, outcome in server.ledger) >= len(
        faulty
    )


def test_a_part_that_is_stopped_keeps_what_was_in_flight(
    backend: Backend, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = backend.server
    bad = {f"Question {each}?" for each in range(20)}
    server.faults = lambda question, tries: "403" if question in bad else ""
    # An answer between the failures would begin their count again: it comes once all are noted.
    server.begin = lambda: lambda: caplog.text.count("status 403: refused") < len(bad)
    requests = [request(each) for each in range(60)]
    with pytest.raises(UserError, match=r"20 requests in a row failed.*status 403: refused"):
        run(tmp_path, backend.client(), requests, max_concurrent=25)
    answered = server.outcomes("answered").total()
    assert 5 <= answered <= 25
    server.faults = lambda question, tries: ""
    run(tmp_path, backend.client(), requests, max_concurrent=25)
    assert server.outcomes("answered") == Counter(f"Question {each}?" for each in range(60))


# As many at once as the server bears


@pytest.mark.parametrize("fault", ["429", "503"])
def test_a_server_that_pushes_back_is_sent_fewer_at_once(
    backend: Backend, tmp_path: Path, fault: str, caplog
) -> None:
    server = backend.server
    server.retry_after = "0.2"
    server.faults = lambda question, tries: (
        fault if server._at_once > 6 and question.startswith("Question") else ""
    )
    server.begin = lambda: lambda: not server.outcomes(fault)  # the first wait for one too many
    with caplog.at_level("INFO"):
        lines = run(
            tmp_path, backend.client(), [request(each) for each in range(300)],
            max_concurrent=http.NO_LIMIT, adaptive=True,
        )  # fmt: skip
    assert not [line for line in lines if line.error]
    assert server.outcomes("answered").total() == 300
    assert server.outcomes(fault).total() > 0
    assert "the server pushes back:" in caplog.text
