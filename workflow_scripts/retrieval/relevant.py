"""The gold passages of an item: which chunks of a corpus they are."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .records import Chunk, Passage

_LINES = re.compile(r"(?P<path>.+):L(?P<first>\d+)(?:-L?(?P<last>\d+))?")
_CHARACTERS = re.compile(r"(?P<path>.+):(?P<start>\d+)-(?P<end>\d+)")


@dataclass(frozen=True)
class Relevant:
    """A gold passage: a chunk, a file, or lines of a file.

    ``chunk`` is a chunk's id, if it is one. ``first_line`` and ``last_line`` are both included;
    ``None``: the whole file.
    """

    path: str
    chunk: str | None = None
    first_line: int | None = None
    last_line: int | None = None

    @classmethod
    def read(cls, text: str) -> Relevant:
        """Read what an item names: ``path``, ``path:L12``, ``path:L12-L30`` or a chunk's id.

        Raises:
            ValueError: the lines are no range.
        """
        if found := _LINES.fullmatch(text):
            first, last = int(found["first"]), int(found["last"] or found["first"])
            if not 1 <= first <= last:
                raise ValueError(
                    f"{text!r}: lines count from 1, and the last is not before the first"
                )
            return cls(found["path"], None, first, last)
        if found := _CHARACTERS.fullmatch(text):
            return cls(found["path"], text)
        return cls(text)

    @property
    def names_a_file(self) -> bool:
        """Whether only the file is known, so that any of its chunks counts."""
        return self.chunk is None and self.first_line is None

    def covers(self, found: Chunk | Passage) -> bool:
        """Whether a chunk belongs to it: it is the chunk, or it has some of its lines."""
        if found.path != self.path:
            return False
        if self.chunk is not None:
            return found.id == self.chunk
        if self.first_line is None or self.last_line is None:
            return True
        return found.first_line <= self.last_line and self.first_line <= found.last_line
