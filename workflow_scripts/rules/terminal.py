"""What a run shows on a terminal: a line a stage, a live one for answers, and how it ended.

A logger plugin of Snakemake (`snakemake_interface_logger_plugins` 2.1). `snakemake_command`
registers it in its own process, and only where the output is a terminal. Snakemake's own words are
in its log file, in other outputs, in dry runs, and with ``--verbose``.
"""

from __future__ import annotations

import logging
import shutil
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from snakemake.logging import ColorizingTextHandler, DefaultFilter, DefaultFormatter
from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent, logger_plugin_module_prefix
from snakemake_interface_logger_plugins.registry import LoggerPluginRegistry

from .answers_progress import AnswersProgress

NAME = "assay"

_ASKING = "infer"
_REDRAWN_EVERY_S = 1.0

_STOPS = "Terminating processes on user request"
_SHOWN = ("Nothing to be done", "Not run, because", "Complete log", "Removing output files", _STOPS)
"""How those of Snakemake's remarks begin that people need."""

_OF_FAILED_JOBS = ("RuleException", "WorkflowError:\nAt least one job did not complete")
"""How those of Snakemake's errors begin that repeat what `LogEvent.JOB_ERROR` said."""

_FAILURES_SHOWN = 3
_ERROR = "error: "
_LINES_OF_AN_ERROR = 6


def register() -> None:
    """Make Snakemake's option ``--logger`` know `NAME`."""
    LoggerPluginRegistry().register_plugin(
        f"{logger_plugin_module_prefix}{NAME}", sys.modules[__name__]
    )


class LogHandler(LogHandlerBase):
    """Shows a run; the name is the interface's."""

    writes_to_stream = True
    writes_to_file = False
    has_filter = True
    has_formatter = True
    needs_rulegraph = False

    def __post_init__(self) -> None:
        self._planned: Counter[str] = Counter()
        self._done: Counter[str] = Counter()
        self._jobs: dict[int, tuple[str, str]] = {}
        self._failures: list[tuple[str, list[str]]] = []
        self._is_stopped = False
        self._is_closed = False
        self._answers = AnswersProgress()
        self._live = LiveLine()
        self._plain = self._own_words()

    def _own_words(self) -> logging.Handler | None:
        """Snakemake's own handler, where its own words are wanted."""
        asked = self.common_settings
        if not (asked.dryrun or asked.verbose or asked.debug_dag or asked.stdout):
            return None
        handler: logging.Handler = ColorizingTextHandler(
            nocolor=asked.nocolor,
            stream=sys.stdout if asked.stdout else sys.stderr,
            formatter=DefaultFormatter(asked.quiet, asked.show_failed_logs),
            filter=DefaultFilter(
                asked.quiet, asked.debug_dag, asked.verbose, asked.dryrun, asked.printshellcmds
            ),
        )
        return handler

    def emit(self, record: logging.LogRecord) -> None:
        """Show what of a message people need."""
        if self._plain is not None:
            self._plain.handle(record)
            return
        try:
            with self._live.lock:
                self._take(record)
        except Exception:  # it would end the thread that shows all further messages
            self.handleError(record)

    def _take(self, record: logging.LogRecord) -> None:
        said: dict[str, Any] = record.__dict__
        event = said.get("event")
        if event == LogEvent.RUN_INFO:
            self._planned = Counter(said["stats"])
            self._show(f"{self._planned.pop('total')} jobs")
            self._answers.jobs = self._planned[_ASKING]
        elif event == LogEvent.JOB_INFO:
            self._begin(said)
        elif event == LogEvent.JOB_FINISHED:
            self._finish(said["job_id"])
        elif event == LogEvent.JOB_ERROR:
            name = self._jobs.get(said["jobid"], ("", said["rule_name"]))[1]
            self._failures.append((name, list(said["log"])))
            self._answers.end(said["jobid"])
        elif event in (None, LogEvent.ERROR):
            self._remark(record)

    def _begin(self, said: dict[str, Any]) -> None:
        job, stage = said["jobid"], said["rule_name"]
        self._jobs[job] = stage, said["rule_msg"] or stage
        if stage == _ASKING:
            spending = Path(*Path(said["output"][0]).parts[:2], "spending")
            self._answers.start(job, Path(said["log"][0]), spending, said["created"])
            self._live.start(self._answers_line)

    def _answers_line(self) -> str:
        line = self._answers.line()
        remarks, self._answers.remarks = self._answers.remarks, []
        for remark in remarks:
            self._show(remark)
        return line if self._answers.is_running else ""

    def _finish(self, job: int) -> None:
        stage, _ = self._jobs.get(job, ("", ""))
        self._answers.end(job)
        self._done[stage] += 1
        if self._done[stage] == self._planned[stage]:
            jobs = self._done[stage]
            steps = f"{self._done.total()} of {self._planned.total()} jobs"
            self._show(f"{stage}: {jobs} {'job' if jobs == 1 else 'jobs'} done ({steps})")
            if stage == _ASKING:
                self._show(self._answers.line())

    def _remark(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        self._is_stopped |= message.startswith(_STOPS)
        if message.startswith(_SHOWN):
            self._show(message)
        elif self._is_stopped or record.levelno < logging.WARNING:
            return
        elif not (self._failures and message.startswith(_OF_FAILED_JOBS)):
            self._show(message)

    def close(self) -> None:
        """Say how the run ended, in the last lines on the terminal."""
        super().close()
        if self._is_closed or self._plain is not None:
            return
        self._is_closed = True
        self._live.stop()
        if self._is_stopped:
            self._show(
                "Stopped. All answers so far are kept in results/journal/. "
                "The same command resumes."
            )
            return
        for name, logs in self._failures[:_FAILURES_SHOWN]:
            self._show(f"\nfailed: {name}")
            for log in logs:
                self._show(f"log: {log}")
                self._show(line_that_matters(Path(log)))
        if len(self._failures) > _FAILURES_SHOWN:
            self._show(f"\n{len(self._failures) - _FAILURES_SHOWN} more jobs failed")

    def _show(self, text: str) -> None:
        if text:
            self._live.above(text)


class LiveLine:
    """The last line on a terminal, drawn again every second; other lines appear above it.

    Attributes:
        lock: held while anything is drawn, and by those who change what it draws.
    """

    def __init__(self) -> None:
        self._drawn = ""
        self.lock = threading.RLock()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, text: Callable[[], str]) -> None:
        """Draw what ``text`` returns, until `stop`; nothing while that is empty."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._redraw, args=(text,), daemon=True)
            self._thread.start()

    def _redraw(self, text: Callable[[], str]) -> None:
        while not self._ended.wait(_REDRAWN_EVERY_S):
            with self.lock:
                self._draw(text())

    def above(self, text: str) -> None:
        """Write a line for good."""
        with self.lock:
            drawn = self._drawn
            self._draw("")
            print(text, file=sys.stderr, flush=True)
            self._draw(drawn)

    def stop(self) -> None:
        """Wipe the live line."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        with self.lock:
            self._draw("")

    def _draw(self, text: str) -> None:
        """Write over the line by blanks, which every terminal knows."""
        text = text[: shutil.get_terminal_size().columns - 1]
        if self._drawn or text:
            print(f"\r{text.ljust(len(self._drawn))}\r{text}", end="", file=sys.stderr, flush=True)
        self._drawn = text


def line_that_matters(log: Path) -> str:
    """Return the error at the end of a job's log: our own message, or a traceback's last line."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").rstrip().splitlines()
    except OSError:
        return ""
    errors = [number for number, line in enumerate(lines) if line.startswith(_ERROR)]
    if errors:
        return "\n".join(lines[errors[-1] :][:_LINES_OF_AN_ERROR])
    return lines[-1] if lines else ""
