"""The lines of a telemetry file: the machine once for each attempt at a part, then its samples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import Field, ValidationError

from ..core.errors import UserError
from ..core.files import unreadable
from ..core.records import Record


class Gpu(Record):
    """One GPU: its number and name as the driver says, and its memory in MB."""

    index: int
    name: str
    memory_mb: float


class Machine(Record):
    """Where an attempt ran: the first line of it.

    ``gpus`` are those that the process may use; where there are none, ``note`` says why.
    """

    started_at: str
    cores: int
    memory_mb: float
    gpus: list[Gpu] = Field(default_factory=list)
    note: str | None = None


class GpuSample(Record):
    """One look at one GPU; ``None`` where the driver does not say.

    ``process_memory_mb`` is what the asking process holds on it.
    """

    index: int
    utilisation_percent: float | None = None
    memory_mb: float | None = None
    process_memory_mb: float | None = None
    power_w: float | None = None
    temperature_c: float | None = None
    clock_mhz: float | None = None


class Sample(Record):
    """One look at the machine, ``at_s`` seconds after the attempt began.

    Counts are totals since then: answers and tokens that came, bytes that the process read and
    wrote. CPU use is since the last sample; 100 is one core. ``cpu_percent`` and ``resident_mb``
    are those of the asking process, the others those of the whole machine: a server's work shows
    there alone. ``first_token_s`` are the engine's times to the first token of the answers since
    the last sample, where it reports them. ``note`` says what can no longer be measured.
    """

    at_s: float
    answers: int
    prompt_tokens: int
    completion_tokens: int
    cpu_percent: float
    machine_cpu_percent: float
    resident_mb: float
    machine_memory_mb: float
    read_mb: float | None = None
    written_mb: float | None = None
    first_token_s: list[float] = Field(default_factory=list)
    gpus: list[GpuSample] = Field(default_factory=list)
    note: str | None = None


@dataclass
class Attempt:
    """What was measured from the start of a job to its end, or until it was killed."""

    machine: Machine
    samples: list[Sample] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """How long it was measured."""
        return self.samples[-1].at_s if self.samples else 0.0


def read_attempts(path: Path) -> Iterator[Attempt]:
    """Yield the attempts in a telemetry file; a line that a kill has torn is left out.

    Raises:
        UserError: the file cannot be read, or it begins with no `Machine`.
    """
    attempt: Attempt | None = None
    try:
        with path.open("rb") as stream:
            for line in stream:
                try:
                    if line.startswith(b'{"started_at"'):
                        if attempt is not None:
                            yield attempt
                        attempt = Attempt(Machine.model_validate_json(line))
                    elif attempt is not None:
                        attempt.samples.append(Sample.model_validate_json(line))
                    else:
                        raise UserError(f"{path}, line 1: this is not a telemetry file")
                except ValidationError:
                    continue
    except OSError as error:
        raise unreadable(path, error) from error
    if attempt is not None:
        yield attempt
