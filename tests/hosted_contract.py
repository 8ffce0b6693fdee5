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
from typing import Any, ClassVar, TypeVar

import pytest
import tenacity
from answering import use
from conftest import REPOSITORY
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from servers.base import running

from workflow_scripts.answers import batch
from workflow_scripts.answers.collect import collect
from workflow_scripts.answers.poll import poll
from workflow_scripts.answers.settings import InferSettings
from workflow_scripts.answers.submit import submit
from workflow_scripts.backends import hosted, http
from workflow_scripts.backends.client import (
    BatchClient,
    BatchIntent,
    BatchStatus,
    RequestError,
    UnreadableReplyError,
    make_client,
)
from workflow_scripts.backends.settings import BackendSettings
from workflow_scripts.backends.table import BACKENDS
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import read_jsonl, write_jsonl
from workflow_scripts.core.records import Completion, Decoding, Message, RawLine, Request
from workflow_scripts.core.registry import load

Outcome = TypeVar("Outcome")
Result = Completion | RequestError

INTENT = BatchIntent("assay-0123456789abcdef01234567", 5, datetime.now(UTC))
"""Of an earlier process: clients that are made later must look for its job."""

SPOILED = ["half", "half JSON", "empty", "error in 200", "HTML"]

SUBMIT = """
import asyncio, sys
from datetime import datetime
from pathlib import Path
from workflow_scripts.backends.settings import BackendSettings
from workflow_scripts.backends.client import BatchIntent, make_client

async def main():
    client = make_client(BackendSettings.model_validate_json(sys.argv[1]))
    intent = BatchIntent(sys.argv[2], 5, datetime.fromisoformat(sys.argv[3]))
    found = await client.find_batch(intent, set())
    print(found or await client.submit_batch(intent, Path(sys.argv[4])))
    await client.close()

asyncio.run(main())
"""


def question(number: int) -> str:
    """With characters that only look like the end of a line, or are no ASCII."""
    return f"Zürich?\u2028\nquestion {number}"


def request(number: int, asked: str | None = None, **decoding: Any) -> Request:
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
            Message(role="user", content=asked or question(number)),
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

SAMPLED = {"temperature": 0.7, "top_p": 0.9, "top_k": 20, "stop": ["END", "\n"], "seed": 42}
"""All decoding parameters."""


def key(request: Request) -> str:
    return hashlib.sha256(request.custom_id.encode()).hexdigest()


class HostedContract:
    """Tests of one client against its provider's test server."""

    make_server: Callable[[], Any]
    backend: str
    model: str
    missing_model: str
    """An id near that of a model the server has."""
    environment: ClassVar[dict[str, str]]
    key_variable: str
    version: str
    """The path that users may have at the end of their address."""
    says: str
    """What the check says, with the server's {url}."""
    create_call: str
    """The call that creates a job."""
    running_word: str
    ended_word: str
    counts_while_running = True
    keeps_expired = True
    """Whether what was answered before a job expired is kept, and paid."""
    expires_after_s = 86_400.0

    # What differs in the servers' states

    def jobs(self, server: Any) -> list[str]:
        """The ids of all jobs."""
        return list(server.batches)

    def uploads(self, server: Any) -> int:
        """How many files of lines the server has; jobs may take them without a file."""
        return len(self.jobs(server))

    def reads_results(self, call: str) -> bool:
        """Whether a call reads results."""
        return call.endswith("/results")

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
        monkeypatch.setattr(hosted, "UNSEEN_WAITS_S", (0.0, 0.0))
        monkeypatch.setattr(tenacity, "wait_exponential", lambda **_: tenacity.wait_none())

    @pytest.fixture
    def lines(self, server: Any, tmp_path: Path) -> Path:
        return self.written(server, tmp_path / "lines.jsonl")

    def configured(self, server: Any, **changes: Any) -> BackendSettings:
        values = {"backend": self.backend, "model_id": self.model, "request_timeout_s": 20.0}
        asked = {"local_endpoint": server.url, "poll_interval_s": 0.01}
        return BackendSettings.model_validate({**values, **asked, **changes})

    def client(self, server: Any, **changes: Any) -> BatchClient:
        client: Any = make_client(self.configured(server, **changes))
        return client

    def use(
        self, server: Any, work: Callable[[BatchClient], Awaitable[Outcome]], **changes: Any
    ) -> Outcome:
        """What comes of some work with a new client, which is closed again."""

        return use(self.client(server, **changes), work)

    def ask(self, server: Any, asked: Request = REQUESTS[0], **changes: Any) -> Completion:
        return self.use(server, lambda c: c.generate(asked.messages, asked.decoding), **changes)

    def refused(self, server: Any, asked: Request = REQUESTS[0], **changes: Any) -> RequestError:
        with pytest.raises(RequestError) as caught:
            self.ask(server, asked, **changes)
        assert os.environ[self.key_variable] not in str(caught.value)
        return caught.value

    def written(self, server: Any, path: Path, asked: Sequence[Request] = REQUESTS) -> Path:
        client = self.client(server)
        lines = [client.batch_line(key(each), each) for each in asked]
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        path.write_text(text, encoding="utf-8", newline="\n")
        return path

    def submit(self, server: Any, lines: Path) -> str:
        """As the executor does it: look for the job, and create it if there is none."""

        async def work(client: BatchClient) -> str:
            found = await client.find_batch(INTENT, set())
            return found or await client.submit_batch(INTENT, lines)

        return self.use(server, work)

    def cut_off(self, server: Any, lines: Path) -> None:
        """Submit, and be cut off as soon as the server hangs in the fault "slow"."""

        async def work(client: BatchClient) -> None:
            found = await client.find_batch(INTENT, set())
            assert found or await client.submit_batch(INTENT, lines)

        async def cancelled(client: BatchClient) -> None:
            task = asyncio.ensure_future(work(client))
            assert await asyncio.to_thread(server.hangs.wait, 20)
            assert not task.done()
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

        self.use(server, cancelled)

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

    async def read(self, client: BatchClient, job: str) -> list[tuple[str, Result]]:
        """What there is of a job's results; at least as many as its provider counts."""
        results = await client.batch_results(job)
        read = [client.read_result(line) async for line in results.lines if line.strip()]
        if len({key for key, _ in read if key}) < (results.expected or 0):
            raise RequestError("too few results came", retryable=True)
        return read

    def results(self, server: Any, job: str) -> list[tuple[str, Result]]:
        """What there is of a job's results, read a second time where the first is too short."""

        async def work(client: BatchClient) -> list[tuple[str, Result]]:
            with contextlib.suppress(RequestError):
                return await self.read(client, job)
            return await self.read(client, job)

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

    def turns(self, body: dict[str, Any]) -> list[tuple[str, str]]:
        """Who says what in a request, without the system prompt, in the roles of `Message`."""
        said = [(each["role"], each["content"]) for each in body["messages"]]
        return [turn for turn in said if turn[0] != "system"]

    def test_earlier_turns_keep_their_roles(self, server: Any) -> None:
        asked = request(1)
        turns = [
            Message(role="user", content="Where is Oslo?"),
            Message(role="assistant", content="In Norway."),
            Message(role="user", content="And Lyon?"),
        ]
        self.ask(server, asked.model_copy(update={"messages": [asked.messages[0], *turns]}))
        assert self.turns(server.bodies[-1]) == [(turn.role, turn.content) for turn in turns]

    def test_an_answer_that_is_cut(self, server: Any) -> None:
        answer = self.ask(server, request(1, "one two three", max_new_tokens=2))
        assert (answer.response_text, answer.finish_reason) == ("to one", "length")

    def test_many_at_once(self, server: Any) -> None:
        async def work(client: BatchClient) -> list[Completion]:
            many = [request(number) for number in range(40)]
            return await asyncio.gather(*(client.generate(r.messages, r.decoding) for r in many))

        server.begin = lambda: lambda: server.most_at_once <= 8  # no answer before there are more
        answers = self.use(server, work)
        assert [a.response_text for a in answers] == [f"to question {n}" for n in range(40)]

    @pytest.mark.parametrize("fault", ["500", "502", "504", "reset", *SPOILED])
    def test_what_may_pass_is_worth_another_try(self, server: Any, fault: str) -> None:
        server.faults = lambda *_: fault
        error = self.refused(server)
        assert (error.retryable, error.overloaded) == (True, False)

    def test_a_whole_reply_that_cannot_be_read_is_not_bought_again(self, server: Any) -> None:
        server.faults = lambda *_: "after wrong types"
        error = self.refused(server)
        assert isinstance(error, UnreadableReplyError)
        assert (error.retryable, error.may_be_charged) == (False, True)
        assert json.loads(error.reply)
        assert len(server.bills) == 1

    @pytest.mark.parametrize(("fault", "wait_s"), [("429", 0.05), ("503", 0.05), ("529", 0.0)])
    def test_a_server_that_pushes_back(self, server: Any, fault: str, wait_s: float) -> None:
        server.faults = lambda *_: fault
        error = self.refused(server)
        assert error.retryable
        assert (error.overloaded, error.wait_s) == (True, wait_s)

    @pytest.mark.parametrize("fault", ["400", "401", "403", "404", "413"])
    def test_what_would_fail_again(self, server: Any, fault: str) -> None:
        server.faults = lambda *_: fault
        error = self.refused(server)
        assert not error.retryable
        assert not error.overloaded

    def test_a_silent_server(self, server: Any) -> None:
        server.faults = lambda *_: "slow"
        error = self.refused(server, request_timeout_s=0.1)
        assert error.retryable
        assert "no reply within 0.1 s" in str(error)

    def test_nobody_there(self, server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(http, "READY_WITHIN_S", 0.0)
        nowhere = "http://127.0.0.1:1"
        error = self.refused(server, local_endpoint=nowhere)
        assert error.retryable
        with pytest.raises(UserError, match="the connection failed"):
            self.use(server, lambda client: client.check(), local_endpoint=nowhere)

    @pytest.mark.parametrize("ending", ["", "/", "{version}", "{version}/"])
    def test_the_address_may_end_as_users_write_it(self, server: Any, ending: str) -> None:
        address = server.url + ending.format(version=self.version)
        assert self.ask(server, local_endpoint=address).response_text == "to question 0"

    def test_a_gateway_has_any_path(self, server: Any) -> None:
        server.gateway_path = "/a/gateway"
        base = {"base_url": f"{server.url}/a/gateway", "local_endpoint": None}
        assert self.ask(server, **base).response_text == "to question 0"
        assert server.url in self.use(server, lambda client: client.check(), **base)
        assert self.client(server, **base).identity() == self.client(server).identity()

    def test_the_identity_says_what_decides_answers(self, server: Any) -> None:
        identity = self.client(server).identity()
        assert identity["engine"] == self.backend
        assert identity["model"] == self.model
        assert server.url not in identity.values()
        assert all(isinstance(value, str) for value in identity.values())
        assert self.client(server, local_endpoint="http://gateway").identity() == identity
        assert self.client(server, use_batch_api=False).identity() == identity

    # Keys and models

    def test_a_missing_key(self, server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv(self.key_variable)
        with pytest.raises(UserError, match=rf"{self.key_variable}.*\.env"):
            self.client(server)

    @pytest.mark.parametrize("value", ["", " ", "two words", "se\ncret", "sk-\u2026"])
    def test_a_key_that_cannot_be_one(
        self, server: Any, monkeypatch: pytest.MonkeyPatch, value: str
    ) -> None:
        monkeypatch.setenv(self.key_variable, value)
        with pytest.raises(UserError, match=self.key_variable) as caught:
            self.client(server)
        assert not value.strip() or value not in str(caught.value)

    def test_a_wrong_key(
        self, server: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv(self.key_variable, "wrong-and-secret")
        error = self.refused(server)
        assert not error.retryable
        with pytest.raises(UserError, match=rf"status 4\d\d.*Is the key in .*{self.key_variable}"):
            self.use(server, lambda client: client.check())
        said = {"error": {"message": "no wrong-and-secret!", "type": "x"}}  # some repeat the key
        monkeypatch.setattr(server.RequestHandlerClass, "error_body", lambda *_, **__: said)
        assert "no [key]!" in str(self.refused(server))
        with pytest.raises(UserError) as caught:
            self.use(server, lambda client: client.check())
        lines = self.written(server, tmp_path / "lines.jsonl").read_text(encoding="utf-8")
        for text in (str(caught.value), lines, str(self.client(server).identity()), *server.calls):
            assert "wrong-and-secret" not in text

    def test_check(self, server: Any) -> None:
        said = self.use(server, lambda client: client.check())
        assert said == self.says.format(url=server.url)
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
            of_request = {"request_id", "latency_s", "served_by", "reply"}
            same = {name: getattr(alone, name) for name in of_request}
            assert answer.model_copy(update=same) == alone
            for kept in (answer, alone):  # each reply is kept, and can be read again
                assert kept.reply is not None
                assert self.environment[self.key_variable] not in kept.reply
                reader = load(BACKENDS[self.backend].reader, "the reader")
                read = reader(json.loads(kept.reply), each.decoding)
                assert read.model_copy(update=same) == alone
        assert [*server.billed().values()] == [2] * len(REQUESTS)  # once in the job, once alone

    def test_states_and_counts(self, server: Any, lines: Path) -> None:
        server.rows_per_poll = 2
        server.faults = lambda asked, _: "400" if asked == question(3) else ""
        job = self.submit(server, lines)
        seen = [self.status(server, job)]
        while seen[-1].state == "running":
            seen.append(self.status(server, job))
        assert (seen[-1].state, seen[-1].word) == ("ended", self.ended_word)
        assert (seen[-1].done, seen[-1].failed, seen[-1].total) == (4, 1, 5)
        running = [each for each in seen if each.state == "running"]
        assert self.running_word in [each.word for each in running]
        counted = {(each.done, each.total) for each in running}
        assert (2, 5) in counted if self.counts_while_running else counted == {(None, 5)}

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

    @pytest.mark.parametrize(
        "fault", ["reset", "after reset", "after 500", "after wrong types", "slow", "after slow"]
    )
    def test_interrupted_at_any_call(self, lines: Path, fault: str) -> None:
        """Each call of a submission in turn fails, before or after it took effect.

        Or the process is cut off in it.
        """
        with running(type(self).make_server()) as quiet:
            self.submit(quiet, self.written(quiet, lines))
            calls = len(quiet.calls)
        assert calls >= 3
        for number in range(calls):
            with running(type(self).make_server()) as server:
                count = iter(range(1000))
                server.faults = lambda *_, count=count, n=number: fault if next(count) == n else ""
                if fault.endswith("slow"):
                    self.cut_off(server, self.written(server, lines))
                    assert len(server.calls) == number + 1
                job = self.submit_at_last(server, self.written(server, lines))
                assert (self.jobs(server), self.uploads(server)) == ([job], 1)
                server.faults = lambda *_: ""
                self.ended(server, job)
                assert [*server.billed().values()] == [1] * len(REQUESTS)

    # Each subclass is an executor of its own to Hypothesis.
    @settings(max_examples=20, suppress_health_check=[HealthCheck.differing_executors])
    @given(faults=MISHAPS)
    def test_one_job_comes_of_any_mishaps(
        self, tmp_path_factory: pytest.TempPathFactory, faults: list[str]
    ) -> None:
        lines = tmp_path_factory.mktemp("lines") / "lines.jsonl"
        with running(type(self).make_server()) as server:
            server.retry_after = "0"
            self.written(server, lines)
            left = iter(faults)
            server.faults = lambda *_: next(left, "")
            job = self.submit_at_last(server, lines)
            assert (self.jobs(server), self.uploads(server)) == ([job], 1)
            server.faults = lambda *_: ""
            self.ended(server, job)
            assert set(dict(self.results(server, job))) == set(map(key, REQUESTS))
            assert [*server.billed().values()] == [1] * len(REQUESTS)

    @pytest.mark.parametrize(
        "fault",
        [
            *("after reset", "after half", "after half JSON", "after 500"),
            *("reset", "500", "529", "429", "HTML"),
        ],
    )
    def test_a_lost_reply_makes_no_second_job(self, server: Any, lines: Path, fault: str) -> None:
        """The same client tries again, as the executor does where the process lives on."""
        wanted = BatchIntent(INTENT.name, INTENT.requests, datetime.now(UTC))
        server.faults = lambda call, tries: fault if call == self.create_call and not tries else ""

        async def twice(client: BatchClient) -> str:
            assert await client.find_batch(wanted, []) is None
            with pytest.raises(RequestError) as caught:
                await client.submit_batch(wanted, lines)
            assert caught.value.retryable
            return await client.find_batch(wanted, []) or await client.submit_batch(wanted, lines)

        job = self.use(server, twice)
        assert (self.jobs(server), self.uploads(server)) == ([job], 1)
        assert server.called(self.create_call) == (1 if fault.startswith("after ") else 2)

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

    def test_of_expired_jobs_the_rest_may_be_tried_again(self, server: Any, lines: Path) -> None:
        server.rows_per_poll = 1
        job = self.submit(server, lines)
        while not (done := server.outcomes("answered").total()):
            self.status(server, job)
        server.ahead += self.expires_after_s
        assert self.ended(server, job).state == "ended"
        results = dict(self.results(server, job))
        answers = [each for each in results.values() if isinstance(each, Completion)]
        assert len(answers) == len(server.bills) == (done if self.keeps_expired else 0)
        assert done < len(REQUESTS)
        for error in results.values():
            if isinstance(error, RequestError):
                assert error.retryable

    def test_failed_rows(self, server: Any, lines: Path) -> None:
        server.faults = lambda asked, _: {question(1): "400", question(2): "500"}.get(asked, "")
        results = self.whole(server, lines)
        bad, passing = results[key(REQUESTS[1])], results[key(REQUESTS[2])]
        assert isinstance(bad, RequestError)
        assert not bad.retryable
        assert isinstance(passing, RequestError)
        assert passing.retryable
        assert isinstance(results[key(REQUESTS[0])], Completion)

    def test_a_file_that_is_not_valid_fails_the_job(self, server: Any, tmp_path: Path) -> None:
        lines = self.written(server, tmp_path / "lines.jsonl", [REQUESTS[0], REQUESTS[0]])
        status = self.ended(server, self.submit(server, lines))
        assert status.state == "failed"
        assert "duplicate" in status.message
        assert server.bills == []

    def test_a_job_that_nobody_knows(self, server: Any) -> None:
        assert self.status(server, "batch-of-nobody").state == "gone"

    @pytest.mark.parametrize("fault", ["twice", "unknown", "shapeless"])
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
            assert set(keys) == asked
            assert [type(error) for error in errors] == [UnreadableReplyError]

    @pytest.mark.parametrize("fault", ["missing", "malformed"])
    def test_results_that_are_missing_or_cut_are_too_few(
        self, server: Any, lines: Path, fault: str
    ) -> None:
        server.output_faults = (fault,)
        job = self.submit(server, lines)
        self.ended(server, job)
        with pytest.raises(RequestError, match="too few results came"):
            self.results(server, job)

    @pytest.mark.parametrize("fault", ["half", "half JSON", "500", "429", "reset", "503"])
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
            f"after {fault}" if self.reads_results(call) and not tries else ""
        )
        assert set(dict(self.results(server, job))) == set(map(key, REQUESTS))

    def test_results_of_a_silent_server_can_be_read_again(self, server: Any, lines: Path) -> None:
        job = self.submit(server, lines)
        self.ended(server, job)
        server.faults = lambda call, _: "slow" if self.reads_results(call) else ""

        with pytest.raises(RequestError) as caught:
            self.use(server, lambda client: self.read(client, job), request_timeout_s=0.1)
        assert caught.value.retryable
        server.faults = lambda *_: ""
        assert len(self.results(server, job)) == len(REQUESTS)

    @pytest.mark.parametrize("fault", ["500", "reset", "after half JSON", "after wrong types"])
    def test_a_state_that_cannot_be_read_is_no_end(
        self, server: Any, lines: Path, fault: str
    ) -> None:
        job = self.submit(server, lines)
        server.faults = lambda *_: fault
        with pytest.raises(RequestError) as caught:
            self.status(server, job)
        assert caught.value.retryable

    # The whole way

    def test_every_request_is_billed_once_whatever_goes_wrong(
        self, server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The three commands of a part, twice."""
        for tries in ("_CREATE_TRIES", "_RESULT_TRIES"):  # more than a user ever sees
            monkeypatch.setattr(batch, tries, 20)
        requests = [request(number) for number in range(20)]
        folder, part = tmp_path / "journal", tmp_path / "part.jsonl"
        whole = InferSettings(backend=self.configured(server), max_retries=2)
        write_jsonl(part, requests)

        def faults(what: str, tries: int) -> str:
            if what == self.create_call:
                return ["after reset", "", "503", "after half"][tries % 4]
            if self.reads_results(what):
                return "half" if tries == 0 else ""
            if what.startswith("GET "):
                return "500" if tries % 4 == 1 else ""
            if what.startswith("POST "):
                return ["", "after reset", "500", "reset", ""][tries % 5]
            return "500" if what in (question(3), question(7)) and tries == 0 else ""

        async def run() -> None:
            submitted = await submit(part, whole, folder)
            completed = await poll(submitted, whole, folder)
            await collect(part, completed, whole, folder, tmp_path / "raw.jsonl")

        server.faults = faults
        server.rows_per_poll = 7
        asyncio.run(run())
        lines = list(read_jsonl(tmp_path / "raw.jsonl", RawLine))
        assert [line.error for line in lines] == [None] * 20
        assert [line.response_text for line in lines] == [f"to question {n}" for n in range(20)]
        assert len(self.jobs(server)) == 2  # the second one for what failed in the first one
        assert [*server.billed().values()] == [1] * 20
        asyncio.run(run())
        assert len(server.bills) == 20


class LateContract(HostedContract):
    """The same for providers that name jobs themselves, and learn late of a new one."""

    lists_before_the_search = 0

    def job_path(self, job: str) -> str:
        """The path of a job."""
        raise NotImplementedError

    def test_a_job_that_the_list_does_not_show_yet_is_waited_for(
        self, server: Any, lines: Path
    ) -> None:
        server.unlisted = self.lists_before_the_search + 1
        server.faults = lambda call, _: "after reset" if call == self.create_call else ""
        wanted = BatchIntent(INTENT.name, INTENT.requests, datetime.now(UTC))

        async def lost(client: BatchClient) -> str | None:
            with pytest.raises(RequestError):
                await client.submit_batch(wanted, lines)
            return await client.find_batch(wanted, [])

        assert [self.use(server, lost)] == self.jobs(server)

    def test_a_job_is_gone_only_when_it_is_in_no_list(self, server: Any, lines: Path) -> None:
        server.unseen = 2
        job = self.submit(server, lines)
        assert self.status(server, job).word in (self.running_word, self.ended_word)
        assert server.called(f"GET {self.job_path(job)}") == 3
        assert self.ended(server, job).state == "ended"
        server.batches.clear()
        server.unseen = 5
        job = self.submit(server, lines)
        assert self.status(server, job).state == "running"  # by the list
        server.batches.clear()
        assert self.status(server, job).state == "gone"
