"""Bootstrap intervals and permutation p values of mean differences, by cluster.

Items of one cluster (questions on one passage) are not independent, so clusters are what is
resampled and what changes sign, each as a whole. All metrics share the same draws.

Above `MOST_UNITS` clusters, clusters are joined at random into that many units. Units of
independent clusters are independent, so bootstrap and test stay valid, and their cost no longer
grows with the data.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from . import special
from .scores import FloatArray, IntArray
from .settings import Stats

MOST_UNITS = 20_000
"""The bootstrap's standard error then has a relative error of 0.5 %, as with 20,000 draws."""

FEW_UNITS = 256
"""Of one of many tests. A t test at 5 % with so many units has 0.997 of the power of more."""

_FEW_REACHED = 10
"""With fewer patterns that reach the observed mean, a p value is coarse: its relative error is
1 / sqrt(patterns)."""

_ROUNDING = 12
_CHUNK = 400_000
"""Random draws held at once: bounds memory, and fits in processor caches."""


def cluster_sums(values: FloatArray, clusters: IntArray) -> FloatArray:
    """Sums of ``values`` (items, columns) over each cluster, shape (clusters, columns)."""
    n_clusters = int(clusters.max()) + 1
    if n_clusters == len(clusters):
        sums = np.empty_like(values)
        sums[clusters] = values
    else:
        columns = (np.bincount(clusters, column, minlength=n_clusters) for column in values.T)
        sums = np.column_stack(list(columns))
    return np.round(sums, _ROUNDING)


def join_units(totals: FloatArray, rng: np.random.Generator, most: int | None = None) -> FloatArray:
    """At most ``most`` rows (`MOST_UNITS`): of more clusters, random groups of equal size."""
    most = most or MOST_UNITS
    if len(totals) <= most:
        return totals
    return cluster_sums(totals, rng.permutation(len(totals)) % most)


def bootstrap_sums(totals: FloatArray, samples: int, rng: np.random.Generator) -> FloatArray:
    """Sums of ``samples`` bootstrap replicates, shape (samples, columns).

    A replicate draws as many clusters as there are, with replacement, and adds up their rows of
    ``totals`` (clusters, columns); statistics of the sums are then bootstrap replicates (Davison &
    Hinkley 1997, section 3.8). Clusters that are single items make it the ordinary bootstrap.
    """
    n_units = len(totals)
    replicates = np.empty((samples, totals.shape[1]))
    step = max(1, _CHUNK // n_units)
    times = np.empty((step, n_units))
    for start in range(0, samples, step):
        rows = min(step, samples - start)
        drawn = rng.integers(n_units, size=(rows, n_units))
        for row in range(rows):
            times[row] = np.bincount(drawn[row], minlength=n_units)
        replicates[start : start + rows] = times[:rows] @ totals
    return replicates


def bca_interval(
    replicates: FloatArray, estimate: float, left_out: FloatArray, confidence: float
) -> tuple[float, float] | None:
    """Bias-corrected and accelerated interval of one statistic (Efron 1987).

    Args:
        replicates: the statistic of each bootstrap replicate.
        estimate: the statistic of the data.
        left_out: the statistic without each of the clusters in turn (the jackknife).
        confidence: the level.

    Returns:
        ``None`` for one cluster, and where the replicates do not vary or all lie on one side of
        the estimate.
    """
    if len(left_out) < 2:
        return None
    # Equal sums that were added in different orders must compare as equal.
    tolerance = 1e-12 * (1 + abs(estimate))
    below = np.count_nonzero(replicates < estimate - tolerance)
    ties = np.count_nonzero(np.abs(replicates - estimate) <= tolerance)
    share = (below + ties / 2) / len(replicates)
    deviations = left_out.mean() - left_out
    squares = float((deviations**2).sum())
    if not 0 < share < 1 or not squares > tolerance**2:
        return None
    acceleration = float((deviations**3).sum()) / (6 * squares**1.5)
    tail = (1 - confidence) / 2
    shifted = float(special.ndtri(share)) + special.ndtri(np.array([tail, 1 - tail]))
    slowed = 1 - acceleration * shifted
    if (slowed <= 0).any():
        return None
    quantiles = special.ndtr(float(special.ndtri(share)) + shifted / slowed)
    low, high = np.quantile(replicates, quantiles)
    return float(low), float(high)


def permutations_for(tests: int, stats: Stats) -> int:
    """Sign patterns that tell p values apart after correction for all tests of a family.

    A Holm-adjusted p can be no smaller than the number of tests over the number of patterns; this
    makes it a tenth of the level at most.
    """
    declared = stats.registration
    alpha = min(1 - stats.confidence, declared.alpha if declared else 1.0)
    return math.ceil(10 * tests / alpha)


class PermutationP(NamedTuple):
    """p values of one permutation test per column: two-sided, and of each direction."""

    two_sided: FloatArray
    increase: FloatArray
    decrease: FloatArray


def sign_flip_p(
    differences: FloatArray,
    clusters: IntArray,
    samples: int,
    rng: np.random.Generator,
    most: int = 0,
) -> PermutationP:
    """Permutation p values of the mean differences (items, metrics), shape (metrics,) each.

    Under the null hypothesis the arms' labels mean nothing, so each cluster's differences may
    change sign together. With so few clusters that all sign patterns are no more than ``samples``,
    all are tried and p is exact. Otherwise p = (b + 1) / (samples + 1), where b counts the random
    patterns whose (absolute) mean is at least the observed one: the observed arrangement counts
    too, so p is never 0 (Phipson & Smyth 2010).

    Where fewer than `_FEW_REACHED` of ``samples`` patterns reach the observed mean, p is taken
    from ``most`` patterns instead, if those are more: p values that are corrected for many tests
    need a finer grid. The test keeps its level: a p value below the limit comes from ``most``
    patterns alone, and one above it would have been below it with ``samples``.
    """
    totals = cluster_sums(differences, clusters)
    # Clusters without any difference add nothing whatever their sign.
    totals = join_units(totals[np.any(totals != 0, axis=1)], rng)
    found = _sign_flips(totals, samples, rng)
    small = np.flatnonzero(found.min(axis=0) <= _FEW_REACHED / (samples + 1))
    if most > samples and len(small):
        found[:, small] = _sign_flips(totals[:, small], most, rng)
    return PermutationP(*found)


def _sign_flips(totals: FloatArray, samples: int, rng: np.random.Generator) -> FloatArray:
    """p values of the sums of ``totals`` (clusters, columns), shape (3, columns)."""
    n_units, n_columns = totals.shape
    observed = totals.sum(axis=0)
    # Equal sums that were added in different orders must compare as equal.
    slack = 1e-12 * (1 + np.abs(totals).sum(axis=0))
    exact = n_units < 63 and 2**n_units <= samples
    patterns = 2**n_units if exact else samples
    at_least = np.zeros((3, n_columns), dtype=np.int64)
    step = max(1, _CHUNK // max(1, n_units, n_columns // 16))
    for start in range(0, patterns, step):
        rows = min(step, patterns - start)
        if exact:
            numbers = np.arange(start, start + rows)[:, np.newaxis]
            kept = ((numbers >> np.arange(n_units)) & 1).astype(np.float64)
        else:
            bits = np.frombuffer(rng.bytes(-(-rows * n_units // 8)), dtype=np.uint8)
            flat = np.unpackbits(bits, count=rows * n_units).astype(np.float64)
            kept = flat.reshape(rows, n_units)
        # Signs of +1 and -1 are 2 * kept - 1.
        sums = 2 * (kept @ totals) - observed
        at_least += [
            np.count_nonzero(np.abs(sums) >= np.abs(observed) - slack, axis=0),
            np.count_nonzero(sums >= observed - slack, axis=0),
            np.count_nonzero(sums <= observed + slack, axis=0),
        ]
    p_values: FloatArray = at_least / patterns if exact else (at_least + 1) / (patterns + 1)
    return p_values


def sign_flip_p_of_many(
    tests: Sequence[FloatArray], samples: int, rng: np.random.Generator, most: int
) -> list[float]:
    """Two-sided p values of many tests, as in `sign_flip_p`, which share the random patterns.

    Args:
        tests: for each test its sums over clusters, shape (clusters,), joined to `FEW_UNITS`.
        samples: random patterns; all patterns of a test with no more are counted.
        rng: where they come from.
        most: patterns of those tests whose p value is coarse.
    """
    found = np.ones(len(tests))
    many = []
    for number, sums in enumerate(tests):
        if len(sums) < 63 and 2 ** len(sums) <= samples:
            found[number] = _sign_flips(sums[:, np.newaxis], samples, rng)[0, 0]
        else:
            many.append(number)
    totals = np.zeros((FEW_UNITS, len(many)))  # a unit without a difference changes nothing
    for column, number in enumerate(many):
        totals[: len(tests[number]), column] = tests[number]
    if many:
        p_values = _sign_flips(totals, samples, rng)[0]
        small = np.flatnonzero(p_values <= _FEW_REACHED / (samples + 1))
        if most > samples and len(small):
            p_values[small] = _sign_flips(totals[:, small], most, rng)[0]
        found[many] = p_values
    return [float(p) for p in found]


def units_of(sums: FloatArray, seed: int) -> FloatArray:
    """Sums over clusters, shape (clusters,), without zeros, joined to `FEW_UNITS` at most."""
    differing = sums[sums != 0][:, np.newaxis]
    return join_units(differing, np.random.default_rng([seed, 2]), FEW_UNITS)[:, 0]
