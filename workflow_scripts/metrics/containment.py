"""Whether a response contains a gold answer: as whole words, whatever stands around them.

Chat models answer in sentences, so equality with a gold answer measures form. Here both texts
become words: lower case, without accents, punctuation and articles, with one spelling for each
number, date, initial and title. A gold answer is contained where its words stand in the response
in a row and the response does not deny them ("not Paris"). Yes, no, true and false must be the
first word.

docs/scoring.md says how often this agrees with people.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache

from .spelling import dates_in_order, numbers_in_figures

_WORD = re.compile(r"\d+(?:\.\d+)?(?:st|nd|rd|th)?(?!\w)|\w+|[.;:!?,()\n]|%|&")
_DIGIT = re.compile(r"\d")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_POSSESSIVE = re.compile(r"[’']s\b")
_DROPPED = re.compile(r"[’'`´\"“”*_]|(?<=\b[^\W\d_])\.(?=\s?[^\W\d_])")
_DASHES = re.compile(r"[-–—/]")
_BREAK = "|"
_CLAUSE_ENDS = ".;:!?,()\n"
_ARTICLES = frozenset({"a", "an", "the"})
_SPELLINGS = {
    "&": "and", "%": "percent", "saint": "st", "mount": "mt", "versus": "vs", "doctor": "dr",
    "mister": "mr", "junior": "jr", "senior": "sr", "bce": "bc",
}  # fmt: skip
_FIRST_WORDS = frozenset({"yes", "no", "true", "false"})
_NOT = frozenset({
    "not", "never", "neither", "nor", "isnt", "wasnt", "arent", "werent", "didnt", "doesnt",
    "dont", "cannot", "cant", "wont", "wouldnt", "couldnt", "except", "excluding", "unlike",
    "without",
})  # fmt: skip
_RATHER_THAN = frozenset({("rather", "than"), ("instead", "of"), ("other", "than")})
_NO_DENIAL = frozenset({
    "only", "until", "just", "merely", "simply", "before",
})  # fmt: skip
"""Behind "not", they make an assertion: "not until 1972"."""
_BRACKETED = re.compile(r"([^()]+?)\s*\(([^()]+)\)\s*")
_LEAD_INS = frozenset({
    "in", "on", "at", "from", "to", "by", "of", "around", "about", "approximately", "circa",
})  # fmt: skip
"""At the beginning of a gold answer, a response need not have them."""
_REACH = 3
"""Words between a denial and what it denies, at most."""
_WRONG = re.compile(
    r"(?:is|are|was|were|would be|isnt|wasnt)(?: definitely| clearly)? "
    r"(?:(?:not )?(?:the )?(?:incorrect|wrong|false)|not (?:the )?(?:correct|right|answer|case)|"
    r"(?:the )?(?:correct|right) answer)\b"
)


def contains(response: str, golds: Iterable[str]) -> bool:
    """Return whether a response states one of the gold answers."""
    words = _words(response)
    return any(
        _states(_words(response, _ARTICLES) if _ARTICLES.issuperset(gold) else words, gold)
        for answer in golds
        for gold in _spoken_forms(answer)
    )


def _states(words: Sequence[str], gold: Sequence[str]) -> bool:
    if not gold:
        return False
    if len(gold) == 1 and gold[0] in _FIRST_WORDS:
        return bool(words) and words[0] == gold[0]
    positions = [number for number, word in enumerate(words) if word != _BREAK]
    spoken = [words[number] for number in positions]
    size = len(gold)
    for start in range(len(spoken) - size + 1):
        if spoken[start] == gold[0] and spoken[start : start + size] == list(gold):
            before = words[: positions[start]]
            behind = words[positions[start + size - 1] + 1 :]
            if not _denied(before, behind):
                return True
    return False


def _denied(before: Sequence[str], behind: Sequence[str]) -> bool:
    """Whether a clause denies what stands between two rows of words."""
    clause = list(before[len(before) - _until_break(before[::-1]) :])[-_REACH - 1 :]
    for number, word in enumerate(clause):
        follows = clause[number + 1] if number + 1 < len(clause) else ""
        if (word in _NOT and follows not in _NO_DENIAL) or (word, follows) in _RATHER_THAN:
            return True
    found = _WRONG.match(" ".join(behind[: _until_break(behind)]))
    return found is not None and not found[0].endswith(("correct answer", "right answer"))


def _until_break(words: Sequence[str]) -> int:
    return next((number for number, word in enumerate(words) if word == _BREAK), len(words))


@lru_cache(maxsize=4096)
def _spoken_forms(gold: str) -> tuple[tuple[str, ...], ...]:
    """The words of a gold answer, also without and alone what it has in brackets at its end."""
    forms = [gold]
    if bracketed := _BRACKETED.fullmatch(gold):
        forms += bracketed.groups()
    return tuple(tuple(_gold(form)) for form in forms)


def _gold(text: str) -> list[str]:
    words = [word for word in _words(text) if word != _BREAK] or _words(text, _ARTICLES)
    start = next((n for n, word in enumerate(words) if word not in _LEAD_INS), 0)
    return words[start:]


def _words(text: str, articles: Collection[str] = ()) -> list[str]:
    """Return the words of a text in one spelling, with a mark where a clause ends.

    Of articles, only ``articles`` stay: "The The" is a band.
    """
    text = text.casefold()
    if not text.isascii():
        text = unicodedata.normalize("NFKD", text)
        text = "".join(char for char in text if not unicodedata.combining(char))
    if _DIGIT.search(text):
        text = dates_in_order(_THOUSANDS.sub("", text))
    text = _DASHES.sub(" ", _DROPPED.sub("", _POSSESSIVE.sub("", text)))
    found = [_SPELLINGS.get(word, word) for word in _WORD.findall(text)]
    words = [_BREAK if word in _CLAUSE_ENDS else word for word in found]
    kept = [word for word in words if word not in _ARTICLES or word in articles]
    return numbers_in_figures(_initials_joined(kept))


def _initials_joined(words: Sequence[str]) -> list[str]:
    """Join letters that stand alone: "J. K. Rowling" and "JK Rowling" are one name."""
    joined: list[str] = []
    before = ""
    for word in words:
        if len(word) == len(before) == 1 and (word + before).isalpha():
            joined[-1] += word
        else:
            joined.append(word)
        before = word
    return joined
