"""The client of Gemini against a server that its own SDK finds faithful."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hosted_contract import REQUESTS, SAMPLED, LateContract, key, question, request
from servers.faults import always
from servers.gemini import GeminiServer

from workflow_scripts.backends import gemini_client
from workflow_scripts.backends.capabilities import capabilities, dropped, parameters, problems
from workflow_scripts.backends.client import (
    BatchClient,
    BatchIntent,
    RequestError,
    UnreadableReplyError,
)
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.records import Completion

MODEL = "gemini-2.5-flash"
ALL = request(0, max_new_tokens=1200, **SAMPLED).decoding


class TestGemini(LateContract):
    make_server = GeminiServer
    backend = "gemini"
    model = MODEL
    missing_model = "gemini-2.5-fast"
    environment: ClassVar = {"GEMINI_API_KEY": "key-of-the-test"}
    key_variable = "GEMINI_API_KEY"
    version = "/v1beta"
    says = f"{{url}} has {MODEL} (Gemini 2.5 Flash)"
    create_call = f"POST /v1beta/models/{MODEL}:batchGenerateContent"
    running_word = "RUNNING"
    ended_word = "SUCCEEDED"
    keeps_expired = False
    expires_after_s = 49 * 3600.0

    @pytest.fixture(autouse=True)
    def _no_waits(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("GOOGLE_API_KEY", raising=False)
        monkeypatch.setattr(gemini_client, "FILE_WAITS_S", (0.0, 0.0, 0.0))

    def jobs(self, server: GeminiServer) -> list[str]:
        return [f"batches/{name}" for name in server.batches]

    def uploads(self, server: GeminiServer) -> int:
        return len([file for file in server.files.values() if not file.generated])

    def reads_results(self, call: str) -> bool:
        return call.endswith(":download")

    def turns(self, body: dict[str, Any]) -> list[tuple[str, str]]:
        roles = {"user": "user", "model": "assistant"}
        return [(roles[each["role"]], each["parts"][0]["text"]) for each in body["contents"]]

    def job_path(self, job: str) -> str:
        return f"/v1beta/{job}"

    def batch(self, server: GeminiServer, job: str) -> Any:
        return server.batches[job.removeprefix("batches/")]

    def submit_as(self, server: GeminiServer, lines: Path, name: str) -> str:
        """Create a job without looking for it first."""
        digest = hashlib.sha256(name.encode()).hexdigest()[:24]
        count = len(lines.read_bytes().splitlines())
        wanted = BatchIntent(f"assay-{digest}", count, datetime.now(UTC))
        return self.use(server, lambda client: client.submit_batch(wanted, lines))

    # What is sent

    def test_a_chat_is_sent_with_all_parameters(self, server: GeminiServer) -> None:
        asked = request(1, max_new_tokens=9, **SAMPLED)
        self.ask(server, asked)
        assert server.bodies == [
            {
                "systemInstruction": {"parts": [{"text": "Answer."}]},
                "contents": [{"role": "user", "parts": [{"text": question(1)}]}],
                "generationConfig": {
                    "temperature": 0.7,
                    "topP": 0.9,
                    "topK": 20,
                    "maxOutputTokens": 9,
                    "stopSequences": ["END", "\n"],
                    "seed": 42,
                    "thinkingConfig": {"thinkingBudget": 0},
                },
            }
        ]
        self.ask(server, asked.model_copy(update={"messages": asked.messages[1:]}))
        assert "systemInstruction" not in server.bodies[1]

    @pytest.mark.parametrize("model", sorted(GeminiServer().models))
    def test_every_kind_of_model_takes_what_is_sent(self, server: GeminiServer, model: str) -> None:
        for decoding in ({}, SAMPLED):
            asked = request(1, "one two three", max_new_tokens=1200, **decoding)
            answer = self.ask(server, asked, model_id=model)
            assert (answer.response_text, answer.finish_reason) == ("to one two three", "stop")

    def test_the_identity_has_what_decides_answers_and_no_more(self, server: GeminiServer) -> None:
        same = self.client(server).identity()
        assert same == {
            "engine": "gemini",
            "endpoint": "generateContent",
            "model": MODEL,
            "thinkingConfig": '{"thinkingBudget": 0}',
        }
        assert self.client(server, model_id=f"models/{MODEL}").identity() == same
        assert self.client(server, model_id="gemini-2.5-pro").identity() != same

    def test_a_batch_holds_what_single_requests_would_hold(
        self, server: GeminiServer, tmp_path: Path
    ) -> None:
        requests = [request(0), request(1, max_new_tokens=1200, **SAMPLED)]
        lines = self.written(server, tmp_path / "two.jsonl", requests)
        batch = self.batch(server, self.submit(server, lines))
        for each in requests:
            self.ask(server, each)
        assert [row.custom_id for row in batch.rows] == [key(each) for each in requests]
        assert [row.body for row in batch.rows] == server.bodies

    # What is read

    def test_thoughts_are_no_answer_but_are_counted(self, server: GeminiServer) -> None:
        server.shows_thoughts = True
        asked = request(1, "one", max_new_tokens=1200)
        answer = self.ask(server, asked, model_id="gemini-2.5-pro")
        assert answer.response_text == "to one"
        usage = answer.usage
        assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (2, 12, 14)

    @pytest.mark.parametrize("ending", ["OTHER", "MALFORMED_RESPONSE"])
    def test_a_failure_of_google_is_worth_another_try(
        self, server: GeminiServer, ending: str
    ) -> None:
        server.finish = ending
        error = self.refused(server)
        assert ending in str(error)
        assert (error.retryable, error.may_be_charged) == (True, True)

    def test_a_limited_account_is_no_fault_of_the_reply(self, server: GeminiServer) -> None:
        server.finish = "PUP_LIMITED_DISABLED"
        with pytest.raises(UserError, match="limits this account") as caught:
            self.ask(server)
        assert isinstance(caught.value.__cause__, RequestError)
        assert not isinstance(caught.value.__cause__, UnreadableReplyError)

    # Trouble

    def test_the_time_that_an_error_body_asks_for_is_heeded(self, server: GeminiServer) -> None:
        server.retry_after = "7.5"
        server.faults = always(question(1), "429")

        async def second(client: BatchClient) -> None:
            with pytest.raises(RequestError) as caught:
                await client.generate(REQUESTS[1].messages, REQUESTS[1].decoding)
            assert caught.value.wait_s == 7.5
            await asyncio.wait_for(client.generate(REQUESTS[2].messages, REQUESTS[2].decoding), 0.2)

        with pytest.raises(TimeoutError):  # the next request waits too
            self.use(server, second)
        assert [heard for _, heard in server.heard] == [question(1)]

    def test_a_failed_precondition_ends_the_run(
        self, server: GeminiServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        said = {"code": 400, "message": "User location is not supported for the API use."}
        body = {"error": {**said, "status": "FAILED_PRECONDITION"}}
        monkeypatch.setattr(server.RequestHandlerClass, "error_body", lambda *_: body)
        server.faults = lambda *_: "400"
        with pytest.raises(UserError, match="User location is not supported for the API use"):
            self.ask(server)

    def test_the_key_may_have_either_name(
        self, server: GeminiServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("GEMINI_API_KEY", " ")
        with pytest.raises(UserError, match="GEMINI_API_KEY is not set"):
            self.client(server)
        monkeypatch.setenv("GOOGLE_API_KEY", "two words")
        with pytest.raises(UserError, match="GOOGLE_API_KEY has spaces"):
            self.client(server)
        monkeypatch.setenv("GOOGLE_API_KEY", server.key)
        assert self.ask(server).response_text == "to question 0"

    # Batches

    def test_a_file_that_is_not_valid_fails_the_job(
        self, server: GeminiServer, tmp_path: Path
    ) -> None:
        (tmp_path / "lines.jsonl").write_text("{no json\n", encoding="utf-8")
        status = self.ended(server, self.submit(server, tmp_path / "lines.jsonl"))
        assert (status.state, status.word) == ("failed", "FAILED")
        assert status.message == "Failed to parse the input file at line 1."
        assert server.bills == []

    def test_what_was_answered_before_a_cancellation_is_kept(
        self, server: GeminiServer, lines: Path
    ) -> None:
        server.rows_per_poll = 1
        job = self.submit(server, lines)
        for _ in range(2):
            self.status(server, job)
        self.batch(server, job).cancelling = True
        status = self.status(server, job)
        assert (status.state, status.word) == ("cancelled", "CANCELLED")
        assert (status.done, status.failed) == (1, 4)
        results = dict(self.results(server, job))
        assert isinstance(results.pop(key(REQUESTS[0])), Completion)
        for error in results.values():
            assert isinstance(error, RequestError)
            assert error.retryable

    def test_an_expired_batch_has_ended_without_results(
        self, server: GeminiServer, lines: Path
    ) -> None:
        job = self.submit(server, lines)
        server.ahead += self.expires_after_s
        status = self.status(server, job)
        assert (status.state, status.word) == ("ended", "EXPIRED")
        assert "48 hours" in status.message
        assert self.results(server, job) == []

    def test_a_batch_without_its_output_has_not_ended_yet(
        self, server: GeminiServer, lines: Path
    ) -> None:
        server.shows_output = False
        job = self.submit(server, lines)
        for _ in range(3):
            status = self.status(server, job)
        assert (status.state, status.message) == ("running", "its output is not there yet")
        server.shows_output = True
        assert self.status(server, job).state == "ended"

    def test_a_state_that_is_not_known_is_no_end(self, server: GeminiServer, lines: Path) -> None:
        job = self.submit(server, lines)
        server.held = self.batch(server, job).state = "PAUSED"
        status = self.status(server, job)
        assert (status.state, status.word) == ("running", "PAUSED")

    def test_results_of_a_batch_that_is_gone_are_an_error(self, server: GeminiServer) -> None:
        with pytest.raises(RequestError, match="not known any more"):
            self.results(server, "batches/gone")

    def test_among_other_batches_the_right_one_is_found(
        self, server: GeminiServer, lines: Path
    ) -> None:
        server.most_per_page = 2
        written = datetime.now(UTC)

        def created(name: str, seconds: float) -> str:
            job = self.submit_as(server, lines, name)
            self.batch(server, job).created += seconds
            return job

        def found(*claimed: str) -> str | None:
            digest = hashlib.sha256(b"a").hexdigest()[:24]
            wanted = BatchIntent(f"assay-{digest}", 5, written)
            return self.use(server, lambda client: client.find_batch(wanted, claimed))

        created("a", -7200)  # of a run whose results were deleted
        older = created("a", 0)
        ours = created("a", 1)
        claimed = created("a", 2)
        for _ in range(5):
            created("b", 3)
        assert found(claimed) == ours
        assert found(claimed, ours, older) is None

    # Files

    def test_a_file_is_used_once_it_is_ready(self, server: GeminiServer, lines: Path) -> None:
        server.processing = 2
        assert self.submit_as(server, lines, "a")
        server.processing = 9
        with pytest.raises(RequestError, match="does not get ready") as caught:
            self.submit_as(server, lines, "b")
        assert caught.value.retryable
        assert len(server.batches) == 1

    def test_an_upload_of_other_lines_is_not_taken(
        self, server: GeminiServer, lines: Path, tmp_path: Path
    ) -> None:
        fewer = self.written(server, tmp_path / "fewer.jsonl", REQUESTS[:2])
        self.submit_as(server, fewer, "a")
        self.submit_as(server, lines, "a")
        assert len(server.files) == 2
        server.most_per_page = 1
        self.submit_as(server, fewer, "a")
        assert len(server.files) == 2

    def test_the_upload_stays_at_the_address_of_the_config(
        self, server: GeminiServer, lines: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        handler_class: Any = server.RequestHandlerClass
        begin = handler_class.begin_upload

        def elsewhere(handler: Any) -> Any:
            response = begin(handler)
            url = handler.upload_headers["X-Goog-Upload-URL"]
            handler.upload_headers["X-Goog-Upload-URL"] = url.replace(
                server.url, "http://127.0.0.1:9"
            )
            return response

        monkeypatch.setattr(handler_class, "begin_upload", elsewhere)
        assert self.submit(server, lines)


# The table of capabilities


@pytest.mark.parametrize(
    ("model", "sampled", "thinking", "room"),
    [
        ("gemini-2.0-flash", True, None, 0),
        ("gemini-1.5-pro", True, None, 0),
        ("gemma-3-27b-it", True, None, 0),
        ("gemini-2.5-flash", True, {"thinkingBudget": 0}, 0),
        ("gemini-2.5-flash-lite", True, {"thinkingBudget": 0}, 0),
        ("gemini-2.5-pro", True, {"thinkingBudget": 128}, 256),
        ("gemini-3-flash-preview", True, {"thinkingLevel": "MINIMAL"}, 0),
        ("gemini-3.1-flash-lite", True, {"thinkingLevel": "MINIMAL"}, 0),
        ("gemini-3.5-flash", True, {"thinkingLevel": "MINIMAL"}, 0),
        ("gemini-3-pro-preview", True, {"thinkingLevel": "LOW"}, 1024),
        ("gemini-3.1-pro-preview", True, {"thinkingLevel": "LOW"}, 1024),
        ("gemini-3.5-flash-lite", False, {"thinkingLevel": "MINIMAL"}, 0),
        ("gemini-3.6-flash", False, {"thinkingLevel": "MINIMAL"}, 0),
        ("gemini-3.8-flash", False, {"thinkingLevel": "LOW"}, 1024),
        ("gemini-flash-latest", False, {"thinkingLevel": "LOW"}, 1024),
    ],
)
def test_each_model_gets_the_parameters_that_it_takes(
    model: str, sampled: bool, thinking: dict[str, object] | None, room: int
) -> None:
    sampling = {"temperature", "topP", "topK"}
    others = {"maxOutputTokens", "stopSequences", "seed"}
    assert parameters("gemini", model, ALL).keys() == (sampling if sampled else set()) | others
    assert dropped("gemini", model, ALL).keys() == (
        set() if sampled else {"temperature", "top_p", "top_k"}
    )
    row = capabilities("gemini", model)
    assert row.always == ({"thinkingConfig": thinking} if thinking else {})
    assert row.thinking_room == room


def test_what_a_model_cannot_do_is_known_before_any_job() -> None:
    assert problems("gemini", MODEL, request(0).decoding) == []
    short = request(0, temperature=2.0, max_new_tokens=200).decoding
    (problem,) = problems("gemini", "gemini-2.5-pro", short)
    assert "200 leave no room for an answer. Set max_new_tokens to 256 or more" in problem
    many = request(0, stop=list("abcdef")).decoding
    assert parameters("gemini", MODEL, many)["stopSequences"] == list("abcde")
    assert "only the first 5" in dropped("gemini", MODEL, many)["stop"]
