"""The mixed logistic model against closed forms, brute-force integration and its truth."""

import math

import numpy as np
import pytest
from scipy import integrate, optimize, special, stats

from workflow_scripts.stats.mixed import _Likelihood, mixed_logistic


def table(both, only_control, only_treatment, neither):
    control = np.repeat([1.0, 1, 0, 0], [both, only_control, only_treatment, neither])
    treatment = np.repeat([1.0, 0, 1, 0], [both, only_control, only_treatment, neither])
    return control, treatment


@pytest.mark.parametrize("counts", [(40, 12, 25, 23), (300, 15, 40, 145), (60, 20, 8, 12)])
def test_of_one_sample_the_odds_ratio_is_that_of_the_discordant_items(counts):
    # Neuhaus, Kalbfleisch & Hauck (1994): the model then fits the paired table exactly.
    control, treatment = table(*counts)
    n, (b, c) = len(control), counts[1:3]
    found = mixed_logistic(control, treatment, np.arange(n), 1, 0.95)
    assert found.odds_ratio == pytest.approx(c / b, rel=1e-6)
    error = math.sqrt((1 / b + 1 / c) * n / (n - 1))
    half = stats.t.ppf(0.975, n - 1) * error
    assert math.log(found.ci_high / found.odds_ratio) == pytest.approx(half, rel=1e-5)
    assert found.p_value == pytest.approx(
        2 * stats.t.sf(abs(math.log(c / b)) / error, n - 1), rel=1e-4
    )


def test_the_likelihood_is_that_of_adaptive_integration():
    pattern, samples, (level, effect, spread) = np.array([[0.4, 0.8]]), 5, (0.3, 0.7, 2.5)

    def integrand(u):
        p, q = special.expit([level + spread * u, level + effect + spread * u])
        return p**2 * (1 - p) ** 3 * q**4 * (1 - q) * stats.norm.pdf(u)

    expected = math.log(integrate.quad(integrand, -9, 9, epsabs=1e-15)[0])
    found = _Likelihood(pattern, np.ones(1), samples)
    parameters = np.array([level, effect, spread])
    assert -found.value(parameters) == pytest.approx(expected, abs=1e-8)
    gradient = optimize.approx_fprime(parameters, found.value, 1e-6)
    assert found.gradient(parameters) == pytest.approx(gradient, abs=1e-4)
    for row in range(3):
        slope = optimize.approx_fprime(parameters, lambda x, r=row: found.gradient(x)[r], 1e-6)
        assert found.hessian(parameters)[row] == pytest.approx(slope, abs=1e-4)


def made_up(n, effect, seed, size=1, samples=3):
    draw = np.random.default_rng(seed)
    clusters = np.arange(n) // size
    ease = 1.2 * draw.normal(size=n) + (0.8 * draw.normal(size=n)[clusters] if size > 1 else 0)
    rates = [special.expit(shift + ease) for shift in (0.2, 0.2 + effect)]
    arms = [draw.binomial(samples, rate) / samples for rate in rates]
    return *arms, clusters


def test_the_model_finds_what_the_data_were_made_of():
    found = mixed_logistic(*made_up(3000, 0.6, seed=1), 3, 0.95)
    assert found.ci_low < math.exp(0.6) < found.ci_high
    assert math.log(found.ci_high / found.ci_low) < 0.3
    assert found.item_sd == pytest.approx(1.2, abs=0.1)
    assert found.trusted


def test_clusters_widen_the_interval_where_their_items_react_alike():
    draw = np.random.default_rng(4)
    clusters = np.arange(1000) // 10
    after = draw.binomial(1, special.expit(3 * draw.normal(size=100)[clusters]))
    control = draw.binomial(1, 0.5, size=1000).astype(float)
    treatment = np.where(draw.random(1000) < 0.5, after, control)
    one, other = (
        mixed_logistic(control, treatment, groups, 1, 0.95)
        for groups in (clusters, np.arange(1000))
    )
    assert one.odds_ratio == pytest.approx(other.odds_ratio, rel=1e-9)
    widths = [math.log(found.ci_high / found.ci_low) for found in (one, other)]
    assert widths[0] > 1.3 * widths[1]


def test_swapping_the_arms_inverts_the_odds_ratio():
    control, treatment, clusters = made_up(400, 0.5, seed=2, size=5)
    one = mixed_logistic(control, treatment, clusters, 3, 0.95)
    other = mixed_logistic(treatment, control, clusters, 3, 0.95)
    assert other.odds_ratio == pytest.approx(1 / one.odds_ratio, rel=1e-5)
    assert other.ci_low == pytest.approx(1 / one.ci_high, rel=1e-5)
    assert other.p_value == pytest.approx(one.p_value, rel=1e-4)


def test_items_that_depend_against_the_model_have_no_spread_but_an_estimate():
    control, treatment = table(10, 30, 40, 20)
    found = mixed_logistic(control, treatment, np.arange(100), 1, 0.95)
    assert found.item_sd == pytest.approx(0, abs=1e-3)
    assert found.odds_ratio == pytest.approx((50 * 60) / (50 * 40), rel=1e-6)


@pytest.mark.parametrize("counts", [(5, 0, 4, 5), (5, 4, 0, 5), (5, 0, 0, 5)])
def test_without_changes_in_both_directions_there_is_no_finite_estimate(counts):
    control, treatment = table(*counts)
    assert mixed_logistic(control, treatment, np.arange(len(control)), 1, 0.95) is None
