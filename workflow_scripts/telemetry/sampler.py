"""Looks at the machine from a thread while a job works."""

from __future__ import annotations

import logging
import os
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

import psutil

from ..core.files import AppendedFile
from ..core.records import Usage
from .gpus import GpuError, Gpus
from .records import Machine, Sample

log = logging.getLogger(__name__)

EVERY_S = 0.25
"""Seconds between two samples."""

_MB = 1e6


class Sampler:
    """Appends one `Machine` and then a `Sample` every `EVERY_S` to a telemetry file.

    A context manager: it measures inside its block, and once more at its end. Nothing that goes
    wrong with measuring stops the job: it is logged once, and measuring goes on without it.

    Args:
        path: the file; what earlier attempts measured stays in it.
        is_here: whether the model works on this machine. If not, the file gets no line.
    """

    def __init__(self, path: Path, is_here: bool) -> None:
        self._file = AppendedFile(path)
        self._is_here = is_here
        self._process = psutil.Process()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="telemetry", daemon=True)
        self._gpus: Gpus | None = None
        self._started = 0.0
        self._answers = self._prompt_tokens = self._completion_tokens = 0
        self._first_token_s: list[float] = []

    def __enter__(self) -> Sampler:
        self._file.path.parent.mkdir(parents=True, exist_ok=True)
        self._file.path.touch()
        if not self._is_here:
            log.info("telemetry: nothing is measured, because the model works elsewhere")
            return self
        note = None
        try:
            self._gpus = Gpus()
        except GpuError as error:
            note = str(error)
            log.info("telemetry: %s; CPU and memory are measured", note)
        machine = Machine(
            started_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            cores=os.cpu_count() or 1,
            memory_mb=round(psutil.virtual_memory().total / _MB, 1),
            gpus=self._gpus.found if self._gpus else [],
            note=note,
        )
        self._started = time.monotonic()
        self._read_before = self._io()
        if self._append(machine):
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._thread.ident is not None:
            self._stop.set()
            self._thread.join()
        self._file.close()

    def count(self, usage: Usage) -> None:
        """Count an answer that has just come, with the tokens that the engine says it took."""
        self._answers += 1
        self._prompt_tokens += usage.prompt_tokens or 0
        self._completion_tokens += usage.completion_tokens or 0
        if usage.first_token_s is not None:
            self._first_token_s.append(usage.first_token_s)

    def _run(self) -> None:
        self._process.cpu_percent()  # the first call of each starts counting, in this thread
        psutil.cpu_percent()
        is_over = False
        while not is_over:
            is_over = self._stop.wait(EVERY_S)
            if not self._append(self._sample()):
                return

    def _append(self, line: Machine | Sample) -> bool:
        try:
            self._file.append(line.model_dump_json(exclude_none=True))
        except OSError as error:
            log.warning(
                "telemetry: %s cannot be written (%s); nothing more is measured",
                self._file.path, error.strerror or error,
            )  # fmt: skip
            return False
        return True

    def _sample(self) -> Sample:
        gpus, note = [], None
        if self._gpus is not None:
            try:
                gpus = self._gpus.read()
            except GpuError as error:
                self._gpus, note = None, str(error)
                log.warning("telemetry: %s; GPUs are no longer measured", note)
        read, written = self._io()
        first_token_s, self._first_token_s = self._first_token_s, []
        return Sample(
            at_s=round(time.monotonic() - self._started, 3),
            answers=self._answers,
            prompt_tokens=self._prompt_tokens,
            completion_tokens=self._completion_tokens,
            cpu_percent=self._process.cpu_percent(),
            machine_cpu_percent=round(psutil.cpu_percent() * psutil.cpu_count(), 1),
            resident_mb=round(self._process.memory_info().rss / _MB, 1),
            machine_memory_mb=round(psutil.virtual_memory().used / _MB, 1),
            read_mb=_difference(read, self._read_before[0]),
            written_mb=_difference(written, self._read_before[1]),
            first_token_s=first_token_s,
            gpus=gpus,
            note=note,
        )

    def _io(self) -> tuple[int | None, int | None]:
        """Bytes that the process has read from and written to disks; macOS does not say it."""
        try:
            counters = self._process.io_counters()
        except (AttributeError, psutil.Error):
            return None, None
        return counters.read_bytes, counters.write_bytes


def _difference(now: int | None, before: int | None) -> float | None:
    return None if now is None or before is None else round((now - before) / _MB, 3)
