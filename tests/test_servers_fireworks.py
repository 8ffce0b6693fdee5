"""The test server of Fireworks behaves as the provider's own SDK expects."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import fireworks
import pytest
from servers.base import running
from servers.fireworks import ACCOUNT, MODEL, NO_BATCHES, FireworksServer
from servers.hosted import ALONE, DAY_S
from servers.inputs import chat, jsonl


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

    def test_half_a_body_is_no_request(self, server: FireworksServer) -> None:
        """As what a client that is killed while it uploads leaves."""
        path = f"/v1/accounts/{ACCOUNT}/datasets"
        with socket.create_connection(server.server_address[:2]) as connection:
            head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n"
            connection.sendall(head.encode() + b'{"datasetId": "half"')
            connection.shutdown(socket.SHUT_WR)
            assert connection.recv(1) == b""
        assert server.calls == []
        assert server.datasets == {}

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
            with urllib.request.urlopen(url) as response:  # noqa: S310 - our own server
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
        assert caught.value.body["error"]["code"] == "NOT_FOUND"
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
            assert caught.value.body["error"]["code"] == "UNAUTHORIZED"

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
        assert caught.value.body["code"] == 6
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
            put = urllib.request.Request(  # noqa: S310 - our own server
                urls["input.jsonl"], content, headers, method="PUT"
            )
            try:
                with urllib.request.urlopen(put) as response:  # noqa: S310 - our own server
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
            asked = urllib.request.Request(path, data, headers, method=method)  # noqa: S310 - our own server
            try:
                with urllib.request.urlopen(asked) as response:  # noqa: S310 - our own server
                    found, told = response.status, json.load(response)
            except urllib.error.HTTPError as error:
                found = error.code
            assert found == status
        (url, _) = told["filenameToSignedUrls"].values()
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(urllib.request.Request(url, headers=headers))  # noqa: S310 - our own server
        server.clock += 600
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(url)  # noqa: S310 - our own server

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
        assert server.batches == {}

    def test_a_creation_whose_response_is_lost(
        self, server: FireworksServer, sdk: fireworks.Fireworks
    ) -> None:
        path = f"POST /v1/accounts/{ACCOUNT}/batchInferenceJobs"
        server.faults = lambda call, _: "after reset" if call == path else ""
        with pytest.raises(fireworks.APIConnectionError):
            self.create(sdk, jsonl(self.line("a")))
        self.polled(sdk)
        assert [*server.billed().values()] == [1]
