"""Tokens of the pieces of a text: counted by a tokenizer, or estimated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

_SPACE, _NEWLINE, _LOWER, _UPPER, _DIGIT, _SIGN, _WIDE = range(7)

_WIDE_FROM = 0x2E80
"""Characters from here on, such as Chinese and emoji, are a token or more each."""


def _kinds() -> npt.NDArray[np.uint8]:
    kinds = np.full(_WIDE_FROM + 1, _LOWER, np.uint8)
    kinds[:128] = _SIGN
    kinds[[ord(each) for each in " \t\r\f\v"]] = _SPACE
    kinds[ord("\n")] = _NEWLINE
    kinds[ord("a") : ord("z") + 1] = _LOWER
    kinds[ord("A") : ord("Z") + 1] = _UPPER
    kinds[ord("0") : ord("9") + 1] = _DIGIT
    kinds[_WIDE_FROM] = _WIDE
    return kinds


_KINDS = _kinds()


class TokenCounter(Protocol):
    """Counts the tokens of consecutive pieces of a text."""

    method: str
    """How it counts, in words."""

    adds_up: bool
    """Whether lines together have as many tokens as each by itself."""

    def count(self, text: str, ends: Ints) -> Ints:
        """Return the tokens of each piece by itself; ``ends`` are their ends in the text."""
        ...


class Tokenizer:
    """Counts by a tokenizer.

    Args:
        method: which one it is, in words.
        tokens: the tokens of some texts.
    """

    adds_up = False

    def __init__(self, method: str, tokens: Callable[[Sequence[str]], Sequence[int]]) -> None:
        self.method = method
        self._tokens = tokens

    def count(self, text: str, ends: Ints) -> Ints:
        """Return the tokens of each piece."""
        starts = np.concatenate(([0], ends[:-1])) if len(ends) else ends
        bounds = zip(starts.tolist(), ends.tolist(), strict=True)
        numbers: dict[str, int] = {}  # equal lines are many, and counted once
        of_pieces = [numbers.setdefault(text[start:end], len(numbers)) for start, end in bounds]
        return np.asarray(self._tokens(list(numbers)), np.int64)[of_pieces]


class Estimate:
    """An estimate for any tokenizer, exact about nothing and the same everywhere.

    A word is a token, and so are each capital within a word, a number, a sign or a run of the same
    sign, a line end, and each character of scripts without letters.
    """

    method = "estimated by words and signs"
    adds_up = True

    def count(self, text: str, ends: Ints) -> Ints:
        """Return the tokens of each piece."""
        if not text:
            return np.zeros(len(ends), np.int64)
        codes = code_points(text)
        kinds = _KINDS[codes if text.isascii() else np.minimum(codes, _WIDE_FROM)]
        new = np.empty(len(codes), bool)
        new[0] = True
        np.not_equal(kinds[1:], kinds[:-1], out=new[1:])
        new[1:] &= (kinds[1:] != _LOWER) | (kinds[:-1] != _UPPER)  # the rest of a capitalised word
        new[1:] |= (kinds[1:] == _SIGN) & (codes[1:] != codes[:-1])
        new |= (kinds == _WIDE) | (kinds == _NEWLINE)
        starts = np.concatenate(([0], ends[:-1]))
        new[starts[starts < len(codes)]] = True  # a piece counts by itself
        new &= kinds != _SPACE
        before = np.searchsorted(np.flatnonzero(new), np.concatenate((starts[:1], ends)))
        return np.diff(before)


def code_points(text: str) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint32]:
    """Return the characters of a text as numbers."""
    if text.isascii():
        return np.frombuffer(text.encode("ascii"), np.uint8)
    return np.frombuffer(text.encode("utf-32-le"), np.uint32)


def line_ends(text: str) -> Ints:
    """Return where the lines of a text end, behind the line break; the last is its length."""
    ends = np.flatnonzero(code_points(text) == ord("\n")).astype(np.int64) + 1
    if len(ends) and ends[-1] == len(text):
        return ends
    return np.append(ends, len(text)) if text else ends
