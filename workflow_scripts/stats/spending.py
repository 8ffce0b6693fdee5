"""Alpha spending: a test that looks at growing data a declared number of times.

Lan & DeMets (1983): the level is spent over the looks, by a function of the share of the planned
items that have arrived. The boundary of a look is where the chance of crossing it, and no earlier
one, is what may be spent there. Between looks the score process is a Brownian motion, and the
chances are integrated look by look (Armitage, McPherson & Rowe 1969; Jennison & Turnbull 2000,
chapter 19).

Time is a share of the information; the process at time t has variance t and, with ``drift`` d,
mean d t. A look's statistic z is the process over the square root of t.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from . import special
from .roots import root
from .scores import FloatArray

_REACH = 9.0
"""Standard deviations beyond which nothing is integrated."""

_NODES_PER_DEVIATION = 5
_STEP, _MOST_NODES = 32, 256


@functools.cache
def _rule(count: int) -> tuple[FloatArray, FloatArray]:
    """Nodes and weights of the Gauss-Legendre rule on -1 to 1, some more than ``count``."""
    count = min(-(-count // _STEP) * _STEP, _MOST_NODES)
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return nodes, weights


def spent(share: float, level: float) -> float:
    """What is spent of a one-sided ``level`` when a ``share`` of the planned items has arrived.

    The O'Brien-Fleming-type function 2 - 2 Phi(z / sqrt(share)), z the upper quantile of level / 2
    (Lan & DeMets 1983): very little early, nearly all of it at the end.
    """
    if share <= 0:
        return 0.0
    quantile = -float(special.ndtri(level / 2))
    return 2 * float(special.ndtr(-quantile / math.sqrt(min(share, 1.0))))


class Paths:
    """The paths of the process that crossed no boundary so far: where they are, how likely."""

    def __init__(self, drift: float = 0.0) -> None:
        self._drift = drift
        self._time = 0.0
        self._values: FloatArray = np.zeros(1)
        self._chances: FloatArray = np.ones(1)

    def above(self, time: float, z: float) -> float:
        """The chance to be here still, and at or above ``z`` at a later ``time``."""
        deviation = math.sqrt(time - self._time)
        expected = self._values + self._drift * (time - self._time)
        return float(self._chances @ special.ndtr((expected - z * math.sqrt(time)) / deviation))

    def stay(self, time: float, boundary: float) -> None:
        """Go on to ``time`` with the paths that lie between -boundary and boundary there."""
        deviation, root = math.sqrt(time - self._time), math.sqrt(time)
        low = max(-boundary * root, self._drift * time - _REACH * root)
        high = min(boundary * root, self._drift * time + _REACH * root)
        expected = self._values + self._drift * (time - self._time)
        self._time = time
        if low >= high:
            self._values, self._chances = np.zeros(1), np.zeros(1)
            return
        nodes, weights = _rule(math.ceil(_NODES_PER_DEVIATION * (high - low) / deviation))
        values = (high + low) / 2 + (high - low) / 2 * nodes
        deviations = (values[:, np.newaxis] - expected) / deviation
        density = np.exp(-(deviations**2) / 2) @ self._chances / (deviation * math.tau**0.5)
        self._values, self._chances = values, density * weights * (high - low) / 2


def boundaries(times: Sequence[float], shares: Sequence[float], level: float) -> list[float]:
    """The boundaries of looks, for a ``level`` on each side; infinite where nothing is spent.

    Args:
        times: information at each look, rising, in any unit.
        shares: what share of the plan each look is, as `spent` takes it; 1 at the last.
        level: chance of crossing the upper boundaries (or the lower ones) without an effect.
    """
    paths, found, before = Paths(), [], 0.0
    for time, share in zip(times, shares, strict=True):
        now = spent(share, level)
        boundary = boundary_of(paths, time, now - before)
        found.append(boundary)
        paths.stay(time, boundary)
        before = now
    return found


def boundary_of(paths: Paths, time: float, chance: float) -> float:
    """Where the chance to be above is ``chance``."""
    highest = 38.0  # the normal distribution has no smaller tail in floating point
    if paths.above(time, highest) >= chance:
        return math.inf
    return root(lambda z: paths.above(time, z) - chance, -highest, highest, 1e-12)


@dataclass(frozen=True)
class Stopped:
    """A test that stopped: what is known of the true difference, the stopping taken into account.

    ``statistic``: for a candidate difference its z at the last look, which falls as the candidate
    rises, and its standard error. ``times``: information at the looks so far, relative to the
    last. ``crossed``: the boundaries of the looks before the last.

    Outcomes are ordered by stage: to cross the upper boundary is the more extreme the earlier it
    happens (Armitage 1957; Jennison & Turnbull 2000, section 8.4).
    """

    statistic: Callable[[float], tuple[float, float]]
    times: Sequence[float]
    crossed: Sequence[float]

    def p_above(self, difference: float) -> float:
        """The chance of an outcome at least as high as this one, if the truth is ``difference``."""
        z, error = self.statistic(difference)
        drift = difference / error if error > 0 else 0.0
        paths, chance = Paths(drift), 0.0
        for time, boundary in zip(self.times, self.crossed, strict=False):
            chance += paths.above(time, boundary)
            paths.stay(time, boundary)
        return chance + paths.above(self.times[-1], z + drift)

    def quantile(self, chance: float) -> float:
        """The difference for which `p_above` is ``chance``: 1/2 is the median-unbiased estimate."""
        low, high = -1.0 + 1e-9, 1.0 - 1e-9
        if self.p_above(low) >= chance:
            return -1.0
        if self.p_above(high) <= chance:
            return 1.0
        return root(lambda each: self.p_above(each) - chance, low, high, 1e-9)


@dataclass(frozen=True)
class Design:
    """What a number of equal looks costs and saves, whatever the metric's variance is.

    ``drift``: true difference over the standard error of all items that is found with the power.
    ``times_one_look``: items that it takes, as a multiple of a single look at the end.
    ``expected_share``: of all items, how many are asked on average if the difference is that.
    """

    looks: int
    power: float
    drift: float
    times_one_look: float
    expected_share: float


def design(looks: int, level: float, power: float) -> Design:
    """The design of ``looks`` equal looks with a ``level`` on each side."""
    times = [(number + 1) / looks for number in range(looks)]
    limits = boundaries(times, times, level)

    def found_by(drift: float) -> list[float]:
        paths, found = Paths(drift), []
        for time, limit in zip(times, limits, strict=True):
            found.append(paths.above(time, limit))
            paths.stay(time, limit)
        return found

    one_look = -float(special.ndtri(level)) + float(special.ndtri(power))
    drift = root(lambda drift: sum(found_by(drift)) - power, 0.0, 4 * max(one_look, 1.0))
    chances = found_by(drift)
    stopped = sum(chance * time for chance, time in zip(chances, times, strict=True))
    return Design(
        looks=looks,
        power=power,
        drift=drift,
        times_one_look=(drift / one_look) ** 2,
        expected_share=stopped + 1 - sum(chances),
    )
