"""Bootstrap and permutation against scipy, exact enumeration and their invariants."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from workflow_scripts.stats import resampling
from workflow_scripts.stats.resampling import (
    bca_interval,
    bootstrap_sums,
    cluster_sums,
    join_units,
    sign_flip_p,
)


def rng():
    return np.random.default_rng([7, 1])


def clustered(n_items, n_clusters, seed=0):
    """Differences of three values with two columns, and clusters of unequal size."""
    draw = np.random.default_rng(seed)
    differences = draw.choice([-1.0, 0.0, 1.0], size=(n_items, 2), p=[0.2, 0.4, 0.4])
    clusters = np.concatenate([np.arange(n_clusters), draw.integers(n_clusters, size=n_items)])
    return differences, clusters[:n_items]


def bootstrap_means(differences, clusters, samples):
    """Means over items of bootstrap replicates, from their sums."""
    sizes = np.ones((len(differences), 1))
    totals = cluster_sums(np.concatenate([differences, sizes], axis=1), clusters)
    sums = bootstrap_sums(totals, samples, rng())
    return sums[:, :-1] / sums[:, -1:], totals


def bca(differences, clusters, samples, confidence=0.95):
    """The BCa interval of the mean of one column."""
    replicates, totals = bootstrap_means(differences[:, np.newaxis], clusters, samples)
    left = totals.sum(axis=0) - totals
    left_out = left[:, 0] / np.maximum(left[:, 1], 1)
    return bca_interval(replicates[:, 0], float(differences.mean()), left_out, confidence)


def test_cluster_sums():
    sums = cluster_sums(np.array([[1.0, 10], [2, 20], [3, 30]]), np.array([1, 0, 1]))
    assert sums.tolist() == [[2, 20], [4, 40]]


def test_replicates_have_the_exact_distribution_of_whole_clusters():
    differences = np.array([[1.0], [1.0], [0.0], [-1.0]])
    clusters = np.array([0, 0, 1, 2])
    sums, sizes = np.array([2.0, 0, -1]), np.array([2, 1, 1])
    exact = {}
    for draw in itertools.product(range(3), repeat=3):
        mean = round(sums[list(draw)].sum() / sizes[list(draw)].sum(), 9)
        exact[mean] = exact.get(mean, 0) + 1 / 27
    samples = 40_000
    found = np.round(bootstrap_means(differences, clusters, samples)[0][:, 0], 9)
    assert set(found) == set(exact)
    for mean, probability in exact.items():
        error = np.sqrt(probability * (1 - probability) / samples)
        assert np.mean(found == mean) == pytest.approx(probability, abs=5 * error)


def test_bca_is_that_of_scipy_on_the_same_replicates():
    differences = np.random.default_rng(3).gamma(0.5, size=40)
    expected = stats.bootstrap(
        (differences,), np.mean, n_resamples=999, method="BCa", confidence_level=0.9, rng=rng()
    )
    left_out = (differences.sum() - differences) / 39
    found = bca_interval(expected.bootstrap_distribution, differences.mean(), left_out, 0.9)
    assert found == pytest.approx(tuple(expected.confidence_interval), abs=1e-9)


def test_the_interval_is_wider_where_items_of_a_cluster_agree():
    clusters = np.repeat(np.arange(60), 10)
    differences = np.repeat(np.random.default_rng(1).choice([-1.0, 1.0], size=60), 10)
    widths = []
    for groups in (clusters, np.arange(600)):
        low, high = bca(differences, groups, 4000)
        widths.append(high - low)
    # The design effect of ten equal items is ten: standard errors differ by its root.
    assert widths[0] / widths[1] == pytest.approx(np.sqrt(10), rel=0.1)


@pytest.mark.parametrize("differences", [np.zeros(20), np.full(20, 0.3)])
def test_bca_is_undefined_where_nothing_varies(differences):
    assert bca(differences, np.arange(20), 200) is None


def exact_sign_flip_p(differences, clusters):
    totals = cluster_sums(differences, clusters)[:, 0]
    signs = np.array(list(itertools.product([-1, 1], repeat=len(totals))))
    return np.mean(np.abs(signs @ totals) >= abs(totals.sum()) - 1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_permutation_p_is_that_of_all_sign_patterns(seed):
    differences, clusters = clustered(60, 12, seed)
    differences = differences / 3
    exact, samples = exact_sign_flip_p(differences, clusters), 20_000
    found = sign_flip_p(differences, clusters, samples, rng()).two_sided[0]
    assert found == pytest.approx(exact, abs=5 * np.sqrt(exact * (1 - exact) / samples) + 1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_with_few_clusters_the_permutation_p_is_exact(seed):
    differences, clusters = clustered(30, 10, seed)
    found = sign_flip_p(differences, clusters, 1024, rng())
    for column in range(2):
        one = differences[:, [column]]
        assert found.two_sided[column] == pytest.approx(exact_sign_flip_p(one, clusters), abs=1e-12)


@pytest.mark.parametrize(
    ("alternative", "direction"),
    [("two-sided", "two_sided"), ("greater", "increase"), ("less", "decrease")],
)
def test_items_as_their_own_clusters_give_the_permutation_p_of_scipy(alternative, direction):
    differences = np.array([0.3, -0.1, 0.8, 0.5, -0.2, 0.9, 0.4, 0.1, 0.0, 0.7])[:, np.newaxis]
    expected = stats.permutation_test(
        (differences[:, 0], np.zeros(10)),
        lambda x, y, axis: np.mean(x - y, axis=axis),
        permutation_type="samples",
        n_resamples=np.inf,
        vectorized=True,
        alternative=alternative,
    ).pvalue
    found = getattr(sign_flip_p(differences, np.arange(10), 1000, rng()), direction)[0]
    assert found == pytest.approx(expected, abs=1e-9)


def test_a_permutation_p_is_never_0():
    differences = np.ones((200, 1))
    assert sign_flip_p(differences, np.arange(200), 999, rng()).two_sided[0] == 1 / 1000
    assert sign_flip_p(differences[:5], np.arange(5), 999, rng()).two_sided[0] == 2 / 32


def test_without_any_difference_the_permutation_p_is_1():
    assert sign_flip_p(np.zeros((5, 1)), np.arange(5), 999, rng()).two_sided[0] == 1


datasets = st.integers(1, 30).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(-3, 3).map(lambda v: v / 3), min_size=n, max_size=n),
        st.lists(st.integers(0, 5), min_size=n, max_size=n),
    )
)


@given(datasets, st.integers(0, 40))
def test_arms_and_items_without_a_difference_leave_the_permutation_p(data, zeros):
    differences = np.array(data[0])[:, np.newaxis]
    clusters = np.unique(data[1], return_inverse=True)[1]
    p_value = sign_flip_p(differences, clusters, 200, rng())
    swapped = sign_flip_p(-differences, clusters, 200, rng())
    assert swapped.two_sided == p_value.two_sided
    assert (swapped.increase, swapped.decrease) == (p_value.decrease, p_value.increase)
    more = np.concatenate([differences, np.zeros((zeros, 1))])
    own = np.concatenate([clusters, clusters.max() + 1 + np.arange(zeros)])
    assert sign_flip_p(more, own, 200, rng()) == p_value


@given(datasets, st.integers(2, 3))
def test_repeating_the_items_of_each_cluster_changes_nothing(data, times):
    differences, clusters = np.array(data[0]), np.unique(data[1], return_inverse=True)[1]
    more, own = np.tile(differences, times), np.tile(clusters, times)
    one = sign_flip_p(differences[:, np.newaxis], clusters, 200, rng())
    assert sign_flip_p(more[:, np.newaxis], own, 200, rng()) == one
    interval, same = bca(differences, clusters, 100), bca(more, own, 100)
    assert (interval is None) == (same is None)
    assert interval is None or same == pytest.approx(interval, abs=1e-9)


@given(datasets)
def test_swapping_the_arms_mirrors_the_interval(data):
    differences, clusters = np.array(data[0]), np.unique(data[1], return_inverse=True)[1]
    interval, swapped = (bca(sign * differences, clusters, 100, 0.9) for sign in (1, -1))
    assert (interval is None) == (swapped is None)
    assert interval is None or swapped == pytest.approx((-interval[1], -interval[0]), abs=1e-9)


def test_small_chunks_hold_all_samples(monkeypatch):
    monkeypatch.setattr(resampling, "_CHUNK", 50)
    differences, clusters = clustered(100, 20)
    replicates, _ = bootstrap_means(differences, clusters, 1001)
    assert replicates.shape == (1001, 2)
    assert replicates.mean(axis=0) == pytest.approx(differences.mean(axis=0), abs=0.03)
    exact = exact_sign_flip_p(differences[:40, :1], clusters[:40] % 10)
    found = sign_flip_p(differences[:40, :1], clusters[:40] % 10, 1024, rng()).two_sided[0]
    assert found == pytest.approx(exact, abs=1e-12)


def test_many_clusters_are_joined_at_random_and_keep_their_sums(monkeypatch):
    monkeypatch.setattr(resampling, "MOST_UNITS", 400)
    totals = np.random.default_rng(5).normal(0.1, 1, size=(4003, 2))
    joined = join_units(totals, rng())
    assert len(joined) == 400
    assert joined.sum(axis=0) == pytest.approx(totals.sum(axis=0), abs=1e-9)
    # Units of independent clusters have the variance of the sum of their clusters.
    assert 400 * joined.var(axis=0) == pytest.approx(4003 * totals.var(axis=0), rel=0.2)
    assert join_units(totals[:400], rng()) is not None


def test_joined_clusters_keep_the_level_of_the_permutation_test(monkeypatch):
    monkeypatch.setattr(resampling, "MOST_UNITS", 8)
    draw = np.random.default_rng(6)
    found = [
        sign_flip_p(draw.normal(size=(30, 20)), np.arange(30), 256, rng()).two_sided
        for _ in range(30)
    ]
    # 600 tests of a true null hypothesis at 0.1: 60, give or take 3 standard errors.
    assert np.mean(np.concatenate(found) <= 0.1) == pytest.approx(0.1, abs=0.037)
