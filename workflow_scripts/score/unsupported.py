"""Whether a passage supports an answer, by the words they share."""

from __future__ import annotations

from typing import NamedTuple, Self

from ..config.schema import Unsupported
from .text import normalise

_FUNCTION_WORDS = """
    and as at be been but by can could did do does for from had has have he her him his i in is
    it its may might of on or our she should so than that their them then there these they this
    those to under was we were which who will with would you your
"""
FUNCTION_WORDS = frozenset(_FUNCTION_WORDS.split())
"""English words that occur in nearly every passage, so that sharing them supports nothing."""


class Passage(NamedTuple):
    """A passage as answers are looked up in it: normalised text and its distinct tokens."""

    text: str
    tokens: frozenset[str]

    @classmethod
    def of(cls, context: str) -> Self:
        """Normalise a passage once for all answers."""
        text = normalise(context)
        return cls(text, frozenset(text.split()))


def is_unsupported(answer: str, passage: Passage, rule: Unsupported) -> bool:
    """Whether the passage lacks the answer (normalised, not empty).

    ``baseline``: the answer does not occur in the passage as a run of whole tokens. ``overlap``:
    of the answer's content tokens (all of them, if it has only function words), a share below
    ``rule.threshold`` or fewer than ``rule.min_token_overlap`` occur in the passage.
    """
    if rule.strategy == "baseline":
        return f" {answer} " not in f" {passage.text} "
    tokens = answer.split()
    content = [token for token in tokens if token not in FUNCTION_WORDS] or tokens
    shared = sum(token in passage.tokens for token in content)
    return shared < rule.threshold * len(content) or shared < rule.min_token_overlap
