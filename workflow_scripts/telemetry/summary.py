"""What was measured while one arm's answers were made, summed up over its parts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from pydantic import Field

from ..core.records import Record
from .records import Attempt, GpuSample, Sample, read_attempts

POINTS = 120
"""The most points of a curve over time."""

_J_PER_WH = 3600.0


class Level(Record):
    """Mean over the measured time, and the largest sample."""

    mean: float
    peak: float


class Latency(Record):
    """Seconds per request: mean and quantiles."""

    mean: float
    p50: float
    p95: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Latency | None:
        """Return those of some requests; ``None`` if there are none."""
        if not seconds:
            return None
        p50, p95 = np.quantile(seconds, [0.5, 0.95])
        mean = float(np.mean(seconds))
        return cls(mean=round(mean, 6), p50=round(float(p50), 6), p95=round(float(p95), 6))


class GpuUse(Record):
    """One GPU; ``None`` where its driver does not say. ``energy_wh`` is power over time."""

    name: str
    utilisation_percent: Level | None = None
    memory_mb: Level | None = None
    process_memory_mb: Level | None = None
    power_w: Level | None = None
    temperature_c: Level | None = None
    clock_mhz: Level | None = None
    energy_wh: float | None = None


class Curves(Record):
    """The same over time: means over equal stretches of the measured time, one after the other.

    ``at_s`` is the end of each stretch. GPU memory and power are sums over the GPUs, utilisation is
    their mean; empty where nothing was measured.
    """

    at_s: list[float]
    tokens_per_s: list[float]
    cpu_percent: list[float]
    machine_cpu_percent: list[float]
    resident_mb: list[float]
    gpu_utilisation_percent: list[float] = Field(default_factory=list)
    gpu_memory_mb: list[float] = Field(default_factory=list)
    gpu_power_w: list[float] = Field(default_factory=list)


class Telemetry(Record):
    """What one arm's answers took on this machine.

    It covers the ``answers`` that came while it was measured, over ``measured_s`` seconds; answers
    that the journal had are not among them. Attempts that ran at the same time count one after the
    other. ``tokens_per_s`` and ``tokens_per_joule`` are about generated tokens; the energy is that
    of the GPUs alone, the whole of each, whoever used it. ``first_token_s`` is ``None`` if the
    engine does not report it.
    """

    attempts: int
    answers: int
    prompt_tokens: int
    completion_tokens: int
    measured_s: float
    cpu_percent: Level
    machine_cpu_percent: Level
    resident_mb: Level
    machine_memory_mb: Level
    read_mb: float | None
    written_mb: float | None
    gpus: list[GpuUse]
    energy_wh: float | None
    tokens_per_s: float | None
    tokens_per_joule: float | None
    first_token_s: Latency | None = None
    notes: list[str]
    curves: Curves


def summarise(paths: Iterable[Path]) -> Telemetry | None:
    """Sum up the telemetry files of an arm; ``None`` if no answer came while it was measured.

    Raises:
        UserError: a file cannot be read, or is no telemetry file.
    """
    attempts = [
        attempt
        for path in paths
        for attempt in read_attempts(path)
        if attempt.samples and attempt.samples[-1].answers
    ]
    if not attempts:
        return None
    last = [attempt.samples[-1] for attempt in attempts]
    seconds = sum(attempt.seconds for attempt in attempts)
    made = sum(sample.completion_tokens for sample in last)
    gpus = _gpus(attempts)
    energy = _sum([gpu.energy_wh for gpu in gpus])
    return Telemetry(
        attempts=len(attempts),
        answers=sum(sample.answers for sample in last),
        prompt_tokens=sum(sample.prompt_tokens for sample in last),
        completion_tokens=made,
        measured_s=round(seconds, 3),
        cpu_percent=_of_all(attempts, lambda sample: sample.cpu_percent),
        machine_cpu_percent=_of_all(attempts, lambda sample: sample.machine_cpu_percent),
        resident_mb=_of_all(attempts, lambda sample: sample.resident_mb),
        machine_memory_mb=_of_all(attempts, lambda sample: sample.machine_memory_mb),
        read_mb=_sum([sample.read_mb for sample in last]),
        written_mb=_sum([sample.written_mb for sample in last]),
        gpus=gpus,
        energy_wh=energy,
        tokens_per_s=_ratio(made, seconds),
        tokens_per_joule=None if energy is None else _ratio(made, energy * _J_PER_WH),
        first_token_s=Latency.of(
            [wait for each in attempts for sample in each.samples for wait in sample.first_token_s]
        ),
        notes=_notes(attempts),
        curves=_curves(attempts, seconds),
    )


def _steps(attempt: Attempt) -> Iterable[tuple[float, Sample]]:
    """Each sample with the seconds since the one before it: the time that it stands for."""
    before = 0.0
    for sample in attempt.samples:
        yield sample.at_s - before, sample
        before = sample.at_s


def _level(values: list[tuple[float, float]]) -> Level:
    """Mean, weighted by time, and peak of values that each stand for some seconds."""
    seconds = math.fsum(step for step, _ in values)
    whole = math.fsum(step * value for step, value in values)
    peak = max(value for _, value in values)
    return Level(mean=round(whole / seconds if seconds else peak, 3), peak=peak)


def _of_all(attempts: list[Attempt], value: Callable[[Sample], float]) -> Level:
    return _level([(step, value(sample)) for each in attempts for step, sample in _steps(each)])


def _gpus(attempts: list[Attempt]) -> list[GpuUse]:
    names = {
        gpu.index: gpu.name for attempt in attempts for gpu in attempt.machine.gpus
    }  # by the driver's number: those of one machine
    return [_gpu(attempts, index, name) for index, name in sorted(names.items())]


def _gpu(attempts: list[Attempt], index: int, name: str) -> GpuUse:
    looks = [
        (step, gpu)
        for attempt in attempts
        for step, sample in _steps(attempt)
        for gpu in sample.gpus
        if gpu.index == index
    ]

    def values(quantity: str) -> list[tuple[float, float]]:
        known = ((step, getattr(gpu, quantity)) for step, gpu in looks)
        return [(step, value) for step, value in known if value is not None]

    known = {each: values(each) for each in GpuSample.model_fields if each != "index"}
    joules = math.fsum(step * watts for step, watts in known["power_w"])
    return GpuUse(
        name=name,
        energy_wh=round(joules / _J_PER_WH, 6) if known["power_w"] else None,
        **{quantity: _level(found) for quantity, found in known.items() if found},
    )


def _curves(attempts: list[Attempt], seconds: float) -> Curves:
    """Cut the measured time into equal stretches and average the samples that end in each."""
    ends, steps, samples, tokens = [], [], [], []
    start = 0.0
    for attempt in attempts:
        counts = [0, *(sample.completion_tokens for sample in attempt.samples)]
        for (step, sample), (before, now) in zip(_steps(attempt), pairwise(counts), strict=True):
            ends.append(start + sample.at_s)
            steps.append(step)
            samples.append(sample)
            tokens.append(now - before)
        start += attempt.seconds
    count = max(1, min(POINTS, len(samples)))
    stretch = np.ceil(np.array(ends) * count / (seconds or 1.0)).astype(int).clip(1, count) - 1
    weight = np.bincount(stretch, steps, count)
    filled = weight > 0

    def mean(values: list[float]) -> list[float]:
        sums = np.bincount(stretch, np.array(values) * steps, count)
        return [round(float(each), 3) for each in sums[filled] / weight[filled]]

    def of_gpus(combine: Callable[[list[float]], float], quantity: str) -> list[float]:
        known = [[getattr(gpu, quantity) or 0.0 for gpu in sample.gpus] for sample in samples]
        return mean([combine(each) if each else 0.0 for each in known]) if any(known) else []

    def average(values: list[float]) -> float:
        return sum(values) / len(values)

    at = (np.arange(count) + 1) * seconds / count
    rates = np.bincount(stretch, tokens, count)[filled] / weight[filled]
    return Curves(
        at_s=[round(float(each), 3) for each in at[filled]],
        tokens_per_s=[round(float(each), 3) for each in rates],
        cpu_percent=mean([sample.cpu_percent for sample in samples]),
        machine_cpu_percent=mean([sample.machine_cpu_percent for sample in samples]),
        resident_mb=mean([sample.resident_mb for sample in samples]),
        gpu_utilisation_percent=of_gpus(average, "utilisation_percent"),
        gpu_memory_mb=of_gpus(sum, "memory_mb"),
        gpu_power_w=of_gpus(sum, "power_w"),
    )


def _notes(attempts: list[Attempt]) -> list[str]:
    notes = [
        note
        for attempt in attempts
        for note in (attempt.machine.note, *(sample.note for sample in attempt.samples))
        if note is not None
    ]
    return list(dict.fromkeys(notes))


def _sum(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(math.fsum(known), 6) if known else None


def _ratio(amount: float, of: float) -> float | None:
    return round(amount / of, 3) if of else None
