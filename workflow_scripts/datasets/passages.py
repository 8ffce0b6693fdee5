"""Write the passages of a data set as the documents of a corpus: documents.jsonl.

    python -m workflow_scripts.datasets.passages --settings settings.json \
        --source dev-v2.0.json --output documents.jsonl

Each passage is a document, however many questions it has. `retrieval.texts.passage_path` is its
path.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from ..core.block import Block
from ..core.errors import UserError, command
from ..core.files import read_settings, write_jsonl
from ..core.logs import log_to
from ..core.records import TaskName
from ..core.seals import SealWriter, seal_beside
from ..retrieval.ingest import complete
from ..retrieval.patterns import Selection
from ..retrieval.records import Document
from ..retrieval.settings import CorpusSettings
from ..retrieval.texts import document, passage_path
from ..tasks.registry import TASKS
from .items import DatasetSettings, read_items
from .source import Source


class PassagesSettings(Block):
    """The data set that the passages come from, and which of them are taken."""

    name: str
    task: TaskName
    dataset: DatasetSettings
    corpus: CorpusSettings


def passages(file: Path, settings: PassagesSettings) -> Iterator[Document]:
    """Yield the passages of a data set, each once.

    Raises:
        UserError: an item has none.
    """
    dataset, corpus = settings.dataset, settings.corpus
    source = Source(settings.name, file, dataset.member, columns=dataset.columns)
    selection = Selection(corpus.include, corpus.exclude)
    task = TASKS[settings.task]
    seen: set[str] = set()
    for item in read_items(source, dataset.format, task):
        text = task.shown(item).get("context")
        if not text:
            raise UserError(
                f"{source}: item {item.id!r} has no passage, so data set {settings.name!r} cannot "
                "be a corpus"
            )
        path = passage_path(text)
        if path in seen or path not in selection:
            continue
        seen.add(path)
        yield document(path, text, "binary" if "\0" in text else None)


@command
def main() -> None:
    """Write the passages of a data set."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--settings", type=Path, required=True, help="JSON file: PassagesSettings")
    parser.add_argument("--source", type=Path, required=True, help="the data set's file")
    parser.add_argument("--output", type=Path, required=True, help="documents.jsonl")
    args = parser.parse_args()

    log_to(None)
    settings = read_settings(args.settings, PassagesSettings)
    write_jsonl(args.output, complete(passages(args.source, settings), str(args.source)))
    SealWriter(seal_beside(args.output, args.output.stem), []).seal(args.output)


if __name__ == "__main__":
    main()
