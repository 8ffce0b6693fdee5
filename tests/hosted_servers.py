"""What the test servers of all hosted providers must do, as the providers' own SDKs see it."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from hosted_provider import Provider
from servers.base import running
from servers.faults import always
from servers.hosted import ALONE


class ServerContract:
    """Tests of one test server by its provider's SDK."""

    provider: ClassVar[Provider]

    @pytest.fixture
    def server(self) -> Iterator[Any]:
        with running(self.provider.make_server()) as server:
            yield server

    @pytest.fixture
    def sdk(self, server: Any) -> Any:
        return self.provider.sdk(server)

    @contextlib.contextmanager
    def refused(self, match: str = "") -> Iterator[None]:
        """The SDK is to raise an error."""
        with pytest.raises(self.provider.errors) as caught:
            yield
        assert re.search(match, self.provider.shown(caught.value), re.DOTALL)

    def created(self, sdk: Any, *questions: str) -> str:
        """A job; each line's key is the question."""
        return self.provider.create(sdk, [self.provider.line(each, each) for each in questions])

    def states(self, sdk: Any, job: str) -> list[str]:
        """The states that a job goes through until it has ended."""
        states = [self.provider.look(sdk, job)]
        while states[-1] != self.provider.life[-1]:
            states.append(self.provider.look(sdk, job))
            assert len(states) < 20, states
        return states

    def results(self, sdk: Any, job: str) -> dict[str, Any]:
        return dict(self.provider.row(json.loads(line)) for line in self.provider.output(sdk, job))

    # Answers

    def test_an_answer_is_billed(self, server: Any, sdk: Any) -> None:
        said = self.provider.ask(sdk, "one two three four", 3)
        assert said[:3] == ("to one two", self.provider.cut_word, 7)
        assert said.id != self.provider.ask(sdk, "one").id
        assert [job for job, _ in server.bills] == [ALONE] * 2

    def test_wrong_parameters_are_refused(self, server: Any, sdk: Any) -> None:
        for changes, said in self.provider.refusals:
            with self.refused(said):
                self.provider.ask(sdk, "q", **changes)
        assert server.bills == []

    def test_faults_have_the_provider_s_errors(self, server: Any, sdk: Any) -> None:
        for fault, said in self.provider.faults.items():
            server.faults = always("q", fault)
            with self.refused(said):
                self.provider.ask(sdk, "q")

    def test_the_sdk_retries_what_may_pass(self, server: Any) -> None:
        server.faults = lambda _, tries: ("429", "503", "")[tries]
        assert self.provider.ask(self.provider.sdk(server, retries=2), "q").text == "to q"
        assert [outcome for _, outcome in server.ledger] == ["429", "503", "answered"]
        assert len(server.bills) == 1

    def test_an_answer_that_was_lost_is_billed_again(self, server: Any, sdk: Any) -> None:
        server.faults = lambda _, tries: "" if tries else "after reset"
        with self.refused():
            self.provider.ask(sdk, "q")
        self.provider.ask(sdk, "q")
        assert [*server.billed().values()] == [2]

    # Keys and models

    def test_every_call_wants_the_key(self, server: Any) -> None:
        sdk, nobody = self.provider.sdk(server, key="wrong"), self.provider.job_id.format("nobody")
        for call in (
            lambda: self.provider.models(sdk),
            lambda: self.provider.ask(sdk, "q"),
            lambda: self.created(sdk, "a"),
            lambda: self.provider.look(sdk, nobody),
            lambda: self.provider.output(sdk, nobody),
            lambda: self.provider.listed(sdk),
        ):
            with self.refused(self.provider.wrong_key):
                call()
        with pytest.raises(urllib.error.HTTPError, match=r"40[13]"):
            urllib.request.urlopen(server.url + self.provider.list_path)  # noqa: S310 - our own server

    def test_models(self, server: Any, sdk: Any) -> None:
        assert self.provider.models(sdk) == list(server.models)

    # Jobs

    def test_a_whole_job(self, server: Any, sdk: Any) -> None:
        names = [f"r{number}" for number in range(9)]
        job = self.created(sdk, *names)
        assert self.states(sdk, job) == list(self.provider.life)
        results = self.results(sdk, job)
        assert sorted(results) == names != list(results)
        assert {name: said.text for name, said in results.items()} == {n: f"to {n}" for n in names}
        assert len({said.id for said in results.values()}) == 9
        assert [*server.billed().values()] == [1] * 9

    def test_rows_fail_alone(self, server: Any, sdk: Any) -> None:
        server.faults = always("broken", "500")
        lines = [self.provider.line(each, each) for each in ("good", "broken")]
        wrong = self.provider.line("wrong", "wrong", **self.provider.wrong_row)
        job = self.provider.create(sdk, [*lines, wrong])
        self.states(sdk, job)
        results = self.results(sdk, job)
        assert results.pop("good").text == "to good"
        assert (results["wrong"], results["broken"]) == self.provider.row_errors
        assert len(server.bills) == 1

    def test_wrong_inputs_give_no_job(self, server: Any, sdk: Any) -> None:
        for lines, why in self.provider.wrong_inputs:
            assert re.search(why, self.provider.why_failed(sdk, lines)), lines
        assert server.bills == []

    def test_jobs_are_listed_in_pages(self, server: Any, sdk: Any) -> None:
        jobs = [self.created(sdk, "a") for _ in range(5)]
        order = -1 if self.provider.newest_first else 1
        assert self.provider.listed(sdk, page=2) == jobs[::order]
        assert server.called(f"GET {self.provider.list_path}") == 3
        if self.provider.longest_page is not None:
            with self.refused():
                self.provider.listed(sdk, page=self.provider.longest_page + 1)

    def test_a_new_job_is_not_seen_at_once(self, server: Any, sdk: Any) -> None:
        server.unseen = server.unlisted = 1
        job = self.created(sdk, "a")
        assert [job in self.provider.listed(sdk) for _ in range(2)] == [False, True]
        with self.refused("404"):
            self.provider.look(sdk, job)
        assert self.provider.look(sdk, job)

    def test_half_a_body_is_no_request(self, server: Any) -> None:
        """As what a client that is killed while it uploads leaves."""
        with socket.create_connection(server.server_address[:2]) as connection:
            head = f"{self.provider.create_call} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n"
            connection.sendall(head.encode() + b'{"half"')
            connection.shutdown(socket.SHUT_WR)
            assert connection.recv(1) == b""
        assert server.calls == []
