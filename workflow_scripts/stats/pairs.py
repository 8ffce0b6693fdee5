"""The scores of two conditions on the same items, as arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from ..core.metric import Metric
from .scores import ArmScores, BoolArray, FloatArray, IntArray, ItemTable, empty_on_some

DECIMALS = 12
"""Scores are means of few samples: differences closer than this are the same number, and only
floating point makes them two. Ranks and ties need them equal."""


@dataclass(frozen=True)
class Pairs:
    """Items that both conditions answered, sorted by key, so that no input order shows.

    ``control``, ``treatment`` and ``sample_variance`` have a row per item and a column per share
    of ``declared``; ``items`` are their rows in the `ItemTable`. ``amounts`` has, by name of an
    amount, a row per item with its values under control and treatment, NaN without a value.
    ``clusters`` gives each item's cluster as a number from 0 to ``n_clusters - 1``.
    ``sample_variance`` is the variance over an item's samples, of both arms together: with K
    samples per item, the part of it in the variance of a difference is ``sample_variance / K``.
    ``subgroups`` says which items belong to each.
    """

    declared: tuple[Metric, ...]
    items: IntArray
    control: FloatArray
    treatment: FloatArray
    sample_variance: FloatArray
    samples_per_item: int
    clusters: IntArray
    datasets: IntArray
    dataset_names: tuple[str, ...]
    subgroups: Mapping[str, BoolArray]
    amounts: Mapping[str, FloatArray] = field(default_factory=dict)

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of the shares that were measured."""
        return tuple(metric.name for metric in self.declared)

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
        """Treatment minus control, shape (items, shares)."""
        return np.round(self.treatment - self.control, DECIMALS)

    def column(self, metric: str) -> int:
        """The column of a share."""
        return self.metrics.index(metric)

    def subset(self, mask: BoolArray) -> Self:
        """The pairs where ``mask`` is true."""
        return type(self)(
            declared=self.declared,
            items=self.items[mask],
            control=self.control[mask],
            treatment=self.treatment[mask],
            sample_variance=self.sample_variance[mask],
            samples_per_item=self.samples_per_item,
            clusters=numbered(self.clusters[mask]),
            datasets=self.datasets[mask],
            dataset_names=self.dataset_names,
            subgroups={name: of_all[mask] for name, of_all in self.subgroups.items()},
            amounts={name: of_all[mask] for name, of_all in self.amounts.items()},
        )


def pair(
    control: ArmScores | None,
    treatment: ArmScores | None,
    table: ItemTable,
    samples_per_item: int = 1,
) -> tuple[Pairs, list[str]]:
    """Pair the scores of two conditions by item; also the keys that only one of them has.

    Raises:
        ValueError: a share is measured under one of them only.
    """
    declared = next(arm.metrics for arm in (control, treatment) if arm is not None)
    columns_of_nothing = np.empty((0, len(declared)))
    nothing = ArmScores(
        declared, np.array([], dtype=np.int64), columns_of_nothing, columns_of_nothing
    )
    one, other = control or nothing, treatment or nothing
    both, of_one, of_other = np.intersect1d(
        one.items, other.items, assume_unique=True, return_indices=True
    )
    single = np.setxor1d(one.items, other.items, assume_unique=True)
    shares = np.array([metric.kind == "share" for metric in declared], dtype=np.bool_)
    measured = [~np.isnan(arm.scores).any(axis=0) for arm in (one, other) if len(arm.items)]
    for each in measured:
        differing = np.flatnonzero((each != measured[0]) & shares)
        if len(differing):
            raise ValueError(empty_on_some(declared[differing[0]]))
    columns = np.flatnonzero(measured[0] & shares if measured else shares)
    amounts = {
        declared[column].name: np.stack(
            [one.scores[of_one, column], other.scores[of_other, column]], axis=1
        )
        for column in np.flatnonzero(~shares)
    }
    return Pairs(
        declared=tuple(declared[column] for column in columns),
        items=both,
        control=one.scores[of_one][:, columns],
        treatment=other.scores[of_other][:, columns],
        sample_variance=one.deviations[of_one][:, columns] ** 2
        + other.deviations[of_other][:, columns] ** 2,
        samples_per_item=samples_per_item,
        clusters=numbered(table.clusters[both]),
        datasets=table.datasets[both],
        dataset_names=tuple(table.dataset_names),
        subgroups={name: of_all[both] for name, of_all in table.subgroups.items()},
        amounts={name: each for name, each in amounts.items() if not np.isnan(each).all()},
    ), [table.keys[item] for item in single]


def numbered(codes: IntArray) -> IntArray:
    """Codes as numbers from 0 without gaps, in the same order."""
    return np.unique(codes, return_inverse=True)[1].astype(np.int64)
