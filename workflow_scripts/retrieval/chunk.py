"""Write the chunks of a corpus: chunks.jsonl.

    python -m workflow_scripts.retrieval.chunk --documents documents.jsonl \
        --settings settings.json --output chunks.jsonl

A document never shares a chunk with another. Chunks are in the order of documents and of offsets.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from ..backends.tokens import TokenizerFile
from ..backends.tokens import counter as counter_of
from ..core.block import Block
from ..core.errors import command
from ..core.files import read_jsonl, read_settings, write_jsonl
from ..core.logs import log_to
from ..core.seals import SealWriter, seal_beside
from .code_boundaries import python_boundaries
from .cutting import Boundaries, cut
from .records import Chunk, Document
from .settings import ChunkingSettings
from .tokens import Estimate, TokenCounter, Tokenizer

LOG = logging.getLogger(__name__)

_PYTHON = (".py", ".pyi")


class ChunkSettings(Block):
    """How the documents of a corpus are cut, and by which tokenizer the tokens are counted."""

    chunking: ChunkingSettings
    tokenizer: TokenizerFile | None = None


def token_counter(tokenizer: TokenizerFile | None) -> TokenCounter:
    """Return what counts tokens: a tokenizer, or an estimate where there is none.

    Raises:
        UserError: the tokenizer cannot be used.
    """
    if tokenizer is None or tokenizer.path is None:
        return Estimate()
    found = counter_of(tokenizer)
    return Tokenizer(found.method, found.texts)


def chunks(documents: Iterable[Document], settings: ChunkSettings) -> Iterator[Chunk]:
    """Yield the chunks of all documents that were not left out."""
    counter, chunking = token_counter(settings.tokenizer), settings.chunking
    LOG.info("tokens are %s", counter.method)
    for document in documents:
        path, text = document.path, document.text
        for start, end, first, last, tokens in cut(
            text, counter, chunking, _boundaries(path, chunking)
        ):
            yield Chunk(
                id=f"{path}:{start}-{end}",
                path=path,
                first_line=first,
                last_line=last,
                start=start,
                end=end,
                tokens=tokens,
                text=text[start:end],
            )


def _boundaries(path: str, chunking: ChunkingSettings) -> Boundaries | None:
    is_python = PurePosixPath(path).suffix.lower() in _PYTHON
    return python_boundaries if is_python and chunking.by == "code" else None


@command
def main() -> None:
    """Write the chunks of a corpus."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--documents", type=Path, required=True, help="documents.jsonl")
    parser.add_argument("--settings", type=Path, required=True, help="JSON file: ChunkSettings")
    parser.add_argument("--output", type=Path, required=True, help="chunks.jsonl")
    args = parser.parse_args()

    log_to(None)
    settings = read_settings(args.settings, ChunkSettings)
    seal = SealWriter(seal_beside(args.output, args.output.stem), [args.documents])
    write_jsonl(args.output, chunks(read_jsonl(args.documents, Document), settings))
    seal.seal(args.output)


if __name__ == "__main__":
    main()
