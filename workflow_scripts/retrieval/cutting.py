"""Where a document is cut into chunks: offsets of its own text, never rebuilt from tokens."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from .settings import ChunkingSettings
from .tokens import Ints, TokenCounter, line_ends


class Boundary(NamedTuple):
    """An offset at which something begins that is better left whole; 0 is the highest level."""

    offset: int
    level: int


class Span(NamedTuple):
    """A chunk to be: ``text[start:end]``, its lines (both included), and its tokens."""

    start: int
    end: int
    first_line: int
    last_line: int
    tokens: int


Boundaries = Callable[[str], Sequence[Boundary]]


def cut(
    text: str, counter: TokenCounter, settings: ChunkingSettings, boundaries: Boundaries | None
) -> list[Span]:
    """Return the chunks of a text, in its order.

    They cover it, none is longer than ``settings.tokens`` (save a single character of more
    tokens), and none lies wholly inside another.
    """
    if not text:
        return []
    lines = line_ends(text)
    if settings.by == "document":
        whole = np.array([len(text)])
        return _spans(lines, np.array([0]), whole, counter.count(text, whole))
    ends, tokens = _units(text, lines, counter, settings.tokens)
    preferred = boundaries(text) if boundaries else ()
    limit = settings.tokens
    while True:
        starts, stops, sums = _greedy(ends, tokens, limit, settings.overlap, preferred)
        if counter.adds_up and ends is lines:
            return _spans(lines, starts, stops, sums)
        counts = _count(text, starts, stops, counter)
        # A tokenizer may need more tokens for lines together than for each by itself.
        excess = int(counts.max()) - settings.tokens
        if excess <= 0 or limit == 1:
            return _spans(lines, starts, stops, counts)
        limit = max(1, limit - excess)


def _count(text: str, starts: Ints, stops: Ints, counter: TokenCounter) -> Ints:
    chunks = [text[start:stop] for start, stop in zip(starts, stops, strict=True)]
    return counter.count("".join(chunks), np.cumsum(stops - starts))


def _spans(lines: Ints, starts: Ints, stops: Ints, counts: Ints) -> list[Span]:
    first = np.searchsorted(lines, starts, side="right") + 1
    last = np.searchsorted(lines, stops - 1, side="right") + 1
    columns = (each.tolist() for each in (starts, stops, first, last, counts))
    return [Span(*row) for row in zip(*columns, strict=True)]


def _units(text: str, lines: Ints, counter: TokenCounter, limit: int) -> tuple[Ints, Ints]:
    """Return the ends and the tokens of what is not cut: lines, and pieces of overlong lines."""
    ends, tokens = lines, counter.count(text, lines)
    while True:
        starts = np.concatenate(([0], ends[:-1]))
        sizes = ends - starts
        too_long = np.flatnonzero((tokens > limit) & (sizes > 1))
        if not len(too_long):
            return ends, tokens
        cuts = [ends]
        for unit in too_long.tolist():
            n = min(int(-(-tokens[unit] // limit)) + 1, int(sizes[unit]))
            cuts.append(starts[unit] + np.arange(1, n) * sizes[unit] // n)
        ends = np.sort(np.concatenate(cuts))
        tokens = counter.count(text, ends)


def _greedy(
    ends: Ints, tokens: Ints, limit: int, overlap: float, preferred: Sequence[Boundary]
) -> tuple[Ints, Ints, Ints]:
    """Return the longest chunks within a limit: their starts and ends, and their units' tokens."""
    sums, offsets = np.concatenate(([0], np.cumsum(tokens))), np.concatenate(([0], ends))
    before: list[int] = sums.tolist()
    better = _Preferred(preferred, offsets, before, limit)
    most_overlap = int(overlap * limit)
    n = len(ends)
    start = previous = 0
    starts, stops = [], []
    while True:
        stop = bisect_right(before, before[start] + limit) - 1
        stop = min(max(stop, previous + 1), n)
        is_better = False
        if stop < n and (found := better.last(start, previous, stop)):
            stop, is_better = found, True
        starts.append(start)
        stops.append(stop)
        if stop == n:
            return offsets[starts], offsets[stops], sums[stops] - sums[starts]
        previous = stop
        # With more overlap, the next unit would not fit and the chunk would lie in this one.
        next_tokens = before[stop + 1] - before[stop]
        budget = 0 if is_better else min(most_overlap, max(0, limit - next_tokens))
        back = bisect_left(before, before[stop] - budget)
        start = min(max(back, start + 1), stop)


class _Preferred:
    """The boundaries at which chunks are cut rather than at any line."""

    def __init__(
        self, preferred: Sequence[Boundary], offsets: Ints, before: Sequence[int], limit: int
    ) -> None:
        units = np.searchsorted(offsets, [each.offset for each in preferred]).tolist()
        self._levels = {
            unit: each.level
            for unit, each in zip(units, preferred, strict=True)
            if offsets[unit] == each.offset
        }
        self._units = sorted(self._levels)
        self._before = before
        self._half = limit // 2

    def last(self, start: int, previous: int, stop: int) -> int:
        """Return the best unit to end a chunk before, at most ``stop``; 0 if there is none.

        Of those that fill half of the chunk the last one of the highest level, else of all.
        """
        if not self._levels:
            return 0
        low = bisect_right(self._units, max(start, previous))
        found = self._units[low : bisect_right(self._units, stop)]
        full = self._before[start] + self._half
        filling = [unit for unit in found if self._before[unit] >= full]
        return max(filling or found, key=lambda unit: (-self._levels[unit], unit), default=0)
