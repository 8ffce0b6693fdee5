"""Selective risk: how often an arm answers, and how often it is wrong when it does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .intervals import Interval
from .pairs import DECIMALS
from .scores import BoolArray, FloatArray


@dataclass(frozen=True)
class SelectiveRisk:
    """Coverage and risk of one arm (El-Yaniv & Wiener 2010).

    ``coverage``: share of samples that are answers. ``risk``: share of those that are wrong,
    ``None`` if there are none. ``meets``: threshold -> whether risk is at most that; empty if
    risk is ``None``. ``aurc``: area under the risk-coverage curve, from 0 (best) to 1.
    """

    coverage: float
    risk: float | None
    meets: dict[str, bool]
    aurc: float | None = None


@dataclass(frozen=True)
class Point:
    """A point of the risk-coverage curve: answer where at least ``threshold`` of samples do."""

    threshold: float
    coverage: float
    risk: float


@dataclass(frozen=True)
class SelectiveDifference:
    """Treatment minus control of one of the arms' numbers, with its BCa interval."""

    difference: float | None
    interval: Interval


class Answers:
    """The answers of one arm, by how confident the arm is: the sums behind its curve.

    An item's confidence is the share of its samples that are answers. ``columns`` has a row per
    item: for each confidence level, from the highest down, its answers and its wrong answers.
    Sums over items (or over a bootstrap replicate) then give all numbers of `SelectiveRisk`.
    """

    def __init__(self, correct: FloatArray, wrong: FloatArray, declined: BoolArray) -> None:
        """Take per-item shares of samples, shape (items,) each.

        A sample is an answer where it is wrong, or correct on an item that is not to be
        ``declined``.
        """
        answered = np.round(wrong + np.where(declined, 0.0, correct), DECIMALS)
        self.levels = np.unique(answered[answered > 0])[::-1]
        at_level = answered[:, np.newaxis] == self.levels
        self.columns = np.concatenate(
            [at_level * answered[:, np.newaxis], at_level * wrong[:, np.newaxis]],
            axis=1,
        )

    def coverage(self, sums: FloatArray, n: FloatArray) -> FloatArray:
        """Share of samples that are answers; ``sums`` (..., columns), ``n`` (...) items."""
        answered: FloatArray = sums[..., : len(self.levels)].sum(axis=-1) / n
        return answered

    def risk(self, sums: FloatArray, n: FloatArray) -> FloatArray:
        """Share of answers that are wrong, NaN where there are none."""
        answered = sums[..., : len(self.levels)].sum(axis=-1)
        wrong = sums[..., len(self.levels) :].sum(axis=-1)
        unknown = np.full_like(wrong, np.nan)
        risk: FloatArray = np.divide(wrong, answered, out=unknown, where=answered > 0)
        return risk

    def aurc(self, sums: FloatArray, n: FloatArray) -> FloatArray:
        """Area under the risk-coverage curve (Geifman, Uziel & El-Yaniv 2019), from 0 to 1.

        Items are answered from the most confident down, those of one level in random order: with
        W wrong of A answers before a level of a answers, w of them wrong, risk at x of its
        answers is (W + x w / a) / (A + x). What the arm declines comes last and counts as wrong,
        so that arms that answer different shares are compared over the same range.
        """
        levels = len(self.levels)
        answered, wrong = sums[..., :levels], sums[..., levels:]
        declined = (n - answered.sum(axis=-1))[..., np.newaxis]
        answered = np.concatenate([answered, declined], axis=-1)
        wrong = np.concatenate([wrong, declined], axis=-1)
        rate = np.divide(wrong, answered, out=np.zeros_like(wrong), where=answered > 0)
        before = np.cumsum(answered, axis=-1) - answered
        excess = np.cumsum(wrong, axis=-1) - wrong - rate * before
        growth = np.divide(answered, before, out=np.zeros_like(wrong), where=before > 0)
        area: FloatArray = (rate * answered + excess * np.log1p(growth)).sum(axis=-1) / n
        return area

    def points(self) -> list[Point]:
        """The curve: a point per confidence level, and at last everything, answered or not."""
        levels, n = len(self.levels), len(self.columns)
        sums = self.columns.sum(axis=0)
        answered, wrong = np.cumsum(sums[:levels]), np.cumsum(sums[levels:])
        found = [
            Point(float(level), float(a / n), float(w / a))
            for level, a, w in zip(self.levels, answered, wrong, strict=True)
        ]
        total, errors = (float(x[-1]) if levels else 0.0 for x in (answered, wrong))
        if n - total > 1e-9 * n:
            found.append(Point(0.0, 1.0, (errors + n - total) / n))
        return found

    def summary(self, thresholds: Sequence[float]) -> SelectiveRisk:
        """The arm's numbers over all items."""
        sums, n = self.columns.sum(axis=0), np.array(float(len(self.columns)))
        coverage, area = float(self.coverage(sums, n)), float(self.aurc(sums, n))
        risk = float(self.risk(sums, n))
        if np.isnan(risk):
            return SelectiveRisk(coverage, None, {}, area)
        # Means over samples are sums of fractions: 0.1 may come out as 0.1 and a rounding error.
        return SelectiveRisk(coverage, risk, {str(t): risk <= t + 1e-12 for t in thresholds}, area)
