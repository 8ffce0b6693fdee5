"""The same experiment on every backend: same rows, same columns, each request paid for once."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fault_matrix
import pytest
import yaml
from backends import BACKENDS, KEY, Backend
from conftest import NewClone, Project, clean_environment
from servers.base import running
from small_workflow import jobs_in

EXPERIMENT = "parity"
CONFIG: dict[str, Any] = {
    "experiment": EXPERIMENT,
    "limit_items": 6,
    "datasets": {
        "demo_open": {
            "format": "jsonl",
            "path": "resources/demo/open_book.jsonl",
            "task": "open_book",
        }
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
REQUESTS = 12
KEYS = {name: key for backend in BACKENDS for name, key in backend.keys.items()}

Rows = tuple[list[str], list[tuple[str, ...]]]


def named(backend: Backend) -> str:
    """Its name in the config."""
    return backend.name.replace(" ", "-")


@dataclass(frozen=True)
class Run:
    """One run of the experiment on several backends."""

    project: Project
    servers: dict[str, Any]
    done: subprocess.CompletedProcess[str]

    def file(self, backend: str, name: str) -> Path:
        """A file of the one trial of a backend."""
        folder = self.project.root / "results" / EXPERIMENT / backend
        (path,) = folder.glob(f"*/default/abstention/{name}")
        return path

    def rows(self, backend: str) -> Rows:
        """Columns of predictions.csv, and of each row what does not depend on the backend."""
        shared = ("custom_id", "dataset", "item_id", "condition", "temp", "sample_index", "type")
        with self.file(backend, "predictions.csv").open(encoding="utf-8", newline="") as stream:
            reader = csv.DictReader(stream)
            found = sorted(tuple(row[name] for name in shared) for row in reader)
            return list(reader.fieldnames or []), found

    def paid(self, backend: str) -> list[int]:
        """How often each request was paid for; a local server bills all that it hears."""
        server = self.servers[backend]
        if hasattr(server, "billed"):
            return list(server.billed().values())
        return list(Counter(json.dumps(body, sort_keys=True) for body in server.bodies).values())

    def again(self, *targets: str) -> subprocess.CompletedProcess[str]:
        """Run to these files."""
        return snakemake(self.project, "--", *targets)


def snakemake(project: Project, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "workflow_scripts.rules.snakemake_command", "--cores", "2",
         "--configfile", "config/parity.yaml", *options],
        cwd=project.root, env=clean_environment() | KEYS, capture_output=True, text=True,
        encoding="utf-8", check=False, timeout=600,
    )  # fmt: skip


def run_of(project: Project, servers: dict[str, Any], *, is_batch: bool) -> Run:
    """Run the experiment to its tables of answers and costs; what follows knows no backend."""
    backends = [each for each in BACKENDS if each.is_batch == is_batch]
    asked = {named(each): servers[named(each)] for each in backends}
    config = {named(each): each.settings(asked[named(each)]) for each in backends}
    others = {} if is_batch else {"embedded": EMBEDDED}
    text = yaml.safe_dump({**CONFIG, "backends": {**config, **others}})
    (project.root / "config/parity.yaml").write_text(text, encoding="utf-8")
    return Run(project, asked, snakemake(project, "--until", "costs"))


@pytest.fixture(scope="module")
def runs(
    new_clone: NewClone, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[bool, Run]]:
    """A run of all backends with batch jobs, and one of all others and the embedded model.

    Two runs, because what a provider answered in one way is not sent in the other.
    """
    with ExitStack() as stack:
        servers = {named(each): stack.enter_context(running(each.server())) for each in BACKENDS}
        yield {
            is_batch: run_of(
                new_clone(tmp_path_factory.mktemp("parity")), servers, is_batch=is_batch
            )
            for is_batch in (True, False)
        }


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda backend: backend.name)
def test_every_backend_gives_the_same_rows(backend: Backend, runs: dict[bool, Run]) -> None:
    run = runs[backend.is_batch]
    assert run.rows(named(backend)) == runs[False].rows("embedded"), run.done.stderr
    assert run.file(named(backend), "costs.json").stat().st_size > 0
    assert run.paid(named(backend)) == [1] * REQUESTS


@pytest.mark.parametrize("is_batch", [True, False], ids=["batch", "sync"])
def test_a_second_run_sends_nothing_and_no_file_has_a_key(
    is_batch: bool, runs: dict[bool, Run]
) -> None:
    run = runs[is_batch]
    assert run.done.returncode == 0, run.done.stderr
    tables = [
        run.file(each, name) for each in run.servers for name in ("answers.csv", "costs.json")
    ]
    targets = [path.relative_to(run.project.root).as_posix() for path in tables]
    logs = run.done.stdout + run.done.stderr
    if is_batch:  # one trial to its page
        page = targets[0].replace("answers.csv", "report.html")
        to_the_page = run.again(page)
        assert (
            not {"submit", "poll", "collect", "infer", "parse"}
            & jobs_in(run.project.last_log()).keys()
        )
        assert (run.project.root / page).is_file(), to_the_page.stderr
        targets.append(page)
        logs += to_the_page.stdout + to_the_page.stderr
    assert "Nothing to be done" in run.again(*targets).stderr
    assert all(run.paid(each) == [1] * REQUESTS for each in run.servers)
    assert KEY not in logs
    for path in (run.project.root / "results").rglob("*"):
        assert path.is_dir() or KEY.encode() not in path.read_bytes(), path


@pytest.mark.slow
def test_the_fault_matrix_in_the_docs_is_what_happens() -> None:
    measured = fault_matrix.table().splitlines()
    documented = fault_matrix.table_in_page().splitlines()
    assert measured == documented, "run python tests/fault_matrix.py, and read what changed"
    stopped = {row.split("|")[1].strip() for row in measured if "stopped" in row}
    assert stopped == {"result missing", "result line cut"}  # too few results: nothing is resent
