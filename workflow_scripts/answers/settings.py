"""What the commands of this stage take from the config."""

from __future__ import annotations

from ..backends.ledger import SpendingSettings
from ..backends.settings import BackendSettings
from ..core.block import Block


class InferSettings(Block):
    """Who answers, how often a failing request is tried again, and what answers cost, if known."""

    backend: BackendSettings
    max_retries: int
    spending: SpendingSettings | None = None
