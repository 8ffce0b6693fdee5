"""Measures of a ranking, as trec_eval defines them; docs/scoring.md has the definitions.

Each takes what the passages of a ranking cover, best first: how many gold passages each of them
covers that no better one covers. Where gold passages are chunks, that is 0 or 1. ``n_gold`` is how
many gold passages there are; without one, each measure is 0, as in trec_eval.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

Passage = TypeVar("Passage")
Gold = TypeVar("Gold")


def newly_covered(
    ranking: Sequence[Passage], gold: Sequence[Gold], covers: Callable[[Gold, Passage], bool]
) -> list[int]:
    """Return how many gold passages each passage covers that no better one covers."""
    left = list(gold)
    counts = []
    for passage in ranking:
        uncovered = [each for each in left if not covers(each, passage)]
        counts.append(len(left) - len(uncovered))
        left = uncovered
    return counts


def recall(covered: Sequence[int], n_gold: int, k: int) -> float:
    """Return the share of the gold passages that the first ``k`` passages cover."""
    return sum(covered[:k]) / n_gold if n_gold else 0.0


def hit(covered: Sequence[int], k: int) -> float:
    """Return 1 if one of the first ``k`` passages is a gold passage, else 0."""
    return float(any(covered[:k]))


def reciprocal_rank(covered: Sequence[int]) -> float:
    """Return 1 / rank of the best gold passage; 0 without one."""
    return next((1 / rank for rank, count in enumerate(covered, start=1) if count), 0.0)


def ndcg(covered: Sequence[int], n_gold: int, k: int) -> float:
    """Return the discounted gain of the first ``k`` passages, as a share of the best possible.

    A gold passage at rank r gains 1 / log2(r + 1). The best ranking has nothing before them. A
    passage that covers several gains once, so the best ranking is shorter by the others.
    """
    needed = n_gold - sum(count - 1 for count in covered if count > 1)
    best = _discounted(range(1, min(needed, k) + 1))
    gained = _discounted(rank for rank, count in enumerate(covered[:k], start=1) if count)
    return gained / best if best else 0.0


def _discounted(ranks: Iterable[int]) -> float:
    return math.fsum(1 / math.log2(rank + 1) for rank in ranks)
