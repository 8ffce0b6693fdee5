"""Whether a difference is small enough to count as none, or not worse than a margin."""

from __future__ import annotations

from dataclasses import dataclass

from ..core.metric import Better
from . import special
from .intervals import DiscordantPairs, MeanDifference, Method, Trust
from .scores import FloatArray

TRUST = {
    "score": Trust(clusters=30, differing=0, below="too narrow"),
    "cluster_t": Trust(clusters=30, differing=20, below="too narrow"),
}
"""Least data on which the tests keep their size, measured by benchmarks/stats_coverage.py.

More than the two-sided intervals need: in a rare, one-sided change one tail errs where both
together do not."""


@dataclass(frozen=True)
class Equivalence:
    """Tests against ``margin``; ``None`` where the statistic or a better direction is undefined.

    ``equivalent``: the difference lies within the margin on both sides. ``non_inferior``: the
    treatment is not worse than the control by the margin or more. ``method``: what the p values
    come from. ``trusted``: whether the tests keep their size on so many clusters (`TRUST`).
    """

    margin: float
    p_value: float | None
    equivalent: bool | None
    non_inferiority_p: float | None = None
    non_inferior: bool | None = None
    method: Method | None = None
    trusted: bool = False


def tost(
    better: Better,
    differences: FloatArray,
    mean: MeanDifference,
    margin: float,
    alpha: float,
    *,
    binary: bool,
) -> Equivalence:
    """Two one-sided tests of one metric's mean difference (Schuirmann 1987).

    p is the larger of the p values against "difference <= -margin" and ">= margin"; equivalent
    means p < alpha. The one on the side of the worse arm alone is the test of non-inferiority.
    Of a binary metric the statistics are Tango's score statistics (Tango 1998, made for this
    test), else t statistics with the cluster-robust standard error; degrees of freedom as in
    `workflow_scripts.stats.intervals`. Undefined for a single cluster, and without variation of a
    metric that is not binary.
    """
    error = mean.standard_error
    if error is None or (error == 0 and not binary):
        return Equivalence(margin, None, None)
    if binary:
        pairs = DiscordantPairs.of(differences, mean)
        freedom = pairs.freedom
        above, below = pairs.score_z(-margin), pairs.score_z(margin)
    else:
        freedom = mean.freedom
        above, below = (mean.mean + margin) / error, (mean.mean - margin) / error
    p_above = _t_tail(-above, freedom)  # against a difference of -margin or less
    p_below = _t_tail(below, freedom)
    p_value = max(p_above, p_below)
    one_sided = {"higher": p_above, "lower": p_below, "neither": None}[better]
    method: Method = "score" if binary else "cluster_t"
    least = TRUST[method]
    return Equivalence(
        margin=margin,
        p_value=p_value,
        equivalent=p_value < alpha,
        non_inferiority_p=one_sided,
        non_inferior=None if one_sided is None else one_sided < alpha,
        method=method,
        trusted=mean.n_clusters >= least.clusters and mean.n_differing >= least.differing,
    )


def _t_tail(t: float, freedom: float | None) -> float:
    """P(T <= t), of the normal distribution without degrees of freedom."""
    return float(special.ndtr(t) if freedom is None else special.stdtr(freedom, t))
