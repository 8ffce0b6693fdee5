"""The index of vectors: FAISS, exact inner products or, for many chunks, an HNSW graph."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from .embedders.embedder import Embedder, Vectors
from .hits import Hit, best

_LINKS = 32
_EF_CONSTRUCTION = 200
_LEAST_EF = 128
"""The graph's links of a chunk, and the candidates looked at while it is made and searched."""

_MARGIN = 16
"""Candidates beyond those that are asked for; their scores are computed again."""

_CLOSE = 1e-5
"""What 32 bits may get wrong of a score."""

_DECIMALS = 6

_TOGETHER = 2_000
"""Candidates, of one or more questions, whose vectors are in memory together."""


def build(vectors: Vectors, *, exact: bool) -> bytes:
    """Return the index of vectors of length 1 as the content of its file."""
    import faiss

    width = vectors.shape[1]
    index: Any
    if exact:
        index = faiss.IndexFlatIP(width)
        index.add(vectors)
    else:
        index = faiss.IndexHNSWFlat(width, _LINKS, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = _EF_CONSTRUCTION
        with _one_thread():  # with more, the graph depends on which is faster
            index.add(vectors)
    content: bytes = faiss.serialize_index(index).tobytes()
    return content


@contextmanager
def _one_thread() -> Iterator[None]:
    import faiss

    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


class DenseIndex:
    """Finds chunks by the vector of a question.

    FAISS finds candidates; their scores are computed again with 64 bits, each by itself. So a
    score depends neither on threads nor on what else is in the index.

    Args:
        content: of the file of the index.
        order: `hits.places` of the chunks.
        embedder: makes the vectors of questions.

    Raises:
        RuntimeError: the content is no index.
    """

    def __init__(self, content: bytes, order: NDArray[np.int64], embedder: Embedder) -> None:
        import faiss

        self._index = cast(Any, faiss.deserialize_index(np.frombuffer(content, np.uint8)))
        self._is_graph = hasattr(self._index, "hnsw")
        flat: Any = faiss.downcast_index(self._index.storage) if self._is_graph else self._index
        # FAISS's own way to copy rows, reconstruct_batch, is several times slower.
        self._vectors = faiss.rev_swig_ptr(flat.get_xb(), flat.ntotal * flat.d).reshape(-1, flat.d)
        self._order = order
        self._embedder = embedder

    def search(self, queries: Sequence[str], top_k: int) -> list[list[Hit]]:
        """Return the hits of each query."""
        if not queries:
            return []
        vectors = self._embedder.queries(queries)
        known = np.flatnonzero(vectors.any(axis=1))
        found: list[list[Hit]] = [[] for _ in queries]
        wanted = min(top_k + _MARGIN, self._index.ntotal)
        scores, rows = self._candidates(vectors[known], wanted)
        step = max(1, _TOGETHER // wanted)
        for start in range(0, len(known), step):
            some = slice(start, start + step)
            ranked = self._ranked(vectors[known[some]], scores[some], rows[some], top_k)
            for number, hits in zip(known[some].tolist(), ranked, strict=True):
                found[number] = hits
        return found

    def close(self) -> None:
        """Close the embedder."""
        self._embedder.close()

    def _candidates(
        self, vectors: Vectors, wanted: int
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        if self._is_graph:
            self._index.hnsw.efSearch = max(_LEAST_EF, 2 * wanted)
        found: tuple[NDArray[np.float32], NDArray[np.int64]] = self._index.search(vectors, wanted)
        return found

    def _ranked(
        self,
        vectors: Vectors,
        scores: NDArray[np.float32],
        rows: NDArray[np.int64],
        top_k: int,
    ) -> list[list[Hit]]:
        """Return the best candidates of each question.

        Where some that are left out may be as good, it looks for more.
        """
        wanted, total = rows.shape[1], self._index.ntotal
        is_close = np.zeros(len(rows), bool)
        if wanted < total:
            is_close = scores[:, top_k - 1] - scores[:, -1] <= _CLOSE
        # Row 0 stands in for the row -1, which means that there is none.
        texts = self._vectors[np.maximum(rows, 0)].astype(np.float64)
        is_known = texts.any(axis=2) & (rows >= 0)  # the others have nothing in common with any
        texts *= vectors.astype(np.float64)[:, None]
        exact = np.round(texts.sum(axis=2), _DECIMALS) + 0.0
        found = []
        for at in range(len(rows)):
            if is_close[at]:
                alone = vectors[at : at + 1]
                wider = self._candidates(alone, min(2 * wanted, total))
                found += self._ranked(alone, *wider, top_k)
            else:
                each = is_known[at]
                found.append(best(rows[at, each], exact[at, each], self._order, top_k))
        return found
