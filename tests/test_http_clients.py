"""The clients of local servers: what they send, what they read, and what they make of trouble."""

from __future__ import annotations

import csv
import email.utils
import json
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ollama
import openai
import pytest
import requests
from conftest import REPOSITORY, Project, clean_environment, clone
from servers import FAULTS, LocalServer, OllamaServer, OpenAIServer, running

from workflow_scripts.config.schema import BackendSettings
from workflow_scripts.errors import UserError
from workflow_scripts.files import read_csv, read_jsonl, write_json, write_jsonl
from workflow_scripts.infer import http
from workflow_scripts.infer.client import InferenceClient, RequestError, make_client
from workflow_scripts.infer.executor import SyncExecutor
from workflow_scripts.infer.journal import Journal, request_digest
from workflow_scripts.infer.openai_compatible_client import KEY_VARIABLE
from workflow_scripts.records import Decoding, Message, Prediction, RawLine, Request

DECODING = Decoding(temperature=0.0, max_new_tokens=8, seed=0)


@dataclass
class Backend:
    """A running server and the settings of its client."""

    server: Any
    settings: dict[str, Any] = field(default_factory=dict)

    def client(self, **changes: Any) -> InferenceClient:
        return make_client(BackendSettings(**{**self.settings, **changes}))


def ollama_settings(server: LocalServer) -> dict[str, Any]:
    return {
        "backend": "local",
        "local_engine": "ollama",
        "local_endpoint": server.url,
        "local_model": "tiny:3m",
        "n_ctx": 64,
    }


def openai_settings(server: LocalServer) -> dict[str, Any]:
    return {
        "backend": "openai_compatible",
        "local_endpoint": server.url,
        "model_id": "tiny-3m",
    }


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)


@pytest.fixture
def of_ollama() -> Iterator[Backend]:
    with running(OllamaServer()) as server:
        yield Backend(server, ollama_settings(server))


@pytest.fixture
def of_openai() -> Iterator[Backend]:
    with running(OpenAIServer()) as server:
        yield Backend(server, openai_settings(server))


@pytest.fixture(params=["of_ollama", "of_openai"])
def backend(request: pytest.FixtureRequest) -> Backend:
    return request.getfixturevalue(request.param)


def chat(question: str = "Where is Oslo?") -> list[Message]:
    return [
        Message(role="system", content="Answer."),
        Message(role="user", content=question),
    ]


def request(number: int, **changes: object) -> Request:
    values: dict[str, object] = {
        "custom_id": f"d|{number}|control|0.0|0|closed_book",
        "dataset": "d",
        "item_id": str(number),
        "prompt": "control",
        "temp": "0.0",
        "sample_index": 0,
        "type": "closed_book",
        "messages": chat(f"Question {number}?"),
        "decoding": DECODING,
    }
    return Request.model_validate({**values, **changes})


def first_try(fault: str) -> Callable[[str, int], str]:
    """Every chat fails once in this way."""
    return lambda question, tries: "" if tries or question.startswith("/") else fault


def always(fault: str) -> Callable[[str, int], str]:
    return lambda question, tries: "" if question.startswith("/") else fault


def run(
    folder: Path,
    client: InferenceClient,
    requests: list[Request],
    *,
    retries: int = 2,
    share: float = 1.0,
    max_concurrent: int = 4,
) -> list[RawLine]:
    write_jsonl(folder / "input.jsonl", requests)
    executor = SyncExecutor(
        client, Journal(folder / "journal"), max_failure_share=share, max_retries=retries
    )
    executor.run_jsonl(folder / "input.jsonl", folder / "raw.jsonl", max_concurrent)
    return list(read_jsonl(folder / "raw.jsonl", RawLine))


# The test servers are faithful: the providers' own clients work with them


def test_ollamas_own_client_works_with_the_server(of_ollama: Backend) -> None:
    client = ollama.Client(host=of_ollama.server.url)
    assert [model.model for model in client.list().models] == ["tiny:3m", "other:latest"]
    messages = [{"role": "user", "content": "one two three"}]
    answer = client.chat("other", messages, options={"num_predict": 2})
    assert (answer.message.content, answer.done_reason) == ("to one", "length")
    assert (answer.prompt_eval_count, answer.eval_count) == (3, 2)
    parts = list(client.chat("tiny:3m", messages, stream=True))
    assert "".join(part.message.content or "" for part in parts) == "to one two three"
    assert [part.done for part in parts] == [False, True]
    with pytest.raises(ollama.ResponseError, match="model 'none' not found") as caught:
        client.chat("none", messages)
    assert caught.value.status_code == 404
    of_ollama.server.faults = always("503")
    with pytest.raises(ollama.ResponseError, match="service unavailable"):
        client.chat("tiny:3m", messages)


def test_openais_own_client_works_with_the_server(of_openai: Backend) -> None:
    server = of_openai.server
    server.key = "right"
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="right", max_retries=1)
    assert [model.id for model in client.models.list()] == ["tiny-3m", "other"]
    messages: Any = [{"role": "user", "content": "one two three"}]
    server.faults = first_try("429")  # the client tries again by itself
    answer = client.chat.completions.create(model="tiny-3m", messages=messages, max_tokens=2)
    assert answer.choices[0].message.content == "to one"
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.total_tokens == 5
    parts = client.chat.completions.create(model="tiny-3m", messages=messages, stream=True)
    assert "".join(part.choices[0].delta.content or "" for part in parts) == "to one two three"
    with pytest.raises(openai.NotFoundError, match="does not exist") as caught:
        client.chat.completions.create(model="none", messages=messages)
    assert caught.value.code == "model_not_found"
    with pytest.raises(openai.AuthenticationError, match="Incorrect API key provided: wrong"):
        openai.OpenAI(base_url=f"{server.url}/v1", api_key="wrong").models.list()
    server.faults = always("500")
    with pytest.raises(openai.InternalServerError):
        client.chat.completions.create(model="tiny-3m", messages=messages)


# What is sent


def test_ollama_is_asked_with_all_parameters_mapped(of_ollama: Backend) -> None:
    decoding = Decoding(
        temperature=0.7, max_new_tokens=9, top_p=0.9, top_k=20, stop=["\n"], seed=42
    )
    of_ollama.client().generate(chat(), decoding)
    assert of_ollama.server.bodies == [
        {
            "model": "tiny:3m",
            "messages": [message.model_dump() for message in chat()],
            "stream": False,
            "truncate": False,
            "shift": False,
            "options": {
                "temperature": 0.7,
                "num_predict": 9,
                "num_ctx": 64,
                "top_p": 0.9,
                "top_k": 20,
                "stop": ["\n"],
                "seed": 42,
                "min_p": 0.0,
                "repeat_penalty": 1.0,
                "presence_penalty": 0.0,
                "frequency_penalty": 0.0,
            },
        }
    ]


def test_parameters_that_are_absent_are_off_in_ollama(of_ollama: Backend) -> None:
    of_ollama.client().generate(chat(), DECODING)
    options = of_ollama.server.bodies[0]["options"]
    assert (options["top_p"], options["top_k"]) == (1.0, 0)
    assert "stop" not in options


def test_an_openai_compatible_server_is_asked_with_all_parameters(of_openai: Backend) -> None:
    decoding = Decoding(
        temperature=0.7, max_new_tokens=9, top_p=0.9, top_k=20, stop=["\n"], seed=42
    )
    client = of_openai.client()
    client.generate(chat(), decoding)
    client.generate(chat(), DECODING)
    common = {
        "model": "tiny-3m",
        "messages": [message.model_dump() for message in chat()],
    }
    assert of_openai.server.bodies == [
        {
            **common,
            "max_tokens": 9,
            "temperature": 0.7,
            "top_p": 0.9,
            "top_k": 20,
            "stop": ["\n"],
            "seed": 42,
        },
        {**common, "max_tokens": 8, "temperature": 0.0, "top_p": 1.0, "seed": 0},
    ]


@pytest.mark.parametrize("ending", ["", "/", "/v1", "/v1/"])
def test_the_address_may_end_as_users_write_it(of_openai: Backend, ending: str) -> None:
    client = of_openai.client(local_endpoint=of_openai.server.url + ending)
    assert client.generate(chat(), DECODING).response_text == "to Where is Oslo?"


def test_a_connection_is_kept_per_request_in_flight(backend: Backend, tmp_path: Path) -> None:
    client = backend.client()
    backend.server.latency_s = 0.005
    run(tmp_path, client, [request(number) for number in range(60)], max_concurrent=3)
    assert 1 < backend.server.most_at_once <= 3
    assert backend.server.connections <= 1 + 3  # the checks at the start, and three threads


# What is read


def test_an_answer_is_read_whole(backend: Backend) -> None:
    backend.server.latency_s = 0.05
    backend.server.answer = lambda question: "  Zürich 東京\n"
    answer = backend.client().generate(chat(), DECODING)
    assert answer.response_text == "  Zürich 東京\n"
    assert answer.finish_reason == "stop"
    assert answer.usage.model_dump() == {
        "prompt_tokens": 4,
        "completion_tokens": 2,
        "total_tokens": 6,
    }
    assert 0.05 <= answer.latency_s < 5
    assert answer.request_id


def test_what_the_server_does_not_count_stays_blank(backend: Backend) -> None:
    backend.server.counts_tokens = False
    usage = backend.client().generate(chat(), DECODING).usage
    assert set(usage.model_dump().values()) == {None}


def test_a_cut_answer_says_so(backend: Backend) -> None:
    backend.server.answer = lambda question: "a b c d e f g h i"
    answer = backend.client().generate(chat(), DECODING)
    assert (answer.response_text, answer.finish_reason) == ("a b c d e f g h", "length")


def test_an_empty_answer_is_an_answer(backend: Backend, tmp_path: Path) -> None:
    backend.server.answer = lambda question: ""
    (line,) = run(tmp_path, backend.client(), [request(1)])
    assert line.error is None
    assert (line.response_text, line.finish_reason) == ("", "stop")


@pytest.mark.parametrize(
    ("choice", "text", "finish"),
    [
        (
            {"finish_reason": "content_filter", "message": {"content": None}},
            "",
            "content_filter",
        ),
        ({"message": {"content": None, "refusal": "I can't."}}, "I can't.", "refusal"),
    ],
)
def test_filtered_and_refused_answers_keep_their_reason(
    of_openai: Backend, choice: dict[str, Any], text: str, finish: str
) -> None:
    of_openai.server.choice = choice
    answer = of_openai.client().generate(chat(), DECODING)
    assert (answer.response_text, answer.finish_reason) == (text, finish)


@pytest.mark.parametrize(
    "choice",
    [
        {"finish_reason": "abort"},
        {"finish_reason": None},
        {"message": {"role": "assistant"}},
        {"message": {"content": "\ud800"}},
    ],
)
def test_what_is_no_whole_answer_is_a_failure(of_openai: Backend, choice: dict[str, Any]) -> None:
    of_openai.server.choice = choice
    with pytest.raises(RequestError) as caught:
        of_openai.client().generate(chat(), DECODING)
    assert caught.value.retryable


def test_ollamas_other_endings_are_failures(of_ollama: Backend) -> None:
    of_ollama.server.finish = "load"
    with pytest.raises(RequestError, match=r"malformed: done_reason") as caught:
        of_ollama.client().generate(chat(), DECODING)
    assert caught.value.retryable


# Trouble

PASSING = [*FAULTS, "408", "409", "429", "500", "502", "503", "504"]
LASTING = ["400", "401", "403", "404", "413", "422"]


@pytest.mark.parametrize("fault", PASSING)
def test_passing_trouble_is_tried_again_and_answered_once(
    backend: Backend, tmp_path: Path, fault: str
) -> None:
    backend.server.faults = first_try(fault)
    client = backend.client(request_timeout_s=0.3)
    (line,) = run(tmp_path, client, [request(1)])
    assert (line.error, line.response_text) == (None, "to Question 1?")
    assert [outcome for _, outcome in backend.server.ledger] == [fault, "answered"]


@pytest.mark.parametrize("fault", PASSING)
def test_trouble_that_does_not_pass_is_an_error_line_and_no_answer(
    backend: Backend, tmp_path: Path, fault: str
) -> None:
    backend.server.faults = always(fault)
    client = backend.client(request_timeout_s=0.1)
    (line,) = run(tmp_path, client, [request(1)], retries=1)
    assert line.error is not None
    assert line.error.message.startswith(backend.server.url)
    assert (line.response_text, line.finish_reason) == (None, None)
    assert [outcome for _, outcome in backend.server.ledger] == [fault, fault]
    assert not list((tmp_path / "journal").glob("*.jsonl"))


@pytest.mark.parametrize("fault", LASTING)
def test_lasting_trouble_is_not_tried_again(backend: Backend, tmp_path: Path, fault: str) -> None:
    backend.server.faults = always(fault)
    (line,) = run(tmp_path, backend.client(), [request(1)], retries=5)
    assert line.error is not None
    assert line.error.message == f"{backend.server.url}: status {fault}: refused"
    assert [outcome for _, outcome in backend.server.ledger] == [fault]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("slow", "no reply within 0.1 s"),
        ("reset", r"the connection failed \(.*reset"),
        ("half JSON", "the reply is not whole JSON"),
        ("wrong types", r"the reply is malformed: \S+: Input should be a valid string"),
        ("error in 200", "something broke half-way"),
        ("HTML", "status 502: Bad Gateway"),
    ],
)
def test_the_message_says_what_went_wrong(backend: Backend, fault: str, said: str) -> None:
    backend.server.faults = always(fault)
    client = backend.client(request_timeout_s=0.1)
    with pytest.raises(RequestError, match=said):
        client.generate(chat(), DECODING)


def test_a_server_that_vanishes_is_a_passing_failure(backend: Backend) -> None:
    client = backend.client()
    backend.server.shutdown()
    backend.server.server_close()
    with pytest.raises(RequestError, match="Connection refused") as caught:
        client.generate(chat(), DECODING)
    assert caught.value.retryable


def test_a_prompt_that_does_not_fit_fails_instead_of_losing_its_start(of_ollama: Backend) -> None:
    with pytest.raises(RequestError, match="exceeds the context length") as caught:
        of_ollama.client().generate(chat("word " * 65), DECODING)
    assert not caught.value.retryable


@pytest.mark.parametrize("fault", ["429", "503"])
def test_a_server_that_asks_to_wait_is_left_alone(
    backend: Backend, tmp_path: Path, fault: str
) -> None:
    backend.server.faults = first_try(fault)
    backend.server.retry_after = "1"
    run(tmp_path, backend.client(), [request(1)])
    (first, _), (second, _) = backend.server.heard
    assert second - first >= 1


@pytest.mark.parametrize(
    ("headers", "least", "most"),
    [
        ({"Retry-After": "7"}, 7, 7),
        ({"Retry-After": "0.5"}, 0.5, 0.5),
        ({"retry-after-ms": "250", "Retry-After": "7"}, 0.25, 0.25),
        ({"Retry-After": email.utils.formatdate(time.time() + 30, usegmt=True)}, 25, 30),
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
    found = requests.structures.CaseInsensitiveDict(headers)
    assert least <= http._retry_after(found) <= most


# The start


def test_an_unreachable_server_is_told_with_what_to_do() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    nowhere = Backend(None, {**ollama_settings(OllamaServer()), "local_endpoint": url})
    with pytest.raises(UserError, match=r"refused.*`ollama serve`.*ASSAY_LOCAL_ENDPOINT") as told:
        nowhere.client()
    assert url in str(told.value)
    with pytest.raises(UserError, match=r"Is the server up.*local_endpoint"):
        nowhere.client(backend="openai_compatible", model_id="m")


def test_a_missing_ollama_model_is_told_with_the_nearest(of_ollama: Backend) -> None:
    message = r"installed there: tiny:3m.*Run `ollama pull tiny:7m`"
    with pytest.raises(UserError, match=message):
        of_ollama.client(local_model="tiny:7m")
    of_ollama.server.models = {}
    with pytest.raises(UserError, match="none at all"):
        of_ollama.client()


def test_a_tag_without_a_version_means_the_latest(of_ollama: Backend) -> None:
    assert of_ollama.client(local_model="other").identity()["model_digest"] == "b" * 64


def test_a_model_that_is_not_served_is_told_with_the_nearest(of_openai: Backend) -> None:
    with pytest.raises(UserError, match=r"does not serve the model 'tiny-7m'.*serves: tiny-3m"):
        of_openai.client(model_id="tiny-7m")


def test_another_kind_of_server_is_told(of_ollama: Backend, of_openai: Backend) -> None:
    with pytest.raises(UserError, match=r"status 404: Not Found \(GET /api/version\)"):
        of_ollama.client(local_endpoint=of_openai.server.url)
    with pytest.raises(UserError, match=r"status 404: Not Found \(GET /v1/models\)"):
        of_openai.client(local_endpoint=of_ollama.server.url)


@pytest.mark.parametrize("fault", ["503", "reset", "half JSON"])
def test_the_check_at_the_start_is_patient(backend: Backend, fault: str) -> None:
    backend.server.faults = lambda question, tries: "" if tries else fault
    assert backend.client().identity()
    backend.server.faults = lambda question, tries: fault
    with pytest.raises(UserError):
        backend.client()


def test_a_key_is_sent_and_never_shown(
    of_openai: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog
) -> None:
    server = of_openai.server
    server.key = "sk-right"
    with pytest.raises(UserError, match=rf"status 401: You need an API key.*{KEY_VARIABLE}"):
        of_openai.client()
    monkeypatch.setenv(KEY_VARIABLE, "sk-right")
    client = of_openai.client()
    assert client.generate(chat(), DECODING).response_text
    server.key = "sk-other"  # servers like to repeat the wrong key
    with caplog.at_level("DEBUG"):
        (line,) = run(tmp_path, client, [request(1)])
    assert line.error is not None
    assert "Incorrect API key provided: [key]" in line.error.message
    with pytest.raises(UserError) as told:
        of_openai.client()
    for text in (caplog.text, str(told.value), (tmp_path / "raw.jsonl").read_text("utf-8")):
        assert "sk-right" not in text


def test_a_redirect_is_told_and_not_followed(backend: Backend, monkeypatch) -> None:
    def moved(handler: Any) -> None:
        handler.send_response(301)
        handler.send_header("Location", "http://elsewhere.invalid/")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    monkeypatch.setattr(backend.server.RequestHandlerClass, "do_GET", moved)
    with pytest.raises(UserError, match=r"moved to http://elsewhere\.invalid/"):
        backend.client()


# Identity


def test_only_what_decides_the_answer_is_in_the_identity(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = request_digest(backend.client().identity(), request(1))
    monkeypatch.setenv(KEY_VARIABLE, "k")
    same = backend.client(
        request_timeout_s=3,
        max_concurrent_requests=7,
        local_endpoint=backend.server.url.replace("127.0.0.1", "localhost"),
    )
    assert request_digest(same.identity(), request(1)) == before


def test_a_model_pulled_again_is_another_model(of_ollama: Backend, tmp_path: Path) -> None:
    run(tmp_path, of_ollama.client(), [request(1)])
    run(tmp_path, of_ollama.client(), [request(1)])
    assert of_ollama.server.outcomes("answered").total() == 1
    of_ollama.server.models["tiny:3m"] = "c" * 64
    run(tmp_path, of_ollama.client(), [request(1)])
    assert of_ollama.server.outcomes("answered").total() == 2


@pytest.mark.parametrize(
    "told", [{"root": "org/tiny-3m-v2"}, {"root": "org/tiny-3m", "meta": {"size": 5}}]
)
def test_other_weights_behind_a_name_are_another_model(
    of_openai: Backend, told: dict[str, Any]
) -> None:
    before = of_openai.client().identity()
    of_openai.server.models["tiny-3m"] = told
    assert of_openai.client().identity() != before


def test_another_model_or_context_is_another_identity(
    of_ollama: Backend, of_openai: Backend
) -> None:
    of_ollama.server.models["tiny:copy"] = of_ollama.server.models["tiny:3m"]
    identities = [
        of_ollama.client().identity(),
        of_ollama.client(local_model="tiny:copy").identity(),
        of_ollama.client(n_ctx=65).identity(),
        of_openai.client().identity(),
        of_openai.client(model_id="other").identity(),
    ]
    assert len({request_digest(each, request(1)) for each in identities}) == len(identities)


# Never pay twice


def test_each_request_is_billed_once_whatever_happens(backend: Backend, tmp_path: Path) -> None:
    """Random faults, ``kill -9`` in the middle, then the same command again."""
    server = backend.server
    number = 120
    chance = random.Random(20261121)
    faulty = {
        f"Question {each}?": chance.sample(
            ["429", "500", "reset", "half", "half JSON", "wrong types", "error in 200"], 2
        )
        for each in range(0, number, 4)
    }
    server.faults = lambda question, tries: dict(enumerate(faulty.get(question, []))).get(tries, "")
    server.hold_after = number // 2
    server.latency_s = 0.002
    requests = [request(each) for each in range(number)]
    write_jsonl(tmp_path / "input.jsonl", requests)
    settings = BackendSettings(**backend.settings, max_concurrent_requests=8)
    write_json(
        tmp_path / "settings.json",
        {"backend": settings.model_dump(), "max_failure_share": 0.05, "max_retries": 3},
    )

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "workflow_scripts.infer.part"),
                *("--requests", str(tmp_path / "input.jsonl")),
                *("--settings", str(tmp_path / "settings.json")),
                *("--journal", str(tmp_path / "journal")),
                *("--output", str(tmp_path / "raw.jsonl")),
            ],
            cwd=REPOSITORY, env=clean_environment(), stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def journaled() -> int:
        files = (tmp_path / "journal").glob("*.jsonl")
        return sum(path.read_bytes().count(b"\n") for path in files)

    process = start()
    deadline = time.monotonic() + 30
    while journaled() < number // 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(getattr(signal, "SIGKILL", signal.SIGTERM))
    assert process.wait() != 0
    while server._at_once:  # the server notices that its client is gone
        time.sleep(0.01)
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


def test_a_trial_that_is_stopped_keeps_what_was_in_flight(backend: Backend, tmp_path: Path) -> None:
    server = backend.server
    server.latency_s = 0.05
    server.faults = lambda question, tries: "400" if question == "Question 0?" else ""
    with pytest.raises(UserError, match="status 400: refused"):
        run(tmp_path, backend.client(), [request(each) for each in range(40)], share=0.0)
    answered = server.outcomes("answered")
    assert 0 < answered.total() < 10
    server.faults = lambda question, tries: ""
    run(tmp_path, backend.client(), [request(each) for each in range(40)], share=0.0)
    assert server.outcomes("answered") == Counter(f"Question {each}?" for each in range(40))


# A real server


@pytest.fixture(scope="module")
def real_server(
    demo_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Any]]:
    """``llama_cpp.server`` with the embedded model."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("server") / "log.txt"
    with log.open("w") as stream:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "llama_cpp.server", "--model", str(demo_model)),
                *("--model_alias", "assay-demo", "--port", str(port), "--n_ctx", "1024"),
                *("--n_threads", "1", "--n_batch", "64"),
            ],
            stdout=stream, stderr=stream,
        )  # fmt: skip
        url = f"http://127.0.0.1:{port}"
        try:
            deadline = time.monotonic() + 60
            while process.poll() is None and time.monotonic() < deadline:
                try:
                    requests.get(f"{url}/v1/models", timeout=1)
                    break
                except requests.RequestException:
                    time.sleep(0.1)
            assert process.poll() is None, log.read_text()
            yield {
                "backend": "openai_compatible",
                "local_endpoint": url,
                "model_id": "assay-demo",
            }
        finally:
            process.kill()
            process.wait()


def test_a_real_server_answers_as_the_model_in_the_process_does(
    real_server: dict[str, Any],
    demo_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)  # model checksums are remembered below results/
    served = make_client(BackendSettings(**real_server))
    inside = make_client(
        BackendSettings(
            backend="local",
            local_engine="llama_cpp",
            local_model=str(demo_model),
            n_ctx=1024,
            n_threads=1,
        )
    )
    demo = REPOSITORY / "resources/demo"
    decoding = Decoding(temperature=0.0, max_new_tokens=16, seed=0)
    asked = [
        chat(question_of(json.loads(line), task))
        for task in ("open_book", "closed_book")
        for line in (demo / f"{task}.jsonl").read_text(encoding="utf-8").splitlines()[:15]
    ]
    answers = [
        [
            (answer.response_text, answer.finish_reason, answer.usage)
            for answer in (client.generate(messages, decoding) for messages in asked)
        ]
        for client in (inside, served)
    ]
    assert len(answers[0]) == 30
    assert len({text for text, _, _ in answers[0]}) > 5
    assert answers[0] == answers[1]


def question_of(item: dict[str, Any], task: str) -> str:
    template = (REPOSITORY / f"prompts/tasks/{task}.txt").read_text(encoding="utf-8").strip()
    return template.replace("{context}", item.get("context") or "").replace(
        "{question}", item["question"]
    )


def test_what_a_real_server_refuses_is_told(real_server: dict[str, Any]) -> None:
    client = make_client(BackendSettings(**real_server))
    with pytest.raises(RequestError, match=r"status 400: .*maximum context length") as caught:
        client.generate(chat("word " * 2000), DECODING)
    assert not caught.value.retryable
    with pytest.raises(UserError, match=r"does not serve.*serves: assay-demo"):
        make_client(BackendSettings(**{**real_server, "model_id": "assay"}))


# The whole workflow

HERE, OLLAMA, SERVER = "here/assay-demo", "ollama/tiny-3m", "server/tiny-3m"


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Project, Any, Any]]:
    """One experiment on three backends, run by Snakemake on six items a data set."""
    project = clone(tmp_path_factory.mktemp("backends"))
    with running(OllamaServer()) as of_ollama, running(OpenAIServer()) as of_openai:
        backends = {
            "here": {},
            "ollama": ollama_settings(of_ollama) | {"n_ctx": 1024},
            "server": openai_settings(of_openai),
        }
        project.snakemake(
            "--cores", "2",
            "--config", "limit_items=6", "parts_per_dataset=1", "default_prompt_set=abstention",
            f"backends={json.dumps(backends)}",
        )  # fmt: skip
        yield project, of_ollama, of_openai


def predictions(project: Project, backend: str) -> list[Prediction]:
    path = project.root / f"results/demo/{backend}/default/abstention/predictions.csv"
    return list(read_csv(path, Prediction))


@pytest.mark.parametrize("backend", [OLLAMA, SERVER])
def test_the_same_experiment_runs_on_a_server(
    experiment: tuple[Project, Any, Any], backend: str
) -> None:
    project, of_ollama, of_openai = experiment
    reference, found = predictions(project, HERE), predictions(project, backend)
    assert len(found) == 2 * 2 * 6  # data sets, arms, items
    assert {row.custom_id for row in found} == {row.custom_id for row in reference}
    assert {row.finish_reason for row in found} == {"stop", "length"}
    assert all(row.total_tokens for row in found)
    server = of_ollama if backend == OLLAMA else of_openai
    assert server.outcomes("answered").total() == len(found)
    folder = project.root / f"results/demo/{backend}/default/abstention"
    assert (folder / "report.html").stat().st_size > 0
    with (folder / "predictions.csv").open(encoding="utf-8", newline="") as stream:
        assert next(csv.reader(stream)) == list(Prediction.model_fields)
