"""Which items people label: a random sample by seed, with the chance of each item written down."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LEAST_OTHERS = 2
"""Items drawn from each stratum at least: a variance needs two."""


@dataclass(frozen=True)
class Drawn:
    """A drawn unit by its number, with the chance with which units of its stratum were drawn."""

    unit: int
    probability: float


def draw(differing: Sequence[bool], size: int, share: float, seed: int) -> list[Drawn]:
    """Return the first ``size`` units of a random order, ``share`` of them from those that differ.

    Units on which two verdicts differ hold most of a judge's errors, so labels on them say more.
    Drawn more often, they weigh less in every mean: by the inverse of ``probability``. A larger
    sample begins with the smaller one.

    Args:
        differing: of each unit, whether it belongs to the stratum that is drawn more often.
        size: number of units to draw; all of them if there are not more.
        share: of the sample, from 0 to 1; less where the stratum is too small.
        seed: the sample depends on it and on the order of the units alone.
    """
    rng = np.random.default_rng(seed)
    of_kind = [
        np.array([number for number, each in enumerate(differing) if each is kind], dtype=np.int64)
        for kind in (True, False)
    ]
    strata = [rng.permutation(members) for members in of_kind]
    drawn: list[tuple[int, int]] = []
    counts = [0, 0]
    for n in range(1, min(size, len(differing)) + 1):
        wanted = _allocate(len(strata[0]), len(strata[1]), n, share)
        kind = 0 if wanted[0] > counts[0] else 1
        drawn.append((int(strata[kind][counts[kind]]), kind))
        counts[kind] += 1
    return [Drawn(unit, counts[kind] / len(strata[kind])) for unit, kind in drawn]


def _allocate(n_differing: int, n_others: int, size: int, share: float) -> tuple[int, int]:
    """Sizes of the samples from both strata; no stratum with units is left out.

    Where ``size`` grows by one, one of the two does.
    """
    size = min(size, n_differing + n_others)
    least = min(LEAST_OTHERS, n_differing)
    most = min(n_differing, size - min(LEAST_OTHERS, n_others))
    wanted = max(math.floor(share * size + 0.5), size - n_others, least)
    from_differing = max(0, min(wanted, most))
    return from_differing, size - from_differing
