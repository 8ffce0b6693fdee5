"""Which fields of the answers each arm has right."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.prompts import CONTROL
from ..core.records import Answer
from ..stats.multiplicity import holm
from ..stats.paired import McNemar, mcnemar
from ..stats.scores import FloatArray, Group
from .contrast import Contrast

SHOWN = 40
"""The most fields of one table: those of the most items."""

_FIELDS = 7
"""Where a sample of `explorer.explorer_data` has its fields."""


@dataclass(frozen=True)
class Field:
    """One field under both arms, over the items that expect it and that both arms answered.

    ``control``, ``treatment``: the mean share of right ones. ``items``: what each arm has alone.
    ``adjusted_p``: Holm's, over all fields of the comparison.
    """

    place: str
    n_items: int
    control: float
    treatment: float
    items: McNemar
    adjusted_p: float


class FieldMarks:
    """Whether each field of each answer is right, as columns."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._marks: dict[Group, dict[str, tuple[array[int], bytearray]]] = {}

    def add(self, answer: Answer, sample: Sequence[Any]) -> None:
        """Take in an answer, given as `explorer.explorer_data` has it too."""
        found = sample[_FIELDS] if len(sample) > _FIELDS else None
        if found is None:
            return
        group = Group(answer.type, answer.condition, answer.temp)
        number = self._numbers.setdefault(answer.item_key, len(self._numbers))
        marks = self._marks.setdefault(group, {})
        for place, _, _, mark in found:
            if mark in ("right", "wrong", "missing"):
                items, right = marks.setdefault(place, (array("q"), bytearray()))
                items.append(number)
                right.append(mark == "right")

    def pairs(self, task: str, temp: str, treatment: str) -> dict[str, FloatArray]:
        """By field, a row for each item that has it under both arms: the shares of right ones."""
        one, other = (self._marks.get(Group(task, arm, temp), {}) for arm in (CONTROL, treatment))
        found = {}
        for place in one.keys() & other.keys():
            before, after = (self._shares(*each[place]) for each in (one, other))
            shared = ~(np.isnan(before) | np.isnan(after))
            if shared.any():
                found[place] = np.column_stack([before[shared], after[shared]])
        return found

    def _shares(self, items: array[int], right: bytearray) -> FloatArray:
        numbers, n = np.frombuffer(items, dtype=np.int64), len(self._numbers)
        counts = np.bincount(numbers, minlength=n)
        sums = np.bincount(numbers, np.frombuffer(right, dtype=np.uint8), minlength=n)
        shares = np.full(n, np.nan)
        np.divide(sums, counts, out=shares, where=counts > 0)
        return shares


def fields(marks: FieldMarks, contrast: Contrast) -> list[Field]:
    """Return the fields of a comparison in their order, at most `SHOWN`; none without fields."""
    pairs = marks.pairs(contrast.task.name, contrast.temp, contrast.treatment)
    places = sorted(pairs, key=lambda place: (-len(pairs[place]), place))
    confidence = contrast.result.meta.confidence
    tests = {place: _test(pairs[place], confidence) for place in places}
    adjusted = dict(zip(places, holm([tests[each].p_value for each in places]), strict=True))
    return [
        Field(
            place=place,
            n_items=len(pairs[place]),
            control=_mean(pairs[place][:, 0]),
            treatment=_mean(pairs[place][:, 1]),
            items=tests[place],
            adjusted_p=adjusted[place],
        )
        for place in places[:SHOWN]
    ]


def _test(pairs: FloatArray, confidence: float) -> McNemar:
    control, treatment = pairs.T
    return mcnemar(control, treatment, confidence, independent=False)[0]


def _mean(shares: FloatArray) -> float:
    return float(sum(shares.tolist()) / len(shares))
