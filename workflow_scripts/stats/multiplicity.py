"""Correction for looking at many p values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """q values of one family of tests, in the order given (Benjamini & Hochberg 1995).

    From the largest p value down, q_(i) = min(q_(i+1), p_(i) * m / i) over ranks i of m.
    """
    m = len(p_values)
    order = np.argsort(p_values, kind="stable")
    scaled = np.asarray(p_values, dtype=np.float64)[order] * (m / np.arange(1, m + 1))
    adjusted = np.empty(m)
    adjusted[order] = np.minimum.accumulate(scaled[::-1])[::-1]
    return [float(q) for q in np.minimum(adjusted, 1.0)]


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p values of one family of tests, in the order given (Holm 1979).

    From the smallest p value up, adjusted_(i) = max(adjusted_(i-1), p_(i) * (m - i + 1)) over
    ranks i of m, at most 1.
    """
    order = np.argsort(p_values, kind="stable")
    steps = np.arange(len(order), 0, -1)
    adjusted = np.empty(len(order))
    adjusted[order] = np.maximum.accumulate(np.asarray(p_values, dtype=np.float64)[order] * steps)
    return [float(p) for p in np.minimum(adjusted, 1.0)]
