"""Power: what a design like this can detect, and what it would take to detect less.

From the standard error that was measured, clusters and samples included; never from the effect
that was measured (power at the observed effect says no more than its p value; Hoenig & Heisey
2001).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from . import special
from .intervals import MeanDifference, is_trusted
from .roots import root
from .scores import FloatArray

_NORMAL = np.linspace(-9.0, 9.0, 181)
_WEIGHTS = np.exp(-(_NORMAL**2) / 2) / np.exp(-(_NORMAL**2) / 2).sum()


@dataclass(frozen=True)
class Power:
    """Of one metric: the smallest detectable difference, and items needed for smaller ones.

    ``smallest_detectable``: the true difference that the two-sided t test at ``alpha`` finds with
    probability ``power``. ``items_needed``: difference -> items, at the same design effect.
    ``trusted``: enough clusters differ between the arms for the standard error to mean something.
    """

    n_items: int
    n_clusters: int
    standard_error: float
    design_effect: float | None
    alpha: float
    power: float
    smallest_detectable: float
    items_needed: dict[str, int]
    trusted: bool


def power_of(
    mean: MeanDifference, alpha: float, power: float, effects: Iterable[float]
) -> Power | None:
    """Power of the cluster-robust t test.

    ``None`` without a standard error or variation, and for a power that a test at ``alpha`` has
    without any effect.
    """
    error, freedom = mean.standard_error, mean.freedom
    if not error or freedom is None or power <= alpha:
        return None
    return Power(
        n_items=mean.n_items,
        n_clusters=mean.n_clusters,
        standard_error=error,
        design_effect=mean.design_effect,
        alpha=alpha,
        power=power,
        smallest_detectable=smallest_detectable(error, freedom, alpha, power),
        items_needed={
            str(effect): items_needed(effect, mean.n_items, error, freedom, alpha, power)
            for effect in effects
        },
        trusted=is_trusted("cluster_t", mean.n_clusters, mean.n_differing),
    )


def items_needed(
    effect: float, n_items: int, error: float, freedom: float, alpha: float, power: float
) -> int:
    """Return how many items the two-sided t test needs to find a difference with this power.

    More items of the same kind: the error falls with their root, freedom rises with them.

    Args:
        effect: the difference, above 0.
        n_items: items that were measured.
        error: their standard error, above 0.
        freedom: its degrees of freedom.
        alpha: level of the test.
        power: above ``alpha``.
    """

    def lacks(times: float) -> float:
        return t_test_power(effect / error * math.sqrt(times), freedom * times, alpha) - power

    times = _rising_root(lacks, start=1.0)
    return math.ceil(n_items * times - 1e-9)


def smallest_detectable(error: float, freedom: float, alpha: float, power: float) -> float:
    """The true difference that a two-sided t test with this standard error finds that often."""
    ratio = _rising_root(lambda ratio: t_test_power(ratio, freedom, alpha) - power, start=1.0)
    return ratio * error


def t_test_power(noncentrality: float, freedom: float, alpha: float) -> float:
    """Power of the two-sided t test at a noncentrality of 0 or more.

    The noncentral t variable is (Z + noncentrality) / S with Z normal and S² = chi²/freedom. The
    power is the mean, over the one of the two that varies more, of the other's probability: a
    smooth function of a normal variable, which the trapezoid rule integrates to about 1e-9 for
    every size. (scipy's noncentral t distribution is NaN at scattered points.)
    """
    critical = float(special.stdtrit(freedom, 1 - alpha / 2))
    half = freedom / 2
    if critical**2 > 2 * freedom:
        smallest = ((_NORMAL + noncentrality) / critical) ** 2
        return float(_WEIGHTS @ special.gammainc(half, half * smallest))
    limit = critical * _deviations(half)
    rejected = special.ndtr(noncentrality - limit) + special.ndtr(-noncentrality - limit)
    return float(_WEIGHTS @ rejected)


@functools.lru_cache(maxsize=8)  # a root is looked for at one size
def _deviations(half: float) -> FloatArray:
    """S at each of the normal variable's values, with half of its degrees of freedom."""
    squares: FloatArray = np.where(
        _NORMAL < 0,
        special.gammaincinv(half, special.ndtr(_NORMAL)),
        special.gammainccinv(half, special.ndtr(-_NORMAL)),
    )
    return np.sqrt(squares / half)


def _rising_root(function: Callable[[float], float], start: float) -> float:
    """Where a rising function of a positive number passes 0."""
    low = high = start
    while function(low) > 0:
        low /= 2
    while function(high) < 0:
        high *= 2
    return root(function, low, high, 1e-12) if low < high else start
