"""Effect sizes: how large a difference is, on the metric's scale and on common ones."""

from __future__ import annotations

import numpy as np

from .pairs import DECIMALS
from .scores import FloatArray, IntArray

_ENUMERATED = 100_000
"""Pairs that are listed and sorted; above that many, bisection narrows them down first."""


def hodges_lehmann(differences: FloatArray, enumerated: int = _ENUMERATED) -> float:
    """Median of all Walsh averages (d_i + d_j) / 2 with i <= j (Hodges & Lehmann 1963).

    Exact for every n: equal differences are counted, not repeated, and where the distinct ones
    still make too many pairs, the middle ones are found by bisection on counts (after Monahan
    1984) in O(n log n) per step.
    """
    values, counts = np.unique(differences, return_counts=True)
    n_averages = len(differences) * (len(differences) + 1) // 2
    low, high = (
        _kth_pair_sum(values, counts.astype(np.int64), k, enumerated + 4 * len(values))
        for k in ((n_averages + 1) // 2, n_averages // 2 + 1)
    )
    return (low + high) / 4


def _kth_pair_sum(values: FloatArray, counts: IntArray, k: int, enumerated: int) -> float:
    """The k-th smallest (from 1) sum of two differences, each value standing ``counts`` times.

    For each value i, the partners that are still possible are the values from ``first[i]`` to
    before ``last[i]``, never before i itself; ``before`` pairs lie below all of them.
    """
    index = np.arange(len(values))
    cumulative = np.concatenate([[0], np.cumsum(counts)])
    first, last, before = index, np.full_like(index, len(values)), 0
    low, high = 2 * float(values[0]), 2 * float(values[-1])
    while (last - first).sum() > enumerated:
        middle = (low + high) / 2
        if not low < middle < high:
            return middle
        split = np.clip(np.searchsorted(values, middle - values, side="right"), first, last)
        pairs = counts * (cumulative[split] - cumulative[first])
        # A value pairs with itself in w (w + 1) / 2 ways, not in w * w.
        with_itself = (first == index) & (split > index)
        pairs[with_itself] -= (counts * (counts - 1) // 2)[with_itself]
        if before + pairs.sum() >= k:
            last, high = split, middle
        else:
            first, low, before = split, middle, before + int(pairs.sum())

    lengths = last - first
    one = np.repeat(index, lengths)
    other = np.arange(len(one)) + np.repeat(first - (np.cumsum(lengths) - lengths), lengths)
    weights = np.where(
        one == other, counts[one] * (counts[one] + 1) // 2, counts[one] * counts[other]
    )
    sums = values[one] + values[other]
    order = np.argsort(sums, kind="stable")
    reached = before + np.cumsum(weights[order])
    return float(sums[order[np.searchsorted(reached, k)]])


def cohens_d(differences: FloatArray) -> float | None:
    """d_z: mean of the differences over their standard deviation (n - 1); Cohen 1988, 2.3.5.

    ``None`` for one pair, or where all differences are equal.
    """
    if len(differences) < 2 or np.ptp(differences) == 0:
        return None
    return float(differences.mean() / differences.std(ddof=1))


def cliffs_delta(control: FloatArray, treatment: FloatArray) -> float:
    """P(treatment > control) - P(treatment < control) over all pairs of the two samples.

    From -1 to 1; Cliff 1993. The pairing of the items plays no part. O(n log n).
    """
    ordered = np.sort(np.round(control, DECIMALS))
    treated = np.round(treatment, DECIMALS)
    control_below = np.searchsorted(ordered, treated, side="left").sum()
    control_above = (len(ordered) - np.searchsorted(ordered, treated, side="right")).sum()
    return float((control_below - control_above) / (len(ordered) * len(treated)))
