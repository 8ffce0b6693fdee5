"""Selective risk: how often an arm answers, and how often it is wrong when it does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .pairs import BoolArray, FloatArray


@dataclass(frozen=True)
class SelectiveRisk:
    """Coverage and risk of one arm (El-Yaniv & Wiener 2010).

    ``coverage``: share of samples that are answers. ``risk``: share of those that are wrong,
    ``None`` if there are none. ``meets``: threshold -> whether risk is at most that; empty if
    risk is ``None``.
    """

    coverage: float
    risk: float | None
    meets: dict[str, bool]


def selective_risk(
    em: FloatArray,
    false_answer_rate: FloatArray,
    unanswerable: BoolArray,
    thresholds: Sequence[float],
) -> SelectiveRisk:
    """Coverage and risk from per-item scores, shape (items,) each.

    A sample answers exactly where it is a false answer or a correct one, and a correct answer is
    an exact match on an answerable item.
    """
    wrong = float(false_answer_rate.sum())
    answered = wrong + float(em[~unanswerable].sum())
    coverage = answered / len(em)
    if answered == 0:
        return SelectiveRisk(coverage, None, {})
    risk = wrong / answered
    # Means over samples are sums of fractions: 0.1 may come out as 0.1 and a rounding error.
    return SelectiveRisk(coverage, risk, {str(t): risk <= t + 1e-12 for t in thresholds})
