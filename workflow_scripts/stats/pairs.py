"""The scores of two conditions on the same items, as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from ..core.errors import UserError
from .scores import METRICS, ArmScores, BoolArray, FloatArray, IntArray, ItemTable

DECIMALS = 12
"""Scores are means of few samples: differences closer than this are the same number, and only
floating point makes them two. Ranks and ties need them equal."""


@dataclass(frozen=True)
class Pairs:
    """Items that both conditions answered, sorted by key, so that no input order shows.

    ``control``, ``treatment`` and ``sample_variance`` have a row per item and a column per
    metric; ``items`` are their rows in the `ItemTable`. ``clusters`` gives each item's cluster as
    a number from 0 to ``n_clusters - 1``. ``sample_variance`` is the variance over an item's
    samples, of both arms together: with K samples per item, the part of it in the variance of a
    difference is ``sample_variance / K``.
    """

    metrics: tuple[str, ...]
    items: IntArray
    control: FloatArray
    treatment: FloatArray
    sample_variance: FloatArray
    samples_per_item: int
    clusters: IntArray
    datasets: IntArray
    dataset_names: tuple[str, ...]
    unanswerable: BoolArray

    @property
    def n_items(self) -> int:
        """Number of pairs."""
        return len(self.clusters)

    @property
    def n_clusters(self) -> int:
        """Number of clusters that the items fall into."""
        return int(self.clusters.max(initial=-1)) + 1

    @property
    def differences(self) -> FloatArray:
        """Treatment minus control, shape (items, metrics)."""
        return np.round(self.treatment - self.control, DECIMALS)

    def column(self, metric: str) -> int:
        """The column of a metric."""
        return self.metrics.index(metric)

    def subset(self, mask: BoolArray) -> Self:
        """The pairs where ``mask`` is true."""
        return type(self)(
            metrics=self.metrics,
            items=self.items[mask],
            control=self.control[mask],
            treatment=self.treatment[mask],
            sample_variance=self.sample_variance[mask],
            samples_per_item=self.samples_per_item,
            clusters=numbered(self.clusters[mask]),
            datasets=self.datasets[mask],
            dataset_names=self.dataset_names,
            unanswerable=self.unanswerable[mask],
        )


def pair(
    control: ArmScores | None,
    treatment: ArmScores | None,
    table: ItemTable,
    samples_per_item: int = 1,
) -> tuple[Pairs, list[str]]:
    """Pair the scores of two conditions by item; also the keys that only one of them has."""
    nothing = ArmScores(
        np.array([], dtype=np.int64), np.empty((0, len(METRICS))), np.empty((0, len(METRICS)))
    )
    one, other = control or nothing, treatment or nothing
    both, of_one, of_other = np.intersect1d(
        one.items, other.items, assume_unique=True, return_indices=True
    )
    single = np.setxor1d(one.items, other.items, assume_unique=True)
    measured = [~np.isnan(arm.scores).any(axis=0) for arm in (one, other) if len(arm.items)]
    if any((each != measured[0]).any() for each in measured):
        raise UserError("unsupported_rate is empty on some rows of one task only; score it again")
    columns = np.flatnonzero(measured[0]) if measured else np.arange(len(METRICS))
    return Pairs(
        metrics=tuple(METRICS[column] for column in columns),
        items=both,
        control=one.scores[of_one][:, columns],
        treatment=other.scores[of_other][:, columns],
        sample_variance=one.deviations[of_one][:, columns] ** 2
        + other.deviations[of_other][:, columns] ** 2,
        samples_per_item=samples_per_item,
        clusters=numbered(table.clusters[both]),
        datasets=table.datasets[both],
        dataset_names=tuple(table.dataset_names),
        unanswerable=table.unanswerable[both],
    ), [table.keys[item] for item in single]


def numbered(codes: IntArray) -> IntArray:
    """Codes as numbers from 0 without gaps, in the same order."""
    return np.unique(codes, return_inverse=True)[1].astype(np.int64)
