"""The client of OpenAI against a server that behaves as its SDK expects."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hosted_contract import INTENT, REQUESTS, HostedContract, key, question, request
from servers.hosted import DAY_S
from servers.openai import OpenAIServer, StoredFile

from workflow_scripts.backends.capabilities import capabilities, dropped, parameters, problems
from workflow_scripts.backends.chat_completions import batch_answer
from workflow_scripts.backends.client import BatchIntent, RequestError
from workflow_scripts.core.records import Completion


class TestOpenAI(HostedContract):
    make_server = OpenAIServer
    backend = "openai"
    model = "gpt-4o-mini"
    missing_model = "gpt-4o-mimi"
    environment: ClassVar = {"OPENAI_API_KEY": "key-of-the-test"}
    key_variable = "OPENAI_API_KEY"
    version = "/v1"
    says = "{url} offers gpt-4o-mini"
    create_call = "POST /v1/batches"
    running_word = "in_progress"
    ended_word = "completed"

    def uploads(self, server: OpenAIServer) -> int:
        return len([file for file in server.files.values() if file.purpose == "batch"])

    def reads_results(self, call: str) -> bool:
        return call.endswith("/content")

    # What is sent

    def test_the_parameters_of_a_request(self, server: OpenAIServer) -> None:
        self.ask(server, request(1, top_p=0.5, top_k=9, stop=["."]))
        assert server.bodies == [
            {
                "model": "gpt-4o-mini",
                "messages": [
                    {"role": "system", "content": "Answer."},
                    {"role": "user", "content": question(1)},
                ],
                "max_completion_tokens": 8,
                "temperature": 0.0,
                "top_p": 0.5,
                "stop": ["."],
                "seed": 1,
            }
        ]

    def test_reasoning_models_get_what_they_take(self, server: OpenAIServer) -> None:
        asked = request(1, max_new_tokens=2000, top_p=0.5, stop=["."])
        self.ask(server, asked, model_id="o4-mini")
        (body,) = server.bodies
        assert set(body) == {
            *("model", "messages", "max_completion_tokens", "seed", "reasoning_effort")
        }
        identity = self.client(server, model_id="o4-mini").identity()
        assert identity["reasoning_effort"] == "low"

    def test_the_line_of_a_job(self, server: OpenAIServer) -> None:
        self.ask(server, REQUESTS[0])
        line = self.client(server).batch_line("0" * 64, REQUESTS[0])
        assert line == {
            "custom_id": "0" * 64,
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": server.bodies[0],
        }

    def test_organization_and_project(
        self, server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
        monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-1")
        self.ask(server)
        assert server.heads[-1]["OpenAI-Organization"] == "org-1"
        assert server.heads[-1]["OpenAI-Project"] == "proj-1"

    # What comes back

    def test_an_empty_account_is_not_asked_again(self, server: OpenAIServer) -> None:
        server.faults = lambda *_: "quota"
        error = self.refused(server)
        assert (error.retryable, error.overloaded) == (False, False)

    def test_a_key_that_may_not_list_models_is_no_obstacle(self, server: OpenAIServer) -> None:
        server.faults = lambda call, _: "403" if call == "GET /v1/models" else ""
        said = self.use(server, lambda client: client.check())
        assert "not checked" in said

    # Jobs

    def test_a_job_is_found_on_a_later_page(self, server: OpenAIServer, lines: Path) -> None:
        job = self.submit(server, lines)
        mine = server.batches.pop(job)
        file = StoredFile("file-x", "x.jsonl", "batch", b"", int(mine.created))
        for number in range(250):
            name = f"batch_x{number}"
            server.batches[name] = replace(mine, id=name, file=file, metadata=None)
        server.batches = {job: mine, **server.batches}
        before = server.called("GET /v1/batches")
        assert self.use(server, lambda client: client.find_batch(INTENT, set())) == job
        assert server.called("GET /v1/batches") == before + 3

    def test_jobs_from_before_the_intent_are_not_looked_through(
        self, server: OpenAIServer, lines: Path
    ) -> None:
        job = self.submit(server, lines)
        mine = server.batches.pop(job)
        for number in range(250):
            name = f"batch_x{number}"
            created = mine.created - DAY_S * (number + 1)
            old = replace(mine, id=name, created=created, metadata=None)
            server.batches = {name: old, **server.batches}
        before = server.called("GET /v1/batches")
        other = BatchIntent("assay-other", 5, datetime.now(UTC) + timedelta(minutes=1))
        server.clock = other.at.timestamp()
        assert self.use(server, lambda client: client.find_batch(other, set())) is None
        assert server.called("GET /v1/batches") == before + 2  # one page, twice

    def test_submitting_again_without_looking_creates_nothing(
        self, server: OpenAIServer, lines: Path
    ) -> None:
        first, second = (
            self.use(server, lambda client: client.submit_batch(INTENT, lines)) for _ in range(2)
        )
        assert first == second
        assert self.jobs(server) == [first]

    def test_a_file_that_has_expired_is_uploaded_again(
        self, server: OpenAIServer, lines: Path
    ) -> None:
        server.faults = lambda call, tries: (
            "500" if call == "POST /v1/batches" and not tries else ""
        )
        with pytest.raises(RequestError):
            self.submit(server, lines)
        server.clock += 31 * DAY_S
        self.submit(server, lines)
        assert len(server.files) == 2

    def test_a_cancelled_job_keeps_what_it_has(self, server: OpenAIServer, lines: Path) -> None:
        server.rows_per_poll = 2
        job = self.submit(server, lines)
        for _ in range(2):
            self.status(server, job)
        server.batches[job].cancelling = True
        status = self.ended(server, job)
        assert (status.state, status.word) == ("cancelled", "cancelled")
        results = dict(self.results(server, job))
        assert sum(isinstance(each, Completion) for each in results.values()) == 2
        errors = [each for each in results.values() if isinstance(each, RequestError)]
        assert {str(each).split(":")[0] for each in errors} == {"batch_cancelled"}

    def test_a_full_queue_fails_the_job(self, server: OpenAIServer, lines: Path) -> None:
        server.enqueued_limit = 1
        status = self.ended(server, self.submit(server, lines))
        assert status.state == "failed"
        assert status.message.startswith("token_limit_exceeded: Enqueued token limit reached")

    def test_results_that_were_deleted_are_an_error(
        self, server: OpenAIServer, lines: Path
    ) -> None:
        job = self.submit(server, lines)
        self.ended(server, job)
        server.clock += 31 * DAY_S
        with pytest.raises(RequestError, match="No such File") as caught:
            self.results(server, job)
        assert not caught.value.retryable

    def test_long_and_strange_answers_come_through(self, server: OpenAIServer, lines: Path) -> None:
        text = "\u2028 ü \x85 \r " + "x" * 300_000
        server.answer = lambda question: text
        server.faults = lambda *_: ""
        whole = [request(n, max_new_tokens=99) for n in range(5)]
        self.written(server, lines, whole)
        results = self.whole(server, lines)
        answers = [results[key(each)] for each in whole]
        assert all(isinstance(each, Completion) and each.response_text == text for each in answers)


# The table of capabilities

PLAIN = {"temperature", "max_completion_tokens", "top_p", "stop", "seed"}
UNSAMPLED = {"max_completion_tokens", "seed"}


@pytest.mark.parametrize(
    ("model", "names", "effort", "thinks"),
    [
        ("gpt-4o-mini-2024-07-18", PLAIN, None, False),
        ("gpt-4.1-nano", PLAIN, None, False),
        ("ft:gpt-4o-mini-2024-07-18:acme::abc", PLAIN, None, False),
        ("chatgpt-4o-latest", PLAIN, None, False),
        ("gpt-5-chat-latest", PLAIN, None, False),
        ("o1", UNSAMPLED, "low", True),
        ("o4-mini-2025-04-16", UNSAMPLED, "low", True),
        ("ft:o4-mini-2025-04-16:acme::abc", UNSAMPLED, "low", True),
        ("gpt-5", UNSAMPLED, "minimal", True),
        ("gpt-5-nano-2025-08-07", UNSAMPLED, "minimal", True),
        ("gpt-5.1-2025-11-13", PLAIN - {"stop"}, "none", False),
        ("gpt-5.4-mini", PLAIN - {"stop"}, "none", False),
        ("gpt-5.5-2026-04-23", UNSAMPLED, "none", False),
        ("gpt-5.6-luna", PLAIN - {"stop"}, "none", False),
        ("gpt-5.6-sol", UNSAMPLED, "none", False),
        ("gpt-5.3-chat-latest", PLAIN, None, False),
        ("gpt-6-sol", PLAIN - {"stop"}, "none", False),
        ("gpt-5.6-terra", UNSAMPLED, "none", False),
        ("gpt-6-astra", UNSAMPLED, "low", True),
        ("gpt-6.1-terra", UNSAMPLED, "low", True),
        ("gpt-5.2-chat-latest", UNSAMPLED, None, True),
        ("gpt-5.2-pro", UNSAMPLED, None, True),
        ("gpt-7", UNSAMPLED, None, True),
    ],
)
def test_what_models_take(model: str, names: set[str], effort: str | None, thinks: bool) -> None:
    row = capabilities("openai", model)
    assert set(row.names.values()) == names
    assert dict(row.always) == ({"reasoning_effort": effort} if effort else {})
    assert bool(problems("openai", model, request(1).decoding)) == thinks
    assert problems("openai", model, request(1, max_new_tokens=2048).decoding) == []


def test_what_is_not_sent_is_told() -> None:
    asked = request(1, top_k=3, stop=list("abcdef"), temperature=0.5)
    assert set(dropped("openai", "gpt-4o", asked.decoding)) == {"top_k", "stop"}
    assert parameters("openai", "gpt-4o", asked.decoding)["stop"] == list("abcd")
    assert set(dropped("openai", "o3", asked.decoding)) == {"top_k", "stop", "temperature"}


# Lines of results


@pytest.mark.parametrize(
    ("error", "retryable"),
    [
        ({"code": "batch_expired", "message": "too late"}, True),
        ({"code": "something_new", "message": "?"}, True),
        ({"code": 400, "message": "bad"}, False),
        ({"code": 503, "message": "busy"}, True),
        ("just a text", True),
    ],
)
def test_errors_of_lines(error: Any, retryable: bool) -> None:
    line = json.dumps({"custom_id": "a", "response": None, "error": error}).encode()
    name, result = batch_answer("openai", line)
    assert name == "a"
    assert isinstance(result, RequestError)
    assert result.retryable == retryable


def test_a_row_that_the_account_could_not_pay_is_not_tried_again() -> None:
    body = {"error": {"message": "no credits", "code": "insufficient_quota"}}
    line = {"custom_id": "a", "response": {"status_code": 429, "body": body}, "error": None}
    _, result = batch_answer("openai", json.dumps(line).encode())
    assert isinstance(result, RequestError)
    assert not result.retryable
