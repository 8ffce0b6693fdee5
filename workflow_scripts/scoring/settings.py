"""What the commands of this stage take from the config."""

from __future__ import annotations

from ..core.block import Block
from ..metrics.settings import Unsupported


class SensitivitySettings(Block):
    """What the sweep takes from the config; ``confidence`` is the level of its intervals."""

    unsupported: Unsupported
    confidence: float
