"""The client of Fireworks against a server that behaves as its SDK and captures of it say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hosted_contract import INTENT, REQUESTS, HostedContract, key, question, request
from servers.fireworks import ACCOUNT, MODEL, NO_BATCHES, FireworksServer

from workflow_scripts.backends import fireworks_client
from workflow_scripts.backends.capabilities import capabilities, problems
from workflow_scripts.backends.client import RequestError
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.records import Completion

OF_ACCOUNT = f"/v1/accounts/{ACCOUNT}"


class TestFireworks(HostedContract):
    make_server = FireworksServer
    backend = "fireworks"
    model = MODEL
    missing_model = "accounts/fireworks/models/gpt-oss-121b"
    environment: ClassVar = {
        "FIREWORKS_API_KEY": "key-of-the-test",
        "FIREWORKS_ACCOUNT_ID": ACCOUNT,
    }
    key_variable = "FIREWORKS_API_KEY"
    version = "/inference/v1"
    says = f"{{url}} offers {MODEL}"
    create_call = f"POST {OF_ACCOUNT}/batchInferenceJobs"
    running_word = "RUNNING"
    ended_word = "COMPLETED"

    @pytest.fixture(autouse=True)
    def _short_pauses(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(fireworks_client, "_FIRST_PAUSE_S", 0.0)

    def uploads(self, server: FireworksServer) -> int:
        return len([each for each in server.datasets if not each.startswith("bij-")])

    def reads_results(self, call: str) -> bool:
        return call.startswith("GET /storage/")

    # What is sent

    def test_the_parameters_of_a_request(self, server: FireworksServer) -> None:
        self.ask(server, request(1, top_p=0.5, top_k=9, stop=["."]), model_id=NO_BATCHES)
        assert server.bodies == [
            {
                "model": NO_BATCHES,
                "messages": [
                    {"role": "system", "content": "Answer."},
                    {"role": "user", "content": question(1)},
                ],
                "max_tokens": 8,
                "temperature": 0.0,
                "top_p": 0.5,
                "top_k": 9,
                "stop": ["."],
                "seed": 1,
            }
        ]

    def test_what_is_off_is_off_whatever_the_model_file_says(self, server: FireworksServer) -> None:
        self.ask(server)
        (body,) = server.bodies
        assert (body["top_p"], body["top_k"]) == (1.0, 0)

    def test_models_that_think_do_it_shortly(self, server: FireworksServer) -> None:
        self.ask(server)
        assert server.bodies[0]["reasoning_effort"] == "low"
        assert self.client(server).identity()["reasoning_effort"] == "low"

    def test_the_row_of_a_job(self, server: FireworksServer) -> None:
        self.ask(server, REQUESTS[0])
        (body,) = server.bodies
        assert self.client(server).batch_line("0" * 64, REQUESTS[0]) == {
            "custom_id": "0" * 64,
            "body": {name: body[name] for name in body if name != "model"},
        }

    # What comes back

    def test_a_thought_that_left_no_room_for_an_answer(self, server: FireworksServer) -> None:
        message = {"role": "assistant", "content": None, "reasoning_content": "Well,"}
        server.choice = {"message": message, "finish_reason": "length"}
        answer = self.ask(server)
        assert (answer.response_text, answer.finish_reason) == ("", "length")

    # Account and models

    def test_a_missing_account(
        self, server: FireworksServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("FIREWORKS_ACCOUNT_ID")
        with pytest.raises(UserError, match=r"FIREWORKS_ACCOUNT_ID is not set.*use_batch_api"):
            self.client(server)
        assert self.ask(server, use_batch_api=False).response_text

    def test_check_finds_a_wrong_account(
        self, server: FireworksServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("FIREWORKS_ACCOUNT_ID", "someone")
        with pytest.raises(UserError, match="FIREWORKS_ACCOUNT_ID"):
            self.use(server, lambda client: client.check())

    def test_check_finds_a_model_without_batches(self, server: FireworksServer) -> None:
        with pytest.raises(UserError, match=r"does not take batch jobs.*use_batch_api: false"):
            self.use(server, lambda client: client.check(), model_id=NO_BATCHES)
        said = self.use(
            server, lambda client: client.check(), model_id=NO_BATCHES, use_batch_api=False
        )
        assert NO_BATCHES in said

    def test_check_knows_the_shape_of_names(self, server: FireworksServer) -> None:
        with pytest.raises(UserError, match="accounts/fireworks/models/gpt-oss-120b"):
            self.use(server, lambda client: client.check(), model_id="gpt-oss-120b")

    def test_check_looks_through_all_pages_of_models(self, server: FireworksServer) -> None:
        first = {f"accounts/fireworks/models/a{number}": {} for number in range(450)}
        server.models = {**first, **server.models}
        with pytest.raises(UserError, match=MODEL):
            self.use(server, lambda client: client.check(), model_id=self.missing_model)

    # Jobs

    def test_large_files_go_to_a_signed_url_without_the_key(
        self, server: FireworksServer, lines: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The server refuses signed requests that have the key, or other headers than signed."""
        monkeypatch.setattr(fireworks_client, "_LARGEST_DIRECT_UPLOAD", 100)
        server.max_direct_bytes = 100
        results = self.whole(server, lines)
        assert set(results) == set(map(key, REQUESTS))
        assert [call for call in server.calls if call.startswith("PUT /storage/upload/")]

    def test_signatures_are_kept_out_of_messages(self, server: FireworksServer) -> None:
        async def moved(client: Any) -> str:
            url = "https://storage.example.org/file?X-Goog-Signature=secret"
            async with client._storage(url) as storage:
                return str(storage.error(f"moved to {url}", retryable=True))

        assert "secret" not in self.use(server, moved)

    def test_each_file_is_signed_anew(self, server: FireworksServer, lines: Path) -> None:
        """Large files take longer than the ten minutes of a signature."""
        job = self.submit(server, lines)
        self.ended(server, job)

        def time_passes(call: str, tries: int) -> str:
            server.clock += 400 if call.startswith("GET /storage/") else 0
            return ""

        server.faults = time_passes
        assert len(self.results(server, job)) == len(REQUESTS)

    def test_a_refused_signature_may_pass(self, server: FireworksServer, lines: Path) -> None:
        job = self.submit(server, lines)
        self.ended(server, job)
        server.signed_for_s = -1
        with pytest.raises(RequestError) as caught:
            self.results(server, job)
        assert caught.value.retryable
        server.signed_for_s = 599
        assert len(self.results(server, job)) == len(REQUESTS)

    def test_a_dataset_that_is_there_is_used(self, server: FireworksServer, lines: Path) -> None:
        server.faults = lambda call, tries: (
            "reset" if call.endswith("/batchInferenceJobs") and not tries else ""
        )
        with pytest.raises(RequestError):
            self.submit(server, lines)
        self.submit(server, lines)
        assert server.called(f"POST {OF_ACCOUNT}/datasets/{INTENT.name}:upload") == 1

    def test_submitting_again_without_looking_creates_nothing(
        self, server: FireworksServer, lines: Path
    ) -> None:
        first, second = (
            self.use(server, lambda client: client.submit_batch(INTENT, lines)) for _ in range(2)
        )
        assert first == second == INTENT.name
        assert self.jobs(server) == [first]

    def test_a_dataset_that_never_gets_ready(
        self, server: FireworksServer, lines: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(fireworks_client, "_READY_WITHIN_S", 0.0)
        with pytest.raises(RequestError, match="not ready") as caught:
            self.submit(server, lines)
        assert caught.value.retryable

    def test_a_model_without_batches_stays_pending(
        self, server: FireworksServer, lines: Path
    ) -> None:
        job = self.submit(server, lines)
        server.batches[job].model = NO_BATCHES
        for _ in range(5):
            status = self.status(server, job)
        assert (status.state, status.word, status.done) == ("running", "PENDING", None)

    def test_a_row_that_is_refused_fails_the_job_with_its_reason(
        self, server: FireworksServer, lines: Path
    ) -> None:
        text = lines.read_text(encoding="utf-8").replace('"user"', '"bananas"', 1)
        lines.write_text(text, encoding="utf-8")
        status = self.ended(server, self.submit(server, lines))
        assert status.state == "failed"
        assert status.message.startswith("INVALID_ARGUMENT: Dataset has a syntax error")

    def test_deleted_jobs_are_gone(self, server: FireworksServer, lines: Path) -> None:
        job = self.submit(server, lines)
        server.batches[job].state = "DELETING_CLEANING_UP"
        assert [self.status(server, job).state for _ in range(2)] == ["gone", "gone"]

    def test_counts_are_those_of_the_rows_not_of_the_declaration(
        self, server: FireworksServer, lines: Path
    ) -> None:
        intent = type(INTENT)(INTENT.name, 1, INTENT.at)
        job = self.use(server, lambda client: client.submit_batch(intent, lines))
        assert self.ended(server, job).total == len(REQUESTS)

    def test_nothing_comes_of_a_job_that_expired_before_it_began(
        self, server: FireworksServer, lines: Path
    ) -> None:
        job = self.submit(server, lines)
        server.ahead += self.expires_after_s
        assert self.ended(server, job).word == "EXPIRED"
        del server.datasets[server.batches[job].output_id]
        assert self.results(server, job) == []

    def test_results_that_were_deleted_are_an_error(
        self, server: FireworksServer, lines: Path
    ) -> None:
        job = self.submit(server, lines)
        self.ended(server, job)
        del server.datasets[server.batches[job].output_id]
        with pytest.raises(RequestError, match="resource not found") as caught:
            self.results(server, job)
        assert not caught.value.retryable

    def test_openai_s_shape_of_a_result_is_read_too(
        self, server: FireworksServer, lines: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        job = self.submit(server, lines)
        self.ended(server, job)
        output = server.datasets[server.batches[job].output_id]

        def wrapped(line: bytes) -> bytes:
            data: dict[str, Any] = json.loads(line)
            data["response"] = {"status_code": 200, "body": data["response"]}
            return json.dumps(data).encode()

        name = "BIJOutputSet.jsonl"
        output.files[name] = b"\n".join(map(wrapped, output.files[name].splitlines()))
        results = dict(self.results(server, job))
        assert len(results) == len(REQUESTS)
        assert all(isinstance(each, Completion) for each in results.values())


@pytest.mark.parametrize(
    ("model", "effort", "thinks"),
    [
        ("gpt-oss-20b", "low", True),
        ("minimax-m2p1", "low", True),
        ("qwen3-8b", "none", False),
        ("qwen3-235b-a22b", "none", False),
        ("qwen3-235b-a22b-instruct-2507", None, False),
        ("qwen3-235b-a22b-thinking-2507", None, True),
        ("deepseek-v3p2", "none", False),
        ("deepseek-r1-0528", None, True),
        ("glm-4p5-air", "none", False),
        ("kimi-k2-thinking", None, True),
        ("llama-v3p3-70b-instruct", None, False),
    ],
)
def test_how_much_models_are_told_to_reason(model: str, effort: str | None, thinks: bool) -> None:
    name = f"accounts/fireworks/models/{model}"
    always = capabilities("fireworks", name).always
    assert dict(always) == ({"reasoning_effort": effort} if effort else {})
    assert bool(problems("fireworks", name, request(1).decoding)) == thinks
