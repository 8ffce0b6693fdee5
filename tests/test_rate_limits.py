"""Requests and tokens per minute: over any minute, by all processes together, and corrected."""

from __future__ import annotations

import asyncio
import multiprocessing as mp
from pathlib import Path

import pytest
from answering import GREEDY, chat, request
from hypothesis import given
from hypothesis import strategies as st

from workflow_scripts.answers.rate_limits import RateLimit, RateLimits
from workflow_scripts.backends.settings import BackendSettings
from workflow_scripts.core.records import Usage


class Clock:
    """Seconds that pass when somebody waits."""

    def __init__(self) -> None:
        self.now = 1e9

    def __call__(self) -> float:
        return self.now


@given(
    per_minute=st.integers(1, 100),
    pauses=st.lists(st.floats(0, 30), min_size=1, max_size=60),
)
def test_no_minute_has_more_than_the_limit(
    tmp_path_factory: pytest.TempPathFactory, per_minute: int, pauses: list[float]
) -> None:
    clock = Clock()
    limit = RateLimit(tmp_path_factory.mktemp("limit") / "f.requests", per_minute, clock)
    sent = []
    for pause in pauses:
        clock.now += pause
        clock.now += limit.reserve(1)
        sent.append(clock.now)
    for first in sent:
        assert sum(first <= each < first + 60 - 1e-3 for each in sent) <= per_minute
    # Nobody waits longer than the limit asks for.
    assert sent[-1] - 1e9 <= sum(pauses) + len(pauses) * 60 / per_minute + 1e-3


def test_what_was_not_used_is_given_back(tmp_path: Path) -> None:
    clock = Clock()
    limit = RateLimit(tmp_path / "f.tokens", 600, clock)
    assert limit.reserve(300) == 0
    limit.settle(-200)  # 100 tokens, a sixth of a minute
    assert limit.reserve(1) == pytest.approx(10, abs=1e-3)


def test_a_damaged_file_and_a_clock_that_was_set_back_stop_nobody(tmp_path: Path) -> None:
    clock, path = Clock(), tmp_path / "f.requests"
    path.write_text("not a number", encoding="utf-8")
    limit = RateLimit(path, 60, clock)
    assert limit.reserve(1) == 0
    clock.now -= 1e6
    assert limit.reserve(1) <= 600


def _reserve(path: Path, count: int) -> float:
    limit = RateLimit(path, 60, lambda: 1e9)
    return max(limit.reserve(1) for _ in range(count))


def test_processes_share_a_limit(tmp_path: Path) -> None:
    with mp.get_context("spawn").Pool(3) as pool:
        longest = pool.starmap(_reserve, [(tmp_path / "f.requests", 20)] * 3)
    assert max(longest) == pytest.approx(59, abs=1e-3)  # 60 places, a second apart


def test_both_limits_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    settings = BackendSettings(
        backend="openai", model_id="m", requests_per_minute=60, tokens_per_minute=6000
    )
    asked = request(1, messages=chat("x" * 400), decoding=GREEDY)
    reserved = sum(len(each.content) for each in asked.messages) // 4 + GREEDY.max_new_tokens

    async def ask() -> None:
        limits = RateLimits(settings, tmp_path)
        for _ in range(2):
            await limits.wait(asked)
        limits.settle(asked, Usage(total_tokens=reserved))
        await RateLimits(settings.model_copy(update={"model_id": "n"}), tmp_path).wait(asked)

    asyncio.run(ask())
    assert waits == pytest.approx([0, max(1, reserved / 100), 0], abs=0.5)
