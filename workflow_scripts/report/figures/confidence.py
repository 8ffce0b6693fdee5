"""Risk against coverage by how sure single responses are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...comparisons.confidences import ConfidenceContrast
from ...core.metric import Confidence
from ...stats.confidence import ArmConfidence
from ...stats.selective import SelectiveDifference
from ..contrast import Contrast
from ..wording import number as number_text
from ..wording import sentence_case
from .figure import Figure
from .vega import WIDTH, Spec, draw, number, series

_MEASURES = {
    "aurc": "AURC",
    "excess_aurc": "Excess AURC",
    "auroc": "AUROC",
    "brier_score": "Brier score",
    "calibration_error": "Calibration error",
}


@dataclass(frozen=True)
class ConfidenceNumbers:
    """The numbers of both arms by one confidence, and their differences, as texts."""

    label: str
    header: list[str]
    rows: list[list[str]]


def confidence_figure(
    contrast: Contrast,
    confidence: Confidence,
    found: ConfidenceContrast,
    names: Mapping[str, str],
) -> Figure:
    """Draw the curves of both arms of a contrast by one confidence.

    Args:
        contrast: which one.
        confidence: what says how sure a response is.
        found: its part of selective_risk.json.
        names: the arms' names by condition.
    """
    return Figure(
        name=f"risk-coverage-{confidence.column.replace('_', '-')}-{contrast.anchor}",
        title=f"Risk against coverage by {confidence.label}",
        how_to_read=(
            "Across: the share of responses, the surest first; up: the share of these that is "
            "wrong. A confidence that tells right from wrong gives a curve that rises to the "
            f"right; lower is better. {sentence_case(confidence.label)}: {confidence.definition}"
        ),
        svg=draw(_spec(found, names), f"Risk against coverage: {contrast.task.label}"),
        columns=("arm", "threshold", "coverage", "risk"),
        rows=[
            [arm, point.threshold, point.coverage, point.risk]
            for arm, each in found.arms.items()
            for point in each.points
        ],
    )


def confidence_numbers(
    contrast: Contrast,
    confidence: Confidence,
    found: ConfidenceContrast,
    names: Mapping[str, str],
) -> ConfidenceNumbers:
    """Return the numbers behind the curves; arguments as of `confidence_figure`."""
    level = contrast.result.meta.confidence
    rows = [["Responses", *map(_count, found.arms.values()), "", ""]]
    for name, words in _MEASURES.items():
        values = [_value(arm, name) for arm in found.arms.values()]
        compared = _compared(found.differences.get(name))
        rows.append([words, *(number_text(value, 3) for value in values), *compared])
    return ConfidenceNumbers(
        confidence.label,
        [
            "Measure",
            *(names.get(arm, arm) for arm in found.arms),
            "Difference",
            f"{100 * level:g}% CI",
        ],
        rows,
    )


def _count(arm: ArmConfidence) -> str:
    return f"{arm.n} ({arm.without} without)" if arm.without else str(arm.n)


def _value(arm: ArmConfidence, name: str) -> float | None:
    value: float | None = getattr(arm if hasattr(arm, name) else arm.calibration, name)
    return value


def _compared(each: SelectiveDifference | None) -> list[str]:
    """A difference, and its interval."""
    if each is None or each.difference is None:
        return ["", ""]
    low, high = each.interval.low, each.interval.high
    ends = "–"
    if low is not None and high is not None:
        ends = f"{number_text(low, 3, signed=True)} to {number_text(high, 3, signed=True)}"
        ends += "" if each.interval.trusted else ", few items"
    return [number_text(each.difference, 3, signed=True), ends]


def _spec(found: ConfidenceContrast, names: Mapping[str, str]) -> Spec:
    labels = [names.get(arm, arm) for arm in found.arms]
    lines: list[dict[str, Any]] = [
        {"series": label, "coverage": 100 * point.coverage, "risk": 100 * point.risk}
        for label, arm in zip(labels, found.arms.values(), strict=True)
        for point in arm.points
    ]
    ends = [
        {"series": label, "coverage": 100.0, "risk": 100 * (1 - arm.share_right)}
        for label, arm in zip(labels, found.arms.values(), strict=True)
    ]
    percent = {"labelExpr": "datum.value + '%'", "tickCount": 5}
    highest = max(each["risk"] for each in lines)
    x = number("coverage", "Coverage", domain=[0, 100], axis=percent)
    y = number("risk", "Risk", domain=[0, max(highest, 1.0)], nice=True, axis=percent)
    styles = series(labels)
    return {
        "width": WIDTH - 40,
        "height": 200,
        "layer": [
            {
                "data": {"values": lines},
                "mark": {"type": "line", "strokeWidth": 2},
                "encoding": {
                    "x": x,
                    "y": y,
                    "stroke": styles["stroke"],
                    "strokeDash": styles["strokeDash"],
                },
            },
            {
                "data": {"values": ends},
                "mark": {"type": "point", "size": 110, "strokeWidth": 2, "opacity": 1},
                "encoding": {
                    "x": x,
                    "y": y,
                    "stroke": styles["stroke"],
                    "shape": styles["shape"],
                },
            },
        ],
    }
