"""What scorers take from the config."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field

from ..core.block import Block
from ..metrics.abstention import AbstentionPhrases
from ..metrics.settings import OwnMetric, Unsupported
from ..metrics.text import EVALUATIONS


def _evaluation(name: str) -> str:
    if name not in EVALUATIONS:
        raise ValueError(f"no evaluation {name!r}; there are {', '.join(EVALUATIONS)}")
    return name


class ScoreSettings(Block):
    """What decides the scores, beside responses and items.

    ``evaluations`` names the official evaluation of each data set that has one; the others are
    scored as SQuAD 2.0 is. ``own_metrics`` are the user's, by name; ``options`` those of tasks that
    are not at their defaults, and ``options_of_arms`` those of conditions that have others.
    """

    unsupported: Unsupported
    abstention_phrases: AbstentionPhrases
    evaluations: dict[str, Annotated[str, AfterValidator(_evaluation)]] = Field(
        default_factory=dict
    )
    own_metrics: dict[str, OwnMetric] = Field(default_factory=dict)
    options: dict[str, dict[str, Any]] = Field(default_factory=dict)
    options_of_arms: dict[str, dict[str, dict[str, Any]]] = Field(default_factory=dict)
