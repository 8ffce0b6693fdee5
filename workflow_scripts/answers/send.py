"""Answer the requests of one part."""

from __future__ import annotations

import contextlib
import os

from ..core.errors import command
from .arguments import begin


@command
def main() -> None:
    """Answer one batch-input part: journaled answers first, the rest from the backend."""
    args, settings = begin(main.__doc__, "requests", optional="telemetry")

    from ..backends.client import make_client
    from ..backends.http import NO_LIMIT
    from .executor import SyncExecutor
    from .ledger import RequestSpending
    from .rate_limits import RateLimits

    limit = settings.backend.concurrency
    with contextlib.ExitStack() as stack:
        if settings.backend.model_file is not None and settings.backend.n_gpu_layers:
            from .devices import leased_gpu

            stack.enter_context(leased_gpu(args.journal / "gpus", os.environ))
        spending = None
        if settings.spending is not None:
            spending = RequestSpending(settings.spending, args.requests.stem)
            stack.enter_context(spending)
        count = None
        if args.telemetry is not None:
            from ..telemetry.sampler import Sampler

            count = stack.enter_context(Sampler(args.telemetry, settings.backend.runs_here)).count
        executor = SyncExecutor(
            make_client(settings.backend),
            args.journal,
            max_retries=settings.max_retries,
            adaptive=limit == "auto",
            spending=spending,
            count=count,
            limits=RateLimits(settings.backend, args.journal / "limits"),
        )
        executor.run_jsonl(args.requests, args.output, NO_LIMIT if limit == "auto" else limit)


if __name__ == "__main__":
    main()
