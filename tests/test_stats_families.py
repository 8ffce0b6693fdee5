"""Correction for many tests, equivalence tests and selective risk."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import ttost_paired

from workflow_scripts.stats.equivalence import tost
from workflow_scripts.stats.multiplicity import benjamini_hochberg
from workflow_scripts.stats.selective import selective_risk

# Benjamini & Hochberg (1995), section 4.1: at 0.05 the four smallest are significant.
THROMBOLYSIS = [
    *(0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459),
    *(0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0000),
]


def test_q_values_of_a_published_example():
    q_values = benjamini_hochberg(THROMBOLYSIS)
    assert [q <= 0.05 for q in q_values] == [True] * 4 + [False] * 11
    assert q_values[3] == pytest.approx(0.0095 * 15 / 4, abs=1e-12)


def test_q_values_are_adjusted_from_the_largest_p_down():
    # From the smallest upward, the first would stay at 0.03 or the second rise above it.
    assert benjamini_hochberg([0.03, 0.01, 0.031]) == pytest.approx([0.031, 0.03, 0.031], abs=1e-12)


@given(st.lists(st.floats(0, 1), max_size=30))
def test_q_values_are_those_of_statsmodels(p_values):
    expected = multipletests(p_values, method="fdr_bh")[1] if p_values else []
    assert benjamini_hochberg(p_values) == pytest.approx(list(expected), abs=1e-9)


@given(st.integers(0, 1000), st.floats(0.01, 0.5))
def test_tost_of_independent_items_is_the_paired_t_test_of_statsmodels(seed, margin):
    differences = np.round(np.random.default_rng(seed).normal(0.05, 0.3, size=25), 6)
    result = tost(differences, np.arange(25), margin, 0.05)
    expected = ttost_paired(differences, np.zeros(25), -margin, margin)[0]
    assert result.p_value == pytest.approx(expected, abs=1e-9)
    assert result.equivalent == (expected < 0.05)
    mirrored = tost(-differences, np.arange(25), margin, 0.05)
    assert mirrored.p_value == pytest.approx(result.p_value, abs=1e-12)


def test_tost_of_clusters_has_the_cluster_robust_standard_error_of_statsmodels():
    draw = np.random.default_rng(2)
    clusters = np.sort(np.concatenate([np.arange(12), draw.integers(12, size=48)]))
    differences = draw.normal(size=12)[clusters] * 0.1 + draw.normal(size=60) * 0.1
    fit = OLS(differences, np.ones(60)).fit(
        cov_type="cluster", cov_kwds={"groups": clusters, "df_correction": True}
    )
    # statsmodels also multiplies by (n - 1) / (n - k), which is 1 for a mean (k = 1).
    se = fit.bse[0]
    mean = differences.mean()
    expected = max(stats.t.sf((mean + 0.1) / se, 11), stats.t.cdf((mean - 0.1) / se, 11))
    assert tost(differences, clusters, 0.1, 0.05).p_value == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("differences", "clusters"),
    [([0.0, 0.0, 0.0], [0, 1, 2]), ([0.1, 0.1], [0, 1]), ([0.0, 1.0], [0, 0])],
)
def test_tost_is_undefined_without_variation_between_clusters(differences, clusters):
    result = tost(np.array(differences), np.array(clusters), 0.1, 0.05)
    assert (result.p_value, result.equivalent) == (None, None)


def test_selective_risk_counts_answers_and_wrong_ones():
    # Correct, wrong, abstained; then unanswerable: answered (wrong), abstained (em 1).
    em = np.array([1.0, 0, 0, 0, 1])
    false_answer = np.array([0.0, 1, 0, 1, 0])
    unanswerable = np.array([False, False, False, True, True])
    result = selective_risk(em, false_answer, unanswerable, [0.05, 2 / 3, 0.7])
    assert result.coverage == 3 / 5
    assert result.risk == pytest.approx(2 / 3, abs=1e-12)
    assert result.meets == {"0.05": False, str(2 / 3): True, "0.7": True}


def test_selective_risk_of_an_arm_that_never_answers_is_undefined():
    result = selective_risk(np.zeros(3), np.zeros(3), np.zeros(3, dtype=bool), [0.1])
    assert (result.coverage, result.risk, result.meets) == (0, None, {})
