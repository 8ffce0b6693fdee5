"""Long-lived processes for the jobs that ask a model: it is loaded once, not for each part.

Snakemake 9.27 starts a process for each job. One that asks needs 0.8 s of CPU time before its first
request, and loads the model if that works in its process. Here such a job is handed to a process
that has answered another part of the same model and waits (`answers.worker`), or else to a new one.
Each part remains a job of its own, with its output, log and command; the command does the same when
a person runs it. A process that fails or is killed takes its own part along, and the next part gets
a new one. A process ends when it has waited `_IDLE_S` seconds, and when another model is to be
loaded, so that two models never share a GPU or the memory. A job with an environment or container
of its own runs as Snakemake runs it.

Of ``benchmark:``, the CPU time and the peak of memory are those of the process so far.

Snakemake has no interface for this. These private parts of version 9.27 are used, and
``tests/test_workers.py`` fails when one of them changes: ``sp.Popen`` in ``snakemake.shell``
(replaced), called with the whole command and ``env``, of whose result ``pid``, ``wait``, ``kill``
and ``terminate`` are used.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib
import json
import re
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import IO, Any

from ..answers.settings import InferSettings
from ..core.files import read_settings

_COMMAND = re.compile(
    r"(?:set -euo pipefail; +)?python -m workflow_scripts\.answers\.send ([\w./ -]+) 2> ([\w./-]+)"
)
"""A job's command; one with further characters needs the shell."""

_IDLE_S = 10.0


@functools.cache
def install() -> None:
    """Let the Snakemake of this process hand jobs that ask to workers; once is enough."""
    workers = Workers()
    atexit.register(workers.close)
    importlib.import_module("snakemake.shell").sp = _Subprocess(workers)  # type: ignore[attr-defined]


class _Subprocess(ModuleType):
    """The module ``subprocess`` with another ``Popen``."""

    def __init__(self, workers: Workers) -> None:
        super().__init__("subprocess")
        self.Popen = workers.start

    def __getattr__(self, name: str) -> Any:
        return getattr(subprocess, name)


@dataclass(frozen=True)
class _Job:
    """What a worker is told, and which workers can do it: those of the same `kind`."""

    arguments: list[str]
    log: str
    kind: tuple[str, frozenset[tuple[str, str]]]

    @classmethod
    def of(cls, command: str, environment: Mapping[str, str]) -> _Job | None:
        """Return the job of a command; None if it is another kind of job."""
        found = _COMMAND.fullmatch(command.strip())
        if found is None:
            return None
        arguments = found[1].split()
        settings = arguments[arguments.index("--settings") + 1]
        return cls(arguments, found[2], (settings, frozenset(environment.items())))

    @property
    def loads_model(self) -> bool:
        """Whether the model works in the worker's process."""
        return _loads_model(self.kind[0])


@functools.cache
def _loads_model(settings: str) -> bool:
    return read_settings(Path(settings), InferSettings).backend.model_file is not None


@dataclass(eq=False)
class _Worker:
    """A process, and the kind of jobs that it does."""

    process: subprocess.Popen[str]
    job: _Job
    idle: threading.Timer | None = field(default=None)

    def give(self, job: _Job) -> None:
        """Hand over a job. That the process has just been killed, waiting for the job shows."""
        line = json.dumps({"arguments": job.arguments, "log": job.log})
        with contextlib.suppress(OSError):
            _pipe(self.process.stdin).write(line + "\n")
            _pipe(self.process.stdin).flush()

    def end(self) -> None:
        """Let it free its memory and end. It does nothing at the moment."""
        self.process.communicate()


def _pipe(stream: IO[str] | None) -> IO[str]:
    assert stream is not None  # noqa: S101 - all workers are started with pipes
    return stream


class Workers:
    """The workers of a run. Snakemake starts and awaits jobs in threads."""

    def __init__(self) -> None:
        self._idle: list[_Worker] = []
        self._lock = threading.Lock()

    def start(self, command: str, **options: Any) -> subprocess.Popen[Any] | HandedOver:
        """Start a command: as a process, or by handing it to a worker."""
        job = _Job.of(command, options["env"]) if isinstance(command, str) else None
        if job is None:
            return subprocess.Popen(command, **options)
        with self._lock:
            worker = self._waiting(job) or self._new(job, options["env"])
        worker.give(job)
        return HandedOver(worker, self)

    def _waiting(self, job: _Job) -> _Worker | None:
        """Return a worker that has waited for such a job. End those whose model is in the way."""
        found = None
        for worker in list(self._idle):
            if found is None and worker.job.kind == job.kind:
                self._stop_waiting(worker)
                found = worker if worker.process.poll() is None else None
            elif job.loads_model and worker.job.loads_model and worker.job.kind != job.kind:
                self._stop_waiting(worker)
                worker.end()
        return found

    def _new(self, job: _Job, environment: Mapping[str, str]) -> _Worker:
        process = subprocess.Popen(
            ["python", "-m", "workflow_scripts.answers.worker"],  # noqa: S607 - as the rule has it
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env=environment, text=True, encoding="utf-8",
        )  # fmt: skip
        return _Worker(process, job)

    def rest(self, worker: _Worker) -> None:
        """Let a worker wait for its next job."""
        with self._lock:
            worker.idle = threading.Timer(_IDLE_S, self._dismiss, [worker])
            worker.idle.daemon = True
            worker.idle.start()
            self._idle.append(worker)

    def _dismiss(self, worker: _Worker) -> None:
        with self._lock:
            if worker not in self._idle:
                return
            self._stop_waiting(worker)
        worker.end()

    def _stop_waiting(self, worker: _Worker) -> None:
        self._idle.remove(worker)
        if worker.idle is not None:
            worker.idle.cancel()

    def close(self) -> None:
        """End all that wait."""
        with self._lock:
            while self._idle:
                worker = self._idle[0]
                self._stop_waiting(worker)
                worker.end()


class HandedOver:
    """A job that a worker does, with as much of ``Popen`` as Snakemake uses."""

    def __init__(self, worker: _Worker, workers: Workers) -> None:
        self._worker = worker
        self._workers = workers
        self.pid = worker.process.pid
        self.kill = worker.process.kill
        self.terminate = worker.process.terminate

    def wait(self) -> int:
        """Wait for the job's end, and return its exit status."""
        if _pipe(self._worker.process.stdout).readline():
            self._workers.rest(self._worker)
            return 0
        self._worker.process.communicate()
        return self._worker.process.returncode
