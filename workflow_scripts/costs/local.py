"""Tokens and latency of an arm. Money is in costs.json."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from ..core.records import Answer
from ..telemetry.summary import Latency, summarise
from .records import ArmTimes


def arm_times(rows: Sequence[Answer], telemetry: Iterable[Path]) -> ArmTimes:
    """Sums and latency quantiles over one arm's requests, and what its machine did meanwhile.

    Args:
        rows: all answers of the arm.
        telemetry: the files of its parts, where it is measured.
    """
    answered = [row for row in rows if not row.failed]
    return ArmTimes(
        requests=len(rows),
        failed=len(rows) - len(answered),
        truncated=sum(row.finish_reason == "length" for row in answered),
        prompt_tokens=_sum([row.prompt_tokens for row in answered]),
        completion_tokens=_sum([row.completion_tokens for row in answered]),
        total_tokens=_sum([row.total_tokens for row in answered]),
        cut_while_thinking=sum(
            row.finish_reason == "length" and not row.response_text and bool(row.thought_tokens)
            for row in answered
        ),
        thought_tokens=_sum([row.thought_tokens for row in answered]),
        latency_s=Latency.of([row.latency_s for row in answered if row.latency_s is not None]),
        requests_at_once=_mean([row.at_once for row in answered if row.at_once is not None]),
        total_latency_s=round(sum(row.latency_s or 0.0 for row in answered), 3),
        telemetry=summarise(telemetry),
    )


def _sum(counts: list[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _mean(counts: list[int]) -> float | None:
    return round(float(np.mean(counts)), 2) if counts else None
