"""Answers parts with one backend, one part after another."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path
from typing import Self

from ..backends.client import InferenceClient, make_client
from ..backends.http import NO_LIMIT
from ..backends.ledger import RequestSpending
from .executor import SyncExecutor
from .rate_limits import RateLimits
from .settings import InferSettings


class Sender:
    """Answers parts. A model in this process stays loaded from part to part. A context manager.

    Args:
        settings: who answers, and how.
        journal: folder of all journals.
    """

    def __init__(self, settings: InferSettings, journal: Path) -> None:
        self._settings = settings
        self._journal = journal
        self._stack = contextlib.ExitStack()
        self._loaded: InferenceClient | None = None

    def __enter__(self) -> Self:
        backend = self._settings.backend
        if backend.model_file is not None:
            if backend.n_gpu_layers:
                from .devices import leased_gpu

                lease = leased_gpu(self._journal / "gpus", os.environ)
                self._stack.enter_context(lease)
            self._loaded = make_client(backend)
        return self

    def __exit__(self, *_: object) -> None:
        with self._stack:
            if self._loaded is not None:
                asyncio.run(self._loaded.close())

    def answer(self, requests: Path, output: Path, telemetry: Path | None) -> None:
        """Answer one part.

        Args:
            requests: the batch-input part.
            output: the raw part to write.
            telemetry: where to write what the machine does meanwhile, if it is measured.

        Raises:
            UserError: the part cannot be answered.
        """
        settings = self._settings
        limit = settings.backend.concurrency
        with contextlib.ExitStack() as stack:
            spending = None
            if settings.spending is not None:
                spending = RequestSpending(settings.spending, requests.stem)
                stack.enter_context(spending)
            count = None
            if telemetry is not None:
                from ..telemetry.sampler import Sampler

                sampler = Sampler(telemetry, settings.backend.runs_here)
                count = stack.enter_context(sampler).count
            executor = SyncExecutor(
                self._loaded or make_client(settings.backend),
                self._journal,
                max_retries=settings.max_retries,
                adaptive=limit == "auto",
                spending=spending,
                count=count,
                limits=RateLimits(settings.backend, self._journal / "limits"),
                closes_client=self._loaded is None,
            )
            executor.run_jsonl(requests, output, NO_LIMIT if limit == "auto" else limit)
