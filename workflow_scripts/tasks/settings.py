"""What scorers take from the config."""

from __future__ import annotations

from pydantic import Field

from ..core.block import Block
from ..metrics.abstention import AbstentionPhrases
from ..metrics.text import EvaluationName
from ..metrics.unsupported import Unsupported


class ScoreSettings(Block):
    """What decides the scores, beside responses and items.

    ``evaluations`` names the official evaluation of each data set that has one; the others are
    scored as SQuAD 2.0 is.
    """

    unsupported: Unsupported
    abstention_phrases: AbstentionPhrases
    evaluations: dict[str, EvaluationName] = Field(default_factory=dict)
