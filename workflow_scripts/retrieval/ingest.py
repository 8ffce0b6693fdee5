"""Write the documents of a corpus: documents.jsonl.

    python -m workflow_scripts.retrieval.ingest --settings settings.json --source ../flask \
        --output documents.jsonl

A document has a text or the reason why it was left out. Documents are ordered by their paths.
"""

from __future__ import annotations

import argparse
import itertools
import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..core.errors import UserError, command
from ..core.files import read_settings, write_jsonl
from ..core.logs import log_to
from ..core.seals import SealWriter, seal_beside
from .decoding import BinaryError, decode
from .generated import generated_by_text
from .records import Document
from .rows import HAS_ROWS, read_rows
from .settings import CorpusSettings
from .sources import SourceFile, is_archive, source_files
from .texts import document

LOG = logging.getLogger(__name__)

_SHOWN = 10


def documents(source: Path, settings: CorpusSettings) -> list[Document]:
    """Return the documents of a source, by path.

    Raises:
        UserError: the source cannot be read, an encoding is not recognised, or no document is
            left.
    """
    if source.is_file() and source.suffix.lower() in HAS_ROWS:
        found = read_rows(source, settings)
    elif source.is_dir() or (source.is_file() and is_archive(source)):
        found = _of_files(source_files(source, settings), source)
    elif source.exists():
        raise UserError(
            f"{source}: neither a folder nor an archive, and its name ends with none of "
            f"{', '.join(HAS_ROWS)}"
        )
    else:
        raise UserError(f"{source}: no such folder or file")
    return complete(found, str(source))


def complete(found: Iterable[Document], source: str) -> list[Document]:
    """Return documents by path, and log which were left out.

    Raises:
        UserError: none has a text, or two have one path.
    """
    ordered = sorted(found, key=lambda each: each.path)
    reasons = Counter(each.left_out for each in ordered if each.left_out)
    for reason, n in reasons.most_common():
        LOG.info("left out, %s: %d", reason, n)
    for before, each in itertools.pairwise(ordered):
        if before.path == each.path:
            raise UserError(f"{source}: there are two documents with the path {each.path!r}")
    n = len(ordered) - reasons.total()
    if not n:
        why = "; ".join(f"{reason}: {number}" for reason, number in reasons.most_common(_SHOWN))
        raise UserError(
            f"{source}: no document is left ({why or 'nothing is included'}). Change path, include "
            "or exclude of the corpus"
        )
    LOG.info("%d documents, %d characters", n, sum(each.length for each in ordered))
    return ordered


def _of_files(files: Iterable[SourceFile], source: Path) -> Iterator[Document]:
    unknown: list[str] = []
    for file in files:
        if file.left_out is not None:
            yield document(file.path, "", file.left_out)
            continue
        try:
            text, encoding = decode(file.read())
        except BinaryError:
            yield document(file.path, "", "binary")
        except UnicodeError:
            unknown.append(file.path)
        else:
            if encoding not in ("utf-8", "utf-8-sig"):
                LOG.info("%s: read as %s", file.path, encoding)
            yield document(file.path, text, generated_by_text(file.path, text))
    if unknown:
        shown = ", ".join(repr(path) for path in sorted(unknown)[:_SHOWN])
        raise UserError(
            f"{source}: the encoding of {len(unknown)} files is not recognised: {shown}. Save them "
            "with the encoding UTF-8, or add them to exclude of the corpus"
        )


@command
def main() -> None:
    """Write the documents of a corpus."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--settings", type=Path, required=True, help="JSON file: CorpusSettings")
    parser.add_argument(
        "--source", type=Path, required=True, help="a folder, an archive, or JSON Lines or CSV"
    )
    parser.add_argument("--output", type=Path, required=True, help="documents.jsonl")
    args = parser.parse_args()

    log_to(None)
    settings = read_settings(args.settings, CorpusSettings)
    write_jsonl(args.output, documents(args.source, settings))
    SealWriter(seal_beside(args.output, args.output.stem), []).seal(args.output)


if __name__ == "__main__":
    main()
