"""Paired ratios of amounts, such as tokens or seconds: treatment over control, on the log scale.

A difference of logarithms is the logarithm of a ratio, so the mean difference over items is that
of the geometric means. It gets the intervals and the test that differences of shares get.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from .estimates import Bootstrap
from .intervals import (
    UNDEFINED,
    Interval,
    MeanDifference,
    Method,
    Trust,
    cluster_t_interval,
    headline,
    mean_difference,
)
from .paired import wilcoxon_p
from .pairs import DECIMALS, Pairs, numbered
from .power import power_of
from .resampling import cluster_sums, sign_flip_p
from .scores import ArmScores, FloatArray, IntArray
from .settings import Stats

TRUST = {
    "cluster_t": Trust(clusters=50, differing=50, below="too narrow"),
    "bca": Trust(clusters=100, differing=100, below="too narrow"),
}
"""Least data on which the intervals keep their level, measured by benchmarks/stats_amounts.py.

More than differences of shares need: shares have limits, and log ratios may be far more skewed."""

_LARGEST = 700.0
"""Logarithms beyond this have no exponential that a number can hold."""


@dataclass
class AmountEstimate:
    """One amount under both arms; each number is explained in docs/statistics.md.

    ``control_mean`` and ``treatment_mean`` are geometric means in the amount's unit, over the
    ``n_items`` that have a value under both arms; ``n_unmeasured`` have not. ``ratio`` is the
    second over the first, and so are ``ci_low``, ``ci_high`` and the ends of ``intervals``.
    ``standard_error`` is that of ``log_ratio``. ``None`` is undefined, or beyond what a number can
    hold. What belongs to a family of tests is filled in when all of its tests are known.
    ``n_differing``: clusters with any difference between the arms.
    """

    control_mean: float
    treatment_mean: float
    ratio: float | None
    log_ratio: float
    ci_low: float | None
    ci_high: float | None
    permutation_p: float
    permutation_p_increase: float
    permutation_p_decrease: float
    wilcoxon_p: float | None
    n_items: int
    n_unmeasured: int
    n_clusters: int
    ci_method: Method
    ci_trusted: bool
    intervals: dict[str, Interval] = field(default_factory=dict)
    standard_error: float | None = None
    degrees_of_freedom: float | None = None
    design_effect: float | None = None
    family: str | None = None
    p_holm: float | None = None
    q_value: float | None = None
    n_differing: int | None = None


@dataclass(frozen=True)
class AmountPower:
    """The smallest ratio above 1 (or its inverse) that a design like this can detect.

    As `workflow_scripts.stats.power.Power`, on the log scale: ``standard_error`` is that of the
    ratio's logarithm. ``smallest_detectable_ratio`` is ``None`` beyond what a number can hold.
    """

    n_items: int
    n_clusters: int
    standard_error: float
    design_effect: float | None
    alpha: float
    power: float
    smallest_detectable_ratio: float | None
    trusted: bool


@dataclass(frozen=True)
class LogValues:
    """The logarithms of an amount on the items that have a value under both arms.

    ``control``, ``treatment`` and ``clusters`` have an element per item; ``n_unmeasured`` further
    items have no value under one arm, or under both.
    """

    control: FloatArray
    treatment: FloatArray
    clusters: IntArray
    n_unmeasured: int

    @property
    def differences(self) -> FloatArray:
        """The logarithms of the items' ratios, shape (items,)."""
        return np.round(self.treatment - self.control, DECIMALS)


def log_values(pairs: Pairs) -> dict[str, LogValues]:
    """Return each amount's logarithms; without those that no item has under both arms."""
    found = {}
    for name, values in pairs.amounts.items():
        measured = ~np.isnan(values).any(axis=1)
        if measured.any():
            control, treatment = np.log(values[measured]).T
            clusters = numbered(pairs.clusters[measured])
            found[name] = LogValues(control, treatment, clusters, int((~measured).sum()))
    return found


def amount_estimates(
    values: Mapping[str, LogValues], settings: Stats, most_permutations: int = 0
) -> tuple[dict[str, AmountEstimate], dict[str, MeanDifference]]:
    """Return the estimate of each amount, and its mean difference of logarithms.

    Every random draw comes from the seed in ``settings``; ``most_permutations``: see
    `sign_flip_p`.
    """
    means = {
        name: mean_difference(each.differences, each.clusters) for name, each in values.items()
    }
    found = {
        name: _estimate(each, means[name], settings, most_permutations)
        for name, each in values.items()
    }
    return found, means


def _estimate(
    values: LogValues, mean: MeanDifference, settings: Stats, most_permutations: int
) -> AmountEstimate:
    differences = values.differences
    columns = np.stack([differences, np.ones(len(differences))], axis=1)
    bootstrap = Bootstrap(cluster_sums(columns, values.clusters), settings)
    on_logs = {
        "cluster_t": cluster_t_interval(mean, settings.confidence),
        "bca": bootstrap.interval(lambda sums: sums[..., 0] / sums[..., 1], mean.n_differing),
    }
    intervals = {method: _ratios(each, method, mean) for method, each in on_logs.items()}
    method = headline(intervals, mean)
    p_values = sign_flip_p(
        differences[:, np.newaxis],
        values.clusters,
        settings.permutation_samples,
        np.random.default_rng([settings.random_seed, 1]),
        most_permutations,
    )
    return AmountEstimate(
        control_mean=math.exp(float(values.control.mean())),
        treatment_mean=math.exp(float(values.treatment.mean())),
        ratio=exponential(mean.mean),
        log_ratio=mean.mean,
        ci_low=intervals[method].low,
        ci_high=intervals[method].high,
        permutation_p=float(p_values.two_sided[0]),
        permutation_p_increase=float(p_values.increase[0]),
        permutation_p_decrease=float(p_values.decrease[0]),
        wilcoxon_p=wilcoxon_p(differences),
        n_items=mean.n_items,
        n_unmeasured=values.n_unmeasured,
        n_clusters=mean.n_clusters,
        ci_method=method,
        ci_trusted=intervals[method].trusted,
        intervals=intervals,
        standard_error=mean.standard_error,
        degrees_of_freedom=mean.freedom,
        design_effect=mean.design_effect,
        n_differing=mean.n_differing,
    )


def _ratios(interval: Interval, method: str, mean: MeanDifference) -> Interval:
    """An interval of a mean log ratio as one of the ratio."""
    low, high = exponential(interval.low), exponential(interval.high)
    if low is None or high is None:
        return UNDEFINED
    least = TRUST[method]
    enough = mean.n_clusters >= least.clusters and mean.n_differing >= least.differing
    return Interval(low, high, interval.trusted and enough)


def ratio_interval(mean: MeanDifference, confidence: float) -> Interval:
    """Return the cluster-robust t interval of a ratio, from the mean of its logarithms."""
    return _ratios(cluster_t_interval(mean, confidence), "cluster_t", mean)


def exponential(logarithm: float | None) -> float | None:
    """Return a number from its logarithm; ``None`` beyond what a number can hold."""
    if logarithm is None or abs(logarithm) > _LARGEST:
        return None
    return math.exp(logarithm)


def amount_power(mean: MeanDifference, alpha: float, power: float) -> AmountPower | None:
    """Return the power of the test of a ratio; ``None`` as for `power_of`.

    Args:
        mean: the mean difference of logarithms.
        alpha: level of the two-sided test.
        power: how often it should find the ratio.
    """
    found = power_of(mean, alpha, power, ())
    if found is None:
        return None
    return AmountPower(
        n_items=found.n_items,
        n_clusters=found.n_clusters,
        standard_error=found.standard_error,
        design_effect=found.design_effect,
        alpha=found.alpha,
        power=found.power,
        smallest_detectable_ratio=exponential(found.smallest_detectable),
        trusted=found.trusted,
    )


def without_ratio(arm: ArmScores, keys: Sequence[str]) -> Iterator[tuple[str, str, float]]:
    """Yield the values of amounts that have no logarithm: item, amount and value.

    Args:
        arm: the scores of one condition.
        keys: of the items in the `ItemTable`.
    """
    for column, metric in enumerate(arm.metrics):
        if metric.kind == "amount":
            for row in np.flatnonzero(arm.scores[:, column] <= 0):
                value = float(arm.scores[row, column])
                yield keys[arm.items[row]], metric.name, value
