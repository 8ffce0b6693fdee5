"""The same experiment on every backend: same rows, same columns, each request paid for once."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections import Counter
from typing import Any

import fault_matrix
import pytest
import yaml
from backends import BACKENDS, KEY, Backend
from conftest import NewClone, Project, clean_environment
from servers.base import running

EXPERIMENT = "parity"
CONFIG: dict[str, Any] = {
    "experiment": EXPERIMENT,
    "limit_items": 6,
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


TO_THE_ROWS = ("--until", "parse", "costs")
"""What follows knows no backend."""


def snakemake(
    project: Project, keys: dict[str, str], *options: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "workflow_scripts.rules.snakemake_command", "--cores", "2",
         "--configfile", "config/parity.yaml", *options],
        cwd=project.root, env=clean_environment() | keys, capture_output=True, text=True,
        encoding="utf-8", check=False, timeout=300,
    )  # fmt: skip


def files(project: Project, *names: str) -> list[str]:
    """The paths of a trial's files in the project."""
    results = project.root / "results" / EXPERIMENT
    found = (path for name in names for path in results.rglob(name))
    return [path.relative_to(project.root).as_posix() for path in found]


def rows(project: Project) -> Rows:
    """Columns of predictions.csv, and of each row what does not depend on the backend."""
    (path,) = (project.root / "results" / EXPERIMENT).rglob("predictions.csv")
    shared = ("custom_id", "dataset", "item_id", "condition", "temp", "sample_index", "type")
    with path.open(encoding="utf-8", newline="") as stream:
        reader = csv.DictReader(stream)
        found = sorted(tuple(row[name] for name in shared) for row in reader)
        return list(reader.fieldnames or []), found


def paid(server: Any) -> list[int]:
    """How often each request was paid for; a local server bills all that it hears."""
    if hasattr(server, "billed"):
        return list(server.billed().values())
    return list(Counter(json.dumps(body, sort_keys=True) for body in server.bodies).values())


@pytest.fixture(scope="module")
def embedded(new_clone: NewClone, tmp_path_factory: pytest.TempPathFactory) -> Rows:
    """The rows that the embedded model gives."""
    project = new_clone(tmp_path_factory.mktemp("embedded"))
    write_config(project, **EMBEDDED)
    done = snakemake(project, {}, *TO_THE_ROWS)
    assert done.returncode == 0, done.stderr
    return rows(project)


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda backend: backend.name)
def test_every_backend_gives_the_same_rows(
    backend: Backend, project: Project, embedded: Rows
) -> None:
    options = () if backend is BACKENDS[0] else TO_THE_ROWS  # one to the end, pages included
    with running(backend.server()) as server:
        write_config(project, **backend.settings(server))
        done = snakemake(project, backend.keys, *options)
        assert done.returncode == 0, done.stderr
        assert rows(project) == embedded
        assert paid(server) == [1] * REQUESTS
        again = ["--", *files(project, "predictions.csv", "costs.json")] if options else []
        assert "Nothing to be done" in snakemake(project, backend.keys, *again).stderr
        assert paid(server) == [1] * REQUESTS
    assert KEY not in done.stdout + done.stderr
    for path in (project.root / "results").rglob("*"):
        assert path.is_dir() or KEY.encode() not in path.read_bytes(), path


@pytest.mark.slow
def test_the_fault_matrix_in_the_docs_is_what_happens() -> None:
    measured = fault_matrix.table().splitlines()
    documented = fault_matrix.table_in_page().splitlines()
    assert measured == documented, "run python tests/fault_matrix.py, and read what changed"
    stopped = {row.split("|")[1].strip() for row in measured if "stopped" in row}
    assert stopped == {"result missing", "result line cut"}  # too few results: nothing is resent
