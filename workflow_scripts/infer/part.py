"""Answer the requests of one part."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..config.schema import BackendSettings, Block
from ..errors import command
from ..files import read_settings
from ..logs import log_to
from .client import make_client
from .executor import SyncExecutor
from .journal import Journal


class InferSettings(Block):
    """Who answers, and what happens with requests that fail."""

    backend: BackendSettings
    max_failure_share: float
    max_retries: int


DEFAULT_CONCURRENCY = {"local": 2}
"""Requests in flight where the config does not say: few on a small GPU, 16 elsewhere."""


@command
def main() -> None:
    """Answer one batch-input part: journaled answers first, the rest from the backend."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--requests", type=Path, required=True)
    parser.add_argument("--settings", type=Path, required=True)
    parser.add_argument("--journal", type=Path, required=True, help="folder of earlier answers")
    parser.add_argument("--log", type=Path, help="file for the messages shown in the terminal")
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()

    log_to(args.log)
    settings = read_settings(args.settings, InferSettings)
    executor = SyncExecutor(
        make_client(settings.backend),
        Journal(args.journal),
        max_failure_share=settings.max_failure_share,
        max_retries=settings.max_retries,
    )
    backend = settings.backend
    executor.run_jsonl(
        args.requests,
        args.output,
        backend.max_concurrent_requests or DEFAULT_CONCURRENCY.get(backend.backend, 16),
    )


if __name__ == "__main__":
    main()
