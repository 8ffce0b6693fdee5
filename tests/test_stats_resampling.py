"""Bootstrap and permutation against scipy, exact enumeration and their invariants."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from workflow_scripts.stats import resampling
from workflow_scripts.stats.resampling import (
    bootstrap_means,
    cluster_sums,
    percentile_interval,
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
    found = np.round(bootstrap_means(differences, clusters, samples, rng())[:, 0], 9)
    assert set(found) == set(exact)
    for mean, probability in exact.items():
        error = np.sqrt(probability * (1 - probability) / samples)
        assert np.mean(found == mean) == pytest.approx(probability, abs=5 * error)


def test_items_as_their_own_clusters_give_the_interval_of_scipy():
    differences, _ = clustered(150, 1)
    replicates = bootstrap_means(differences, np.arange(150), 20_000, rng())
    low, high = percentile_interval(replicates, 0.95)
    expected = stats.bootstrap(
        (differences[:, 0],), np.mean, n_resamples=20_000, method="percentile", rng=rng()
    ).confidence_interval
    assert low[0] == pytest.approx(expected.low, abs=0.01)
    assert high[0] == pytest.approx(expected.high, abs=0.01)


def test_the_interval_is_wider_where_items_of_a_cluster_agree():
    clusters = np.repeat(np.arange(40), 10)
    differences = np.repeat(np.random.default_rng(1).choice([-1.0, 1.0], size=(40, 1)), 10, axis=0)
    widths = []
    for groups in (clusters, np.arange(400)):
        low, high = percentile_interval(bootstrap_means(differences, groups, 4000, rng()), 0.95)
        widths.append(high[0] - low[0])
    # The design effect of ten equal items is ten: standard errors differ by its root.
    assert widths[0] / widths[1] == pytest.approx(np.sqrt(10), rel=0.1)


def exact_sign_flip_p(differences, clusters):
    totals = cluster_sums(differences, clusters)[:, 0]
    signs = np.array(list(itertools.product([-1, 1], repeat=len(totals))))
    return np.mean(np.abs(signs @ totals) >= abs(totals.sum()) - 1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_permutation_p_is_that_of_all_sign_patterns(seed):
    differences, clusters = clustered(60, 12, seed)
    differences = differences / 3
    exact, samples = exact_sign_flip_p(differences, clusters), 20_000
    found = sign_flip_p(differences, clusters, samples, rng())[0]
    assert found == pytest.approx(exact, abs=5 * np.sqrt(exact * (1 - exact) / samples) + 1e-4)


def test_items_as_their_own_clusters_give_the_permutation_p_of_scipy():
    differences = np.array([0.3, -0.1, 0.8, 0.5, -0.2, 0.9, 0.4, 0.1, 0.0, 0.7])[:, np.newaxis]
    expected = stats.permutation_test(
        (differences[:, 0], np.zeros(10)),
        lambda x, y, axis: np.mean(x - y, axis=axis),
        permutation_type="samples",
        n_resamples=np.inf,
        vectorized=True,
    ).pvalue
    found = sign_flip_p(differences, np.arange(10), 20_000, rng())[0]
    assert found == pytest.approx(expected, abs=5 * np.sqrt(expected / 20_000))


def test_a_permutation_p_is_never_0():
    differences = np.ones((200, 1))
    assert sign_flip_p(differences, np.arange(200), 999, rng())[0] == 1 / 1000


def test_without_any_difference_the_permutation_p_is_1():
    assert sign_flip_p(np.zeros((5, 1)), np.arange(5), 999, rng())[0] == 1


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
    assert sign_flip_p(-differences, clusters, 200, rng()) == p_value
    more = np.concatenate([differences, np.zeros((zeros, 1))])
    own = np.concatenate([clusters, clusters.max() + 1 + np.arange(zeros)])
    assert sign_flip_p(more, own, 200, rng()) == p_value


@given(datasets)
def test_swapping_the_arms_mirrors_the_interval(data):
    differences = np.array(data[0])[:, np.newaxis]
    clusters = np.unique(data[1], return_inverse=True)[1]
    low, high = percentile_interval(bootstrap_means(differences, clusters, 100, rng()), 0.9)
    swapped = percentile_interval(bootstrap_means(-differences, clusters, 100, rng()), 0.9)
    assert swapped[0] == pytest.approx(-high, abs=1e-12)
    assert swapped[1] == pytest.approx(-low, abs=1e-12)


def test_small_chunks_hold_all_samples(monkeypatch):
    monkeypatch.setattr(resampling, "_CHUNK", 50)
    differences, clusters = clustered(100, 20)
    replicates = bootstrap_means(differences, clusters, 1001, rng())
    assert replicates.shape == (1001, 2)
    assert replicates.mean(axis=0) == pytest.approx(differences.mean(axis=0), abs=0.03)
    exact = exact_sign_flip_p(differences[:40], clusters[:40] % 10)
    found = sign_flip_p(differences[:40], clusters[:40] % 10, 10_001, rng())[0]
    assert found == pytest.approx(exact, abs=5 * np.sqrt(exact / 10_000) + 1e-4)
