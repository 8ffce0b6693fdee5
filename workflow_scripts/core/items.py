"""The items of an experiment by key, for the stages that need a prediction's item again."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from .errors import UserError
from .files import read_jsonl
from .records import Item


def read_items(paths: Iterable[Path]) -> dict[str, Item]:
    """Read item files into one table by `Item.key`; one key for two different items is an error."""
    items: dict[str, Item] = {}
    for path in paths:
        for item in read_jsonl(path, Item):
            if items.setdefault(item.key, item) != item:
                raise UserError(
                    f"{path}: item {item.key!r} stands in the item files twice, with different "
                    "content; give each data set a name of its own"
                )
    return items
