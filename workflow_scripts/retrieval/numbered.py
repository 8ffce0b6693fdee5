"""Passages as prompts show them: numbered from 1, each with path and lines."""

from __future__ import annotations

import re
from collections.abc import Iterable

from .records import Passage

_LINE_BREAKS = re.compile(r"[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]+")


def place(passage: Passage) -> str:
    """Return the path and lines of a passage, in one line whatever its path holds."""
    path = _LINE_BREAKS.sub(" ", passage.path)
    if passage.first_line == passage.last_line:
        return f"{path}, line {passage.first_line}"
    return f"{path}, lines {passage.first_line}–{passage.last_line}"


def numbered(passages: Iterable[Passage]) -> str:
    """Return passages as one text, in the order given; without any it is empty."""
    return "\n\n".join(f"[{n}] {place(each)}\n{each.text}" for n, each in enumerate(passages, 1))
