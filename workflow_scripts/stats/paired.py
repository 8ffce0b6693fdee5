"""Tests of paired scores that take items as independent: McNemar's and Wilcoxon's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from .pairs import FloatArray


@dataclass(frozen=True)
class McNemar:
    """Items by whether a metric holds under each arm, with McNemar's exact test.

    ``p_value`` is the exact conditional test's, ``mid_p`` its mid-p version (Fagerland, Lydersen
    & Laake 2013). ``odds_ratio`` is only_treatment / only_control; ``None`` if that divides by 0.
    """

    both: int
    only_control: int
    only_treatment: int
    neither: int
    p_value: float
    mid_p: float
    odds_ratio: float | None


def mcnemar(control: FloatArray, treatment: FloatArray) -> tuple[McNemar, int]:
    """McNemar's test of a binary metric; also the number of items it had to leave out.

    A score that is a mean over samples counts as the majority of them; an item that is undecided
    (0.5) under either arm is left out.
    """
    decided = (control != 0.5) & (treatment != 0.5)
    before, after = control[decided] > 0.5, treatment[decided] > 0.5
    only_control = int(np.count_nonzero(before & ~after))
    only_treatment = int(np.count_nonzero(~before & after))
    p_value, mid_p = discordant_p(only_control, only_treatment)
    return McNemar(
        both=int(np.count_nonzero(before & after)),
        only_control=only_control,
        only_treatment=only_treatment,
        neither=int(np.count_nonzero(~before & ~after)),
        p_value=p_value,
        mid_p=mid_p,
        odds_ratio=only_treatment / only_control if only_control else None,
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
    p_value = min(1.0, 2 * float(stats.binom.cdf(fewer, discordant, 0.5)))
    at_fewer = float(stats.binom.pmf(fewer, discordant, 0.5))
    return p_value, p_value - (at_fewer / 2 if only_control == only_treatment else at_fewer)


def wilcoxon_p(differences: FloatArray) -> float | None:
    """Two-sided p value of Wilcoxon's signed-rank test; ``None`` if all differences are zero.

    Zero differences are discarded (Wilcoxon 1945). scipy's "auto" method then is exact for up to
    50 differences without ties and up to 13 with ties, and beyond that the normal approximation
    with tie correction and without continuity correction.
    """
    nonzero = differences[differences != 0]
    if not len(nonzero):
        return None
    return float(stats.wilcoxon(nonzero, zero_method="wilcox", method="auto").pvalue)
