"""Gemini: its test server as its SDK sees it, and our client."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import httpx2
import pytest
from google import genai
from google.genai import errors, types
from hosted_contract import INTENT, REQUESTS, LateContract, question
from hosted_provider import Provider, Said
from hosted_servers import ServerContract
from servers.faults import always
from servers.gemini import GeminiServer
from servers.inputs import jsonl

from workflow_scripts.backends import gemini_client
from workflow_scripts.backends.client import (
    BatchClient,
    BatchIntent,
    RequestError,
    UnreadableReplyError,
)
from workflow_scripts.core.errors import UserError

MODEL = "gemini-2.5-flash"
MINIMAL = {"thinking_level": "MINIMAL"}


class Gemini(Provider):
    name = "gemini"
    make_server = GeminiServer
    model = MODEL
    missing_model = "gemini-2.5-fast"
    key_variable = "GEMINI_API_KEY"
    version = "/v1beta"
    says = f"{{url}} has {MODEL} (Gemini 2.5 Flash)"
    body: ClassVar = {
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
    identity: ClassVar = {
        "endpoint": "generateContent",
        "thinkingConfig": '{"thinkingBudget": 0}',
    }
    identities: ClassVar = {
        f"models/{MODEL}": {"model": MODEL},
        "gemini-2.5-pro": {"thinkingConfig": '{"thinkingBudget": 128}'},
    }
    thinkers = ("gemini-2.5-pro",)
    create_call = f"POST /v1beta/models/{MODEL}:batchGenerateContent"
    results_call = ":download"
    job_id = "batches/{}"
    job_path = "/v1beta/{}"
    creates_once = False
    broken_file = "^Failed to parse the input file at line 6.$"

    errors = (errors.APIError, httpx2.HTTPError)
    list_path = "/v1/batches"
    life = ("RUNNING", "SUCCEEDED")
    working = "RUNNING"
    cut_word = "MAX_TOKENS"
    refusals = (
        ({"model": "gemini-9"}, "404 NOT_FOUND.*models/gemini-9 is not found"),
        ({"temperature": 2.5}, "400 INVALID_ARGUMENT.*temperature"),
        ({"seed": 2**31}, "400.*TYPE_INT32"),
        ({"stop_sequences": list("abcdef")}, "400.*stop sequences"),
        ({"thinking_config": {"thinking_level": "LOW"}}, "400.*Thinking level is not supported"),
        ({"thinking_config": {"thinking_level": "LOW", "thinking_budget": 0}}, "400.*only one"),
        ({"model": "gemini-2.5-pro"}, "400.*Budget 0 is invalid"),
        ({"model": "gemini-3.8-flash", "thinking_config": MINIMAL}, "400.*MINIMAL is not"),
        ({"model": "gemini-2.0-flash"}, "400.*not enabled"),
        ({"max_output_tokens": 0}, "400.*positive"),
        ({"frequency_penalty": 0.5}, "400.*Unknown name"),
    )
    faults: ClassVar = {
        "429": "429 RESOURCE_EXHAUSTED.*retryDelay",
        "503": "503 UNAVAILABLE(?!.*retryDelay)",
    }
    wrong_key = "400 INVALID_ARGUMENT.*API key not valid.*API_KEY_INVALID"
    wrong_inputs = (([{"key": "a", "request": {}}, "{no json"], "FAILED"),)
    wrong_row: ClassVar = {"temperature": 9.0}
    row_errors = (3, 13)
    early_ends: ClassVar = {
        "cancelled": ("CANCELLED", True, "The operation was cancelled."),
        "expired": ("EXPIRED", False, ""),
    }
    lives_s = 49 * 3600.0

    def sdk(self, server: Any, key: str | None = None, retries: int = 0) -> genai.Client:
        again = types.HttpRetryOptions(attempts=retries + 1, initial_delay=0.0, jitter=0.0)
        options = types.HttpOptions(base_url=server.url, retry_options=again)
        return genai.Client(api_key=key or server.key, http_options=options)

    def ask(self, sdk: Any, question: str, most: int = 9, **changes: Any) -> Said:
        model = changes.pop("model", MODEL)
        thinking = types.ThinkingConfig(thinking_budget=0)
        config = {"max_output_tokens": most, "thinking_config": thinking, **changes}
        return self.said(sdk.models.generate_content(model=model, contents=question, config=config))

    def said(self, reply: types.GenerateContentResponse) -> Said:
        assert reply.candidates is not None
        assert reply.usage_metadata is not None
        finish = str(reply.candidates[0].finish_reason.value)
        tokens = reply.usage_metadata.total_token_count or 0
        return Said(reply.text, finish, tokens, str(reply.response_id))

    def models(self, sdk: Any) -> list[str]:
        listed = sdk.models.list(config={"page_size": 2})
        return [model.name.removeprefix("models/") for model in listed]

    def line(self, key: str, question: str, **changes: Any) -> Any:
        contents = [{"role": "user", "parts": [{"text": question}]}]
        return {"key": key, "request": {"contents": contents, "generationConfig": changes}}

    def upload(self, sdk: Any, content: bytes) -> str:
        config = types.UploadFileConfig(display_name="input", mime_type="application/jsonl")
        return sdk.files.upload(file=io.BytesIO(content), config=config).name

    def create(self, sdk: Any, lines: Sequence[Any]) -> str:
        return self.create_from(sdk, self.upload(sdk, jsonl(*lines)))

    def create_from(self, sdk: Any, file: str) -> str:
        job = sdk.batches.create(model=MODEL, src=file, config={"display_name": "job"})
        assert (job.display_name, job.done) == ("job", False)
        return job.name

    def why_failed(self, sdk: Any, lines: Sequence[Any]) -> str:
        job = self.create(sdk, lines)
        return [self.look(sdk, job) for _ in range(2)][-1]

    def look(self, sdk: Any, job: str) -> str:
        seen = sdk.batches.get(name=job)
        state = seen.state.value.removeprefix("JOB_STATE_")
        assert bool(seen.done) == (state not in ("PENDING", "RUNNING"))
        return state

    def output(self, sdk: Any, job: str) -> list[Any]:
        seen = sdk.batches.get(name=job)
        if seen.dest is None:
            return []
        return sdk.files.download(file=seen.dest.file_name).splitlines()

    def row(self, line: Any) -> tuple[str, Said | Any]:
        if "error" in line:
            return line["key"], line["error"]["code"]
        return line["key"], self.said(
            types.GenerateContentResponse.model_validate(line["response"])
        )

    def listed(self, sdk: Any, page: int = 20) -> list[str]:
        return [job.name for job in sdk.batches.list(config={"page_size": page})]

    def uploads(self, server: Any) -> int:
        return len([file for file in server.files.values() if not file.generated])

    def turns(self, body: Any) -> list[tuple[str, str]]:
        roles = {"user": "user", "model": "assistant"}
        return [(roles[each["role"]], each["parts"][0]["text"]) for each in body["contents"]]


GEMINI = Gemini()


class TestServer(ServerContract):
    provider = GEMINI

    def test_thoughts_and_refusals(self, server: Any, sdk: Any) -> None:
        def generated(**config: Any) -> types.GenerateContentResponse:
            return sdk.models.generate_content(model=MODEL, contents="one", config=config)

        server.shows_thoughts = True
        (candidate,) = generated().candidates
        assert [bool(part.thought) for part in candidate.content.parts] == [True, False]
        assert generated().text == "to one"
        assert generated(max_output_tokens=10).text is None
        server.finish = "blocked PROHIBITED_CONTENT"
        blocked = generated()
        assert blocked.candidates is None
        assert blocked.prompt_feedback.block_reason == types.BlockedReason.PROHIBITED_CONTENT
        server.finish = "SAFETY"
        assert generated().candidates[0].finish_reason == types.FinishReason.SAFETY

    def test_files_are_listed_limited_and_expire(self, server: Any, sdk: Any) -> None:
        ids = [GEMINI.upload(sdk, jsonl(GEMINI.line("a", "a"))) for _ in range(5)]
        found = list(sdk.files.list(config={"page_size": 2}))
        assert [file.name for file in found] == ids[::-1]
        assert (found[0].display_name, found[0].state) == ("input", types.FileState.ACTIVE)
        server.most_file_bytes = 5
        with pytest.raises((errors.ClientError, KeyError), match=r"limit|Upload URL"):
            GEMINI.upload(sdk, b"123456")
        server.ahead += GEMINI.lives_s
        with self.refused("may not exist"):
            GEMINI.create_from(sdk, ids[1])

    def test_a_file_is_used_once_it_is_active(self, server: Any, sdk: Any) -> None:
        server.processing = 1
        file = GEMINI.upload(sdk, jsonl(GEMINI.line("a", "a")))
        with self.refused("not in an ACTIVE state"):
            GEMINI.create_from(sdk, file)
        assert sdk.files.get(name=file).state == types.FileState.ACTIVE
        assert GEMINI.create_from(sdk, file)


class TestClient(LateContract):
    provider = GEMINI

    @pytest.fixture(autouse=True)
    def _no_waits(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("GOOGLE_API_KEY", raising=False)
        monkeypatch.setattr(gemini_client, "FILE_WAITS_S", (0.0, 0.0, 0.0))

    @pytest.mark.parametrize("ending", ["OTHER", "MALFORMED_RESPONSE"])
    def test_a_failure_of_google_is_worth_another_try(self, server: Any, ending: str) -> None:
        server.finish = ending
        error = self.refused(server)
        assert ending in str(error)
        assert (error.retryable, error.may_be_charged) == (True, True)

    def test_a_limited_account_is_no_fault_of_the_reply(self, server: Any) -> None:
        server.finish = "PUP_LIMITED_DISABLED"
        with pytest.raises(UserError, match="limits this account") as caught:
            self.ask(server)
        assert isinstance(caught.value.__cause__, RequestError)
        assert not isinstance(caught.value.__cause__, UnreadableReplyError)

    def test_the_time_that_an_error_body_asks_for_is_heeded(self, server: Any) -> None:
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

    def test_a_failed_precondition_ends_the_run(self, server: Any, monkeypatch: Any) -> None:
        said = "User location is not supported for the API use."
        body = {"error": {"code": 400, "message": said, "status": "FAILED_PRECONDITION"}}
        monkeypatch.setattr(server.RequestHandlerClass, "error_body", lambda *_: body)
        server.faults = lambda *_: "400"
        with pytest.raises(UserError, match=said):
            self.ask(server)

    def test_the_key_may_have_either_name(self, server: Any, monkeypatch: Any) -> None:
        monkeypatch.setenv("GEMINI_API_KEY", " ")
        with pytest.raises(UserError, match="GEMINI_API_KEY is not set"):
            self.client(server)
        monkeypatch.setenv("GOOGLE_API_KEY", "two words")
        with pytest.raises(UserError, match="GOOGLE_API_KEY has spaces"):
            self.client(server)
        monkeypatch.setenv("GOOGLE_API_KEY", server.key)
        assert self.ask(server).response_text == "to question 0"

    def test_an_expired_batch_has_ended_without_results(self, server: Any, lines: Path) -> None:
        job = self.submit(server, lines)
        server.ahead += GEMINI.lives_s
        assert "48 hours" in self.status(server, job).message
        assert self.results(server, job) == []

    def test_a_batch_without_its_output_has_not_ended_yet(self, server: Any, lines: Path) -> None:
        server.shows_output = False
        job = self.submit(server, lines)
        for _ in range(3):
            status = self.status(server, job)
        assert (status.state, status.message) == ("running", "its output is not there yet")
        server.shows_output = True
        assert self.status(server, job).state == "ended"

    def test_a_state_that_is_not_known_is_no_end(self, server: Any, lines: Path) -> None:
        job = self.submit(server, lines)
        server.held = self.job(server, job).state = "PAUSED"
        status = self.status(server, job)
        assert (status.state, status.word) == ("running", "PAUSED")

    def test_results_of_a_batch_that_is_gone_are_an_error(self, server: Any) -> None:
        with pytest.raises(RequestError, match="not known any more"):
            self.results(server, "batches/gone")

    def test_of_batches_with_its_name_the_newest_is_found(self, server: Any, lines: Path) -> None:
        wanted = BatchIntent("assay-a", 5, datetime.now(UTC))
        jobs = [self.create(server, lines, wanted) for _ in range(4)]
        for job, seconds in zip(jobs, (-7200, 0, 1, 2), strict=True):
            self.job(server, job).created += seconds
        _, older, ours, claimed = jobs  # the first is of a run whose results were deleted
        assert self.find(server, wanted, claimed) == ours
        assert self.find(server, wanted, claimed, ours, older) is None

    def test_a_file_is_used_once_it_is_ready(self, server: Any, lines: Path) -> None:
        server.processing = 2
        assert self.create(server, lines)
        server.processing = 9
        with self.fails("does not get ready", retryable=True):
            self.create(server, lines, BatchIntent("assay-b", 5, INTENT.at))
        assert len(server.batches) == 1

    def test_an_upload_of_other_lines_is_not_taken(self, server: Any, tmp_path: Path) -> None:
        server.most_per_page = 1
        for number in (2, 5, 2):
            asked = REQUESTS[:number]
            self.create(server, self.written(server, tmp_path / f"{number}.jsonl", asked))
        assert len(server.files) == 2

    def test_the_upload_stays_at_the_address_of_the_config(
        self, server: Any, lines: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        begin = server.RequestHandlerClass.begin_upload

        def elsewhere(handler: Any) -> Any:
            response = begin(handler)
            url = handler.upload_headers["X-Goog-Upload-URL"]
            other = url.replace(server.url, "http://127.0.0.1:9")
            handler.upload_headers["X-Goog-Upload-URL"] = other
            return response

        monkeypatch.setattr(server.RequestHandlerClass, "begin_upload", elsewhere)
        assert self.submit(server, lines)
