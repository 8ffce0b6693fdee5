"""How far a passage supports an answer, by one of three strategies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from ..config.schema import Unsupported
from .normalisation import normalise

_FUNCTION_WORDS = """
    and as at be been but by can could did do does for from had has have he her him his i in is
    it its may might of on or our she should so than that their them then there these they this
    those to under was we were which who will with would you your
"""
FUNCTION_WORDS = frozenset(_FUNCTION_WORDS.split())
"""English words that occur in nearly every passage, so that sharing them supports nothing."""


class Claim(NamedTuple):
    """A response that answers a question, and the passage that should support it."""

    question: str
    answer: str
    passage: str


Support = Callable[[Sequence[Claim]], list[float]]
"""Measures how far passages support answers: from 0 (not at all) to 1."""


def support_by(rule: Unsupported) -> Support:
    """The measure of a strategy.

    ``baseline``: `occurrence`. ``overlap``: `overlap`. ``nli``: the probability that the passage
    entails the answer, see `workflow_scripts.score.entailment`.
    """
    if rule.strategy == "nli":
        from .entailment import EntailmentModel

        return EntailmentModel(*map(Path, rule.model_files))
    if rule.strategy == "baseline":
        return lambda claims: [occurrence(claim) for claim in claims]
    return lambda claims: [overlap(claim, rule.min_token_overlap) for claim in claims]


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
    tokens = normalise(claim.answer).split()
    content = [token for token in tokens if token not in FUNCTION_WORDS] or tokens
    passage = _normalised(claim.passage)[1]
    shared = sum(token in passage for token in content)
    return shared / len(content) if shared >= max(least, 1) else 0.0


@lru_cache(maxsize=1024)
def _normalised(passage: str) -> tuple[str, frozenset[str]]:
    """A passage, normalised, and its distinct tokens: once for its questions and both arms."""
    text = normalise(passage)
    return text, frozenset(text.split())
