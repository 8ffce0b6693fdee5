"""Whether a response says that it gives no answer.

The leading sentence decides (after apologies and phrases like "based on the passage"): it must
be, or begin with, a statement that the answer is not known or not given. So "The answer is
Paris, though I don't know the street" is an answer. Where an abstaining start goes on to answer
all the same ("I'm not sure, but I think it is Paris"), the response is an answer too.

The text and all phrases go through one function, `plain_words`, so that no difference in case,
apostrophes, contractions, punctuation or articles can keep a phrase from being recognised.

The built-in patterns are English; phrases of other languages come from the config. A guess that
follows without any marker ("I don't know. Paris.") still counts as an abstention.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

_APOSTROPHES = str.maketrans(dict.fromkeys("’‘ʼ＇´`", "'"))
_EXPANSIONS = [
    (re.compile(pattern), expansion)
    for pattern, expansion in (
        (r"\bn/a\b", "not applicable"),
        (r"\bidk\b", "i do not know"),
        (r"\bdunno\b", "do not know"),
        (r"\b(?:can'?t|cannot)\b", "can not"),
        (r"\bwon't\b", "will not"),
        (r"n't\b", " not"),
        (r"\b(do|does|did|is|are|was|were|could|would|has|have)nt\b", r"\1 not"),
        (r"'m\b", " am"),
        (r"\bim\b", "i am"),
        (r"'s\b", " is"),
        (r"'re\b", " are"),
        (r"'ve\b", " have"),
    )
]
_NO_WORD = re.compile(r"[\W_]+")
_ARTICLES = frozenset(("a", "an", "the"))

_SENTENCE_END = re.compile(r"(?<=[.!?。！？])\s+|(?<=[。！？])|[\r\n]+")
_CLAUSE_END = re.compile(r"[,;:(–—]|\s-\s")
_ANSWER_LABEL = re.compile(r"^\W*(?:(?:final |short )?answer|a)\s*[:：]", re.IGNORECASE)


def plain_words(text: str) -> str:
    """Text as lower-case words joined by blanks: contractions written out, no articles."""
    text = unicodedata.normalize("NFKC", text.translate(_APOSTROPHES)).lower()
    for pattern, expansion in _EXPANSIONS:
        text = pattern.sub(expansion, text)
    return " ".join(word for word in _NO_WORD.sub(" ", text).split() if word not in _ARTICLES)


# All patterns below are written for the output of `plain_words`: no articles, no apostrophes.
_SOURCE = (
    r"(?:(?:this|that|provided|given|above|available|supplied) )*"
    r"(?:passage|text|context|article|paragraph|document|excerpt|source|information|material)s?"
    r"(?: (?:provided|given|above|itself|you (?:have )?(?:provided|gave|given)))*"
)
_SUBJECT = (
    rf"(?:it|this|that|(?:(?:this|that|exact|correct) )*(?:answer|question|detail)|{_SOURCE})"
)
_MISSING = (
    r"(?:mentioned|stated|specified|given|provided|indicated|described|discussed|disclosed|named|"
    r"included|found)"
)
_FINDABLE = r"(?:information|mention|answer|evidence|indication|reference|record|data|details?)"
_DETERMINED = r"(?:determined|answered|known|inferred|deduced|found|established|verified|derived)"

_PREAMBLE = re.compile(
    r"^(?:(?:"
    r"(?:(?:i|we) (?:am|are) )?(?:(?:very|so|really) )?(?:sorry|afraid)|"
    r"(?:i |my |we )?(?:apologi[sz]e|apologies)(?: for confusion| for inconvenience)?|"
    r"unfortunately|regrettably|sadly|hm+|well|honestly|to be honest|but|that|however|"
    r"as (?:large |ai )*(?:language model|model|assistant|ai)|it (?:seems|appears)|"
    rf"(?:based (?:\w+ )?(?:on|upon)|according to|given|from|in|with) {_SOURCE}"
    r")(?: |$))+"
)

_SPEAKER_DOES_NOT_KNOW = (
    r"(?:(?:i|we) )?(?:\w+ly |just |still )?(?:do|did) not (?:\w+ly )?(?:know|recall|remember)\b",
    rf"(?:i|we) (?:do|did) not (?:have|see|find) (?:\w+ ){{0,4}}?"
    rf"(?:{_FINDABLE}|knowledge|idea|clue|access|context)\b",
    r"(?:i|we) have (?:\w+ly )?no (?:\w+ )?(?:idea|clue|information|knowledge|answer|data|way)\b",
    r"(?:(?:i|we) (?:am|are) )?(?:\w+ly )?not (?:\w+ly )?(?:sure|certain|aware)\b",
    r"(?:i|we) (?:am|are) (?:\w+ly )?(?:unsure|uncertain|unable|unaware|not able)\b",
    r"(?:(?:i|we) )?(?:can|could) not (?:\w+ly )?"
    r"(?:answer|determine|say|tell|find|provide|identify|confirm|verify|give|infer|deduce|know)\b",
    r"unable to (?:answer|determine|say|tell|find|provide|identify|confirm|give)\b",
    r"no (?:idea|clue)\b",
)
_SOURCE_DOES_NOT_SAY = (
    rf"{_SOURCE} (?:do|does|did) not (?:\w+ly )?(?:mention|say|state|specify|provide|contain|give|"
    r"include|indicate|explain|tell|answer|address|discuss|describe|have|identify|name|reveal|"
    r"clarify|list|disclose|define|offer|refer|make|seem|appear|talk)\b",
    rf"{_SOURCE} (?:has|have|contains?|provides?|gives?|includes?|offers?|makes?) no\b",
    rf"{_SOURCE} (?:is|are) (?:silent|unclear|insufficient)\b",
    rf"there (?:is|are|was|were) (?:no|not (?:any|enough|sufficient)|insufficient) "
    rf"(?:\w+ ){{0,3}}?(?:{_FINDABLE}|way)\b",
    rf"no (?:\w+ ){{0,2}}?{_FINDABLE}\b",
    r"(?:not enough|insufficient) (?:\w+ )?(?:information|context|data|evidence)\b",
    r"question (?:does not have|has no) (?:\w+ )?answer\b",
    rf"{_SUBJECT} (?:is|are|was|were) not (?:\w+ly )?(?:{_MISSING}|known|clear|available|"
    rf"answerable|possible to|present|in {_SOURCE})\b",
    rf"{_SUBJECT} (?:is|are|was|were) (?:\w+ly )?(?:unknown|unclear|unspecified|unanswerable|"
    r"impossible to|unavailable|missing)\b",
    rf"(?:{_SUBJECT} )?(?:can|could) not be (?:\w+ly )?{_DETERMINED}\b",
    rf"not (?:\w+ly )?(?:{_MISSING}|known|available|answerable|applicable|in {_SOURCE})\b",
    # "The name of the king is not mentioned in the passage", but no claim that goes on otherwise.
    rf"(?:\w+ ){{1,15}}?(?<!which )(?<!that )(?<!who )(?:is|are|was|were) not (?:\w+ly )?{_MISSING}"
    r"(?: (?:in|by|within|anywhere|here|explicitly|directly)\b.*)?$",
)
_SINGLE_WORDS = frozenset(
    ("unknown", "unanswerable", "unsure", "uncertain", "unclear", "unspecified", "unavailable")
)

_BY_SPEAKER = re.compile("|".join(_SPEAKER_DOES_NOT_KNOW))
_BY_SOURCE = re.compile("|".join(_SOURCE_DOES_NOT_SAY))

_GUESS = re.compile(
    r"\b(?:i (?:\w+ )?(?:think|believe|guess|suspect|assume)|i would (?:guess|say)|"
    r"my (?:\w+ )?guess|(?:maybe|perhaps)(?! (?:you|if|ask|try|check|consult))|probably|"
    r"most likely|answer (?:is|may be|might be|could be|would be) "
    r"(?!not\b|un\w+|in\b|there\b|given|provided|available|mentioned)\w|"
    r"it (?:is|was) (?:likely|possibly)|can be inferred|implies|suggests)"
)
_TURN = re.compile(r"\b(?:but|however|although|though|yet) (?P<rest>.+)")
_OFFER_OF_HELP = re.compile(
    r"(?:(?:i|we) (?:can|could|will|would|am happy|hope)|you|if|please|let|feel)\b"
)


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
        self._whole = _SINGLE_WORDS.union(plain.values())
        self._beginnings = tuple(f"{words} " for words in plain.values() if " " in words)

    def __call__(self, response: str) -> bool:
        """Whether the response abstains. An empty response does not: it says nothing."""
        sentences = iter(_SENTENCE_END.split(_ANSWER_LABEL.sub("", response, count=1)))
        for sentence in sentences:
            words = plain_words(sentence)
            statement = _PREAMBLE.sub("", words)
            if statement or words in self._whole:
                break
        else:
            return False
        speaker = _BY_SPEAKER.match(statement)
        if not (
            speaker
            or _BY_SOURCE.match(statement)
            or self._is_phrase(words)
            or self._is_phrase(statement)
            or _PREAMBLE.sub("", plain_words(_first_clause(sentence))) in self._whole
        ):
            return False
        unread = statement[speaker.end() :] if speaker else statement
        rest = " ".join([unread, *map(plain_words, sentences)])
        return not (_GUESS.search(rest) or (speaker and _turns_to_an_answer(rest)))

    def _is_phrase(self, words: str) -> bool:
        return words in self._whole or f"{words} ".startswith(self._beginnings)


def _first_clause(sentence: str) -> str:
    return _CLAUSE_END.split(sentence.strip(), maxsplit=1)[0]


def _turns_to_an_answer(rest: str) -> bool:
    """Whether "but ..." follows with something else than a reason or an offer of help."""
    turn = _TURN.search(rest)
    if turn is None:
        return False
    clause = _PREAMBLE.sub("", turn["rest"])
    return bool(clause) and not any(
        pattern.match(clause) for pattern in (_BY_SPEAKER, _BY_SOURCE, _OFFER_OF_HELP)
    )
