"""Whether a response says that it gives no answer.

The response is a final answer, see `workflow_scripts.metrics.final_answer`. Its leading sentence
decides (after greetings, apologies and phrases like "based on the passage"): it must be, or begin
with, a statement that the answer is not known or not given. So "The answer is Paris, though I don't
know the street" is an answer. Where an abstaining start goes on to answer all the same ("I'm not
sure, but I think it is Paris"), the response is an answer too. A response that starts by retelling
the passage abstains if it then says what the passage lacks ("The passage describes the siege, but
it does not say how long it lasted"). Any other response abstains if its last sentence draws this
conclusion ("Therefore, it cannot be determined") or says no more than this ("I don't know.").

A refusal ("I can't help with that") is no abstention (see `workflow_scripts.metrics.refusal`),
unless its reason is one ("I can't advise you on that, as the passage does not mention prices").

The built-in patterns are English, with a few for each of 13 other languages
(`workflow_scripts.metrics.languages`); more phrases come from the config. A guess that
follows without any marker ("I don't know. Paris.") still counts as an abstention. How often the
detector is right is published in docs/scoring.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from .final_answer import COURTESY, THINKING_ALOUD
from .languages import abstains_in_another_language
from .refusal import refuses
from .statements import (
    BY_SOURCE,
    BY_SPEAKER,
    CONCLUSION,
    LACKING,
    RETELLING,
    SINGLE_WORDS,
    WHOLE,
)
from .wording import PREAMBLE, SENTENCE_END, Opening, opening, plain_words, statement_of

_SO = re.compile(r".*[,;:] (?:and )?(?P<so>(?:so|therefore|thus|hence)\b)", re.IGNORECASE)
_MARKS = re.compile(r"^\W+")
_CLAUSE_END = re.compile(r"[,;:(–—]|\s-\s")
_CLAUSE_START = re.compile(r"[,;:.!?()–—]|\b(?:but|however|although|though|yet|so|and|nor)\b")
_NOTHING_FURTHER = re.compile(r"(?:any\w* )?(?:more|further|else|much|others?|beyond)\b")

_TITLE = re.compile(r"\b(?:Know|Tell|Say|Remember)(?: You| Me)? [A-Z][a-z]")
_YEAR = re.compile(r"\W*\w+\W*\(\D{0,12}\d{4}\b")
_QUOTATION = re.compile(r"^\W*[\"“«][^\"”»]*[\"”»](?P<after>.*)", re.DOTALL)

_GUESS = re.compile(
    r"\b(?:i (?:\w+ )?(?:think|believe|guess|suspect|assume)|i would (?:guess|say)|"
    r"my (?:\w+ )?guess|(?:maybe|perhaps)(?! (?:you|if|ask|try|check|consult))|probably|"
    r"i can speculate|most likely|answer (?:is|may be|might be|could be|would be) "
    r"(?!not\b|un\w+|in\b|there\b|given|provided|available|mentioned)\w|"
    r"it (?:is|was) (?:likely|possibly)|can be inferred|implies|suggests)"
)
_TURN = re.compile(r"\b(?:but|however|although|though|yet) (?P<clause>.+)")
_TURNS = re.compile(r"\b(?:but|however|although|though|yet) ")
_READ = re.compile(
    r"[a-zà-ɏ\u1e00-\u1eff\u0400-\u04ff\u0600-\u06ff\u0900-\u09ff\u3040-\u30ff\u3400-\u9fff]",
    re.IGNORECASE,
)
"""Letters of scripts that some rule reads."""
_REASON = re.compile(r"\b(?:as|because|since) (?P<clause>.+)")
_OTHERWISE = re.compile(
    r"(?:(?:i|we) (?:can|could|will|would|am happy|hope)|you|if|please|let|feel|only|just|not|"
    r"rather|merely|instead|other|because)\b"
)
Patterns = tuple[re.Pattern[str], ...]
_NO_ANSWERS: Patterns = (BY_SPEAKER, BY_SOURCE, _OTHERWISE)
"""What may follow "I don't know, but" without being an answer."""
_NO_ANSWERS_OF_SOURCE: Patterns = (*_NO_ANSWERS, RETELLING)
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
        self._whole = SINGLE_WORDS | self._phrases
        self._beginnings = tuple(f"{words} " for words in plain.values() if " " in words)

    def __call__(self, response: str) -> bool:
        """Whether the response abstains. An empty response does not: it says nothing."""
        quotation = _QUOTATION.match(response)
        if quotation is not None and plain_words(quotation["after"]):
            response = quotation["after"]
        found = opening(response, self._whole)
        if found is None:
            return False
        if not self._is_phrase(found) and refuses(response):
            return _refuses_for_lack(found)
        if abstains_in_another_language(found):
            return True
        start = self._abstaining_start(found)
        if start is None:
            return _retells_what_is_lacking(found) or self._concludes(response, found.later)
        end, no_answers = start
        rest = [found.statement[end:], *map(plain_words, found.later)]
        return not (_GUESS.search(" ".join(rest)) or _turns_to_an_answer(rest, no_answers))

    def leaves_open(self, response: str) -> bool:
        """Whether these rules and those of `refuses` do not say if the response answers.

        Neither finds anything, but it says beside an answer that something is not known or given,
        or it is in a script that no rule reads. A hedged answer is an answer.
        """
        if self(response) or refuses(response):
            return False
        letters = [letter for letter in response if letter.isalpha()]
        if letters and not any(map(_READ.match, letters)):
            return True
        sentences = [statement_of(each) for each in SENTENCE_END.split(response)]
        clauses = [PREAMBLE.sub("", each) for text in sentences for each in _TURNS.split(text)]
        return any(map(_is_lacking, clauses)) and not _GUESS.search(plain_words(response))

    def _abstaining_start(self, found: Opening) -> tuple[int, Patterns] | None:
        """Where in the statement its abstaining start ends, and what is no answer after "but"."""
        if self._is_phrase(found):
            return 0, _NO_ANSWERS
        speaker = BY_SPEAKER.match(found.statement)
        if speaker is not None:
            return None if _TITLE.search(found.sentence) else (speaker.end(), _NO_ANSWERS)
        source = BY_SOURCE.match(found.statement)
        if source is not None:
            return source.end(), _NO_ANSWERS_OF_SOURCE
        if BY_SOURCE.match(found.words):  # "given context does not say": "given" is no preamble
            return 0, _NO_ANSWERS_OF_SOURCE
        if _YEAR.match(found.sentence):
            return None
        clause = _CLAUSE_END.split(_MARKS.sub("", found.sentence), maxsplit=1)[0]
        in_one_word = PREAMBLE.sub("", plain_words(clause)) in self._whole
        return (0, _NO_ANSWERS) if in_one_word else None

    def _concludes(self, response: str, later: list[str]) -> bool:
        """Whether the last sentence, courtesies aside, says that the response gives no answer."""
        later = [sentence for sentence in later if sentence.strip()]
        while later and COURTESY.match(later[-1]):
            later.pop()
        if not later:
            return False
        so = _SO.search(later[-1])
        last = statement_of(later[-1][so.start("so") :] if so else later[-1])
        conclusion = CONCLUSION.match(last)
        statement = PREAMBLE.sub("", last[conclusion.end() if conclusion else 0 :])
        if _GUESS.search(statement):
            return False
        if statement in self._whole or WHOLE.fullmatch(statement):
            return True
        if conclusion is None and THINKING_ALOUD.match(response) is None:
            return False
        return _is_lacking(statement)

    def _is_phrase(self, found: Opening) -> bool:
        return any(
            words in self._phrases or f"{words} ".startswith(self._beginnings)
            for words in (found.words, found.statement)
        )


def _refuses_for_lack(found: Opening) -> bool:
    """Whether a refusal's reason, or its next sentence, is that something is not known or said."""
    reason = _REASON.search(found.words)
    if reason is not None and _is_lacking(reason["clause"]):
        return True
    return any(BY_SOURCE.match(statement_of(sentence)) for sentence in found.later[:1])


def _is_lacking(statement: str) -> bool:
    return any(pattern.match(statement) for pattern in (BY_SPEAKER, BY_SOURCE))


def _turns_to_an_answer(rest: list[str], no_answers: Patterns) -> bool:
    """Whether "but ..." goes on with something else than a reason or an offer of help.

    It may stand anywhere in what is left of the leading sentence, or begin a later one.
    """
    turns = [_TURN.search(rest[0]), *map(_TURN.match, rest[1:])]
    clauses = (PREAMBLE.sub("", turn["clause"]) for turn in turns if turn is not None)
    return any(
        clause and not any(pattern.match(clause) for pattern in no_answers) for clause in clauses
    )


def _retells_what_is_lacking(found: Opening) -> bool:
    """Whether a start that retells the passage is followed by what the passage does not say."""
    if not (RETELLING.match(found.statement) or RETELLING.match(found.words)):
        return False
    clauses = iter(_CLAUSE_START.split(" ".join([found.sentence, *found.later]))[1:])
    for clause in clauses:
        words = PREAMBLE.sub("", plain_words(clause))
        lack = BY_SOURCE.match(words) or BY_SPEAKER.match(words) or LACKING.match(words)
        if lack is not None:
            rest = " ".join([words[lack.end() :], *map(plain_words, clauses)]).lstrip()
            return not (_NOTHING_FURTHER.match(rest) or _GUESS.search(rest))
    return False
