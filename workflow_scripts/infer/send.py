"""Answer the requests of one part."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path

from ..errors import command
from ..files import read_settings
from ..logs import log_to
from .settings import InferSettings


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

    from ..costs.spending import RequestSpending
    from .client import make_client
    from .executor import SyncExecutor
    from .http import NO_LIMIT

    log_to(args.log)
    settings = read_settings(args.settings, InferSettings)
    limit = settings.backend.concurrency
    with contextlib.ExitStack() as stack:
        spending = None
        if settings.spending is not None:
            spending = RequestSpending(settings.spending, args.requests.stem)
            stack.enter_context(spending)
        executor = SyncExecutor(
            make_client(settings.backend),
            args.journal,
            max_retries=settings.max_retries,
            adaptive=limit == "auto",
            spending=spending,
        )
        executor.run_jsonl(args.requests, args.output, NO_LIMIT if limit == "auto" else limit)


if __name__ == "__main__":
    main()
