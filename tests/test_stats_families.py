"""Correction for many tests, and which tests are corrected together."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from workflow_scripts.stats.multiplicity import benjamini_hochberg, holm

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


@settings(max_examples=8, deadline=None)  # statsmodels takes its time
@given(st.lists(st.floats(0, 1), max_size=30))
def test_holm_adjusted_p_values_are_those_of_statsmodels(p_values):
    expected = multipletests(p_values, method="holm")[1] if p_values else []
    assert holm(p_values) == pytest.approx(list(expected), abs=1e-9)


def test_holm_adjusts_from_the_smallest_p_up():
    # Holm (1979): 3 * 0.01, then 2 * 0.02; the last may not be smaller than the one before.
    assert holm([0.03, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04], abs=1e-12)
