"""The same experiment on every backend: same rows, same columns, each request paid for once."""

from __future__ import annotations

import csv
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import fault_matrix
import pytest
import yaml
from backends import BACKENDS, HOSTED_BATCH, KEY, Backend
from conftest import REPOSITORY, Project, clean_environment, clone
from servers.base import running
from test_infer import request

from workflow_scripts.config.schema import BackendSettings
from workflow_scripts.files import read_jsonl, write_jsonl
from workflow_scripts.infer.settings import InferSettings
from workflow_scripts.records import RawLine

EXPERIMENT = "parity"
CONFIG: dict[str, Any] = {
    "experiment": EXPERIMENT,
    "limit_items": 6,
    "parts_per_dataset": 2,
    "datasets": {
        f"demo_{task}": {
            "format": "jsonl",
            "path": f"resources/demo/{task}_book.jsonl",
            "task": f"{task}_book",
        }
        for task in ("open", "closed")
    },
    "prompt_sets": {"abstention": {"control": "control", "treatment": "treatment"}},
    "stats": {"bootstrap_samples": 100, "permutation_samples": 100},
}
EMBEDDED = {
    "backend": "local",
    "local_engine": "llama_cpp",
    "local_model": "resources/models/assay-demo.gguf",
    "n_ctx": 1024,
}
REQUESTS = 24

Rows = tuple[list[str], list[tuple[str, ...]]]


def write_config(project: Project, **backend: Any) -> None:
    text = yaml.safe_dump({**CONFIG, **backend})
    (project.root / "config/parity.yaml").write_text(text, encoding="utf-8")


def snakemake(project: Project, keys: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "workflow_scripts.snakemake_command", "--cores", "2",
         "--configfile", "config/parity.yaml"],
        cwd=project.root, env=clean_environment() | keys, capture_output=True, text=True,
        encoding="utf-8", check=False, timeout=300,
    )  # fmt: skip


def rows(project: Project) -> Rows:
    """Columns of predictions.csv, and of each row what does not depend on the backend."""
    (path,) = (project.root / "results" / EXPERIMENT).rglob("predictions.csv")
    shared = ("custom_id", "dataset", "item_id", "condition", "temp", "sample_index", "type")
    with path.open(encoding="utf-8", newline="") as stream:
        reader = csv.DictReader(stream)
        found = sorted(tuple(row[name] for name in shared) for row in reader)
        return list(reader.fieldnames or []), found


def paid(server: Any) -> list[int]:
    """How often each request was paid for."""
    return list((server.billed() if hasattr(server, "billed") else answered(server)).values())


def answered(server: Any) -> Any:
    return server.outcomes("answered")


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Rows:
    """The rows that the embedded model gives."""
    project = clone(tmp_path_factory.mktemp("embedded"))
    write_config(project, **EMBEDDED)
    done = snakemake(project, {})
    assert done.returncode == 0, done.stderr
    return rows(project)


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda backend: backend.name)
def test_every_backend_gives_the_same_rows(
    backend: Backend, project: Project, embedded: Rows
) -> None:
    with running(backend.server()) as server:
        write_config(project, **backend.settings(server))
        done = snakemake(project, backend.keys)
        assert done.returncode == 0, done.stderr
        assert rows(project) == embedded
        assert paid(server) == [1] * REQUESTS
        assert "Nothing to be done" in snakemake(project, backend.keys).stderr
        assert paid(server) == [1] * REQUESTS
    assert KEY not in done.stdout + done.stderr
    for path in (project.root / "results").rglob("*"):
        assert path.is_dir() or KEY.encode() not in path.read_bytes(), path


def test_the_fault_matrix_in_the_docs_is_what_happens() -> None:
    measured = fault_matrix.table().splitlines()
    documented = fault_matrix.table_in_page().splitlines()
    assert measured == documented, "run python tests/fault_matrix.py, and read what changed"
    assert "stopped" not in "".join(measured)


# Kills

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
        assert paid(server) == [1] * (number * _REQUESTS_PER_ROUND)
    assert os.environ.get(next(iter(backend.keys))) is None
