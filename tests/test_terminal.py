"""What people see of a run on a terminal: a real one, behind a pseudo-terminal."""

from __future__ import annotations

import logging
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from answering import request
from conftest import REPOSITORY, Project, clean_environment, find_program
from local_backends import Backend
from local_backends import run as answer

from workflow_scripts.rules import terminal
from workflow_scripts.rules.answers_progress import AnswersProgress
from workflow_scripts.rules.snakemake_command import with_calm_terminal

SMALL = ("--cores", "2", "--config", "limit_items=4", "default_prompt_set=abstention")


def on_a_terminal(
    project: Project, *arguments: str, interrupt_at: str | None = None
) -> tuple[int, str]:
    """Run snakemake with a terminal of 100 columns; return its exit code and all that it wrote.

    At ``interrupt_at`` in its output it gets what Ctrl+C sends: a signal to all its processes.
    """
    master, slave = os.openpty()  # type: ignore[attr-defined, unused-ignore] # not on Windows
    with subprocess.Popen(
        [sys.executable, "-m", "workflow_scripts.rules.snakemake_command", *arguments],
        cwd=project.root,
        env={**clean_environment(), "COLUMNS": "100"},
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    ) as run:
        os.close(slave)
        written = b""
        until = time.monotonic() + 300
        while time.monotonic() < until:
            if not select.select([master], [], [], 1)[0]:
                continue
            try:
                written += os.read(master, 65536)
            except OSError:  # all its processes have ended
                break
            if interrupt_at is not None and interrupt_at.encode() in written:
                interrupt_at = None
                os.killpg(run.pid, signal.SIGINT)
        os.close(master)
        return run.wait(60), written.decode("utf-8")


def lines_that_stay(written: str) -> list[str]:
    """What is on the screen in the end: a carriage return goes back to the line's first column."""
    shown = []
    for line in written.replace("\r\n", "\n").split("\n"):
        screen = ""
        for text in line.split("\r"):
            screen = text + screen[len(text) :]
        shown.append(screen.rstrip())
    return shown


@pytest.mark.not_on_windows("a pseudo-terminal is opened")
def test_a_run_shows_a_line_for_each_stage(project: Project) -> None:
    code, written = on_a_terminal(project, *SMALL, "--", "results/report.html")
    assert code == 0
    assert "\ranswers: " in written  # the live line
    lines = lines_that_stay(written)
    stages = [found[1] for line in lines if (found := re.match(r"(\w+): \d+ jobs? done", line))]
    assert {"items", "build", "infer", "parse", "score", "stats", "index"} >= {*stages} - {
        *("settings", "check_backend", "differences", "costs", "comparisons", "verification"),
        *("unsupported_sensitivity", "cost_effectiveness", "trial_report", "front_page"),
    }
    assert len(stages) == len(set(stages)) > 10
    assert any(re.fullmatch(r"answers: 16 of 16, [\d.]+/s, 0 failed", line) for line in lines)
    assert len(lines) < 35
    for word in ("Reason:", "Shell command", "jobid", "Select jobs", "Traceback"):
        assert word not in written
    # Snakemake's own words are in its log.
    (log,) = (project.root / ".snakemake/log").glob("*.snakemake.log")
    assert "Reason:" in log.read_text(encoding="utf-8")
    assert str(log) in written
    code, written = on_a_terminal(project, *SMALL, "--", "results/report.html")
    assert code == 0
    assert "Nothing to be done" in written


@pytest.mark.not_on_windows("a pseudo-terminal is opened")
def test_ctrl_c_ends_with_what_is_kept_and_how_to_resume(project: Project) -> None:
    code, written = on_a_terminal(
        project, "--cores", "2", "--", "results/report.html", interrupt_at="\ranswers: "
    )
    assert code != 0
    assert "Traceback" not in written
    assert "Error in rule" not in written
    assert [line for line in lines_that_stay(written) if line][-1] == (
        "Stopped. All answers so far are kept in results/journal/. The same command resumes."
    )
    assert project.plan("--", "results/report.html")  # not locked


@pytest.mark.not_on_windows("a pseudo-terminal is opened")
def test_a_failure_ends_with_the_line_that_matters(project: Project) -> None:
    data = project.root / "resources/demo/open_book.jsonl"
    lines = data.read_text(encoding="utf-8").splitlines()
    lines[6] = lines[6][:-9]
    data.write_text("\n".join(lines) + "\n", encoding="utf-8")
    code, written = on_a_terminal(project, *SMALL, "--", "results/report.html")
    assert code == 1
    name, log, error = [line for line in lines_that_stay(written) if line][-3:]
    assert name == "failed: Prepare the open_book items"
    assert (project.root / log.removeprefix("log: ")).is_file()
    assert error.startswith("error: ")
    assert "open_book.jsonl, line 7" in error
    assert "Traceback" not in written


@pytest.mark.not_on_windows("a pseudo-terminal is opened")
@pytest.mark.parametrize("option", ["-n", "--verbose"])
def test_snakemakes_own_words_are_there_when_they_are_wanted(project: Project, option: str) -> None:
    code, written = on_a_terminal(project, *SMALL, option, "--", "stage_data")
    assert code == 0
    assert "Job stats:" in written
    assert "Reason: Missing output files" in written


def test_other_outputs_get_snakemakes_own_words() -> None:
    """This process writes to none, as in continuous integration."""
    assert not sys.stderr.isatty()
    assert with_calm_terminal(["-n"]) == ["-n"]


def test_a_plugin_that_cannot_be_imported_breaks_no_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert with_calm_terminal(["--logger", "other"]) == ["--logger", "other"]
    monkeypatch.setitem(sys.modules, "workflow_scripts.rules.terminal", None)
    monkeypatch.delattr("workflow_scripts.rules.terminal")
    assert with_calm_terminal(["plan"]) == ["plan"]


def test_progress_is_read_from_the_log_that_a_part_writes(
    of_ollama: Backend, tmp_path: Path
) -> None:
    """By the real executor: two of six requests fail, and one line is about something else."""
    of_ollama.server.faults = lambda question, tries: "400" if question in REFUSED else ""
    log = tmp_path / "part.log"
    handler = logging.FileHandler(log, encoding="utf-8")
    logger = logging.getLogger("workflow_scripts")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    started = time.time()
    try:
        logging.getLogger("workflow_scripts.answers").info("waiting for the server")
        answer(tmp_path, of_ollama.client(), [request(number) for number in range(6)])
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
        handler.close()
    progress = AnswersProgress(jobs=2)
    progress.start(7, log, tmp_path / "spending", started - 1)
    assert re.fullmatch(
        r"answers: 6 of about 12, [\d,.e+]+/s, \d+:\d\d left, 2 failed", progress.line()
    )
    waiting, server = progress.remarks
    assert waiting == "waiting for the server"
    assert "has tiny:3m" in server
    progress.end(7)
    assert not progress.is_running
    assert progress.remarks == [waiting, server]


REFUSED = ("Question 2?", "Question 4?")


def test_the_log_of_an_earlier_run_is_not_read(tmp_path: Path) -> None:
    log = tmp_path / "part.log"
    log.write_text("part: 5 requests, 5 answered before, 0 to send\n", encoding="utf-8")
    progress = AnswersProgress(jobs=1)
    progress.start(1, log, tmp_path / "spending", time.time() + 60)
    assert progress.line() == "answers: none yet"


def error_of(tmp_path: Path) -> Callable[[str], str]:
    def line(text: str) -> str:
        path = tmp_path / "job.log"
        path.write_text(text, encoding="utf-8")
        return terminal.line_that_matters(path)

    return line


def test_the_line_that_matters(tmp_path: Path) -> None:
    line = error_of(tmp_path)
    assert line("read 5\nerror: a.csv, line 2: no id\n") == "error: a.csv, line 2: no id"
    assert line("error: two:\n  one\n  other\n") == "error: two:\n  one\n  other"
    assert line("Traceback (most recent call last):\n  …\nValueError: no\n") == "ValueError: no"
    assert line("") == ""
    assert terminal.line_that_matters(tmp_path / "no.log") == ""


def test_a_commands_mistake_is_in_its_log_and_once_on_the_terminal(tmp_path: Path) -> None:
    code = (
        "import pathlib\n"
        "from workflow_scripts.core.errors import UserError, command\n"
        "from workflow_scripts.core.logs import log_to\n"
        "@command\n"
        "def main():\n"
        "    log_to(pathlib.Path('job.log'))\n"
        "    raise UserError('no such model')\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr == "error: no such model\n"
    assert (tmp_path / "job.log").read_text(encoding="utf-8") == "error: no such model\n"


@pytest.mark.not_on_windows("bash completes what is typed")
def test_the_tab_key_completes_targets_and_options(project: Project) -> None:
    """By the README's lines, in bash."""
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```bash\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    words = re.sub(r"^complete -o default -W (.*) snakemake$", r"words=\1", block, flags=re.DOTALL)
    asked = (
        'compgen -W "$words" -- stage_; compgen -W "$words" -- --unl; compgen -W "$words" -- doc'
    )
    done = subprocess.run(
        [find_program("bash"), "-c", f"set -eu\n{words}\n{asked}\n{block}\ncomplete -p snakemake"],
        cwd=project.root,
        env={
            **clean_environment(),
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        },
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
    )
    offered = done.stdout.splitlines()
    stages = [
        "stage_build",
        "stage_data",
        "stage_eval",
        "stage_parse",
        "stage_score",
        "stage_stats",
    ]
    assert offered[:8] == [*stages, "--unlock", "doctor"]
    assert "(" not in done.stdout
