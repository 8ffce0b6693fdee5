"""A confidence sequence by betting: intervals that hold at every moment of a growing data set.

Waudby-Smith & Ramdas (2024): against each candidate mean a gambler stakes a share of her wealth
on each coming observation. At the true mean the game is fair, so by Ville's inequality her
wealth ever reaches 1 / alpha with probability at most alpha; candidates against which it did
are ruled out for good. One may look after every observation and stop at will.

An observation here is a cluster: the sum of its items' differences, which lie in [-1, 1]. The
mean is per item. Clusters must come in random order, or each have a mean difference of 0 under
the null hypothesis.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np

from .roots import root
from .scores import FloatArray, IntArray

_MOST_STAKE = 0.5
"""Largest share of the wealth that one observation can take."""


@dataclass(frozen=True)
class Bets:
    """Observations in their order with the stakes on them, shape (..., clusters).

    ``totals`` and ``sizes`` are cluster sums and numbers of items, both over the largest size
    that a cluster can have. ``stakes`` follow the predictable plug-in rule and use earlier
    observations only.
    """

    totals: FloatArray
    sizes: FloatArray
    stakes: FloatArray

    @classmethod
    def on(cls, totals: FloatArray, sizes: FloatArray, most: int, alpha: float) -> Self:
        """Lay bets for a level of ``alpha`` on each side; no cluster has more than ``most`` items.

        lambda_t = sqrt(2 log(1 / alpha) / (v_{t-1} t log(t + 1))), with v the variance of what
        was seen before, started with one observation of the largest variance that is possible.
        """
        totals, sizes = totals / most, sizes / most
        t = np.arange(1, totals.shape[-1] + 1)
        mean = np.cumsum(totals, axis=-1) / np.maximum(np.cumsum(sizes, axis=-1), 1e-12)
        squares = np.cumsum((totals - sizes * mean) ** 2, axis=-1)
        variance = (1 + squares) / (1 + t)
        earlier = np.concatenate([np.ones_like(variance[..., :1]), variance[..., :-1]], axis=-1)
        return cls(totals, sizes, np.sqrt(2 * math.log(1 / alpha) / (earlier * t * np.log1p(t))))

    def log_wealth(self, mean: float, *, rising: bool) -> FloatArray:
        """Log wealth after each cluster of the gambler who bets that the true mean is higher.

        Or lower, unless ``rising``. No stake can lose more than half of the wealth, whatever a
        cluster brings, since a cluster's excess over ``mean`` is at least -(1 + mean).
        """
        sign = 1.0 if rising else -1.0
        excess = sign * (self.totals - self.sizes * mean)
        worst = 1 + sign * mean
        stakes = np.minimum(self.stakes, _MOST_STAKE / worst) if worst > 0 else self.stakes
        log_wealth: FloatArray = np.cumsum(np.log1p(stakes * excess), axis=-1)
        return log_wealth

    def bound(self, alpha: float, *, lower: bool) -> float:
        """The lower (or upper) end of the one-sided confidence sequence, all looks taken together.

        A gambler's wealth falls as the candidate moves towards her side, so the end is where it
        only just reached 1 / alpha.
        """
        target = math.log(1 / alpha)

        def lacks(mean: float) -> float:
            return float(self.log_wealth(mean, rising=lower).max(initial=-math.inf)) - target

        outer, inner = (-1.0, 1.0) if lower else (1.0, -1.0)
        start, end = outer * (1 - 1e-9), inner * (1 - 1e-9)
        if self.totals.size == 0 or lacks(start) < 0:
            return outer
        if lacks(end) >= 0:
            return inner
        return root(lacks, start, end, 1e-10)


@dataclass(frozen=True)
class ConfidenceSequence:
    """Where the mean difference lies, at this moment and all earlier ones.

    ``p_value`` is against a difference of 0 and holds at any moment too; two-sided unless a
    direction was asked for.
    """

    estimate: float
    ci_low: float
    ci_high: float
    p_value: float


def confidence_sequence(
    differences: FloatArray,
    clusters: IntArray,
    most: int,
    alpha: float,
    direction: str = "either",
) -> ConfidenceSequence:
    """The confidence sequence after all given items, in the order of their clusters' numbers.

    Args:
        differences: of single items, in [-1, 1], shape (items,).
        clusters: each item's cluster, numbered from 0 in the order in which they arrived.
        most: largest number of items in any cluster, also of those to come.
        alpha: level. Of ``either`` direction both ends together hold at 1 - alpha; of a declared
            direction each end does by itself.
        direction: ``increase``, ``decrease`` or ``either``.
    """
    totals: FloatArray = np.bincount(clusters, differences).astype(np.float64)
    sizes = np.bincount(clusters).astype(np.float64)
    of_side = alpha / 2 if direction == "either" else alpha
    bets = Bets.on(totals, sizes, most, of_side)
    wealth = {
        side: float(bets.log_wealth(0.0, rising=side == "increase").max(initial=0.0))
        for side in ("increase", "decrease")
    }
    p_values = {side: math.exp(-log) for side, log in wealth.items()}
    return ConfidenceSequence(
        estimate=float(differences.mean()) if len(differences) else 0.0,
        ci_low=bets.bound(of_side, lower=True),
        ci_high=bets.bound(of_side, lower=False),
        p_value=p_values.get(direction, min(1.0, 2 * min(p_values.values()))),
    )
