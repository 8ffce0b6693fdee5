"""Estimators as sums of influence values over items, with cluster-robust variances.

The influence value of an item is its contribution to the estimate's error. Weighted means,
differences of them and smooth functions of them all have such values (Deville 1999), so one
variance formula serves them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .scores import BoolArray, FloatArray, IntArray


@dataclass(frozen=True)
class Weights:
    """The weights of a mean over some of the items, and the information that they leave.

    ``values`` has one weight per item: 0 where the item takes no part, and a sum of 1.
    ``of_clusters`` are their sums over each cluster.
    """

    values: FloatArray
    of_clusters: FloatArray

    @classmethod
    def of(
        cls, taking_part: BoolArray, probability: FloatArray | None, clusters: IntArray
    ) -> Weights:
        """Return Hájek weights: the inverse of the items' sampling probabilities, scaled.

        Without probabilities all items that take part weigh the same.

        Raises:
            ValueError: no item takes part, or a probability is not above 0 and at most 1.
        """
        if not taking_part.any():
            raise ValueError("a mean over no items")
        values = taking_part.astype(np.float64)
        if probability is not None:
            drawn = probability[taking_part]
            if not ((drawn > 0) & (drawn <= 1)).all():
                raise ValueError("sampling probabilities must be above 0 and at most 1")
            values[taking_part] /= drawn
        values /= values.sum()
        return cls(values, np.bincount(clusters, values).astype(np.float64))

    @property
    def n_items(self) -> int:
        """The number of items that take part."""
        return int(np.count_nonzero(self.values))

    @property
    def n_clusters(self) -> int:
        """The number of clusters with an item that takes part."""
        return int(np.count_nonzero(self.of_clusters))

    @property
    def effective_n(self) -> float:
        """The number of items with equal weights that give as precise a mean (Kish 1965)."""
        return float(1 / (self.values**2).sum())

    @property
    def freedom(self) -> float:
        """Degrees of freedom of a cluster-robust variance, as of `mean_difference`.

        The formula with the clusters' weights in place of their sizes; 0 for one cluster.
        """
        if self.n_clusters < 2:
            return 0.0
        sizes = self.of_clusters[self.of_clusters > 0]
        spread = sizes**2 / (1 - sizes)
        return float(1 / ((sizes**2).sum() + spread.sum() ** 2 - (spread**2).sum()))

    def mean(self, of: FloatArray) -> float:
        """Return the weighted mean; ``of`` may be NaN where the weight is 0."""
        taking_part = self.values > 0
        return float(self.values[taking_part] @ of[taking_part])

    def influence(self, of: FloatArray) -> FloatArray:
        """Return the influence values (items,) of the weighted mean."""
        taking_part = self.values > 0
        found = np.zeros_like(self.values)
        found[taking_part] = self.values[taking_part] * (of[taking_part] - self.mean(of))
        return found


def covariance(influence: FloatArray, clusters: IntArray, leverage: FloatArray) -> FloatArray:
    """Return the cluster-robust covariance matrix of estimators from their influence values.

    ``influence`` has a column per estimator. ``leverage`` is each cluster's share of the weights:
    a cluster with a large one pulls the mean towards itself, so its residuals come out too small
    (CR2; Bell & McCaffrey 2002). The variance is not defined for a leverage of 1.
    """
    n_clusters = len(leverage)
    sums = np.stack([np.bincount(clusters, column, n_clusters) for column in influence.T])
    found: FloatArray = (sums / (1 - leverage)) @ sums.T
    return found


def design_effect(influence: FloatArray, clusters: IntArray, weights: Weights) -> float:
    """Return the ratio of a mean's variance to that of independent items; at least 1.

    Without variation the ratio is unknown, and clusters count as one item each.
    """
    naive = float((influence**2).sum()) * weights.n_items / max(1, weights.n_items - 1)
    if naive == 0:
        return weights.n_items / weights.n_clusters
    robust = covariance(influence[:, np.newaxis], clusters, weights.of_clusters)[0, 0]
    return max(1.0, float(robust) / naive)
