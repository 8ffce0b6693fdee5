"""Non-inferiority by the interval, and how many items would tell."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats
from statsmodels.stats.power import TTestPower

from workflow_scripts.stats.noninferiority import (
    Evidence,
    Worsening,
    additive,
    decide,
    is_trusted_on_one_side,
    items_to_tell,
)

Z = 1.959963984540054
"""The 97.5 % quantile of the normal distribution, from a table."""


def evidence(n=1000, **changes):
    """Independent items, of which 100 differ, with Student's interval."""
    facts = {
        "n_items": n,
        "n_clusters": n,
        "n_differing": 100,
        "method": "cluster_t",
        "standard_error": 0.01,
        "naive_standard_error": 0.01,
        "degrees_of_freedom": n - 1.0,
        "design_effect": 1.0,
    }
    return Evidence(**{**facts, **changes})


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (-0.03, 0.019, "passes"),
        (-0.03, -0.01, "passes"),
        (0.005, 0.015, "passes"),  # worse for sure, and by less than the margin
        (-0.03, 0.02, "cannot_tell"),  # a worsening by the margin is not excluded
        (0.001, 0.03, "cannot_tell"),
        (0.02, 0.06, "worse"),
        (0.03, 0.06, "worse"),
        (None, None, "cannot_tell"),
    ],
)
def test_the_decision_is_where_the_interval_lies(low, high, expected):
    seen = Worsening(0.0, low, high)
    assert decide(seen, 0.02, trusted=True) == expected
    assert decide(seen, 0.02, trusted=False) == "cannot_tell"


def test_worse_is_up_in_every_metric():
    assert Worsening.of("share", "lower", 0.1, 0.05, 0.2) == Worsening(0.1, 0.05, 0.2)
    assert Worsening.of("share", "higher", 0.1, 0.05, 0.2) == Worsening(-0.1, -0.2, -0.05)
    seen = Worsening.of("amount", "higher", 0.5, 0.25, 1.0)
    assert (seen.change, seen.low, seen.high) == pytest.approx((math.log(2), 0.0, math.log(4)))
    assert Worsening.of("share", "higher", 0.1, None, None) == Worsening(-0.1, None, None)


ENDS = st.tuples(st.floats(-1, 1), st.floats(-1, 1)).map(sorted)


@given(ends=ENDS, margin=st.floats(0.001, 0.5), more=st.floats(0, 0.5))
def test_a_wider_margin_is_never_stricter(ends, margin, more):
    seen = Worsening(sum(ends) / 2, *ends)
    rank = ["worse", "cannot_tell", "passes"].index
    assert rank(decide(seen, margin + more, trusted=True)) >= rank(
        decide(seen, margin, trusted=True)
    )


@given(ends=ENDS, margin=st.floats(0.001, 0.9))
def test_an_inverted_metric_decides_the_same(ends, margin):
    one = Worsening.of("share", "lower", 0.0, *ends)
    other = Worsening.of("share", "higher", 0.0, -ends[1], -ends[0])
    assert decide(one, margin, trusted=True) == decide(other, margin, trusted=True)


def test_one_side_needs_more_data_than_two():
    """The limits of benchmarks/stats_coverage.py, in docs/statistics.md."""
    assert is_trusted_on_one_side("share", evidence(n_clusters=30, n_differing=20))
    assert not is_trusted_on_one_side("share", evidence(n_clusters=29))
    assert not is_trusted_on_one_side("share", evidence(n_differing=19))
    assert is_trusted_on_one_side("share", evidence(method="score", n_clusters=30, n_differing=0))
    assert not is_trusted_on_one_side("amount", evidence(n_clusters=49))


def test_items_for_a_t_interval_are_those_of_a_one_sided_t_test():
    deviation = 0.01 * math.sqrt(1000)
    found = items_to_tell("share", Worsening(0.0, -0.02, 0.02), 0.01, evidence(), 0.95, 0.8)
    expected = TTestPower().solve_power(
        effect_size=0.01 / deviation, alpha=0.025, power=0.8, alternative="larger"
    )
    assert found.assumes == "no_change"
    assert found.n_items == pytest.approx(expected, abs=2)


def test_a_run_that_had_enough_items_is_asked_for_those_of_the_observed_change():
    seen = Worsening(0.045, 0.025, 0.065)
    found = items_to_tell("share", seen, 0.05, evidence(), 0.95, 0.8)
    expected = TTestPower().solve_power(
        effect_size=0.005 / (0.01 * math.sqrt(1000)), alpha=0.025, power=0.8, alternative="larger"
    )
    assert found.assumes == "observed_change"
    assert found.n_items == pytest.approx(expected, abs=2)
    at_the_margin = Worsening(0.05, 0.03, 0.07)
    assert items_to_tell("share", at_the_margin, 0.05, evidence(), 0.95, 0.8).n_items is None


def score_z(b, c, n, margin):
    """Tango's statistic of a difference of ``margin``, written down once more (his formula 4)."""
    linear = -b - c + (2 * n - b + c) * margin
    q = (np.sqrt(linear**2 + 8 * n * c * margin * (1 - margin)) - linear) / (4 * n)
    return (b - c - n * margin) / np.sqrt(n * (2 * q + margin * (1 - margin)))


def of_pairs(n, differing, change=0.0, **changes):
    """Independent items with so many pairs that differ, as a share of all."""
    error = math.sqrt((differing - change**2) / (n - 1))
    facts = {"method": "score", "standard_error": error, "naive_standard_error": error}
    return evidence(n, **facts, **changes)


def passing(n, differing, margin):
    """The exact probability that the score interval excludes the margin if nothing changed."""
    b, c = np.meshgrid(np.arange(n + 1), np.arange(n + 1))
    half = differing / 2
    inside = b + c <= n
    b, c = b[inside], c[inside]
    logarithm = special.gammaln(n + 1) - special.gammaln(b + 1) - special.gammaln(c + 1)
    logarithm -= special.gammaln(n - b - c + 1)
    logarithm += (b + c) * math.log(half) + (n - b - c) * math.log(1 - differing)
    return float(np.exp(logarithm)[score_z(b, c, n, margin) < -Z].sum())


@pytest.mark.parametrize(("differing", "margin"), [(0.1, 0.05), (0.3, 0.1), (0.05, 0.05)])
def test_as_many_items_as_asked_for_tell_with_the_power(differing, margin):
    seen = Worsening(0.0, -margin, 2 * margin)
    found = items_to_tell("share", seen, margin, of_pairs(40, differing), 0.95, 0.8)
    assert found.assumes == "no_change"
    assert passing(found.n_items, differing, margin) == pytest.approx(0.8, abs=0.05)


def test_without_any_difference_the_items_are_those_that_exclude_the_margin():
    """Then the statistic is -sqrt(n m / (1 - m)) whatever the data: no power is involved."""
    found = items_to_tell("share", Worsening(0.0, -0.04, 0.04), 0.02, of_pairs(90, 0.0), 0.95, 0.8)
    n = found.n_items
    assert math.sqrt(n * 0.02 / 0.98) > Z > math.sqrt((n - 1) * 0.02 / 0.98)


def test_clustered_items_count_less():
    clusters = {"n_clusters": 100, "degrees_of_freedom": 1e9}
    one = items_to_tell("share", Worsening(0.0, -1, 1), 0.02, of_pairs(200, 0.1), 0.95, 0.8)
    two = items_to_tell(
        *("share", Worsening(0.0, -1, 1), 0.02),
        *(of_pairs(200, 0.1, **clusters, design_effect=2.0), 0.95, 0.8),
    )
    assert two.n_items == pytest.approx(2 * one.n_items, abs=2)


@given(
    counts=st.tuples(st.integers(0, 60), st.integers(0, 60)),
    n=st.integers(121, 500),
    margin=st.floats(0.01, 0.2),
)
def test_what_cannot_be_told_takes_more_items_than_there_are(counts, n, margin):
    b, c = counts
    change = (b - c) / n
    variance = ((b + c) / n - change**2) / (n - 1)
    facts = {"standard_error": math.sqrt(variance), "naive_standard_error": math.sqrt(variance)}
    seen = Worsening(change, -1.0, 1.0)
    if abs(score_z(b, c, n, margin)) >= Z or abs(change - margin) < 1e-6:
        return
    found = items_to_tell("share", seen, margin, evidence(n, method="score", **facts), 0.95, 0.8)
    assert found.n_items is None or found.n_items > n


def test_an_interval_that_is_not_trusted_needs_enough_clusters():
    few = evidence(40, n_clusters=20, n_differing=10, standard_error=0.001)
    decided = Worsening(-0.1, -0.2, -0.05)
    found = items_to_tell("share", decided, 0.02, few, 0.95, 0.8)
    assert (found.n_items, found.assumes) == (80, "enough_clusters")  # 20 of 10 that differ
    none = evidence(40, n_differing=0)
    assert items_to_tell("share", decided, 0.02, none, 0.95, 0.8).n_items is None
    vague = evidence(40, n_clusters=29, standard_error=0.2)
    found = items_to_tell("share", Worsening(0.0, -0.4, 0.4), 0.02, vague, 0.95, 0.8)
    assert found.assumes == "no_change"
    assert found.n_items > 40 * 30 / 29


def test_amounts_are_told_on_the_log_scale():
    assert additive("amount", 1.1) == pytest.approx(math.log(1.1))
    facts = evidence(200, standard_error=0.1, degrees_of_freedom=199.0)
    seen = Worsening.of("amount", "lower", 1.0, 0.8, 1.25)
    found = items_to_tell("amount", seen, math.log(1.1), facts, 0.95, 0.8)
    deviation = 0.1 * math.sqrt(200)
    expected = TTestPower().solve_power(
        effect_size=math.log(1.1) / deviation, alpha=0.025, power=0.8, alternative="larger"
    )
    assert found.n_items == pytest.approx(expected, rel=0.005)


def test_the_interval_is_a_one_sided_test_at_half_its_level():
    """A 95 % interval excludes the margin exactly if the one-sided p value is below 2.5 %."""
    draw = np.random.default_rng(5)
    for _ in range(200):
        values = draw.normal(0.0, 0.3, 40)
        interval = stats.ttest_1samp(values, 0).confidence_interval(0.95)
        seen = Worsening(float(values.mean()), interval.low, interval.high)
        p_value = stats.ttest_1samp(values, 0.1, alternative="less").pvalue
        assert (decide(seen, 0.1, trusted=True) == "passes") == (p_value < 0.025)
