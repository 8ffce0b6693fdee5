"""Intervals against statsmodels, scipy, published examples, brute force and their invariants."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats
from statsmodels.regression.linear_model import OLS

from workflow_scripts.stats.intervals import (
    UNDEFINED,
    DiscordantPairs,
    Interval,
    cluster_t_interval,
    is_trusted,
    mean_difference,
    naive_interval,
    score_interval,
)


def clustered(seed=2, n_clusters=12, n_items=60):
    """Differences that clusters share in part, in clusters of unequal size."""
    draw = np.random.default_rng(seed)
    clusters = np.concatenate([np.arange(n_clusters), draw.integers(n_clusters, size=n_items)])
    differences = draw.normal(size=n_clusters)[clusters] * 0.1 + draw.normal(size=len(clusters))
    return differences, clusters


def bell_mccaffrey(clusters):
    """CR2 as its authors define it, with all matrices written out: weights and freedom."""
    n = len(clusters)
    hat = np.full((n, n), 1 / n)
    columns = []
    for cluster in np.unique(clusters):
        rows = np.flatnonzero(clusters == cluster)
        values, vectors = np.linalg.eigh(np.eye(len(rows)) - hat[np.ix_(rows, rows)])
        root = vectors @ np.diag(values**-0.5) @ vectors.T
        columns.append((np.eye(n) - hat)[:, rows] @ root @ np.full(len(rows), 1 / n))
    weights = np.array(columns)
    gram = weights @ weights.T
    return weights, np.trace(gram) ** 2 / (gram**2).sum()


@pytest.mark.parametrize("seed", range(4))
def test_the_standard_error_is_cr2_with_all_matrices_written_out(seed):
    differences, clusters = clustered(seed)
    weights, freedom = bell_mccaffrey(clusters)
    found = mean_difference(differences, clusters)
    assert found.standard_error == pytest.approx(np.sqrt(((weights @ differences) ** 2).sum()))
    assert found.freedom == pytest.approx(freedom, abs=1e-9)


def test_clusters_of_one_size_have_the_cluster_robust_error_of_statsmodels():
    differences, clusters = clustered()
    differences, clusters = differences[:60], np.arange(60) // 5
    fit = OLS(differences, np.ones(60)).fit(cov_type="cluster", cov_kwds={"groups": clusters})
    found = mean_difference(differences, clusters)
    assert found.standard_error == pytest.approx(fit.bse[0], abs=1e-12)
    assert found.freedom == pytest.approx(11, abs=1e-9)


def test_items_as_their_own_clusters_give_the_interval_of_the_paired_t_test():
    differences, _ = clustered()
    found = mean_difference(differences, np.arange(len(differences)))
    expected = stats.ttest_1samp(differences, 0).confidence_interval(0.9)
    for interval in (cluster_t_interval(found, 0.9), naive_interval(found, 0.9)):
        assert (interval.low, interval.high) == pytest.approx(tuple(expected), abs=1e-9)
    assert found.design_effect == pytest.approx(1, abs=1e-12)


def test_the_design_effect_of_equal_items_is_their_number():
    differences = np.repeat(np.random.default_rng(1).normal(size=400), 10)
    found = mean_difference(differences, np.arange(4000) // 10)
    assert found.design_effect == pytest.approx(10, rel=0.01)
    assert found.effective_n == pytest.approx(400, rel=0.01)


def test_one_cluster_has_no_interval():
    found = mean_difference(np.array([0.1, 0.4, 0.0]), np.zeros(3, dtype=int))
    assert found.standard_error is None
    assert cluster_t_interval(found, 0.95).low is None
    assert score_interval(np.array([0.0, 1.0]), found, 0.95).low is None


# Tango's score interval


def test_the_score_interval_of_a_published_example():
    # Fagerland, Lydersen & Laake (2014), Bentur et al. (2009): -0.517 to -0.026, arms swapped.
    found = DiscordantPairs(1, 7, 21, None).score_interval(0.95)
    assert found == pytest.approx((0.026, 0.517), abs=5e-4)


@pytest.mark.parametrize("counts", [(3, 9, 40), (12, 5, 30), (1, 7, 21), (0, 4, 25)])
def test_the_score_statistic_has_the_restricted_maximum_likelihood_estimate(counts):
    c, b, n = counts
    for difference in (-0.2, -0.01, 0.07, 0.3):

        def minus_log_likelihood(q, d=difference):
            with np.errstate(divide="ignore", invalid="ignore"):
                return -(stats.multinomial.logpmf([b, c, n - b - c], n, [q + d, q, 1 - 2 * q - d]))

        least, most = max(0.0, -difference) + 1e-9, (1 - difference) / 2 - 1e-9
        grid = np.linspace(least, most, 2001)
        start = grid[np.nanargmin([minus_log_likelihood(q) for q in grid])]
        step = (most - least) / 2000
        q = optimize.minimize_scalar(
            minus_log_likelihood,
            bounds=(max(least, start - step), min(most, start + step)),
            method="bounded",
            options={"xatol": 1e-12},
        ).x
        expected = (b - c - n * difference) / np.sqrt(n * (2 * q + difference - difference**2))
        found = DiscordantPairs(c, b, n, None).score_z(difference)
        assert found == pytest.approx(expected, rel=1e-4)


counts = st.integers(0, 30)


@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 60))
def test_the_ends_of_the_score_interval_solve_the_equations_of_tango(b, c, rest):
    n, z2 = b + c + rest + 1, stats.norm.ppf(0.975) ** 2
    for d in DiscordantPairs(c, b, n, None).score_interval(0.95):
        # The score equation gives q, which must be a root of the restricted likelihood equation.
        q = ((b - c - n * d) ** 2 / (z2 * n) - d * (1 - d)) / 2
        equation = 2 * n * q**2 + (-b - c + (2 * n - b + c) * d) * q - c * d * (1 - d)
        assert equation / n == pytest.approx(0, abs=1e-9)


@given(counts, counts, st.integers(0, 60))
def test_the_ends_of_the_score_interval_have_the_quantile_as_statistic(b, c, rest):
    pairs = DiscordantPairs(c, b, b + c + rest + 1, None)
    low, high = pairs.score_interval(0.95)
    assert -1 <= low <= (b - c) / pairs.n <= high <= 1
    quantile = stats.norm.ppf(0.975)
    assert low == -1 or pairs.score_z(low) == pytest.approx(quantile, abs=1e-6)
    assert high == 1 or pairs.score_z(high) == pytest.approx(-quantile, abs=1e-6)
    swapped = DiscordantPairs(b, c, pairs.n, None).score_interval(0.95)
    assert swapped == pytest.approx((-high, -low), abs=1e-9)


def test_without_discordant_items_the_score_interval_is_that_of_wilson():
    z2 = stats.norm.ppf(0.975) ** 2
    found = DiscordantPairs(0, 0, 50, None).score_interval(0.95)
    assert found == pytest.approx((-z2 / (50 + z2), z2 / (50 + z2)), abs=1e-9)


def test_clusters_count_as_one_item_where_no_item_differs():
    differences = np.zeros(40)
    found = mean_difference(differences, np.arange(40) // 10)
    pairs = DiscordantPairs.of(differences, found)
    assert (pairs.n, pairs.freedom) == (4, pytest.approx(3))


# Invariants

data = st.integers(2, 25).flatmap(
    lambda n: st.tuples(
        st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=n, max_size=n),
        st.lists(st.integers(0, 6), min_size=n, max_size=n),
    )
)


def intervals(differences, clusters):
    found = mean_difference(differences, clusters)
    return [cluster_t_interval(found, 0.95), score_interval(differences, found, 0.95)]


@given(data)
def test_swapping_the_arms_mirrors_every_interval(values):
    differences, clusters = np.array(values[0]), np.unique(values[1], return_inverse=True)[1]
    pairs = zip(intervals(differences, clusters), intervals(-differences, clusters), strict=True)
    for one, other in pairs:
        if one.low is None:
            assert other.low is None
        else:
            assert (other.low, other.high) == pytest.approx((-one.high, -one.low), abs=1e-9)


@settings(max_examples=60)
@given(data, st.integers(2, 4))
def test_repeating_the_items_of_each_cluster_changes_nothing(values, times):
    differences, clusters = np.array(values[0]), np.unique(values[1], return_inverse=True)[1]
    more = np.tile(differences, times), np.tile(clusters, times)
    one, other = mean_difference(differences, clusters), mean_difference(*more)
    assert other.mean == pytest.approx(one.mean, abs=1e-12)
    if one.standard_error is None:
        assert other.standard_error is None
        return
    assert other.standard_error == pytest.approx(one.standard_error, abs=1e-9)
    assert other.freedom == pytest.approx(one.freedom, rel=1e-9)
    interval, same = cluster_t_interval(one, 0.95), cluster_t_interval(other, 0.95)
    assert (same.low, same.high) == pytest.approx((interval.low, interval.high), abs=1e-9)


def test_what_is_known_to_fail_is_not_trusted():
    # Three differing items of fifty: Student's interval covers 87 % of the time.
    rare = np.zeros(50)
    rare[:3] = [1, 1, -1]
    found = mean_difference(rare, np.arange(50))
    assert not cluster_t_interval(found, 0.95).trusted
    common = np.resize([1.0, 0, -1, 0, 1], 50)
    found = mean_difference(common, np.arange(50))
    assert cluster_t_interval(found, 0.95).trusted
    assert score_interval(common, found, 0.95).trusted
    found = mean_difference(common, np.arange(50) // 10)
    assert not score_interval(common, found, 0.95).trusted
    assert not naive_interval(found, 0.95).trusted
    assert is_trusted("bca", 100, 30)
    assert not is_trusted("bca", 40, 30)


def test_no_interval_of_shares_leaves_what_is_possible():
    low, high = Interval(-1.2, 0.3, trusted=True).of_shares(), Interval(0.9, 1.1, trusted=False)
    assert (low.low, low.high, low.trusted) == (-1.0, 0.3, True)
    assert (high.of_shares().low, high.of_shares().high) == (0.9, 1.0)
    assert UNDEFINED.of_shares() == UNDEFINED


def coverage(n, discordant, difference, least=0):
    """Exact coverage of the score interval over data sets with ``least`` differing items or more.

    Enumerates the counts of items that only one of the arms gets right.
    """
    chances = {}
    only_treatment = (discordant + difference) / 2 / discordant
    for both in range(least, int(stats.binom.isf(1e-6, n, discordant)) + 1):
        for b in range(both + 1):
            chance = stats.binom.pmf(both, n, discordant) * stats.binom.pmf(b, both, only_treatment)
            covered = abs(DiscordantPairs(both - b, b, n, None).score_z(difference)) <= 1.959964
            chances[covered] = chances.get(covered, 0) + chance
    return chances[True] / sum(chances.values())


def test_the_flag_of_the_score_interval_selects_no_data_sets():
    """Data sets that differ more than their kind are not covered as often as all of them are."""
    assert coverage(200, 0.02, 0.01) > 0.95
    assert coverage(200, 0.02, 0.01, least=5) < 0.91
    for n_differing in (0, 3, 5, 40):
        assert is_trusted("score", 200, n_differing)
    assert not is_trusted("score", 29, 20)


@pytest.mark.parametrize("n", [30, 200])
@pytest.mark.parametrize("expected", [0.5, 2, 4, 10])
@pytest.mark.parametrize("lean", [0.0, 0.5, 1.0])
def test_where_the_score_interval_is_trusted_it_covers(n, expected, lean):
    assert coverage(n, expected / n, lean * expected / n) > 0.925
