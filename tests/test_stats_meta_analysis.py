"""Synthesis over data sets against statsmodels and a published example."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.meta_analysis import combine_effects

from workflow_scripts.stats.intervals import MeanDifference, mean_difference
from workflow_scripts.stats.meta_analysis import meta_analysis

# Colditz et al. (1994): BCG vaccine and tuberculosis; cases and others, treated and control.
BCG = [
    (4, 119, 11, 128),
    (6, 300, 29, 274),
    (3, 228, 11, 209),
    (62, 13536, 248, 12619),
    (33, 5036, 47, 5761),
    (180, 1361, 372, 1079),
    (8, 2537, 10, 619),
    (505, 87886, 499, 87892),
    (29, 7470, 45, 7232),
    (17, 1699, 65, 1600),
    (186, 50448, 141, 27197),
    (5, 2493, 3, 2338),
    (27, 16886, 29, 17825),
]


def with_errors(effects, errors):
    return {
        str(number): MeanDifference(effect, 100, 100, 50, error, 99.0, error, 1.0)
        for number, (effect, error) in enumerate(zip(effects, errors, strict=True))
    }


def test_the_published_synthesis_of_the_bcg_trials():
    a, b, c, d = np.array(BCG).T
    log_ratios = np.log(a / (a + b)) - np.log(c / (c + d))
    errors = np.sqrt(1 / a - 1 / (a + b) + 1 / c - 1 / (c + d))
    found = meta_analysis(with_errors(log_ratios, errors), 0.95)
    # Viechtbauer (2010), metafor, DerSimonian-Laird.
    assert found.random.estimate == pytest.approx(-0.7141, abs=5e-5)
    assert found.random.standard_error == pytest.approx(0.1787, abs=5e-5)
    assert found.tau2 == pytest.approx(0.3088, abs=5e-5)
    assert found.q == pytest.approx(152.2330, abs=5e-5)
    assert found.i2 == pytest.approx(0.9212, abs=5e-5)
    assert found.q_p < 1e-4


studies = st.lists(st.tuples(st.floats(-0.5, 0.5), st.floats(0.01, 0.3)), min_size=2, max_size=8)


@given(studies)
def test_the_synthesis_is_that_of_statsmodels(values):
    effects, errors = (np.array(column) for column in zip(*values, strict=True))
    found = meta_analysis(with_errors(effects, errors), 0.9)
    with np.errstate(all="ignore"):
        expected = combine_effects(effects, errors**2, method_re="dl")
    # statsmodels does not truncate tau2 at 0; where it is negative, fixed effects hold.
    if expected.tau2 > 0:
        assert found.random.estimate == pytest.approx(expected.mean_effect_re, abs=1e-9)
        assert found.random.standard_error == pytest.approx(expected.sd_eff_w_re, rel=1e-9)
        assert found.hartung_knapp.standard_error == pytest.approx(
            max(expected.sd_eff_w_re_hksj, expected.sd_eff_w_re), rel=1e-9
        )
        low, high = expected.conf_int(alpha=0.1, use_t=False)[1]
        assert (found.random.ci_low, found.random.ci_high) == pytest.approx((low, high), abs=1e-9)
    else:
        assert (found.tau2, found.random.estimate) == (0, pytest.approx(found.fixed.estimate))
    assert found.fixed.estimate == pytest.approx(expected.mean_effect_fe, abs=1e-9)
    assert found.fixed.standard_error == pytest.approx(expected.sd_eff_w_fe, rel=1e-9)
    assert found.q == pytest.approx(expected.q, abs=1e-9)
    assert found.i2 == pytest.approx(max(0, 1 - (len(values) - 1) / max(found.q, 1e-12)))


def test_data_sets_that_agree_do_not_make_the_interval_narrow():
    found = meta_analysis(with_errors([0.02, 0.02], [0.01, 0.01]), 0.95).hartung_knapp
    # Two equal results: the plain variance is 0. It may not fall below that of random effects.
    assert found.standard_error == pytest.approx(0.01 / 2**0.5)
    assert found.ci_high - found.estimate == pytest.approx(
        stats.t.ppf(0.975, 1) * found.standard_error
    )


@pytest.mark.parametrize(("k", "trusted"), [(2, False), (4, False), (5, True)])
def test_hartung_knapp_is_trusted_from_five_data_sets_on(k, trusted):
    found = meta_analysis(with_errors(np.linspace(0, 0.1, k), np.full(k, 0.05)), 0.95)
    assert found.hartung_knapp.trusted == trusted


def test_hartung_knapp_covers_with_few_data_sets():
    draw, covered = np.random.default_rng(4), []
    for _ in range(400):
        k = int(draw.integers(2, 5))
        effects = 0.03 + draw.normal(0, 0.02, size=k)
        found = meta_analysis(with_errors(effects, np.full(k, 0.02)), 0.95).hartung_knapp
        covered.append(found.ci_low <= 0.03 <= found.ci_high)
    assert np.mean(covered) > 0.93


def test_hartung_knapp_uses_t():
    found = meta_analysis(with_errors([0.1, 0.3, 0.2], [0.05, 0.05, 0.05]), 0.95)
    expected = combine_effects(
        np.array([0.1, 0.3, 0.2]), np.full(3, 0.0025), method_re="dl", use_t=True
    )
    low, high = expected.conf_int(use_t=True)[3]
    assert (found.hartung_knapp.ci_low, found.hartung_knapp.ci_high) == pytest.approx(
        (low, high), abs=1e-9
    )


def test_data_sets_without_an_error_are_left_out():
    draw = np.random.default_rng(0)
    usable = {name: mean_difference(draw.normal(size=30), np.arange(30)) for name in ("one", "two")}
    constant = mean_difference(np.zeros(10), np.arange(10))
    single = mean_difference(draw.normal(size=5), np.zeros(5, dtype=int))
    found = meta_analysis({**usable, "constant": constant, "single": single}, 0.95)
    assert list(found.datasets) == ["one", "two"]
    assert meta_analysis({"one": usable["one"], "single": single}, 0.95) is None
