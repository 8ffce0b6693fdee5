"""Runs that are killed go on where they were.

A file of its own, so that it runs beside the other long tests.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from conftest import NewClone, Project, clean_environment
from test_workflow import TRIAL, journaled_digests, with_one_trial


@pytest.mark.not_on_windows("process groups are killed the POSIX way")
@pytest.mark.parametrize("orphans", [False, True], ids=["whole group", "snakemake alone"])
def test_a_killed_run_goes_on_where_it_was(
    demo_run: Project, new_clone: NewClone, tmp_path: Path, orphans: bool
) -> None:
    """``kill -9`` of a run at random moments, with and without its jobs, then the same command."""
    project = new_clone(tmp_path / "killed")
    shutil.copy2(demo_run.root / "config/config.yaml", project.root / "config/config.yaml")
    with_one_trial(project)
    chance = random.Random(7 + orphans)
    for _ in range(4):
        run = subprocess.Popen(
            [sys.executable, "-m", "workflow_scripts.rules.snakemake_command", "--cores", "2"],
            cwd=project.root, env=clean_environment(), start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        time.sleep(chance.uniform(2, 6))
        if orphans:
            run.kill()
        else:
            os.killpg(run.pid, signal.SIGKILL)
        run.wait()
        project.snakemake("--unlock")
    project.snakemake("--cores", "2")

    digests = journaled_digests(project)
    assert len(digests) == len(set(digests)) == 160
    for name in ("predictions.csv", "errors.csv", "per_item_scores.csv", "significance.json"):
        assert project.read(f"{TRIAL}/{name}") == demo_run.read(f"{TRIAL}/{name}"), name
    assert project.plan() == Counter()
