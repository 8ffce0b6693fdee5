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
from conftest import NewClone, Project, clean_environment, kills
from test_workflow import TRIAL, journaled_digests, with_one_trial


@pytest.mark.not_on_windows("process groups are killed the POSIX way")
@pytest.mark.parametrize("orphans", [False, True], ids=["whole group", "snakemake alone"])
def test_a_killed_run_goes_on_where_it_was(
    demo_run: Project, new_clone: NewClone, tmp_path: Path, orphans: bool
) -> None:
    """``kill -9`` of a run, with and without its jobs, then the same command.

    It is killed at random moments while the model answers, then once while answers are scored.
    """
    project = new_clone(tmp_path / "killed")
    shutil.copy2(demo_run.root / "config/config.yaml", project.root / "config/config.yaml")
    with_one_trial(project)
    files = [
        f"{TRIAL}/{name}"
        for name in ("predictions.csv", "errors.csv", "per_item_scores.csv", "significance.json")
    ]
    targets = files if orphans else []

    def came_to(answers: int | None) -> bool:
        """Whether there are so many answers; without a number, whether their table is there."""
        if answers is None:
            return (project.root / files[0]).exists()
        return len(journaled_digests(project)) >= answers

    moments = random.Random(7 + orphans).sample(range(1, 150), kills(usual=2, search=6))
    for wanted in [*sorted(moments), None]:
        options = ["--nolock"] if wanted else []  # the last one leaves its lock
        run = subprocess.Popen(
            [sys.executable, "-m", "workflow_scripts.rules.snakemake_command", "--cores", "2",
             *options, *targets],
            cwd=project.root, env=clean_environment(), start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        while run.poll() is None and not came_to(wanted):
            time.sleep(0.02)
        if orphans:
            run.kill()
        else:
            os.killpg(run.pid, signal.SIGKILL)
        assert run.wait() == -signal.SIGKILL, "finished before it was killed"
    project.snakemake("--unlock")
    project.snakemake("--cores", "2", *targets)

    digests = journaled_digests(project)
    assert len(digests) == len(set(digests)) == 160
    for name in files:
        assert project.read(name) == demo_run.read(name), name
    assert project.plan(*targets) == Counter()
