"""The file of a corpus's vectors: `embeddings.npy`.

NumPy's format, several arrays one after the other: `numpy.load` reads the vectors; behind them are
who made them, as JSON, and what an embedder that was fitted to the corpus needs for questions.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import UserError
from ..core.files import atomic_path, unreadable
from .embedders.embedder import Vectors
from .records import Chunk


@dataclass(frozen=True)
class Embeddings:
    """The vectors of some chunks, in their order.

    Attributes:
        vectors: one in each row, of length 1.
        identity: who made them.
        chunks: the `digest` of the chunks.
        fitted: arrays of an embedder that was fitted to the corpus.
    """

    vectors: Vectors
    identity: Mapping[str, str]
    chunks: str
    fitted: Sequence[NDArray[Any]] = field(default=())


def digest(chunks: Iterable[Chunk]) -> str:
    """Return what identifies chunks: their ids and texts, in their order."""
    found = hashlib.sha256()
    for chunk in chunks:
        found.update(f"{chunk.id}\0{len(chunk.text)}\0{chunk.text}\0".encode())
    return found.hexdigest()


def write_embeddings(path: Path, embeddings: Embeddings) -> None:
    """Write vectors whole or not at all; the same ones give the same bytes."""
    about = {
        "identity": dict(embeddings.identity),
        "chunks": embeddings.chunks,
        "fitted": len(embeddings.fitted),
    }
    text = np.frombuffer(json.dumps(about, sort_keys=True).encode(), np.uint8)
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        arrays: list[NDArray[Any]] = [embeddings.vectors, text, *embeddings.fitted]
        for array in arrays:
            np.save(stream, array, allow_pickle=False)


def read_embeddings(path: Path) -> Embeddings:
    """Read what `write_embeddings` wrote.

    Raises:
        UserError: the file is missing or damaged.
    """
    try:
        with path.open("rb") as stream:
            vectors = np.load(stream, allow_pickle=False)
            about = json.loads(np.load(stream, allow_pickle=False).tobytes())
            fitted = [np.load(stream, allow_pickle=False) for _ in range(about["fitted"])]
        return Embeddings(vectors, about["identity"], about["chunks"], fitted)
    except OSError as error:
        raise unreadable(path, error) from error
    except (ValueError, KeyError, TypeError, EOFError) as error:
        raise UserError(
            f"{path}: the file of vectors is cut off or damaged; delete it and run again"
        ) from error
