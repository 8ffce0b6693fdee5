"""A share of independent cases, counted."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CountedShare:
    """``count`` of ``n`` cases with Wilson's score interval; ``None`` without a case."""

    count: int
    n: int
    share: float | None
    ci_low: float | None
    ci_high: float | None


def counted_share(count: int, n: int, confidence: float) -> CountedShare:
    """Return a share with its interval (Wilson 1927)."""
    if not n:
        return CountedShare(count, n, None, None, None)
    from scipy.stats import binomtest

    interval = binomtest(count, n).proportion_ci(confidence, method="wilson")
    return CountedShare(count, n, count / n, float(interval.low), float(interval.high))
