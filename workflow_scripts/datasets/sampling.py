"""A seeded sample of items that depends on their ids alone."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from ..core.records import Item


def sample(items: Sequence[Item], limit: int | None, seed: int) -> list[Item]:
    """Choose ``limit`` of the items, in their order; all of them when there are not more.

    Every item draws a number from its id and the seed, and the smallest numbers win. So a smaller
    sample is part of every larger one, the order of the file does not matter, and an item that is
    added to the file or removed from it displaces one other item at most.
    """
    if limit is None or limit >= len(items):
        return list(items)
    chosen = {item.id for item in sorted(items, key=lambda item: _draw(seed, item.id))[:limit]}
    return [item for item in items if item.id in chosen]


def _draw(seed: int, item_id: str) -> bytes:
    return hashlib.sha256(f"{seed}|{item_id}".encode()).digest()
