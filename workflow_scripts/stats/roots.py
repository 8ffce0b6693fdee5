"""Where a function passes 0."""

from __future__ import annotations

from collections.abc import Callable

import scipy


def root(
    function: Callable[[float], float], low: float, high: float, tolerance: float = 2e-12
) -> float:
    """Return the root between two places where a function has opposite signs (Brent 1973)."""
    return float(scipy.optimize.brentq(function, low, high, xtol=tolerance))
