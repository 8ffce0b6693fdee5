"""Selective risk and its curve, against the definition written out item by item."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_scripts.stats.selective import Answers


def summary(em, false_answer, unanswerable, thresholds=()):
    arrays = np.array(em, dtype=float), np.array(false_answer, dtype=float)
    return Answers(*arrays, np.array(unanswerable, dtype=bool)).summary(thresholds)


def test_selective_risk_counts_answers_and_wrong_ones():
    # Correct, wrong, abstained; then unanswerable: answered (wrong), abstained (em 1).
    result = summary(
        [1, 0, 0, 0, 1],
        [0, 1, 0, 1, 0],
        [False, False, False, True, True],
        [0.05, 2 / 3, 0.7],
    )
    assert result.coverage == 3 / 5
    assert result.risk == pytest.approx(2 / 3, abs=1e-12)
    assert result.meets == {"0.05": False, str(2 / 3): True, "0.7": True}


def test_an_arm_that_never_answers_has_no_risk_and_the_largest_area():
    result = summary([0, 0, 0], [0, 0, 0], [False] * 3, [0.1])
    assert (result.coverage, result.risk, result.meets) == (0, None, {})
    assert result.aurc == pytest.approx(1)


def test_an_arm_that_answers_everything_has_its_error_rate_as_area():
    result = summary([1, 0, 1, 1], [0, 1, 0, 0], [False] * 4)
    assert result.aurc == pytest.approx(0.25)


def test_the_area_of_an_arm_that_declines_just_what_it_would_get_wrong():
    # Risk is 0 up to a coverage of 0.6, then (x - 0.6) / x: the integral in closed form.
    result = summary([1] * 6 + [0] * 4, [0] * 10, [False] * 10)
    assert result.aurc == pytest.approx(0.4 + 0.6 * np.log(0.6), abs=1e-12)
    at_random = summary([1] * 6 + [0] * 4, [0] * 6 + [1] * 4, [False] * 10)
    assert result.aurc < at_random.aurc == pytest.approx(0.4)


items = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 4), st.booleans()).map(
        lambda v: (min(v[0], 4 - v[1]) / 4, v[1] / 4, v[2])
    ),
    min_size=1,
    max_size=12,
)


def area_by_steps(answered, wrong, steps=400):
    """The curve's definition: very small portions of each item, the most confident first."""
    n, portions = len(answered), []
    for level in sorted({a for a in answered if a > 0}, reverse=True):
        mass = sum(a for a in answered if a == level)
        errors = sum(w for a, w in zip(answered, wrong, strict=True) if a == level)
        portions += [(mass / steps, errors / steps)] * steps
    declined = n - sum(answered)
    portions += [(declined / steps, declined / steps)] * steps
    area = total = errors = 0.0
    for mass, wrong_mass in portions:
        total, errors = total + mass, errors + wrong_mass
        if total > 0:
            area += mass * (errors - wrong_mass / 2) / (total - mass / 2)
    return area / n


@given(items)
def test_the_area_is_that_of_the_curve_drawn_in_small_steps(values):
    em, false_answer, unanswerable = (np.array(column) for column in zip(*values, strict=True))
    answers = Answers(em, false_answer, unanswerable)
    answered = false_answer + np.where(unanswerable, 0, em)
    expected = area_by_steps(list(answered), list(false_answer))
    result = answers.summary([])
    assert result.aurc == pytest.approx(expected, abs=2e-3)
    assert 0 <= result.aurc <= 1 + 1e-12
    points = answers.points()
    assert [point.coverage for point in points] == sorted(point.coverage for point in points)
    assert points[-1].coverage == pytest.approx(1)
    operating = [point for point in points if point.threshold > 0]
    if operating:
        assert operating[-1].coverage == pytest.approx(result.coverage)
        assert operating[-1].risk == pytest.approx(result.risk)


@given(items)
def test_numbers_of_sums_are_those_of_their_rows_together(values):
    em, false_answer, unanswerable = (np.array(column) for column in zip(*values, strict=True))
    answers = Answers(em, false_answer, unanswerable)
    sums = np.stack([answers.columns.sum(axis=0)] * 3)
    n = np.full(3, float(len(em)))
    assert answers.aurc(2 * sums, 2 * n) == pytest.approx([answers.summary([]).aurc] * 3)
