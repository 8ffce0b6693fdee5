"""The decoding settings of trials and arms, by their names in paths."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Mapping
from typing import Any

from ..backends.settings import BackendFields
from ..core.records import Reasoning
from ..tasks.registry import TASKS
from .schema import ArmOverrides, Config, Overrides
from .trial import DecodingSettings


def swept(config: Config) -> list[Overrides]:
    """What each point of the sweep puts in the place of the top-level values."""
    unswept = (None,)
    sweep = config.sweep
    return [
        Overrides(top_p=top_p, top_k=top_k, max_new_tokens=longest, reasoning=reasoning)
        for top_p, top_k, longest, reasoning in itertools.product(
            sweep.top_p or unswept,
            sweep.top_k or unswept,
            sweep.max_new_tokens or unswept,
            sweep.reasoning or unswept,
        )
    ]


def of_arm(config: Config, swept: Overrides, arm: ArmOverrides) -> Overrides:
    """What an arm puts in the place of the values of its trial."""
    own = arm.decoding
    given: dict[str, Any] = {name: value for name, value in own if value is not None}
    if own.max_new_tokens is not None:
        base = config.max_new_tokens if swept.max_new_tokens is None else swept.max_new_tokens
        given["max_new_tokens"] = {**base, **own.max_new_tokens}
    if arm.reasoning is not None:
        given["reasoning"] = arm.reasoning
    return swept.model_copy(update=given)


def at(overrides: Overrides, backend: BackendFields) -> Overrides:
    """The same at a backend, whose own ``reasoning`` holds where nothing else is said."""
    update: dict[str, Any] = {"logprobs": backend.logprobs}
    if overrides.reasoning is None:
        update["reasoning"] = backend.reasoning
    return overrides.model_copy(update=update)


def name_of(config: Config, overrides: Overrides) -> str:
    """The name in paths: what is overridden, or ``default``."""
    parts = []
    if overrides.top_p is not None:
        parts.append(f"top_p{overrides.top_p}")
    if overrides.top_k is not None:
        parts.append(f"top_k{overrides.top_k}")
    if overrides.max_new_tokens is not None:
        in_use = {spec.the_task for spec in config.datasets.values()}
        named = in_use.union(*config.sweep.max_new_tokens)
        limits = (longest_answer(overrides.max_new_tokens, task) for task in sorted(named))
        parts.append(f"max{'-'.join(map(str, limits))}")
    if overrides.stop is not None:
        parts.append(f"stop{hashlib.sha256(json.dumps(overrides.stop).encode()).hexdigest()[:8]}")
    if overrides.reasoning is not None:
        parts.append(reasoning_name(overrides.reasoning))
    if overrides.logprobs:
        parts.append("logprobs")
    return "-".join(parts) or "default"


def reasoning_name(reasoning: Reasoning) -> str:
    """Return how much a model thinks as a part of names in paths."""
    return f"reasoning_{str(reasoning).replace(' ', '_')}"


def settings_of(config: Config, overrides: Overrides) -> DecodingSettings:
    """The complete settings."""
    limits = config.max_new_tokens
    if overrides.max_new_tokens is not None:
        limits = overrides.max_new_tokens
    tasks = sorted({spec.the_task for spec in config.datasets.values()})
    return DecodingSettings(
        max_new_tokens={task: longest_answer(limits, task) for task in tasks},
        top_p=config.top_p if overrides.top_p is None else overrides.top_p,
        top_k=config.top_k if overrides.top_k is None else overrides.top_k,
        stop=config.stop if overrides.stop is None else overrides.stop,
        reasoning=overrides.reasoning,
        logprobs=overrides.logprobs,
    )


def longest_answer(limits: Mapping[str, int], task: str) -> int:
    """The most tokens of an answer: what is configured, or what suits the task."""
    return limits.get(task, TASKS[task].max_new_tokens)
