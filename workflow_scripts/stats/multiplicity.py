"""Correction for looking at many p values."""

from __future__ import annotations

from collections.abc import Sequence

from scipy import stats


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """q values of one family of tests, in the order given (Benjamini & Hochberg 1995).

    From the largest p value down, q_(i) = min(q_(i+1), p_(i) * m / i) over ranks i of m.
    """
    if not p_values:
        return []
    return [float(q) for q in stats.false_discovery_control(p_values, method="bh")]
