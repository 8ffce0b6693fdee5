"""Roots against scipy's implementation of Brent's method."""

import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq

from workflow_scripts.stats.roots import root


@given(
    at=st.floats(-5, 5),
    slope=st.floats(0.1, 20),
    low=st.floats(-50, -6),
    high=st.floats(6, 50),
    tolerance=st.sampled_from([1e-6, 2e-12, 1e-14]),
    shape=st.sampled_from([math.tanh, math.cbrt, math.sinh, lambda x: x + x**3]),
)
def test_it_is_that_of_scipy(at, slope, low, high, tolerance, shape):
    def function(x):
        return shape(max(-700.0, min(slope * (x - at), 700.0)))

    found = root(function, low, high, tolerance)
    assert found == brentq(function, low, high, xtol=tolerance)
    assert found == pytest.approx(at, abs=1e-5)


def test_an_end_may_be_the_root():
    assert root(lambda x: x, 0.0, 1.0) == 0.0
    assert root(lambda x: x, -1.0, 0.0) == 0.0


@pytest.mark.parametrize("function", [lambda x: 1.0, lambda x: math.nan])
def test_without_opposite_signs_there_is_none(function):
    with pytest.raises(ValueError, match="opposite signs"):
        root(function, 0.0, 1.0)


def test_a_function_that_is_no_number_between_the_ends_is_an_error():
    with pytest.raises(ValueError, match="not a number at 0"):
        root(lambda x: x if abs(x) == 1 else math.nan, -1.0, 1.0)


def test_comparisons_load_no_part_of_scipy_that_takes_long():
    code = """
import sys
import numpy as np
from workflow_scripts.stats.intervals import t_quantile
from workflow_scripts.stats.multiplicity import benjamini_hochberg
from workflow_scripts.stats.paired import discordant_p, wilcoxon_p
from workflow_scripts.stats.power import smallest_detectable
t_quantile(3, 0.9), smallest_detectable(0.1, 9, 0.05, 0.8), benjamini_hochberg([0.5])
discordant_p(3, 4), wilcoxon_p(np.arange(-9.0, 60))
assert "scipy.special" in sys.modules
assert not {"scipy.stats", "scipy.optimize"} & sys.modules.keys()
"""
    subprocess.run([sys.executable, "-c", code], check=True)
