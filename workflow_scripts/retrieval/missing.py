"""Texts whose vectors are not kept yet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from ..backends.http import without_waiting
from ..core.errors import UserError
from .embedders.settings import LearnedFields
from .embedders.table import make_embedder
from .kept import KeptVectors, text_digest
from .records import Chunk


class Missing(NamedTuple):
    """Different texts to embed, with their prefixes, and how many are kept.

    ``kept`` is ``None`` where the note says why that is not known.
    """

    chunks: list[str]
    questions: list[str]
    kept: int | None
    note: str | None = None


def missing_texts(
    settings: LearnedFields, root: Path, chunks: Iterable[Chunk], questions: Sequence[str]
) -> Missing:
    """Return the texts that an embedder with a model is still to embed; embeds nothing.

    Args:
        settings: of the embedder.
        root: the folder in which vectors are kept.
        chunks: to be searched.
        questions: to be searched for.
    """
    of_chunks = {settings.passage_prefix + chunk.text for chunk in chunks}
    texts = {text_digest(text): text for text in sorted(of_chunks)}
    texts |= {text_digest(text): text for text in (settings.query_prefix + q for q in questions)}
    note, found = None, set[bytes]()
    try:
        found = set(KeptVectors(root, _identity(settings)).find(texts))
    except UserError as error:
        note = f"what is embedded already cannot be told: {error}"
    left = [text for digest, text in texts.items() if digest not in found]
    return Missing(
        [text for text in left if text in of_chunks],
        [text for text in left if text not in of_chunks],
        len(found) if note is None else None,
        note,
    )


def _identity(settings: LearnedFields) -> dict[str, str]:
    embedder = make_embedder(settings)
    try:
        if settings.backend().declaration.server is not None:
            with without_waiting():
                embedder.open()  # the server tells what is behind the model's name
        return dict(embedder.identity())
    finally:
        embedder.close()
