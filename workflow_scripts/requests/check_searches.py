"""Check the items that search a corpus, before an embedder is paid for its chunks: checked.txt.

    python -m workflow_scripts.requests.check_searches --items items.jsonl --chunks chunks.jsonl \
        --settings settings.json --output checked.txt
"""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Sequence
from pathlib import Path

from ..core.block import Block
from ..core.errors import UserError, command
from ..core.files import read_jsonl, read_settings, write_text
from ..core.records import Item, TaskName
from ..retrieval.records import Chunk
from ..retrieval.relevant import Relevant
from ..retrieval.settings import RELEVANT, Search
from ..tasks.registry import TASKS
from ..tasks.task import Task

_SHOWN = 5


class SearchesSettings(Block):
    """The searches of some chunks, by task."""

    searches: dict[TaskName, list[Search]]


def checked_gold(
    items: Sequence[Item], chunks: Sequence[Chunk], task: Task, search: Search
) -> list[list[int]]:
    """Return the chunks of each item's gold passages, in the order in which it names them.

    Args:
        items: of one task.
        chunks: of the corpus.
        task: which it is.
        search: how their passages are found.

    Raises:
        UserError: an item names gold passages that the corpus does not have, or there are fewer
            chunks than passages are wanted.
    """
    gold = _gold_rows(items, chunks, task, search.corpus)
    if search.embedder != RELEVANT and search.top_k > len(chunks):
        raise UserError(
            f"top_k is {search.top_k}, but corpus {search.corpus!r} has {len(chunks)} chunks "
            f"in chunking {search.chunking!r}; choose a smaller top_k or smaller chunks"
        )
    return gold


def _gold_rows(
    items: Sequence[Item], chunks: Sequence[Chunk], task: Task, corpus: str
) -> list[list[int]]:
    rows: dict[str, list[int]] = {}
    for row, chunk in enumerate(chunks):
        rows.setdefault(chunk.path, []).append(row)
    gold, missing = [], []
    for item in items:
        of_item: dict[int, None] = {}
        for text in task.relevant(item):
            each = Relevant.read(text)
            covered = [row for row in rows.get(each.path, []) if each.covers(chunks[row])]
            if not covered:
                near = difflib.get_close_matches(each.path, rows, n=1)
                hint = f", did you mean {near[0]!r}?" if near and near[0] != each.path else ""
                missing.append(f"{text!r} of item {item.id!r}{hint}")
            of_item.update(dict.fromkeys(covered))
        gold.append(list(of_item))
    if missing:
        more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        raise UserError(
            f"corpus {corpus!r} does not have these gold passages: "
            f"{'; '.join(missing[:_SHOWN])}{more}. A gold passage is a path of documents.jsonl, "
            "path:L12-L30, or an id of chunks.jsonl"
        )
    return gold


@command
def main() -> None:
    """Check the items that search a corpus."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--items", type=Path, nargs="+", required=True, help="of each task (JSONL)")
    parser.add_argument("--chunks", type=Path, required=True, help="chunks.jsonl of the corpus")
    parser.add_argument("--settings", type=Path, required=True, help="JSON file: SearchesSettings")
    parser.add_argument("--output", type=Path, required=True, help="says that nothing is wrong")
    args = parser.parse_args()

    settings = read_settings(args.settings, SearchesSettings)
    chunks = list(read_jsonl(args.chunks, Chunk))
    for (name, searches), path in zip(settings.searches.items(), args.items, strict=True):
        items = list(read_jsonl(path, TASKS[name].item))
        for search in searches:
            checked_gold(items, chunks, TASKS[name], search)
    write_text(args.output, "gold passages and top_k fit the chunks\n")


if __name__ == "__main__":
    main()
