"""The estimates of one metric: the difference with its intervals, tests and effect sizes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from .effects import cliffs_delta, cohens_d, hodges_lehmann
from .intervals import (
    UNDEFINED,
    Interval,
    MeanDifference,
    Method,
    headline,
    intervals_of,
    is_trusted,
    mean_difference,
    naive_interval,
)
from .paired import wilcoxon_p
from .pairs import Pairs
from .resampling import bca_interval, bootstrap_sums, cluster_sums, join_units, sign_flip_p
from .scores import FloatArray
from .selective import Answers, SelectiveDifference
from .settings import Stats

Statistic = Callable[[FloatArray], FloatArray]
"""A statistic of sums (..., columns) over items, for many sets of items at once."""


@dataclass
class Estimate:
    """One metric under both arms; each number is explained in docs/statistics.md.

    ``ci_low`` and ``ci_high`` are those of ``intervals[ci_method]``. What belongs to a family of
    tests (``family``, ``p_holm``, ``q_value``) is filled in when all of its tests are known.
    ``n_differing``: clusters with any difference between the arms.
    """

    control_mean: float
    treatment_mean: float
    difference: float
    ci_low: float | None
    ci_high: float | None
    naive_ci_low: float | None
    naive_ci_high: float | None
    permutation_p: float
    wilcoxon_p: float | None
    hodges_lehmann: float
    cohens_d: float | None
    cliffs_delta: float
    q_value: float | None = None
    p_holm: float | None = None
    family: str | None = None
    permutation_p_increase: float | None = None
    permutation_p_decrease: float | None = None
    ci_method: Method | None = None
    ci_trusted: bool = True
    intervals: dict[str, Interval] = field(default_factory=dict)
    standard_error: float | None = None
    naive_standard_error: float | None = None
    degrees_of_freedom: float | None = None
    design_effect: float | None = None
    effective_n: float | None = None
    sampling_variance: float | None = None
    sampling_share: float | None = None
    n_differing: int | None = None


def is_binary(pairs: Pairs, metric: str) -> bool:
    """Whether all scores of a metric are 0 or 1: one sample an item, or samples that agree."""
    column = pairs.column(metric)
    values = np.concatenate([pairs.control[:, column], pairs.treatment[:, column]])
    return bool(((values == 0) | (values == 1)).all())


def estimates(
    pairs: Pairs,
    settings: Stats,
    means: Mapping[str, MeanDifference],
    answers: Sequence[Answers],
    most_permutations: int = 0,
    *,
    n_differing: int = 0,
) -> tuple[dict[str, Estimate], dict[str, SelectiveDifference]]:
    """The estimates of all metrics, and of the arms' ``answers`` if there are both (or none).

    Every random draw comes from the seed in ``settings``, and all numbers share the same ones.
    ``most_permutations``: see `sign_flip_p`. ``n_differing``: items whose answers differ.
    """
    if not pairs.metrics:
        return {}, {}
    differences = pairs.differences
    n_metrics = len(pairs.metrics)
    columns = [differences, np.ones((pairs.n_items, 1)), *(each.columns for each in answers)]
    bootstrap = Bootstrap(cluster_sums(np.concatenate(columns, axis=1), pairs.clusters), settings)
    p_values = sign_flip_p(
        differences,
        pairs.clusters,
        settings.permutation_samples,
        np.random.default_rng([settings.random_seed, 1]),
        most_permutations,
    )
    found: dict[str, Estimate] = {}
    for column, metric in enumerate(pairs.metrics):
        of_metric, mean = differences[:, column], means[metric]
        intervals = intervals_of(
            of_metric, mean, settings.confidence, binary=is_binary(pairs, metric)
        )
        intervals["bca"] = bootstrap.interval(_mean_of(column, n_metrics), mean.n_differing)
        naive = naive_interval(mean, settings.confidence).of_shares()
        method = headline(intervals, mean)
        chosen = intervals[method]
        variance, share = sampling(pairs, column)
        found[metric] = Estimate(
            control_mean=float(pairs.control[:, column].mean()),
            treatment_mean=float(pairs.treatment[:, column].mean()),
            difference=mean.mean,
            ci_low=chosen.low,
            ci_high=chosen.high,
            naive_ci_low=naive.low,
            naive_ci_high=naive.high,
            permutation_p=float(p_values.two_sided[column]),
            wilcoxon_p=wilcoxon_p(of_metric),
            hodges_lehmann=hodges_lehmann(of_metric),
            cohens_d=cohens_d(of_metric),
            cliffs_delta=cliffs_delta(pairs.control[:, column], pairs.treatment[:, column]),
            permutation_p_increase=float(p_values.increase[column]),
            permutation_p_decrease=float(p_values.decrease[column]),
            ci_method=method,
            ci_trusted=chosen.trusted,
            intervals=intervals,
            standard_error=mean.standard_error,
            naive_standard_error=mean.naive_standard_error,
            degrees_of_freedom=mean.freedom,
            design_effect=mean.design_effect,
            effective_n=mean.effective_n,
            sampling_variance=variance,
            sampling_share=share,
            n_differing=mean.n_differing,
        )
    if not answers:
        return found, {}
    return found, _selective_differences(answers, bootstrap, n_metrics, n_differing)


def _mean_of(column: int, count: int) -> Statistic:
    def mean(sums: FloatArray) -> FloatArray:
        means: FloatArray = sums[..., column] / sums[..., count]
        return means

    return mean


class Bootstrap:
    """BCa intervals of statistics of sums over clusters, all from the same replicates."""

    def __init__(self, totals: FloatArray, settings: Stats) -> None:
        """``totals`` are sums over each cluster, shape (clusters, columns)."""
        seed = settings.random_seed
        units = join_units(totals, np.random.default_rng([seed, 2]))
        self.sums = totals.sum(axis=0)
        self._n_clusters = len(totals)
        self._confidence = settings.confidence
        self._left_out = units.sum(axis=0) - units
        self._replicates = bootstrap_sums(
            units, settings.bootstrap_samples, np.random.default_rng([seed, 0])
        )

    def interval(self, statistic: Statistic, n_differing: int) -> Interval:
        """The interval of ``statistic``, a function of sums (..., columns)."""
        # One cluster drawn again and again has no spread, which is not certainty.
        if self._n_clusters < 2:
            return UNDEFINED
        ends = bca_interval(
            statistic(self._replicates),
            float(statistic(self.sums)),
            statistic(self._left_out),
            self._confidence,
        )
        if ends is None or np.isnan(ends).any():
            return UNDEFINED
        return Interval(*ends, is_trusted("bca", self._n_clusters, n_differing))


def _selective_differences(
    answers: Sequence[Answers], bootstrap: Bootstrap, n_metrics: int, n_differing: int
) -> dict[str, SelectiveDifference]:
    one, other = answers
    start = n_metrics + 1
    middle = start + one.columns.shape[1]

    def difference_of(name: str) -> Statistic:
        def value(sums: FloatArray) -> FloatArray:
            n = sums[..., n_metrics]
            of_one = getattr(one, name)(sums[..., start:middle], n)
            of_other = getattr(other, name)(sums[..., middle:], n)
            difference: FloatArray = of_other - of_one
            return difference

        return value

    found = {}
    for name in ("coverage", "risk", "aurc"):
        statistic = difference_of(name)
        value = float(statistic(bootstrap.sums))
        defined = not np.isnan(value)
        found[name] = SelectiveDifference(
            difference=value if defined else None,
            interval=bootstrap.interval(statistic, n_differing) if defined else UNDEFINED,
        )
    return found


def mean_differences(pairs: Pairs) -> dict[str, MeanDifference]:
    """The mean difference of each metric, with its cluster-robust standard error."""
    differences = pairs.differences
    return {
        metric: mean_difference(differences[:, column], pairs.clusters)
        for column, metric in enumerate(pairs.metrics)
    }


def sampling(pairs: Pairs, column: int) -> tuple[float | None, float | None]:
    """The variance component of sampled answers: over samples of an item, and its share.

    ``None`` for one sample per item. With K samples, an item's difference has the variance
    (between items) + v / K, where v is the variance over samples of both arms together; the
    share is the second part of the whole (one-way random effects; Searle, Casella & McCulloch
    1992).
    """
    k = pairs.samples_per_item
    if k < 2:
        return None, None
    within = float(pairs.sample_variance[:, column].mean())
    if pairs.n_items < 2:
        return within, None
    total = float(pairs.differences[:, column].var(ddof=1))
    return within, min(1.0, within / k / total) if total > 0 else None
