"""Power against statsmodels and against what it promises."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, special, stats
from statsmodels.stats.power import TTestPower

from workflow_scripts.stats.intervals import MeanDifference, cluster_t_interval, mean_difference
from workflow_scripts.stats.power import power_of, t_test_power


def of_unit_deviation(n):
    return MeanDifference(0.0, n, n, n, n**-0.5, n - 1.0, n**-0.5, 1.0)


@pytest.mark.parametrize(("n", "alpha", "power"), [(15, 0.05, 0.8), (200, 0.01, 0.9)])
def test_the_smallest_detectable_difference_is_that_of_statsmodels(n, alpha, power):
    found = power_of(of_unit_deviation(n), alpha, power, []).smallest_detectable
    assert found == pytest.approx(
        TTestPower().solve_power(nobs=n, alpha=alpha, power=power), rel=1e-4
    )
    # Its solver stops early; its power function does not.
    assert TTestPower().power(found, n, alpha) == pytest.approx(power, abs=1e-9)


def test_the_items_needed_are_those_of_statsmodels():
    found = power_of(of_unit_deviation(500), 0.05, 0.8, [0.5, 0.1])
    for effect, needed in ((0.5, "0.5"), (0.1, "0.1")):
        expected = TTestPower().solve_power(effect_size=effect, alpha=0.05, power=0.8)
        # Freedom grows in proportion here, n - 1 there: less than one item.
        assert found.items_needed[needed] == pytest.approx(np.ceil(expected), abs=1)


def test_the_power_function_is_that_of_statsmodels():
    for effect, n in ((0.1, 30), (0.5, 12), (0.02, 4000)):
        expected = TTestPower().power(effect, n, 0.05)
        assert t_test_power(effect * n**0.5, n - 1, 0.05) == pytest.approx(expected, abs=1e-9)


def integrated_power(noncentrality, freedom, alpha):
    """The definition by adaptive quadrature: over S = chi / sqrt(freedom) of the t variable."""
    critical, root = stats.t.isf(alpha / 2, freedom), np.sqrt(freedom)

    def density(s):
        rejected = special.ndtr(noncentrality - critical * s)
        rejected += special.ndtr(-noncentrality - critical * s)
        return stats.chi.pdf(s * root, freedom) * root * rejected

    width = 1 / np.sqrt(2 * freedom)
    low, high = max(0.0, 1 - 40 * width), 1 + 60 * width
    turn = min(max(noncentrality / critical, low), high)
    points = sorted({low, max(low, 1 - 5 * width), turn, 1.0, 1 + 5 * width, high})
    return sum(
        integrate.quad(density, start, end, limit=200, epsabs=1e-11)[0]
        for start, end in itertools.pairwise(points)
    )


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 6), st.floats(1e-3, 200), st.sampled_from([0.1, 0.05, 0.001]))
def test_the_power_function_is_its_integral_at_every_size(magnitude, noncentrality, alpha):
    """Where scipy's noncentral t distribution is NaN at scattered points, too."""
    freedom = 10**magnitude
    found = t_test_power(noncentrality, freedom, alpha)
    assert found == pytest.approx(integrated_power(noncentrality, freedom, alpha), abs=1e-4)
    if freedom > 3:
        assert found == pytest.approx(integrated_power(noncentrality, freedom, alpha), abs=1e-7)


designs = st.tuples(
    st.integers(20, 1_000_000), st.floats(0, 1), st.floats(-1, 1), st.integers(1, 60)
)


@settings(max_examples=80, deadline=None)
@given(designs, st.sampled_from([0.05, 0.01]))
def test_there_is_a_power_for_every_size_discordance_and_clustering(design, alpha):
    n, discordance, lean, cluster_size = design
    n_discordant = max(2, int(n * discordance))
    gained = round(n_discordant * (1 + lean) / 2)
    if n <= 20_000:
        differences = np.zeros(n)
        differences[:gained], differences[gained:n_discordant] = 1, -1
        np.random.default_rng(n).shuffle(differences)
        mean = mean_difference(differences, np.arange(n) // cluster_size)
        if not mean.standard_error:
            return
    else:  # the same numbers without a million items
        share, difference = n_discordant / n, (2 * gained - n_discordant) / n
        error = np.sqrt(max(share - difference**2, 1e-9) * cluster_size / n)
        clusters = -(-n // cluster_size)
        mean = MeanDifference(
            difference, n, clusters, clusters, error, clusters - 1.0, error, cluster_size
        )
    found = power_of(mean, alpha, 0.8, [0.001, 0.01, 0.5])
    ratio = found.smallest_detectable / mean.standard_error
    assert integrated_power(ratio, mean.freedom, alpha) == pytest.approx(0.8, abs=1e-4)
    needed = list(found.items_needed.values())
    assert needed == sorted(needed, reverse=True)
    assert needed[-1] >= 1


def test_a_power_below_the_level_is_no_question():
    assert power_of(of_unit_deviation(100), 0.1, 0.06, [0.1]) is None


def test_the_design_effect_makes_more_items_necessary():
    differences = np.repeat(np.random.default_rng(1).normal(size=300), 10)
    alone = power_of(mean_difference(differences, np.arange(3000)), 0.05, 0.8, [0.02])
    clustered = power_of(mean_difference(differences, np.arange(3000) // 10), 0.05, 0.8, [0.02])
    ratio = clustered.items_needed["0.02"] / alone.items_needed["0.02"]
    assert ratio == pytest.approx(10, rel=0.02)
    assert clustered.smallest_detectable == pytest.approx(
        alone.smallest_detectable * 10**0.5, rel=0.02
    )


def test_the_smallest_detectable_difference_is_detected_as_often_as_promised():
    draw, n = np.random.default_rng(2), 40
    effect = power_of(of_unit_deviation(n), 0.05, 0.8, []).smallest_detectable
    found = 0
    for _ in range(1000):
        mean = mean_difference(draw.normal(effect, 1, size=n), np.arange(n))
        found += cluster_t_interval(mean, 0.95).low > 0
    assert found / 1000 == pytest.approx(0.8, abs=0.04)


def test_power_from_few_items_that_differ_is_not_trusted():
    few, many = np.zeros(300), np.zeros(300)
    few[:3], many[:30] = 1, 1
    assert not power_of(mean_difference(few, np.arange(300)), 0.05, 0.8, []).trusted
    assert power_of(mean_difference(many, np.arange(300)), 0.05, 0.8, []).trusted


def test_without_variation_there_is_no_power_to_speak_of():
    assert power_of(mean_difference(np.zeros(9), np.arange(9)), 0.05, 0.8, [0.1]) is None
    one = mean_difference(np.array([0.1, 0.4]), np.zeros(2, dtype=int))
    assert power_of(one, 0.05, 0.8, [0.1]) is None
