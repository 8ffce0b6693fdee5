"""Servers that load, restart or vanish: they are waited for, and the log says so once."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from answering import completion, request, until
from local_backends import Backend, openai_settings, ready, run
from servers.base import running
from servers.openai_compatible import CompatibleServer
from simulated import Part, simulate

from workflow_scripts.backends import http
from workflow_scripts.backends.client import RequestError
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.records import Completion, Decoding, Message

# In simulated time


class Restarting:
    """Is away from time to time, and takes a second for an answer."""

    max_concurrent = 1000

    def __init__(self, *outages: tuple[float, float]) -> None:
        self.outages = outages
        self.checks = 0
        self.tries = 0
        self.comes_back_as: Mapping[str, str] = Part.identity

    def _is_away(self) -> bool:
        now = asyncio.get_running_loop().time()
        return any(begin <= now < end for begin, end in self.outages)

    async def generate(self, messages: Sequence[Message], decoding: Decoding) -> Completion:
        self.tries += 1
        if self._is_away():
            raise RequestError("refused", retryable=True, away=True, sent=False)
        await asyncio.sleep(1)
        if self._is_away():
            raise RequestError("reset", retryable=True, away=True)
        return completion()

    async def check(self) -> str:
        self.checks += 1
        for _ in range(600):
            if not self._is_away():
                return "fine"
            await asyncio.sleep(1)
        raise UserError("no server for ten minutes")

    def identity(self) -> Mapping[str, str]:
        return self.comes_back_as


def failures(caplog: pytest.LogCaptureFixture) -> int:
    return caplog.text.count(" failed: ")


def test_a_server_that_restarts_costs_no_request(caplog: pytest.LogCaptureFixture) -> None:
    server = Restarting((5.5, 65), (100.5, 600))
    found = simulate(server, 6400, limit=64, adaptive=False)
    assert (found["answered"], found["failed"]) == (6400, 0)
    assert server.checks == 2
    assert server.tries <= 6400 + 4 * 64
    assert failures(caplog) == 0


def test_a_server_that_stays_away_stops_the_part_once(caplog: pytest.LogCaptureFixture) -> None:
    server = Restarting((5.5, 10_000))
    with pytest.raises(UserError, match="no server for ten minutes"):
        simulate(server, 6400, limit=64, adaptive=False)
    assert server.checks == 1
    assert failures(caplog) == 0


def test_a_server_that_comes_back_as_another_one_stops_the_part() -> None:
    server = Restarting((5.5, 65))
    server.comes_back_as = {**Part.identity, "model": "n"}
    message = r"came back as another one \(model was m and is n\), so the rest is not sent"
    with pytest.raises(UserError, match=message):
        simulate(server, 6400, limit=64, adaptive=False)
    assert server.checks == 1


def test_a_server_that_fails_the_look_at_it_is_there_all_the_same() -> None:
    class Busy(Restarting):
        async def check(self) -> str:
            self.checks += 1
            while self._is_away():
                await asyncio.sleep(1)
            raise UserError("status 429") from http.HttpError("", retryable=True, status=429)

    server = Busy((5.5, 65))
    found = simulate(server, 1000, limit=64, adaptive=False)
    assert (found["answered"], found["failed"], server.checks) == (1000, 0, 1)


@pytest.mark.parametrize(("retries", "tries"), [(0, 4), (2, 6)])
def test_a_request_that_breaks_the_connection_is_given_up_alone(retries: int, tries: int) -> None:
    class Fragile(Restarting):
        poisoned = 0

        async def generate(self, messages: Sequence[Message], decoding: Decoding) -> Completion:
            if decoding:
                self.poisoned += 1
                raise RequestError("reset", retryable=True, away=True)
            return await super().generate(messages, decoding)

    class Poisoned(Part):
        def in_prefix_order(self, digests: Collection[str]) -> Any:
            for digest, asked in super().in_prefix_order(digests):
                asked.decoding = digest == "30"
                yield digest, asked

    server, part = Fragile(), Poisoned(100)
    found = simulate(server, 100, limit=8, adaptive=False, retries=retries, part=part)
    assert (found["answered"], found["failed"]) == (99, 1)
    assert server.poisoned == tries


class Paid:
    """Notes nothing; that there is such an object says that answers are paid for."""

    paid_usd = 0.0

    async def reserve(self, request: object) -> float:
        return 0.0

    async def again(self, *_: object) -> None:
        pass

    def settle(self, *_: object) -> None:
        pass


@pytest.mark.parametrize("trait", ["timed_out", "away"])
def test_a_try_that_may_have_been_charged_is_a_failed_one(trait: str) -> None:
    class Lossy(Restarting):
        async def generate(self, messages: Sequence[Message], decoding: Decoding) -> Completion:
            self.tries += 1
            raise RequestError("lost", retryable=True, **{trait: True})

    server = Lossy()
    found = simulate(server, 1, retries=2, spending=Paid())
    assert (found["failed"], server.tries) == (1, 3)


# Over HTTP


class LoadingServer(CompatibleServer):
    """Has its port, but takes connections only once the model is loaded, as vLLM does."""

    def server_activate(self) -> None:
        pass

    def load(self) -> None:
        super().server_activate()


def test_a_port_that_is_not_open_yet_is_waited_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server, lines = LoadingServer(), []
    backend = Backend(server, openai_settings(server))

    def answer() -> None:
        lines.extend(run(tmp_path, backend.client(), [request(1)]))

    with caplog.at_level("INFO"), ready():
        thread = threading.Thread(target=answer)
        thread.start()
        until(lambda: "waiting for it, at most 600 s. Is the server up" in caplog.text)
        server.load()
        with running(server):
            thread.join(timeout=60)
    assert [line.response_text for line in lines] == ["to Question 1?"]
    assert caplog.text.count("waiting for it") == 1


@pytest.mark.parametrize("fault", ["reset", "502", "HTML"])
def test_an_outage_costs_no_request_and_one_line_of_the_log(
    of_openai: Backend, tmp_path: Path, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    """From the 11th answer on the server is away until it was looked at ten times."""
    server = of_openai.server

    def faults(question: str, tries: int) -> str:
        is_away = server.outcomes("answered").total() > 10 and server._tries["/v1/models"] < 11
        return fault if is_away else ""

    server.faults = faults
    requests = [request(number) for number in range(40)]
    with caplog.at_level("INFO"):
        lines = run(tmp_path, of_openai.client(), requests, retries=0, max_concurrent=8)
    assert not [line for line in lines if line.error]
    assert server.outcomes("answered") == Counter(f"Question {each}?" for each in range(40))
    assert caplog.text.count("waiting for it") == 1
    assert failures(caplog) == 0


def test_a_server_that_vanishes_stops_the_part_with_one_message(
    of_openai: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog
) -> None:
    monkeypatch.setattr(http, "READY_WITHIN_S", 0.0)
    server = of_openai.server
    server.faults = lambda question, tries: (
        "reset" if server.outcomes("answered").total() > 10 else ""
    )
    requests = [request(number) for number in range(200)]
    message = r"connection failed \(.*waited for 0 s\. Is the server up"
    with caplog.at_level("INFO"), pytest.raises(UserError, match=message):
        run(tmp_path, of_openai.client(), requests, retries=0, max_concurrent=64)
    assert failures(caplog) == 0


def test_a_name_that_is_no_host_is_told_at_once(caplog: pytest.LogCaptureFixture) -> None:
    nowhere = Backend(None, {"backend": "openai_compatible", "model_id": "m"})
    with caplog.at_level("INFO"), ready(), pytest.raises(UserError, match="connection failed"):
        nowhere.check(local_endpoint="http://model.invalid")
    assert "waiting" not in caplog.text


def test_a_server_that_is_away_is_told_at_once_to_who_looks(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(http, "READY_WITHIN_S", 2.0)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
        nowhere = Backend(None, {"backend": "openai_compatible", "model_id": "m"})
        with (
            caplog.at_level("INFO"),
            ready(),
            http.without_waiting(),
            pytest.raises(UserError, match="refused") as caught,
        ):
            nowhere.check(local_endpoint=address)
    assert "waited" not in str(caught.value)
    assert "waiting" not in caplog.text
