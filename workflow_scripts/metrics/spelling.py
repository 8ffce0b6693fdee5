"""One spelling for numbers and dates, so that texts can be compared word by word."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal

_UNITS = {
    "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7,
    "eight": 8, "nine": 9, "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13,
    "fourteen": 14, "fifteen": 15, "sixteen": 16, "seventeen": 17, "eighteen": 18,
    "nineteen": 19,
}  # fmt: skip
_TENS = {
    "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70,
    "eighty": 80, "ninety": 90,
}  # fmt: skip
_SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_ORDINALS = {
    "first": "one", "second": "two", "third": "three", "fifth": "five", "eighth": "eight",
    "ninth": "nine", "twelfth": "twelve",
}  # fmt: skip
_NUMBER_WORDS = frozenset({*_UNITS, *_TENS})
_BEGINNINGS = _NUMBER_WORDS.union(
    _ORDINALS, (f"{word}th" for word in _UNITS), (f"{word[:-1]}ieth" for word in _TENS)
)
"""The words that a number can begin with."""
_ROMAN = {
    "ii": 2, "iii": 3, "iv": 4, "vii": 7, "viii": 8, "ix": 9, "xii": 12, "xiii": 13, "xiv": 14,
    "xv": 15, "xvi": 16,
}  # fmt: skip
"""Not those that are words or names, too: i, v, vi, x, xi."""

_FIGURES = re.compile(r"\d+(?:\.\d+)?")
_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september",
    "october", "november", "december",
)  # fmt: skip
_MONTH = (
    r"(?P<month>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|"
    r"sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\b\.?"
)
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_YEAR = r"(?:\s*,?\s+(?P<year>\d{4})\b)?"
_DAY_FIRST = re.compile(rf"\b(?:the )?{_DAY}(?: of)?\s+{_MONTH}{_YEAR}")
_MONTH_FIRST = re.compile(rf"\b{_MONTH}(?: the)?\s+{_DAY}\b(?!:\d){_YEAR}")
_MONTH_ALONE = re.compile(rf"\b{_MONTH}\s*,?\s+(?P<year>\d{{4}})\b")
_ISO = re.compile(r"\b(?P<year>\d{4})-(?P<number>0[1-9]|1[0-2])-(?P<day>[0-3]\d)\b")


def dates_in_order(text: str) -> str:
    """Write each date of a lower-case text as day, month, year: "Dec. 14th, 1972", "1972-12-14"."""
    for pattern in (_ISO, _DAY_FIRST, _MONTH_FIRST, _MONTH_ALONE):
        text = pattern.sub(_date, text)
    return text


def _date(found: re.Match[str]) -> str:
    parts = found.groupdict()
    if number := parts.get("number"):
        month = _MONTHS[int(number) - 1]
    else:
        month = next(name for name in _MONTHS if name.startswith(parts["month"][:3]))
    day = str(int(parts["day"])) if parts.get("day") else ""
    return " ".join(filter(None, (day, month, parts.get("year"))))


def numbers_in_figures(words: Sequence[str]) -> list[str]:
    """Write the numbers among some lower-case words in figures: "twenty one", "5 million", "ii".

    Ordinals become "21st", "one of" stays.
    """
    found: list[str] = []
    place = 0
    while place < len(words):
        word, length, figures = words[place], 0, ""
        if word[0].isdecimal() or word in _BEGINNINGS:
            length, figures = _number_at(words, place)
        found.append(figures if length else str(_ROMAN.get(word, word)))
        place += length or 1
    return found


def _number_at(words: Sequence[str], place: int) -> tuple[int, str]:
    """How many words from a place on are one number, and the number; 0 where none is there."""
    total, group, length, last = Decimal(0), None, 0, ""
    ordinal = False
    for word in words[place:]:
        cardinal = _cardinal(word)
        if word == "and" and last in ("hundred", *_SCALES):
            following = words[place + length + 1 : place + length + 2]
            if not following or _cardinal(following[0]) not in _NUMBER_WORDS:
                break
        elif _FIGURES.fullmatch(word) and group is None and not length:
            group = Decimal(word)
        elif cardinal in _UNITS and (
            last in ("", "and", "hundred", *_SCALES)
            or (last in _TENS and 0 < _UNITS[cardinal] < 10)
        ):
            group = (group or 0) + Decimal(_UNITS[cardinal])
        elif cardinal in _TENS and last in ("", "and", "hundred", *_SCALES):
            group = (group or 0) + Decimal(_TENS[cardinal])
        elif word == "hundred" and group is not None and group < 100 and last != "hundred":
            group *= 100
        elif word in _SCALES and group is not None:
            total, group = total + group * _SCALES[word], None
        else:
            break
        length, last = length + 1, cardinal if cardinal in _NUMBER_WORDS else word
        ordinal = cardinal != word
        if ordinal:
            break
    if not length or (words[place] == "one" and words[place + 1 : place + 2] == ["of"]):
        return 0, ""
    value = total + (group or 0)
    figures = format(value.normalize(), "f")
    return length, figures + _ending(figures) if ordinal else figures


def _cardinal(word: str) -> str:
    """The number word behind an ordinal; other words as they are."""
    if word in _ORDINALS:
        return _ORDINALS[word]
    if word.endswith("ieth") and word[:-4] + "y" in _TENS:
        return word[:-4] + "y"
    return word[:-2] if word.endswith("th") and word[:-2] in _UNITS else word


def _ending(figures: str) -> str:
    if figures[-2:] in ("11", "12", "13"):
        return "th"
    return {"1": "st", "2": "nd", "3": "rd"}.get(figures[-1], "th")
