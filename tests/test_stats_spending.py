"""Alpha spending against published boundaries, exact chances and simulated trials."""

import numpy as np
import pytest
from scipy import stats

from workflow_scripts.stats.intervals import mean_difference, score_interval
from workflow_scripts.stats.looks import by_spending
from workflow_scripts.stats.spending import Paths, boundaries, design, spent

# Lan & DeMets (1983) with the O'Brien-Fleming-type function, two-sided 0.05, equal looks: the
# values that the programs of Reboussin et al. (2000) and the R packages ldbounds and gsDesign
# (sfLDOF) print.
PUBLISHED = {
    1: [1.9600],
    2: [2.9626, 1.9686],
    3: [3.7103, 2.5114, 1.9930],
    4: [4.3326, 2.9631, 2.3590, 2.0141],
    5: [4.8769, 3.3570, 2.6803, 2.2898, 2.0310],
}


@pytest.mark.parametrize("looks", PUBLISHED)
def test_the_boundaries_are_the_published_ones(looks):
    times = [(number + 1) / looks for number in range(looks)]
    assert boundaries(times, times, 0.025) == pytest.approx(PUBLISHED[looks], abs=1e-4)


# Armitage, McPherson & Rowe (1969), table 2: repeated tests at 5 %.
REPEATED = {1: 0.05, 2: 0.083, 3: 0.107, 4: 0.126, 5: 0.142, 10: 0.193, 20: 0.248}


@pytest.mark.parametrize("looks", REPEATED)
def test_repeated_tests_reject_as_often_as_published(looks):
    paths, crossed = Paths(), 0.0
    for time in range(1, looks + 1):
        crossed += 2 * paths.above(time, 1.959964)
        paths.stay(time, 1.959964)
    assert crossed == pytest.approx(REPEATED[looks], abs=6e-4)


@pytest.mark.parametrize("times", [[0.3, 0.35, 1.0], [0.1, 0.9, 0.93], [0.5, 0.99, 1.0]])
@pytest.mark.parametrize("drift", [0.0, 2.0])
def test_uneven_looks_have_the_chances_of_the_normal_distribution(times, drift):
    limits = [2.5, 2.3, 2.1]
    paths = Paths(drift)
    for time, limit in zip(times[:-1], limits, strict=False):
        paths.stay(time, limit)
    roots = np.sqrt(times)
    smaller = np.minimum.outer(times, times)
    joint = stats.multivariate_normal(
        drift * roots, smaller / np.outer(roots, roots), maxpts=4_000_000, abseps=1e-7, releps=1e-7
    )
    limits = np.array(limits)
    expected = joint.cdf([*limits[:2], np.inf], lower_limit=[-2.5, -2.3, 2.1])
    assert paths.above(times[-1], 2.1) == pytest.approx(expected, abs=2e-4)


def test_the_spending_function():
    assert spent(0, 0.025) == 0
    assert spent(1, 0.025) == pytest.approx(0.025, rel=1e-12)
    # 2 - 2 Phi(2.2414 / sqrt(0.5)), Lan & DeMets (1983).
    assert spent(0.5, 0.025) == pytest.approx(0.001525, abs=1e-6)


def test_a_design_of_one_look_is_the_ordinary_test():
    found = design(1, 0.025, 0.8)
    assert found.drift == pytest.approx(stats.norm.isf(0.025) + stats.norm.ppf(0.8), abs=1e-9)
    assert (found.times_one_look, found.expected_share) == pytest.approx((1, 1))


def test_looks_cost_few_items_and_save_many():
    found = design(5, 0.025, 0.8)
    # Jennison & Turnbull (2000), table 2.4: O'Brien & Fleming's own boundaries take 1.028.
    assert found.times_one_look == pytest.approx(1.028, abs=0.005)
    assert 0.7 < found.expected_share < 0.85


# The clustered test of scores


def trial(draw, n_clusters, size, gain, loss, looks):
    """Looks at clusters whose items react alike in part; differences of -1, 0 or 1."""
    of_cluster = draw.dirichlet([5 * gain, 5 * loss, 5 * (1 - gain - loss)], size=n_clusters)
    uniform = draw.random((n_clusters, size))
    gained = uniform < of_cluster[:, :1]
    lost = ~gained & (uniform < of_cluster[:, :1] + of_cluster[:, 1:2])
    differences = gained.astype(float) - lost
    counts = [n_clusters * (k + 1) // looks for k in range(looks)]
    return [(differences[:n].ravel(), np.repeat(np.arange(n), size)) for n in counts]


def test_one_look_is_the_score_interval():
    (look,) = trial(np.random.default_rng(1), 300, 1, 0.1, 0.04, 1)
    found = by_spending([look], 300, 0.05, "either", None, is_last=True)
    interval = score_interval(look[0], mean_difference(*look), 0.95)
    assert (found.ci_low, found.ci_high) == pytest.approx((interval.low, interval.high), abs=1e-6)
    assert found.adjusted_estimate == pytest.approx(found.estimate, abs=1e-6)


@pytest.mark.parametrize("gain", [0.1, 0.2])
def test_level_power_coverage_and_bias_in_clusters(gain):
    draw, runs, true = np.random.default_rng(2), 300, gain - 0.1
    looked, fixed = [], []
    for _ in range(runs):
        looks = trial(draw, 60, 5, gain, 0.1, 4)
        looked.append(by_spending(looks, 300, 0.05, "either", None, is_last=True))
        fixed.append(by_spending(looks[-1:], 300, 0.05, "either", None, is_last=True))
    rejected = np.mean([each.outcome != "undecided" for each in looked])
    covered = np.mean([each.ci_low <= true <= each.ci_high for each in looked])
    above = np.mean([each.adjusted_estimate > true for each in looked])
    assert covered > 0.95 - 3 * np.sqrt(0.05 * 0.95 / runs)
    assert above == pytest.approx(0.5, abs=0.1)
    if gain == 0.1:
        assert rejected < 0.05 + 3 * np.sqrt(0.05 * 0.95 / runs)
    else:
        in_one = np.mean([each.outcome != "undecided" for each in fixed])
        assert rejected > in_one - 0.05  # five looks by betting have half of it
        plain = np.mean([each.estimate for each in looked]) - true
        adjusted = np.mean([each.adjusted_estimate for each in looked]) - true
        assert abs(adjusted) < plain
    for each in looked:  # interval and decision never contradict each other
        assert (each.ci_low > 0) == (each.outcome == "increase")
        assert (each.ci_high < 0) == (each.outcome == "decrease")


def test_items_that_never_come_do_not_keep_the_rest_of_the_level():
    looks = trial(np.random.default_rng(3), 400, 1, 0.13, 0.05, 4)[:3]
    # A fourth wave was planned and all of its requests failed: 300 of 400 items.
    ended = by_spending([*looks, looks[-1]], 400, 0.05, "either", None, is_last=True)
    assert ended.outcome in ("increase", "undecided")
    assert (ended.ci_low > 0) == (ended.outcome == "increase")


@pytest.mark.parametrize("value", [0.0, 0.5])
def test_scores_without_spread_claim_nothing(value):
    look = (np.full(5, value), np.arange(5))
    found = by_spending([look, look], 10, 0.05, "either", None, is_last=True)
    assert found.outcome == "undecided"
    nothing = by_spending(
        [(np.zeros(0), np.zeros(0, dtype=int))], 9, 0.05, "either", 0.1, is_last=True
    )
    assert (nothing.outcome, nothing.ci_low, nothing.ci_high) == ("undecided", -1, 1)
