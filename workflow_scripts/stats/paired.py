"""Tests of paired scores that take items as independent: McNemar's and Wilcoxon's."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from . import special
from .scores import BoolArray, FloatArray

_EXACT_SIGNED_RANKS = 50


@dataclass(frozen=True)
class McNemar:
    """Items by whether a metric holds under each arm, with McNemar's exact test.

    ``p_value`` is the exact conditional test's, ``mid_p`` its mid-p version (Fagerland, Lydersen
    & Laake 2013). ``odds_ratio`` is only_treatment / only_control; ``None`` if that divides by 0.
    Its interval is `odds_ratio_interval`'s; an end is ``None`` where it is infinite, both are
    without discordant items. ``odds_ratio_trusted``: whether that interval keeps its level, which
    takes independent items and enough discordant ones.
    """

    both: int
    only_control: int
    only_treatment: int
    neither: int
    p_value: float
    mid_p: float
    odds_ratio: float | None
    odds_ratio_low: float | None = None
    odds_ratio_high: float | None = None
    odds_ratio_trusted: bool = True


ENOUGH_DISCORDANT = 10
"""Fewer discordant items make the odds ratio's interval wider than its level asks for."""


def mcnemar(
    control: FloatArray, treatment: FloatArray, confidence: float, *, independent: bool
) -> tuple[McNemar, int]:
    """McNemar's test of a binary metric; also the number of items it had to leave out.

    A score that is a mean over samples counts as the majority of them; an item that is undecided
    (0.5) under either arm is left out.
    """
    decided = (control != 0.5) & (treatment != 0.5)
    before, after = control[decided] > 0.5, treatment[decided] > 0.5
    only_control = int(np.count_nonzero(before & ~after))
    only_treatment = int(np.count_nonzero(~before & after))
    p_value, mid_p = discordant_p(only_control, only_treatment)
    low, high = odds_ratio_interval(only_control, only_treatment, confidence)
    return McNemar(
        both=int(np.count_nonzero(before & after)),
        only_control=only_control,
        only_treatment=only_treatment,
        neither=int(np.count_nonzero(~before & ~after)),
        p_value=p_value,
        mid_p=mid_p,
        odds_ratio=only_treatment / only_control if only_control else None,
        odds_ratio_low=low,
        odds_ratio_high=high,
        odds_ratio_trusted=independent and only_control + only_treatment >= ENOUGH_DISCORDANT,
    ), int(np.count_nonzero(~decided))


def discordant_p(only_control: int, only_treatment: int) -> tuple[float, float]:
    """Two-sided exact p and mid-p of discordant counts, binomial with probability 1/2.

    p = min(1, 2 P(X <= smaller count)); mid-p = p - P(X = smaller count), or half of that less
    where the counts are equal. Without discordant items both are 1: nothing speaks for either arm.
    """

    discordant = only_control + only_treatment
    if discordant == 0:
        return 1.0, 1.0
    fewer = min(only_control, only_treatment)
    binomial = special._ufuncs  # those of scipy.stats.binom, which takes a second to load
    p_value = min(1.0, 2 * float(binomial._binom_cdf(fewer, discordant, 0.5)))
    at_fewer = float(binomial._binom_pmf(fewer, discordant, 0.5))
    return p_value, p_value - (at_fewer / 2 if only_control == only_treatment else at_fewer)


def odds_ratio_interval(
    only_control: int, only_treatment: int, confidence: float
) -> tuple[float | None, float | None]:
    """Interval of the conditional odds ratio: Wilson's of the treatment's share, transformed.

    Of discordant items a share p = odds ratio / (1 + odds ratio) has the outcome under the
    treatment; the ends of Wilson's score interval of p give those of p / (1 - p) (Fagerland,
    Lydersen & Laake 2014).
    """
    discordant = only_control + only_treatment
    if discordant == 0:
        return None, None
    z2 = float(special.ndtri((1 + confidence) / 2)) ** 2
    middle = only_treatment + z2 / 2
    half = math.sqrt(z2 * (only_control * only_treatment / discordant + z2 / 4))
    low, high = (max(0.0, middle - half), min(discordant + z2, middle + half))
    return (
        0.0 if only_treatment == 0 else low / (discordant + z2 - low),
        None if only_control == 0 else high / (discordant + z2 - high),
    )


def wilcoxon_p(differences: FloatArray) -> float | None:
    """Two-sided p value of Wilcoxon's signed-rank test; ``None`` if all differences are zero.

    Zero differences are discarded and ties get mean ranks (Wilcoxon 1945). Exact for up to 50
    differences, ties or not; beyond that the normal approximation with tie correction and without
    continuity correction, as scipy computes it.
    """

    nonzero = differences[differences != 0]
    if not len(nonzero):
        return None
    ranks, ties = _mean_ranks(np.abs(nonzero))
    if len(nonzero) <= _EXACT_SIGNED_RANKS:
        return _exact_signed_rank_p(ranks, nonzero > 0)
    n = float(len(nonzero))
    expected = n * (n + 1) / 4
    variance = (n * (n + 1) * (2 * n + 1) - np.sum(ties**3 - ties) / 2) / 24
    z = (np.sum((nonzero > 0) * ranks) - expected) / np.sqrt(variance)
    return float(2 * special.ndtr(-abs(z)))


def _mean_ranks(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the rank of each value, the mean one of equal values, and the sizes of the ties."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[place], counts.astype(np.float64)


def _exact_signed_rank_p(ranks: FloatArray, positive: BoolArray) -> float:
    """Twice the smaller tail of the sum of positive ranks over all 2^n sign patterns.

    The distribution is built rank by rank. Mean ranks are multiples of 1/2, so twice the ranks
    are whole numbers. (scipy's exact method enumerates patterns where there are ties: seconds
    for what this does in microseconds.)
    """

    doubled = np.rint(2 * ranks).astype(int)
    chances = np.array([1.0])
    for rank in doubled:
        chances = (np.pad(chances, (0, rank)) + np.pad(chances, (rank, 0))) / 2
    observed = int(doubled[positive].sum())
    return min(1.0, 2 * float(min(chances[: observed + 1].sum(), chances[observed:].sum())))
