"""One comparison in waves, tested by alpha spending after each of the declared waves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np

from . import special
from .intervals import DiscordantPairs, MeanDifference, mean_difference, t_quantile
from .scores import FloatArray, IntArray
from .spending import Paths, Stopped, boundary_of, spent

Outcome = Literal["increase", "decrease", "equivalent", "undecided"]

LEAST_GROWTH = 1.005
"""A look with fewer new items than this is none: it tests nothing new and spends nothing."""


@dataclass(frozen=True)
class Statistic:
    """The clustered test of a mean difference: Tango's score of shares, else CR2's t.

    ``pairs`` are the counts of scores that are 0 or 1, ``None`` for other scores.
    """

    mean: MeanDifference
    pairs: DiscordantPairs | None

    @classmethod
    def of(cls, differences: FloatArray, clusters: IntArray) -> Self:
        """The statistic of single items' differences, shape (items,)."""
        mean = mean_difference(differences, clusters)
        shares = bool(np.isin(differences, (-1.0, 0.0, 1.0)).all())
        return cls(mean, DiscordantPairs.of(differences, mean) if shares else None)

    def at(self, difference: float) -> tuple[float, float]:
        """z against a hypothetical difference, as of a normal variable, and the standard error.

        z is 0 where the data have no spread to judge by: a single cluster, or equal scores.
        """
        if self.pairs is not None and self.mean.n_clusters > 1:
            return (
                normal_z(self.pairs.score_z(difference), self.pairs.freedom),
                self.pairs.score_error(difference),
            )
        error = self.mean.standard_error
        if not error:
            return 0.0, 0.0
        return normal_z((self.mean.mean - difference) / error, self.mean.freedom), error

    def interval(self, z: float) -> tuple[float, float]:
        """All differences against which z is within -``z`` and ``z``."""
        freedom = self.mean.freedom if self.pairs is None else self.pairs.freedom
        quantile = -t_quantile(freedom, float(special.ndtr(-z)))
        error = self.mean.standard_error
        if not np.isfinite(quantile) or self.mean.n_clusters < 2:
            return -1.0, 1.0
        if self.pairs is not None:
            return self.pairs.within(quantile)
        if not error:
            return -1.0, 1.0
        half = quantile * error
        return max(-1.0, self.mean.mean - half), min(1.0, self.mean.mean + half)


def normal_z(t: float, freedom: float | None) -> float:
    """The normal quantile of a t variable's probability, exact in both tails."""
    if freedom is None:
        return t
    return float(np.copysign(special.ndtri(special.stdtr(freedom, -abs(t))), t))


@dataclass(frozen=True)
class Looked:
    """What the looks so far say; ``None`` where it is not known before the test ends.

    ``looks``: waves that were needed. ``statistic`` and ``boundary``: z at the last of them, and
    what it had to reach. ``adjusted_estimate``: median-unbiased. ``ci_low`` to ``ci_high``:
    ordered by stage once the test ended, else the repeated interval (Jennison & Turnbull 1984),
    which holds at all looks together.
    """

    looks: int
    n_items: int
    n_clusters: int
    outcome: Outcome
    estimate: float
    ci_low: float
    ci_high: float
    p_value: float | None
    adjusted_estimate: float | None
    statistic: float | None
    boundary: float | None


def by_spending(
    looks: Sequence[tuple[FloatArray, IntArray]],
    n_planned: int,
    alpha: float,
    direction: str,
    margin: float | None,
    *,
    is_last: bool,
) -> Looked:
    """Test after each look, up to the one that ends the test.

    Args:
        looks: of each look all items so far: differences in [-1, 1] and clusters, shape (items,).
        n_planned: items of all looks.
        alpha: level; of ``either`` direction shared by both sides, else of each side by itself.
        direction: ``increase``, ``decrease`` or ``either``.
        margin: end the test, too, where the repeated interval lies within it.
        is_last: no look will follow, so that all of ``alpha`` is spent.
    """
    level = alpha / 2 if direction == "either" else alpha
    paths, used = Paths(), 0.0
    times, limits = [0.0], list[float]()
    found = Looked(0, 0, 0, "undecided", 0.0, -1.0, 1.0, None, None, None, None)
    last = None
    for number, (differences, clusters) in enumerate(looks, start=1):
        n = float(len(differences))
        if n <= LEAST_GROWTH * times[-1]:
            continue
        share = 1.0 if is_last and number == len(looks) else min(n / n_planned, 1.0)
        now = spent(share, level)
        boundary = boundary_of(paths, n, now - used)
        used = max(used, now)
        statistic = Statistic.of(differences, clusters)
        z, _ = statistic.at(0.0)
        low, high = statistic.interval(boundary)
        outcome: Outcome = "undecided"
        if abs(z) >= boundary:
            outcome = "increase" if z > 0 else "decrease"
        elif margin is not None and -margin < low and high < margin:
            outcome = "equivalent"
        times.append(n)
        found = Looked(
            looks=number,
            n_items=statistic.mean.n_items,
            n_clusters=statistic.mean.n_clusters,
            outcome=outcome,
            estimate=statistic.mean.mean,
            ci_low=low,
            ci_high=high,
            p_value=None,
            adjusted_estimate=None,
            statistic=z,
            boundary=boundary if np.isfinite(boundary) else None,
        )
        last = Stopped(statistic.at, [time / n for time in times[1:]], [*limits])
        if outcome != "undecided":
            break
        paths.stay(n, boundary)
        limits.append(boundary)
    if last is None or (found.outcome == "undecided" and not is_last):
        return found
    return _ended(found, last, level, used, direction)


def _ended(found: Looked, last: Stopped, level: float, used: float, direction: str) -> Looked:
    """With the numbers that are known when a test has ended."""
    above = last.p_above(0.0)
    p_values = {"increase": above, "decrease": 1 - above}
    low, high = found.ci_low, found.ci_high
    if found.outcome != "equivalent":  # that one ended by its repeated interval
        # Where the last waves brought nothing new, less than the level was spent.
        tail = level if found.outcome != "undecided" else used
        low, high = last.quantile(tail), last.quantile(1 - tail)
    return Looked(
        **vars(found)
        | {
            "ci_low": low,
            "ci_high": high,
            "p_value": p_values.get(direction, min(1.0, 2 * min(p_values.values()))),
            "adjusted_estimate": last.quantile(0.5),
        }
    )
