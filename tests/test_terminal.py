"""What a run shows: its lines, fed with the records that Snakemake makes, and in real runs."""

from __future__ import annotations

import io
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import Project
from hypothesis import given
from hypothesis import strategies as st
from snakemake_interface_logger_plugins.common import LogEvent

from workflow_scripts.core.progress import Progress
from workflow_scripts.rules.snakemake_command import with_calm_terminal
from workflow_scripts.rules.terminal import NAME, Terminal, stages

NAMES = st.text(st.characters(categories=["L", "N"], include_characters=".-_"), min_size=1)
TENTHS = st.integers(0, 10**6).map(lambda tenths: tenths / 10)


@given(
    st.builds(
        Progress,
        name=NAMES,
        done=st.integers(0, 10**9),
        total=st.integers(0, 10**9),
        failed=st.integers(0, 10**9),
        per_s=st.none() | TENTHS,
        paid_usd=st.none() | TENTHS,
    ),
    st.sampled_from(["", "4 at once", "in_progress"]),
)
def test_progress_is_read_back_from_a_log(progress: Progress, note: str) -> None:
    line = str(Progress(**{**vars(progress), "note": note}))
    assert Progress.read(line + "\n") == progress


@pytest.mark.parametrize("line", ["", "a: 1 requests, 2 answered before, 3 to send", "error: x"])
def test_other_lines_of_a_log_are_no_progress(line: str) -> None:
    assert Progress.read(line) is None


def test_each_rule_has_the_stage_of_its_file() -> None:
    found = stages()
    assert (found["infer"], found["score"], found["wave"]) == ("infer", "score", "waves")


class Shown:
    """A terminal that is no terminal, and what it shows."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.stream = io.StringIO()
        monkeypatch.setattr(sys, "stderr", self.stream)
        self.terminal = Terminal(SimpleNamespace(stdout=False), None)  # type: ignore[arg-type]

    def tell(self, text: str | None = None, level: int = logging.INFO, **told: Any) -> None:
        record = logging.LogRecord("snakemake", level, "", 0, text, None, None)
        record.__dict__.update(told)
        self.terminal.emit(record)

    def run(self, number: int, rule: str, log: Path) -> None:
        self.tell(event=LogEvent.JOB_INFO, jobid=number, rule_name=rule, log=[str(log)])

    def lines(self) -> list[str]:
        self.terminal.close()
        return self.stream.getvalue().splitlines()


def test_a_stage_is_a_line_with_what_its_jobs_tell(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shown = Shown(monkeypatch)
    shown.tell(event=LogEvent.RUN_INFO, stats={"infer": 2, "score": 1, "total": 3})
    for number in (1, 2):
        log = tmp_path / f"{number}.log"
        log.write_text(f"p{number}: 3 of 10 done\np{number}: 10 of 10 done, 1 failed, US$ 0.5000\n")
        shown.run(number, "infer", log)
        shown.tell(event=LogEvent.JOB_FINISHED, job_id=number)
    shown.tell("Select jobs to execute...")
    shown.tell("Nothing to be done (all requested files are present and up to date).")
    shown.tell("a warning", logging.WARNING)
    first, infer, *rest = shown.lines()
    assert first == "3 jobs to run"
    assert infer.startswith("infer    2 jobs · ")
    assert infer.endswith(" · 20 requests · 2 failed · US$ 1.0000")
    assert rest == [
        "Nothing to be done (all requested files are present and up to date).",
        "a warning",
    ]


def test_a_stage_is_over_without_jobs_whose_inputs_came_out_equal(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shown = Shown(monkeypatch)
    stats = {"score": 1, "unsupported_sensitivity": 1, "stats": 2, "total": 4}
    shown.tell(event=LogEvent.RUN_INFO, stats=stats)
    shown.run(1, "score", tmp_path / "score.log")
    shown.tell(event=LogEvent.JOB_FINISHED, job_id=1)
    shown.tell("Not run", not_run={"stats": 2, "unsupported_sensitivity": 1})
    _, stats_line, score = shown.lines()
    assert stats_line == "stats    2 jobs not run, inputs equal"
    assert score.startswith("score    1 job · ")
    assert score.endswith(" · 1 job not run, inputs equal")


def test_one_job_is_not_called_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = Shown(monkeypatch)
    shown.tell(event=LogEvent.RUN_INFO, stats={"score": 1, "total": 1})
    assert shown.lines() == ["1 job to run"]


def test_the_line_that_matters_comes_last(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shown = Shown(monkeypatch)
    log = tmp_path / "score.log"
    log.write_text("reading\nerror: two mistakes:\nitems.csv, line 3: no question\n")
    shown.tell(event=LogEvent.RUN_INFO, stats={"score": 1, "total": 1})
    shown.run(1, "score", log)
    shown.tell(event=LogEvent.JOB_ERROR, jobid=1, rule_name="score")
    shown.tell("WorkflowError:\nAt least one job did not complete successfully.", logging.ERROR)
    assert shown.lines()[-3:] == [
        f"log: {log.as_posix()}",
        "error: two mistakes:",
        "items.csv, line 3: no question",
    ]


@pytest.mark.parametrize(
    ("arguments", "is_calm"),
    [
        (["--cores", "2", "results/report.html"], True),
        (["-n"], False),
        (["-np"], False),
        (["--verbose"], False),
        (["--quiet", "all"], False),
    ],
)
def test_snakemakes_own_words_stay_available(arguments: list[str], is_calm: bool) -> None:
    assert (NAME in with_calm_terminal(arguments)) is is_calm


def test_a_run_is_calm_and_snakemakes_log_has_its_own_words(project: Project) -> None:
    options = ("--cores", "2", "--config", "limit_items=4", "--until")
    told = project.snakemake("--verbose", *options, "items").stderr
    assert "Reason: " in told
    assert "workflow_scripts.datasets.items" in told
    before = set((project.root / ".snakemake" / "log").glob("*.log"))

    done = project.snakemake(*options, "build")
    shown = done.stderr.splitlines()
    assert any(line.startswith("build    ") for line in shown)
    assert len(shown) < 8
    (log,) = set((project.root / ".snakemake" / "log").glob("*.log")) - before
    own = log.read_text(encoding="utf-8")
    assert "Reason: " in own
    assert "workflow_scripts.requests.parts" in own


@pytest.mark.not_on_windows("it has no process groups to interrupt")
def test_ctrl_c_says_how_to_continue(project: Project) -> None:
    command = [sys.executable, "-m", "workflow_scripts.rules.snakemake_command", "--cores", "2"]
    run = subprocess.Popen(
        command,
        cwd=project.root,
        env={**os.environ, "PYTHONPATH": str(project.root)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    logs = project.root / "results/demo/logs/infer"
    while not any(path.stat().st_size for path in logs.rglob("*.p0*.log")):
        assert run.poll() is None
        time.sleep(0.05)
    os.killpg(run.pid, signal.SIGINT)
    _, shown = run.communicate()
    assert run.returncode != 0
    assert "All answers so far are kept. To continue, run the same command again." in shown
    assert "Traceback" not in shown
    assert "failed" not in shown
