"""The items of an experiment by key, for the stages that need a prediction's item again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from ..core.errors import UserError
from ..core.files import read_jsonl
from ..core.records import Item
from .registry import TASKS


def read_items(paths: Iterable[Path]) -> dict[str, Item]:
    """Read item files into one table by `Item.key`.

    Args:
        paths: the files; each is called after its task, as ``items/{task}.jsonl``.

    Raises:
        UserError: one key stands for two different items.
    """
    items: dict[str, Item] = {}
    for path in paths:
        for item in each_item([path]):
            if items.setdefault(item.key, item) != item:
                raise UserError(
                    f"{path}: item {item.key!r} stands in the item files twice, with different "
                    "content; give each data set a name of its own"
                )
    return items


def each_item(paths: Iterable[Path]) -> Iterator[Item]:
    """Yield the items of files, which are called as in `read_items`, one by one."""
    for path in paths:
        yield from read_jsonl(path, TASKS[path.stem].item)
