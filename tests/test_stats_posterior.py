"""The posterior of paired proportions against its definition and exact special cases."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, special, stats

from workflow_scripts.stats.posterior import posterior

counts = st.integers(0, 20)


def test_the_posterior_is_that_of_dirichlet_draws():
    cells = np.random.default_rng(0).dirichlet([1.5, 7.5, 14], size=400_000)
    differences = cells[:, 1] - cells[:, 0]
    found = posterior(1, 7, 21, 0.95)
    expected = np.quantile(differences, [0.5, 0.025, 0.975])
    assert (found.median, found.ci_low, found.ci_high) == pytest.approx(expected, abs=2e-3)
    assert found.probability_increase == pytest.approx((differences > 0).mean(), abs=2e-3)


@pytest.mark.parametrize("counts", [(1, 7, 21), (0, 3, 15), (4, 4, 8), (0, 0, 15), (30, 70, 500)])
def test_the_ends_have_the_probabilities_of_the_double_integral(counts):
    b, c, n = counts
    found = posterior(b, c, n, 0.9)
    for value, probability in ((found.ci_low, 0.05), (found.median, 0.5), (found.ci_high, 0.95)):

        def below(share, value=value):
            treated = special.betainc(c + 0.5, b + 0.5, min(1, max(0, (value / share + 1) / 2)))
            density = (b + c) * math.log(share) + (n - b - c) * math.log1p(-share)
            return treated * math.exp(density - special.betaln(b + c + 1, n - b - c + 1))

        expected, _ = integrate.quad(below, 0, 1, points=[abs(value)], limit=400)
        assert expected == pytest.approx(probability, abs=1e-6)


def test_without_the_other_items_the_posterior_is_a_beta_distribution():
    # Where all items are discordant in the limit, the difference is 2 phi - 1.
    found = posterior(20_000, 30_000, 50_000, 0.95)
    expected = 2 * stats.beta(30_000.5, 20_000.5).ppf([0.5, 0.025, 0.975]) - 1
    assert (found.median, found.ci_low, found.ci_high) == pytest.approx(expected, abs=1e-4)


@settings(max_examples=30, deadline=None)
@given(counts, counts, st.integers(0, 50))
def test_swapping_the_arms_mirrors_the_posterior(b, c, rest):
    one, other = posterior(b, c, b + c + rest, 0.95), posterior(c, b, b + c + rest, 0.95)
    assert (other.ci_low, other.ci_high) == pytest.approx((-one.ci_high, -one.ci_low), abs=1e-8)
    assert other.median == pytest.approx(-one.median, abs=1e-8)
    assert other.probability_increase == pytest.approx(1 - one.probability_increase, abs=1e-12)
    assert -1 <= one.ci_low <= one.median <= one.ci_high <= 1
