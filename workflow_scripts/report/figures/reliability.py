"""Reliability: how often responses are right, by how sure they say they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ...core.metric import ConfidenceRoles
from ...core.records import SampleOutcome
from ...stats.calibration import Reliability, reliability
from ..contrast import Contrast
from ..wording import number as number_text
from ..wording import of
from .figure import Figure
from .vega import CARD, MUTED, WIDTH, Spec, draw, number, series


def reliability_figure(
    contrast: Contrast, rows: Iterable[SampleOutcome], arms: Mapping[str, str]
) -> Figure | None:
    """Draw both arms of a contrast; ``None`` where the task's responses state no confidence.

    Args:
        contrast: which one.
        rows: outcomes.csv.
        arms: the names of its two arms by condition.
    """
    roles = contrast.task.confidence
    if roles is None:
        return None
    level = contrast.result.meta.confidence
    found = _by_arm(contrast, rows, arms, roles, level)
    name, title = f"reliability-{contrast.anchor}", "Reliability of the stated confidence"
    if not any(each.n for each in found.values()):
        return Figure(name, title, absent="No response states how sure it is.")
    errors = "; ".join(
        f"{arms[arm]}: {of(each.n, 'response')} with a confidence, "
        f"Brier score {number_text(each.brier_score, 3)}, "
        f"calibration error {number_text(each.calibration_error, 3)}"
        for arm, each in found.items()
    )
    return Figure(
        name=name,
        title=title,
        how_to_read=(
            "Across: the stated confidence, in tenths of the range; up: the share of these "
            "responses that is right. Below the dashed line, responses are too sure. Larger marks "
            f"hold more responses; lines are {100 * level:g}% Wilson intervals. "
            f"{errors}."
        ),
        svg=draw(_spec(found, arms), f"Reliability: {contrast.task.label}"),
        columns=("arm", "low", "high", "n", "confidence", "correct", "ci_low", "ci_high"),
        rows=[
            [
                *(arm, each.low, each.high, each.n),
                *(each.confidence, each.correct, each.ci_low, each.ci_high),
            ]
            for arm, found_of in found.items()
            for each in found_of.bins
        ],
    )


def _by_arm(
    contrast: Contrast,
    rows: Iterable[SampleOutcome],
    arms: Mapping[str, str],
    roles: ConfidenceRoles,
    level: float,
) -> dict[str, Reliability]:
    stated: dict[str, list[tuple[float, float]]] = {arm: [] for arm in arms}
    for row in rows:
        if (row.type, row.temp) == (contrast.task.name, contrast.temp) and row.condition in stated:
            confidence, correct = row.number(roles.stated), row.number(roles.correct)
            if confidence is not None and correct is not None:
                stated[row.condition].append((confidence, correct))
    found = {}
    for arm, pairs in stated.items():
        columns = np.array(pairs, dtype=np.float64).reshape(-1, 2)
        found[arm] = reliability(columns[:, 0], columns[:, 1], level)
    return found


def _spec(found: Mapping[str, Reliability], arms: Mapping[str, str]) -> Spec:
    labels = [arms[arm] for arm in found]
    marks: list[dict[str, Any]] = [
        {
            "series": arms[arm],
            "confidence": 100 * each.confidence,
            "correct": 100 * each.correct,
            "low": 100 * each.ci_low,
            "high": 100 * each.ci_high,
            "n": each.n,
        }
        for arm, found_of in found.items()
        for each in found_of.bins
    ]
    percent = {"labelExpr": "datum.value + '%'", "tickCount": 5}
    x = number("confidence", "Stated confidence", domain=[0, 100], axis=percent)

    def y(field: str) -> Spec:
        return number(field, "Right", domain=[0, 100], axis=percent)

    styles = series(labels)
    size = {
        "field": "n",
        "type": "quantitative",
        "scale": {"range": [40, 260], "domainMin": 0},
        "legend": None,
    }
    return {
        "width": WIDTH - 40,
        "height": 240,
        "data": {"values": marks},
        "layer": [
            {
                "data": {
                    "values": [
                        {"confidence": 0, "correct": 0},
                        {"confidence": 100, "correct": 100},
                    ]
                },
                "mark": {"type": "line", "stroke": MUTED, "strokeDash": [4, 4]},
                "encoding": {"x": x, "y": y("correct")},
            },
            {
                "mark": {"type": "rule", "strokeWidth": 1.5},
                "encoding": {
                    "x": x,
                    "y": y("low"),
                    "y2": {"field": "high"},
                    "stroke": styles["stroke"],
                },
            },
            {
                "mark": {"type": "point", "strokeWidth": 2, "opacity": 1, "fill": CARD},
                "encoding": {
                    "x": x,
                    "y": y("correct"),
                    "size": size,
                    "stroke": styles["stroke"],
                    "shape": styles["shape"],
                },
            },
        ],
    }
