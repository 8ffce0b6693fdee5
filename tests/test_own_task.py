"""A task from another package, from its items to the front page."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import REPOSITORY, Project, clean_environment, clone

STEMS = [f"Which number is {n}?" for n in range(12)]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package as pip would leave it."""
    folder = tmp_path_factory.mktemp("packages")
    shutil.copy(REPOSITORY / "tests/multiple_choice.py", folder)
    metadata = folder / "my_task-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: my-task\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "[assay.tasks]\nmultiple_choice = multiple_choice:TASK\n"
    )
    return folder


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, installed: Path) -> Project:
    """A trial with the task and a metric of one's own, from items to pages."""
    project = clone(tmp_path_factory.mktemp("own_task"))
    rows = [
        {
            "id": str(n), "stem": stem, "choices": [str(n), "another", "none"], "key_letter": "A",
            "topic": "even" if n % 2 == 0 else "odd",
        }
        for n, stem in enumerate(STEMS)
    ]  # fmt: skip
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (project.root / "choices.jsonl").write_text(lines, encoding="utf-8")
    (project.root / "brevity.py").write_text(
        "def score(item, response):\n    return 1 / (1 + len(response.split()))\n", encoding="utf-8"
    )
    config = {
        "experiment": "choices",
        "backend": "local",
        "local_engine": "llama_cpp",
        "local_model": "resources/models/assay-demo.gguf",
        "n_threads": 1,
        "datasets": {
            "numbers": {"format": "jsonl", "path": "choices.jsonl", "task": "multiple_choice"}
        },
        "prompt_sets": {"terse": {"control": "control", "treatment": "polite"}},
        "task_options": {"multiple_choice": {"letters": "ABC"}},
        "metrics": {"brevity": {"file": "brevity.py", "better": "higher"}},
        "stats": {"bootstrap_samples": 100, "permutation_samples": 100},
    }
    (project.root / "own.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    run(project, installed, "--cores", "2", "--resources", "gpu=1", "results/report.html")
    return project


def run(project: Project, installed: Path, *arguments: str) -> str:
    environment = {**clean_environment(), "PYTHONPATH": str(installed)}
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]])
    done = subprocess.run(
        [
            *(sys.executable, "-m", "workflow_scripts.rules.snakemake_command"),
            *("--configfile", "own.yaml", *arguments),
        ],
        cwd=project.root, env=environment, capture_output=True, text=True, encoding="utf-8",
        check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def table(project: Project, name: str) -> list[dict[str, str]]:
    (path,) = (project.root / "results/choices").glob(f"*/*/*/*/{name}")
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_requests_are_made_by_the_task(ran: Project) -> None:
    (part,) = (ran.root / "results/choices/inputs/default").glob("*.control.*.jsonl")
    first = json.loads(part.read_text(encoding="utf-8").splitlines()[0])
    content = first["messages"][-1]["content"]
    assert content == (
        "Which number is 0?\n\nA. 0\nB. another\nC. none\n\nThe letter of the right choice:"
    )
    assert first["decoding"]["max_new_tokens"] == 8


def test_its_metrics_are_columns_and_their_means(ran: Project) -> None:
    scores = table(ran, "per_item_scores.csv")
    assert list(scores[0]) == [
        "item_key", "type", "condition", "temp",
        *("picked", "picked_std", "words", "words_std", "brevity", "brevity_std"),
    ]  # fmt: skip
    responses = {
        (row["item_id"], row["condition"]): row["response_text"].removeprefix("'")
        for row in table(ran, "predictions.csv")
    }
    assert len(responses) == len(scores) == 2 * len(STEMS)
    for row in scores:
        response = responses[row["item_key"].partition("|")[2], row["condition"]]
        n_words = len(response.split())
        assert float(row["words"]) == 1 + n_words
        assert float(row["brevity"]) == pytest.approx(1 / (1 + n_words))
        begins = response.lstrip(" \n\"'(*").upper()[:2]
        assert (float(row["picked"]) == 1) == (begins[:1] == "A" and not begins[1:2].isalnum())


def test_a_changed_scorer_scores_again_and_asks_nothing(ran: Project, installed: Path) -> None:
    before = sorted((ran.root / "results/journal").glob("*/*.jsonl"))
    (ran.root / "brevity.py").write_text(
        "def score(item, response):\n    return 0.25\n", encoding="utf-8"
    )
    run(ran, installed, "--cores", "2", "--resources", "gpu=1", "results/report.html")
    assert {row["brevity"] for row in table(ran, "per_item_scores.csv")} == {"0.25"}
    assert sorted((ran.root / "results/journal").glob("*/*.jsonl")) == before
