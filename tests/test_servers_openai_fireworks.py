"""The test servers of OpenAI and Fireworks behave as the providers' own SDKs expect."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import fireworks
import openai
import pytest
from openai.types import Batch
from servers.base import running
from servers.fireworks import ACCOUNT, MODEL, NO_BATCHES, FireworksServer
from servers.hosted import ALONE
from servers.openai import DAY_S, OpenAIServer

GPT = "gpt-4o-mini"
CHAT = "/v1/chat/completions"


def chat(question: str, **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question}], **more}


def jsonl(*lines: Any) -> bytes:
    return "".join((x if isinstance(x, str) else json.dumps(x)) + "\n" for x in lines).encode()


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
        assert self.polled(sdk, second.id)[1].errors.data[0].code == "token_limit_exceeded"  # type: ignore[union-attr,index]
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


class TestFireworks:
    @pytest.fixture
    def server(self) -> Iterator[FireworksServer]:
        with running(FireworksServer()) as server:
            yield server

    @pytest.fixture
    def sdk(self, server: FireworksServer) -> fireworks.Fireworks:
        return fireworks.Fireworks(
            api_key=server.key, account_id=ACCOUNT, base_url=server.url, max_retries=0
        )

    @pytest.fixture
    def chat_sdk(self, server: FireworksServer, sdk: fireworks.Fireworks) -> fireworks.Fireworks:
        """The SDK has chats elsewhere than all the rest, which an own base_url does not know."""
        return sdk.with_options(base_url=f"{server.url}/inference")

    def line(self, name: str, question: str | None = None, **more: Any) -> dict[str, Any]:
        return {"custom_id": name, "body": chat(question or f"ask {name}", max_tokens=9, **more)}

    def ready(self, sdk: fireworks.Fireworks, content: bytes, name: str = "in-1") -> None:
        """A data set with this content."""
        sdk.datasets.create(
            dataset_id=name, dataset={"user_uploaded": {}, "example_count": str(content.count(10))}
        )
        sdk.datasets.upload(name, file=("input.jsonl", content))
        while sdk.datasets.get(name).state != "READY":
            pass

    def create(
        self, sdk: fireworks.Fireworks, content: bytes, name: str = "job-1", **more: Any
    ) -> None:
        self.ready(sdk, content, f"in-{name}")
        values: Any = {"model": MODEL, "input_dataset_id": f"accounts/{ACCOUNT}/datasets/in-{name}"}
        sdk.batch_inference_jobs.create(batch_inference_job_id=name, **{**values, **more})

    def polled(self, sdk: fireworks.Fireworks, name: str = "job-1") -> tuple[list[str], Any]:
        states: list[str] = []
        while True:
            job = sdk.batch_inference_jobs.get(name)
            states.append(str(job.state).removeprefix("JOB_STATE_"))
            if states[-1] in ("COMPLETED", "FAILED", "EXPIRED"):
                return states, job

    def downloaded(self, sdk: fireworks.Fireworks, job: Any) -> dict[str, list[Any]]:
        """The lines of the output files, by the last part of their names."""
        output = job.output_dataset_id.rsplit("/", 1)[-1]
        urls = sdk.datasets.get_download_endpoint(output).filename_to_signed_urls or {}
        found = {}
        for name, url in urls.items():
            assert name.startswith(f"dataset/{output}/")
            with urllib.request.urlopen(url) as response:  # noqa: S310
                found[name.rsplit("/", 1)[-1]] = [*map(json.loads, response)]
        return found

    def test_a_chat_is_answered_and_billed(
        self, server: FireworksServer, chat_sdk: fireworks.Fireworks
    ) -> None:
        answer: Any = chat_sdk.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": "one two three four"}],
            max_tokens=3,
            temperature=0,
            top_k=5,
            seed=1,
        )
        assert answer.choices[0].message.content == "to one two"
        assert answer.choices[0].finish_reason == "length"
        assert [job for job, _ in server.bills] == [ALONE]

    def test_refused_chats(self, server: FireworksServer, chat_sdk: fireworks.Fireworks) -> None:
        with pytest.raises(fireworks.NotFoundError) as caught:
            chat_sdk.chat.completions.create(model="accounts/fireworks/models/none", **chat("q"))
        assert caught.value.body["error"]["code"] == "NOT_FOUND"  # type: ignore[index]
        with pytest.raises(fireworks.BadRequestError, match="Extra inputs are not permitted"):
            chat_sdk.chat.completions.create(model=MODEL, **chat("q"), extra_body={"nonsense": 1})
        with pytest.raises(fireworks.BadRequestError):
            chat_sdk.chat.completions.create(model=MODEL, **chat("q"), top_k=101)
        assert server.bills == []

    def test_the_sdk_retries_what_may_pass(
        self, server: FireworksServer, chat_sdk: fireworks.Fireworks
    ) -> None:
        server.faults = lambda _, tries: ("429", "503", "")[tries]
        chat_sdk.with_options(max_retries=2).chat.completions.create(model=MODEL, **chat("q"))
        assert [outcome for _, outcome in server.ledger] == ["429", "503", "answered"]

    def test_every_call_wants_the_key(self, server: FireworksServer) -> None:
        sdk = fireworks.Fireworks(
            api_key="wrong", account_id=ACCOUNT, base_url=server.url, max_retries=0
        )
        calls: list[Any] = [
            lambda: sdk.models.get("gpt-oss-120b", account_id="fireworks"),
            lambda: sdk.chat.completions.create(model=MODEL, **chat("q")),
            sdk.datasets.list,
            lambda: sdk.datasets.get("in-1"),
            lambda: sdk.datasets.upload("in-1", file=b"x"),
            sdk.batch_inference_jobs.list,
            lambda: sdk.batch_inference_jobs.get("job-1"),
        ]
        for call in calls:
            with pytest.raises(fireworks.PermissionDeniedError) as caught:
                call()
            assert caught.value.body["error"]["code"] == "UNAUTHORIZED"  # type: ignore[index]

    def test_models(self, sdk: fireworks.Fireworks) -> None:
        assert {MODEL, NO_BATCHES} < {m.name for m in sdk.models.list(account_id="fireworks")}
        assert sdk.models.get("gpt-oss-120b", account_id="fireworks").supports_serverless
        with pytest.raises(fireworks.NotFoundError):
            sdk.models.get("none", account_id="fireworks")

    def test_a_whole_job(self, server: FireworksServer, sdk: fireworks.Fireworks) -> None:
        names = [f"r{number}" for number in range(9)]
        self.create(sdk, jsonl(*map(self.line, names)))
        states, job = self.polled(sdk)
        assert states == ["PENDING", "CREATING", "RUNNING", "COMPLETED"]
        assert job.status.code == "OK"
        assert job.job_progress.total_processed_requests == 9
        files = self.downloaded(sdk, job)
        found = {line["custom_id"]: line["response"] for line in files["BIJOutputSet.jsonl"]}
        assert sorted(found) == names != list(found)
        assert found["r3"]["choices"][0]["message"]["content"] == "to ask r3"
        assert files["error-data"] == []
        assert [*server.billed().values()] == [1] * 9

    def test_parameters_of_the_job_hold_where_rows_leave_them_open(
        self, sdk: fireworks.Fireworks
    ) -> None:
        self.create(
            sdk,
            jsonl({"custom_id": "a", "body": chat("b c")}, self.line("x", "b c")),
            inference_parameters={"max_tokens": 1, "extra_body": json.dumps({"stop": ["b"]})},
        )
        files = self.downloaded(sdk, self.polled(sdk)[1])
        finishes = {
            line["custom_id"]: line["response"]["choices"][0]["finish_reason"]
            for line in files["BIJOutputSet.jsonl"]
        }
        assert finishes == {"a": "stop", "x": "stop"}

    def test_datasets_want_their_count(self, sdk: fireworks.Fireworks) -> None:
        with pytest.raises(fireworks.BadRequestError, match="example_count is required"):
            sdk.datasets.create(dataset_id="in-1", dataset={"user_uploaded": {}})
        with pytest.raises(fireworks.BadRequestError, match="invalid dataset id"):
            sdk.datasets.create(
                dataset_id="In_1", dataset={"user_uploaded": {}, "example_count": "1"}
            )

    def test_ids_are_taken_once(self, sdk: fireworks.Fireworks) -> None:
        content = jsonl(self.line("a"))
        self.create(sdk, content)
        with pytest.raises(fireworks.ConflictError) as caught:
            self.ready(sdk, content, "in-job-1")
        assert caught.value.body["code"] == 6  # type: ignore[index]
        with pytest.raises(fireworks.BadRequestError, match="already uploaded"):
            sdk.datasets.upload("in-job-1", file=("input.jsonl", content))
        with pytest.raises(fireworks.ConflictError):
            sdk.batch_inference_jobs.create(
                batch_inference_job_id="job-1", model=MODEL, input_dataset_id="in-job-1"
            )

    def test_deleting_a_job_cancels_it(
        self, server: FireworksServer, sdk: fireworks.Fireworks
    ) -> None:
        self.create(sdk, jsonl(self.line("a")))
        sdk.batch_inference_jobs.delete("job-1")
        assert sdk.batch_inference_jobs.get("job-1").state == "JOB_STATE_DELETING_CLEANING_UP"
        with pytest.raises(fireworks.NotFoundError):
            sdk.batch_inference_jobs.get("job-1")
        assert server.bills == []

    def test_a_job_wants_a_dataset_that_is_ready(self, sdk: fireworks.Fireworks) -> None:
        sdk.datasets.create(dataset_id="in-1", dataset={"user_uploaded": {}, "example_count": "1"})
        with pytest.raises(fireworks.BadRequestError, match="not ready"):
            sdk.batch_inference_jobs.create(model=MODEL, input_dataset_id="in-1")
        with pytest.raises(fireworks.NotFoundError):
            sdk.batch_inference_jobs.create(model=MODEL, input_dataset_id="in-2")

    def test_large_files_go_to_a_signed_url(
        self, server: FireworksServer, sdk: fireworks.Fireworks
    ) -> None:
        server.max_direct_bytes = 10
        content = jsonl(self.line("a"))
        size = len(content)
        sdk.datasets.create(dataset_id="in-1", dataset={"user_uploaded": {}, "example_count": "1"})
        with pytest.raises(fireworks.BadRequestError, match="too large"):
            sdk.datasets.upload("in-1", file=("input.jsonl", content))
        urls = sdk.datasets.get_upload_endpoint(
            "in-1", filename_to_size={"input.jsonl": str(size)}
        ).filename_to_signed_urls
        assert urls is not None
        good = {
            "Content-Type": "application/octet-stream",
            "x-goog-content-length-range": f"{size},{size}",
        }
        for headers, status in (
            ({**good, "Authorization": f"Bearer {server.key}"}, 400),
            ({**good, "x-goog-content-length-range": "1,1"}, 403),
            (good, 200),
        ):
            put = urllib.request.Request(  # noqa: S310
                urls["input.jsonl"], content, headers, method="PUT"
            )
            try:
                with urllib.request.urlopen(put) as response:  # noqa: S310
                    found = response.status
            except urllib.error.HTTPError as error:
                found = error.code
            assert found == status
        sdk.datasets.validate_upload("in-1", body={})
        states = [sdk.datasets.get("in-1").state for _ in range(2)]
        assert states == ["UPLOADING", "READY"]

    def test_downloads(self, server: FireworksServer, sdk: fireworks.Fireworks) -> None:
        self.create(sdk, jsonl(self.line("a")))
        _, job = self.polled(sdk)
        output = job.output_dataset_id.rsplit("/", 1)[-1]
        path = f"{server.url}/v1/accounts/{ACCOUNT}/datasets/{output}:getDownloadEndpoint"
        headers = {"Authorization": f"Bearer {server.key}"}
        for method, data, status in (("GET", b"{}", 400), ("POST", b"{}", 405), ("GET", None, 200)):
            asked = urllib.request.Request(path, data, headers, method=method)  # noqa: S310
            try:
                with urllib.request.urlopen(asked) as response:  # noqa: S310
                    found, told = response.status, json.load(response)
            except urllib.error.HTTPError as error:
                found = error.code
            assert found == status
        (url, _) = told["filenameToSignedUrls"].values()
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(urllib.request.Request(url, headers=headers))  # noqa: S310
        server.clock += 600
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(url)  # noqa: S310

    @pytest.mark.parametrize(
        "second",
        [
            {"custom_id": "b", "body": {"messages": [{"role": "bananas", "content": "q"}]}},
            {"custom_id": "a", "body": chat("q")},
            {"body": chat("q")},
            "{",
        ],
    )
    def test_a_bad_row_fails_the_job(
        self, server: FireworksServer, sdk: fireworks.Fireworks, second: Any
    ) -> None:
        self.create(sdk, jsonl(self.line("a"), second))
        states, job = self.polled(sdk)
        assert states == ["FAILED"]
        assert job.status.code == "INVALID_ARGUMENT"
        assert "Dataset has a syntax error" in job.status.message
        with pytest.raises(fireworks.NotFoundError, match="resource not found"):
            self.downloaded(sdk, job)
        assert server.bills == []

    def test_failed_rows_come_as_error_data(
        self, server: FireworksServer, sdk: fireworks.Fireworks
    ) -> None:
        self.create(sdk, jsonl(self.line("a"), self.line("b", nonsense=1)))
        files = self.downloaded(sdk, self.polled(sdk)[1])
        assert [line["custom_id"] for line in files["BIJOutputSet.jsonl"]] == ["a"]
        assert [line["custom_id"] for line in files["error-data"]] == ["b"]
        assert len(server.bills) == 1

    def test_a_model_without_batches_leaves_the_job_pending(self, sdk: fireworks.Fireworks) -> None:
        self.create(sdk, jsonl(self.line("a")), model=NO_BATCHES)
        states = {sdk.batch_inference_jobs.get("job-1").state for _ in range(5)}
        assert states == {"JOB_STATE_PENDING"}

    def test_expired_jobs_keep_what_they_have(
        self, server: FireworksServer, sdk: fireworks.Fireworks
    ) -> None:
        server.rows_per_poll = 2
        self.create(sdk, jsonl(*(self.line(str(n)) for n in range(5))))
        for _ in range(4):
            sdk.batch_inference_jobs.get("job-1")
        server.clock += DAY_S
        states, job = self.polled(sdk)
        assert states == ["EXPIRED"]
        assert len(self.downloaded(sdk, job)["BIJOutputSet.jsonl"]) == 2
        assert len(server.bills) == 2

    def test_lists_come_in_pages(self, server: FireworksServer, sdk: fireworks.Fireworks) -> None:
        for number in range(5):
            self.create(sdk, jsonl(self.line("a")), f"job-{number}")
        jobs = sdk.batch_inference_jobs.list(page_size=2)
        assert [str(job.name)[-5:] for job in jobs] == [f"job-{n}" for n in range(5)]
        assert server.called(f"GET /v1/accounts/{ACCOUNT}/batchInferenceJobs") == 3
        assert len([*sdk.datasets.list(page_size=2)]) == 5

    def test_another_account_is_forbidden(self, sdk: fireworks.Fireworks) -> None:
        with pytest.raises(fireworks.PermissionDeniedError):
            sdk.datasets.list(account_id="someone")

    @pytest.mark.parametrize("call", ["datasets", "datasets/in-job-1:upload", "batchInferenceJobs"])
    @pytest.mark.parametrize("fault", ["500", "503", "429", "reset", "half"])
    def test_faults_of_calls(
        self, server: FireworksServer, sdk: fireworks.Fireworks, call: str, fault: str
    ) -> None:
        path = f"POST /v1/accounts/{ACCOUNT}/{call}"
        server.faults = lambda found, tries: fault if found == path and tries == 0 else ""
        with pytest.raises(fireworks.APIError):
            self.create(sdk, jsonl(self.line("a")))
        assert server.jobs == {}

    def test_a_creation_whose_response_is_lost(
        self, server: FireworksServer, sdk: fireworks.Fireworks
    ) -> None:
        path = f"POST /v1/accounts/{ACCOUNT}/batchInferenceJobs"
        server.faults = lambda call, _: "after reset" if call == path else ""
        with pytest.raises(fireworks.APIConnectionError):
            self.create(sdk, jsonl(self.line("a")))
        self.polled(sdk)
        assert [*server.billed().values()] == [1]
