"""Tokens and latency of an arm. Money is in costs.json."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from ..core.records import Answer
from ..telemetry.summary import Latency, summarise
from .records import ArmTimes

_TOKENS = ("prompt_tokens", "completion_tokens", "total_tokens", "thought_tokens")


class TimeTotals:
    """Running sums over the answers of one arm; `ArmTimes` says what each is."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._tokens: dict[str, int] = {}
        self._seconds = array("d")
        self._at_once = array("q")

    def adding(self, answers: Iterable[Answer]) -> Iterator[Answer]:
        """Yield answers on, and take in each."""
        for answer in answers:
            self._add(answer)
            yield answer

    def _add(self, answer: Answer) -> None:
        self._counts["requests"] += 1
        if answer.failed:
            self._counts["failed"] += 1
            return
        if answer.finish_reason == "length":
            self._counts["truncated"] += 1
            if not answer.response_text and answer.thought_tokens:
                self._counts["cut_while_thinking"] += 1
        for name in _TOKENS:
            if (count := getattr(answer, name)) is not None:
                self._tokens[name] = self._tokens.get(name, 0) + count
        if answer.latency_s is not None:
            self._seconds.append(answer.latency_s)
        if answer.at_once is not None:
            self._at_once.append(answer.at_once)

    def times(self, telemetry: Iterable[Path]) -> ArmTimes:
        """Return sums and latency quantiles, and what the arm's machine did meanwhile.

        Args:
            telemetry: the files of its parts, where it is measured.
        """
        return ArmTimes(
            requests=self._counts["requests"],
            failed=self._counts["failed"],
            truncated=self._counts["truncated"],
            cut_while_thinking=self._counts["cut_while_thinking"],
            prompt_tokens=self._tokens.get("prompt_tokens"),
            completion_tokens=self._tokens.get("completion_tokens"),
            total_tokens=self._tokens.get("total_tokens"),
            thought_tokens=self._tokens.get("thought_tokens"),
            latency_s=Latency.of(self._seconds),
            requests_at_once=round(float(np.mean(self._at_once)), 2) if self._at_once else None,
            total_latency_s=round(sum(self._seconds), 3),
            telemetry=summarise(telemetry),
        )
