"""Which fields of the answers each arm has right, from the items that the page shows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.prompts import CONTROL
from ..stats.multiplicity import holm
from ..stats.paired import McNemar, mcnemar
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


def fields(data: Mapping[str, Any], contrast: Contrast) -> list[Field]:
    """Return the fields of a comparison in their order, at most `SHOWN`; none without fields.

    Args:
        data: as `explorer.explorer_data` gives it.
        contrast: the comparison.
    """
    pairs: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for item in data["items"]:
        arms = item["arms"].get(contrast.temp, {})
        if item["task"] != contrast.task.name or not {CONTROL, contrast.treatment} <= arms.keys():
            continue
        before, after = (_right(arms[name]["samples"]) for name in (CONTROL, contrast.treatment))
        for place in before.keys() & after.keys():
            pairs[place].append((before[place], after[place]))
    places = sorted(pairs, key=lambda place: (-len(pairs[place]), place))
    confidence = contrast.result.meta.confidence
    tests = {place: _test(pairs[place], confidence) for place in places}
    adjusted = dict(zip(places, holm([tests[each].p_value for each in places]), strict=True))
    return [
        Field(
            place=place,
            n_items=len(pairs[place]),
            control=_mean(pairs[place], 0),
            treatment=_mean(pairs[place], 1),
            items=tests[place],
            adjusted_p=adjusted[place],
        )
        for place in places[:SHOWN]
    ]


def _right(samples: list[list[Any]]) -> dict[str, float]:
    """By field, the share of right ones over the answered samples of an item."""
    marks: dict[str, list[bool]] = defaultdict(list)
    for sample in samples:
        for place, _, _, mark in (sample[_FIELDS] or ()) if len(sample) > _FIELDS else ():
            if mark in ("right", "wrong", "missing"):
                marks[place].append(mark == "right")
    return {place: sum(found) / len(found) for place, found in marks.items()}


def _test(pairs: list[tuple[float, float]], confidence: float) -> McNemar:
    control, treatment = np.array(pairs, dtype=float).T
    return mcnemar(control, treatment, confidence, independent=False)[0]


def _mean(pairs: list[tuple[float, float]], side: int) -> float:
    return sum(pair[side] for pair in pairs) / len(pairs)
