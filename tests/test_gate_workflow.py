"""`snakemake gate` in a finished run: no request, its own exit codes, a decision each time."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

from answering import journaled
from conftest import NewClone, Project
from small_workflow import jobs_in

GATE = """
gate:
  - {metric: false_answer_rate, margin: 0.9, prompt_set: placebo}
"""


def with_gate(project: Project, text: str) -> None:
    path = project.root / "config/config.yaml"
    config = path.read_text(encoding="utf-8").partition("\ngate:\n")[0]
    path.write_text(config + text, encoding="utf-8")


def test_a_gate_in_a_finished_run(demo_run: Project, tmp_path: Path) -> None:
    project = demo_run.copy_to(tmp_path / "copy")
    answers = len(list(journaled(project.root / "results/journal")))
    folder = project.root / "results/demo"

    none = project.snakemake("--cores", "1", "gate", check=False)
    assert none.returncode == 3
    assert "error: the config has no gate" in none.stderr
    assert jobs_in(project.last_log()) == Counter()

    with_gate(project, GATE)
    assert project.plan("gate") == Counter(gate=1, settings=1)
    assert not (folder / "gate.json").exists()
    for _ in range(2):  # decides each time
        passed = project.snakemake("--cores", "1", "gate")
        assert jobs_in(project.last_log())["gate"] == 1
        assert "Gate: passes (exit code 0). 2 checks: 2 passes." in passed.stdout
    for kind in ("json", "xml", "md"):
        assert (folder / f"gate.{kind}").stat().st_size > 0

    # The treatment abstains more often: that some arm answers correctly less often is sure.
    with_gate(project, GATE + "  - {metric: em, margin: 0.001, task: closed_book}\n")
    told = project.snakemake("--cores", "1", "gate", check=False)
    report = json.loads((folder / "gate.json").read_text(encoding="utf-8"))
    assert told.returncode == report["exit_code"]
    assert report["exit_code"] in (1, 2)  # 40 items
    assert len(report["checks"]) == 4

    # A run that breaks after its start leaves no decision of an earlier one.
    scores = folder / "llama_cpp/assay-demo/default/placebo/significance.json"
    scores.write_text(scores.read_text(encoding="utf-8").replace("0.", "1.", 1), encoding="utf-8")
    broken = project.snakemake("--cores", "1", "gate", check=False)
    assert broken.returncode == 3
    assert not (folder / "gate.json").exists()
    assert len(list(journaled(project.root / "results/journal"))) == answers


def test_a_fresh_checkout_with_the_journal_sends_nothing(
    demo_run: Project, new_clone: NewClone, tmp_path: Path
) -> None:
    """What the workflow of docs/gate.md does: the cache holds the journal and nothing else."""
    project = new_clone(tmp_path / "checkout")
    project.replace("config/config.yaml", "parts_per_dataset: 2", "limit_items: 40")
    project.replace(
        "config/config.yaml", "prompt_sets:", "default_prompt_set: placebo\nprompt_sets:"
    )
    with_gate(project, GATE)
    journal = project.root / "results/journal"
    shutil.copytree(demo_run.root / "results/journal", journal)
    before = len(list(journaled(journal)))
    done = project.snakemake("--cores", "2", "--resources", "gpu=1", "--", "gate")
    assert "exit code 0" in done.stdout
    assert len(list(journaled(journal))) == before
