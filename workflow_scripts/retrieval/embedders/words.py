"""The terms of texts, and how often each text has them.

A term is a word in lower case. An identifier also counts by its parts: `getUserName` and
`get_user_name` both have the terms `get`, `user` and `name`, beside the whole. Scripts without
spaces (Chinese, Japanese, Thai …) count by single characters and by pairs of them.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import regex
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_array

_WORD = re.compile(r"\w+", re.ASCII)
_ANY_WORD = regex.compile(r"[\w\p{M}]+")
_PART = regex.compile(r"\p{Lu}+(?!\p{Ll})|\p{Lu}?[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|\p{N}+")
_UNSPACED = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]+")


def words(text: str) -> list[str]:
    """Return the words of a text as they are written, in their order."""
    if text.isascii():
        return _WORD.findall(text)
    return _ANY_WORD.findall(unicodedata.normalize("NFKC", text))


@functools.lru_cache(maxsize=100_000)
def terms_of(word: str) -> tuple[str, ...]:
    """Return the terms of a word: the whole, and its parts if it has several."""
    whole = word.casefold()
    found = [whole]
    if not word.isascii() and _UNSPACED.search(word):
        for run in _UNSPACED.findall(word):
            found += [*run, *(run[at : at + 2] for at in range(len(run) - 1))]
    else:
        found += [part.casefold() for part in _PART.findall(word)]
    return tuple(dict.fromkeys(found))


class _Numbers(dict[str, int]):
    """Numbers words in the order in which they first occur."""

    def __missing__(self, word: str) -> int:
        number = self[word] = len(self)
        return number


def count(texts: Iterable[str]) -> tuple[list[str], csr_array[Any]]:
    """Return the terms of some texts, sorted, and how often each text (row) has each (column).

    Each different word is taken apart once, whatever the length of the texts.
    """
    from scipy.sparse import csr_array

    numbers = _Numbers()
    rows = [np.array([numbers[word] for word in words(text)], np.int32) for text in texts]
    of_word = [terms_of(word) for word in numbers]
    terms = sorted({term for each in of_word for term in each})
    column = {term: number for number, term in enumerate(terms)}
    in_texts = _ones(rows, len(numbers))
    in_words = _ones([np.array([column[term] for term in each]) for each in of_word], len(terms))
    found = csr_array(in_texts @ in_words)
    found.sort_indices()
    return terms, found


def count_known(texts: Iterable[str], columns: Mapping[str, int]) -> csr_array[Any]:
    """Return how often each text has each of some terms; others are passed over."""
    rows = [
        np.array(
            [columns[term] for word in words(text) for term in terms_of(word) if term in columns],
            np.int32,
        )
        for text in texts
    ]
    return _ones(rows, len(columns))


def _ones(rows: list[NDArray[Any]], columns: int) -> csr_array[Any]:
    from scipy.sparse import csr_array

    ends = np.cumsum([0, *map(len, rows)])
    indices = np.concatenate([*rows, np.empty(0, np.int32)]).astype(np.int32)
    found = csr_array((np.ones(len(indices), np.int32), indices, ends), shape=(len(rows), columns))
    found.sum_duplicates()
    return found
