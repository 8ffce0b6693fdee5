"""Equal requests in parts that several processes answer at once, and processes that are killed."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from answering import journaled, request, until
from conftest import REPOSITORY, clean_environment
from local_backends import Backend
from servers.base import ProviderServer

from workflow_scripts.backends.settings import BackendSettings
from workflow_scripts.core.files import read_jsonl, write_json, write_jsonl
from workflow_scripts.core.records import RawLine


class Gate:
    """Lets the server answer as many requests as it is told, and no more."""

    def __init__(self, server: ProviderServer) -> None:
        self._server = server
        self._open = False
        self._permits = 0
        self.answers = 0
        server.begin = lambda: self._must_wait  # type: ignore[method-assign]

    def _must_wait(self) -> bool:
        with self._server.lock:
            if not self._open and not self._permits:
                return True
            self._permits -= 1
            return False

    def until_held(self, number: int) -> None:
        """Wait until so many requests are under way. None of them has an answer."""
        until(lambda: self._server._at_once == number)

    def answer(self, number: int, journal: Path) -> None:
        """Have some requests answered, and wait until the answers are in the journal."""
        self.answers += number
        with self._server.lock:
            self._permits += number
        until(lambda: len(journaled(journal)) == self.answers)

    def open(self) -> None:
        self._open = True


class Processes:
    """Starts the command that answers a part, each part in a process of its own."""

    def __init__(self, folder: Path, backend: Backend) -> None:
        self.folder = folder
        self.journal = folder / "journal"
        self.server = backend.server
        self.gate = Gate(backend.server)
        self._running: list[subprocess.Popen[bytes]] = []
        settings = BackendSettings(**backend.settings, max_concurrent_requests=4)
        write_json(
            folder / "settings.json",
            {"backend": settings.model_dump(mode="json"), "max_retries": 3},
        )

    def start(self, part: str, numbers: range, run: str = "run") -> subprocess.Popen[bytes]:
        write_jsonl(
            self.folder / f"{part}.jsonl",
            # The names differ between the parts; what is asked is the same.
            [request(number, prompt=part, custom_id=f"{part} {number}") for number in numbers],
        )
        with (self.folder / f"{part}.{run}.log").open("wb") as log:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "workflow_scripts.answers.send"),
                    *("--requests", str(self.folder / f"{part}.jsonl")),
                    *("--settings", str(self.folder / "settings.json")),
                    *("--journal", str(self.journal)),
                    *("--output", str(self.folder / run / f"{part}.jsonl")),
                ],
                cwd=REPOSITORY, env=clean_environment(), stderr=log,
            )  # fmt: skip
        self._running.append(process)
        return process

    def until_waiting(self, part: str, run: str = "run") -> None:
        log = self.folder / f"{part}.{run}.log"
        until(lambda: log.exists() and "sent by another process" in log.read_text("utf-8"))

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        process.send_signal(getattr(signal, "SIGKILL", signal.SIGTERM))
        assert process.wait(timeout=60) != 0

    def texts(self, part: str, run: str = "run") -> list[str | None]:
        lines = read_jsonl(self.folder / run / f"{part}.jsonl", RawLine)
        return [line.response_text for line in lines]

    def end(self) -> None:
        for process in self._running:
            process.kill()
            process.wait()


@pytest.fixture
def processes(tmp_path: Path, of_openai: Backend) -> Iterator[Processes]:
    made = Processes(tmp_path, of_openai)
    yield made
    made.end()


def once(numbers: range) -> Counter[str]:
    return Counter(f"Question {number}?" for number in numbers)


@pytest.mark.parametrize(("part", "run"), [("b", "run"), ("a", "another run")])
def test_equal_requests_at_once_are_sent_once(processes: Processes, part: str, run: str) -> None:
    """In another part; in the same part, by the process that a killed run left behind."""
    first = processes.start("a", range(20))
    processes.gate.until_held(4)
    second = processes.start(part, range(20), run)
    processes.until_waiting(part, run)
    processes.gate.open()
    assert [first.wait(timeout=60), second.wait(timeout=60)] == [0, 0]
    assert Counter(question for _, question in processes.server.heard) == once(range(20))
    answers = [f"to Question {number}?" for number in range(20)]
    assert processes.texts("a") == processes.texts(part, run) == answers


def test_a_process_takes_over_the_requests_of_one_that_was_killed(processes: Processes) -> None:
    gate = processes.gate
    first = processes.start("a", range(20))
    gate.until_held(4)
    second = processes.start("b", range(10, 30))
    gate.until_held(8)
    processes.kill(first)
    gate.until_held(4)
    gate.open()
    assert second.wait(timeout=60) == 0
    assert processes.server.outcomes("answered") == once(range(10, 30))
    assert processes.texts("b") == [f"to Question {number}?" for number in range(10, 30)]


@pytest.mark.slow
def test_kills_of_parts_that_share_requests_ask_nothing_twice(processes: Processes) -> None:
    """At each kill the answers are in the journal, and the requests under way have none."""
    gate, chance = processes.gate, random.Random(20261129)
    numbers = {"a": range(60), "b": range(30, 90)}
    running = {part: processes.start(part, numbers[part]) for part in numbers}
    for killed in ("a", "b", "ab", "a", "ba"):
        gate.until_held(8)
        gate.answer(chance.randrange(1, 6), processes.journal)
        gate.until_held(8)
        for part in killed:
            processes.kill(running[part])
        gate.until_held(8 - 4 * len(killed))
        for part in killed:
            running[part] = processes.start(part, numbers[part])
    gate.open()
    assert [process.wait(timeout=60) for process in running.values()] == [0, 0]
    assert processes.server.outcomes("answered") == once(range(90))
    for part, asked in numbers.items():
        assert processes.texts(part) == [f"to Question {number}?" for number in asked]
