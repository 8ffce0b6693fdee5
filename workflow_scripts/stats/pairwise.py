"""Many comparisons at a time, of which effect, interval and p value are wanted, and no more.

The intervals are those that significance.json leads with. The tests share their random sign
patterns, so that thousands of them take seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from .amounts import exponential, log_values, ratio_interval
from .comparison import margins
from .equivalence import Equivalence, tost
from .estimates import is_binary
from .interaction import interaction, interaction_sums
from .intervals import (
    Interval,
    MeanDifference,
    Method,
    cluster_t_interval,
    headline,
    intervals_of,
    mean_difference,
)
from .multiplicity import benjamini_hochberg
from .pairs import Pairs
from .resampling import cluster_sums, permutations_for, sign_flip_p_of_many, units_of
from .scores import BoolArray, FloatArray, IntArray
from .settings import Stats


@dataclass(frozen=True)
class Effect:
    """One metric in one comparison.

    ``first`` and ``second`` are the arms' means, of an interaction the effects in both parts of
    the items; ``size`` is second minus first. Of an amount (``is_share`` is false) the means are
    geometric, and effects and ``size`` are ratios; ``None`` is beyond what a number can hold.
    ``equivalence`` where the metric has a margin. ``units``: the sums whose signs the permutation
    test changes.
    """

    metric: str
    is_share: bool
    first: float | None
    second: float | None
    size: float | None
    interval: Interval
    method: Method
    n_items: int
    n_clusters: int
    equivalence: Equivalence | None
    units: FloatArray


def differences(pairs: Pairs, settings: Stats) -> Iterator[Effect]:
    """Yield the effects of two arms on each share, then on each amount."""
    values = pairs.differences
    for column, metric in enumerate(pairs.declared):
        of_metric, binary = values[:, column], is_binary(pairs, metric.name)
        mean = mean_difference(of_metric, pairs.clusters)
        intervals = intervals_of(of_metric, mean, settings.confidence, binary=binary)
        method = headline(intervals, mean)
        margin = margins(settings).get(metric.name)
        yield Effect(
            metric=metric.name,
            is_share=True,
            first=float(pairs.control[:, column].mean()),
            second=float(pairs.treatment[:, column].mean()),
            size=mean.mean,
            interval=intervals[method],
            method=method,
            n_items=mean.n_items,
            n_clusters=mean.n_clusters,
            equivalence=tost(metric.better, of_metric, mean, *margin, binary=binary)
            if margin
            else None,
            units=_units(of_metric, pairs.clusters, settings),
        )
    for name, logs in log_values(pairs).items():
        mean = mean_difference(logs.differences, logs.clusters)
        means = float(logs.control.mean()), float(logs.treatment.mean())
        units = _units(logs.differences, logs.clusters, settings)
        yield _ratio(name, means, mean, logs.clusters, units, settings)


def interactions(
    pairs: Pairs, first: BoolArray, second: BoolArray, settings: Stats
) -> Iterator[Effect]:
    """Yield how the effects differ between two parts of the items, which share none.

    Nothing of a metric if it was measured in less than two clusters of a part.
    """
    among = pairs.subset(first | second)
    in_second = second[first | second]
    values = among.differences
    for column, metric in enumerate(among.declared):
        of_metric = values[:, column]
        mean = interaction(of_metric, among.clusters, in_second)
        if mean is None:
            continue
        margin = margins(settings).get(metric.name)
        yield Effect(
            metric=metric.name,
            is_share=True,
            first=float(of_metric[~in_second].mean()),
            second=float(of_metric[in_second].mean()),
            size=mean.mean,
            interval=cluster_t_interval(mean, settings.confidence),
            method="cluster_t",
            n_items=among.n_items,
            n_clusters=among.n_clusters,
            equivalence=tost(metric.better, of_metric, mean, *margin, binary=False)
            if margin
            else None,
            units=_interaction_units(of_metric, among.clusters, in_second, settings),
        )
    measured = {name: ~np.isnan(among.amounts[name]).any(axis=1) for name in log_values(among)}
    for name, logs in log_values(among).items():
        part = in_second[measured[name]]
        mean = interaction(logs.differences, logs.clusters, part)
        if mean is not None:
            means = (float(logs.differences[each].mean()) for each in (~part, part))
            units = _interaction_units(logs.differences, logs.clusters, part, settings)
            yield _ratio(name, tuple(means), mean, logs.clusters, units, settings)


def _ratio(
    name: str,
    logs: Sequence[float],
    mean: MeanDifference,
    clusters: IntArray,
    units: FloatArray,
    settings: Stats,
) -> Effect:
    """The effect on an amount, from the two mean logarithms and their difference."""
    first, second = map(exponential, logs)
    return Effect(
        metric=name,
        is_share=False,
        first=first,
        second=second,
        size=exponential(mean.mean),
        interval=ratio_interval(mean, settings.confidence),
        method="cluster_t",
        n_items=len(clusters),
        n_clusters=int(clusters.max()) + 1,
        equivalence=None,
        units=units,
    )


def _units(values: FloatArray, clusters: IntArray, settings: Stats) -> FloatArray:
    sums = cluster_sums(values[:, np.newaxis], clusters)[:, 0]
    return units_of(sums, settings.random_seed)


def _interaction_units(
    values: FloatArray, clusters: IntArray, second: BoolArray, settings: Stats
) -> FloatArray:
    return units_of(interaction_sums(values, clusters, second), settings.random_seed)


def tested(effects: Sequence[Effect], settings: Stats) -> list[tuple[float, float]]:
    """Return the p value and the q value of each test of one family (Benjamini & Hochberg).

    As many sign patterns are tried as the family's size asks for; see `sign_flip_p`.
    """
    if not effects:
        return []
    p_values = sign_flip_p_of_many(
        [each.units for each in effects],
        settings.permutation_samples,
        np.random.default_rng([settings.random_seed, 1]),
        permutations_for(len(effects), settings),
    )
    return list(zip(p_values, benjamini_hochberg(p_values), strict=True))
