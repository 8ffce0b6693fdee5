"""What scorers take from the config."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from ..core.block import Block
from ..metrics.correctness import CORRECTNESS_IN_WORDS, Correctness, usual_correctness
from ..metrics.settings import OwnMetric, Unsupported
from ..metrics.text import EVALUATIONS


def _recognisable(phrases: list[str]) -> list[str]:
    if phrases:
        from ..metrics.abstention import AbstentionDetector  # compiles long patterns

        AbstentionDetector(phrases)
    return phrases


def _evaluation(name: str) -> str:
    if name not in EVALUATIONS:
        raise ValueError(f"no evaluation {name!r}; there are {', '.join(EVALUATIONS)}")
    return name


class ScoreSettings(Block):
    """What decides the scores, beside responses and items.

    ``evaluations`` names the official evaluation of each data set that has one; the others are
    scored as SQuAD 2.0 is. ``correctness`` is given by data set. ``own_metrics`` are the user's, by
    name; ``options`` those of tasks that are not at their defaults, and ``options_of_arms`` those
    of conditions that have others.
    """

    unsupported: Unsupported
    abstention_phrases: Annotated[list[str], AfterValidator(_recognisable)]
    evaluations: dict[str, Annotated[str, AfterValidator(_evaluation)]] = Field(
        default_factory=dict
    )
    correctness: dict[str, Correctness] = Field(default_factory=dict)
    own_metrics: dict[str, OwnMetric] = Field(default_factory=dict)
    options: dict[str, dict[str, Any]] = Field(default_factory=dict)
    options_of_arms: dict[str, dict[str, dict[str, Any]]] = Field(default_factory=dict)

    def correctness_of(self, dataset: str) -> Correctness:
        """Return by what the answers to a data set count as correct."""
        return self.correctness.get(dataset) or usual_correctness(evaluation_named=False)

    def in_words(self, level: Correctness) -> str:
        """Return what decides, in words."""
        return CORRECTNESS_IN_WORDS[level]

    def decided_by(self, datasets: Iterable[str]) -> str:
        """Return by what answers count as correct, in words; with data sets where they differ."""
        of_level: dict[str, list[str]] = {}
        for dataset in sorted(datasets):
            words = self.in_words(self.correctness_of(dataset))
            of_level.setdefault(words, []).append(dataset)
        if len(of_level) == 1:
            return next(iter(of_level))
        return ", ".join(f"{words} ({', '.join(names)})" for words, names in of_level.items())
