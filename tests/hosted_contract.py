"""What every client of a hosted provider must keep, whatever the provider.

The server bills each request that it answers, so "paid for once" can be counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import answering
import pytest
import tenacity
from hosted_provider import Provider
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from servers.base import running
from servers.faults import always, first_try

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

NAMES = ["custom_id", "key", "response", "result", "error", "status_code", "body", "code", "type"]
NAMES += ["message", "candidates"]

SPOILED = ["half", "half JSON", "empty", "error in 200", "HTML"]


def question(number: int) -> str:
    """With characters that only look like the end of a line, or are no ASCII."""
    return f"Zürich?\u2028\nquestion {number}"


def request(number: int, asked: str | None = None, **decoding: Any) -> Request:
    values: dict[str, Any] = {"temperature": 0.0, "max_new_tokens": 8, "seed": number, **decoding}
    messages = [
        Message(role="system", content="Answer."),
        Message(role="user", content=asked or question(number)),
    ]
    return answering.request(number, messages=messages, decoding=Decoding(**values))


MISHAPS = st.lists(
    st.sampled_from(["", "reset", "500", "429", "half", "wrong types", "HTML"]).flatmap(
        lambda fault: st.sampled_from([fault, f"after {fault}" if fault else ""])
    ),
    max_size=12,
)
"""Faults of the calls of a submission, one after the other."""

KEY = "0f" * 32
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=12,
)
"""What a line of results may hold, with the names that clients look for."""

MESSAGES = [
    {"role": "system", "content": "Answer."},
    {"role": "user", "content": question(1)},
]
"""Those of the request of number 1, as OpenAI's chat completions have them."""

REQUESTS = [request(number) for number in range(INTENT.requests)]

SAMPLED = {"temperature": 0.7, "top_p": 0.9, "top_k": 20, "stop": ["END", "\n"], "seed": 42}
"""All decoding parameters."""


def key(request: Request) -> str:
    return hashlib.sha256(request.custom_id.encode()).hexdigest()


class HostedContract:
    """Tests of one client against its provider's test server."""

    provider: ClassVar[Provider]

    def jobs(self, server: Any) -> list[str]:
        """The ids of all jobs."""
        return [self.provider.job_id.format(name) for name in server.batches]

    def job(self, server: Any, job: str) -> Any:
        """The server's own record of a job."""
        return server.batches[job.rsplit("/", 1)[-1]]

    def reads_results(self, call: str) -> bool:
        return self.provider.results_call in call

    # Fixtures and helpers

    @pytest.fixture
    def server(self) -> Iterator[Any]:
        with running(self.provider.make_server()) as server:
            yield server

    @pytest.fixture(autouse=True)
    def _environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(self.provider.key_variable, "key-of-the-test")
        for name, value in self.provider.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(hosted, "LISTING_LAG_S", 0.0)
        monkeypatch.setattr(hosted, "UNSEEN_WAITS_S", (0.0, 0.0))
        monkeypatch.setattr(tenacity, "wait_exponential", lambda **_: tenacity.wait_none())

    @pytest.fixture
    def lines(self, server: Any, tmp_path: Path) -> Path:
        return self.written(server, tmp_path / "lines.jsonl")

    def configured(self, server: Any, **changes: Any) -> BackendSettings:
        values = {"backend": self.provider.name, "model_id": self.provider.model}
        asked = {"local_endpoint": server.url, "poll_interval_s": 0.01, "request_timeout_s": 20.0}
        made = BackendSettings.model_validate({**values, **asked, **changes})
        return BackendSettings.model_validate_json(made.model_dump_json())  # as jobs read them

    def client(self, server: Any, **changes: Any) -> BatchClient:
        client: Any = make_client(self.configured(server, **changes))
        return client

    def use(
        self, server: Any, work: Callable[[BatchClient], Awaitable[Outcome]], **changes: Any
    ) -> Outcome:
        """What comes of some work with a new client, which is closed again."""

        return answering.use(self.client(server, **changes), work)

    def ask(self, server: Any, asked: Request = REQUESTS[0], **changes: Any) -> Completion:
        return self.use(server, lambda c: c.generate(asked.messages, asked.decoding), **changes)

    def refused(self, server: Any, asked: Request = REQUESTS[0], **changes: Any) -> RequestError:
        with pytest.raises(RequestError) as caught:
            self.ask(server, asked, **changes)
        assert os.environ[self.provider.key_variable] not in str(caught.value)
        return caught.value

    def written(self, server: Any, path: Path, asked: Sequence[Request] = REQUESTS) -> Path:
        client = self.client(server)
        lines = [client.batch_line(key(each), each) for each in asked]
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        path.write_text(text, encoding="utf-8", newline="\n")
        return path

    @pytest.fixture
    def finished(self, server: Any, lines: Path) -> str:
        """A job that has ended."""
        job = self.submit(server, lines)
        self.ended(server, job)
        return job

    @contextlib.contextmanager
    def fails(self, match: str | None = None, *, retryable: bool) -> Iterator[None]:
        """A request is to fail, for now or for good."""
        with pytest.raises(RequestError, match=match) as caught:
            yield
        assert caught.value.retryable == retryable

    def check(self, server: Any, **changes: Any) -> str:
        return self.use(server, lambda client: client.check(), **changes)

    def find(self, server: Any, intent: BatchIntent = INTENT, *claimed: str) -> str | None:
        return self.use(server, lambda client: client.find_batch(intent, claimed))

    def create(self, server: Any, lines: Path, intent: BatchIntent = INTENT) -> str:
        """Create a job without looking for it first."""
        return self.use(server, lambda client: client.submit_batch(intent, lines))

    async def submitting(self, client: BatchClient, lines: Path) -> str:
        """As the executor does it: look for the job, and create it if there is none."""
        found = await client.find_batch(INTENT, set())
        return found or await client.submit_batch(INTENT, lines)

    def submit(self, server: Any, lines: Path) -> str:
        return self.use(server, lambda client: self.submitting(client, lines))

    def cut_off(self, server: Any, lines: Path) -> None:
        """Submit, and be cut off as soon as the server hangs in the fault "slow"."""

        async def cancelled(client: BatchClient) -> None:
            task = asyncio.ensure_future(self.submitting(client, lines))
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
        usage = answer.usage
        assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (4, 4, 8)
        assert answer.latency_s is not None
        assert answer.latency_s > 0
        assert len(server.bills) == 1

    def test_earlier_turns_keep_their_roles(self, server: Any) -> None:
        asked = request(1)
        turns = [("user", "Where is Oslo?"), ("assistant", "In Norway."), ("user", "And Lyon?")]
        messages = [Message(role=role, content=text) for role, text in turns]
        self.ask(server, asked.model_copy(update={"messages": [asked.messages[0], *messages]}))
        assert self.provider.turns(server.bodies[-1]) == turns

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

    @pytest.mark.parametrize(
        ("faults", "told"),
        [
            (["500", "502", "504", "reset", *SPOILED], (True, False, 0.0)),
            (["429", "503"], (True, True, 0.05)),
            (["529"], (True, True, 0.0)),
            (["400", "401", "403", "404", "413"], (False, False, 0.0)),
        ],
    )
    def test_what_is_worth_another_try(self, server: Any, faults: list[str], told: Any) -> None:
        for fault in faults:
            server.faults = lambda *_, fault=fault: fault
            error = self.refused(server)
            assert (error.retryable, error.overloaded, error.wait_s) == told, fault

    def test_a_whole_reply_that_cannot_be_read_is_not_bought_again(self, server: Any) -> None:
        server.faults = lambda *_: "after wrong types"
        error = self.refused(server)
        assert isinstance(error, UnreadableReplyError)
        assert (error.retryable, error.may_be_charged) == (False, True)
        assert json.loads(error.reply)
        assert len(server.bills) == 1

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
            self.check(server, local_endpoint=nowhere)

    @pytest.mark.parametrize("ending", ["", "/", "{version}", "{version}/"])
    def test_the_address_may_end_as_users_write_it(self, server: Any, ending: str) -> None:
        address = server.url + ending.format(version=self.provider.version)
        assert self.ask(server, local_endpoint=address).response_text == "to question 0"

    def test_a_gateway_has_any_path(self, server: Any) -> None:
        server.gateway_path = "/a/gateway"
        base = {"base_url": f"{server.url}/a/gateway", "local_endpoint": None}
        assert self.ask(server, **base).response_text == "to question 0"
        assert server.url in self.check(server, **base)
        assert self.client(server, **base).identity() == self.client(server).identity()

    def test_the_identity_says_what_decides_answers_and_no_more(self, server: Any) -> None:
        named = {"engine": self.provider.name, "model": self.provider.model}
        identity = {**named, **self.provider.identity}
        for same in ({}, {"local_endpoint": "http://gateway"}, {"use_batch_api": False}):
            assert self.client(server, **same).identity() == identity
        for model, said in self.provider.identities.items():
            assert said.items() <= self.client(server, model_id=model).identity().items()

    def test_all_parameters_are_sent(self, server: Any) -> None:
        asked = request(1, max_new_tokens=9, **SAMPLED)
        self.ask(server, asked)
        assert server.bodies == [self.provider.body]
        self.ask(server, asked.model_copy(update={"messages": asked.messages[1:]}))
        assert "system" not in json.dumps(server.bodies[1])

    def test_every_kind_of_model_takes_what_is_sent(self, server: Any) -> None:
        for model in server.models:
            for decoding in ({}, SAMPLED, SAMPLED | {"temperature": 1.0}):
                asked = request(1, "one two three", max_new_tokens=1200, **decoding)
                answer = self.ask(server, asked, model_id=model)
                assert (answer.response_text, answer.finish_reason) == ("to one two three", "stop")

    def test_thoughts_are_no_answer_but_are_counted(self, server: Any) -> None:
        server.shows_thoughts = True
        for model in self.provider.thinkers:
            asked = request(1, "one", max_new_tokens=1200)
            answer = self.ask(server, asked, model_id=model)
            assert answer.response_text == "to one"
            assert (answer.usage.completion_tokens, answer.usage.total_tokens) == (12, 14)

    # Keys and models

    def test_a_missing_key(self, server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv(self.provider.key_variable)
        with pytest.raises(UserError, match=rf"{self.provider.key_variable}.*\.env"):
            self.client(server)

    @pytest.mark.parametrize("value", ["", " ", "two words", "se\ncret", "sk-\u2026"])
    def test_a_key_that_cannot_be_one(
        self, server: Any, monkeypatch: pytest.MonkeyPatch, value: str
    ) -> None:
        monkeypatch.setenv(self.provider.key_variable, value)
        with pytest.raises(UserError, match=self.provider.key_variable) as caught:
            self.client(server)
        assert not value.strip() or value not in str(caught.value)

    def test_a_wrong_key(
        self, server: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv(self.provider.key_variable, "wrong-and-secret")
        error = self.refused(server)
        assert not error.retryable
        remedy = f"Is the key in .*{self.provider.key_variable}"
        with pytest.raises(UserError, match=rf"status 4\d\d.*{remedy}"):
            self.check(server)
        said = {"error": {"message": "no wrong-and-secret!", "type": "x"}}  # some repeat the key
        monkeypatch.setattr(server.RequestHandlerClass, "error_body", lambda *_, **__: said)
        assert "no [key]!" in str(self.refused(server))
        with pytest.raises(UserError) as caught:
            self.check(server)
        lines = self.written(server, tmp_path / "lines.jsonl").read_text(encoding="utf-8")
        for text in (str(caught.value), lines, str(self.client(server).identity()), *server.calls):
            assert "wrong-and-secret" not in text

    def test_check(self, server: Any) -> None:
        server.faults = lambda _, tries: "" if tries else "500"  # which passes
        assert self.check(server) == self.provider.says.format(url=server.url)
        assert server.bills == []

    def test_check_names_models_like_a_missing_one(self, server: Any) -> None:
        missing = self.provider.missing_model
        with pytest.raises(UserError, match=f"{missing}.*{self.provider.model}.*model_id"):
            self.check(server, model_id=missing)

    # Jobs

    def test_a_job_gives_the_answers_of_single_requests(self, server: Any, lines: Path) -> None:
        results = self.whole(server, lines)
        assert sorted(results) == sorted(map(key, REQUESTS))
        for each in REQUESTS:
            answer, alone = results[key(each)], self.ask(server, each)
            assert isinstance(answer, Completion), answer
            assert answer.latency_s is None
            of_request = {"request_id", "latency_s", "served_by", "reply"}
            same = {name: getattr(alone, name) for name in of_request}
            assert answer.model_copy(update=same) == alone
            for kept in (answer, alone):  # each reply is kept, and can be read again
                assert kept.reply is not None
                assert server.key not in kept.reply
                reader = load(BACKENDS[self.provider.name].reader, "the reader")
                read = reader(json.loads(kept.reply), each.decoding)
                assert read.model_copy(update=same) == alone
        assert [*server.billed().values()] == [2] * len(REQUESTS)  # once in the job, once alone

    def test_a_job_sends_what_single_requests_send(self, server: Any, lines: Path) -> None:
        requests = [request(0), request(1, max_new_tokens=1200, **SAMPLED)]
        job = self.submit(server, self.written(server, lines, requests))
        self.ended(server, job)
        rows = self.job(server, job).rows
        for each in requests:
            self.ask(server, each)
        assert [row.custom_id for row in rows] == [key(each) for each in requests]
        assert [row.body for row in rows] == [self.provider.row_of(body) for body in server.bodies]

    def test_states_and_counts(self, server: Any, lines: Path) -> None:
        server.rows_per_poll = 2
        server.faults = always(question(3), "400")
        job = self.submit(server, lines)
        seen = [self.status(server, job)]
        while seen[-1].state == "running":
            seen.append(self.status(server, job))
        assert (seen[-1].state, seen[-1].word) == ("ended", self.provider.life[-1])
        assert (seen[-1].done, seen[-1].failed, seen[-1].total) == (4, 1, 5)
        running = [each for each in seen if each.state == "running"]
        assert self.provider.working in [each.word for each in running]
        counted = {(each.done, each.total) for each in running}
        assert (2, 5) in counted if self.provider.counts_while_running else counted == {(None, 5)}

    def test_a_job_is_found_among_others(self, server: Any, lines: Path, tmp_path: Path) -> None:
        server.most_per_page = 2
        assert self.find(server) is None
        mine = self.create(server, lines)
        others = [BatchIntent(f"assay-{number:024x}", 1, INTENT.at) for number in range(5)]
        one = self.written(server, tmp_path / "one.jsonl", REQUESTS[:1])
        theirs = [self.create(server, one, other) for other in others]
        assert self.find(server) == self.find(server, INTENT, *theirs) == mine
        assert self.find(server, INTENT, mine) is None
        assert self.find(server, others[-1], mine, *theirs[:-1]) == theirs[-1]

    def test_submitting_again_without_looking(self, server: Any, lines: Path) -> None:
        first, second = (self.create(server, lines) for _ in range(2))
        assert (first == second) == self.provider.creates_once
        assert self.jobs(server) == [*dict.fromkeys([first, second])]

    @pytest.mark.parametrize(
        "fault", ["reset", "after reset", "after 500", "after wrong types", "slow", "after slow"]
    )
    def test_interrupted_at_any_call(self, lines: Path, fault: str) -> None:
        """Each call of a submission in turn fails, before or after it took effect.

        Or the process is cut off in it.
        """
        with running(self.provider.make_server()) as quiet:
            self.submit(quiet, self.written(quiet, lines))
            calls = len(quiet.calls)
        assert calls >= 3
        for number in range(calls):
            with running(self.provider.make_server()) as server:
                count = iter(range(1000))
                server.faults = lambda *_, count=count, n=number: fault if next(count) == n else ""
                if fault.endswith("slow"):
                    self.cut_off(server, self.written(server, lines))
                    assert len(server.calls) == number + 1
                job = self.submit_at_last(server, self.written(server, lines))
                assert (self.jobs(server), self.provider.uploads(server)) == ([job], 1)
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
        with running(self.provider.make_server()) as server:
            server.retry_after = "0"
            self.written(server, lines)
            left = iter(faults)
            server.faults = lambda *_: next(left, "")
            job = self.submit_at_last(server, lines)
            assert (self.jobs(server), self.provider.uploads(server)) == ([job], 1)
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
        server.faults = first_try(self.provider.create_call, fault)

        async def twice(client: BatchClient) -> str:
            assert await client.find_batch(wanted, []) is None
            with self.fails(retryable=True):
                await client.submit_batch(wanted, lines)
            return await client.find_batch(wanted, []) or await client.submit_batch(wanted, lines)

        job = self.use(server, twice)
        assert (self.jobs(server), self.provider.uploads(server)) == ([job], 1)
        assert server.called(self.provider.create_call) == (1 if fault.startswith("after ") else 2)

    def test_of_jobs_that_end_early_the_rest_may_be_tried_again(
        self, server: Any, lines: Path
    ) -> None:
        server.rows_per_poll = 1
        for how, (word, is_kept, said) in self.provider.early_ends.items():
            server.bills.clear()
            server.ledger.clear()
            job = self.create(server, lines, BatchIntent(f"assay-{how}", 5, INTENT.at))
            while not server.outcomes("answered"):
                self.status(server, job)
            if how == "cancelled":
                self.use(server, lambda client, job=job: client.cancel_batch(job))
            else:
                server.ahead += self.provider.lives_s
            status = self.ended(server, job)
            assert (status.state, status.word) == ({"expired": "ended"}.get(how, how), word)
            results = [result for _, result in self.results(server, job)]
            errors = [each for each in results if isinstance(each, RequestError)]
            assert len(results) - len(errors) == len(server.bills) == is_kept
            rest = 4 if self.provider.counts_the_rest else 0
            assert how == "expired" or (status.done, status.failed) == (1, rest)
            assert all(error.retryable and said in str(error) for error in errors)

    def test_failed_rows(self, server: Any, lines: Path) -> None:
        server.faults = lambda asked, _: {question(1): "400", question(2): "500"}.get(asked, "")
        results = self.whole(server, lines)
        for number, retryable in ((1, False), (2, True)):
            with self.fails(retryable=retryable):
                raise results[key(REQUESTS[number])]
        assert isinstance(results[key(REQUESTS[0])], Completion)

    def test_a_file_that_is_not_valid_gives_no_job(self, server: Any, lines: Path) -> None:
        with lines.open("a", encoding="utf-8") as file:
            file.write("{no json\n")
        try:
            status = self.ended(server, self.submit(server, lines))
            assert status.state == "failed"
            said = status.message
        except RequestError as error:
            assert not error.retryable
            assert self.jobs(server) == []
            said = str(error)
        assert re.search(self.provider.broken_file, said)
        assert server.bills == []

    def test_long_and_strange_answers_come_through(self, server: Any, lines: Path) -> None:
        text = "\u2028 ü \x85 \r " + "x" * 300_000
        server.answer = lambda question: text
        whole = [request(n, max_new_tokens=99) for n in range(5)]
        results = self.whole(server, self.written(server, lines, whole))
        assert [results[key(each)].response_text for each in whole] == [text] * 5

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
    def test_missing_or_cut_results_are_too_few(self, server: Any, lines: Path, fault: str) -> None:
        server.output_faults = (fault,)
        with self.fails("too few results came", retryable=True):
            self.whole(server, lines)

    @pytest.mark.parametrize("fault", ["half", "half JSON", "500", "429", "reset", "503"])
    def test_broken_results_can_be_read_again(self, server: Any, finished: str, fault: str) -> None:
        before = len(server.calls)
        self.results(server, finished)
        for number in range(len(server.calls) - before):
            count = iter(range(1000))
            server.faults = lambda *_, count=count, n=number: (
                f"after {fault}" if next(count) == n else ""
            )
            with contextlib.suppress(RequestError):
                read = dict(self.results(server, finished))  # half of an empty file is whole
                unread = any(isinstance(result, RequestError) for result in read.values())
                assert unread or set(read) == set(map(key, REQUESTS))
            server.faults = lambda *_: ""
            assert set(dict(self.results(server, finished))) == set(map(key, REQUESTS))
        assert [*server.billed().values()] == [1] * len(REQUESTS)

    @pytest.mark.parametrize("fault", ["empty", "half JSON"])
    def test_short_results_are_read_again(self, server: Any, finished: str, fault: str) -> None:
        """A file that is cut under status 200 must not make the rest be paid again."""
        server.faults = lambda call, tries: (
            f"after {fault}" if self.reads_results(call) and not tries else ""
        )
        assert set(dict(self.results(server, finished))) == set(map(key, REQUESTS))

    def test_silent_results_can_be_read_again(self, server: Any, finished: str) -> None:
        server.faults = lambda call, _: "slow" if self.reads_results(call) else ""
        with self.fails(retryable=True):
            self.use(server, lambda client: self.read(client, finished), request_timeout_s=0.1)
        server.faults = lambda *_: ""
        assert len(self.results(server, finished)) == len(REQUESTS)

    @pytest.mark.parametrize("fault", ["500", "reset", "after half JSON", "after wrong types"])
    def test_a_state_that_cannot_be_read(self, server: Any, lines: Path, fault: str) -> None:
        job = self.submit(server, lines)
        server.faults = lambda *_: fault
        with self.fails(retryable=True):
            self.status(server, job)

    @pytest.mark.parametrize(
        ("line", "name"),
        [
            (f'{{"custom_id": "{KEY}", "key": "{KEY}", "resp', ""),
            (f'{{"custom_id": "{KEY}", "key": "{KEY}", "text": "\\ud83d"}}', KEY),
            (f'{{"custom_id":"{KEY}","key":"{KEY}","response":5,"result":5}}', KEY),
            (f'{{"custom_id":"{KEY}","key":"{KEY}","result":{{"type":"something new"}}}}', KEY),
            ('{"custom', ""),
            ("[]", ""),
            ("null", ""),
            (f'{{"text": "\\"key\\": \\"{KEY}\\""', ""),
        ],
    )
    def test_a_result_that_cannot_be_read(self, server: Any, line: str, name: str) -> None:
        """It is kept with its key; one that is cut is no result."""
        found, error = self.client(server).read_result(line.encode())
        assert found == name
        assert isinstance(error, UnreadableReplyError)
        assert (error.retryable, error.reply) == (False, line)

    @settings(suppress_health_check=[*HealthCheck])
    @given(line=JSON_VALUES.map(json.dumps).map(str.encode) | st.binary(max_size=40))
    def test_no_line_of_results_is_too_strange(self, server: Any, line: bytes) -> None:
        name, result = self.client(server).read_result(line)
        assert isinstance(name, str)
        assert isinstance(result, RequestError)

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
            if what == self.provider.create_call:
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

    def test_a_job_that_no_list_shows_yet_is_waited_for(self, server: Any, lines: Path) -> None:
        server.unlisted = self.provider.lists_before_the_search + 1
        server.faults = always(self.provider.create_call, "after reset")
        wanted = BatchIntent(INTENT.name, INTENT.requests, datetime.now(UTC))

        async def lost(client: BatchClient) -> str | None:
            with pytest.raises(RequestError):
                await client.submit_batch(wanted, lines)
            return await client.find_batch(wanted, [])

        assert [self.use(server, lost)] == self.jobs(server)

    def test_a_job_is_gone_only_when_it_is_in_no_list(self, server: Any, lines: Path) -> None:
        server.unseen = 2
        job = self.submit(server, lines)
        assert self.status(server, job).word in (self.provider.working, self.provider.life[-1])
        assert server.called(f"GET {self.provider.job_path.format(job)}") == 3
        assert self.ended(server, job).state == "ended"
        server.batches.clear()
        server.unseen = 5
        job = self.submit(server, lines)
        assert self.status(server, job).state == "running"  # by the list
        server.batches.clear()
        assert self.status(server, job).state == "gone"
