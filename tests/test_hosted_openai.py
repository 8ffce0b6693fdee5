"""OpenAI: its test server as its SDK sees it, and our client."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import openai
import pytest
from hosted_contract import MESSAGES, SAMPLED, HostedContract
from hosted_provider import Provider, Said
from hosted_servers import ServerContract
from openai.types.chat import ChatCompletion
from servers.faults import always, first_try
from servers.hosted import DAY_S
from servers.inputs import chat, jsonl
from servers.openai import CHAT, Batch, OpenAIServer

from workflow_scripts.backends.client import BatchIntent

GPT = "gpt-4o-mini"


def line(key: str, question: str, **changes: Any) -> Any:
    body = chat(question, model=GPT, max_completion_tokens=9, **changes)
    return {"custom_id": key, "method": "POST", "url": CHAT, "body": body}


UNPAID = {"error": {"message": "no credits", "code": "insufficient_quota"}}
A, B = line("a", "a"), line("b", "b")


class OpenAI(Provider):
    name = "openai"
    make_server = OpenAIServer
    model = GPT
    missing_model = "gpt-4o-mimi"
    key_variable = "OPENAI_API_KEY"
    version = "/v1"
    says = "{url} offers gpt-4o-mini"
    body: ClassVar = {
        **{name: SAMPLED[name] for name in ("temperature", "top_p", "stop", "seed")},
        "model": GPT,
        "messages": MESSAGES,
        "max_completion_tokens": 9,
    }
    identity: ClassVar = {"endpoint": CHAT}
    identities: ClassVar = {"o4-mini": {"reasoning_effort": "low"}}
    create_call = "POST /v1/batches"
    results_call = "/content"
    counts_the_rest = False
    broken_file = r"invalid_json_line: .* \(line 6\)"

    errors = (openai.APIError,)
    list_path = "/v1/batches"
    life = ("in_progress", "finalizing", "completed")
    working = "in_progress"
    refusals = (
        ({"model": "gpt-9"}, "404.*model_not_found"),
        ({"extra_body": {"top_k": 5}}, "400.*Unrecognized request argument supplied: top_k"),
        ({"stop": list("abcde")}, "400.*array_above_max_length"),
        ({"model": "o4-mini", "temperature": 0}, "400.*unsupported_value"),
        ({"model": "o4-mini", "max_tokens": 5}, "400.*unsupported_parameter"),
        ({"temperature": 3}, "400.*temperature is not valid"),
    )
    faults: ClassVar = {"429": "429", "500": "500", "quota": "429.*insufficient_quota"}
    wrong_key = "401.*invalid_api_key"
    wrong_inputs = (
        ([{"custom_id": "a"}], "^invalid_json_line 1$"),
        (['{"custom_id": '], "^invalid_json_line 1$"),
        ([], "^empty_file None$"),
        ([A, A], "^duplicate_custom_id 2$"),
        ([A, {**B, "url": "/v1/responses"}], "^invalid_url 2$"),
        ([A, {**B, "method": "GET"}], "^invalid_url 2$"),
        ([A, {**B, "body": chat("q", model="gpt-4o")}], "^mismatched_model None$"),
    )
    wrong_row: ClassVar = {"temperature": 3}
    row_errors = ("invalid_request_error", "server_error")
    early_ends: ClassVar = {
        "cancelled": ("cancelled", True, "batch_cancelled"),
        "expired": ("expired", True, "batch_expired"),
    }
    longest_page = 100

    line = staticmethod(line)

    def sdk(self, server: Any, key: str | None = None, retries: int = 0) -> openai.OpenAI:
        base_url = f"{server.url}/v1"
        return openai.OpenAI(api_key=key or server.key, base_url=base_url, max_retries=retries)

    def ask(self, sdk: Any, question: str, most: int = 9, **changes: Any) -> Said:
        asked = {"model": GPT, "max_completion_tokens": most, **chat(question), **changes}
        return self.said(sdk.chat.completions.create(**asked))

    def models(self, sdk: Any) -> list[str]:
        return [model.id for model in sdk.models.list()]

    def upload(self, sdk: Any, content: bytes) -> str:
        return sdk.files.create(file=("in.jsonl", content), purpose="batch").id

    def create(self, sdk: Any, lines: Sequence[Any]) -> str:
        batch = sdk.batches.create(
            input_file_id=self.upload(sdk, jsonl(*lines)),
            endpoint=CHAT,
            completion_window="24h",
            metadata={"name": "x"},
        )
        assert (batch.status, batch.metadata) == ("validating", {"name": "x"})
        return batch.id

    def why_failed(self, sdk: Any, lines: Sequence[Any]) -> str:
        batch = sdk.batches.retrieve(self.create(sdk, lines))
        assert (batch.status, batch.output_file_id, batch.error_file_id) == ("failed", None, None)
        return ", ".join(f"{each.code} {each.line}" for each in batch.errors.data)

    def look(self, sdk: Any, job: str) -> str:
        return sdk.batches.retrieve(job).status

    def output(self, sdk: Any, job: str) -> list[Any]:
        batch = sdk.batches.retrieve(job)
        files = [batch.output_file_id, batch.error_file_id]
        return [line for file in files if file for line in sdk.files.content(file).iter_lines()]

    def row(self, line: Any) -> tuple[str, Said | Any]:
        response = line["response"]
        if response is None:
            return line["custom_id"], line["error"]["code"]
        if response["status_code"] == 200:
            return line["custom_id"], self.said(ChatCompletion.model_validate(response["body"]))
        assert line["error"] is None
        return line["custom_id"], response["body"]["error"]["type"]

    def listed(self, sdk: Any, page: int = 20) -> list[str]:
        return [batch.id for batch in sdk.batches.list(limit=page)]

    def shown(self, error: Any) -> str:
        return f"{getattr(error, 'status_code', '')} {error.code} {error.message}"

    def uploads(self, server: Any) -> int:
        return len([file for file in server.files.values() if file.purpose == "batch"])


OPENAI = OpenAI()


class TestServer(ServerContract):
    provider = OPENAI

    def test_files_of_results_are_there_where_they_have_a_line(self, server: Any, sdk: Any) -> None:
        server.faults = always("bad", "400")
        good, bad = (self.created(sdk, each) for each in ("good", "bad"))
        for job in (good, bad):
            self.states(sdk, job)
        assert sdk.batches.retrieve(good).error_file_id is None
        assert sdk.batches.retrieve(bad).output_file_id is None

    def test_a_file_has_a_most_of_requests(self, server: Any, sdk: Any) -> None:
        server.max_requests = 2
        three = [line(each, each) for each in "abc"]
        assert OPENAI.why_failed(sdk, three) == "too_many_tasks None"

    def test_the_queue_is_limited(self, server: Any, sdk: Any) -> None:
        server.enqueued_limit, server.held = 1, "in_progress"
        first = self.created(sdk, "a")
        OPENAI.look(sdk, first)
        assert OPENAI.why_failed(sdk, [A]) == "token_limit_exceeded None"
        server.held = None
        self.states(sdk, first)
        assert self.states(sdk, self.created(sdk, "a"))[-1] == "completed"

    def test_refused_calls(self, server: Any, sdk: Any) -> None:
        server.max_bytes = 1000
        file = OPENAI.upload(sdk, jsonl(A))
        other = sdk.files.create(file=("x.jsonl", b"{}"), purpose="user_data").id
        ended = self.created(sdk, "a")
        self.states(sdk, ended)
        job = {"input_file_id": file, "endpoint": CHAT, "completion_window": "24h"}
        for call, values, said in (
            (sdk.batches.create, {**job, "input_file_id": "file-99"}, "400.*No such File"),
            (sdk.batches.create, {**job, "input_file_id": other}, "400.*file purpose"),
            (sdk.batches.create, {**job, "completion_window": "1h"}, "400.*completion_window"),
            (sdk.batches.create, {**job, "endpoint": "/v1/else"}, "400.*endpoint"),
            (sdk.batches.create, {**job, "metadata": {"k": "v" * 513}}, "400.*metadata"),
            (sdk.batches.cancel, {"batch_id": ended}, "400.*Cannot cancel"),
            (sdk.files.create, {"file": ("in.txt", b"{}"), "purpose": "batch"}, "400.*jsonl"),
            (sdk.files.create, {"file": ("a.jsonl", b"x" * 1001), "purpose": "batch"}, "413"),
        ):
            with self.refused(said):
                call(**values)

    def test_files_are_listed_and_expire(self, server: Any, sdk: Any) -> None:
        ids = [OPENAI.upload(sdk, jsonl(A)) for _ in range(5)]
        assert [file.id for file in sdk.files.list(purpose="batch", limit=2)] == ids[::-1]
        assert sdk.files.content(ids[0]).read() == jsonl(A)
        server.clock += 30 * DAY_S
        with pytest.raises(openai.NotFoundError):
            sdk.files.content(ids[0])


class TestClient(HostedContract):
    provider = OPENAI

    def test_organization_and_project(self, server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
        monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-1")
        self.ask(server)
        assert server.heads[-1]["OpenAI-Organization"] == "org-1"
        assert server.heads[-1]["OpenAI-Project"] == "proj-1"

    def test_an_empty_account_is_not_asked_again(self, server: Any) -> None:
        server.faults = lambda *_: "quota"
        error = self.refused(server)
        assert (error.retryable, error.overloaded) == (False, False)

    def test_a_key_that_may_not_list_models_is_no_obstacle(self, server: Any) -> None:
        server.faults = always("GET /v1/models", "403")
        assert "not checked" in self.check(server)

    def test_jobs_from_before_the_intent_are_not_looked_through(self, server: Any) -> None:
        file = server.store("old.jsonl", "batch", b"")
        other = BatchIntent("assay-other", 5, datetime.now(UTC) + timedelta(minutes=1))
        for days in range(250, 0, -1):
            created = other.at.timestamp() - days * DAY_S
            old = Batch(id=f"batch_{days}", created=created, file=file, endpoint=CHAT)
            server.batches[old.id] = old
        assert self.find(server, other) is None
        assert server.called("GET /v1/batches") == 2  # one page, twice

    def test_a_file_that_has_expired_is_uploaded_again(self, server: Any, lines: Path) -> None:
        server.faults = first_try("POST /v1/batches", "500")
        with self.fails(retryable=True):
            self.submit(server, lines)
        server.clock += 31 * DAY_S
        self.submit(server, lines)
        assert len(server.files) == 2

    def test_a_full_queue_fails_the_job(self, server: Any, lines: Path) -> None:
        server.enqueued_limit = 1
        status = self.ended(server, self.submit(server, lines))
        assert (status.state, status.queue_full) == ("failed", True)
        assert status.message.startswith("token_limit_exceeded: Enqueued token limit reached")

    def test_results_that_were_deleted_are_an_error(self, server: Any, finished: str) -> None:
        server.clock += 31 * DAY_S
        with self.fails("No such File", retryable=False):
            self.results(server, finished)

    @pytest.mark.parametrize(
        ("outcome", "retryable"),
        [
            ({"error": {"code": "batch_expired", "message": "too late"}}, True),
            ({"error": {"code": "something_new", "message": "?"}}, True),
            ({"error": {"code": 400, "message": "bad"}}, False),
            ({"error": {"code": 503, "message": "busy"}}, True),
            ({"error": "just a text"}, True),
            ({"response": {"status_code": 429, "body": UNPAID}}, False),
        ],
    )
    def test_errors_of_lines(self, server: Any, outcome: Any, retryable: bool) -> None:
        line = {"custom_id": "a", "response": None, "error": None, **outcome}
        name, error = self.client(server).read_result(json.dumps(line).encode())
        assert name == "a"
        with self.fails(retryable=retryable):
            raise error
