"""The mean of a metric over the items of one arm, with its uncertainty."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..core.metric import Metric
from ..core.records import Item, ItemScores
from ..stats.intervals import cluster_t_interval, mean_difference


@dataclass(frozen=True)
class Mean:
    """A mean over items.

    ``standard_error`` is cluster-robust (CR2), ``low`` to ``high`` the t interval that belongs to
    it; ``None`` for a single cluster. ``deviation``: of the items, ``None`` for a single one.
    """

    value: float
    n_items: int
    n_clusters: int
    deviation: float | None
    standard_error: float | None
    low: float | None
    high: float | None


def by_dataset(
    rows: Iterable[ItemScores], items: Mapping[str, Item]
) -> dict[str, list[ItemScores]]:
    """Return the rows of each data set, in their order."""
    found: dict[str, list[ItemScores]] = {}
    for row in rows:
        found.setdefault(items[row.item_key].dataset, []).append(row)
    return found


def mean_score(
    rows: Sequence[ItemScores], items: Mapping[str, Item], metric: Metric, confidence: float
) -> Mean | None:
    """Return the mean of a metric over the items that have it; ``None`` if none has.

    Args:
        rows: of one arm, one per item.
        items: by key.
        metric: what to take the mean of.
        confidence: level of the interval.
    """
    values, names = [], []
    for row in rows:
        value = row.score(metric.name)
        if value is not None:
            values.append(value)
            names.append(items[row.item_key].cluster_id)
    if not values:
        return None
    codes = {name: code for code, name in enumerate(dict.fromkeys(names))}
    array = np.array(values, dtype=np.float64)
    mean = mean_difference(array, np.array([codes[name] for name in names]))
    interval = cluster_t_interval(mean, confidence)
    low, high = interval.low, interval.high
    if low is not None and high is not None:  # no metric is below 0, and no share above 1
        low, high = max(low, 0.0), min(high, 1.0) if metric.kind == "share" else high
    return Mean(
        value=math.fsum(values) / len(values),
        n_items=len(values),
        n_clusters=mean.n_clusters,
        deviation=float(array.std(ddof=1)) if len(values) > 1 else None,
        standard_error=mean.standard_error,
        low=low,
        high=high,
    )
