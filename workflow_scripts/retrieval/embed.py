"""Write the vectors of a corpus's chunks.

    python -m workflow_scripts.retrieval.embed --chunks chunks.jsonl --settings settings.json \
        --kept results/embeddings --output embeddings.npy

Vectors by a model are kept under `--kept`, so a changed file embeds its own changed chunks alone.
For embedders that make vectors; the others have none (`index.is_dense`).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from ..backends.ledger import SpendingSettings
from ..core.errors import UserError, command
from ..core.files import read_jsonl, read_settings
from ..core.logs import log_to
from .embedders.lsa import Lsa
from .embedders.settings import IndexSettings, LearnedFields, LsaSettings
from .learned import learned_vectors
from .records import Chunk
from .vectors import Embeddings, digest, write_embeddings


def embeddings(
    chunks: Sequence[Chunk],
    settings: IndexSettings,
    kept: Path | None = None,
    spending: SpendingSettings | None = None,
) -> Embeddings:
    """Return the vectors of chunks.

    Args:
        chunks: of the corpus.
        settings: of the embedder.
        kept: the folder in which vectors by models are kept.
        spending: of the experiment, where vectors cost something.

    Raises:
        UserError: the embedder cannot make them.
    """
    if not chunks:
        raise UserError("there are no chunks to embed")
    own, corpus = settings.settings, digest(chunks)
    if isinstance(own, LsaSettings):
        fitted, vectors = Lsa.fitted([chunk.text for chunk in chunks], own, corpus)
        return Embeddings(vectors, fitted.identity(), corpus, fitted.arrays())
    if not isinstance(own, LearnedFields):
        raise UserError(f"embedder {settings.embedder!r} makes no vectors")
    with learned_vectors(settings, kept, spending) as learned:
        return Embeddings(learned.passages(chunks), learned.identity(), corpus)


@command
def main() -> None:
    """Write the vectors of a corpus's chunks."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    for name in ("--chunks", "--settings", "--output"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--kept", type=Path, help="where vectors by models are kept")
    parser.add_argument("--spending", type=Path, help="what they cost, and the budget")
    arguments = parser.parse_args()
    log_to(None)
    settings = read_settings(arguments.settings, IndexSettings)
    chunks = list(read_jsonl(arguments.chunks, Chunk))
    spending = arguments.spending and read_settings(arguments.spending, SpendingSettings)
    made = embeddings(chunks, settings, arguments.kept, spending)
    write_embeddings(arguments.output, made)


if __name__ == "__main__":
    main()
