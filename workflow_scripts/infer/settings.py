"""What the commands of this stage take from the config."""

from __future__ import annotations

from ..config.schema import BackendSettings, Block


class InferSettings(Block):
    """Who answers, and how often a failing request is tried again."""

    backend: BackendSettings
    max_retries: int
