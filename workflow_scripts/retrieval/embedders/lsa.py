"""Latent semantic analysis: tf-idf of the corpus, and its truncated singular value decomposition.

Deerwester et al. (1990), by the randomised method of Halko, Martinsson and Tropp (2011, algorithm
4.4), which needs products with the sparse matrix alone. All is computed with 64 bits from a fixed
start and then rounded to a grid that is coarser than the differences between linear algebra
libraries, so that other machines get the same vectors.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from .embedder import Vectors
from .settings import LsaSettings
from .words import count, count_known

if TYPE_CHECKING:
    from scipy.sparse import csr_array

_MOST_TERMS = 100_000
"""Terms of a large corpus that count: the most frequent ones."""

_OVERSAMPLING = 32
_ITERATIONS = 4
_GRID = 2.0**16
_SEED = 20110524


@dataclass(frozen=True)
class Lsa:
    """A decomposition: how texts become vectors.

    Attributes:
        terms: in the order of the rows of ``projection``.
        weights: the inverse document frequency of each term.
        projection: the leading right singular vectors, one in each column.
        made_of: its identity: the corpus and the number of dimensions.
    """

    terms: list[str]
    weights: NDArray[np.float64]
    projection: NDArray[np.float32]
    made_of: Mapping[str, str]

    @classmethod
    def fitted(
        cls, texts: Sequence[str], settings: LsaSettings, corpus: str
    ) -> tuple[Self, Vectors]:
        """Return the decomposition of a corpus, and the vectors of its texts.

        A text without a term that the corpus shares has the vector 0.
        """
        terms, counts = count(texts)
        frequency = np.bincount(counts.indices, minlength=len(terms))
        if len(terms) > _MOST_TERMS:
            kept = np.sort(np.argsort(-frequency, kind="stable")[:_MOST_TERMS])
            terms, frequency = [terms[each] for each in kept], frequency[kept]
            counts = counts[:, kept]
        weights = np.log((1 + len(texts)) / frequency)
        weighted = _weighted(counts, weights)
        projection = _rounded(_right_singular_vectors(weighted, settings.dimensions))
        found = cls(terms, weights, projection, lsa_identity(settings, corpus))
        return found, found._project(weighted)

    @classmethod
    def from_arrays(cls, arrays: Sequence[NDArray[Any]], made_of: Mapping[str, str]) -> Self:
        """Return the decomposition that `arrays` gave."""
        terms, weights, projection = arrays
        return cls(terms.tobytes().decode("utf-8").split("\n"), weights, projection, made_of)

    def arrays(self) -> list[NDArray[Any]]:
        """Return it as arrays for a file."""
        terms = np.frombuffer("\n".join(self.terms).encode("utf-8"), np.uint8)
        return [terms, self.weights, self.projection]

    def identity(self) -> Mapping[str, str]:
        """Return what decides the vectors besides the text."""
        return self.made_of

    def queries(self, texts: Sequence[str]) -> Vectors:
        """Return the vectors of questions; 0 where no word occurs in the corpus."""
        return self._project(_weighted(count_known(texts, self._columns), self.weights))

    @functools.cached_property
    def _columns(self) -> dict[str, int]:
        return {term: number for number, term in enumerate(self.terms)}

    def close(self) -> None:
        """Nothing has to be let go of."""

    def _project(self, weighted: csr_array[Any]) -> Vectors:
        used = np.unique(weighted.indices)  # of a question, few of many
        found = weighted[:, used] @ self.projection[used].astype(np.float64)
        lengths = np.sqrt((found * found).sum(axis=1, keepdims=True))
        return _rounded(np.divide(found, lengths, out=np.zeros_like(found), where=lengths > 1e-9))


def lsa_identity(settings: LsaSettings, corpus: str) -> Mapping[str, str]:
    """Return what decides the vectors of a decomposition.

    Args:
        settings: of the embedder.
        corpus: the digest of the chunks that it is made of.
    """
    return {"kind": "lsa", "corpus": corpus, "dimensions": str(settings.dimensions)}


def _weighted(counts: csr_array[Any], weights: NDArray[np.float64]) -> csr_array[Any]:
    """Return the tf-idf of texts, the length of each row 1."""
    found = counts.astype(np.float64)
    found.data = (1 + np.log(found.data)) * weights[found.indices]
    squares = np.asarray((found * found).sum(axis=1)).ravel()
    lengths = np.sqrt(np.where(squares > 0, squares, 1.0))
    found.data /= np.repeat(lengths, np.diff(found.indptr))
    return found


def _right_singular_vectors(matrix: csr_array[Any], most: int) -> NDArray[np.float64]:
    """Return the leading ones, one in each column, the largest number of each positive."""
    from scipy.linalg import qr, svd
    from threadpoolctl import threadpool_limits

    def orthogonal(columns: Any) -> Any:
        columns = np.asfortranarray(columns)  # LAPACK's order: overwritten, not copied
        return qr(columns, mode="economic", overwrite_a=True)

    def basis(columns: Any) -> Any:
        return orthogonal(columns)[0]

    # More threads change the last bits, and wait for each other where cores are busy.
    with threadpool_limits(1):
        transposed = matrix.T.tocsr()
        width = min(most + _OVERSAMPLING, *matrix.shape)
        rows = basis(matrix @ _signs(matrix.shape[1], width))
        for _ in range(_ITERATIONS):
            rows = basis(matrix @ basis(transposed @ rows))
        # The matrix seen from that basis, transposed.
        outer, triangle = orthogonal(transposed @ rows)
        del rows, transposed
        left, sizes, _ = svd(triangle)
        dimensions = min(most, int((sizes > sizes[0] * 1e-10).sum()))
        found: NDArray[np.float64] = outer @ left[:, :dimensions]
    found *= np.sign([column[np.abs(column).argmax()] for column in found.T])
    return found


def _signs(rows: int, columns: int) -> NDArray[np.float64]:
    found = np.random.default_rng(_SEED).integers(0, 2, (rows, columns)).astype(np.float64)
    found *= 2
    found -= 1
    return found


def _rounded(numbers: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return numbers on the grid; theirs are overwritten, to save memory."""
    numbers *= _GRID
    np.round(numbers, out=numbers)
    numbers /= _GRID
    numbers += 0.0  # no -0
    return numbers.astype(np.float32)
