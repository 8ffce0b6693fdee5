"""Tokens and latency of an arm. Money is in costs.json."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core.records import Answer


def local_costs(rows: Sequence[Answer]) -> dict[str, Any]:
    """Sums and latency quantiles over one arm's requests: its block in local_costs.json.

    Token sums are null if the engine reported none. ``latency_s`` is per request, in seconds;
    it is null for answers of batch jobs. ``requests_at_once`` is how many were in flight on
    average when a request was sent: with more of them, latency includes waiting for the others.
    """
    answered = [row for row in rows if not row.failed]
    tokens = {
        name: _sum([getattr(row, name) for row in answered])
        for name in ("prompt_tokens", "completion_tokens", "total_tokens")
    }
    return {
        "requests": len(rows),
        "failed": len(rows) - len(answered),
        "truncated": sum(row.finish_reason == "length" for row in answered),
        **tokens,
        "latency_s": _latency([row.latency_s for row in answered if row.latency_s is not None]),
        "requests_at_once": _mean([row.at_once for row in answered if row.at_once is not None]),
        "total_latency_s": round(sum(row.latency_s or 0.0 for row in answered), 3),
    }


def _sum(counts: list[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _mean(counts: list[int]) -> float | None:
    return round(float(np.mean(counts)), 2) if counts else None


def _latency(seconds: list[float]) -> dict[str, float] | None:
    if not seconds:
        return None
    p50, p95 = np.quantile(seconds, [0.5, 0.95])
    return {
        "mean": round(float(np.mean(seconds)), 6),
        "p50": round(float(p50), 6),
        "p95": round(float(p95), 6),
    }
