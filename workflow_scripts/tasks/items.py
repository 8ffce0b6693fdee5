"""The items of an experiment by key, for the stages that need a prediction's item again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from ..core.errors import UserError
from ..core.files import read_jsonl, read_line_at, read_offsets
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
                raise _twice(path, item.key)
    return items


def _twice(path: Path, key: str) -> UserError:
    return UserError(
        f"{path}: item {key!r} stands in the item files twice, with different content; give each "
        "data set a name of its own"
    )


class ItemsOnDisk(Mapping[str, Item]):
    """The table of `read_items` with only its keys in memory; an item is read when it is needed.

    Args and errors as for `read_items`.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        self._places: dict[str, tuple[Path, int]] = {}
        for path in paths:
            for offset, item in read_offsets(path, _record(path)):
                place = self._places.setdefault(item.key, (path, offset))
                if place != (path, offset) and self[item.key] != item:
                    raise _twice(path, item.key)

    def __getitem__(self, key: str) -> Item:
        path, offset = self._places[key]
        return read_line_at(path, offset, _record(path))

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def each_item(paths: Iterable[Path]) -> Iterator[Item]:
    """Yield the items of files, which are called as in `read_items`, one by one."""
    for path in paths:
        yield from read_jsonl(path, _record(path))


def _record(path: Path) -> type[Item]:
    return TASKS[path.stem].item
