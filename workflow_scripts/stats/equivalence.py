"""Two one-sided tests: whether a difference is small enough to count as none."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from .pairs import FloatArray, IntArray
from .resampling import cluster_sums


@dataclass(frozen=True)
class Equivalence:
    """Result of the two one-sided tests against ``margin``; ``None`` where t is undefined."""

    margin: float
    p_value: float | None
    equivalent: bool | None


def tost(differences: FloatArray, clusters: IntArray, margin: float, alpha: float) -> Equivalence:
    """Two one-sided t tests of one metric's mean difference (Schuirmann 1987).

    p is the larger of the p values against "difference <= -margin" and ">= margin"; equivalent
    means p < alpha. The standard error is cluster-robust with G - 1 degrees of freedom for G
    clusters, which is the paired t test's where every item is its own cluster. ``None`` with
    fewer than two clusters or no variation between them.
    """
    n, n_clusters = len(differences), int(clusters.max()) + 1
    mean = float(differences.mean())
    residuals = cluster_sums((differences - mean)[:, np.newaxis], clusters)
    if n_clusters < 2 or not residuals.any():
        return Equivalence(margin, None, None)
    standard_error = math.sqrt(n_clusters / (n_clusters - 1) * float((residuals**2).sum())) / n
    freedom = n_clusters - 1
    p_value = max(
        float(stats.t.sf((mean + margin) / standard_error, freedom)),
        float(stats.t.cdf((mean - margin) / standard_error, freedom)),
    )
    return Equivalence(margin, p_value, p_value < alpha)
