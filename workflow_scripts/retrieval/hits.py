"""What a search finds, and its order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray


class Hit(NamedTuple):
    """A chunk that was found: its row in the file of chunks, and its score."""

    row: int
    score: float


class Index(Protocol):
    """An opened index."""

    def search(self, queries: Sequence[str], top_k: int) -> list[list[Hit]]:
        """Return the hits of each query, best first.

        Hits of equal score are in the order of their chunks' ids. There are fewer than ``top_k``
        where fewer chunks have anything in common with the query.
        """
        ...

    def close(self) -> None:
        """Let go of the embedder."""
        ...


def places(ids: Sequence[str]) -> NDArray[np.int64]:
    """Return the place of each row in the order of the ids, which orders equal scores."""
    found = np.empty(len(ids), np.int64)
    found[sorted(range(len(ids)), key=ids.__getitem__)] = np.arange(len(ids))
    return found


def best(
    rows: NDArray[np.int64], scores: NDArray[np.float64], order: NDArray[np.int64], top_k: int
) -> list[Hit]:
    """Return the best of some candidates.

    Args:
        rows: of the candidates.
        scores: theirs, rounded so far that equal texts have equal ones.
        order: `places` of all rows.
        top_k: how many hits.
    """
    chosen = np.lexsort((order[rows], -scores))[:top_k]
    return list(map(Hit, rows[chosen].tolist(), scores[chosen].tolist()))


def fused(
    rankings: Iterable[Sequence[Hit]], order: NDArray[np.int64], k: int, top_k: int
) -> list[Hit]:
    """Fuse rankings by the sum of 1 / (k + rank) (Cormack, Clarke and Büttcher, SIGIR 2009)."""
    sums: dict[int, float] = {}
    for ranking in rankings:
        for rank, hit in enumerate(ranking, start=1):
            sums[hit.row] = sums.get(hit.row, 0.0) + 1 / (k + rank)
    rows = np.fromiter(sums, np.int64, len(sums))
    scores: NDArray[np.float64] = np.fromiter(sums.values(), np.float64, len(sums)).round(12)
    return best(rows, scores, order, top_k)
