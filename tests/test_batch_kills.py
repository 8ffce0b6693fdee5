"""``kill -9`` of hosted batch runs at several parts: nothing is lost or billed twice.

A file of its own, so that it runs beside the other long tests.
"""

from __future__ import annotations

import importlib
import math
import multiprocessing
import os
import random
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
from answering import request
from backends import HOSTED_BATCH, Backend
from batch_parts import jobs_at
from conftest import clean_environment, kills
from servers.base import running

from workflow_scripts.answers.settings import InferSettings
from workflow_scripts.backends import hosted
from workflow_scripts.backends.settings import BackendSettings
from workflow_scripts.core.files import read_jsonl, write_jsonl
from workflow_scripts.core.records import RawLine

_REQUESTS_PER_ROUND = 12
_ROUNDS_AT_ONCE = 5
_VERBS = {"submit": "submitted.json", "poll": "completed.json", "collect": "raw.jsonl"}


# A process that has the modules already is ready to be killed at once; importing them would take
# most of the test's time.
_PROCESSES = multiprocessing.get_context("spawn" if sys.platform == "win32" else "forkserver")
if sys.platform != "win32":
    _PROCESSES.set_forkserver_preload(["workflow_scripts.answers.submit", "test_batch_kills"])
# Looking at a process and starting another one both collect exit codes, each of them once.
_LOCK = threading.Lock()


def run_command(verb: str, arguments: list[str], folder: Path, keys: dict[str, str]) -> None:
    """One command of the workflow, in a process of its own."""
    os.environ.clear()
    os.environ.update(clean_environment() | keys)
    os.chdir(folder)
    hosted.LISTING_LAG_S = 1.0  # a test server creates a job at once
    sys.argv = [verb, *arguments]
    with (folder / "stderr.txt").open("a", encoding="utf-8") as sys.stderr:
        importlib.import_module(f"workflow_scripts.answers.{verb}").main()


def start(folder: Path, keys: dict[str, str]) -> BaseProcess | None:
    """Start the next of a part's three commands; None if all have ended well."""
    inputs = {
        "submit": ["--requests", "part.jsonl"],
        "poll": ["--submitted", "submitted.json"],
        "collect": ["--requests", "part.jsonl", "--completed", "completed.json"],
    }
    for verb, output in _VERBS.items():
        if not (folder / output).exists():
            arguments = [
                *inputs[verb],
                *("--settings", "settings.json", "--journal", "../journal", "--output", output),
            ]
            process = _PROCESSES.Process(target=run_command, args=(verb, arguments, folder, keys))
            with _LOCK:
                process.start()
            return process
    return None


def has_ended(process: BaseProcess) -> bool:
    with _LOCK:
        return not process.is_alive()


def exit_code(process: BaseProcess, server: Any, killed_after: int | None) -> int | None:
    """Wait for a process; ``kill -9`` it when so many calls more were made."""
    until = math.inf if killed_after is None else len(server.calls) + killed_after
    while not has_ended(process):
        if len(server.calls) >= until:
            process.kill()
        time.sleep(0.002)
    return process.exitcode


def round_of_kills(folder: Path, first: int, backend: Backend, server: Any, most: int) -> int:
    """Ask the questions from ``first`` on; kill some of the processes; see that nothing is lost.

    Returns how many were killed: ``most`` or fewer.
    """
    chance = random.Random(f"{backend.name} {first}")
    settings = InferSettings(backend=BackendSettings(**backend.settings(server)), max_retries=2)
    asked = [request(first + each) for each in range(_REQUESTS_PER_ROUND)]
    folder.mkdir()
    write_jsonl(folder / "part.jsonl", asked)
    (folder / "settings.json").write_text(settings.model_dump_json(), encoding="utf-8")
    killed = 0
    while (process := start(folder, backend.keys)) is not None:
        killed_after = chance.randint(1, 4) if killed < most else None
        code = exit_code(process, server, killed_after)
        if code is not None and code < 0:  # ended by a signal
            killed += 1
        else:
            assert code == 0, (folder / "stderr.txt").read_text(encoding="utf-8")
    lines = list(read_jsonl(folder / "raw.jsonl", RawLine))
    assert [line.custom_id for line in lines] == [each.custom_id for each in asked]
    assert [line.response_text for line in lines] == [
        f"to {each.messages[-1].content}" for each in asked
    ]
    return killed


@pytest.mark.slow
@pytest.mark.parametrize("backend", HOSTED_BATCH, ids=lambda backend: backend.name)
def test_kills_lose_nothing_and_bill_nothing_twice(backend: Backend, tmp_path: Path) -> None:
    """``kill -9`` at random calls of hosted batch runs, each of which is then brought to its end.

    Rounds run beside each other in one results folder, so several parts are cut off in whatever
    they are doing, and the next process finds out what became of each. Every round asks other
    questions, and as many.
    """
    killed = rounds = 0
    n_kills, most = kills(usual=10, search=30), kills(usual=3, search=8)
    with running(backend.server()) as server, ThreadPoolExecutor(_ROUNDS_AT_ONCE) as pool:
        server.rows_per_poll = 4
        while killed < n_kills:
            numbers = range(rounds, rounds + _ROUNDS_AT_ONCE)
            rounds += _ROUNDS_AT_ONCE
            killed += sum(
                pool.map(
                    lambda number: round_of_kills(
                        *(tmp_path / str(number), number * _REQUESTS_PER_ROUND),
                        *(backend, server, most),
                    ),
                    numbers,
                )
            )
        assert list(server.billed().values()) == [1] * (rounds * _REQUESTS_PER_ROUND)
        assert jobs_at(server) == rounds
