"""Calibration: are responses right as often as they say?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .scores import FloatArray

_BINS = 10


@dataclass(frozen=True)
class ConfidenceBin:
    """The responses whose stated confidence lies in one tenth of the range.

    ``confidence``: their mean confidence. ``correct``: the share that is right, with its Wilson
    interval, which takes responses as independent.
    """

    low: float
    high: float
    n: int
    confidence: float
    correct: float
    ci_low: float
    ci_high: float


@dataclass(frozen=True)
class Reliability:
    """How well stated confidence agrees with how often responses are right.

    ``brier_score``: mean squared difference between the confidence and 1 (right) or 0 (wrong),
    Brier 1950. ``calibration_error``: mean distance between confidence and share right over the
    bins, weighted by their responses (Naeini, Cooper & Hauskrecht 2015). Both are 0 at best, and
    ``None`` without responses.
    """

    n: int
    brier_score: float | None
    calibration_error: float | None
    bins: list[ConfidenceBin]


def reliability(confidence: FloatArray, correct: FloatArray, level: float) -> Reliability:
    """Compute the reliability of one arm's responses.

    Args:
        confidence: stated probabilities of being right, from 0 to 1.
        correct: 1 where the response is right, else 0.
        level: of the intervals, such as 0.95.
    """
    if not len(confidence):
        return Reliability(0, None, None, [])
    # 1 belongs to the last bin; rounded, because 0.3 * 10 is less than 3.
    places = np.minimum(np.floor(np.round(confidence * _BINS, 9)), _BINS - 1).astype(int)
    bins = [
        _bin(int(place), confidence[places == place], correct[places == place], level)
        for place in np.unique(places)
    ]
    errors = [each.n * abs(each.correct - each.confidence) for each in bins]
    return Reliability(
        n=len(confidence),
        brier_score=float(np.mean((confidence - correct) ** 2)),
        calibration_error=sum(errors) / len(confidence),
        bins=bins,
    )


def _bin(place: int, confidence: FloatArray, correct: FloatArray, level: float) -> ConfidenceBin:
    from scipy.stats import binomtest

    n, right = len(correct), int(correct.sum())
    interval = binomtest(right, n).proportion_ci(level, method="wilson")
    return ConfidenceBin(
        low=place / _BINS,
        high=(place + 1) / _BINS,
        n=n,
        confidence=float(confidence.mean()),
        correct=right / n,
        ci_low=float(interval.low),
        ci_high=float(interval.high),
    )
