"""Tokens and latency of a trial, by condition: local_costs.json. Money is in costs.json."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.errors import command
from ..core.from_settings import write_from_settings
from ..core.records import RawLine
from .settings import CostSettings

SCHEMA_VERSION = 1


def costs(lines: list[RawLine]) -> dict[str, Any]:
    """Sums and latency quantiles over one arm's raw lines.

    Token sums are null if the engine reported none. ``latency_s`` is per request, in seconds;
    it is null for answers of batch jobs. ``requests_at_once`` is how many were in flight on
    average when a request was sent: with more of them, latency includes waiting for the others.
    """
    answered = [line for line in lines if line.error is None]
    tokens = {
        name: _sum([getattr(line.usage, name) for line in answered])
        for name in ("prompt_tokens", "completion_tokens", "total_tokens")
    }
    return {
        "requests": len(lines),
        "failed": len(lines) - len(answered),
        "truncated": sum(line.finish_reason == "length" for line in answered),
        **tokens,
        "latency_s": _latency([line.latency_s for line in answered if line.latency_s is not None]),
        "requests_at_once": _mean([line.at_once for line in answered if line.at_once is not None]),
        "total_latency_s": round(sum(line.latency_s or 0.0 for line in answered), 3),
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


def local_costs(settings: CostSettings) -> dict[str, Any]:
    """The whole of local_costs.json."""
    return {
        "schema_version": SCHEMA_VERSION,
        "by_condition": {
            condition: costs(list(arm.raw_lines()))
            for condition, arm in settings.parts.arms.items()
        },
    }


@command
def main() -> None:
    """Write local_costs.json of one trial."""
    write_from_settings(
        main.__doc__, CostSettings, local_costs, lambda settings: settings.parts.raw_files()
    )


if __name__ == "__main__":
    main()
