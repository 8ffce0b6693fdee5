"""The clients of local servers: what they send, what they read, and what they make of trouble."""

from __future__ import annotations

import asyncio
import csv
import email.utils
import json
import random
import re
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import multidict
import ollama
import openai
import pytest
import requests
import tenacity
from conftest import REPOSITORY, Project, clean_environment
from servers.base import FAULTS, ProviderServer, running
from servers.ollama import BARE_TEMPLATE, OllamaServer
from servers.openai_compatible import CompatibleServer
from test_infer import request

from workflow_scripts.config.schema import BackendSettings
from workflow_scripts.errors import UserError
from workflow_scripts.files import read_csv, read_jsonl, write_json, write_jsonl
from workflow_scripts.infer import executor, http
from workflow_scripts.infer.client import InferenceClient, RequestError, make_client
from workflow_scripts.infer.executor import SyncExecutor
from workflow_scripts.infer.failures import failed_attempts
from workflow_scripts.infer.journal import request_digest
from workflow_scripts.infer.openai_compatible_client import KEY_VARIABLE
from workflow_scripts.records import Completion, Decoding, Message, Prediction, RawLine, Request

Made = TypeVar("Made")

DECODING = Decoding(temperature=0.0, max_new_tokens=8, seed=0)
SCHEMA = {"type": "object", "properties": {"answer": {"type": "string"}}}


@dataclass
class Backend:
    """A running server and the settings of its client."""

    server: Any
    settings: dict[str, Any]

    def client(self, **changes: Any) -> InferenceClient:
        return make_client(BackendSettings(**{**self.settings, **changes}))

    def use(
        self, work: Callable[[InferenceClient], Coroutine[Any, Any, Made]], **changes: Any
    ) -> Made:
        """What comes of some work with a new client, opened and closed again."""

        async def whole() -> Made:
            client = self.client(**changes)
            try:
                await client.open()
                return await work(client)
            finally:
                await client.close()

        return asyncio.run(whole())

    def ask(
        self, question: str = "Where is Oslo?", decoding: Decoding = DECODING, **changes: Any
    ) -> Completion:
        return self.use(lambda client: client.generate(chat(question), decoding), **changes)

    def check(self, **changes: Any) -> str:
        return self.use(lambda client: client.check(), **changes)

    def identity(self, **changes: Any) -> dict[str, str]:
        async def known(client: InferenceClient) -> dict[str, str]:
            return dict(client.identity())

        return self.use(known, **changes)


def ollama_settings(server: ProviderServer) -> dict[str, Any]:
    return {
        "backend": "local",
        "local_engine": "ollama",
        "local_endpoint": server.url,
        "local_model": "tiny:3m",
        "n_ctx": 64,
    }


def openai_settings(server: ProviderServer) -> dict[str, Any]:
    return {
        "backend": "openai_compatible",
        "local_endpoint": server.url,
        "model_id": "tiny-3m",
    }


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the tries of a request, and of a check at the start."""
    for name in ("wait_random_exponential", "wait_exponential"):
        monkeypatch.setattr(tenacity, name, lambda **_: tenacity.wait_fixed(0.01))


@pytest.fixture
def of_ollama() -> Iterator[Backend]:
    with running(OllamaServer()) as server:
        yield Backend(server, ollama_settings(server))


@pytest.fixture
def of_openai() -> Iterator[Backend]:
    with running(CompatibleServer()) as server:
        yield Backend(server, openai_settings(server))


@pytest.fixture(params=["of_ollama", "of_openai"])
def backend(request: pytest.FixtureRequest) -> Backend:
    return request.getfixturevalue(request.param)


def chat(question: str) -> list[Message]:
    return [
        Message(role="system", content="Answer."),
        Message(role="user", content=question),
    ]


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
    max_concurrent: int = 4,
    adaptive: bool = False,
) -> list[RawLine]:
    write_jsonl(folder / "input.jsonl", requests)
    executor = SyncExecutor(client, folder / "journal", max_retries=retries, adaptive=adaptive)
    executor.run_jsonl(folder / "input.jsonl", folder / "raw.jsonl", max_concurrent)
    return list(read_jsonl(folder / "raw.jsonl", RawLine))


# The test servers are faithful: the providers' own clients work with them


def test_ollamas_own_client_works_with_the_server(of_ollama: Backend) -> None:
    client = ollama.Client(host=of_ollama.server.url)
    assert [model.model for model in client.list().models] == ["tiny:3m", "other:latest"]
    assert client.show("other").capabilities == ["completion", "tools"]
    messages = [{"role": "user", "content": "one two three"}]
    answer = client.chat("other", messages, options={"num_predict": 2})
    assert (answer.message.content, answer.done_reason) == ("to one", "length")
    assert (answer.prompt_eval_count, answer.eval_count) == (3, 2)
    text = client.generate("other", "one two three", options={"num_predict": 2})
    assert (text.response, text.done_reason) == ("to one", "length")
    chat_parts = list(client.chat("tiny:3m", messages, stream=True))
    assert "".join(part.message.content or "" for part in chat_parts) == "to one two three"
    assert [part.done for part in chat_parts] == [False, True]
    text_parts = list(client.generate("tiny:3m", "one two three", stream=True))
    assert "".join(part.response for part in text_parts) == "to one two three"
    with pytest.raises(ollama.ResponseError, match="model 'none' not found") as caught:
        client.chat("none", messages)
    assert caught.value.status_code == 404
    with pytest.raises(ollama.ResponseError, match="does not support thinking"):
        client.chat("other", messages, think=True)
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

ALL_SET = Decoding(temperature=0.7, max_new_tokens=9, top_p=0.9, top_k=20, stop=["\n"], seed=42)


def test_ollama_is_asked_with_all_parameters_mapped(of_ollama: Backend) -> None:
    of_ollama.ask(decoding=ALL_SET)
    assert of_ollama.server.bodies == [
        {
            "model": "tiny:3m",
            "messages": [message.model_dump() for message in chat("Where is Oslo?")],
            "stream": False,
            "truncate": False,
            "shift": False,
            "think": False,
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
    of_ollama.ask()
    options = of_ollama.server.bodies[0]["options"]
    assert (options["top_p"], options["top_k"]) == (1.0, 0)
    assert "stop" not in options


@pytest.mark.parametrize(
    ("shown", "endpoint"),
    [
        ({}, "/api/chat"),
        ({"template": "{{ if .System }}{{ .System }}{{ end }}{{ .Prompt }}"}, "/api/chat"),
        ({"template": BARE_TEMPLATE, "modelfile": "FROM x\nRENDERER qwen3.5\n"}, "/api/chat"),
        ({"template": BARE_TEMPLATE, "renderer": "qwen3.5"}, "/api/chat"),
        ({"template": BARE_TEMPLATE, "template_source": "gguf_chat_template"}, "/api/chat"),
        ({"template": BARE_TEMPLATE, "template_source": "go_template"}, "/api/generate"),
        ({"template": BARE_TEMPLATE}, "/api/generate"),
        ({"template": "[INST] {{ .Prompt }} [/INST]"}, "/api/generate"),
    ],
)
def test_no_model_of_ollama_loses_its_system_prompt(
    of_ollama: Backend, shown: dict[str, Any], endpoint: str
) -> None:
    of_ollama.server.shown = shown
    answer = of_ollama.ask()
    assert answer.response_text == "to Where is Oslo?"
    assert of_ollama.identity()["endpoint"] == endpoint
    (body,) = of_ollama.server.bodies
    if endpoint == "/api/generate":
        assert body["prompt"] == "Answer.\n\nWhere is Oslo?"
        assert "as one text" in of_ollama.check()
    else:
        assert body["messages"] == [each.model_dump() for each in chat("Where is Oslo?")]


@pytest.mark.parametrize(
    ("shown", "think"),
    [
        ({"capabilities": ["completion"]}, False),
        ({"capabilities": ["completion", "thinking"]}, False),
        ({"capabilities": ["completion", "thinking"], "details": {"family": "gptoss"}}, "low"),
        (
            {
                "capabilities": ["completion", "thinking"],
                "thinking": {"values": [False, True], "default": True},
            },
            False,
        ),
        (
            {
                "capabilities": ["completion", "thinking"],
                "thinking": {"values": ["low", "high"], "default": "high"},
            },
            "low",
        ),
    ],
)
def test_models_of_ollama_think_as_little_as_they_can(
    of_ollama: Backend, shown: dict[str, Any], think: bool | str
) -> None:
    of_ollama.server.shown = shown
    of_ollama.ask()
    assert of_ollama.server.bodies[0]["think"] == think
    assert ("always thinks first" in of_ollama.check()) == bool(think)


@pytest.mark.parametrize(
    ("owner", "off"),
    [
        (None, {}),
        ("somebody", {}),
        ("llamacpp", {"top_k": 0, "min_p": 0.0, "repeat_penalty": 1.0}),
        ("me", {"top_k": 0, "min_p": 0.0, "repeat_penalty": 1.0}),
        ("vllm", {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0}),
    ],
)
def test_an_openai_compatible_server_is_asked_with_all_parameters(
    of_openai: Backend, owner: str | None, off: dict[str, Any]
) -> None:
    of_openai.server.models["tiny-3m"]["owned_by"] = owner
    of_openai.ask(decoding=ALL_SET)
    of_openai.ask()
    common = {
        "model": "tiny-3m",
        "messages": [message.model_dump() for message in chat("Where is Oslo?")],
    }
    assert of_openai.server.bodies == [
        {
            **common,
            **off,
            "max_tokens": 9,
            "temperature": 0.7,
            "top_p": 0.9,
            "top_k": 20,
            "stop": ["\n"],
            "seed": 42,
        },
        {**common, **off, "max_tokens": 8, "temperature": 0.0, "top_p": 1.0, "seed": 0},
    ]


def test_a_json_schema_is_passed_on(of_ollama: Backend, of_openai: Backend) -> None:
    decoding = Decoding(temperature=0.0, max_new_tokens=8, seed=0, json_schema=SCHEMA)
    of_ollama.ask(decoding=decoding)
    assert of_ollama.server.bodies[0]["format"] == SCHEMA
    of_openai.ask(decoding=decoding)
    assert of_openai.server.bodies[0]["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True},
    }
    for backend in (of_ollama, of_openai):
        backend.ask()
        assert not {"format", "response_format"} & backend.server.bodies[1].keys()


@pytest.mark.parametrize("ending", ["", "/", "/v1", "/v1/"])
def test_the_address_may_end_as_users_write_it(of_openai: Backend, ending: str) -> None:
    answer = of_openai.ask(local_endpoint=of_openai.server.url + ending)
    assert answer.response_text == "to Where is Oslo?"


def test_a_connection_is_kept_per_request_in_flight(backend: Backend, tmp_path: Path) -> None:
    backend.server.latency_s = 0.005
    run(tmp_path, backend.client(), [request(number) for number in range(60)], max_concurrent=3)
    assert 1 < backend.server.most_at_once <= 3
    assert backend.server.connections <= 3


# What is read


def test_an_answer_is_read_whole(backend: Backend) -> None:
    backend.server.latency_s = 0.05
    backend.server.answer = lambda question: "  Zürich 東京\n"
    answer = backend.ask()
    assert answer.response_text == "  Zürich 東京\n"
    assert answer.finish_reason == "stop"
    used = answer.usage
    assert (used.prompt_tokens, used.completion_tokens, used.total_tokens) == (4, 2, 6)
    assert answer.latency_s is not None
    assert 0.05 <= answer.latency_s < 5
    assert answer.request_id


def test_what_the_server_does_not_count_stays_blank(backend: Backend) -> None:
    backend.server.counts_tokens = False
    assert set(backend.ask().usage.model_dump().values()) == {None}


def test_a_cut_answer_says_so(backend: Backend) -> None:
    backend.server.answer = lambda question: "a b c d e f g h i"
    answer = backend.ask()
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
            "refused:content_filter",
        ),
        ({"message": {"content": None, "refusal": "I can't."}}, "I can't.", "refused:refusal"),
        # A model that thinks, cut before its answer; vLLM sends it like this.
        (
            {"finish_reason": "length", "message": {"content": None, "reasoning_content": "Hm"}},
            "",
            "length",
        ),
    ],
)
def test_filtered_refused_and_cut_answers_keep_their_reason(
    of_openai: Backend, choice: dict[str, Any], text: str, finish: str
) -> None:
    of_openai.server.choice = choice
    answer = of_openai.ask()
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
        of_openai.ask()
    assert caught.value.retryable


def test_ollamas_other_endings_are_failures(of_ollama: Backend) -> None:
    of_ollama.server.finish = "load"
    with pytest.raises(RequestError, match=r"malformed: done_reason") as caught:
        of_ollama.ask()
    assert caught.value.retryable


# Trouble

PASSING = [*FAULTS, "408", "409", "429", "500", "502", "503", "504"]
LASTING = ["400", "401", "403", "404", "413", "422"]
FINAL = {"400", "413", "422"}


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
    backend: Backend, tmp_path: Path, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor, "PATIENCE_S", 0.0)
    backend.server.faults = always(fault)
    client = backend.client(request_timeout_s=0.1)
    (line,) = run(tmp_path, client, [request(1)], retries=1)
    assert line.error is not None
    assert line.error.message.startswith(backend.server.url)
    assert (line.response_text, line.finish_reason) == (None, None)
    tries = 1 if fault in ("429", "503") else 2  # these are borne for a time, not a number of tries
    assert [outcome for _, outcome in backend.server.ledger] == [fault] * tries
    assert not list((tmp_path / "journal").rglob("*.jsonl"))
    assert failed_attempts(tmp_path / "raw.jsonl") == 1


@pytest.mark.parametrize("fault", LASTING)
def test_lasting_trouble_is_not_tried_again(backend: Backend, tmp_path: Path, fault: str) -> None:
    backend.server.faults = always(fault)
    (line,) = run(tmp_path, backend.client(), [request(1)], retries=5)
    assert line.error is not None
    assert line.error.message == f"{backend.server.url}: status {fault}: refused"
    assert [outcome for _, outcome in backend.server.ledger] == [fault]
    assert failed_attempts(tmp_path / "raw.jsonl") == (0 if fault in FINAL else 1)


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
    assert (caught.value.retryable, caught.value.final) == (False, True)


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
    backend: Backend, tmp_path: Path
) -> None:
    backend.server.faults = lambda question, tries: (
        "429" if question == "Question 0?" and not tries else ""
    )
    backend.server.retry_after = "0.5"
    backend.server.latency_s = 0.02
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
        ({"Retry-After": email.utils.formatdate(time.time() + 3600, usegmt=True)}, 3000, 3600),
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


@pytest.mark.parametrize(
    ("left", "reset", "seconds"),
    [
        ("0", "1s", 1),
        ("0", "6m0s", 360),
        ("0", "12ms", 0.012),
        ("0", "1h0m2.5s", 3602.5),
        ("0", "soon", 0),
        ("1", "1s", 0),
    ],
)
@pytest.mark.parametrize("what", ["requests", "tokens"])
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


# The start


def test_an_unreachable_server_is_told_with_what_to_do() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    nowhere = Backend(None, {"local_endpoint": url})
    message = r"connection failed \(refused\).*`ollama serve`.*ASSAY_LOCAL_ENDPOINT"
    with pytest.raises(UserError, match=message) as told:
        nowhere.check(backend="local", local_engine="ollama", local_model="m")
    assert url in str(told.value)
    with pytest.raises(UserError, match=r"Is the server up.*local_endpoint"):
        nowhere.check(backend="openai_compatible", model_id="m")


def test_what_is_fine_is_said_in_one_line(of_ollama: Backend, of_openai: Backend) -> None:
    assert of_ollama.check() == (
        f"Ollama 0.12.6 at {of_ollama.server.url} has tiny:3m ({'a' * 19})"
    )
    assert of_openai.check() == (f"{of_openai.server.url} serves tiny-3m (context of 4096 tokens)")
    assert of_openai.check(model_id="other") == f"{of_openai.server.url} serves other"


def test_a_missing_ollama_model_is_told_with_the_nearest(of_ollama: Backend) -> None:
    message = r"installed there: tiny:3m.*Run `ollama pull tiny:7m`"
    with pytest.raises(UserError, match=message):
        of_ollama.check(local_model="tiny:7m")
    of_ollama.server.models = {}
    with pytest.raises(UserError, match="none at all"):
        of_ollama.check()


def test_a_model_that_writes_no_text_is_told(of_ollama: Backend) -> None:
    of_ollama.server.shown = {"capabilities": ["embedding"]}
    with pytest.raises(UserError, match=r"'tiny:3m' does not write text \(it can: embedding\)"):
        of_ollama.check()


@pytest.mark.parametrize(
    ("version", "warned"),
    [("0.11.10", True), ("0.12.6", False), ("0.40.12", False), ("0.0.0", False), ("x", False)],
)
def test_an_ollama_that_cuts_prompts_in_silence_is_told(
    of_ollama: Backend, version: str, warned: bool
) -> None:
    of_ollama.server.version = version
    assert ("cuts prompts" in of_ollama.check()) == warned


def test_an_older_ollama_that_tells_less_of_a_model_will_do(of_ollama: Backend) -> None:
    of_ollama.server.shown = {"capabilities": None, "details": None}
    assert of_ollama.ask().response_text == "to Where is Oslo?"


def test_a_tag_without_a_version_means_the_latest(of_ollama: Backend) -> None:
    assert of_ollama.identity(local_model="other")["model_digest"] == "b" * 64


def test_a_model_that_is_not_served_is_told_with_the_nearest(of_openai: Backend) -> None:
    with pytest.raises(UserError, match=r"does not serve the model 'tiny-7m'.*serves: tiny-3m"):
        of_openai.check(model_id="tiny-7m")


def test_another_kind_of_server_is_told(of_ollama: Backend, of_openai: Backend) -> None:
    with pytest.raises(UserError, match=r"status 404: Not Found \(GET /api/version\)"):
        of_ollama.check(local_endpoint=of_openai.server.url)
    with pytest.raises(UserError, match=r"status 404: Not Found \(GET /v1/models\)"):
        of_openai.check(local_endpoint=of_ollama.server.url)


@pytest.mark.parametrize("fault", ["503", "reset", "half JSON"])
def test_the_check_at_the_start_is_patient(
    backend: Backend, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "READY_WITHIN_S", 0.1)
    backend.server.faults = lambda question, tries: "" if tries else fault
    assert backend.check()
    backend.server.faults = lambda question, tries: fault
    with pytest.raises(UserError):
        backend.check()


@pytest.mark.parametrize("path", ["/v1/models", "/health"])
def test_a_server_that_still_loads_its_model_is_waited_for(
    of_openai: Backend, path: str, monkeypatch: pytest.MonkeyPatch, caplog
) -> None:
    of_openai.server.faults = lambda question, tries: (
        "503" if question == path and tries < 8 else ""
    )
    with caplog.at_level("INFO"):
        assert of_openai.ask().response_text == "to Where is Oslo?"
    assert caplog.text.count("waiting for it, at most 600 s") == 1
    monkeypatch.setattr(http, "READY_WITHIN_S", 0.1)
    of_openai.server.faults = lambda question, tries: "503" if question == path else ""
    with pytest.raises(UserError, match="status 503: service unavailable"):
        of_openai.check()


@pytest.mark.parametrize("fault", ["404", "500", "empty", "HTML", "error in 200"])
def test_a_server_without_a_health_check_counts_as_ready(of_openai: Backend, fault: str) -> None:
    of_openai.server.faults = lambda question, tries: fault if question == "/health" else ""
    assert of_openai.ask().response_text == "to Where is Oslo?"


# Keys

KEY = "sk-right/+1"


def test_a_key_is_sent_and_never_shown(
    of_openai: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog
) -> None:
    server = of_openai.server
    server.key = KEY
    with pytest.raises(UserError, match=rf"status 401: You need an API key.*{KEY_VARIABLE}"):
        of_openai.check()
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    assert of_openai.ask().response_text

    async def turned_away(client: InferenceClient) -> str:
        server.key = "sk-other"  # servers like to repeat the wrong key
        with pytest.raises(RequestError, match=r"Incorrect API key provided: \[key\]") as caught:
            await client.generate(chat("Where is Oslo?"), DECODING)
        return "".join(traceback.format_exception(caught.value))

    with caplog.at_level("DEBUG"):
        told = of_openai.use(turned_away)
        server.key = KEY
        server.faults = lambda question, tries: "401" if question == "Question 1?" else ""
        run(tmp_path, of_openai.client(), [request(1)])
        server.key = "sk-other"
        with pytest.raises(UserError) as caught:
            of_openai.check()
    raw = (tmp_path / "raw.jsonl").read_text("utf-8")
    for text in (told, caplog.text, str(caught.value), raw):
        assert KEY not in text


@pytest.mark.parametrize(
    "raw",
    [
        "HTTP/1.1 sk-right/+1 200\r\n\r\n",
        "HTTP/1.1 200 OK\r\nsk-right/+1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: sk-right/+1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 11\r\n\r\nsk-right/+1",
        "HTTP/1.1 401 sk-right/+1\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 302 Found\r\nLocation: http://x/?k=sk-right%2F%2B1\r\nContent-Length: 0\r\n\r\n",
        'HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n{"id":"sk-right/+1',
        'HTTP/1.1 200 OK\r\nContent-Length: 34\r\n\r\n{"id":1,"choices":["sk-right/+1"]} ',
    ],
)
def test_no_broken_reply_gives_a_key_away(
    of_openai: Backend, monkeypatch: pytest.MonkeyPatch, raw: str, caplog
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)

    def answer(handler: Any) -> None:
        handler.rfile.read(int(handler.headers["Content-Length"]))
        handler.wfile.write(raw.encode())
        handler.close_connection = True

    monkeypatch.setattr(of_openai.server.RequestHandlerClass, "do_POST", answer)
    with caplog.at_level("DEBUG"), pytest.raises(RequestError) as caught:
        of_openai.ask()
    shown = "".join(traceback.format_exception(caught.value)) + caplog.text
    assert "sk-right" not in shown


def test_a_key_in_netrc_does_not_replace_ours(
    of_openai: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("default login somebody password else\n", encoding="utf-8")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    monkeypatch.setattr(http, "_LOOPBACK", ())
    of_openai.server.key = KEY
    assert of_openai.ask().response_text == "to Where is Oslo?"


def test_the_environments_proxy_is_used_except_for_this_machine(
    of_openai: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", of_openai.server.url)  # it gets whole URLs, and has no such
    monkeypatch.delenv("no_proxy", raising=False)
    with pytest.raises(UserError, match=r"model\.invalid: status 404"):
        of_openai.check(local_endpoint="http://model.invalid")
    assert of_openai.check()
    monkeypatch.setenv("no_proxy", "model.invalid")
    with pytest.raises(UserError, match=r"model\.invalid: the connection failed"):
        of_openai.check(local_endpoint="http://model.invalid")
    monkeypatch.setenv("http_proxy", "http://user:sk-proxy@127.0.0.1:9")
    with pytest.raises(UserError, match=r"connection failed \(refused\)") as told:
        of_openai.check(local_endpoint="http://other.invalid")
    assert "sk-proxy" not in str(told.value)


def test_a_key_that_can_be_none_is_told(
    of_openai: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "two words")
    with pytest.raises(UserError, match=f"{KEY_VARIABLE} has spaces") as told:
        of_openai.check()
    assert "two words" not in str(told.value)


def test_a_redirect_is_told_and_not_followed(backend: Backend, monkeypatch) -> None:
    def moved(handler: Any) -> None:
        handler.send_response(301)
        handler.send_header("Location", "http://elsewhere.invalid/")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    monkeypatch.setattr(backend.server.RequestHandlerClass, "do_GET", moved)
    with pytest.raises(UserError, match=r"moved to http://elsewhere\.invalid/"):
        backend.check()


# Identity


def test_only_what_decides_the_answer_is_in_the_identity(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = backend.identity()
    monkeypatch.setenv(KEY_VARIABLE, "k")
    same = backend.identity(
        request_timeout_s=3,
        max_concurrent_requests=7,
        local_endpoint=backend.server.url.replace("127.0.0.1", "localhost"),
    )
    assert same == before


def test_a_model_pulled_again_is_another_model(of_ollama: Backend, tmp_path: Path) -> None:
    run(tmp_path, of_ollama.client(), [request(1)])
    run(tmp_path, of_ollama.client(), [request(1)])
    assert of_ollama.server.outcomes("answered").total() == 1
    of_ollama.server.models["tiny:3m"] = "c" * 64
    run(tmp_path, of_ollama.client(), [request(1)])
    assert of_ollama.server.outcomes("answered").total() == 2


@pytest.mark.parametrize(
    "told",
    [
        {"root": "org/tiny-3m-v2"},
        {"root": "org/tiny-3m", "meta": {"size": 5}},
        {"root": "org/tiny-3m", "owned_by": "another server"},
    ],
)
def test_other_weights_behind_a_name_are_another_model(
    of_openai: Backend, told: dict[str, Any]
) -> None:
    before = of_openai.identity()
    of_openai.server.models["tiny-3m"] = told
    assert of_openai.identity() != before


def test_another_model_context_or_endpoint_is_another_identity(
    of_ollama: Backend, of_openai: Backend
) -> None:
    of_ollama.server.models["tiny:copy"] = of_ollama.server.models["tiny:3m"]
    identities = [
        of_ollama.identity(),
        of_ollama.identity(local_model="tiny:copy"),
        of_ollama.identity(n_ctx=65),
        of_openai.identity(),
        of_openai.identity(model_id="other"),
    ]
    of_ollama.server.shown = {"template": BARE_TEMPLATE}
    identities.append(of_ollama.identity())
    of_ollama.server.shown = {"details": {"family": "gptoss"}}
    identities.append(of_ollama.identity())
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
    write_jsonl(tmp_path / "input.jsonl", [request(each) for each in range(number)])
    settings = BackendSettings(**backend.settings, max_concurrent_requests=8)
    write_json(
        tmp_path / "settings.json",
        {"backend": settings.model_dump(mode="json"), "max_retries": 3},
    )

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "workflow_scripts.infer.send"),
                *("--requests", str(tmp_path / "input.jsonl")),
                *("--settings", str(tmp_path / "settings.json")),
                *("--journal", str(tmp_path / "journal")),
                *("--output", str(tmp_path / "raw.jsonl")),
            ],
            cwd=REPOSITORY, env=clean_environment(), stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def journaled() -> int:
        files = (tmp_path / "journal").rglob("*.jsonl")
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


def test_a_part_that_is_stopped_keeps_what_was_in_flight(backend: Backend, tmp_path: Path) -> None:
    server = backend.server
    server.latency_s = 0.2
    bad = {f"Question {each}?" for each in range(20)}
    server.faults = lambda question, tries: "403" if question in bad else ""
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
    server.latency_s = 0.02
    server.retry_after = "0.2"
    server.faults = lambda question, tries: (
        fault if server._at_once > 12 and question.startswith("Question") else ""
    )
    with caplog.at_level("INFO"):
        lines = run(
            tmp_path, backend.client(), [request(each) for each in range(300)],
            max_concurrent=http.NO_LIMIT, adaptive=True,
        )  # fmt: skip
    assert not [line for line in lines if line.error]
    assert server.outcomes("answered").total() == 300
    assert 0 < server.outcomes(fault).total() < 60
    assert "the server pushes back:" in caplog.text
    at_the_end = int(re.findall(r"(\d+) at once\]", caplog.text)[-1])
    assert 6 <= at_the_end <= 13


# Real servers

_LLAMA_SERVER = """
import sys, threading, xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.port = sys.argv[1], int(sys.argv[2])
params.n_ctx, params.n_parallel = 1024, 1
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
server = xllamacpp.Server(params)
threading.Event().wait()
"""


def start_llama_cpp_server(model: Path, port: int) -> tuple[list[str], str]:
    """The command of llama-cpp-python's server, and the name of the model there."""
    options = {"model": model, "model_alias": "demo", "port": port, "n_ctx": 1024, "n_threads": 1}
    arguments = [str(each) for name, value in options.items() for each in (f"--{name}", value)]
    return ["-m", "llama_cpp.server", *arguments], "demo"


def start_llama_server(model: Path, port: int) -> tuple[list[str], str]:
    """The command of llama.cpp's own server, and the name of the model there."""
    return ["-c", _LLAMA_SERVER, str(model), str(port)], str(model)


REAL_SERVERS = {"llama_cpp.server": start_llama_cpp_server, "llama-server": start_llama_server}


@contextmanager
def serving(name: str, model: Path, log: Path) -> Iterator[Backend]:
    """Run a real server."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command, model_id = REAL_SERVERS[name](model, port)
    with log.open("w") as stream:
        process = subprocess.Popen([sys.executable, *command], stdout=stream, stderr=stream)
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
            settings = {"backend": "openai_compatible", "local_endpoint": url}
            yield Backend(None, {**settings, "model_id": model_id})
        finally:
            process.kill()
            process.wait()


@pytest.fixture(scope="module", params=REAL_SERVERS)
def real(
    request: pytest.FixtureRequest, demo_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Backend]:
    """A real server with the embedded model."""
    log = tmp_path_factory.mktemp("server") / "log.txt"
    with serving(request.param, demo_model, log) as backend:
        yield backend


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_real_server_answers_as_the_model_in_the_process_does(
    real: Backend,
    temperature: float,
    demo_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nearly so where it is sampled: another build of llama.cpp rounds differently."""
    monkeypatch.chdir(tmp_path)  # model checksums are remembered below results/
    inside = Backend(
        None,
        {
            "backend": "local",
            "local_engine": "llama_cpp",
            "local_model": str(demo_model),
            "n_ctx": 1024,
            "n_threads": 1,
        },
    )
    asked = [
        (question_of(json.loads(line), task), seed)
        for task in ("open_book", "closed_book")
        for seed, line in enumerate(
            (REPOSITORY / f"resources/demo/{task}.jsonl").read_text("utf-8").splitlines()[:15]
        )
    ]

    async def answers(client: InferenceClient) -> list[tuple[str, str]]:
        found = [
            await client.generate(
                chat(question), Decoding(temperature=temperature, max_new_tokens=16, seed=seed)
            )
            for question, seed in asked
        ]
        return [(answer.response_text, answer.finish_reason) for answer in found]

    here, there = inside.use(answers), real.use(answers)
    assert len(set(here)) > 5
    different = [pair for pair in zip(here, there, strict=True) if pair[0] != pair[1]]
    assert len(different) <= (2 if temperature else 0), different


def question_of(item: dict[str, Any], task: str) -> str:
    template = (REPOSITORY / f"prompts/tasks/{task}.txt").read_text(encoding="utf-8").strip()
    return template.replace("{context}", item.get("context") or "").replace(
        "{question}", item["question"]
    )


def test_what_a_real_server_refuses_is_told(real: Backend) -> None:
    message = r"status 400: .*(maximum context length|exceeds the available context size)"
    with pytest.raises(RequestError, match=message) as caught:
        real.ask("word " * 2000)
    assert (caught.value.retryable, caught.value.final) == (False, True)
    with pytest.raises(UserError, match=r"does not serve.*it serves: "):
        real.check(model_id="assay")


def test_a_real_server_counts_tokens(real: Backend) -> None:
    usage = real.ask("What is the capital of France?").usage
    assert usage.prompt_tokens and usage.completion_tokens
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


# The whole workflow


def test_one_experiment_runs_here_on_real_servers_and_on_ollama(
    project: Project, demo_model: Path, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        of_ollama = stack.enter_context(running(OllamaServer()))
        served = {
            f"real{number}": stack.enter_context(serving(name, demo_model, tmp_path / name))
            for number, name in enumerate(REAL_SERVERS)
        }
        backends = {
            "here": {},
            "ollama": ollama_settings(of_ollama) | {"n_ctx": 1024},
            **{name: backend.settings for name, backend in served.items()},
        }
        project.snakemake(
            "--cores", "2", "--until", "parse",
            "--config", "limit_items=6", "parts_per_dataset=1", "default_prompt_set=abstention",
            f"backends={json.dumps(backends)}",
        )  # fmt: skip
    found = {}
    for backend in backends:
        (path,) = (project.root / f"results/demo/{backend}").rglob("predictions.csv")
        found[backend] = sorted(read_csv(path, Prediction), key=lambda row: row.custom_id)
        with path.open(encoding="utf-8", newline="") as stream:
            assert next(csv.reader(stream)) == list(Prediction.model_fields)
    ids = [row.custom_id for row in found["here"]]
    assert all([row.custom_id for row in rows] == ids for rows in found.values())
    assert all(row.total_tokens for rows in found.values() for row in rows)
    answers = {
        name: [(row.response_text, row.finish_reason) for row in rows]
        for name, rows in found.items()
    }
    assert answers["here"] == answers["real0"] == answers["real1"]
    assert of_ollama.outcomes("answered").total() == len(ids) == 2 * 2 * 6
