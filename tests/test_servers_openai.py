"""The test server of OpenAI behaves as the provider's own SDK expects."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai.types import Batch
from servers.base import running
from servers.hosted import ALONE, DAY_S
from servers.inputs import chat, jsonl
from servers.openai import OpenAIServer

GPT = "gpt-4o-mini"
CHAT = "/v1/chat/completions"


class TestOpenAI:
    @pytest.fixture
    def server(self) -> Iterator[OpenAIServer]:
        with running(OpenAIServer()) as server:
            yield server

    @pytest.fixture
    def sdk(self, server: OpenAIServer) -> openai.OpenAI:
        return openai.OpenAI(api_key=server.key, base_url=f"{server.url}/v1", max_retries=0)

    def line(self, name: str, question: str | None = None, **changes: Any) -> dict[str, Any]:
        body = chat(question or f"ask {name}", model=GPT, max_completion_tokens=9)
        return {"custom_id": name, "method": "POST", "url": CHAT, "body": body, **changes}

    def upload(self, sdk: openai.OpenAI, content: bytes, name: str = "in.jsonl") -> str:
        return sdk.files.create(file=(name, content), purpose="batch").id

    def create(self, sdk: openai.OpenAI, content: bytes) -> Batch:
        return sdk.batches.create(
            input_file_id=self.upload(sdk, content),
            endpoint=CHAT,
            completion_window="24h",
            metadata={"name": "x"},
        )

    def polled(self, sdk: openai.OpenAI, name: str) -> tuple[list[str], Batch]:
        """The states that a batch goes through when it is polled, and its last."""
        states: list[str] = []
        while True:
            batch = sdk.batches.retrieve(name)
            states.append(batch.status)
            if batch.status in ("failed", "completed", "expired", "cancelled"):
                return states, batch

    def lines(self, sdk: openai.OpenAI, file: str | None) -> list[Any]:
        return [] if file is None else [*map(json.loads, sdk.files.content(file).iter_lines())]

    def test_a_chat_is_answered_and_billed(self, server: OpenAIServer, sdk: openai.OpenAI) -> None:
        answer = sdk.chat.completions.create(
            model=GPT,
            messages=[{"role": "user", "content": "one two three four"}],
            max_completion_tokens=3,
            temperature=0,
            seed=1,
            stop=["."],
        )
        assert answer.choices[0].message.content == "to one two"
        assert answer.choices[0].finish_reason == "length"
        assert answer.usage is not None
        assert answer.usage.total_tokens == 7
        assert [job for job, _ in server.bills] == [ALONE]

    @pytest.mark.parametrize(
        ("changes", "status", "code"),
        [
            ({"model": "gpt-9"}, 404, "model_not_found"),
            ({"extra_body": {"top_k": 5}}, 400, None),
            ({"stop": list("abcde")}, 400, "array_above_max_length"),
            ({"model": "o4-mini", "temperature": 0}, 400, "unsupported_value"),
            ({"model": "o4-mini", "max_tokens": 5}, 400, "unsupported_parameter"),
            ({"temperature": 3}, 400, None),
        ],
    )
    def test_refused_chats(
        self,
        server: OpenAIServer,
        sdk: openai.OpenAI,
        changes: dict[str, Any],
        status: int,
        code: str | None,
    ) -> None:
        with pytest.raises(openai.APIStatusError) as caught:
            sdk.chat.completions.create(**{"model": GPT, **chat("q"), **changes})
        assert (caught.value.status_code, caught.value.code) == (status, code)
        assert server.bills == []

    def test_the_sdk_retries_what_may_pass(self, server: OpenAIServer, sdk: openai.OpenAI) -> None:
        server.faults = lambda _, tries: ("429", "500", "")[tries]
        sdk.with_options(max_retries=2).chat.completions.create(model=GPT, **chat("q"))
        assert [outcome for _, outcome in server.ledger] == ["429", "500", "answered"]
        assert len(server.bills) == 1

    def test_an_answer_that_was_lost_is_billed_again(
        self, server: OpenAIServer, sdk: openai.OpenAI
    ) -> None:
        server.faults = lambda _, tries: "" if tries else "after reset"
        sdk.with_options(max_retries=1).chat.completions.create(model=GPT, **chat("q"))
        assert [*server.billed().values()] == [2]

    def test_exhausted_quota(self, server: OpenAIServer, sdk: openai.OpenAI) -> None:
        server.faults = lambda *_: "quota"
        with pytest.raises(openai.RateLimitError) as caught:
            sdk.chat.completions.create(model=GPT, **chat("q"))
        assert caught.value.code == "insufficient_quota"

    @pytest.mark.parametrize("key", ["", "wrong"])
    def test_every_call_wants_the_key(self, server: OpenAIServer, key: str) -> None:
        sdk = openai.OpenAI(api_key=key or "x", base_url=f"{server.url}/v1", max_retries=0)
        if not key:
            sdk = sdk.with_options(default_headers={"Authorization": ""})
        calls: list[Any] = [
            sdk.models.list,
            lambda: sdk.chat.completions.create(model=GPT, **chat("q")),
            lambda: self.upload(sdk, jsonl(self.line("a"))),
            sdk.files.list,
            lambda: sdk.files.content("file-1"),
            sdk.batches.list,
            lambda: sdk.batches.retrieve("batch_1"),
            lambda: sdk.batches.cancel("batch_1"),
        ]
        for call in calls:
            with pytest.raises(openai.AuthenticationError):
                call()

    def test_models(self, sdk: openai.OpenAI) -> None:
        assert GPT in [model.id for model in sdk.models.list()]
        assert sdk.models.retrieve(GPT).id == GPT
        with pytest.raises(openai.NotFoundError):
            sdk.models.retrieve("gpt-9")

    def test_a_whole_batch(self, server: OpenAIServer, sdk: openai.OpenAI) -> None:
        names = [f"r{number}" for number in range(9)]
        created = self.create(sdk, jsonl(*map(self.line, names)))
        assert (created.status, created.metadata) == ("validating", {"name": "x"})
        states, batch = self.polled(sdk, created.id)
        assert states == ["in_progress", "finalizing", "completed"]
        assert batch.request_counts is not None
        assert (batch.request_counts.total, batch.request_counts.completed) == (9, 9)
        assert batch.error_file_id is None
        found = {line["custom_id"]: line for line in self.lines(sdk, batch.output_file_id)}
        assert sorted(found) == names != list(found)
        choice = found["r3"]["response"]["body"]["choices"][0]
        assert choice["message"]["content"] == "to ask r3"
        assert len({line["response"]["body"]["id"] for line in found.values()}) == 9
        assert [*server.billed().values()] == [1] * 9

    def test_polling_in_portions(self, server: OpenAIServer, sdk: openai.OpenAI) -> None:
        server.rows_per_poll = 2
        created = self.create(sdk, jsonl(*(self.line(str(n)) for n in range(5))))
        sdk.batches.retrieve(created.id)
        counts = []
        for _ in range(3):
            told = sdk.batches.retrieve(created.id).request_counts
            assert told is not None
            counts.append(told.completed)
        assert counts == [2, 4, 5]

    def test_a_held_state(self, server: OpenAIServer, sdk: openai.OpenAI) -> None:
        server.held = "in_progress"
        created = self.create(sdk, jsonl(self.line("a")))
        states = [sdk.batches.retrieve(created.id).status for _ in range(3)]
        assert states == ["in_progress"] * 3
        server.held = None
        assert self.polled(sdk, created.id)[1].status == "completed"

    def test_failed_rows_come_in_the_error_file(
        self, server: OpenAIServer, sdk: openai.OpenAI
    ) -> None:
        server.faults = lambda question, _: "400" if question == "bad" else ""
        created = self.create(sdk, jsonl(self.line("a"), self.line("b", "bad")))
        _, batch = self.polled(sdk, created.id)
        assert batch.status == "completed"
        assert batch.request_counts is not None
        assert (batch.request_counts.completed, batch.request_counts.failed) == (1, 1)
        assert [line["custom_id"] for line in self.lines(sdk, batch.output_file_id)] == ["a"]
        (failed,) = self.lines(sdk, batch.error_file_id)
        assert failed["custom_id"] == "b"
        assert failed["response"]["status_code"] == 400
        assert failed["response"]["body"]["error"]["type"] == "invalid_request_error"
        assert failed["error"] is None
        assert len(server.bills) == 1

    def test_no_output_file_where_nothing_succeeded(
        self, server: OpenAIServer, sdk: openai.OpenAI
    ) -> None:
        server.faults = lambda question, _: "400" if question == "bad" else ""
        created = self.create(sdk, jsonl(self.line("b", "bad")))
        _, batch = self.polled(sdk, created.id)
        assert (batch.status, batch.output_file_id) == ("completed", None)

    @pytest.mark.parametrize(
        ("content", "code", "line"),
        [
            (jsonl({"custom_id": "a"}), "invalid_json_line", 1),
            (b'{"custom_id": \n', "invalid_json_line", 1),
            (b"", "empty_file", None),
        ],
    )
    def test_a_bad_file_fails_the_batch(
        self, sdk: openai.OpenAI, content: bytes, code: str, line: int | None
    ) -> None:
        states, batch = self.polled(sdk, self.create(sdk, content).id)
        assert states == ["failed"]
        assert batch.errors is not None
        assert batch.errors.data is not None
        assert (batch.errors.data[0].code, batch.errors.data[0].line) == (code, line)
        assert (batch.output_file_id, batch.error_file_id) == (None, None)

    @pytest.mark.parametrize(
        ("second", "code"),
        [
            ({"custom_id": "a"}, "duplicate_custom_id"),
            ({"url": "/v1/responses"}, "invalid_url"),
            ({"method": "GET"}, "invalid_url"),
            ({"body": chat("q", model="gpt-4o")}, "mismatched_model"),
        ],
    )
    def test_bad_lines_fail_the_batch(
        self, server: OpenAIServer, sdk: openai.OpenAI, second: dict[str, Any], code: str
    ) -> None:
        content = jsonl(self.line("a"), self.line("b", **second))
        _, batch = self.polled(sdk, self.create(sdk, content).id)
        assert batch.status == "failed"
        assert batch.errors is not None
        assert [problem.code for problem in batch.errors.data or []] == [code]
        assert server.bills == []

    def test_limits(self, server: OpenAIServer, sdk: openai.OpenAI) -> None:
        server.max_requests, server.max_bytes = 2, 1000
        _, batch = self.polled(sdk, self.create(sdk, jsonl(*map(self.line, "abc"))).id)
        assert batch.errors is not None
        assert [problem.code for problem in batch.errors.data or []] == ["too_many_tasks"]
        with pytest.raises(openai.APIStatusError):
            self.upload(sdk, b"x" * 1001)
        with pytest.raises(openai.BadRequestError):
            self.upload(sdk, b"{}", name="in.txt")

    def test_the_queue_is_limited(self, server: OpenAIServer, sdk: openai.OpenAI) -> None:
        server.enqueued_limit, server.held = 3, "in_progress"
        first = self.create(sdk, jsonl(self.line("a")))
        sdk.batches.retrieve(first.id)
        second = self.create(sdk, jsonl(self.line("b")))
        assert self.polled(sdk, second.id)[1].errors.data[0].code == "token_limit_exceeded"
        server.held = None
        self.polled(sdk, first.id)
        third = self.create(sdk, jsonl(self.line("b")))
        assert self.polled(sdk, third.id)[1].status == "completed"

    def test_refused_creations(self, sdk: openai.OpenAI) -> None:
        file = self.upload(sdk, jsonl(self.line("a")))
        other = sdk.files.create(file=("x.jsonl", b"{}"), purpose="user_data").id
        for changes in (
            {"input_file_id": "file-99"},
            {"input_file_id": other},
            {"completion_window": "1h"},
            {"endpoint": "/v1/else"},
            {"metadata": {"k": "v" * 513}},
        ):
            values: Any = {"input_file_id": file, "endpoint": CHAT, "completion_window": "24h"}
            with pytest.raises(openai.BadRequestError):
                sdk.batches.create(**{**values, **changes})

    @pytest.mark.parametrize("how", ["expired", "cancelled"])
    def test_partial_results(self, server: OpenAIServer, sdk: openai.OpenAI, how: str) -> None:
        server.rows_per_poll = 2
        created = self.create(sdk, jsonl(*(self.line(str(n)) for n in range(5))))
        for _ in range(2):
            sdk.batches.retrieve(created.id)
        if how == "expired":
            server.clock += DAY_S
        else:
            assert sdk.batches.cancel(created.id).status == "cancelling"
        _, batch = self.polled(sdk, created.id)
        assert batch.status == how
        assert len(self.lines(sdk, batch.output_file_id)) == 2
        failed = self.lines(sdk, batch.error_file_id)
        assert {line["error"]["code"] for line in failed} == {f"batch_{how}"}
        assert [line["response"] for line in failed] == [None] * 3
        assert len(server.bills) == 2

    def test_a_batch_that_ended_cannot_be_cancelled(self, sdk: openai.OpenAI) -> None:
        created = self.create(sdk, jsonl(self.line("a")))
        self.polled(sdk, created.id)
        with pytest.raises(openai.BadRequestError):
            sdk.batches.cancel(created.id)

    def test_lists_come_in_pages(self, server: OpenAIServer, sdk: openai.OpenAI) -> None:
        batches = [self.create(sdk, jsonl(self.line("a"))).id for _ in range(5)]
        assert [batch.id for batch in sdk.batches.list(limit=2)] == batches[::-1]
        assert server.called("GET /v1/batches") == 3
        files = [file.id for file in sdk.files.list(purpose="batch", limit=2, order="asc")]
        assert len(files) == 5
        assert [file.id for file in sdk.files.list()] == files[::-1]
        with pytest.raises(openai.BadRequestError):
            sdk.batches.list(limit=101)

    def test_files_expire_and_are_deleted(self, server: OpenAIServer, sdk: openai.OpenAI) -> None:
        first, second = (self.upload(sdk, jsonl(self.line(each))) for each in "ab")
        assert sdk.files.retrieve(first).bytes == len(sdk.files.content(first).read())
        assert sdk.files.delete(first).deleted
        server.clock += 30 * DAY_S
        for gone in (first, second):
            with pytest.raises(openai.NotFoundError):
                sdk.files.content(gone)

    @pytest.mark.parametrize(
        ("fault", "left"),
        [("twice", 4), ("unknown", 4), ("missing", 2), ("malformed", 3), ("shapeless", 3)],
    )
    def test_output_faults(
        self, server: OpenAIServer, sdk: openai.OpenAI, fault: str, left: int
    ) -> None:
        server.output_faults = (fault,)
        created = self.create(sdk, jsonl(*map(self.line, "abc")))
        _, batch = self.polled(sdk, created.id)
        assert batch.output_file_id is not None
        texts = [*sdk.files.content(batch.output_file_id).iter_lines()]
        assert len(texts) == left
        good = []
        for text in texts:
            try:
                line = json.loads(text)
            except ValueError:
                continue
            if line["custom_id"] in "abc" and isinstance(line["response"]["body"]["id"], str):
                good.append(line["custom_id"])
        assert len(set(good)) == (3 if fault in ("twice", "unknown") else 2)

    @pytest.mark.parametrize("fault", ["500", "503", "429", "reset", "half", "HTML"])
    @pytest.mark.parametrize(
        "call", ["POST /v1/files", "POST /v1/batches", "GET /v1/batches", "GET /v1/models"]
    )
    def test_faults_of_calls(
        self, server: OpenAIServer, sdk: openai.OpenAI, call: str, fault: str
    ) -> None:
        calls: dict[str, Any] = {
            "POST /v1/files": lambda: self.upload(sdk, jsonl(self.line("a"))),
            "POST /v1/batches": lambda: self.create(sdk, jsonl(self.line("a"))),
            "GET /v1/batches": sdk.batches.list,
            "GET /v1/models": sdk.models.list,
        }
        server.faults = lambda found, tries: fault if found == call and tries == 0 else ""
        with pytest.raises(openai.APIError) as caught:
            calls[call]()
        if fault.isdigit():
            assert isinstance(caught.value, openai.APIStatusError)
            assert caught.value.status_code == int(fault)
        assert server.batches == {}
        calls[call]()

    def test_a_creation_whose_response_is_lost(
        self, server: OpenAIServer, sdk: openai.OpenAI
    ) -> None:
        server.faults = lambda call, _: "after reset" if call == "POST /v1/batches" else ""
        with pytest.raises(openai.APIConnectionError):
            self.create(sdk, jsonl(self.line("a")))
        (batch,) = sdk.batches.list()
        assert batch.metadata == {"name": "x"}
        self.polled(sdk, batch.id)
        assert [*server.billed().values()] == [1]
