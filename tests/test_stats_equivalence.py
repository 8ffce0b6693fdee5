"""Equivalence and non-inferiority against statsmodels and the score statistic's definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.weightstats import ttost_paired

from workflow_scripts.stats.equivalence import tost
from workflow_scripts.stats.intervals import DiscordantPairs, mean_difference


def tost_of(better, differences, clusters, margin=0.1, binary=False):
    differences, clusters = np.array(differences), np.array(clusters)
    mean = mean_difference(differences, clusters)
    return tost(better, differences, mean, margin, 0.05, binary=binary)


@given(st.integers(0, 1000), st.floats(0.01, 0.5))
def test_tost_of_independent_items_is_the_paired_t_test_of_statsmodels(seed, margin):
    differences = np.round(np.random.default_rng(seed).normal(0.05, 0.3, size=25), 6)
    result = tost_of("higher", differences, np.arange(25), margin)
    expected, (_, lower_p, _), (_, upper_p, _) = ttost_paired(
        differences, np.zeros(25), -margin, margin
    )
    assert result.p_value == pytest.approx(expected, abs=1e-9)
    assert result.equivalent == (expected < 0.05)
    assert result.non_inferiority_p == pytest.approx(lower_p, abs=1e-9)
    worse = tost_of("lower", differences, np.arange(25), margin)
    assert worse.non_inferiority_p == pytest.approx(upper_p, abs=1e-9)
    mirrored = tost_of("higher", -differences, np.arange(25), margin)
    assert mirrored.p_value == pytest.approx(result.p_value, abs=1e-12)
    assert mirrored.non_inferiority_p == pytest.approx(worse.non_inferiority_p, abs=1e-12)


def test_tost_of_clusters_uses_their_standard_error_and_freedom():
    draw = np.random.default_rng(2)
    clusters = np.sort(np.concatenate([np.arange(12), draw.integers(12, size=48)]))
    differences = draw.normal(size=12)[clusters] * 0.1 + draw.normal(size=60) * 0.1
    mean = mean_difference(differences, clusters)
    t = (0.1 - abs(mean.mean)) / mean.standard_error
    result = tost_of("higher", differences, clusters)
    assert result.p_value == pytest.approx(stats.t.sf(t, mean.freedom), abs=1e-12)
    assert mean.freedom < 11


def test_tost_of_a_binary_metric_is_the_score_test():
    differences = np.repeat([1.0, -1.0, 0.0], [7, 4, 89])
    result = tost_of("higher", differences, np.arange(100), 0.1, binary=True)
    pairs = DiscordantPairs(4, 7, 100, None)
    assert result.p_value == pytest.approx(stats.norm.cdf(pairs.score_z(0.1)), abs=1e-12)
    assert result.non_inferiority_p == pytest.approx(stats.norm.sf(pairs.score_z(-0.1)), abs=1e-12)
    # Equivalent at 5 % exactly where the 90 % interval lies within the margin.
    for margin in np.linspace(0.02, 0.15, 27):
        low, high = pairs.score_interval(0.9)
        found = tost_of("higher", differences, np.arange(100), margin, binary=True)
        assert found.equivalent == (-margin < low and high < margin)


def test_many_items_that_never_differ_are_equivalent():
    assert tost_of("higher", np.zeros(200), np.arange(200), 0.05, binary=True).equivalent
    assert not tost_of("higher", np.zeros(20), np.arange(20), 0.05, binary=True).equivalent


def test_without_a_better_direction_nothing_is_inferior():
    result = tost_of("neither", [0.0, 0.2, 0.1, 0.3], range(4))
    assert result.p_value is not None
    assert (result.non_inferiority_p, result.non_inferior) == (None, None)


def test_few_clusters_are_not_trusted():
    draw = np.random.default_rng(5)
    for n_clusters, trusted in ((10, False), (29, False), (30, True)):
        clusters = np.repeat(np.arange(n_clusters), 4)
        scores = draw.normal(size=len(clusters))
        assert tost_of("higher", scores, clusters).trusted == trusted
        signs = draw.choice([-1.0, 0.0, 1.0], size=len(clusters))
        assert tost_of("higher", signs, clusters, binary=True).trusted == trusted
    few = np.zeros(200)
    few[:19] = 0.5
    assert not tost_of("higher", few, np.arange(200)).trusted
    assert tost_of("higher", np.zeros(200), np.arange(200), binary=True).trusted


@pytest.mark.parametrize("n_clusters", [10, 50])
def test_where_the_tests_are_trusted_they_keep_their_size(n_clusters):
    # A change that is rare, one-sided and alike within a cluster, just at the margin.
    draw, runs = np.random.default_rng(6), 500
    margin = 0.5 * (0.12 - 0.02) / 2.34  # the true difference
    wrong = {"all": 0, "trusted": 0}
    clusters = np.repeat(np.arange(n_clusters), 10)
    for _ in range(runs):
        share = draw.dirichlet([0.12, 0.02, 2.2], size=n_clusters)
        uniform = draw.random((n_clusters, 10))
        gained = uniform < share[:, :1]
        lost = ~gained & (uniform < share[:, :1] + share[:, 1:2])
        differences = (gained * 0.5 - lost * 0.5).ravel()
        found = tost_of("higher", differences, clusters, margin)
        wrong["all"] += bool(found.equivalent)
        wrong["trusted"] += bool(found.equivalent and found.trusted)
    if n_clusters == 10:
        assert wrong["all"] / runs > 0.08
    assert wrong["trusted"] / runs < 0.08


@pytest.mark.parametrize(
    ("differences", "clusters", "binary"),
    [([0.1, 0.1], [0, 1], False), ([0.0, 1.0], [0, 0], True), ([0.0, 0.0], [0, 1], False)],
)
def test_tost_is_undefined_without_clusters_or_variation(differences, clusters, binary):
    result = tost_of("higher", differences, clusters, binary=binary)
    assert (result.p_value, result.equivalent) == (None, None)
