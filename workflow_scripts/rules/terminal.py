"""What a run shows on the terminal: a line for each stage, and one live line.

A logger plugin of Snakemake. `install` registers it, so that nothing has to be found by its name.
Snakemake's own words (reasons, commands) stand in its log under ``.snakemake/log``, and
``--verbose`` brings them back to the terminal. The jobs' own messages are in their logs; the live
line adds up what those of jobs that ask a model say about their progress.
"""

from __future__ import annotations

import logging
import re
import shutil
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_interface_logger_plugins.registry import LoggerPluginRegistry

from ..core.errors import INTERRUPTED
from ..core.progress import Progress
from ..core.wording import counted
from ..report.wording import duration

NAME = "assay"

RULES = Path(__file__).parents[2] / "rules"

_RULE = re.compile(r"^(?:rule|checkpoint) (\w+):", re.MULTILINE)
_REFRESH_S = 1.0
_LOG_EVERY_S = 30.0
"""Seconds between two progress lines where the output is no terminal."""

_TAIL_BYTES = 4096
REPORT = "Report: "
"""How a run names the page to open."""

_SHOWN_AS_IT_IS = re.compile(rf"\s*(?:Nothing to be done|{REPORT})")
"""Messages of Snakemake below a warning that are shown."""

_STOPPED = "Terminating processes on user request"
_INTERRUPTED = (INTERRUPTED, "KeyboardInterrupt")
"""The last line of a job that Ctrl+C ended; Python's own, while it still loads modules."""

_REPLACED = (
    "Exiting because a job execution failed",
    "RuleException:\nCalledProcessError",
    "WorkflowError:\nAt least one job did not complete successfully",
)
"""What Snakemake says of failed jobs; `Terminal` says it in its own words."""

_GO_ON = "All answers so far are kept. To continue, run the same command again."


def stages() -> dict[str, str]:
    """The stage of each rule: the name of the file that it stands in."""
    return {
        rule: path.stem
        for path in sorted(RULES.glob("*.smk"))
        for rule in _RULE.findall(path.read_text(encoding="utf-8"))
    }


def install() -> None:
    """Register the plugin under `NAME`."""
    LoggerPluginRegistry().register_plugin(NAME, sys.modules[__name__])


@dataclass
class _Job:
    rule: str
    log: Path | None
    progress: dict[str, Progress] = field(default_factory=dict)

    def look(self) -> None:
        """Read the newest progress from the end of the job's log."""
        if self.log is None:
            return
        try:
            with self.log.open("rb") as stream:
                stream.seek(0, 2)
                stream.seek(max(0, stream.tell() - _TAIL_BYTES))
                lines = stream.read().decode("utf-8", errors="replace").splitlines()
        except OSError:
            return
        for line in lines:
            found = Progress.read(line)
            if found is not None:
                self.progress[found.name] = found

    def problem(self) -> str:
        """What of the log matters: its last error, which may have several lines, else its end."""
        try:
            text = self.log.read_text(encoding="utf-8", errors="replace") if self.log else ""
        except OSError:
            text = ""
        lines = [line for line in text.splitlines() if line.strip()]
        errors = [at for at, line in enumerate(lines) if line.startswith("error: ")]
        if errors:
            return "\n".join(lines[errors[-1] :])
        return lines[-1] if lines else "error: the job left no message"


@dataclass
class _Stage:
    planned: int = 0
    finished: int = 0
    failed: int = 0
    not_run: int = 0
    began: float | None = None
    progress: list[Progress] = field(default_factory=list)


class Terminal(LogHandlerBase):
    """Writes the lines. Records arrive in a thread of Snakemake's, the live line in its own."""

    def __post_init__(self) -> None:
        self._stream = sys.stdout if self.common_settings.stdout else sys.stderr
        self._is_live = self._stream.isatty()
        self._stage_of = stages()
        self._stages: dict[str, _Stage] = {}
        self._running: dict[int, _Job] = {}
        self._problems: list[tuple[str, str]] = []
        self._is_stopped = False
        self._line = ""
        self._write_lock = threading.RLock()
        self._over = threading.Event()
        self._ticker = threading.Thread(target=self._tick, name="terminal", daemon=True)
        self._ticker.start()

    @property
    def writes_to_stream(self) -> bool:
        """It takes the place of Snakemake's own handler."""
        return True

    @property
    def writes_to_file(self) -> bool:
        """Snakemake's own log file stays."""
        return False

    @property
    def has_filter(self) -> bool:
        """Which records are shown is decided here."""
        return True

    @property
    def has_formatter(self) -> bool:
        """Records that are shown as they are have a text."""
        return True

    @property
    def needs_rulegraph(self) -> bool:
        """No."""
        return False

    def emit(self, record: logging.LogRecord) -> None:
        """Show what a record means for the stages."""
        event = getattr(record, "event", None)
        with self._write_lock:
            if event == LogEvent.RUN_INFO:
                self._plan(record.__dict__["stats"])
            elif event == LogEvent.JOB_INFO:
                self._begin(record)
            elif event == LogEvent.JOB_FINISHED:
                self._finish(record.__dict__["job_id"], has_failed=False)
            elif event == LogEvent.JOB_ERROR:
                self._fail(record)
            elif hasattr(record, "not_run"):
                self._leave_out(record.not_run)
            elif event is None or event == LogEvent.ERROR:
                self._say(record)

    def close(self) -> None:
        """Clear the live line; the failures come last."""
        if not self._over.is_set():
            self._over.set()
            self._ticker.join()
            with self._write_lock:
                self._clear()
                if self._problems:
                    self._summarise()
        super().close()

    def _plan(self, stats: dict[str, int]) -> None:
        planned = Counter[str]()
        for rule, count in stats.items():
            if rule in self._stage_of:
                planned[self._stage_of[rule]] += count
        for stage, count in planned.items():
            self._stages.setdefault(stage, _Stage()).planned = count
        if planned:
            self._print(f"{counted(sum(planned.values()), 'job')} to run")

    def _begin(self, record: logging.LogRecord) -> None:
        told = record.__dict__
        rule = told["rule_name"]
        log = Path(told["log"][0]) if told["log"] else None
        self._running[told["jobid"]] = _Job(rule, log)
        stage = self._stage(rule)
        if stage.began is None:
            stage.began = time.monotonic()

    def _finish(self, number: int, *, has_failed: bool) -> _Job | None:
        job = self._running.pop(number, None)
        if job is None:
            return None
        job.look()
        stage = self._stage(job.rule)
        stage.progress += job.progress.values()
        stage.finished += not has_failed
        stage.failed += has_failed
        self._close_if_over(self._stage_name(job.rule))
        return job

    def _leave_out(self, not_run: dict[str, int]) -> None:
        """Count jobs of rules that do not run, because their inputs came out equal."""
        for rule, count in not_run.items():
            self._stage(rule).not_run += count
        for name in dict.fromkeys(map(self._stage_name, not_run)):
            self._close_if_over(name)

    def _fail(self, record: logging.LogRecord) -> None:
        told = record.__dict__
        job = self._finish(told["jobid"], has_failed=True)
        if job is None:
            return
        log = job.log.as_posix() if job.log else ""
        problem = job.problem()
        if self._is_stopped or problem in _INTERRUPTED:
            return
        self._problems.append((problem, log))
        self._print(f"{told['rule_name']}: failed; its log is {log}" if log else job.rule)

    def _stage(self, rule: str) -> _Stage:
        return self._stages.setdefault(self._stage_name(rule), _Stage())

    def _stage_name(self, rule: str) -> str:
        return self._stage_of.get(rule, rule)

    def _close_if_over(self, name: str) -> None:
        stage = self._stages[name]
        if stage.finished + stage.failed + stage.not_run != stage.planned:
            return
        facts = []
        if stage.began is not None:
            facts += [counted(stage.finished, "job")]
            facts += [f"{stage.failed} failed"] if stage.failed else []
            facts += [duration(time.monotonic() - stage.began), *_facts(stage.progress)]
        if stage.not_run:
            facts.append(f"{counted(stage.not_run, 'job')} not run, inputs equal")
        self._print(f"{name:<9}{' · '.join(facts)}")

    def _say(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if text.startswith(_STOPPED):
            self._is_stopped = True
            self._print(f"Stopping the jobs that run. {_GO_ON}")
        elif text.startswith(_REPLACED):
            return
        elif record.levelno >= logging.WARNING or _SHOWN_AS_IT_IS.match(text):
            self._print(text)

    def _summarise(self) -> None:
        self._print(f"\n{counted(len(self._problems), 'job')} failed. {_GO_ON}")
        for problem, log in self._problems[:-1]:
            self._print(f"log: {log}\n{problem}\n")
        problem, log = self._problems[-1]
        self._print(f"log: {log}\n{problem}")

    # The live line

    def _tick(self) -> None:
        wait = _REFRESH_S if self._is_live else _LOG_EVERY_S
        while not self._over.wait(wait):
            with self._write_lock:
                text = self._status()
                if self._is_live:
                    self._redraw(text)
                elif text:
                    self._stream.write(text + "\n")
                    self._stream.flush()

    def _status(self) -> str:
        asking: list[Progress] = []
        stage_name = ""
        for job in self._running.values():
            job.look()
            asking += job.progress.values()
            stage_name = stage_name or self._stage_name(job.rule)
            if job.progress:
                stage_name = self._stage_name(job.rule)
        if not self._running:
            return ""
        stage = self._stages[stage_name]
        ended = stage.finished + stage.failed + stage.not_run
        facts = [f"{stage_name:<9}job {min(ended + 1, stage.planned)} of {stage.planned}"]
        return " · ".join([*facts, *_facts([*stage.progress, *asking], asking)])

    def _redraw(self, text: str) -> None:
        width = shutil.get_terminal_size().columns - 1
        text = text[:width]
        self._stream.write("\r" + text.ljust(min(len(self._line), width)))
        self._stream.flush()
        self._line = text

    def _clear(self) -> None:
        if self._line:
            self._stream.write("\r" + " " * len(self._line) + "\r")
            self._line = ""

    def _print(self, text: str) -> None:
        self._clear()
        encoding = self._stream.encoding or "utf-8"
        self._stream.write(text.encode(encoding, "replace").decode(encoding) + "\n")
        self._stream.flush()


LogHandler = Terminal
"""The name under which Snakemake looks for it."""


def _facts(progress: list[Progress], asking: list[Progress] | None = None) -> list[str]:
    """What parts tell together; ``asking`` are those that are still being sent."""
    if not progress:
        return []
    done, total = sum(each.done for each in progress), sum(each.total for each in progress)
    requests = counted(total, "request")
    facts = [f"{done:,} of {requests}" if done < total else requests]
    rate = sum(each.per_s or 0.0 for each in asking or ())
    if rate:
        left = sum(each.total - each.done for each in asking or ())
        facts += [f"{rate:.1f}/s", f"{duration(left / rate)} left"]
    failed = sum(each.failed for each in progress)
    if failed:
        facts.append(f"{failed:,} failed")
    paid = [each.paid_usd for each in progress if each.paid_usd is not None]
    if paid:
        facts.append(f"US$ {sum(paid):.4f}")
    return facts
