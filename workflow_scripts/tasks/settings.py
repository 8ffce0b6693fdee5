"""What scorers take from the config."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from ..core.block import Block
from ..metrics.abstention import AbstentionPhrases
from ..metrics.own import OwnMetric
from ..metrics.text import EvaluationName
from ..metrics.unsupported import Unsupported


class ScoreSettings(Block):
    """What decides the scores, beside responses and items.

    ``evaluations`` names the official evaluation of each data set that has one; the others are
    scored as SQuAD 2.0 is. ``own_metrics`` are the user's, by name;
    ``options`` those of tasks that are not at their defaults.
    """

    unsupported: Unsupported
    abstention_phrases: AbstentionPhrases
    evaluations: dict[str, EvaluationName] = Field(default_factory=dict)
    own_metrics: dict[str, OwnMetric] = Field(default_factory=dict)
    options: dict[str, dict[str, Any]] = Field(default_factory=dict)
