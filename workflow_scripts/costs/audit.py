"""Measure the prompts of a trial in tokens of its own model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..backends.tokens import TokenizerFile, counter
from ..core.errors import command
from ..core.from_settings import write_from_settings
from ..core.records import Request
from .settings import AuditSettings

SCHEMA_VERSION = 1


def audit(settings: AuditSettings) -> dict[str, Any]:
    """Token lengths of each arm: its system prompt alone, and whole prompts by task.

    Without a tokenizer there is nothing to measure with: the lengths are left out.
    """
    if settings.tokenizer is None:
        return _report(settings, {}, None)
    tokenizer = counter(TokenizerFile(path=settings.tokenizer, is_own=False))
    prompts: dict[str, dict[str, Any]] = {}
    too_long = 0
    for condition, arm in settings.parts.arms.items():
        lengths: dict[str, list[int]] = {}
        for request in arm.requests(Request):
            length = tokenizer.prompt(request.messages)
            lengths.setdefault(request.type, []).append(length)
            too_long += length + request.decoding.max_new_tokens > settings.n_ctx
        for task, of_task in lengths.items():
            prompts.setdefault(task, {})[condition] = {
                "system_tokens": tokenizer.text(settings.arms[condition].text),
                "prompt_tokens": _summary(of_task),
            }
    return _report(settings, prompts, too_long)


def _report(
    settings: AuditSettings, prompts: dict[str, dict[str, Any]], too_long: int | None
) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "tokenizer": Path(settings.tokenizer).name if settings.tokenizer else None,
        "n_ctx": settings.n_ctx,
        "prompts": prompts,
        "exceeds_context": too_long,
    }


def _summary(lengths: list[int]) -> dict[str, float]:
    p50, p95 = np.quantile(lengths, [0.5, 0.95])
    return {
        "mean": round(float(np.mean(lengths)), 2),
        "p50": float(p50),
        "p95": float(p95),
        "max": max(lengths),
    }


@command
def main() -> None:
    """Write audit.json of one trial."""
    write_from_settings(
        main.__doc__, AuditSettings, audit, lambda settings: settings.parts.input_files()
    )


if __name__ == "__main__":
    main()
