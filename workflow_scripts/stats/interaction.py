"""Whether an effect differs between two parts of the items: the difference of two differences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from .intervals import MeanDifference
from .resampling import cluster_sums
from .scores import BoolArray, FloatArray, IntArray


def interaction(
    differences: FloatArray, clusters: IntArray, second: BoolArray
) -> MeanDifference | None:
    """Mean of ``differences`` in the second part minus that in the first, cluster-robust.

    A cluster may have items of both parts, and then they depend on each other across the parts.
    CR2 (Bell & McCaffrey 2002) of a regression on the two parts, in closed form: with n_k items in
    part k, of them n_gk in cluster g with residuals that sum to R_gk, and s_gk² = 1 - n_gk / n_k,
    V = sum_g (R_g2 / (n_2 s_g2) - R_g1 / (n_1 s_g1))². The degrees of freedom are Satterthwaite's
    for independent items of equal variance, as in `mean_difference`.

    Args:
        differences: of the items, shape (items,).
        clusters: of the items, numbered from 0.
        second: which items are in the second part; all others are in the first.

    Returns:
        ``n_clusters`` and ``n_differing`` are those of the part that has fewer. ``None`` where a
        part has less than two clusters.
    """
    first, other = (_Part.of(differences, clusters, part) for part in (~second, second))
    if min(first.n_clusters, other.n_clusters) < 2:
        return None
    return MeanDifference(
        mean=other.mean - first.mean,
        n_items=len(differences),
        n_clusters=min(first.n_clusters, other.n_clusters),
        n_differing=min(first.n_differing, other.n_differing),
        standard_error=float(np.sqrt(((other.scores() - first.scores()) ** 2).sum())),
        freedom=_freedom(first, other),
        naive_standard_error=None,
        design_effect=None,
    )


@dataclass(frozen=True)
class _Part:
    """One part of the items; ``sizes`` and ``residuals`` are sums by cluster."""

    mean: float
    n: int
    n_clusters: int
    n_differing: int
    sizes: FloatArray
    residuals: FloatArray

    @classmethod
    def of(cls, differences: FloatArray, clusters: IntArray, part: BoolArray) -> Self:
        """Of the items in ``part``."""
        chosen, codes, n_all = differences[part], clusters[part], int(clusters.max()) + 1
        sizes = np.bincount(codes, minlength=n_all).astype(np.float64)
        mean = float(chosen.mean()) if len(chosen) else 0.0
        return cls(
            mean=mean,
            n=len(chosen),
            n_clusters=int(np.count_nonzero(sizes)),
            n_differing=len(np.unique(codes[chosen != 0])),
            sizes=sizes,
            residuals=np.bincount(codes, chosen - mean, minlength=n_all).astype(np.float64),
        )

    def scores(self) -> FloatArray:
        """By cluster, R_g / (n s_g)."""
        scores: FloatArray = self.residuals / (self.n * np.sqrt(1 - self.sizes / self.n))
        return scores

    def leverages(self) -> FloatArray:
        """By cluster, n_g / (n s_g)."""
        leverages: FloatArray = self.sizes / (self.n * np.sqrt(1 - self.sizes / self.n))
        return leverages


def _freedom(first: _Part, second: _Part) -> float:
    """tr(P)² / tr(P²), where P has the products of the clusters' weights in the estimate.

    With x and y for the `leverages` of the parts: p_gg = n_g1 / n_1² + n_g2 / n_2², and
    p_gh = -(x_g x_h / n_1 + y_g y_h / n_2).
    """
    diagonal = first.sizes / first.n**2 + second.sizes / second.n**2
    x, y = first.leverages(), second.leverages()
    beside = sum(
        ((one * other).sum() ** 2 - (one**2 * other**2).sum()) / (n * m)
        for one, n in ((x, first.n), (y, second.n))
        for other, m in ((x, first.n), (y, second.n))
    )
    return float((1 / first.n + 1 / second.n) ** 2 / ((diagonal**2).sum() + beside))


def interaction_sums(differences: FloatArray, clusters: IntArray, second: BoolArray) -> FloatArray:
    """The parts of the clusters in an interaction, whose signs change under the null hypothesis.

    Where the effect is the same in both parts, an item's deviation from the common mean is as
    likely positive as negative. The sum over clusters is n times the interaction, whatever the
    common mean (the wild bootstrap with the null imposed; Cameron, Gelbach & Miller 2008).

    Returns:
        Shape (clusters,).
    """
    n = len(differences)
    weights = np.where(second, n / second.sum(), -n / (~second).sum())
    return cluster_sums((weights * (differences - differences.mean()))[:, np.newaxis], clusters)[
        :, 0
    ]
