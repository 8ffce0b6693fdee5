"""What the commands of this stage take from the config."""

from __future__ import annotations

from pydantic import Field

from ..core.block import Block
from ..judges.settings import Measurement
from ..metrics.settings import Unsupported
from ..tasks.settings import ScoreSettings


class SensitivitySettings(Block):
    """What the sweep takes from the config; ``confidence`` is the level of its intervals."""

    unsupported: Unsupported
    confidence: float


class TrialScoreSettings(ScoreSettings):
    """How the responses of a trial are scored, with the judges whose verdicts are metrics."""

    judges: dict[str, Measurement] = Field(default_factory=dict)
