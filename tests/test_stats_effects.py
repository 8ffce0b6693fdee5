"""Effect sizes against their definitions, worked examples and scipy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from workflow_scripts.stats.effects import cliffs_delta, cohens_d, hodges_lehmann


def walsh_median(differences):
    """The definition, with all pairs written out."""
    first, second = np.triu_indices(len(differences))
    return float(np.median((differences[first] + differences[second]) / 2))


coarse = st.integers(-6, 6).map(lambda value: value / 6)
fine = st.floats(-1, 1, allow_subnormal=False)
samples = st.lists(st.one_of(coarse, fine), min_size=1, max_size=40).map(np.array)


def test_hodges_lehmann_of_a_published_example():
    # Hollander & Wolfe (1999), examples 3.1 and 3.3: depression scale factors, -0.46.
    before = np.array([1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30])
    after = np.array([0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29])
    assert hodges_lehmann(after - before) == pytest.approx(-0.46, abs=5e-3)


@given(samples, st.sampled_from([0, 3, 100_000]))
def test_hodges_lehmann_is_the_median_of_all_walsh_averages(differences, enumerated):
    # Few pairs may be listed: the rest is found by bisection, which must give the same.
    assert hodges_lehmann(differences, enumerated) == pytest.approx(
        walsh_median(differences), abs=1e-9
    )


@pytest.mark.parametrize("kind", ["continuous", "thirds", "skewed"])
def test_hodges_lehmann_is_no_plain_median_for_large_n(kind):
    rng = np.random.default_rng(5)
    differences = {
        "continuous": rng.gamma(0.5, size=3000),
        "thirds": rng.integers(-3, 4, size=3000) / 3,
        "skewed": rng.choice([-1.0, 0.0, 0.9, 1.0], size=2001, p=[0.1, 0.42, 0.24, 0.24]),
    }[kind]
    expected = walsh_median(differences)
    if kind != "thirds":
        assert abs(expected - np.median(differences)) > 0.05
    assert hodges_lehmann(differences) == pytest.approx(expected, abs=1e-9)


@given(samples)
def test_hodges_lehmann_changes_sign_with_the_arms(differences):
    assert hodges_lehmann(-differences) == pytest.approx(-hodges_lehmann(differences), abs=1e-12)


def test_cohens_d_is_t_over_root_n():
    differences = np.random.default_rng(3).normal(0.2, 1, size=50)
    t = stats.ttest_1samp(differences, 0).statistic
    assert cohens_d(differences) == pytest.approx(t / np.sqrt(50), abs=1e-9)


@pytest.mark.parametrize("differences", [[0.3], [0.0, 0.0], [0.1, 0.1, 0.1]])
def test_cohens_d_is_undefined_without_variation(differences):
    assert cohens_d(np.array(differences)) is None


@given(samples, samples)
def test_cliffs_delta_is_its_definition(control, treatment):
    # Rounded as the function rounds, so that equal scores are equal here too.
    pairs = np.sign(np.subtract.outer(np.round(treatment, 12), np.round(control, 12)))
    assert cliffs_delta(control, treatment) == pytest.approx(pairs.mean(), abs=1e-12)
    assert cliffs_delta(treatment, control) == pytest.approx(-pairs.mean(), abs=1e-12)


def test_cliffs_delta_is_a_rescaled_mann_whitney_u():
    rng = np.random.default_rng(4)
    control, treatment = rng.integers(0, 5, 60) / 4, rng.integers(1, 6, 70) / 4
    u = stats.mannwhitneyu(treatment, control).statistic
    assert cliffs_delta(control, treatment) == pytest.approx(2 * u / (60 * 70) - 1, abs=1e-9)
