"""McNemar's and Wilcoxon's tests against published examples, statsmodels and enumeration."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as reference_mcnemar
from statsmodels.stats.proportion import proportion_confint

from workflow_scripts.stats.paired import (
    discordant_p,
    mcnemar,
    odds_ratio_interval,
    wilcoxon_p,
)

counts = st.integers(0, 60)


def test_mcnemar_of_a_published_example():
    # Fagerland, Lydersen & Laake (2013), table 1 (Bentur et al. 2009): exact 0.070, mid-p 0.039.
    control = np.repeat([1.0, 1.0, 0.0, 0.0], [1, 1, 7, 12])
    treatment = np.repeat([1.0, 0.0, 1.0, 0.0], [1, 1, 7, 12])
    result, undecided = mcnemar(control, treatment, 0.95, independent=True)
    assert (result.both, result.only_control, result.only_treatment, result.neither) == (
        1,
        1,
        7,
        12,
    )
    assert result.p_value == pytest.approx(0.0703125, abs=1e-12)
    assert result.mid_p == pytest.approx(0.0390625, abs=1e-12)
    assert result.odds_ratio == 7
    assert undecided == 0


@given(counts, counts)
def test_exact_p_is_that_of_statsmodels(only_control, only_treatment):
    expected = reference_mcnemar([[3, only_control], [only_treatment, 4]], exact=True).pvalue
    assert discordant_p(only_control, only_treatment)[0] == pytest.approx(expected, abs=1e-9)


@given(counts, counts)
def test_mcnemar_p_stays_when_the_arms_are_swapped(only_control, only_treatment):
    p_value, mid_p = discordant_p(only_control, only_treatment)
    assert discordant_p(only_treatment, only_control) == (p_value, mid_p)
    assert 0 < mid_p <= p_value <= 1


def test_mid_p_of_equal_counts_is_one_less_half_their_probability():
    # Fagerland et al. (2013), supplement, below formula 2.
    assert discordant_p(3, 3) == pytest.approx((1, 1 - 20 / 64 / 2), abs=1e-12)
    assert discordant_p(0, 0) == (1, 1)


def test_samples_vote_and_a_split_vote_leaves_the_item_out():
    control = np.array([2 / 3, 1 / 3, 0.5, 1.0, 0.0])
    treatment = np.array([1 / 3, 1 / 3, 1.0, 0.5, 1.0])
    result, undecided = mcnemar(control, treatment, 0.95, independent=True)
    assert (result.both, result.only_control, result.only_treatment, result.neither) == (0, 1, 1, 1)
    assert undecided == 2


def test_an_odds_ratio_that_would_be_infinite_is_none():
    result, _ = mcnemar(np.zeros(4), np.ones(4), 0.95, independent=True)
    assert (result.odds_ratio, result.odds_ratio_high) == (None, None)
    assert result.odds_ratio_low > 0


@given(counts, counts)
def test_the_odds_ratio_has_the_transformed_interval_of_wilson(only_control, only_treatment):
    low, high = odds_ratio_interval(only_control, only_treatment, 0.9)
    if only_control + only_treatment == 0:
        assert (low, high) == (None, None)
        return
    ends = proportion_confint(only_treatment, only_control + only_treatment, 0.1, "wilson")
    assert low == pytest.approx(ends[0] / (1 - ends[0]), abs=1e-9)
    if only_control == 0:
        assert high is None
    else:
        assert high == pytest.approx(ends[1] / (1 - ends[1]), rel=1e-9)
    swapped = odds_ratio_interval(only_treatment, only_control, 0.9)
    if low and high:
        assert swapped == pytest.approx((1 / high, 1 / low), rel=1e-9)


def test_the_odds_ratio_interval_of_a_published_example():
    # Fagerland, Lydersen & Laake (2014), Bentur et al. (2009): 0.0229 to 0.890, arms swapped.
    low, high = odds_ratio_interval(7, 1, 0.95)
    assert (low, high) == pytest.approx((0.0229, 0.890), abs=5e-4)


def test_a_test_of_independent_items_is_not_trusted_on_clusters():
    control, treatment = np.repeat([1.0, 0.0], [10, 20]), np.repeat([0.0, 1.0], [10, 20])
    assert mcnemar(control, treatment, 0.95, independent=True)[0].odds_ratio_trusted
    assert not mcnemar(control, treatment, 0.95, independent=False)[0].odds_ratio_trusted
    assert not mcnemar(control[8:13], treatment[8:13], 0.95, independent=True)[0].odds_ratio_trusted


def test_wilcoxon_of_a_published_example():
    # Darwin's cross- and self-fertilised plants (Fisher 1935); exact p of the signed-rank test.
    differences = np.array([6, 8, 14, 16, 23, 24, 28, 29, 41, -48, 49, 56, 60, -67, 75]) / 100
    assert wilcoxon_p(differences) == pytest.approx(0.041259765625, abs=1e-12)


def test_wilcoxon_with_ties_is_exact_for_few_items():
    differences = np.array([0.5, 0.5, 1.0, -0.5, 1.0, 0.25, 0.0, 0.0])
    nonzero = differences[differences != 0]
    ranks = stats.rankdata(np.abs(nonzero))
    observed = (ranks * np.sign(nonzero)).sum()
    signs = itertools.product([-1, 1], repeat=len(nonzero))
    sums = np.array([(ranks * pattern).sum() for pattern in signs])
    expected = np.mean(np.abs(sums) >= abs(observed))
    assert wilcoxon_p(differences) == pytest.approx(expected, abs=1e-9)


def test_wilcoxon_of_many_ties_is_the_normal_approximation():
    differences = np.repeat([1.0, -1.0, 0.0], [60, 40, 500])
    # All ranks are equal, so the statistic is that of the sign test: z = (60 - 40) / root 100.
    assert wilcoxon_p(differences) == pytest.approx(2 * stats.norm.sf(2), abs=1e-9)


@settings(max_examples=30)
@given(st.lists(st.integers(-4, 4).map(lambda value: value / 4), max_size=60), st.integers(0, 50))
def test_wilcoxon_ignores_zeros_and_keeps_p_when_the_arms_are_swapped(values, zeros):
    differences = np.array(values)
    p_value = wilcoxon_p(differences)
    assert wilcoxon_p(np.concatenate([differences, np.zeros(zeros)])) == p_value
    assert wilcoxon_p(-differences) == pytest.approx(p_value, abs=1e-12)
    assert (p_value is None) == (not differences.any())
