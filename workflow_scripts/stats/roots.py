"""Where a function passes 0."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable

_RELATIVE_TOLERANCE = 4 * sys.float_info.epsilon


def root(
    function: Callable[[float], float], low: float, high: float, tolerance: float = 2e-12
) -> float:
    """Return the root between two places where a function has opposite signs (Brent 1973).

    A step interpolates where that beats halving. The steps are those of ``scipy.optimize.brentq``,
    which takes longer to load than this takes to run.

    Raises:
        ValueError: the signs are equal, or the function is not a number somewhere.
    """
    last, best = low, high
    f_last, f_best = float(function(last)), float(function(best))
    if f_last == 0:
        return last
    if f_best == 0:
        return best
    if not (f_last < 0 < f_best or f_best < 0 < f_last):
        raise ValueError(f"the function has no opposite signs: {f_last} and {f_best}")
    across, f_across = last, f_last  # the root lies between it and `best`
    step = step_before = best - last
    while not math.isnan(f_best):
        if (f_last < 0) != (f_best < 0):
            across, f_across = last, f_last
            step = step_before = best - last
        if abs(f_across) < abs(f_best):
            last, best, across = best, across, best
            f_last, f_best, f_across = f_best, f_across, f_best
        shortest = (tolerance + _RELATIVE_TOLERANCE * abs(best)) / 2
        half = (across - best) / 2
        if f_best == 0 or abs(half) < shortest:
            return best
        tried = half
        if abs(step_before) > shortest and abs(f_best) < abs(f_last):
            if last == across:  # a line through two points
                tried = -f_best * (best - last) / (f_best - f_last)
            else:  # a parabola through three, lying on its side
                to_last = (f_last - f_best) / (last - best)
                to_across = (f_across - f_best) / (across - best)
                numerator = -f_best * (f_across * to_across - f_last * to_last)
                tried = numerator / (to_across * to_last * (f_across - f_last))
            interpolates = 2 * abs(tried) < min(abs(step_before), 3 * abs(half) - shortest)
        else:
            interpolates = False
        step_before, step = (step, tried) if interpolates else (half, half)
        last, f_last = best, f_best
        best += step if abs(step) > shortest else (shortest if half > 0 else -shortest)
        f_best = float(function(best))
    raise ValueError(f"the function is not a number at {best}")
