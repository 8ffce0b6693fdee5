"""The index of words: BM25 by the library bm25s, in one file."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .embedders.settings import Bm25Settings
from .embedders.words import count, terms_of, words
from .hits import Hit, best

if TYPE_CHECKING:
    from bm25s import BM25

_DECIMALS = 4
"""Of scores: fewer than 32 bits hold, so that equal texts have equal scores on all machines."""

_CLOSE = 1e-3
"""Scores that differ by more differ after rounding."""


def build(texts: Sequence[str], settings: Bm25Settings) -> bytes:
    """Return the index of texts as the content of its file."""
    from bm25s import BM25

    terms, counts = count(texts)
    documents = [
        np.repeat(counts.indices[start:end], counts.data[start:end]).tolist()
        for start, end in zip(counts.indptr[:-1], counts.indptr[1:], strict=True)
    ]
    model = BM25(k1=settings.k1, b=settings.b, csc_backend="scipy")
    vocabulary = {term: number for number, term in enumerate(terms)}
    model.index((documents, vocabulary), create_empty_token=False, show_progress=False)
    stream = io.BytesIO()
    np.savez(
        stream,
        terms=np.frombuffer("\n".join(terms).encode("utf-8"), np.uint8),
        documents=np.int64(len(texts)),
        **{name: model.scores[name] for name in ("data", "indices", "indptr")},
    )
    return stream.getvalue()


class LexicalIndex:
    """Finds chunks by the words of a question.

    Args:
        content: of the file of the index.
        order: `hits.places` of the chunks.
    """

    def __init__(self, content: bytes, order: NDArray[np.int64]) -> None:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            terms = arrays["terms"].tobytes().decode("utf-8").split("\n")
            self._columns = {term: number for number, term in enumerate(terms)}
            self._model = _model(arrays)
        self._order = order

    def search(self, queries: Sequence[str], top_k: int) -> list[list[Hit]]:
        """Return the hits of each query; chunks without any of its words are none."""
        return [self._found(query, top_k) for query in queries]

    def close(self) -> None:
        """Nothing has to be let go of."""

    def _found(self, query: str, top_k: int) -> list[Hit]:
        columns = self._columns
        asked = [
            columns[term] for word in words(query) for term in terms_of(word) if term in columns
        ]
        if not asked:
            return []
        scores = self._model.get_scores_from_ids(asked)
        least = 0.0
        if len(scores) > top_k:
            least = max(least, np.partition(scores, -top_k)[-top_k] - _CLOSE)
        rows = np.flatnonzero(scores > least)
        rounded = np.round(scores[rows], _DECIMALS)
        rows, rounded = rows[rounded > 0], rounded[rounded > 0]
        exact = np.round(rounded.astype(np.float64), _DECIMALS)
        return best(rows, exact, self._order, top_k)


def _model(arrays: Any) -> BM25:
    from bm25s import BM25

    model = BM25()
    model.scores = {name: arrays[name] for name in ("data", "indices", "indptr")}
    model.scores["num_docs"] = int(arrays["documents"])
    model.nonoccurrence_array = None
    return model
