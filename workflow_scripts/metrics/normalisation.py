"""How the official evaluations of published data sets normalise texts before comparing them.

Each function is its script's definition to the letter, quirks included; docs/scoring.md names the
scripts and where they differ.
"""

from __future__ import annotations

import re
import string
import unicodedata

_WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)
_PUNCTUATION_AS_BLANKS = str.maketrans(dict.fromkeys(string.punctuation + "‘’´`", " "))
_NO_ARTICLE = re.compile(r"[^\W\d_]{4}|\d")
"""What is left whatever is taken away: a number, or more letters in a row than an article has."""

_ARTICLES = re.compile(r"\b(a|an|the)\b")


def normalise(text: str) -> str:
    """SQuAD 2.0: lower case, without ASCII punctuation, then without articles and extra blanks."""
    return _without_articles(text.lower().translate(_WITHOUT_PUNCTUATION))


def normalise_nq_open(text: str) -> str:
    """NQ-open: as SQuAD 2.0, after taking accents apart from their letters (Unicode NFD)."""
    return normalise(unicodedata.normalize("NFD", text))


def normalise_triviaqa(text: str) -> str:
    """TriviaQA: lower case; ASCII punctuation, ‘, ’ and ´ become blanks; no articles."""
    return _without_articles(text.lower().translate(_PUNCTUATION_AS_BLANKS))


def is_blank(text: str) -> bool:
    """Whether a text says nothing: a definition leaves nothing of it, or punctuation like "…"."""
    if _NO_ARTICLE.search(text):
        return False
    return not (_says_something(normalise(text)) and _says_something(normalise_triviaqa(text)))


def _says_something(normalised: str) -> bool:
    return any(
        character.isalnum() or unicodedata.category(character) in ("Sc", "Sm", "So")
        for character in normalised
    )


def _without_articles(text: str) -> str:
    return " ".join(_ARTICLES.sub(" ", text).split())
