"""``kill -9`` of hosted batch runs: nothing is lost, and nothing is billed twice.

A file of its own, so that it runs beside the other long tests.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from answering import request
from backends import HOSTED_BATCH, Backend
from conftest import REPOSITORY, clean_environment
from servers.base import running

from workflow_scripts.config.schema import BackendSettings
from workflow_scripts.files import read_jsonl, write_jsonl
from workflow_scripts.infer.settings import InferSettings
from workflow_scripts.records import RawLine

KILLS_PER_BACKEND = 50
_REQUESTS_PER_ROUND = 12
_VERBS = {"submit": "submitted.json", "poll": "completed.json", "collect": "raw.jsonl"}


def start(folder: Path, keys: dict[str, str]) -> subprocess.Popen[bytes] | None:
    """Start the next of a part's three commands; None if all have ended well."""
    inputs = {
        "submit": ["--requests", "part.jsonl"],
        "poll": ["--submitted", "submitted.json"],
        "collect": ["--requests", "part.jsonl", "--completed", "completed.json"],
    }
    for verb, output in _VERBS.items():
        if not (folder / output).exists():
            return subprocess.Popen(
                [sys.executable, "-m", f"workflow_scripts.infer.{verb}", *inputs[verb],
                 "--settings", "settings.json", "--journal", "journal", "--output", output],
                cwd=folder, stderr=subprocess.DEVNULL,
                env=clean_environment() | keys | {"PYTHONPATH": str(REPOSITORY)},
            )  # fmt: skip
    return None


def kill_at_a_call(process: subprocess.Popen[bytes], server: Any, calls: int) -> bool:
    """Kill a process when it has made so many calls; False if it ended before."""
    until = len(server.calls) + calls
    while process.poll() is None:
        if len(server.calls) >= until:
            process.kill()
            return process.wait() != 0
        time.sleep(0.0005)
    return False


@pytest.mark.parametrize("backend", HOSTED_BATCH, ids=lambda backend: backend.name)
def test_kills_lose_nothing_and_bill_nothing_twice(backend: Backend, tmp_path: Path) -> None:
    """``kill -9`` at random calls of hosted batch runs, each of which is then brought to its end.

    Every round asks other questions. Its first processes are killed, the last ones are not.
    """
    chance = random.Random(backend.name)
    kills = number = 0
    with running(backend.server()) as server:
        server.rows_per_poll = 4
        backend_settings = BackendSettings(**backend.settings(server))
        settings = InferSettings(backend=backend_settings, max_retries=2)
        while kills < KILLS_PER_BACKEND:
            folder = tmp_path / str(number)
            folder.mkdir()
            first = number * _REQUESTS_PER_ROUND
            asked = [request(first + each) for each in range(_REQUESTS_PER_ROUND)]
            write_jsonl(folder / "part.jsonl", asked)
            (folder / "settings.json").write_text(settings.model_dump_json(), encoding="utf-8")
            kills_here = 0
            while (process := start(folder, backend.keys)) is not None:
                if kills_here < 8 and kill_at_a_call(process, server, chance.randint(1, 4)):
                    kills_here += 1
                else:
                    assert process.wait() == 0
            kills += kills_here
            number += 1
            lines = list(read_jsonl(folder / "raw.jsonl", RawLine))
            assert [line.custom_id for line in lines] == [each.custom_id for each in asked]
            assert [line.response_text for line in lines] == [
                f"to {each.messages[-1].content}" for each in asked
            ]
        assert list(server.billed().values()) == [1] * (number * _REQUESTS_PER_ROUND)
