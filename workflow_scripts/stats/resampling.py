"""Bootstrap intervals and permutation p values of mean differences, by cluster.

Items of one cluster (questions on one passage) are not independent, so clusters are what is
resampled and what changes sign, each as a whole. All metrics share the same draws.
"""

from __future__ import annotations

import numpy as np

from .pairs import DECIMALS, FloatArray, IntArray

_CHUNK = 2_000_000
"""Random draws held at once: bounds memory, and fits in processor caches."""


def cluster_sums(values: FloatArray, clusters: IntArray) -> FloatArray:
    """Sums of ``values`` (items, metrics) over each cluster, shape (clusters, metrics)."""
    sums = np.zeros((int(clusters.max()) + 1, values.shape[1]))
    np.add.at(sums, clusters, values)
    return np.round(sums, DECIMALS)


def bootstrap_means(
    differences: FloatArray, clusters: IntArray, samples: int, rng: np.random.Generator
) -> FloatArray:
    """Mean differences of ``samples`` bootstrap replicates, shape (samples, metrics).

    A replicate draws as many clusters as there are, with replacement, and takes the mean over
    all their items (Davison & Hinkley 1997, section 3.8). Clusters that are single items make it
    the ordinary bootstrap.
    """
    sizes = np.bincount(clusters).astype(np.float64)
    totals = np.column_stack([cluster_sums(differences, clusters), sizes])
    n_clusters = len(totals)
    replicates = np.empty((samples, totals.shape[1]))
    step = max(1, _CHUNK // n_clusters)
    for start in range(0, samples, step):
        rows = min(step, samples - start)
        drawn = rng.integers(n_clusters, size=(rows, n_clusters))
        drawn += n_clusters * np.arange(rows)[:, np.newaxis]
        times = np.bincount(drawn.ravel(), minlength=rows * n_clusters).astype(np.float64)
        replicates[start : start + rows] = times.reshape(rows, n_clusters) @ totals
    return replicates[:, :-1] / replicates[:, -1:]


def percentile_interval(replicates: FloatArray, confidence: float) -> tuple[FloatArray, FloatArray]:
    """Lower and upper ends per metric of the percentile interval (Efron & Tibshirani 1993)."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(replicates, [tail, 1 - tail], axis=0)
    return low, high


def sign_flip_p(
    differences: FloatArray, clusters: IntArray, samples: int, rng: np.random.Generator
) -> FloatArray:
    """Two-sided permutation p values of the mean differences, shape (metrics,).

    Under the null hypothesis the arms' labels mean nothing, so each cluster's differences may
    change sign together. p = (b + 1) / (samples + 1), where b counts the random sign patterns
    whose absolute mean is at least the observed one: the observed arrangement counts too, so p
    is never 0 (Phipson & Smyth 2010).
    """
    totals = cluster_sums(differences, clusters)
    # Clusters without any difference add nothing whatever their sign.
    totals = totals[np.any(totals != 0, axis=1)]
    observed = np.abs(totals.sum(axis=0))
    # Equal sums that were added in different orders must compare as equal.
    least = observed - 1e-12 * (1 + np.abs(totals).sum(axis=0))
    n_clusters = len(totals)
    at_least = np.zeros(totals.shape[1], dtype=np.int64)
    step = max(1, _CHUNK // max(1, n_clusters))
    for start in range(0, samples, step):
        rows = min(step, samples - start)
        bits = np.frombuffer(rng.bytes(-(-rows * n_clusters // 8)), dtype=np.uint8)
        kept = np.unpackbits(bits, count=rows * n_clusters).reshape(rows, n_clusters)
        # Signs of +1 and -1 are 2 * kept - 1.
        sums = 2 * (kept.astype(np.float64) @ totals) - totals.sum(axis=0)
        at_least += np.count_nonzero(np.abs(sums) >= least, axis=0)
    p_values: FloatArray = (at_least + 1) / (samples + 1)
    return p_values
