"""Write the index of a corpus for one embedder, and open it.

    python -m workflow_scripts.retrieval.index --chunks chunks.jsonl --embeddings embeddings.npy \
        --settings settings.json --output index.json

`index.json` says who made the index, of how many chunks, and which files belong to it. They lie
beside it. The same chunks give the same bytes.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import NonNegativeInt, PositiveInt

from ..backends.ledger import SpendingSettings
from ..core.errors import UserError, command
from ..core.files import (
    atomic_path,
    read_jsonl,
    read_settings,
    unreadable,
    write_record,
)
from ..core.records import Record
from .embedders.lsa import Lsa, lsa_identity
from .embedders.settings import (
    Bm25Settings,
    HybridSettings,
    IndexSettings,
    LsaSettings,
)
from .hits import Hit, Index, fused, places
from .index_files import ABOUT, DENSE, EMBEDDINGS, LEXICAL, missing
from .learned import learned_vectors
from .records import Chunk
from .vectors import digest, read_embeddings

_FUSED_DEPTH = 200
"""How far a hybrid looks into the ranking of each of its parts."""


class FileOfIndex(Record):
    """A file by its content."""

    bytes: NonNegativeInt
    sha256: str


class AboutIndex(Record):
    """`index.json`: who made an index, and of what.

    ``chunks_sha256`` is the `vectors.digest` of the chunks. ``dimensions`` is the length of a
    vector, where there are any.
    """

    identity: dict[str, str]
    search: Literal["words", "exact", "hnsw"]
    chunks: PositiveInt
    chunks_sha256: str
    dimensions: int | None = None
    files: dict[str, FileOfIndex]


def write_index(
    chunks: Sequence[Chunk], embeddings: Path | None, settings: IndexSettings, output: Path
) -> None:
    """Write an index.

    Args:
        chunks: of the corpus.
        embeddings: the file of their vectors, for embedders that make some.
        settings: of the embedder.
        output: the place of `index.json`.

    Raises:
        UserError: a library is missing, or the vectors are of other chunks.
    """
    own = settings.settings
    if problem := missing(own):
        raise UserError(problem)
    if not chunks:
        raise UserError("there are no chunks to index")
    about = {"chunks": len(chunks), "chunks_sha256": digest(chunks)}
    files: dict[str, FileOfIndex] = {}
    if isinstance(own, HybridSettings):
        raise UserError(f"embedder {settings.embedder!r} is a hybrid: its parts have the indexes")
    if isinstance(own, Bm25Settings):
        from . import lexical

        content = lexical.build([chunk.text for chunk in chunks], own)
        name, more = LEXICAL, {"identity": bm25_identity(own), "search": "words"}
    else:
        from . import dense

        if embeddings is None:
            raise UserError(f"embedder {settings.embedder!r} needs --embeddings")
        read = read_embeddings(embeddings)
        if read.chunks != about["chunks_sha256"]:
            raise UserError(f"{embeddings}: its vectors are of other chunks; delete it, run again")
        exact = len(chunks) <= own.exact_up_to
        content = dense.build(read.vectors, exact=exact)
        name, more = DENSE, {
            "identity": dict(read.identity),
            "search": "exact" if exact else "hnsw",
            "dimensions": read.vectors.shape[1],
        }  # fmt: skip
        if isinstance(own, LsaSettings):  # its questions need them, too
            files[EMBEDDINGS] = _file(embeddings.read_bytes())
    with atomic_path(output.parent / name) as temporary:
        temporary.write_bytes(content)
    files[name] = _file(content)
    write_record(output, AboutIndex.model_validate({**about, **more, "files": files}))


def _file(content: bytes) -> FileOfIndex:
    return FileOfIndex(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())


def bm25_identity(settings: Bm25Settings) -> dict[str, str]:
    """Return what decides an index of words besides the chunks."""
    return {"kind": "bm25", "k1": f"{settings.k1:g}", "b": f"{settings.b:g}"}


def open_index(
    folder: Path,
    settings: IndexSettings,
    chunks: Sequence[Chunk],
    kept: Path | None = None,
    spending: SpendingSettings | None = None,
) -> Index:
    """Open an index to search it. Close it at the end.

    Args:
        folder: of the embedder, beside the folders of the others.
        settings: of the embedder.
        chunks: those of the corpus, which the index must be of.
        kept: the folder in which vectors by models are kept.
        spending: of the experiment, where vectors cost something.

    Raises:
        UserError: the index is missing, cut off, or of other chunks or another embedder.
    """
    own = settings.settings
    if isinstance(own, HybridSettings):
        parts = [
            open_index(folder.parent / part, settings.part(part), chunks, kept, spending)
            for part in own.parts
        ]
        return FusedIndex(parts, own.k, chunks)
    if problem := missing(own):
        raise UserError(problem)
    about = read_settings(folder / ABOUT, AboutIndex)
    if about.chunks_sha256 != digest(chunks):
        raise UserError(f"{folder / ABOUT}: this index is of other chunks; delete it, run again")
    order = places([chunk.id for chunk in chunks])
    if isinstance(own, Bm25Settings):
        from .lexical import LexicalIndex

        _same_embedder(folder, about, bm25_identity(own))
        return LexicalIndex(_content(folder, LEXICAL, about), order)
    from .dense import DenseIndex

    content = _content(folder, DENSE, about)
    if isinstance(own, LsaSettings):
        _same_embedder(folder, about, lsa_identity(own, about.chunks_sha256))
        _content(folder, EMBEDDINGS, about)
        read = read_embeddings(folder / EMBEDDINGS)
        return DenseIndex(content, order, Lsa.from_arrays(read.fitted, read.identity))
    learned = learned_vectors(settings, kept, spending)
    with contextlib.ExitStack() as stack:
        stack.enter_context(learned)
        _same_embedder(folder, about, learned.identity())
        index = DenseIndex(content, order, learned)
        stack.pop_all()  # the index closes it
    return index


class FusedIndex:
    """The rankings of two indexes, fused.

    Args:
        parts: the indexes.
        k: see `hits.fused`.
        chunks: of the corpus.
    """

    def __init__(self, parts: Sequence[Index], k: int, chunks: Sequence[Chunk]) -> None:
        self._parts = parts
        self._k = k
        self._order = places([chunk.id for chunk in chunks])

    def search(self, queries: Sequence[str], top_k: int) -> list[list[Hit]]:
        """Return the hits of each query."""
        depth = max(_FUSED_DEPTH, top_k)
        rankings = [part.search(queries, depth) for part in self._parts]
        return [
            fused(of_query, self._order, self._k, top_k) for of_query in zip(*rankings, strict=True)
        ]

    def close(self) -> None:
        """Close the parts."""
        for part in self._parts:
            part.close()


def _same_embedder(folder: Path, about: AboutIndex, identity: Mapping[str, str]) -> None:
    """Raise an error if an index was made by another embedder than that of the questions."""
    names = sorted({*about.identity, *identity})
    different = [
        f"{name} {about.identity.get(name, 'nothing')!r}, now {identity.get(name, 'nothing')!r}"
        for name in names
        if about.identity.get(name) != identity.get(name)
    ]
    if different:
        raise UserError(
            f"{folder / ABOUT}: this index was made by another embedder ({'; '.join(different)}). "
            f"Questions and chunks need the same one; delete the folder {folder} and run again"
        )


def _content(folder: Path, name: str, about: AboutIndex) -> bytes:
    path = folder / name
    try:
        content = path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error
    file = about.files.get(name)
    if file is None or _file(content) != file:
        size = f"{len(content)} bytes instead of {file.bytes}" if file else "not in index.json"
        raise UserError(
            f"{path}: the index is cut off or was changed ({size}); delete it and run again"
        )
    return content


@command
def main() -> None:
    """Write the index of a corpus for one embedder."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    for name in ("--chunks", "--settings", "--output"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--embeddings", type=Path, help="of an embedder that makes vectors")
    arguments = parser.parse_args()
    settings = read_settings(arguments.settings, IndexSettings)
    chunks = list(read_jsonl(arguments.chunks, Chunk))
    write_index(chunks, arguments.embeddings, settings, arguments.output)


if __name__ == "__main__":
    main()
