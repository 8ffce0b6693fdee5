"""The interaction of an effect with two parts of the items, against matrices and statsmodels."""

import itertools

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import linalg, stats

from workflow_scripts.stats.interaction import interaction, interaction_sums
from workflow_scripts.stats.intervals import cluster_t_interval
from workflow_scripts.stats.multiplicity import benjamini_hochberg
from workflow_scripts.stats.pairs import numbered
from workflow_scripts.stats.resampling import FEW_UNITS, sign_flip_p_of_many, units_of


def made_up(seed, n=60, n_clusters=12):
    """Differences of items, in clusters of unequal sizes that mostly lie in both parts."""
    draw = np.random.default_rng(seed)
    clusters = numbered(draw.integers(n_clusters, size=n))
    second = draw.random(n) < 0.35
    values = draw.normal(size=n) + 0.5 * draw.normal(size=n_clusters)[clusters] + 0.4 * second
    return values, clusters, second


def by_matrices(values, clusters, second):
    """CR2 and its degrees of freedom, written down as Pustejovsky and Tipton (2018) do."""
    n = len(values)
    x = np.stack([np.ones(n), second], axis=1).astype(float)
    bread = np.linalg.inv(x.T @ x)
    residuals = values - x @ bread @ x.T @ values
    contrast, hat = np.array([0.0, 1.0]), x @ bread @ x.T
    variance, columns = 0.0, []
    for cluster in np.unique(clusters):
        rows = clusters == cluster
        left = np.eye(rows.sum()) - hat[np.ix_(rows, rows)]
        adjusted = linalg.fractional_matrix_power(left, -0.5).real
        weights = adjusted @ x[rows] @ bread @ contrast
        variance += (weights @ residuals[rows]) ** 2
        columns.append((np.eye(n) - hat)[:, rows] @ weights)
    products = np.array(columns) @ np.array(columns).T
    return np.sqrt(variance), np.trace(products) ** 2 / np.sum(products**2)


@pytest.mark.parametrize("seed", range(6))
def test_error_and_freedom_are_those_of_the_regression_on_both_parts(seed):
    values, clusters, second = made_up(seed)
    found = interaction(values, clusters, second)
    error, freedom = by_matrices(values, clusters, second)
    assert found.mean == pytest.approx(values[second].mean() - values[~second].mean())
    assert found.standard_error == pytest.approx(error, rel=1e-9)
    assert found.freedom == pytest.approx(freedom, rel=1e-9)
    half = stats.t.ppf(0.975, freedom) * error
    interval = cluster_t_interval(found, 0.95)
    assert (interval.high - interval.low) / 2 == pytest.approx(half, rel=1e-8)


def test_balanced_clusters_get_the_cluster_robust_error_of_statsmodels():
    """There CR2 is Liang and Zeger's estimate with the factor G / (G - 1)."""
    draw = np.random.default_rng(1)
    clusters, second = np.repeat(np.arange(20), 6), np.tile([False] * 4 + [True] * 2, 20)
    values = draw.normal(size=120) + draw.normal(size=20)[clusters] * (1 + second)
    model = sm.OLS(values, sm.add_constant(second.astype(float))).fit(
        cov_type="cluster", cov_kwds={"groups": clusters, "use_correction": False}
    )
    found = interaction(values, clusters, second)
    assert found.mean == pytest.approx(model.params[1], rel=1e-9)
    assert found.standard_error == pytest.approx(model.bse[1] * np.sqrt(20 / 19), rel=1e-9)
    apart = interaction(values, np.arange(120), second)
    assert found.standard_error != pytest.approx(apart.standard_error, rel=0.05)


def test_items_that_share_nothing_get_welchs_error():
    values, _, second = made_up(3, n=40)
    found = interaction(values, np.arange(40), second)
    test = stats.ttest_ind(values[second], values[~second], equal_var=False)
    assert found.mean / found.standard_error == pytest.approx(test.statistic, rel=1e-9)


def test_a_part_in_one_cluster_has_no_error():
    values, clusters, _ = made_up(0)
    assert interaction(values, clusters, clusters == 3) is None
    assert interaction(values, clusters, clusters < 0) is None


@pytest.mark.parametrize("seed", range(4))
def test_with_few_clusters_all_sign_patterns_are_counted(seed):
    values, clusters, second = made_up(seed, n=30, n_clusters=9)
    centred = values - values.mean()
    share = np.where(second, 1 / second.sum(), -1 / (~second).sum())
    sums = [np.sum((share * centred)[clusters == g]) for g in range(clusters.max() + 1)]
    observed = values[second].mean() - values[~second].mean()
    assert sum(sums) == pytest.approx(observed)
    flipped = [np.dot(signs, sums) for signs in itertools.product((-1, 1), repeat=len(sums))]
    expected = np.mean(np.abs(flipped) >= abs(observed) - 1e-9)
    units = units_of(interaction_sums(values, clusters, second), 7)
    (p_value,) = sign_flip_p_of_many([units], 1000, np.random.default_rng(0), 1000)
    assert p_value == pytest.approx(expected, abs=1e-12)
    moved = units_of(interaction_sums(values + 3, clusters, second), 7)
    (again,) = sign_flip_p_of_many([moved], 1000, np.random.default_rng(0), 1000)
    assert again == pytest.approx(expected, abs=1e-12)  # an effect on all items is none here


def test_tests_that_share_patterns_have_the_p_values_of_each_alone():
    """Against the normal distribution, which sums of many signs follow, and one of few alone."""
    draw = np.random.default_rng(5)
    many = [draw.normal(shift, 1, size=500) for shift in (0, 0.05, 0.1, 0.25)]
    few = np.array([1.0, 2.0, -0.5, 3.0])
    tests = [units_of(each, 1) for each in (*many, few)]
    assert [len(each) for each in tests] == [FEW_UNITS] * 4 + [4]
    p_values = sign_flip_p_of_many(tests, 20_000, np.random.default_rng(0), 200_000)
    for units, p_value in zip(tests[:4], p_values, strict=False):
        z = units.sum() / np.sqrt((units**2).sum())
        assert p_value == pytest.approx(2 * stats.norm.sf(abs(z)), abs=0.012)
    assert p_values[3] < 1e-4  # from more patterns: 20,000 could not say so
    assert p_values[4] == 4 / 16  # 6.5 and 5.5 + ... with both signs
    assert sign_flip_p_of_many([np.array([])], 100, np.random.default_rng(0), 0) == [1.0]
    assert benjamini_hochberg(p_values) == pytest.approx(stats.false_discovery_control(p_values))


def test_the_test_keeps_its_level_and_the_interval_covers():
    """Items of a cluster react alike, in both parts; the arms differ, equally in both."""
    draw = np.random.default_rng(11)
    rejected, covered, runs = [], [], 400
    for _ in range(runs):
        clusters = np.repeat(np.arange(40), draw.integers(1, 10, size=40))
        n = len(clusters)
        second = draw.random(n) < 0.3
        values = 0.3 + 0.5 * draw.normal(size=40)[clusters] + draw.normal(size=n)
        found = interaction(values, clusters, second)
        interval = cluster_t_interval(found, 0.95)
        covered.append(interval.low <= 0 <= interval.high)
        units = units_of(interaction_sums(values, clusters, second), 1)
        (p_value,) = sign_flip_p_of_many([units], 300, draw, 300)
        rejected.append(p_value <= 0.05)
    assert 0.92 < np.mean(covered) < 0.98
    assert np.mean(rejected) < 0.08
