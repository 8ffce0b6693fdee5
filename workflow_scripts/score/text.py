"""Normalisation, exact match and F1 as the SQuAD 2.0 official evaluation defines them."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Iterable, Sequence

_WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")


def normalise(text: str) -> str:
    """Lower the text and take away ASCII punctuation, then articles, then extra white space."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_WITHOUT_PUNCTUATION)).split())


def normalised_golds(answers: Iterable[str]) -> list[str]:
    """The gold answers, normalised, without empty ones; ``[""]`` where none is left."""
    return [gold for gold in map(normalise, answers) if gold] or [""]


def exact_match(prediction: str, golds: Sequence[str]) -> float:
    """1 where the prediction equals a gold answer, else 0. All texts are normalised."""
    return float(prediction in golds)


def f1(prediction: str, golds: Sequence[str]) -> float:
    """Largest F1 of the prediction's tokens with a gold answer's. All texts are normalised.

    F1 is the harmonic mean of precision and recall over the bags of tokens. Where either bag is
    empty, it is 1 if both are and 0 otherwise.
    """
    tokens = prediction.split()
    return max(_f1_of_tokens(tokens, gold.split()) for gold in golds)


def _f1_of_tokens(prediction: list[str], gold: list[str]) -> float:
    if not prediction or not gold:
        return float(prediction == gold)
    same = (Counter(prediction) & Counter(gold)).total()
    if same == 0:
        return 0.0
    precision, recall = same / len(prediction), same / len(gold)
    return 2 * precision * recall / (precision + recall)
