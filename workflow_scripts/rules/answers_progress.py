"""How far the answers of a run are, read from the logs of the jobs that ask.

The lines are those of `answers.part` and `answers.executor`.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from pathlib import Path

from ..answers.ledger import Ledger
from ..backends.prices import dollars

_BEGINNING = re.compile(r": (\d+) requests, (\d+) answered before, \d+ to send$")
_PROGRESS = re.compile(r" (\d+)/\d+ \[")
_FAILURE = re.compile(r" failed: ")


@dataclass
class _Part:
    """One job's part: its requests, those answered before, and what came of the others."""

    log: Path
    since: float
    offset: int = 0
    requests: int | None = None
    before: int = 0
    settled: int = 0
    failed: int = 0

    def read(self) -> list[str]:
        """Read what the log has more by now, and return the lines that say something else."""
        try:
            if self.log.stat().st_mtime < self.since:  # of an earlier run
                return []
            with self.log.open("rb") as stream:
                stream.seek(self.offset)
                text = stream.read()
        except OSError:  # not there yet
            return []
        whole = text[: text.rfind(b"\n") + 1]
        self.offset += len(whole)
        return [
            line for line in whole.decode("utf-8", "replace").splitlines() if not self._takes(line)
        ]

    def _takes(self, line: str) -> bool:
        if found := _BEGINNING.search(line):
            self.requests, self.before = int(found[1]), int(found[2])
        elif found := _PROGRESS.search(line):
            self.settled = int(found[1])
        elif _FAILURE.search(line):
            self.failed += 1
        else:
            return False
        return True


@dataclass
class AnswersProgress:
    """The answers of all jobs of a run that ask.

    Attributes:
        jobs: how many such jobs the run has.
        remarks: lines of the logs that say something else, each once, until somebody takes them.
    """

    jobs: int = 0
    remarks: list[str] = field(default_factory=list)
    _parts: dict[int, _Part] = field(default_factory=dict)
    _running: set[int] = field(default_factory=set)
    _said: set[str] = field(default_factory=set)
    _ledger: Ledger | None = None
    _started: float = 0.0

    @property
    def is_running(self) -> bool:
        """Whether some job asks at the moment."""
        return bool(self._running)

    def start(self, job: int, log: Path, spending: Path, at: float) -> None:
        """Follow a job that asks.

        Args:
            job: Snakemake's number of it.
            log: its log file.
            spending: the folder of its experiment's ledger.
            at: when it started, as a Unix time stamp.
        """
        if not self._parts:
            self._started = time.monotonic()
            self._ledger = Ledger(spending)
        self._parts[job] = _Part(log, since=at)
        self._running.add(job)

    def end(self, job: int) -> None:
        """Read the rest of a job's log."""
        if job in self._running:
            self._read(job)
            self._running.remove(job)

    def line(self) -> str:
        """Read all logs, and return the state in one line."""
        for job in self._running:
            self._read(job)
        parts = list(self._parts.values())
        sizes = [part.requests for part in parts if part.requests is not None]
        if not sizes:
            return "answers: none yet"
        expected = round(sum(sizes) / len(sizes) * max(self.jobs, len(sizes)))
        about = "about " if len(sizes) < self.jobs else ""
        settled = sum(part.settled for part in parts)
        done = settled + sum(part.before for part in parts)
        said = [f"answers: {done:,} of {about}{expected:,}"]
        elapsed_s = time.monotonic() - self._started
        if settled and elapsed_s:
            rate = settled / elapsed_s
            said.append(f"{rate:.3g}/s")
            if expected > done:
                minutes, seconds = divmod(round((expected - done) / rate), 60)
                said.append(f"{minutes}:{seconds:02} left")
        if self._ledger is not None and (charged := self._ledger.spent().charged_usd):
            said.append(dollars(charged))
        said.append(f"{sum(part.failed for part in parts):,} failed")
        return ", ".join(said)

    def _read(self, job: int) -> None:
        new = [line for line in self._parts[job].read() if line not in self._said]
        self._said.update(new)
        self.remarks += dict.fromkeys(new)
