"""Kills at two different parts: whichever pair of calls they hit, nothing is billed twice.

Each kill is exact: the server hangs in one call, before or after it took effect, and then the
process is ended. So the outcome depends on no machine. `tests/test_batch_kills.py` kills real
processes.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from answering import request
from backends import HOSTED_BATCH, Backend
from batch_parts import BatchPart, Kill, jobs_at
from servers.base import running

from workflow_scripts.answers.settings import InferSettings
from workflow_scripts.backends.settings import BackendSettings

PAIRS_PER_BACKEND = 12
_REQUESTS = 4
_CALLS = 9  # of a part that nothing disturbs, at least
_OTHER_MODELS = {
    "fireworks": "accounts/fireworks/models/gpt-oss-120b",
    "openai": "gpt-4o",
    "anthropic": "claude-haiku-4-5",
    "gemini": "gemini-2.5-flash",
}


@dataclass(frozen=True)
class Case:
    """Two parts, the kills at each in the order in which they happen, and who ends first."""

    kills: tuple[tuple[int, Kill], ...]
    first: int = 0
    other_model: bool = False
    apart: bool = False
    """Whether each part has a results folder of its own, at one account."""
    shared: int = 0
    """Requests that both parts have."""


def parts_of(case: Case, backend: Backend, server: Any, folder: Path) -> list[BatchPart]:
    made = []
    for number in (0, 1):
        config = backend.settings(server) | {"poll_interval_s": 0.001}
        if number and case.other_model:
            config["model_id"] = _OTHER_MODELS[config["backend"]]
        start = number * (_REQUESTS - case.shared)
        made.append(
            BatchPart(
                server,
                InferSettings(backend=BackendSettings(**config), max_retries=1),
                folder / (f"journal-{number}" if case.apart else "journal"),
                folder / f"part-{number}.jsonl",
                [request(start + each) for each in range(_REQUESTS)],
            )
        )
    return made


def play(case: Case, backend: Backend, folder: Path) -> None:
    """Kill as the case says, bring both parts to their end, and look at the bill."""
    folder.mkdir()
    with running(backend.server()) as server:
        parts = parts_of(case, backend, server, folder)
        for number, kill in case.kills:
            parts[number].run_until(kill)
        for number in (case.first, 1 - case.first):
            asyncio.run(parts[number].run())
            assert parts[number].texts() == parts[number].answers, case
        different = 2 * _REQUESTS - case.shared
        assert list(server.billed().values()) == [1] * different, case
        assert jobs_at(server) == 2, case


def cases(backend: str, number: int, seed: str) -> Iterator[Case]:
    """Random cases; most kills hit submissions, where most can go wrong."""
    chance = random.Random(f"{backend} {seed}")
    for _ in range(number):
        kills = tuple(
            (part, Kill(min(int(chance.expovariate(0.35)), _CALLS), chance.random() < 0.5))
            for part in [0, 1, *chance.choices([0, 1], k=chance.choice([0, 0, 1, 2]))]
        )
        kind = chance.choice(["parts", "parts", "models", "apart", "shared"])
        yield Case(
            kills,
            first=chance.choice([0, 1]),
            other_model=kind == "models",
            apart=kind == "apart",
            shared=2 if kind == "shared" else 0,
        )


@pytest.mark.slow
@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("backend", HOSTED_BATCH, ids=lambda backend: backend.name)
def test_kills_at_two_parts_bill_nothing_twice(backend: Backend, tmp_path: Path) -> None:
    for number, case in enumerate(cases(backend.name, PAIRS_PER_BACKEND, "1")):
        play(case, backend, tmp_path / str(number))


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("other_model", [False, True])
@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("backend", HOSTED_BATCH, ids=lambda backend: backend.name)
def test_a_job_is_not_taken_for_that_of_an_earlier_intent(
    backend: Backend, first: int, other_model: bool, tmp_path: Path
) -> None:
    """A is killed before its job is created, B after, and both have as many requests."""
    call = {"anthropic": 0, "openai": 3, "gemini": 3, "fireworks": 5}[backend.config["backend"]]
    looks = 2 if backend.config["backend"] == "anthropic" else 0
    for extra in range(looks + 2):  # B first looks for A's job
        kills = ((0, Kill(call, after=False)), (1, Kill(call + extra, after=True)))
        case = Case(kills, first=first, other_model=other_model)
        play(case, backend, tmp_path / str(extra))
