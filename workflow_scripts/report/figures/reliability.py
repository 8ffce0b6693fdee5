"""Reliability: how often responses are right, by how sure they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...comparisons.confidences import ConfidenceContrast
from ...core.metric import STATED, Confidence
from ...core.wording import counted
from ...stats.calibration import Reliability
from ..contrast import Contrast
from ..wording import number as number_text
from ..wording import sentence_case
from .figure import Figure
from .vega import CARD, MUTED, WIDTH, Spec, draw, number, series


def reliability_figure(
    contrast: Contrast,
    confidence: Confidence,
    found: ConfidenceContrast,
    names: Mapping[str, str],
) -> Figure:
    """Draw both arms of a contrast.

    Args:
        contrast: which one.
        confidence: what says how sure a response is.
        found: its part of selective_risk.json.
        names: the arms' names by condition.
    """
    level = contrast.result.meta.confidence
    calibrations = {arm: each.calibration for arm, each in found.arms.items()}
    arms = {arm: names.get(arm, arm) for arm in calibrations}
    errors = "; ".join(
        f"{arms[arm]}: {counted(each.n, 'response')} with a confidence, "
        f"Brier score {number_text(each.brier_score, 3)}, "
        f"calibration error {number_text(each.calibration_error, 3)}"
        for arm, each in calibrations.items()
    )
    return Figure(
        name=f"reliability-{confidence.column.replace('_', '-')}-{contrast.anchor}",
        title=f"Reliability of the {confidence.label}",
        how_to_read=(
            f"Across: the {confidence.label}, in tenths of the range; up: the share of these "
            "responses that is right. Below the dashed line, responses are too sure. Larger marks "
            f"hold more responses; lines are {100 * level:g}% Wilson intervals. "
            f"{errors}."
        ),
        svg=draw(
            _spec(calibrations, arms, sentence_case(confidence.label)),
            f"Reliability: {contrast.task.label}",
        ),
        columns=("arm", "low", "high", "n", "confidence", "correct", "ci_low", "ci_high"),
        rows=[
            [
                *(arm, each.low, each.high, each.n),
                *(each.confidence, each.correct, each.ci_low, each.ci_high),
            ]
            for arm, calibration in calibrations.items()
            for each in calibration.bins
        ],
    )


def unstated(contrast: Contrast) -> list[Figure]:
    """Return what stands there where responses should state a confidence, and none does."""
    if contrast.task.confidence is None:
        return []
    title, absent = f"Reliability of the {STATED}", "No response states how sure it is."
    return [Figure(f"reliability-{contrast.anchor}", title, absent=absent)]


def _spec(found: Mapping[str, Reliability], arms: Mapping[str, str], label: str) -> Spec:
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
    x = number("confidence", label, domain=[0, 100], axis=percent)

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
