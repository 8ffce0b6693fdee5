"""Fireworks: its test server as its SDK sees it, and our client."""

from __future__ import annotations

import itertools
import json
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import fireworks
import pytest
from fireworks.types.chat import CompletionCreateResponse
from hosted_contract import INTENT, MESSAGES, REQUESTS, SAMPLED, HostedContract, key
from hosted_provider import Provider, Said
from hosted_servers import ServerContract
from servers.faults import first_try
from servers.fireworks import ACCOUNT, MODEL, NO_BATCHES, FireworksServer
from servers.inputs import chat, jsonl

from workflow_scripts.backends import fireworks_client
from workflow_scripts.backends.client import BatchIntent
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.records import Completion

OF_ACCOUNT = f"/v1/accounts/{ACCOUNT}"
WRONG = "INVALID_ARGUMENT: Dataset has a syntax error"
BANANAS = {"role": "bananas", "content": "q"}


def line(key: str, question: str, **changes: Any) -> Any:
    return {"custom_id": key, "body": chat(question, max_tokens=9, **changes)}


A = line("a", "a")


class Fireworks(Provider):
    name = "fireworks"
    make_server = FireworksServer
    model = MODEL
    missing_model = "accounts/fireworks/models/gpt-oss-121b"
    key_variable = "FIREWORKS_API_KEY"
    environment: ClassVar = {"FIREWORKS_ACCOUNT_ID": ACCOUNT}
    version = "/inference/v1"
    says = f"{{url}} offers {MODEL}"
    body: ClassVar = {
        **SAMPLED,
        "model": MODEL,
        "messages": MESSAGES,
        "max_tokens": 9,
        "reasoning_effort": "low",
    }
    identity: ClassVar = {"endpoint": "/inference/v1/chat/completions", "reasoning_effort": "low"}
    create_call = f"POST {OF_ACCOUNT}/batchInferenceJobs"
    results_call = "GET /storage/"
    broken_file = f"^{WRONG}"

    errors = (fireworks.APIError,)
    list_path = f"{OF_ACCOUNT}/batchInferenceJobs"
    life = ("PENDING", "CREATING", "RUNNING", "COMPLETED")
    working = "RUNNING"
    refusals = (
        ({"model": "accounts/fireworks/models/none"}, "404.*NOT_FOUND"),
        ({"extra_body": {"nonsense": 1}}, "400.*Extra inputs are not permitted"),
        ({"top_k": 101}, "400.*top_k"),
    )
    faults: ClassVar = {"429": "429", "500": "500"}
    wrong_key = "403.*UNAUTHORIZED"
    wrong_inputs = (
        ([A, {"custom_id": "b", "body": {"messages": [BANANAS]}}], f"{WRONG}.*invalid role"),
        ([A, A], f"{WRONG}.*duplicate"),
        ([A, {"body": chat("q")}], f"{WRONG}.*custom_id"),
        ([A, "{"], WRONG),
    )
    wrong_row: ClassVar = {"nonsense": 1}
    row_errors = (400, 500)
    early_ends: ClassVar = {"expired": ("EXPIRED", True, "")}
    newest_first = False
    numbers = itertools.count(1)

    line = staticmethod(line)

    def sdk(self, server: Any, key: str | None = None, retries: int = 0) -> fireworks.Fireworks:
        known: Any = {"api_key": key or server.key, "account_id": ACCOUNT, "base_url": server.url}
        return fireworks.Fireworks(**known, max_retries=retries)

    def ask(self, sdk: Any, question: str, most: int = 9, **changes: Any) -> Said:
        # The SDK has chats elsewhere than all the rest, which an own base_url does not know.
        chats = sdk.with_options(base_url=f"{sdk.base_url}/inference").chat.completions
        asked = {"model": MODEL, "max_tokens": most, **chat(question), **changes}
        return self.said(chats.create(**asked))

    def models(self, sdk: Any) -> list[str]:
        return [model.name for model in sdk.models.list(account_id="fireworks", page_size=2)]

    def upload(self, sdk: Any, content: bytes) -> str:
        """A data set with this content."""
        name = f"in-{next(self.numbers)}"
        count = str(content.count(b"\n"))
        sdk.datasets.create(dataset_id=name, dataset={"user_uploaded": {}, "example_count": count})
        sdk.datasets.upload(name, file=("input.jsonl", content))
        while sdk.datasets.get(name).state != "READY":
            pass
        return name

    def create(self, sdk: Any, lines: Sequence[Any], **changes: Any) -> str:
        name = f"job-{next(self.numbers)}"
        source = f"accounts/{ACCOUNT}/datasets/{self.upload(sdk, jsonl(*lines))}"
        values: Any = {"model": MODEL, "input_dataset_id": source, **changes}
        sdk.batch_inference_jobs.create(batch_inference_job_id=name, **values)
        return name

    def why_failed(self, sdk: Any, lines: Sequence[Any]) -> str:
        name = self.create(sdk, lines)
        job = sdk.batch_inference_jobs.get(name)
        assert job.state == "JOB_STATE_FAILED"
        with pytest.raises(fireworks.NotFoundError, match="resource not found"):
            self.output(sdk, name)
        return f"{job.status.code}: {job.status.message}"

    def look(self, sdk: Any, job: str) -> str:
        return sdk.batch_inference_jobs.get(job).state.removeprefix("JOB_STATE_")

    def files(self, sdk: Any, job: str) -> dict[str, list[Any]]:
        """The lines of each file of results."""
        output = sdk.batch_inference_jobs.get(job).output_dataset_id.rsplit("/", 1)[-1]
        urls = sdk.datasets.get_download_endpoint(output).filename_to_signed_urls or {}
        found = {}
        for name, url in urls.items():
            with urllib.request.urlopen(url) as response:  # noqa: S310 - our own server
                found[name.removeprefix(f"dataset/{output}/")] = [*response]
        return found

    def output(self, sdk: Any, job: str) -> list[Any]:
        files = self.files(sdk, job)
        return [*files["BIJOutputSet.jsonl"], *files["error-data"]]

    def row(self, line: Any) -> tuple[str, Said | Any]:
        if "error" in line:
            return line["custom_id"], line["error"]["code"]
        reply = CompletionCreateResponse.model_validate(line["response"])
        return line["custom_id"], self.said(reply)

    def listed(self, sdk: Any, page: int = 20) -> list[str]:
        listed = sdk.batch_inference_jobs.list(page_size=page)
        return [job.name.rsplit("/", 1)[-1] for job in listed]

    def uploads(self, server: Any) -> int:
        return len([each for each in server.datasets if not each.startswith("bij-")])

    def row_of(self, body: Any) -> Any:
        return {name: value for name, value in body.items() if name != "model"}


FIREWORKS = Fireworks()


class TestServer(ServerContract):
    provider = FIREWORKS

    def status(self, url: str, data: bytes | None, headers: Any, method: str) -> int:
        """What comes of a plain request."""
        asked = urllib.request.Request(url, data, headers, method=method)  # noqa: S310 - our own server
        try:
            with urllib.request.urlopen(asked) as response:  # noqa: S310 - our own server
                return response.status
        except urllib.error.HTTPError as error:
            return error.code

    def test_results_and_errors_have_their_files(self, sdk: Any) -> None:
        job = FIREWORKS.create(sdk, [A, line("b", "b", nonsense=1)])
        self.states(sdk, job)
        files = FIREWORKS.files(sdk, job).items()
        keys = {name: [json.loads(line)["custom_id"] for line in lines] for name, lines in files}
        assert keys == {"BIJOutputSet.jsonl": ["a"], "error-data": ["b"]}

    def test_refused_calls(self, sdk: Any) -> None:
        taken = FIREWORKS.upload(sdk, jsonl(A))
        datasets, jobs = sdk.datasets, sdk.batch_inference_jobs
        new = {"dataset": {"user_uploaded": {}, "example_count": "1"}}
        uncounted = {"dataset": {"user_uploaded": {}}}
        datasets.create(dataset_id="empty", **new)
        job = {"batch_inference_job_id": "job", "model": MODEL}
        jobs.create(**job, input_dataset_id=taken)
        for call, values, said in (
            (datasets.create, {"dataset_id": "in", **uncounted}, "400.*example_count is required"),
            (datasets.create, {"dataset_id": "In_1", **new}, "400.*invalid dataset id"),
            (datasets.create, {"dataset_id": taken, **new}, "409.*'code': 6"),
            (datasets.upload, {"dataset_id": taken, "file": b"x"}, "400.*already uploaded"),
            (jobs.create, {**job, "input_dataset_id": taken}, "409.*'code': 6"),
            (jobs.create, {"model": MODEL, "input_dataset_id": "empty"}, "400.*not ready"),
            (jobs.create, {"model": MODEL, "input_dataset_id": "nowhere"}, "404"),
            (jobs.list, {"account_id": "someone"}, "403.*permission denied"),
        ):
            with self.refused(said):
                call(**values)

    def test_deleting_a_job_cancels_it(self, server: Any, sdk: Any) -> None:
        job = self.created(sdk, "a")
        sdk.batch_inference_jobs.delete(job)
        assert FIREWORKS.look(sdk, job) == "DELETING_CLEANING_UP"
        with self.refused("404.*'code': 5"):
            FIREWORKS.look(sdk, job)
        assert server.bills == []

    def test_large_files_go_to_a_signed_url(self, server: Any, sdk: Any) -> None:
        server.max_direct_bytes = 10
        content = jsonl(A)
        size = len(content)
        sdk.datasets.create(dataset_id="in-1", dataset={"user_uploaded": {}, "example_count": "1"})
        with pytest.raises(fireworks.BadRequestError, match="too large"):
            sdk.datasets.upload("in-1", file=("input.jsonl", content))
        sizes = {"input.jsonl": str(size)}
        urls = sdk.datasets.get_upload_endpoint("in-1", filename_to_size=sizes)
        url = (urls.filename_to_signed_urls or {})["input.jsonl"]
        length = "x-goog-content-length-range"
        good = {"Content-Type": "application/octet-stream", length: f"{size},{size}"}
        for headers, status in (
            ({**good, "Authorization": f"Bearer {server.key}"}, 400),
            ({**good, length: "1,1"}, 403),
            (good, 200),
        ):
            assert self.status(url, content, headers, "PUT") == status
        sdk.datasets.validate_upload("in-1", body={})
        assert [sdk.datasets.get("in-1").state for _ in range(2)] == ["UPLOADING", "READY"]

    def test_downloads(self, server: Any, sdk: Any) -> None:
        job = self.created(sdk, "a")
        self.states(sdk, job)
        output = f"bij-{job}"
        path = f"{server.url}{OF_ACCOUNT}/datasets/{output}:getDownloadEndpoint"
        key = {"Authorization": f"Bearer {server.key}"}
        assert self.status(path, b"{}", key, "GET") == 400
        assert self.status(path, b"{}", key, "POST") == 405
        assert self.status(path, None, key, "GET") == 200
        (url, _) = sdk.datasets.get_download_endpoint(output).filename_to_signed_urls.values()
        assert self.status(url, None, key, "GET") == 400
        assert self.status(url, None, {}, "GET") == 200
        server.clock += 600
        assert self.status(url, None, {}, "GET") == 400


class TestClient(HostedContract):
    provider = FIREWORKS

    @pytest.fixture(autouse=True)
    def _short_pauses(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(fireworks_client, "_FIRST_PAUSE_S", 0.0)

    def test_what_is_off_is_off_whatever_the_model_file_says(self, server: Any) -> None:
        self.ask(server)
        (body,) = server.bodies
        assert (body["top_p"], body["top_k"]) == (1.0, 0)

    def test_a_thought_that_left_no_room_for_an_answer(self, server: Any) -> None:
        message = {"role": "assistant", "content": None, "reasoning_content": "Well,"}
        server.choice = {"message": message, "finish_reason": "length"}
        answer = self.ask(server)
        assert (answer.response_text, answer.finish_reason) == ("", "length")

    def test_a_missing_account(self, server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("FIREWORKS_ACCOUNT_ID")
        with pytest.raises(UserError, match=r"FIREWORKS_ACCOUNT_ID is not set.*use_batch_api"):
            self.client(server)
        assert self.ask(server, use_batch_api=False).response_text

    @pytest.mark.parametrize(
        ("account", "model", "problem"),
        [
            ("someone", MODEL, "FIREWORKS_ACCOUNT_ID"),
            (ACCOUNT, NO_BATCHES, r"does not take batch jobs.*use_batch_api: false"),
            (ACCOUNT, "gpt-oss-120b", "accounts/fireworks/models/gpt-oss-120b"),
        ],
    )
    def test_check_finds_what_no_job_comes_of(
        self, server: Any, monkeypatch: Any, account: str, model: str, problem: str
    ) -> None:
        monkeypatch.setenv("FIREWORKS_ACCOUNT_ID", account)
        with pytest.raises(UserError, match=problem):
            self.check(server, model_id=model)

    def test_without_batches_any_model_will_do(self, server: Any) -> None:
        assert NO_BATCHES in self.check(server, model_id=NO_BATCHES, use_batch_api=False)

    def test_check_looks_through_all_pages_of_models(self, server: Any) -> None:
        first = {f"accounts/fireworks/models/a{number}": {} for number in range(450)}
        server.models = {**first, **server.models}
        with pytest.raises(UserError, match=MODEL):
            self.check(server, model_id=FIREWORKS.missing_model)

    def test_large_files_go_to_a_signed_url(
        self, server: Any, lines: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The server refuses signed requests that have the key, or other headers than signed."""
        monkeypatch.setattr(fireworks_client, "_LARGEST_DIRECT_UPLOAD", 100)
        server.max_direct_bytes = 100
        assert set(self.whole(server, lines)) == set(map(key, REQUESTS))
        assert [call for call in server.calls if call.startswith("PUT /storage/upload/")]

    def test_signatures_are_kept_out_of_messages(self, server: Any) -> None:
        async def moved(client: Any) -> str:
            url = "https://storage.example.org/file?X-Goog-Signature=secret"
            async with client._storage(url) as storage:
                return str(storage.error(f"moved to {url}", retryable=True))

        assert "secret" not in self.use(server, moved)

    def test_each_file_is_signed_anew(self, server: Any, finished: str) -> None:
        """Large files take longer than the ten minutes of a signature."""

        def time_passes(call: str, tries: int) -> str:
            server.clock += 400 if self.reads_results(call) else 0
            return ""

        server.faults = time_passes
        assert len(self.results(server, finished)) == len(REQUESTS)

    def test_a_refused_signature_may_pass(self, server: Any, finished: str) -> None:
        server.signed_for_s = -1
        with self.fails(retryable=True):
            self.results(server, finished)
        server.signed_for_s = 599
        assert len(self.results(server, finished)) == len(REQUESTS)

    def test_a_dataset_that_is_there_is_used(self, server: Any, lines: Path) -> None:
        server.faults = first_try(FIREWORKS.create_call, "reset")
        with self.fails(retryable=True):
            self.submit(server, lines)
        self.submit(server, lines)
        assert server.called(f"POST {OF_ACCOUNT}/datasets/{INTENT.name}:upload") == 1

    def test_a_dataset_that_never_gets_ready(
        self, server: Any, lines: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(fireworks_client, "_READY_WITHIN_S", 0.0)
        with self.fails("not ready", retryable=True):
            self.submit(server, lines)

    def test_a_model_without_batches_stays_pending(self, server: Any, lines: Path) -> None:
        job = self.submit(server, lines)
        server.batches[job].model = NO_BATCHES
        for _ in range(5):
            status = self.status(server, job)
        assert (status.state, status.word, status.done) == ("running", "PENDING", None)

    def test_deleted_jobs_are_gone(self, server: Any, lines: Path) -> None:
        job = self.submit(server, lines)
        server.batches[job].state = "DELETING_CLEANING_UP"
        assert [self.status(server, job).state for _ in range(2)] == ["gone", "gone"]

    def test_counts_are_those_of_the_rows(self, server: Any, lines: Path) -> None:
        job = self.create(server, lines, BatchIntent(INTENT.name, 1, INTENT.at))
        assert self.ended(server, job).total == len(REQUESTS)

    def test_nothing_comes_of_a_job_that_expired_before_it_began(
        self, server: Any, lines: Path
    ) -> None:
        job = self.submit(server, lines)
        server.ahead += FIREWORKS.lives_s
        assert self.ended(server, job).word == "EXPIRED"
        del server.datasets[server.batches[job].output_id]
        assert self.results(server, job) == []

    def test_results_that_were_deleted_are_an_error(self, server: Any, finished: str) -> None:
        del server.datasets[server.batches[finished].output_id]
        with self.fails("resource not found", retryable=False):
            self.results(server, finished)

    def test_openai_s_shape_of_a_result_is_read_too(self, server: Any, finished: str) -> None:
        files = server.datasets[server.batches[finished].output_id].files
        rows = [json.loads(line) for line in files["BIJOutputSet.jsonl"].splitlines()]
        for row in rows:
            row["response"] = {"status_code": 200, "body": row["response"]}
        files["BIJOutputSet.jsonl"] = jsonl(*rows)
        results = dict(self.results(server, finished))
        assert len(results) == len(REQUESTS)
        assert all(isinstance(each, Completion) for each in results.values())
