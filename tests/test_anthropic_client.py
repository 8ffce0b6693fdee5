"""The client of Anthropic against a server that its own SDK finds faithful."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hosted_contract import INTENT, REQUESTS, SAMPLED, LateContract, key, question, request
from servers.anthropic import AnthropicServer
from servers.faults import always

from workflow_scripts.backends import anthropic_client
from workflow_scripts.backends.capabilities import capabilities, dropped, parameters, problems
from workflow_scripts.backends.client import (
    BatchClient,
    BatchIntent,
    RequestError,
)
from workflow_scripts.core.records import Completion

MODEL = "claude-haiku-4-5"
ALL = request(0, max_new_tokens=1200, **SAMPLED).decoding


class TestAnthropic(LateContract):
    make_server = AnthropicServer
    backend = "anthropic"
    model = MODEL
    missing_model = "claude-haiku-4.5"
    environment: ClassVar = {"ANTHROPIC_API_KEY": "key-of-the-test"}
    key_variable = "ANTHROPIC_API_KEY"
    version = "/v1"
    says = f"{{url}} has {MODEL} (Claude Haiku 4 5)"
    create_call = "POST /v1/messages/batches"
    running_word = "in_progress"
    ended_word = "ended"
    counts_while_running = False
    lists_before_the_search = 1  # the clock is compared in it

    def job_path(self, job: str) -> str:
        return f"/v1/messages/batches/{job}"

    # What is sent

    def test_a_chat_is_sent_with_all_parameters(self, server: AnthropicServer) -> None:
        self.ask(server, request(1, max_new_tokens=9, **SAMPLED | {"top_p": None}))
        assert server.bodies == [
            {
                "model": MODEL,
                "system": [
                    {
                        "type": "text",
                        "text": "Answer.",
                        "cache_control": {"type": "ephemeral", "ttl": "5m"},
                    }
                ],
                "messages": [{"role": "user", "content": question(1)}],
                "temperature": 0.7,
                "max_tokens": 9,
                "top_k": 20,
                "stop_sequences": ["END"],
            }
        ]

    def test_a_chat_without_a_system_prompt_has_none(self, server: AnthropicServer) -> None:
        asked = request(1)
        self.ask(server, asked.model_copy(update={"messages": asked.messages[1:]}))
        assert "system" not in server.bodies[0]

    @pytest.mark.parametrize("model", sorted(AnthropicServer().models))
    def test_every_kind_of_model_takes_what_is_sent(
        self, server: AnthropicServer, model: str
    ) -> None:
        for decoding in ({}, SAMPLED, SAMPLED | {"temperature": 1.0}):
            asked = request(1, "one two three", max_new_tokens=1200, **decoding)
            answer = self.ask(server, asked, model_id=model)
            assert (answer.response_text, answer.finish_reason) == ("to one two three", "stop")

    def test_the_identity_has_what_decides_answers_and_no_more(
        self, server: AnthropicServer
    ) -> None:
        known = {"engine": "anthropic", "endpoint": "/v1/messages", "model": MODEL}
        assert self.client(server).identity() == known
        other = self.client(server, model_id="claude-sonnet-5-5").identity()
        assert other["thinking"] == '{"type": "between_tools"}'

    def test_a_batch_holds_what_single_requests_would_hold(
        self, server: AnthropicServer, tmp_path: Path
    ) -> None:
        requests = [request(0), request(1, max_new_tokens=1200, **SAMPLED)]
        job = self.submit(server, self.written(server, tmp_path / "two.jsonl", requests))
        for each in requests:
            self.ask(server, each)
        rows = server.batches[job].rows
        assert [row.custom_id for row in rows] == [key(each) for each in requests]
        alone = json.loads(json.dumps(server.bodies).replace('"5m"', '"1h"'))
        assert [row.body for row in rows] == alone

    @pytest.mark.parametrize("last_line", ["\n", ""])
    def test_lines_are_sent_as_they_are_in_pieces(
        self,
        server: AnthropicServer,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        last_line: str,
    ) -> None:
        monkeypatch.setattr(anthropic_client, "_CHUNK_BYTES", 100)
        many = [request(number) for number in range(30)]
        lines = self.written(server, tmp_path / "lines.jsonl", many)
        text = lines.read_text(encoding="utf-8")
        lines.write_text(text.rstrip("\n") + last_line, encoding="utf-8", newline="\n")
        rows = server.batches[self.submit(server, lines)].rows
        asked = [row.body["messages"][0]["content"] for row in rows]
        assert asked == [question(number) for number in range(30)]

    # What is read

    def test_the_system_prompt_is_cached_and_all_tokens_are_counted(
        self, server: AnthropicServer
    ) -> None:
        server.least_cached = 1
        first, second = (self.ask(server, request(1, "one two")).usage for _ in range(2))
        for usage in (first, second):
            assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (3, 3, 6)
        assert (first.cache_write_tokens, first.cached_tokens) == (1, 0)
        assert (second.cache_write_tokens, second.cached_tokens) == (0, 1)

    def test_thoughts_are_no_answer_but_are_counted(self, server: AnthropicServer) -> None:
        asked = request(1, "one", max_new_tokens=1200)
        answer = self.ask(server, asked, model_id="claude-opus-5-5")
        assert answer.response_text == "to one"
        assert answer.usage.completion_tokens == 12

    # Trouble

    @pytest.mark.parametrize(
        "said",
        [
            "Your credit balance is too low to access the Anthropic API.",
            "prompt is too long: 210000 tokens > 200000 maximum",
        ],
    )
    def test_what_is_refused_with_status_400_is_left_to_the_next_run(
        self,
        server: AnthropicServer,
        lines: Path,
        monkeypatch: pytest.MonkeyPatch,
        said: str,
    ) -> None:
        handler: Any = server.RequestHandlerClass
        plain = handler.error_body
        monkeypatch.setattr(
            handler, "error_body", lambda self, status, _: plain(self, status, said)
        )
        server.faults = always(question(0), "400")
        error = self.refused(server)
        assert not error.retryable
        result = self.whole(server, lines)[key(REQUESTS[0])]  # and the same in a batch
        assert isinstance(result, RequestError)
        assert not result.retryable

    # Batches

    def test_a_file_that_is_not_valid_fails_the_job(
        self, server: AnthropicServer, tmp_path: Path
    ) -> None:
        """Here it is not even created."""
        twice = self.written(server, tmp_path / "lines.jsonl", [REQUESTS[0], REQUESTS[0]])
        with pytest.raises(RequestError, match="custom_id must be unique") as caught:
            self.submit(server, twice)
        assert not caught.value.retryable
        assert (server.batches, server.bills) == ({}, [])

    def test_what_was_answered_before_a_cancellation_is_kept(
        self, server: AnthropicServer, lines: Path
    ) -> None:
        server.rows_per_poll = 1
        job = self.submit(server, lines)
        self.status(server, job)
        server.batches[job].cancelling = True
        status = self.status(server, job)
        assert (status.state, status.done, status.failed) == ("cancelled", 1, 4)
        results = dict(self.results(server, job))
        assert isinstance(results.pop(key(REQUESTS[0])), Completion)
        for error in results.values():
            assert isinstance(error, RequestError)
            assert error.retryable
            assert "canceled" in str(error)

    def test_results_that_are_not_kept_any_more_are_gone(
        self, server: AnthropicServer, lines: Path
    ) -> None:
        job = self.submit(server, lines)
        self.ended(server, job)
        server.ahead += 30 * 24 * 3600
        status = self.status(server, job)
        assert (status.state, status.message) == ("gone", "results are kept for 29 days")

    def test_results_that_are_not_found_may_come_yet(
        self, server: AnthropicServer, lines: Path
    ) -> None:
        job = self.submit(server, lines)
        self.ended(server, job)
        server.faults = always(f"GET /v1/messages/batches/{job}/results", "404")
        with pytest.raises(RequestError) as caught:
            self.results(server, job)
        assert caught.value.retryable

    @pytest.mark.parametrize("ahead_s", [-3000, 0, 3000])
    def test_among_other_batches_the_right_one_is_found(
        self, server: AnthropicServer, tmp_path: Path, ahead_s: float
    ) -> None:
        server.most_per_page = 2
        server.ahead = ahead_s
        written = datetime.now(UTC)

        async def submit(client: BatchClient) -> str:
            return await client.submit_batch(INTENT, lines)

        def created(requests: int, seconds: float) -> str:
            nonlocal lines
            lines = self.written(server, lines, REQUESTS[:requests])
            job = self.use(server, submit)
            server.batches[job].created += seconds
            return job

        def found(requests: int, *claimed: str) -> str | None:
            wanted = BatchIntent("assay-a", requests, written)
            return self.use(server, lambda client: client.find_batch(wanted, claimed))

        lines = tmp_path / "lines.jsonl"
        created(2, -3600)  # too old
        another_count = created(3, 0)
        claimed = created(2, 1)
        ours = created(2, 2)
        later = created(2, 50)
        for _ in range(5):
            created(1, 60)
        assert found(2, claimed) == ours
        assert found(2, claimed, ours, later) is None
        assert found(3) == another_count
        assert server.called("GET /v1/messages/batches") > 6


# The table of capabilities


@pytest.mark.parametrize(
    ("model", "sampling", "thinking"),
    [
        ("claude-3-haiku-20240307", {"temperature", "top_p", "top_k"}, None),
        ("claude-sonnet-4-20250514", {"temperature", "top_p", "top_k"}, None),
        ("claude-opus-4-1-20250805", {"temperature", "top_k"}, None),
        ("claude-sonnet-4-5", {"temperature", "top_k"}, None),
        ("claude-haiku-4-5-20251001", {"temperature", "top_k"}, None),
        ("claude-opus-4-6", {"temperature", "top_k"}, None),
        ("claude-opus-4-7", set(), None),
        ("claude-opus-4-8", set(), None),
        ("claude-sonnet-5", set(), "disabled"),
        ("claude-opus-5", set(), "disabled"),
        ("claude-sonnet-5-5", set(), "between_tools"),
        ("claude-haiku-5-5", set(), "disabled"),
        ("claude-opus-5-5", set(), None),
        ("claude-fable-5-1", set(), None),
        ("claude-opus-9", set(), None),
    ],
)
def test_each_model_gets_the_parameters_that_it_takes(
    model: str, sampling: set[str], thinking: str | None
) -> None:
    sent = parameters("anthropic", model, ALL)
    assert sent.keys() & {"temperature", "top_p", "top_k"} == sampling
    assert "seed" not in sent
    told = dropped("anthropic", model, ALL)
    assert told.keys() == {"seed", "stop", "temperature", "top_p", "top_k"} - sampling
    assert "white space" in told["stop"]
    always_sent = capabilities("anthropic", model).always
    assert always_sent == ({"thinking": {"type": thinking}} if thinking else {})


def test_of_temperature_and_top_p_the_one_that_matters_is_sent() -> None:
    hot = ALL.model_copy(update={"temperature": 1.0})
    assert parameters("anthropic", MODEL, hot)["top_p"] == 0.9
    assert "top_p" not in dropped("anthropic", MODEL, hot)
    assert "temperature" not in dropped("anthropic", MODEL, hot)
    assert "one of temperature and top_p" in dropped("anthropic", MODEL, ALL)["top_p"]


def test_what_a_model_cannot_do_is_known_before_any_job() -> None:
    hot = request(0, temperature=1.5, max_new_tokens=32).decoding
    assert problems("anthropic", MODEL, request(0).decoding) == []
    (problem,) = problems("anthropic", MODEL, hot)
    assert problem == "temperature 1.5 is more than claude-haiku-4-5 takes: 1 at most"
    (problem,) = problems("anthropic", "claude-opus-5-5", hot)  # it takes no temperature at all
    assert "32 leave no room for an answer. Set max_new_tokens to 1024 or more" in problem
