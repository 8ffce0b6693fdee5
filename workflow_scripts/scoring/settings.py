"""What the commands of this stage take from the config."""

from __future__ import annotations

from pydantic import Field

from ..core.block import Block
from ..judges.instruments import CORRECTNESS
from ..judges.settings import Measurement
from ..metrics.correctness import Correctness
from ..metrics.settings import Unsupported
from ..tasks.settings import ScoreSettings


class SensitivitySettings(Block):
    """What the sweep takes from the config; ``confidence`` is the level of its intervals."""

    unsupported: Unsupported
    confidence: float


class TrialScoreSettings(ScoreSettings):
    """How the responses of a trial are scored, with the judges whose verdicts are metrics."""

    judges: dict[str, Measurement] = Field(default_factory=dict)

    def in_words(self, level: Correctness) -> str:
        """Return what decides, in words, with the judges' names."""
        names = [name for name, each in self.judges.items() if each.measures == CORRECTNESS.name]
        by_judges = (
            f"judge {names[0]}" if len(names) == 1 else f"most of the judges {', '.join(names)}"
        )
        if not names or level not in ("judge", "labels"):
            return super().in_words(level)
        return by_judges if level == "judge" else f"{super().in_words(level)}, else {by_judges}"
