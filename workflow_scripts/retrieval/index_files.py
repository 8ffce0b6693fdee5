"""The files of an index, by the kind of embedder; light to import, because every plan does."""

from __future__ import annotations

import importlib.util

from .embedders.settings import (
    Bm25Settings,
    EmbedderSettings,
    HybridSettings,
    IndexSettings,
    LsaSettings,
)
from .optional import INSTALL

ABOUT = "index.json"
EMBEDDINGS = "embeddings.npy"
DENSE = "index.faiss"
LEXICAL = "index.bm25.npz"


def is_dense(settings: EmbedderSettings) -> bool:
    """Whether an embedder makes vectors, so that `embed` runs for it."""
    return not isinstance(settings, Bm25Settings | HybridSettings)


def index_files(settings: EmbedderSettings) -> tuple[str, ...]:
    """Return the files that `index` writes for an embedder; none for a hybrid."""
    if isinstance(settings, HybridSettings):
        return ()
    return (ABOUT, DENSE if is_dense(settings) else LEXICAL)


def search_files(settings: IndexSettings) -> list[str]:
    """Return the files that `open_index` reads, relative to the folder of the chunks."""
    own = settings.settings
    if isinstance(own, HybridSettings):
        return [file for part in own.parts for file in search_files(settings.part(part))]
    names = [*index_files(own), *([EMBEDDINGS] if isinstance(own, LsaSettings) else [])]
    return [f"{settings.embedder}/{name}" for name in names]


def missing(settings: EmbedderSettings) -> str | None:
    """Return that the library of an embedder's index is not installed, and how to install it."""
    if isinstance(settings, HybridSettings):
        return None
    library = "faiss" if is_dense(settings) else "bm25s"
    if importlib.util.find_spec(library) is not None:
        return None
    return f"embedder kind {settings.kind!r} needs the library {library}. Run: {INSTALL}"
