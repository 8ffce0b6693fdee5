"""Measure the prompts of a trial in tokens of the models that were asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..backends.tokens import Counter, TokenizerFile, counter
from ..core.records import Request
from .records import ArmAudit, ArmContext, Audit, PromptTokens
from .settings import TrialCostSettings

Counters = Callable[[TokenizerFile], Counter]
"""Gives the counter of a tokenizer."""


def audit(settings: TrialCostSettings, counters: Counters = counter) -> Audit:
    """The whole of audit.json: of each arm its system prompt alone, and whole prompts by task.

    Without a tokenizer for an arm's model there is nothing to measure with: no lengths.
    """
    prompts: dict[str, dict[str, ArmAudit]] = {}
    arms: dict[str, ArmContext] = {}
    for condition, arm in settings.arms.items():
        path = arm.tokenizer.path
        too_long = None
        if path is not None and arm.n_ctx is not None:
            tokenizer = counters(arm.tokenizer)
            too_long = 0
            lengths: dict[str, list[int]] = {}
            for request in arm.parts.requests(Request):
                length = tokenizer.prompt(request.messages)
                lengths.setdefault(request.type, []).append(length)
                too_long += length + request.decoding.most_tokens > arm.n_ctx
            for task, of_task in lengths.items():
                prompts.setdefault(task, {})[condition] = ArmAudit(
                    system_tokens=tokenizer.text(arm.system), prompt_tokens=_summary(of_task)
                )
        arms[condition] = ArmContext(
            tokenizer=Path(path).name if path else None,
            n_ctx=arm.n_ctx,
            exceeds_context=too_long,
        )
    return Audit(arms=arms, prompts=prompts)


def _summary(lengths: list[int]) -> PromptTokens:
    p50, p95 = np.quantile(lengths, [0.5, 0.95])
    return PromptTokens(
        mean=round(float(np.mean(lengths)), 2), p50=float(p50), p95=float(p95), max=max(lengths)
    )
