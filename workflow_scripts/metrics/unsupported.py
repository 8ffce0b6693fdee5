"""How far a passage supports an answer, by one of four strategies."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from .normalisation import normalise
from .settings import Unsupported

_FUNCTION_WORDS = """
    and as at be been but by can could did do does for from had has have he her him his i in is
    it its may might of on or our she should so than that their them then there these they this
    those to under was we were which who will with would you your
"""
FUNCTION_WORDS = frozenset(_FUNCTION_WORDS.split())
"""English words that occur in nearly every passage, so that sharing them supports nothing."""

_ASKING_WORDS = frozenset(
    ["how", "many", "much", "what", "when", "where", "which", "who", "whom", "whose", "why"]
)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")


class Claim(NamedTuple):
    """A response that answers a question, and the passage that should support it."""

    question: str
    answer: str
    passage: str


Support = Callable[[Sequence[Claim]], list[float]]
"""Measures how far passages support answers: from 0 (not at all) to 1."""


def support_by(rule: Unsupported) -> Support:
    """The measure of a strategy.

    ``baseline``: `occurrence`. ``overlap``: `overlap`. ``sentence``: `sentence_evidence`.
    ``nli``: the probability that the passage entails the answer, see
    `workflow_scripts.metrics.entailment`.
    """
    if rule.strategy == "nli":
        from .entailment import EntailmentModel

        return EntailmentModel(*map(Path, rule.model_files))
    if rule.strategy == "baseline":
        return lambda claims: [occurrence(claim) for claim in claims]
    measure = overlap if rule.strategy == "overlap" else sentence_evidence
    return lambda claims: [measure(claim, rule.min_token_overlap) for claim in claims]


def is_unsupported(support: float, threshold: float) -> bool:
    """Whether support is below the threshold. No support at all never suffices."""
    return support < threshold or support == 0


def occurrence(claim: Claim) -> float:
    """1 where the answer occurs in the passage as a run of whole tokens, else 0."""
    return float(f" {normalise(claim.answer)} " in f" {_normalised(claim.passage)[0]} ")


def overlap(claim: Claim, least: int) -> float:
    """Share of the answer's content tokens that occur in the passage; 0 if fewer than ``least`` do.

    An answer of function words alone is measured by these.
    """
    return _share(_content(claim.answer), _normalised(claim.passage)[1], least)


def sentence_evidence(claim: Claim, least: int) -> float:
    """How well one sentence of the passage answers the question with this answer.

    The share of the answer's content tokens in a sentence (0 if fewer than ``least`` are), times
    the share of the question's; the best sentence counts. So an answer taken from a sentence about
    something else is not supported, which `overlap` cannot see.
    """
    answer = _content(claim.answer)
    question = [token for token in _content(claim.question) if token not in _ASKING_WORDS]
    return max(
        (
            _share(answer, sentence, least) * (_share(question, sentence, 0) if question else 1)
            for sentence in _sentences(claim.passage)
        ),
        default=0.0,
    )


def _content(text: str) -> list[str]:
    tokens = normalise(text).split()
    return [token for token in tokens if token not in FUNCTION_WORDS] or tokens


def _share(tokens: Sequence[str], present: frozenset[str], least: int) -> float:
    """The share of tokens that are present; 0 if fewer than ``least``, or none, are."""
    shared = sum(token in present for token in tokens)
    return shared / len(tokens) if shared >= max(least, 1) else 0.0


@lru_cache(maxsize=1024)
def _sentences(passage: str) -> list[frozenset[str]]:
    """The distinct tokens of each sentence."""
    return [frozenset(normalise(each).split()) for each in _SENTENCE_END.split(passage)]


@lru_cache(maxsize=1024)
def _normalised(passage: str) -> tuple[str, frozenset[str]]:
    """A passage, normalised, and its distinct tokens: once for its questions and both arms."""
    text = normalise(passage)
    return text, frozenset(text.split())
