"""Where a function passes 0."""

from __future__ import annotations

from collections.abc import Callable


def root(
    function: Callable[[float], float], low: float, high: float, tolerance: float = 2e-12
) -> float:
    """Return the root between two places where a function has opposite signs (Brent 1973)."""
    from scipy import optimize  # takes 0.5 s, and readers of results do not need it

    return float(optimize.brentq(function, low, high, xtol=tolerance))
