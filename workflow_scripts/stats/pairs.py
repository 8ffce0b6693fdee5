"""The scores of two conditions on the same items, as arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from ..errors import UserError
from ..records import Item, ItemScores

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

METRICS = ("em", "f1", "abstain_rate", "false_answer_rate", "unsupported_rate")

DECIMALS = 12
"""Scores are means of few samples: differences closer than this are the same number, and only
floating point makes them two. Ranks and ties need them equal."""


@dataclass(frozen=True)
class Pairs:
    """Items that both conditions answered, sorted by key, so that no input order shows.

    ``control`` and ``treatment`` have a row per item and a column per metric; ``clusters`` gives
    each item's cluster as a number from 0 to ``n_clusters - 1``.
    """

    metrics: tuple[str, ...]
    control: FloatArray
    treatment: FloatArray
    clusters: IntArray
    datasets: npt.NDArray[np.str_]
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

    def subset(self, mask: BoolArray) -> Self:
        """The pairs where ``mask`` is true."""
        return type(self)(
            metrics=self.metrics,
            control=self.control[mask],
            treatment=self.treatment[mask],
            clusters=np.unique(self.clusters[mask], return_inverse=True)[1].astype(np.int64),
            datasets=self.datasets[mask],
            unanswerable=self.unanswerable[mask],
        )


def pair(
    control: Mapping[str, ItemScores],
    treatment: Mapping[str, ItemScores],
    items: Mapping[str, Item],
) -> tuple[Pairs, list[str]]:
    """Pair the scores of two conditions by item key; also the keys that only one of them has."""
    keys = sorted(control.keys() & treatment.keys())
    unpaired = sorted(control.keys() ^ treatment.keys())
    for key in keys:
        if key not in items:
            raise UserError(f"item {key!r} has scores but is not in the item files")
    metrics = _measured([*control.values(), *treatment.values()])
    # A cluster's name is unique within its data set only.
    names = [f"{items[key].dataset}\n{items[key].cluster_id}" for key in keys]
    return Pairs(
        metrics=metrics,
        control=_matrix((control[key] for key in keys), metrics),
        treatment=_matrix((treatment[key] for key in keys), metrics),
        clusters=np.unique(np.array(names, dtype=np.str_), return_inverse=True)[1].astype(np.int64),
        datasets=np.array([items[key].dataset for key in keys], dtype=np.str_),
        unanswerable=np.array([items[key].is_unanswerable for key in keys], dtype=np.bool_),
    ), unpaired


def _measured(scores: Iterable[ItemScores]) -> tuple[str, ...]:
    """The metrics that these scores have: `unsupported_rate` stands on all of them or on none."""
    with_support = {score.unsupported_rate is not None for score in scores}
    if len(with_support) > 1:
        raise UserError("unsupported_rate is empty on some rows of one task only; score it again")
    return METRICS if with_support == {True} else METRICS[:-1]


def _matrix(scores: Iterable[ItemScores], metrics: tuple[str, ...]) -> FloatArray:
    rows = [[getattr(score, metric) for metric in metrics] for score in scores]
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(metrics))
