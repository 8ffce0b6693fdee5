"""Write the vectors of a corpus's chunks.

    python -m workflow_scripts.retrieval.embed --chunks chunks.jsonl --settings settings.json \
        --output embeddings.npy

For embedders that make vectors; the others have none (`index.files`).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from ..core.errors import UserError, command
from ..core.files import read_jsonl, read_settings
from .embedders.lsa import Lsa
from .embedders.settings import IndexSettings, LsaSettings
from .records import Chunk
from .vectors import Embeddings, digest, write_embeddings


def embeddings(chunks: Sequence[Chunk], settings: IndexSettings) -> Embeddings:
    """Return the vectors of chunks.

    Raises:
        UserError: the embedder cannot make them.
    """
    if not chunks:
        raise UserError("there are no chunks to embed")
    own, corpus = settings.settings, digest(chunks)
    if isinstance(own, LsaSettings):
        fitted, vectors = Lsa.fitted([chunk.text for chunk in chunks], own, corpus)
        return Embeddings(vectors, fitted.identity(), corpus, fitted.arrays())
    raise UserError(f"embedder {settings.embedder!r} makes no vectors")


@command
def main() -> None:
    """Write the vectors of a corpus's chunks."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    for name in ("--chunks", "--settings", "--output"):
        parser.add_argument(name, type=Path, required=True)
    arguments = parser.parse_args()
    settings = read_settings(arguments.settings, IndexSettings)
    chunks = list(read_jsonl(arguments.chunks, Chunk))
    write_embeddings(arguments.output, embeddings(chunks, settings))


if __name__ == "__main__":
    main()
