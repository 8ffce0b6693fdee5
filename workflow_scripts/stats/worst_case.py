"""What a difference could be if the requests that failed had been answered.

Items without an answer are left out, which assumes that requests fail at random. The bounds of
Manski (1990) assume nothing: what is missing counts as the metric's lowest value in one arm and as
its highest in the other, and the reverse.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .intervals import headline, intervals_of, mean_difference
from .pairs import DECIMALS, numbered
from .scores import ArmScores, FloatArray, Group, IntArray, ItemTable

Failures = Mapping[Group, Mapping[int, int]]
"""Failed requests of each condition: row of the `ItemTable` -> number of samples."""


@dataclass(frozen=True)
class Bounds:
    """The lowest and the highest difference that failures allow, as shares.

    ``ci_low`` to ``ci_high`` adds the uncertainty of the items: from the lower end of the interval
    of ``low`` to the upper end of that of ``high``; ``None`` for a single cluster.
    """

    low: float
    high: float
    ci_low: float | None
    ci_high: float | None


@dataclass(frozen=True)
class WorstCase:
    """Bounds over all ``n_items`` that both arms were asked, by metric."""

    n_items: int
    failed_control: int
    failed_treatment: int
    metrics: dict[str, Bounds]


def worst_case(
    arms: Mapping[Group, ArmScores],
    failures: Failures,
    groups: tuple[Group, Group],
    table: ItemTable,
    samples_per_item: int,
    confidence: float,
) -> WorstCase | None:
    """The bounds of one comparison; ``None`` where no request of it failed.

    An amount has no highest value, so it has no bounds.

    Args:
        arms: the scores of all conditions.
        failures: the failed requests of all conditions.
        groups: the control and the treatment.
        table: their items.
        samples_per_item: requests of an item under one condition.
        confidence: level of the intervals.
    """
    failed = [failures.get(group, {}) for group in groups]
    if not any(failed):
        return None
    asked = [
        {*each, *(arms[group].items.tolist() if group in arms else ())}
        for group, each in zip(groups, failed, strict=True)
    ]
    items = np.array(sorted(asked[0] & asked[1]), dtype=np.int64)
    if not len(items):
        return None
    metrics = next(arm.metrics for arm in arms.values())
    ends = [
        _ends(arms.get(group), len(metrics), each, items, samples_per_item)
        for group, each in zip(groups, failed, strict=True)
    ]
    clusters = numbered(table.clusters[items])
    (control_low, control_high), (treatment_low, treatment_high) = ends
    bounds = {}
    for column, metric in enumerate(metrics):
        lowest = np.round(treatment_low[:, column] - control_high[:, column], DECIMALS)
        highest = np.round(treatment_high[:, column] - control_low[:, column], DECIMALS)
        if metric.kind == "share" and not np.isnan(lowest).any():
            bounds[metric.name] = Bounds(
                low=float(lowest.mean()),
                high=float(highest.mean()),
                ci_low=_interval(lowest, clusters, confidence)[0],
                ci_high=_interval(highest, clusters, confidence)[1],
            )
    return WorstCase(
        n_items=len(items),
        failed_control=sum(failed[0].values()),
        failed_treatment=sum(failed[1].values()),
        metrics=bounds,
    )


def _ends(
    arm: ArmScores | None,
    n_metrics: int,
    failed: Mapping[int, int],
    items: IntArray,
    samples_per_item: int,
) -> tuple[FloatArray, FloatArray]:
    """The lowest and the highest score of each item, shape (items, metrics) each.

    NaN for a metric that the task does not have.
    """
    scores = np.zeros((len(items), n_metrics))
    answered = np.zeros(len(items), dtype=np.bool_)
    if arm is not None and len(arm.items):
        _, place, of_arm = np.intersect1d(items, arm.items, assume_unique=True, return_indices=True)
        scores[place], answered[place] = arm.scores[of_arm], True
        scores[:, np.isnan(arm.scores).all(axis=0)] = np.nan
    lost = np.array([failed.get(int(item), 0) for item in items]) / samples_per_item
    share = np.where(answered, np.minimum(lost, 1.0), 1.0)[:, np.newaxis]
    low = scores * (1 - share)
    return low, low + share


def _interval(
    differences: FloatArray, clusters: IntArray, confidence: float
) -> tuple[float | None, float | None]:
    mean = mean_difference(differences, clusters)
    shares = bool(np.isin(differences, (-1.0, 0.0, 1.0)).all())
    intervals = intervals_of(differences, mean, confidence, binary=shares)
    chosen = intervals[headline(intervals, mean)]
    return chosen.low, chosen.high
