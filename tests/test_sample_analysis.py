"""The sample analysis as one command builds it: counted before, verified after, killed between."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from answering import journaled
from conftest import NewClone, Project, clean_environment

from workflow_scripts.verify.analysis import verify_analysis
from workflow_scripts.verify.trial import TrialCheck

COMMAND = ("--cores", "2", "--configfile", "config/analysis.yaml")
UNLOCKED = (*COMMAND, "--nolock")
AT = "results/analysis/analyses/december"


def counted(project: Project) -> dict[str, Any]:
    """What the plan says of the analysis."""
    project.snakemake("plan", "--configfile", "config/analysis.yaml")
    plan = json.loads(project.read("results/analysis/plan.json"))
    assert plan["total"] == {k: v for k, v in plan["analyses"][0].items() if k != "analysis"}
    assert "| analyses/december |" in project.read("results/analysis/plan.md")
    row: dict[str, Any] = plan["analyses"][0]
    return row


def contents(project: Project) -> dict[str, bytes]:
    """The files of the analysis; seals have the raw parts' SHA-256, and these the time."""
    root = project.root / AT
    paths = {path.relative_to(root) for path in root.rglob("*") if path.is_file()}
    return {
        path.as_posix(): (root / path).read_bytes()
        for path in paths
        if path.name != ".snakemake_timestamp" and "seals" not in path.parts
    }


def written(project: Project, pattern: str) -> bool:
    """Whether a file of this pattern has content; Snakemake may delete what an earlier run left."""
    with contextlib.suppress(FileNotFoundError):
        return any(each.stat().st_size for each in project.root.glob(pattern))
    return False


def verified(results: Path) -> TrialCheck:
    return verify_analysis(results / "analysis/analyses/december", results / "journal")


@pytest.fixture(scope="module")
def built(new_clone: NewClone, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A clone in which the documented command was run, after the plan."""
    made = new_clone(tmp_path_factory.mktemp("sample") / "clone")
    before = counted(made)
    assert (before["requests"], before["to_send"], before["held"]) == (3, 3, 0)
    assert 3 * 600 < before["prompt_tokens"] < 3 * 8192
    made.snakemake(*COMMAND)
    return made


def test_the_sample_needs_no_server_and_says_what_its_model_is(built: Project) -> None:
    page = built.read(f"{AT}/report.html")
    assert "its choices and its words are arbitrary" in " ".join(page.split())
    assert json.loads(built.read(f"{AT}/intent.json"))["schema_enforced"] == "exactly"
    link = 'href="analysis/analyses/december/report.html"'
    assert link in built.read("results/report.html")
    assert 'href="analyses/december/report.html"' in built.read("results/analysis/report.html")
    after = counted(built)
    assert (after["to_send"], after["held"]) == (0, after["requests"])


def test_edits_of_an_analysis_are_found(built: Project, tmp_path: Path) -> None:
    said = built.run("-m", "workflow_scripts.verify.results", "--results", "results")
    assert f"{Path(AT)}: Verified: 2 answers match the journal" in said.stdout + said.stderr
    results = tmp_path / "results"
    shutil.copytree(built.root / "results", results)
    assert verified(results).problems == []
    folder = results / "analysis/analyses/december"
    (raw,) = (results / "analysis").glob("*/*/analysis/raw/intent.*.jsonl")
    for path, problem in {
        folder / "plan_adapted.json": "this file was changed after it was made",
        folder / "report.html": "this file was changed after it was made",
        next(folder.glob("charts/*.svg")): "this file was changed after it was made",
        raw: "this answer was changed after it was recorded",
    }.items():
        before = path.read_text(encoding="utf-8")
        edited = before.replace("drivers", "x") if path == raw else before.replace("e", "a", 1)
        path.write_text(edited, encoding="utf-8")
        found = next(each for each in verified(results).problems if each.path == path)
        assert problem in found.text
        path.write_text(before, encoding="utf-8")


@pytest.mark.not_on_windows("process groups are killed the POSIX way")
def test_a_killed_analysis_resumes_and_asks_nothing_twice(
    built: Project, new_clone: NewClone, tmp_path: Path
) -> None:
    """Killed when the first answer is journaled, when a plan is chosen, and amid the charts."""
    project = new_clone(tmp_path / "killed")
    for sign in ("results/journal/*/*.jsonl", f"{AT}/plan_template.json", f"{AT}/charts/*.svg"):
        run = subprocess.Popen(
            [sys.executable, "-m", "workflow_scripts.rules.snakemake_command", *UNLOCKED],
            cwd=project.root, env=clean_environment(), start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        while not written(project, sign):
            assert run.poll() is None or written(project, sign), f"it ended without {sign}"
            time.sleep(0.005)
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
    project.snakemake(*UNLOCKED)
    assert contents(project) == contents(built)
    digests = [line["digest"] for line in journaled(project.root / "results/journal")]
    assert len(digests) == len(set(digests)) == 2
    assert verified(project.root / "results").problems == []
