"""Reliability of stated confidence, against computations of our own."""

from __future__ import annotations

import random

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

from workflow_scripts.stats.calibration import Reliability, reliability


def test_a_worked_example() -> None:
    found = reliability(np.array([0.9, 0.95, 1.0, 0.3, 0.3]), np.array([1.0, 0, 1, 0, 1]), 0.95)
    assert [(each.low, each.n) for each in found.bins] == [(0.3, 2), (0.9, 3)]
    assert found.bins[0].correct == 0.5
    assert found.bins[1].confidence == pytest.approx(0.95)
    assert found.brier_score == pytest.approx((0.01 + 0.9025 + 0 + 0.09 + 0.49) / 5)
    assert found.calibration_error == pytest.approx((2 * 0.2 + 3 * abs(2 / 3 - 0.95)) / 5)


def test_nothing_is_known_of_no_responses() -> None:
    assert reliability(np.array([]), np.array([]), 0.95) == Reliability(0, None, None, [])


def test_against_loops_and_statsmodels() -> None:
    dice = random.Random(5)
    stated = [dice.choice([0, 1, dice.random(), dice.randrange(11) / 10]) for _ in range(400)]
    right = [float(dice.random() < each) for each in stated]
    found = reliability(np.array(stated), np.array(right), 0.9)
    assert found.brier_score == pytest.approx(
        sum((p - y) ** 2 for p, y in zip(stated, right, strict=True)) / 400
    )
    error = 0.0
    bins = iter(found.bins)
    for place in range(10):
        inside = [
            (p, y)
            for p, y in zip(stated, right, strict=True)
            if place / 10 <= p < (place + 1) / 10 or (place == 9 and p == 1)
        ]
        each = next(bins)
        assert (each.n, each.low) == (len(inside), place / 10)
        mean, share = (sum(column) / len(inside) for column in zip(*inside, strict=True))
        assert (each.confidence, each.correct) == pytest.approx((mean, share))
        low, high = proportion_confint(sum(y for _, y in inside), len(inside), 0.1, "wilson")
        assert (each.ci_low, each.ci_high) == pytest.approx((low, high))
        error += len(inside) * abs(mean - share)
    assert found.calibration_error == pytest.approx(error / 400)
