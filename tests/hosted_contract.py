"""What every client of a hosted provider must keep, whatever the provider.

A test file subclasses `HostedContract`, names server and client, and adds what only that provider
has. The server bills each request that it answers, so "paid for once" can be counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import pytest
from conftest import REPOSITORY
from hypothesis import strategies as st
from servers.base import running

from workflow_scripts.config.schema import BackendSettings
from workflow_scripts.errors import UserError
from workflow_scripts.infer import hosted
from workflow_scripts.infer.client import (
    BatchClient,
    BatchIntent,
    BatchStatus,
    RequestError,
    make_client,
)
from workflow_scripts.records import Completion, Decoding, Message, Request

Outcome = TypeVar("Outcome")
Result = Completion | RequestError

INTENT = BatchIntent("assay-0123456789abcdef01234567", 5, datetime(2026, 8, 29, 9, tzinfo=UTC))
"""A little before the test servers' clocks start."""

SPOILED = ["half", "half JSON", "empty", "wrong types", "error in 200", "HTML"]

SUBMIT = """
import asyncio, sys
from datetime import datetime
from pathlib import Path
from workflow_scripts.config.schema import BackendSettings
from workflow_scripts.infer.client import BatchIntent, make_client

async def main():
    client = make_client(BackendSettings.model_validate_json(sys.argv[1]))
    intent = BatchIntent(sys.argv[2], 5, datetime.fromisoformat(sys.argv[3]))
    found = await client.find_batch(intent, set())
    print(found or await client.submit_batch(intent, Path(sys.argv[4])))
    await client.close()

asyncio.run(main())
"""


def request(number: int, question: str | None = None, **decoding: Any) -> Request:
    values: dict[str, Any] = {"temperature": 0.0, "max_new_tokens": 8, "seed": number, **decoding}
    return Request(
        custom_id=f"d|{number}|control|0.0|0|closed_book",
        dataset="d",
        item_id=str(number),
        prompt="control",
        temp="0.0",
        sample_index=0,
        type="closed_book",
        messages=[
            Message(role="system", content="Answer."),
            Message(role="user", content=question or f"question {number}"),
        ],
        decoding=Decoding(**values),
    )


MISHAPS = st.lists(
    st.sampled_from(["", "reset", "500", "429", "half", "wrong types", "HTML"]).flatmap(
        lambda fault: st.sampled_from([fault, f"after {fault}" if fault else ""])
    ),
    max_size=12,
)
"""Faults of the calls of a submission, one after the other."""

REQUESTS = [request(number) for number in range(INTENT.requests)]


def key(request: Request) -> str:
    return hashlib.sha256(request.custom_id.encode()).hexdigest()


class HostedContract:
    """Tests of one client against its provider's test server."""

    make_server: Callable[[], Any]
    backend: str
    model: str
    missing_model: str
    """An id near that of a model the server has."""
    environment: dict[str, str]
    key_variable: str
    ended_word: str

    # What differs in the servers' states

    def jobs(self, server: Any) -> list[str]:
        """The ids of all jobs."""
        raise NotImplementedError

    def expire(self, server: Any) -> None:
        """Let the time of all jobs run out."""
        server.clock += 86_400

    # Fixtures and helpers

    @pytest.fixture
    def server(self) -> Iterator[Any]:
        with running(type(self).make_server()) as server:
            yield server

    @pytest.fixture(autouse=True)
    def _environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in self.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(hosted, "LISTING_LAG_S", 0.0)
        monkeypatch.setattr(hosted, "UNSEEN_WAITS_S", (0.0,))

    @pytest.fixture
    def lines(self, server: Any, tmp_path: Path) -> Path:
        return self.written(server, tmp_path / "lines.jsonl")

    def configured(self, server: Any, **changes: Any) -> BackendSettings:
        values = {"backend": self.backend, "model_id": self.model, "request_timeout_s": 20.0}
        return BackendSettings.model_validate({**values, "local_endpoint": server.url, **changes})

    def client(self, server: Any, **changes: Any) -> BatchClient:
        client: Any = make_client(self.configured(server, **changes))
        return client  # type: ignore[no-any-return]

    def use(
        self, server: Any, work: Callable[[BatchClient], Awaitable[Outcome]], **changes: Any
    ) -> Outcome:
        """What comes of some work with a new client, which is closed again."""

        async def whole() -> Outcome:
            client = self.client(server, **changes)
            try:
                await client.open()
                return await work(client)
            finally:
                await client.close()

        return asyncio.run(whole())

    def ask(self, server: Any, asked: Request = REQUESTS[0], **changes: Any) -> Completion:
        return self.use(server, lambda c: c.generate(asked.messages, asked.decoding), **changes)

    def refused(self, server: Any, asked: Request = REQUESTS[0], **changes: Any) -> RequestError:
        with pytest.raises(RequestError) as caught:
            self.ask(server, asked, **changes)
        assert os.environ[self.key_variable] not in str(caught.value)
        return caught.value

    def written(self, server: Any, path: Path, asked: Sequence[Request] = REQUESTS) -> Path:
        client = self.client(server)
        text = "".join(json.dumps(client.batch_line(key(each), each)) + "\n" for each in asked)
        path.write_text(text, encoding="utf-8")
        return path

    def submit(self, server: Any, lines: Path) -> str:
        """As the executor does it: look for the job, and create it if there is none."""

        async def work(client: BatchClient) -> str:
            found = await client.find_batch(INTENT, set())
            return found or await client.submit_batch(INTENT, lines)

        return self.use(server, work)

    def submit_at_last(self, server: Any, lines: Path) -> str:
        """Submit, again and again with a new client until it succeeds."""
        for _ in range(30):
            try:
                return self.submit(server, lines)
            except RequestError as error:
                assert error.retryable, error
        raise AssertionError("never submitted")

    def status(self, server: Any, job: str) -> BatchStatus:
        return self.use(server, lambda client: client.batch_status(job))

    def ended(self, server: Any, job: str) -> BatchStatus:
        """Poll a job to its end."""
        while (status := self.status(server, job)).state == "running":
            pass
        return status

    def results(self, server: Any, job: str) -> list[tuple[str, Result]]:
        """What there is of a job's results, read a second time where the first is too short."""

        async def work(client: BatchClient) -> list[tuple[str, Result]]:
            try:
                return [pair async for pair in client.batch_results(job)]
            except RequestError as error:
                if "results came" not in str(error):
                    raise
                return [pair async for pair in client.batch_results(job)]

        return self.use(server, work)

    def whole(self, server: Any, lines: Path) -> dict[str, Result]:
        """Submit, wait, and fetch."""
        job = self.submit(server, lines)
        self.ended(server, job)
        return dict(self.results(server, job))

    # One by one

    def test_an_answer(self, server: Any) -> None:
        answer = self.ask(server, request(1, "one two three"))
        assert answer.response_text == "to one two three"
        assert answer.finish_reason == "stop"
        assert answer.request_id
        assert answer.usage.prompt_tokens == 4
        assert answer.usage.completion_tokens == 4
        assert answer.usage.total_tokens == 8
        assert answer.latency_s is not None
        assert answer.latency_s > 0
        assert len(server.bills) == 1

    def test_an_answer_that_is_cut(self, server: Any) -> None:
        answer = self.ask(server, request(1, "one two three", max_new_tokens=2))
        assert (answer.response_text, answer.finish_reason) == ("to one", "length")

    def test_many_at_once(self, server: Any) -> None:
        async def work(client: BatchClient) -> list[Completion]:
            many = [request(number) for number in range(40)]
            return await asyncio.gather(*(client.generate(r.messages, r.decoding) for r in many))

        server.latency_s = 0.02
        answers = self.use(server, work)
        assert [a.response_text for a in answers] == [f"to question {n}" for n in range(40)]
        assert server.most_at_once > 8

    @pytest.mark.parametrize("fault", ["500", "502", "reset", *SPOILED])
    def test_what_may_pass_is_worth_another_try(self, server: Any, fault: str) -> None:
        server.faults = lambda *_: fault
        error = self.refused(server)
        assert (error.retryable, error.final, error.overloaded) == (True, False, False)

    @pytest.mark.parametrize("fault", ["429", "503"])
    def test_a_server_that_pushes_back(self, server: Any, fault: str) -> None:
        server.faults = lambda *_: fault
        error = self.refused(server)
        assert (error.retryable, error.overloaded, error.wait_s) == (True, True, 0.05)

    @pytest.mark.parametrize(("fault", "final"), [("400", True), ("401", False), ("404", False)])
    def test_what_would_fail_again(self, server: Any, fault: str, final: bool) -> None:
        server.faults = lambda *_: fault
        error = self.refused(server)
        assert (error.retryable, error.final) == (False, final)

    def test_a_silent_server(self, server: Any) -> None:
        server.faults = lambda *_: "slow"
        error = self.refused(server, request_timeout_s=0.1)
        assert error.retryable
        assert "no reply within 0.1 s" in str(error)

    def test_nobody_there(self, server: Any) -> None:
        error = self.refused(server, local_endpoint="http://127.0.0.1:1")
        assert error.retryable

    def test_the_identity_says_what_decides_answers(self, server: Any) -> None:
        identity = self.client(server).identity()
        assert identity["engine"] == self.backend
        assert identity["model"] == self.model
        assert server.url not in identity.values()
        assert all(isinstance(value, str) for value in identity.values())

    # Keys and models

    def test_a_missing_key(self, server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv(self.key_variable)
        with pytest.raises(UserError, match=rf"{self.key_variable}.*\.env"):
            self.client(server)

    def test_a_key_that_cannot_be_one(self, server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(self.key_variable, "se\ncret")
        with pytest.raises(UserError, match=self.key_variable) as caught:
            self.client(server)
        assert "cret" not in str(caught.value)

    def test_a_wrong_key(self, server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(self.key_variable, "wrong-and-secret")
        error = self.refused(server)
        assert not error.retryable
        with pytest.raises(UserError, match=self.key_variable) as caught:
            self.use(server, lambda client: client.check())
        assert "wrong-and-secret" not in str(caught.value)

    def test_check(self, server: Any) -> None:
        assert self.model in self.use(server, lambda client: client.check())
        assert server.bills == []

    def test_check_survives_what_passes(self, server: Any) -> None:
        server.faults = lambda _, tries: "" if tries else "500"
        assert self.model in self.use(server, lambda client: client.check())

    def test_check_names_models_like_a_missing_one(self, server: Any) -> None:
        with pytest.raises(UserError, match=f"{self.missing_model}.*{self.model}.*model_id"):
            self.use(server, lambda client: client.check(), model_id=self.missing_model)

    # Jobs

    def test_a_job_gives_the_answers_that_single_requests_get(
        self, server: Any, lines: Path
    ) -> None:
        results = self.whole(server, lines)
        assert sorted(results) == sorted(map(key, REQUESTS))
        for each in REQUESTS:
            answer = results[key(each)]
            assert isinstance(answer, Completion), answer
            alone = self.ask(server, each)
            assert answer.latency_s is None
            same = {"request_id": alone.request_id, "latency_s": alone.latency_s}
            assert answer.model_copy(update=same) == alone
        assert [*server.billed().values()] == [2] * len(REQUESTS)  # once in the job, once alone

    def test_states_and_counts(self, server: Any, lines: Path) -> None:
        server.rows_per_poll = 2
        server.faults = lambda question, _: "400" if question == "question 3" else ""
        job = self.submit(server, lines)
        seen = [self.status(server, job)]
        while seen[-1].state == "running":
            seen.append(self.status(server, job))
        assert (seen[-1].state, seen[-1].word) == ("ended", self.ended_word)
        assert (seen[-1].done, seen[-1].failed, seen[-1].total) == (4, 1, 5)
        assert 2 in [each.done for each in seen]

    def test_find_before_and_after(self, server: Any, lines: Path) -> None:
        def find(*claimed: str) -> str | None:
            return self.use(server, lambda client: client.find_batch(INTENT, set(claimed)))

        assert find() is None
        job = self.submit(server, lines)
        assert find() == job
        assert find("another") == job
        assert find(job) is None

    def test_other_jobs_are_not_taken_for_ours(
        self, server: Any, lines: Path, tmp_path: Path
    ) -> None:
        other = BatchIntent("assay-ffffffffffffffffffffffff", 1, INTENT.at)
        one = self.written(server, tmp_path / "one.jsonl", REQUESTS[:1])
        theirs = self.use(server, lambda client: client.submit_batch(other, one))
        mine = self.submit(server, lines)
        assert mine != theirs
        assert self.use(server, lambda client: client.find_batch(other, {mine})) == theirs

    @pytest.mark.parametrize("fault", ["reset", "after reset", "after 500", "after wrong types"])
    def test_interrupted_at_any_call(self, lines: Path, fault: str) -> None:
        """Each call of a submission in turn fails, before or after it took effect."""
        with running(type(self).make_server()) as quiet:
            self.submit(quiet, self.written(quiet, lines))
            calls = len(quiet.calls)
        assert calls >= 3
        for number in range(calls):
            with running(type(self).make_server()) as server:
                count = iter(range(1000))
                server.faults = lambda *_, count=count, n=number: fault if next(count) == n else ""
                job = self.submit_at_last(server, self.written(server, lines))
                assert self.jobs(server) == [job]
                server.faults = lambda *_: ""
                self.ended(server, job)
                assert [*server.billed().values()] == [1] * len(REQUESTS)

    def one_job_comes_of_any_mishaps(self, faults: list[str], lines: Path) -> None:
        """The property; subclasses let Hypothesis choose the faults of the first calls."""
        with running(type(self).make_server()) as server:
            server.retry_after = "0"
            self.written(server, lines)
            left = iter(faults)
            server.faults = lambda *_: next(left, "")
            job = self.submit_at_last(server, lines)
            assert self.jobs(server) == [job]
            server.faults = lambda *_: ""
            self.ended(server, job)
            assert set(dict(self.results(server, job))) == set(map(key, REQUESTS))
            assert [*server.billed().values()] == [1] * len(REQUESTS)

    def test_a_process_killed_after_any_call(self, lines: Path) -> None:
        """``kill -9`` of a real process while the response of a call is on its way."""
        with running(type(self).make_server()) as quiet:
            self.submit(quiet, self.written(quiet, lines))
            calls = [n for n, call in enumerate(quiet.calls) if not call.startswith("GET ")]
        command = [
            *(sys.executable, "-c", SUBMIT, "", INTENT.name, INTENT.at.isoformat()),
            str(lines),
        ]
        for number in calls:
            with running(type(self).make_server()) as server:
                command[3] = self.configured(server).model_dump_json()
                count = iter(range(1000))
                server.faults = lambda *_, count=count, n=number: (
                    "after slow" if next(count) == n else ""
                )
                process = subprocess.Popen(command, cwd=REPOSITORY)
                while len(server.calls) <= number:
                    assert process.poll() is None
                    time.sleep(0.01)
                process.kill()
                process.wait()
                job = self.submit(server, lines)
                assert self.jobs(server) == [job]

    def test_expired_jobs_keep_what_they_have(self, server: Any, lines: Path) -> None:
        server.rows_per_poll = 1
        job = self.submit(server, lines)
        while not server.bills:
            self.status(server, job)
        done = len(server.bills)
        self.expire(server)
        assert self.ended(server, job).state == "ended"
        results = dict(self.results(server, job))
        answers = [each for each in results.values() if isinstance(each, Completion)]
        assert len(answers) == done < len(REQUESTS)
        for error in results.values():
            if isinstance(error, RequestError):
                assert (error.retryable, error.final) == (True, False)

    def test_failed_rows(self, server: Any, lines: Path) -> None:
        server.faults = lambda question, _: {"question 1": "400", "question 2": "500"}.get(
            question, ""
        )
        results = self.whole(server, lines)
        bad, passing = results[key(REQUESTS[1])], results[key(REQUESTS[2])]
        assert isinstance(bad, RequestError)
        assert (bad.retryable, bad.final) == (False, True)
        assert isinstance(passing, RequestError)
        assert (passing.retryable, passing.final) == (True, False)
        assert isinstance(results[key(REQUESTS[0])], Completion)

    def test_a_file_that_is_not_valid_fails_the_job(self, server: Any, tmp_path: Path) -> None:
        lines = self.written(server, tmp_path / "lines.jsonl", [REQUESTS[0], REQUESTS[0]])
        status = self.ended(server, self.submit(server, lines))
        assert status.state == "failed"
        assert "duplicate" in status.message
        assert server.bills == []

    def test_a_job_that_nobody_knows(self, server: Any) -> None:
        assert self.status(server, "batch-of-nobody").state == "gone"

    @pytest.mark.parametrize("fault", ["twice", "unknown", "missing", "malformed", "shapeless"])
    def test_faults_of_the_output(self, server: Any, lines: Path, fault: str) -> None:
        server.output_faults = (fault,)
        job = self.submit(server, lines)
        self.ended(server, job)
        results = self.results(server, job)
        keys = Counter(each for each, _ in results)
        answered = {each for each, result in results if isinstance(result, Completion)}
        asked = set(map(key, REQUESTS))
        errors = [result for _, result in results if isinstance(result, RequestError)]
        if fault == "twice":
            assert sorted(keys.values()) == [1, 1, 1, 1, 2]
            assert answered == asked
        elif fault == "unknown":
            assert answered == asked | {"nobody-asked"}
        else:
            assert len(answered) == len(asked) - 1
            assert answered < asked
            assert len(errors) == (0 if fault == "missing" else 1)
            assert all(error.retryable and "malformed" in str(error) for error in errors)

    @pytest.mark.parametrize("fault", ["half", "half JSON", "500", "429"])
    def test_results_that_break_off_can_be_read_again(
        self, server: Any, lines: Path, fault: str
    ) -> None:
        job = self.submit(server, lines)
        self.ended(server, job)
        before = len(server.calls)
        self.results(server, job)
        for number in range(len(server.calls) - before):
            count = iter(range(1000))
            server.faults = lambda *_, count=count, n=number: (
                f"after {fault}" if next(count) == n else ""
            )
            with contextlib.suppress(RequestError):
                read = dict(self.results(server, job))  # half of an empty file is whole
                unread = any(isinstance(result, RequestError) for result in read.values())
                assert unread or set(read) == set(map(key, REQUESTS))
            server.faults = lambda *_: ""
            assert set(dict(self.results(server, job))) == set(map(key, REQUESTS))
        assert [*server.billed().values()] == [1] * len(REQUESTS)

    @pytest.mark.parametrize("fault", ["empty", "half JSON"])
    def test_results_that_come_short_are_read_again(
        self, server: Any, lines: Path, fault: str
    ) -> None:
        """A file that is cut under status 200 must not make the rest be paid again."""
        job = self.submit(server, lines)
        self.ended(server, job)
        server.faults = lambda call, tries: (
            f"after {fault}"
            if ("/content" in call or call.startswith("GET /storage/")) and not tries
            else ""
        )
        assert set(dict(self.results(server, job))) == set(map(key, REQUESTS))

    @pytest.mark.parametrize("fault", ["500", "reset", "after half JSON", "after wrong types"])
    def test_a_state_that_cannot_be_read_is_no_end(
        self, server: Any, lines: Path, fault: str
    ) -> None:
        job = self.submit(server, lines)
        server.faults = lambda *_: fault
        with pytest.raises(RequestError) as caught:
            self.status(server, job)
        assert caught.value.retryable
