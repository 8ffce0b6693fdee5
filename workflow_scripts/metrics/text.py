"""Exact match and F1 as the official evaluations of published data sets define them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from .normalisation import normalise, normalise_nq_open, normalise_triviaqa


@dataclass(frozen=True)
class Evaluation:
    """How an official evaluation compares a prediction with gold answers.

    ``empty_golds`` says whether gold answers that normalise to nothing count; where none is left,
    the one gold answer is the empty text. ``f1_of_nothing`` is the F1 of two empty texts.
    """

    normalise: Callable[[str], str]
    empty_golds: bool
    f1_of_nothing: float

    def golds(self, answers: Iterable[str]) -> list[str]:
        """The gold answers, normalised; ``[""]`` where there is none."""
        return [gold for gold in map(self.normalise, answers) if gold or self.empty_golds] or [""]

    def f1(self, prediction: str, golds: Sequence[str]) -> float:
        """Largest F1 of the prediction's tokens with a gold answer's. All texts are normalised.

        F1 is the harmonic mean of precision and recall over the bags of tokens.
        """
        tokens = prediction.split()
        return max(self._f1_of_tokens(tokens, gold.split()) for gold in golds)

    def _f1_of_tokens(self, prediction: list[str], gold: list[str]) -> float:
        if prediction == gold:
            return 1.0 if gold else self.f1_of_nothing
        # Gold answers are short, so counting is faster than making two bags.
        same = sum(min(gold.count(token), prediction.count(token)) for token in set(gold))
        if same == 0:
            return 0.0
        precision, recall = same / len(prediction), same / len(gold)
        return 2 * precision * recall / (precision + recall)


USUAL_EVALUATION = "squad_v2"
"""The evaluation of data that have no official one."""

EVALUATIONS: Mapping[str, Evaluation] = {
    USUAL_EVALUATION: Evaluation(normalise, empty_golds=False, f1_of_nothing=1.0),
    "nq_open": Evaluation(normalise_nq_open, empty_golds=True, f1_of_nothing=1.0),
    "triviaqa": Evaluation(normalise_triviaqa, empty_golds=True, f1_of_nothing=0.0),
}
"""The official evaluations; the declaration of a data format names one of them."""


def exact_match(prediction: str, golds: Sequence[str]) -> float:
    """1 where the prediction equals a gold answer, else 0. All texts are normalised."""
    return float(prediction in golds)
