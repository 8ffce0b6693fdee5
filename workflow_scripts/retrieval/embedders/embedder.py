"""What an embedder is: it turns texts into vectors and says who it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from ...core.errors import UserError

Vectors = NDArray[np.float32]
"""One vector in each row."""


class Embedder(Protocol):
    """Makes vectors of texts; the same text always has the same one."""

    def identity(self) -> Mapping[str, str]:
        """Return what decides the vectors besides the text."""
        ...

    def queries(self, texts: Sequence[str]) -> Vectors:
        """Return a vector of each question, of length 1 or, where nothing is known of it, 0."""
        ...

    def close(self) -> None:
        """Let go of connections and memory."""
        ...


class LearnedEmbedder(Protocol):
    """An embedder with a model. Opened before anything else, and closed at the end."""

    max_tokens: int | None
    """The most tokens that the model reads of a text, where it is known."""

    batch: int
    """How many texts are best embedded together."""

    new_in_identity: tuple[str, ...]
    """Names in `identity` that earlier versions of Assay left out."""

    @classmethod
    def of(cls, settings: Any) -> Self:
        """Return the embedder of a config; touches neither network nor model."""
        ...

    def open(self) -> None:
        """Find out who answers.

        Raises:
            UserError: nobody does; the message says what to do.
        """
        ...

    def identity(self) -> Mapping[str, str]:
        """Return what decides the vectors besides the text."""
        ...

    def count_tokens(self, text: str) -> int | None:
        """Return how many tokens the model makes of a text, where that can be known here."""
        ...

    def embed(self, texts: Sequence[str]) -> tuple[Vectors, int | None]:
        """Return the vectors of texts as they are sent, and the tokens that are charged, if known.

        Raises:
            RequestError: there are none.
        """
        ...

    def close(self) -> None:
        """Let go of connections and memory."""
        ...


def unit(vectors: Vectors, names: Sequence[str], who: str) -> Vectors:
    """Return vectors of length 1.

    Args:
        vectors: one of each text.
        names: of the texts, for the message.
        who: made them.

    Raises:
        UserError: a vector has a number that is none, or is zero.
    """
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    wrong = np.flatnonzero(~np.isfinite(lengths) | (lengths == 0))
    if len(wrong):
        first = int(wrong[0])
        kind = "a zero vector" if lengths[first] == 0 else "a vector with NaN or infinite numbers"
        others = f" and {len(wrong) - 1} others" if len(wrong) > 1 else ""
        raise UserError(
            f"{who} made {kind} of {names[first]}{others}. Such a text cannot be searched. Leave "
            "it out of the corpus, or use another embedder"
        )
    found: Vectors = (vectors / lengths[:, None]).astype(np.float32)
    return found
