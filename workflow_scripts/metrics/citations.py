"""Citations such as ``[2]`` in an answer, and whether the cited passages support its sentences.

A citation is a number in square brackets: ``[2]``, ``[1, 3]``, ``[2-4]``, ``[1][3]``. Brackets in
code (between backticks) and before the address of a link are none. A citation belongs to the
sentence that it stands in or behind.

Precision and recall are those of ALCE (Gao et al. 2023), with the config's measure of support in
the place of its entailment model.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence, Set
from typing import NamedTuple

from .extraction import ABBREVIATION
from .normalisation import is_blank

_LONGEST_RANGE = 100
_LONGEST_WORD = 40

_NUMBERS = r"\d{1,4}(?:\s*[-–]\s*\d{1,4})?"
_CITATION = rf"\[\s*(?:{_NUMBERS})(?:\s*[,;]\s*(?:{_NUMBERS}))*\s*\](?!\()"
_BLANKS = r"\s{0,9}"
_CODE = r"```.*?(?:```|\Z)|`[^`\n]*`"
_CITED = re.compile(rf"(?P<code>{_CODE})|{_BLANKS}(?P<citation>{_CITATION})", re.DOTALL)
_RANGE = re.compile(r"(\d+)(?:\s*[-–]\s*(\d+))?")
_BEHIND = rf"(?:{_BLANKS}{_CITATION})*+"
_SENTENCE = re.compile(
    rf"(?:{_CODE}|.)+?(?:(?<![.!?])[.!?]++[\"”’)*_]*+{_BEHIND}(?=\s[^a-z]|$)|[。！？]{_BEHIND}|$)",
    re.DOTALL,
)
_LINE = re.compile(rf"{_CODE}|\n", re.DOTALL)
_LIST_MARK = re.compile(r"\s*(?:[-*•#>]+|\d{1,3}[.)])\s+")
_SOURCES = re.compile(r"\W*(?:sources?|references?|citations?)\W*", re.IGNORECASE)


class Sentence(NamedTuple):
    """A sentence without its citations, and the numbers that it cites, each once."""

    text: str
    cited: tuple[int, ...]


class CitedAnswer(NamedTuple):
    """How the sentences of an answer cite, from 0 to 1; 0 without a sentence or citation."""

    precision: float
    recall: float


def without_citations(text: str) -> str:
    """Return a text without its citations, and without the blanks before them."""
    return _CITED.sub(lambda found: found["code"] or "", text)


def cited_numbers(text: str) -> list[int]:
    """Return the numbers that a text cites, each once, in the order of the text."""
    found = (each["citation"] for each in _CITED.finditer(text) if each["citation"])
    return list(dict.fromkeys(number for each in found for number in _numbers(each)))


def sentences(text: str) -> list[Sentence]:
    """Return the sentences of an answer. A line ends one, and what says nothing is none.

    A citation by itself, or behind "Sources:", belongs to the sentence before it. A list of
    sources at the end has no sentences.
    """
    found: list[Sentence] = []
    for line in _lines(text):
        for part in _parts(line):
            said, cited = without_citations(part).strip(), cited_numbers(part)
            is_heading = bool(_SOURCES.fullmatch(said))
            if is_heading and not cited:
                return found
            if not (is_blank(said) or is_heading):
                found.append(Sentence(said, tuple(cited)))
            elif found:
                last = found.pop()
                found.append(Sentence(last.text, tuple(dict.fromkeys([*last.cited, *cited]))))
    return found


def _parts(line: str) -> Iterator[str]:
    """The sentences of a line; the stop of an abbreviation ends none."""
    if mark := _LIST_MARK.match(line):
        line = line[mark.end() :]
    part = ""
    for found in _SENTENCE.finditer(line):
        part += found[0]
        word = part.rsplit(maxsplit=1)[-1].lstrip("([\"'") if part.endswith(".") else ""
        if not ABBREVIATION.fullmatch(word[:_LONGEST_WORD].removesuffix(".").lower()):
            yield part
            part = ""
    if part:
        yield part


def _lines(text: str) -> Iterator[str]:
    """The lines of a text; a block of code stays with the line before it."""
    start = 0
    for found in _LINE.finditer(text):
        if found[0] == "\n":
            yield text[start : found.start()]
            start = found.end()
    yield text[start:]


def _numbers(citation: str) -> Iterable[int]:
    for first, last in _RANGE.findall(citation):
        low, high = int(first), int(last or first)
        yield from range(low, min(high, low + _LONGEST_RANGE) + 1) if low <= high else (low, high)


class Evidence(NamedTuple):
    """A sentence with the texts of the passages that should support it together."""

    sentence: str
    passages: tuple[str, ...]


def whole(sentence: Sentence, passages: Sequence[str]) -> Evidence | None:
    """Return the sentence with all passages that it cites.

    ``None`` where it cites nothing, or a passage that does not exist: then nothing supports it.
    """
    if not sentence.cited or any(not exists(number, passages) for number in sentence.cited):
        return None
    return Evidence(sentence.text, tuple(passages[number - 1] for number in sentence.cited))


def parts(evidence: Evidence) -> list[tuple[Evidence, Evidence]]:
    """Return the sentence with each passage alone, and with all others; of one passage nothing."""
    if len(evidence.passages) < 2:
        return []
    return [
        (
            Evidence(evidence.sentence, (passage,)),
            Evidence(evidence.sentence, evidence.passages[:n] + evidence.passages[n + 1 :]),
        )
        for n, passage in enumerate(evidence.passages)
    ]


def exists(number: int, passages: Sequence[str]) -> bool:
    """Whether a passage has this number."""
    return 1 <= number <= len(passages)


def rated(
    found: Sequence[Sentence], passages: Sequence[str], supported: Set[Evidence]
) -> CitedAnswer:
    """Return precision and recall of the citations of an answer.

    Recall: the share of the sentences that their cited passages support together. Precision: the
    share of the citations that are needed: the sentence is supported, and the passage supports it
    alone, or the others do not without it. A number that does not exist supports nothing.

    Args:
        found: the sentences of the answer.
        passages: the texts of the numbered passages.
        supported: of `whole` and `parts`, those that are supported.
    """
    right = precise = 0
    for sentence in found:
        evidence = whole(sentence, passages)
        if evidence not in supported or evidence is None:
            continue
        right += 1
        pairs = parts(evidence)
        precise += sum(alone in supported or others not in supported for alone, others in pairs)
        precise += not pairs
    citations = sum(len(sentence.cited) for sentence in found)
    return CitedAnswer(
        precision=precise / citations if citations else 0.0,
        recall=right / len(found) if found else 0.0,
    )
