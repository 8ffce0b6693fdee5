"""Intervals of a mean paired difference, by item or by cluster, and where each can be trusted.

`intervals_of` gives all of them and `headline` picks the one to show, for every file and page.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from . import special
from .resampling import cluster_sums
from .roots import root
from .scores import FloatArray, IntArray

Method = Literal["score", "cluster_t"]


@dataclass(frozen=True)
class Interval:
    """The two ends, and whether the method keeps its level on data like these.

    ``trusted`` follows `is_trusted`; ``None`` ends are undefined for the data.
    """

    low: float | None
    high: float | None
    trusted: bool

    def of_shares(self) -> Interval:
        """Without the values beyond -1 and 1 that no difference of two shares can have."""
        if self.low is None or self.high is None:
            return self
        return Interval(max(self.low, -1.0), min(self.high, 1.0), self.trusted)


UNDEFINED = Interval(None, None, False)


@dataclass(frozen=True)
class Trust:
    """Least data on which an interval keeps its level; measured by benchmarks/stats_coverage.py.

    ``clusters``: clusters of the data. ``differing``: clusters with any difference between the
    arms. An item that shares nothing is a cluster of its own. ``below``: how the interval fails
    with less.

    The score interval asks for no differing clusters. It holds its level without, and a flag that
    waits for them picks the data sets that differ more than their kind: with n = 200, 2 % of
    items that differ and a true difference of 1 point it covers 0.952 of all data sets, and 0.905
    of the lucky third with 5 or more.
    """

    clusters: int
    differing: int
    below: Literal["too wide", "too narrow"]


TRUST = {
    "score": Trust(clusters=30, differing=0, below="too wide"),
    "cluster_t": Trust(clusters=5, differing=10, below="too narrow"),
    "bca": Trust(clusters=100, differing=20, below="too narrow"),
}


def is_trusted(method: str, n_clusters: int, n_differing: int) -> bool:
    """Whether an interval of ``method`` covers at its level on so many clusters."""
    least = TRUST[method]
    return n_clusters >= least.clusters and n_differing >= least.differing


@dataclass(frozen=True)
class MeanDifference:
    """A mean difference with its uncertainty, clustered and naive.

    ``standard_error``: cluster-robust (CR2), ``None`` for one cluster. ``freedom``: its
    Satterthwaite degrees of freedom. ``naive_standard_error``: as if items were independent.
    ``design_effect``: ratio of the two variances. ``n_differing``: clusters with any difference.
    """

    mean: float
    n_items: int
    n_clusters: int
    n_differing: int
    standard_error: float | None
    freedom: float | None
    naive_standard_error: float | None
    design_effect: float | None

    @property
    def effective_n(self) -> float | None:
        """How many independent items would tell as much."""
        return self.n_items / self.design_effect if self.design_effect else None


def mean_difference(differences: FloatArray, clusters: IntArray) -> MeanDifference:
    """Mean of ``differences`` (items,) with its cluster-robust standard error.

    CR2 (Bell & McCaffrey 2002) of an intercept-only regression, in closed form: with cluster
    sizes n_g, sums T_g and n items, V = sum_g (T_g - n_g mean)^2 / (1 - n_g / n) / n^2, and
    degrees of freedom n^2 / (sum n_g^2 + ((sum c)^2 - sum c^2) / n^2) with
    c_g = n_g^2 / (1 - n_g / n). Items as their own clusters give the paired t test.
    """
    n = len(differences)
    mean = float(differences.mean())
    sizes = np.bincount(clusters).astype(np.float64)
    n_differing = int(np.count_nonzero(np.bincount(clusters, differences != 0)))
    naive = float(differences.std(ddof=1)) / math.sqrt(n) if n > 1 else None
    if len(sizes) < 2:
        return MeanDifference(mean, n, len(sizes), n_differing, None, None, naive, None)
    residuals = cluster_sums((differences - mean)[:, np.newaxis], clusters)[:, 0]
    others = 1 - sizes / n
    variance = float((residuals**2 / others).sum()) / n**2
    spread = sizes**2 / others
    freedom = n**2 / ((sizes**2).sum() + (spread.sum() ** 2 - (spread**2).sum()) / n**2)
    return MeanDifference(
        mean=mean,
        n_items=n,
        n_clusters=len(sizes),
        n_differing=n_differing,
        standard_error=math.sqrt(variance),
        freedom=float(freedom),
        naive_standard_error=naive,
        design_effect=variance / naive**2 if naive else None,
    )


def t_quantile(freedom: float | None, probability: float) -> float:
    """Quantile of Student's t, of the normal distribution without degrees of freedom."""
    if freedom is None:
        return float(special.ndtri(probability))
    return float(special.stdtrit(freedom, probability))


def cluster_t_interval(of: MeanDifference, confidence: float) -> Interval:
    """Mean ± t · cluster-robust standard error."""
    if of.standard_error is None:
        return UNDEFINED
    half = t_quantile(of.freedom, (1 + confidence) / 2) * of.standard_error
    trusted = of.standard_error > 0 and is_trusted("cluster_t", of.n_clusters, of.n_differing)
    return Interval(of.mean - half, of.mean + half, trusted)


def naive_interval(of: MeanDifference, confidence: float) -> Interval:
    """Student's interval as if items were independent; never to be trusted where they are not."""
    if of.naive_standard_error is None:
        return UNDEFINED
    half = t_quantile(of.n_items - 1, (1 + confidence) / 2) * of.naive_standard_error
    trusted = of.n_clusters == of.n_items and is_trusted("cluster_t", of.n_items, of.n_differing)
    return Interval(of.mean - half, of.mean + half, trusted)


@dataclass(frozen=True)
class DiscordantPairs:
    """Counts behind a difference of paired proportions, as of independent items.

    Of clustered items the counts are divided by the design effect (never below 1) and quantiles
    are those of t with the cluster-robust ``freedom``; of independent items ``freedom`` is
    ``None`` for normal quantiles, and the counts are the plain ones.
    """

    only_control: float
    only_treatment: float
    n: float
    freedom: float | None

    @classmethod
    def of(cls, differences: FloatArray, mean: MeanDifference) -> DiscordantPairs:
        """Counts of differences that are -1, 0 or 1.

        Without any difference the design effect is unknown, and clusters count as one item each.
        """
        divisor, freedom = 1.0, None
        if mean.n_clusters < mean.n_items:
            freedom = mean.freedom
            divisor = (
                mean.n_items / mean.n_clusters
                if mean.design_effect is None
                else max(1.0, mean.design_effect)
            )
        return cls(
            only_control=np.count_nonzero(differences < 0) / divisor,
            only_treatment=np.count_nonzero(differences > 0) / divisor,
            n=len(differences) / divisor,
            freedom=freedom,
        )

    def score_z(self, difference: float) -> float:
        """Tango's score statistic of the hypothesis that the difference is ``difference``.

        z = (b - c - n d) / sqrt(n (2 q + d (1 - d))), where b and c count the pairs that only the
        treatment and only the control gets right, and q is the maximum-likelihood estimate of
        c's probability under the hypothesis (Tango 1998).
        """
        error = self.score_error(difference)
        distance = (self.only_treatment - self.only_control) / self.n - difference
        if error == 0:
            return 0.0 if distance == 0 else math.copysign(math.inf, distance)
        return distance / error

    def score_error(self, difference: float) -> float:
        """The standard error of the observed difference if the true one is ``difference``."""
        b, c, n = self.only_treatment, self.only_control, self.n
        linear = -b - c + (2 * n - b + c) * difference
        root = linear**2 + 8 * n * c * difference * (1 - difference)
        only_control = (math.sqrt(max(root, 0.0)) - linear) / (4 * n)
        return math.sqrt(max(0.0, (2 * only_control + difference * (1 - difference)) / n))

    def score_interval(self, confidence: float) -> tuple[float, float]:
        """All differences whose score statistic is within the quantiles (Tango 1998)."""
        return self.within(t_quantile(self.freedom, (1 + confidence) / 2))

    def within(self, quantile: float) -> tuple[float, float]:
        """All differences whose score statistic is within -``quantile`` and ``quantile``."""
        estimate = (self.only_treatment - self.only_control) / self.n
        return (
            self._solve(quantile, -1.0, estimate),
            self._solve(-quantile, estimate, 1.0),
        )

    def _solve(self, z: float, low: float, high: float) -> float:
        """The difference in [low, high] where the falling statistic passes ``z``."""

        def excess(difference: float) -> float:
            return max(-1e6, min(1e6, self.score_z(difference) - z))

        if excess(low) <= 0:
            return low
        if excess(high) >= 0:
            return high
        return root(excess, low, high, 1e-14)


def score_interval(differences: FloatArray, mean: MeanDifference, confidence: float) -> Interval:
    """Score interval of differences that are -1, 0 or 1; ``UNDEFINED`` for a single cluster."""
    if mean.n_clusters < 2:
        return UNDEFINED
    low, high = DiscordantPairs.of(differences, mean).score_interval(confidence)
    return Interval(low, high, is_trusted("score", mean.n_clusters, mean.n_differing))


def intervals_of(
    differences: FloatArray, mean: MeanDifference, confidence: float, *, binary: bool
) -> dict[str, Interval]:
    """The intervals that `headline` chooses from; ``binary``: all scores are 0 or 1."""
    found = {"cluster_t": cluster_t_interval(mean, confidence).of_shares()}
    # A metric that changed nowhere changed in at most as many items as the score interval of no
    # discordant item allows, whatever values it takes.
    if binary or mean.n_differing == 0:
        found["score"] = score_interval(differences, mean, confidence)
    return found


def headline(intervals: Mapping[str, Interval], mean: MeanDifference) -> Method:
    """Which of the intervals a reader should take, from the amount of data and not the result.

    The first that is trusted: of independent items the score interval before Student's t, of
    clusters the cluster-robust t interval before the score interval. If none is, the score
    interval where there is one, because it errs on the wide side.
    """
    independent = mean.n_clusters == mean.n_items
    order: tuple[Method, ...] = ("score", "cluster_t") if independent else ("cluster_t", "score")
    offered = [method for method in order if method in intervals]
    trusted = [method for method in offered if intervals[method].trusted]
    return trusted[0] if trusted else "score" if "score" in offered else "cluster_t"
