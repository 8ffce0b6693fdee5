"""Write the passages of each item of a task: retrievals/{task}.{search}.jsonl.

    python -m workflow_scripts.requests.retrieve --items items.jsonl --settings settings.json \
        --chunks chunks.jsonl --index corpora/flask/lines/bm25 --output rag.jsonl

One line an item, in their order, with its passages, the best first. Those that do not fit into a
prompt are listed and not given.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from ..backends.ledger import SpendingSettings
from ..backends.tokens import TokenizerFile
from ..core.block import Block
from ..core.errors import UserError, command
from ..core.files import read_jsonl, read_settings, write_jsonl
from ..core.logs import log_to
from ..core.records import SEPARATOR, Item, TaskName
from ..core.seals import SealWriter, seal_beside
from ..retrieval.chunk import token_counter
from ..retrieval.embedders.settings import IndexSettings
from ..retrieval.index import open_index
from ..retrieval.records import Chunk, Passage, Retrieval, SearchText
from ..retrieval.settings import Search
from ..retrieval.tokens import TokenCounter
from ..tasks.registry import TASKS
from .check_searches import checked_gold

LOG = logging.getLogger(__name__)

_PER_PASSAGE = 12
"""Tokens of a passage's number and lines, beside its path."""

_PER_CHAT = 32
"""Tokens of a chat template around its messages."""

_ESTIMATED_SHARE = 0.7
"""The share of a window that is filled where tokens are only estimated."""


class Window(Block):
    """The context of a model that answers on this machine.

    ``tokens`` without those that are kept for the answer; ``text`` is around question and passages.
    """

    tokens: int
    text: str


class RetrieveSettings(Block):
    """How the passages of a task's items are found.

    ``index`` is ``None`` where the gold passages are taken. ``windows`` are those of the models
    that are asked, as far as they are known; tokens are counted by ``tokenizer``, as those of the
    chunks are.
    """

    task: TaskName
    search: Search
    index: IndexSettings | None
    tokenizer: TokenizerFile | None = None
    windows: list[Window] = Field(default_factory=list)


def retrievals(
    items: Sequence[Item],
    chunks: Sequence[Chunk],
    settings: RetrieveSettings,
    folder: Path | None,
    kept: Path | None = None,
    spending: SpendingSettings | None = None,
    texts: Mapping[str, SearchText] | None = None,
) -> list[Retrieval]:
    """Return what is found for each item.

    Args:
        items: of one task.
        chunks: of the corpus.
        settings: how to search.
        folder: of the index; none where the gold passages are taken.
        kept: the folder in which vectors by models are kept.
        spending: of the experiment, where vectors cost something.
        texts: what a model made of the questions, by `Item.key`, if one was asked.

    Raises:
        UserError: an item names gold passages that the corpus does not have or has no search text,
            there are fewer chunks than passages are wanted, or the index cannot be searched.
    """
    task, search = TASKS[settings.task], settings.search
    gold = checked_gold(items, chunks, task, search)
    questions = [task.search_text(task.questions_of(item)) for item in items]
    reasons: list[str | None] = [None] * len(items)
    queries = questions
    if texts is not None:
        rewritten = [_search_text(texts, item) for item in items]
        reasons = [each.not_used for each in rewritten]
        pairs = zip(rewritten, questions, strict=True)
        queries = [text.text if text.not_used is None else question for text, question in pairs]
        LOG.info("%d questions were not rewritten", sum(each is not None for each in reasons))
    found: Iterable[Sequence[tuple[int, float | None]]]
    if settings.index is None or folder is None:
        found = [[(row, None) for row in rows] for rows in gold]
    else:
        index = open_index(folder, settings.index, chunks, kept, spending)
        try:
            found = index.search(queries, search.top_k)
        finally:
            index.close()
    counter = token_counter(settings.tokenizer)
    room = _room(settings, counter)
    of_items = []
    for item, question, query, reason, hits in zip(
        items, questions, queries, reasons, found, strict=True
    ):
        left = None if room is None else room - _tokens(counter, question)
        of_items.append(
            Retrieval(
                dataset=item.dataset,
                item_id=item.id,
                query=query,
                not_rewritten=reason,
                passages=tuple(_passages(chunks, hits, left, search)),
            )
        )
    left_out = sum(not each.given for one in of_items for each in one.passages)
    LOG.info("%d items, %d passages do not fit and are left out", len(of_items), left_out)
    return of_items


def _search_text(texts: Mapping[str, SearchText], item: Item) -> SearchText:
    if item.key not in texts:
        raise UserError(
            f"item {item.key!r} has no search text; delete the search texts of the experiment and "
            "run again"
        )
    return texts[item.key]


def _room(settings: RetrieveSettings, counter: TokenCounter) -> int | None:
    """Return how many tokens a question and its passages have in the smallest window, if known."""
    rooms = [each.tokens - _tokens(counter, each.text) - _PER_CHAT for each in settings.windows]
    if not rooms:
        return None
    return max(1, min(rooms) if settings.tokenizer else int(min(rooms) * _ESTIMATED_SHARE))


def _tokens(counter: TokenCounter, text: str) -> int:
    return int(counter.count(text, np.array([len(text)]))[0]) if text else 0


def _passages(
    chunks: Sequence[Chunk],
    hits: Sequence[tuple[int, float | None]],
    room: int | None,
    search: Search,
) -> Iterator[Passage]:
    """Yield what was found; from the first passage that does not fit on, none is given."""
    used = filled = 0
    fits = True
    for rank, (row, score) in enumerate(hits, start=1):
        chunk = chunks[row]
        used += chunk.tokens
        filled += chunk.tokens + _PER_PASSAGE + len(chunk.path) // 3
        fits = fits and (search.max_tokens is None or used <= search.max_tokens)
        fits = fits and (room is None or filled <= room)
        fields: dict[str, Any] = chunk.model_dump(exclude={"start", "end"})
        yield Passage(**fields, rank=rank, score=score, given=fits)


@command
def main() -> None:
    """Write the passages of each item."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--items", type=Path, required=True, help="the items of the task (JSONL)")
    parser.add_argument("--settings", type=Path, required=True, help="JSON file: RetrieveSettings")
    parser.add_argument("--chunks", type=Path, required=True, help="chunks.jsonl of the corpus")
    parser.add_argument(
        "--texts", type=Path, nargs="?", help="search texts, where a model wrote them"
    )
    parser.add_argument("--index", type=Path, help="the folder of the index, if there is one")
    parser.add_argument("--kept", type=Path, help="where vectors by models are kept")
    parser.add_argument("--spending", type=Path, help="what they cost, and the budget")
    parser.add_argument("--output", type=Path, required=True, help="JSON Lines of retrievals")
    args = parser.parse_args()

    log_to(None)
    settings = read_settings(args.settings, RetrieveSettings)
    read = [args.items, args.chunks, *([args.texts] if args.texts else [])]
    seal = SealWriter(seal_beside(args.output, args.output.stem), read)
    items = list(read_jsonl(args.items, TASKS[settings.task].item))
    chunks = list(read_jsonl(args.chunks, Chunk))
    spending = args.spending and read_settings(args.spending, SpendingSettings)
    texts = None
    if args.texts:
        rows = read_jsonl(args.texts, SearchText)
        texts = {f"{each.dataset}{SEPARATOR}{each.item_id}": each for each in rows}
    found = retrievals(items, chunks, settings, args.index, args.kept, spending, texts)
    write_jsonl(args.output, found)
    seal.seal(args.output)


if __name__ == "__main__":
    main()
