"""Anthropic: its test server as its SDK sees it, and our client."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import anthropic
import pytest
from anthropic.types import Message
from anthropic.types.messages import MessageBatchIndividualResponse
from hosted_contract import REQUESTS, LateContract, question, request
from hosted_provider import Provider, Said
from hosted_servers import ServerContract
from servers.anthropic import OLD_VERSION, AnthropicServer
from servers.faults import always
from servers.inputs import chat

from workflow_scripts.backends import anthropic_client
from workflow_scripts.backends.client import BatchIntent

MODEL = "claude-haiku-4-5"
CACHED = {"type": "ephemeral", "ttl": "5m"}


def line(key: str, question: str, **changes: Any) -> Any:
    params = chat(question, model=MODEL, max_tokens=9)
    return {"custom_id": key, "params": {**params, **changes}}


A = line("a", "a")


class Anthropic(Provider):
    name = "anthropic"
    make_server = AnthropicServer
    model = MODEL
    missing_model = "claude-haiku-4.5"
    key_variable = "ANTHROPIC_API_KEY"
    version = "/v1"
    says = f"{{url}} has {MODEL} (Claude Haiku 4 5)"
    body: ClassVar = {
        "model": MODEL,
        "system": [{"type": "text", "text": "Answer.", "cache_control": CACHED}],
        "messages": [{"role": "user", "content": question(1)}],
        "temperature": 0.7,
        "max_tokens": 9,
        "top_k": 20,
        "stop_sequences": ["END"],
    }
    identity: ClassVar = {"endpoint": "/v1/messages"}
    identities: ClassVar = {"claude-sonnet-5-5": {"thinking": '{"type": "between_tools"}'}}
    thinkers = ("claude-opus-5-5",)
    create_call = "POST /v1/messages/batches"
    results_call = "/results"
    job_path = "/v1/messages/batches/{}"
    creates_once = False
    broken_file = "not JSON"
    lists_before_the_search = 1  # the clock is compared in it

    errors = (anthropic.APIStatusError, anthropic.APIConnectionError)
    list_path = "/v1/messages/batches"
    life = ("ended",)
    working = "in_progress"
    counts_while_running = False
    cut_word = "max_tokens"
    refusals = (
        ({"model": "claude-9"}, "404.*not_found_error.*model: claude-9.*req_of_the_test"),
        ({"seed": 3}, "400.*invalid_request_error.*seed: Extra inputs are not permitted"),
        ({"temperature": 1.5}, "400.*Input should be less than or equal to 1"),
        ({"temperature": 0.5, "top_p": 0.9}, "400.*cannot both be specified"),
        ({"model": "claude-opus-4-8", "temperature": 0.0}, "400.*`temperature` is deprecated"),
        ({"model": "claude-sonnet-5-5", "thinking": {"type": "disabled"}}, "400.*type.disabl"),
        ({"stop_sequences": ["\n"]}, "400.*each stop sequence must contain non-whitespace"),
        ({"messages": [{"role": "system", "content": "x"}]}, '400.*Unexpected role "system"'),
        ({"max_tokens": 0}, "400.*max_tokens"),
    )
    faults: ClassVar = {
        **{"429": "429.*rate_limit_error", "500": "500.*api_error"},
        "529": "529.*overloaded_error",
    }
    wrong_key = "401.*authentication_error.*invalid x-api-key"
    wrong_inputs = (
        ([{**A, "custom_id": "a|b"}], r"requests.0.custom_id: String should"),
        ([{"custom_id": "a"}], "requests.0.params: Field required"),
        ([A, A], "custom_id must be unique"),
        ([], "at least 1"),
    )
    wrong_row: ClassVar = {"max_tokens": 0}
    row_errors = ("invalid_request_error", "api_error")
    early_ends: ClassVar = {
        "cancelled": ("ended", True, "canceled"),
        "expired": ("ended", True, "expired"),
    }
    longest_page = 1000

    line = staticmethod(line)

    def sdk(self, server: Any, key: str | None = None, retries: int = 0) -> anthropic.Anthropic:
        known: Any = {"base_url": server.url, "api_key": key or server.key}
        return anthropic.Anthropic(**known, max_retries=retries)

    def ask(self, sdk: Any, question: str, most: int = 9, **changes: Any) -> Said:
        sampling = {"anthropic-version": OLD_VERSION}  # the SDK's own version has none
        asked = chat(question, model=MODEL, max_tokens=most, extra_body=changes)
        return self.said(sdk.messages.create(**asked, extra_headers=sampling))

    def said(self, reply: Message) -> Said:
        text = "".join(block.text for block in reply.content if block.type == "text")
        tokens = reply.usage.input_tokens + reply.usage.output_tokens
        return Said(text, str(reply.stop_reason), tokens, reply.id)

    def models(self, sdk: Any) -> list[str]:
        return [model.id for model in sdk.models.list(limit=2)]

    def create(self, sdk: Any, lines: Sequence[Any]) -> str:
        batch = sdk.messages.batches.create(requests=lines)
        assert (batch.processing_status, batch.results_url) == ("in_progress", None)
        assert batch.request_counts.processing == len(lines)
        return batch.id

    def why_failed(self, sdk: Any, lines: Sequence[Any]) -> str:
        with pytest.raises(anthropic.BadRequestError) as caught:
            self.create(sdk, lines)
        return str(caught.value)

    def look(self, sdk: Any, job: str) -> str:
        return sdk.messages.batches.retrieve(job).processing_status

    def output(self, sdk: Any, job: str) -> list[Any]:
        return [*sdk.messages.batches.results(job).http_response.iter_lines()]

    def row(self, line: Any) -> tuple[str, Said | Any]:
        row = MessageBatchIndividualResponse.model_validate(line)
        if row.result.type == "succeeded":
            assert row.result.message.usage.service_tier == "batch"
            return row.custom_id, self.said(row.result.message)
        is_error = row.result.type == "errored"
        return row.custom_id, row.result.error.error.type if is_error else row.result.type

    def listed(self, sdk: Any, page: int = 20) -> list[str]:
        return [batch.id for batch in sdk.messages.batches.list(limit=page)]

    def row_of(self, body: Any) -> Any:
        return json.loads(json.dumps(body).replace('"5m"', '"1h"'))


ANTHROPIC = Anthropic()


class TestServer(ServerContract):
    provider = ANTHROPIC

    def test_claude_stops_and_thinks(self, sdk: Any) -> None:
        def create(**changes: Any) -> Message:
            asked = chat("one STOP two", model=MODEL, max_tokens=12)
            return sdk.messages.create(**{**asked, **changes})

        message = create(stop_sequences=["STOP"])
        assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", "STOP")
        message = create(**chat("one"), model="claude-opus-5-5")
        assert [block.type for block in message.content] == ["thinking", "text"]
        assert message.usage.output_tokens == 12
        message = create(**chat("one"), model="claude-opus-5-5", max_tokens=9)
        assert [block.type for block in message.content] == ["thinking"]
        assert message.stop_reason == "max_tokens"

    def test_the_new_version_of_the_api_has_no_sampling_parameters(self, sdk: Any) -> None:
        asked: Any = chat("one", model=MODEL, max_tokens=9)
        with pytest.raises(anthropic.BadRequestError, match="temperature: Extra inputs"):
            sdk.messages.create(**asked, extra_body={"temperature": 0.5})

    def test_results_come_only_of_what_has_ended_and_is_kept(self, server: Any, sdk: Any) -> None:
        batches = sdk.messages.batches
        server.held = "in_progress"
        job = self.created(sdk, "a")
        with pytest.raises(anthropic.AnthropicError, match="No `results_url`"):
            batches.results(job)
        server.held = None
        self.states(sdk, job)
        server.ahead += 30 * 24 * 3600
        assert batches.retrieve(job).archived_at is not None
        with pytest.raises(anthropic.NotFoundError, match="archived"):
            batches.results(job)

    def test_batches_have_a_most(self, server: Any, sdk: Any) -> None:
        server.most_requests = 2
        with pytest.raises(anthropic.RequestTooLargeError):
            self.created(sdk, *"abc")
        assert server.batches == {}


class TestClient(LateContract):
    provider = ANTHROPIC

    @pytest.mark.parametrize("end", ["\n", ""])
    def test_lines_are_sent_in_pieces(
        self, server: Any, lines: Path, monkeypatch: pytest.MonkeyPatch, end: str
    ) -> None:
        monkeypatch.setattr(anthropic_client, "_CHUNK_BYTES", 100)
        text = lines.read_text(encoding="utf-8").rstrip("\n") + end
        lines.write_text(text, encoding="utf-8", newline="\n")
        rows = server.batches[self.submit(server, lines)].rows
        asked = [row.body["messages"][0]["content"] for row in rows]
        assert asked == [question(number) for number in range(5)]

    def test_the_system_prompt_is_cached_and_all_tokens_are_counted(self, server: Any) -> None:
        server.least_cached = 1
        first, second = (self.ask(server, request(1, "one two")).usage for _ in range(2))
        for usage in (first, second):
            assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (3, 3, 6)
        assert (first.cache_write_tokens, first.cached_tokens) == (1, 0)
        assert (second.cache_write_tokens, second.cached_tokens) == (0, 1)

    def test_results_that_are_not_kept_any_more_are_gone(self, server: Any, finished: str) -> None:
        server.ahead += 30 * 24 * 3600
        status = self.status(server, finished)
        assert (status.state, status.message) == ("gone", "results are kept for 29 days")

    def test_results_that_are_not_found_may_come_yet(self, server: Any, finished: str) -> None:
        server.faults = always(f"GET /v1/messages/batches/{finished}/results", "404")
        with self.fails(retryable=True):
            self.results(server, finished)

    @pytest.mark.parametrize("ahead_s", [-3000, 0, 3000])
    def test_of_other_batches_the_next_one_is_found(
        self, server: Any, lines: Path, ahead_s: float
    ) -> None:
        server.ahead = ahead_s
        written = datetime.now(UTC)

        def created(requests: int, seconds: float) -> str:
            job = self.create(server, self.written(server, lines, REQUESTS[:requests]))
            server.batches[job].created += seconds
            return job

        created(2, -3600)  # too old
        another_count = created(3, 0)
        claimed, ours, later = (created(2, seconds) for seconds in (1, 2, 50))
        two, three = (BatchIntent("assay-a", requests, written) for requests in (2, 3))
        assert self.find(server, two, claimed) == ours
        assert self.find(server, two, claimed, ours, later) is None
        assert self.find(server, three) == another_count
