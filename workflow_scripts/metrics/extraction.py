"""The answer within a chat response: a documented rule, beside the strict scores, never for them.

Chat models wrap answers: "The answer is **Paris**." or "Paris. It is the capital of France." Exact
match with "Paris" is 0 for both. The rule, in three steps:

1. Where: behind "the answer is" or "Answer:" in the first line that is not empty; else behind the
   last such marker of the response; else the first line itself.
2. What: of that line, without bullets, heading marks and a lead-in like "Based on the passage,",
   the text in quotation marks or bold type that it begins with; else its first sentence.
3. Trimmed: without brackets around it, emphasis, and punctuation at its end.

Where nothing is left, the whole response is the answer.
"""

from __future__ import annotations

import re

from .normalisation import is_blank

_MARKER = re.compile(
    r"\banswer\b(?: (?:to|for) [^.:?!\n]{1,200}?\??[\"”]?)?"
    r"[*_]*\s*(?:[:：]|\b(?:is|was|would be|should be)\b)[*_]*\s*(?:[:：]\s*)?(?:that\s+)?",
    re.IGNORECASE,
)
_LABEL = re.compile(r"^[*_]*A[*_]*\s*[:：][*_]*\s*")
_LINE_MARKS = re.compile(r"^(?:[#>*•·–-]+\s+)+")
_LEAD_IN = re.compile(
    r"^(?:based (?:\w+ )?(?:on|upon)|according to|in|from|as (?:stated|mentioned) in) "
    r"(?:the|this|your) (?:\w+ )?(?:passage|text|context|article|paragraph|document|excerpt|"
    r"information)(?: (?:provided|given|above))?\s*[,:]\s*",
    re.IGNORECASE,
)
_SET_APART = re.compile(
    r"(?:\"(?P<straight>[^\"]+)\"|“(?P<curly>[^”]+)”|«(?P<guillemets>[^»]+)»|"
    r"'(?P<single>[^']+)'(?!\w)|‘(?P<curly_single>[^’]+)’(?!\w)|"
    r"\*\*(?P<bold>[^*]+)\*\*|__(?P<underlined>[^_]+)__|`(?P<code>[^`]+)`)"
    r"(?!\s*(?:,|&|/|and\b|or\b)(?: and| or)?\s*[\"“‘'*_`«])"  # not the first of a list
)
_SENTENCE_END = re.compile(r"(?<!\S)(?P<word>\S*)(?P<end>\.\s+)|(?P<mark>[。！？])")
ABBREVIATION = re.compile(
    r"adm|al|approx|ca|capt|cf|co|col|corp|dr|etc|fr|ft|gen|gov|hon|inc|jr|lt|ltd|maj|mr|mrs|ms|mt|"
    r"op|pres|prof|rep|rev|sen|sgt|sr|st|ste|vol|vs|[^\W\d]|.*\..*"
)
_BRACKETED = re.compile(r"\(([^()]*)\)|\[([^\[\]]*)\]")


def extract_answer(response: str) -> str:
    """The answer within a response, by the rule above; blank only where the response is blank."""
    lines = _lines(response)
    if not lines:
        return response.strip()
    found = _MARKER.search(lines[0])
    if found is not None:
        lines = _lines(lines[0][found.end() :]) or lines[1:]
    else:
        markers = list(_MARKER.finditer(response))
        if markers:
            lines = _lines(response[markers[-1].end() :])
    answer = _trimmed(_first_statement(lines[0])) if lines else ""
    return response.strip() if is_blank(answer) else answer


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if not is_blank(line)]


def _first_statement(line: str) -> str:
    line = _LEAD_IN.sub("", _LABEL.sub("", _LINE_MARKS.sub("", line)))
    apart = _SET_APART.match(line)
    if apart is not None:
        return apart[apart.lastgroup or 0]
    for stop in _SENTENCE_END.finditer(line):
        if stop["mark"]:
            return line[: stop.start()]
        begins = line[stop.end() : stop.end() + 3].lstrip("\"'“‘«(*_")[:1]
        word = stop["word"].lstrip("\"'“‘«([*_").lower()
        if begins.isupper() and not ABBREVIATION.fullmatch(word):
            return line[: stop.start("end")]
    return line


def _trimmed(text: str) -> str:
    text = text.strip().rstrip(".,;:!。")
    for mark in '*_`"':
        bare = text.strip(mark)
        if mark not in bare:
            text = bare.rstrip(".,;:!。")
    bracketed = _BRACKETED.fullmatch(text)
    return text if bracketed is None else (bracketed[1] or bracketed[2] or "").strip()
