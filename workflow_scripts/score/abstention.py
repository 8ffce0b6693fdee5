"""Whether a response says that it gives no answer.

The leading sentence decides (after greetings, apologies and phrases like "based on the passage"):
it must be, or begin with, a statement that the answer is not known or not given. So "The answer
is Paris, though I don't know the street" is an answer. Where an abstaining start goes on to answer
all the same ("I'm not sure, but I think it is Paris"), the response is an answer too. A response
that starts by retelling the passage abstains if it then says what the passage lacks ("The passage
describes the siege, but it does not say how long it lasted").

A refusal ("I can't help with that") is no abstention: see `workflow_scripts.score.refusal`.

The built-in patterns are English; phrases of other languages come from the config. A guess that
follows without any marker ("I don't know. Paris.") still counts as an abstention. How often the
detector is right is published in docs/scoring.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from .refusal import refuses
from .wording import PREAMBLE, SOURCE, Opening, opening, plain_words

_SUBJECT = rf"(?:it|this|that|(?:(?:this|that|exact|correct) )*(?:answer|question|detail)|{SOURCE})"
_SAYS = (
    r"(?:mention|say|state|specify|provide|contain|give|include|indicate|explain|tell|answer|"
    r"address|discuss|describe|have|identify|name|reveal|clarify|list|disclose|define|offer|"
    r"refer|make|seem|appear|talk|cover|report|note|elaborate|detail|record)"
)
_MISSING = (
    r"(?:mentioned|stated|specified|given|provided|indicated|described|discussed|disclosed|named|"
    r"included|found|identified|addressed|covered|revealed|listed|recorded|explained)"
)
_FINDABLE = (
    r"(?:information|mention|answer|evidence|indication|reference|record|data|details?|context|"
    r"statement|clue|knowledge)"
)
_DETERMINED = r"(?:determined|answered|known|inferred|deduced|found|established|verified|derived)"
_TO_TELL = (
    r"to (?:say|tell|know|answer|determine|identify|infer|deduce|establish|verify|confirm|find|"
    r"conclude|give|provide|be (?:sure|certain))"
)
_DECIDE = (
    r"(?:answer|determine|say|identify|confirm|verify|infer|deduce|be (?:sure|certain)|"
    r"tell(?= you$|(?: you)? (?:from|based|what|which|who|whose|when|where|why|how|whether|if|that"
    r"|for|exactly)\b|$))"
)
_FIND_OUT = rf"(?:{_DECIDE}|find|provide|give|know|recall|remember|locate|see)"

_SPEAKER_DOES_NOT_KNOW = (
    r"(?:(?:i|we) )?(?:\w+ly |just |still )?(?:do|did|would) not (?:\w+ly )?"
    r"(?:know|recall|remember)\b",
    rf"(?:i|we) (?:do|did) not (?:have|possess|see|find) (?:\w+ ){{0,4}}?"
    rf"(?:{_FINDABLE}|idea|access|in {SOURCE})\b",
    r"(?:i|we) (?:am|are|was|were) not told\b",
    rf"(?:i|we) have not (?:been (?:given|provided|told)|got|seen|found)(?: \w+){{0,4}}? "
    rf"{_FINDABLE}\b",
    r"(?:i|we) have (?:\w+ly )?no (?:\w+ )?(?:idea|clue|information|knowledge|answer|data|way|"
    r"record)\b",
    r"(?:i|we) (?:would )?(?:need|require|lack) (?:more |further |additional |enough |sufficient )*"
    r"(?:information|context|details?|knowledge)\b",
    r"(?:i|we) (?:would|could) (?:only |just |have to )+(?:be )?guess",
    r"(?:i|we) (?:have|had) never (?:heard|read)\b",
    r"(?:(?:i|we) (?:am|are) )?(?:\w+ly )?not (?:\w+ly )?(?:sure|certain|aware|familiar)\b",
    r"(?:i|we) (?:am|are|was|were) (?:\w+ly )?(?:unsure|uncertain|unaware)\b",
    rf"(?:i|we) (?:can|could) not (?:\w+ly )?{_FIND_OUT}\b",
    rf"(?:can|could) not (?:\w+ly )?{_DECIDE}\b",
    rf"(?:i|we) (?:am|are|was|were) (?:\w+ly )?(?:unable|not able) to (?:\w+ly )?{_FIND_OUT}\b",
    rf"(?:unable|not able) to (?:\w+ly )?{_DECIDE}\b",
    rf"(?:it is )?(?:impossible|hard|difficult|not possible) (?:for me )?{_TO_TELL}\b",
    r"my (?:\w+ )?(?:knowledge|data|sources?|information|memory|records?) (?:does|do|did) not\b",
    r"(?:this|that|it) is (?:beyond|outside) (?:of )?my knowledge\b",
    r"no (?:idea|clue)\b",
    r"(?:it |that )?beats me\b",
    r"your guess is as good\b",
)
_SOURCE_DOES_NOT_SAY = (
    rf"{SOURCE} (?:(?:do|does|did) not|fails? to|never) (?:\w+ly )?{_SAYS}s?\b",
    rf"{SOURCE} (?:only |just )?(?:(?:has|have|contains?|provides?|gives?|includes?|offers?|"
    r"makes?) no|lacks?|omits?)\b",
    rf"{SOURCE} leaves? (?:\w+ ){{1,3}}(?:open|unclear|unspecified|unanswered)\b",
    rf"{SOURCE} (?:is|are) (?:silent|unclear|insufficient)\b",
    rf"(?:nothing|nowhere|none of|none) (?:(?:in|of) )?{SOURCE}\b",
    rf"nothing (?:is|was) {_MISSING}\b",
    rf"none of (?:\w+ ){{1,5}}?(?:is|are) {_MISSING}\b",
    rf"not something (?:that )?{SOURCE}\b",
    rf"{_FINDABLE} not {_MISSING}\b",
    r"(?:it|this|that|question|and|nor)? ?(?:do|does|did) not (?:\w+ly )?"
    r"(?:mention|say|state|specify|tell|name|indicate)\b",
    rf"there (?:is|are|was|were|seems to be|appears to be) (?:no|nothing|not (?:any|enough|"
    rf"sufficient)|insufficient) (?:\w+ ){{0,3}}?(?:{_FINDABLE}|way|in {SOURCE})\b",
    rf"no (?:\w+ ){{0,2}}?{_FINDABLE}\b"
    rf"(?! (?:is|are|was|were) (?!{_MISSING}|available|known|there|present|made))",
    rf"no (?:\w+ ){{1,4}}?(?:is|are|was|were) {_MISSING}\b",
    r"(?:not enough|insufficient) (?:\w+ )?(?:information|context|data|evidence|details?)\b",
    r"question (?:does not have|has no) (?:\w+ )?answer\b",
    rf"{_SUBJECT} (?:is|are|was|were) not (?:\w+ly )?(?:{_MISSING}|known|clear|available|"
    rf"answerable|possible {_TO_TELL}|present|in {SOURCE}|something (?:that )?{SOURCE})\b",
    rf"{_SUBJECT} (?:is|are|was|were|remains?) (?:\w+ly )?(?:unknown(?! to)|unclear|unspecified|"
    rf"unanswerable|impossible {_TO_TELL}|unavailable|missing|undetermined)\b",
    rf"(?:{_SUBJECT} )?(?:can|could) not be (?:\w+ly )?{_DETERMINED}\b",
    rf"not (?:\w+ly )?(?:{_MISSING}(?! in (?!{SOURCE}))|known|available|answerable|applicable|in {SOURCE})\b",
    r"(?:impossible|not possible) to (?:answer|determine|infer|deduce)\b",
    # "The name of the king is not mentioned in the passage", but no claim that goes on otherwise.
    rf"(?:\w+ ){{1,15}}?(?<!which )(?<!that )(?<!who )(?:(?:is|are|was|were) (?:not|never) "
    rf"(?:\w+ly )?{_MISSING}|(?:does|do) not appear(?= in))"
    rf"(?: (?:(?:in|by|within) {SOURCE}|anywhere|here|explicitly|directly)\b.*)?$",
    rf"(?:\w+ )*(?:question|answer) can not be (?:\w+ly )?{_DETERMINED}\b",
)
_RETELLING = re.compile(
    rf"^(?:(?:while|although|though|even though) )?(?:(?:{SOURCE}|question|it) (?:only |just |also |"
    r"mainly |does |do )*(?:discuss|describ|mention|stat|sa(?:ys?|id)\b|talk|cover|refer|focus|ask|list|"
    r"explain|not(?:es?|ed)\b|tells?\b|gives?\b|report|impl|suggest|provid|is about\b)|"
    r"(?:i|we) (?:have )?(?:look|search|check|read|review|are told)|\w+(?: \w+)? (?:is|are) "
    r"(?:mentioned|discussed|described)\b)"
)
_SINGLE_WORDS = frozenset(
    (
        "unknown",
        "unanswerable",
        "unsure",
        "uncertain",
        "unclear",
        "unspecified",
        "unavailable",
        "undetermined",
        "indeterminate",
        "unanswered",
    )
)

_BY_SPEAKER = re.compile("|".join(_SPEAKER_DOES_NOT_KNOW))
_BY_SOURCE = re.compile("|".join(_SOURCE_DOES_NOT_SAY))

_MARKS = re.compile(r"^\W+")
_CLAUSE_END = re.compile(r"[,;:(–—]|\s-\s")
_CLAUSE_START = re.compile(r"[,;:.!?()–—]|\b(?:but|however|although|though|yet|so|and|nor)\b")
_NOTHING_FURTHER = re.compile(r"(?:more|further|any\w*|much|others?|beyond)\b")

_TITLE = re.compile(r"\b(?:Know|Tell|Say|Remember)(?: You| Me)? [A-Z][a-z]")
_YEAR = re.compile(r"\W*\w+\W*\(\D{0,12}\d{4}\b")
_QUOTATION = re.compile(r"^\W*[\"“«](?P<inside>[^\"”»]*)[\"”»](?P<after>.*)", re.DOTALL)

_GUESS = re.compile(
    r"\b(?:i (?:\w+ )?(?:think|believe|guess|suspect|assume)|i would (?:guess|say)|"
    r"my (?:\w+ )?guess|(?:maybe|perhaps)(?! (?:you|if|ask|try|check|consult))|probably|"
    r"most likely|answer (?:is|may be|might be|could be|would be) "
    r"(?!not\b|un\w+|in\b|there\b|given|provided|available|mentioned)\w|"
    r"it (?:is|was) (?:likely|possibly)|can be inferred|implies|suggests)"
)
_TURN = re.compile(r"\b(?:but|however|although|though|yet) (?P<rest>.+)")
_OTHERWISE = re.compile(
    r"(?:(?:i|we) (?:can|could|will|would|am happy|hope)|you|if|please|let|feel|only|just|not|"
    r"rather|merely|instead|other|because)\b"
)
Patterns = tuple[re.Pattern[str], ...]
_NO_ANSWERS: Patterns = (_BY_SPEAKER, _BY_SOURCE, _OTHERWISE)
"""What may follow "I don't know, but" without being an answer."""
_NO_ANSWERS_OF_SOURCE: Patterns = (*_NO_ANSWERS, _RETELLING)
"""What may follow "the passage does not say, but" without being an answer."""


class AbstentionDetector:
    """Recognises abstentions by the built-in patterns and by the user's phrases.

    A phrase of one word must be the whole leading sentence or clause ("Unknown Pleasures" is an
    answer, "Unknown, sorry" is not); a longer phrase may also begin the leading sentence.
    """

    def __init__(self, phrases: Iterable[str] = ()) -> None:
        """Add ``phrases`` to the built-in ones; one without any word is a `ValueError`."""
        plain = {phrase: plain_words(phrase) for phrase in phrases}
        for phrase, words in plain.items():
            if not words:
                raise ValueError(f"the abstention phrase {phrase!r} has no word to recognise")
        self._phrases = frozenset(plain.values())
        self._whole = _SINGLE_WORDS | self._phrases
        self._beginnings = tuple(f"{words} " for words in plain.values() if " " in words)

    def __call__(self, response: str) -> bool:
        """Whether the response abstains. An empty response does not: it says nothing."""
        quotation = _QUOTATION.match(response)
        if quotation is not None and plain_words(quotation["after"]):
            response = quotation["after"]
        found = opening(response, self._whole)
        if found is None or (not self._is_phrase(found) and refuses(response)):
            return False
        start = self._abstaining_start(found)
        if start is None:
            return _retells_what_is_lacking(found)
        end, no_answers = start
        rest = f"{found.statement[end:]} {plain_words(found.later)}"
        return not (_GUESS.search(rest) or _turns_to_an_answer(rest, no_answers))

    def _abstaining_start(self, found: Opening) -> tuple[int, Patterns] | None:
        """Where in the statement its abstaining start ends, and what is no answer after "but"."""
        if self._is_phrase(found):
            return 0, _NO_ANSWERS
        speaker = _BY_SPEAKER.match(found.statement)
        if speaker is not None:
            return None if _TITLE.search(found.sentence) else (speaker.end(), _NO_ANSWERS)
        source = _BY_SOURCE.match(found.statement)
        if source is not None:
            return source.end(), _NO_ANSWERS_OF_SOURCE
        if _BY_SOURCE.match(found.words):  # "given context does not say": "given" is no preamble
            return 0, _NO_ANSWERS_OF_SOURCE
        if _YEAR.match(found.sentence):
            return None
        clause = _CLAUSE_END.split(_MARKS.sub("", found.sentence), maxsplit=1)[0]
        in_one_word = PREAMBLE.sub("", plain_words(clause)) in self._whole
        return (0, _NO_ANSWERS) if in_one_word else None

    def _is_phrase(self, found: Opening) -> bool:
        return any(
            words in self._phrases or f"{words} ".startswith(self._beginnings)
            for words in (found.words, found.statement)
        )


def _turns_to_an_answer(rest: str, no_answers: Patterns) -> bool:
    """Whether "but ..." follows with something else than a reason or an offer of help."""
    turn = _TURN.search(rest)
    if turn is None:
        return False
    clause = PREAMBLE.sub("", turn["rest"])
    return bool(clause) and not any(pattern.match(clause) for pattern in no_answers)


def _retells_what_is_lacking(found: Opening) -> bool:
    """Whether a start that retells the passage is followed by what the passage does not say."""
    if not _RETELLING.match(found.statement):
        return False
    clauses = iter(_CLAUSE_START.split(f"{found.sentence} {found.later}")[1:])
    for clause in clauses:
        words = PREAMBLE.sub("", plain_words(clause))
        lack = _BY_SOURCE.match(words) or _BY_SPEAKER.match(words)
        if lack is not None:
            rest = " ".join([words[lack.end() :], *map(plain_words, clauses)]).lstrip()
            return not (_NOTHING_FURTHER.match(rest) or _GUESS.search(rest))
    return False
