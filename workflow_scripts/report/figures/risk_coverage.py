"""Risk-coverage curves: how often an arm is wrong when it answers only what it is surest of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...comparisons.records import SelectiveContrast
from ...stats.selective import Point
from ..contrast import Contrast
from ..wording import number as number_text
from .figure import Figure
from .vega import WIDTH, Spec, draw, number, series

_STEPS = 24
"""Points that a piece of a curve is drawn with."""


def risk_coverage_figure(
    contrast: Contrast, found: SelectiveContrast | None, names: dict[str, str]
) -> Figure:
    """Draw the curves of both arms of a contrast.

    Args:
        contrast: which one.
        found: its part of selective_risk.json.
        names: the arms' names by condition.
    """
    name = f"risk-coverage-{contrast.anchor}"
    title = "Risk against coverage"
    if found is None or not found.arms:
        return Figure(name, title, absent="There is nothing to compare.")
    if all(arm.coverage == 1 for arm in found.arms.values()):
        return Figure(
            name, title, absent="Neither arm ever declines to answer, so there is no curve."
        )
    area = found.differences.get("aurc")
    areas = ", ".join(
        f"{names.get(arm, arm)} {number_text(of.aurc, 3)}" for arm, of in found.arms.items()
    )
    sentence = f"Area under the curve: {areas}"
    if area is not None and area.difference is not None:
        sentence += f"; difference {number_text(area.difference, 3, signed=True)}"
        if area.interval.low is not None and area.interval.high is not None:
            confidence = contrast.result.meta.confidence
            sentence += (
                f" ({100 * confidence:g}% CI {number_text(area.interval.low, 3, signed=True)} to "
                f"{number_text(area.interval.high, 3, signed=True)})"
            )
            if not area.interval.trusted:
                sentence += " (too few items to rely on)"
    return Figure(
        name=name,
        title=title,
        how_to_read=(
            "Coverage is the share of answers, the surest items first; risk is the share of these "
            "answers that are wrong. Lower is better. Marks are the arms as they answered; to the "
            "right of its mark, items that an arm declined count as wrong. " + sentence + "."
        ),
        svg=draw(_spec(found, names), f"Risk-coverage curves: {contrast.task.label}"),
        columns=("arm", "threshold", "coverage", "risk"),
        rows=[
            [arm, point.threshold, point.coverage, point.risk]
            for arm, of in found.arms.items()
            for point in of.points
        ],
    )


def curve(levels: list[Point]) -> Iterator[tuple[float, float]]:
    """Coverage and risk along the curve whose area is ``aurc``.

    Within a level, items come in random order, so that after A answers with W wrong, x of its a
    answers, w of them wrong, have the risk (W + x w / a) / (A + x); see docs/statistics.md.
    """
    before, wrong_before = 0.0, 0.0
    for level in levels:
        wrong = level.coverage * level.risk
        share, lost = level.coverage - before, wrong - wrong_before
        for step in range(_STEPS + 1):
            part = step / _STEPS
            covered = before + part * share
            if covered > 0:
                yield covered, (wrong_before + part * lost) / covered
            else:
                yield 0.0, level.risk
        before, wrong_before = level.coverage, wrong


def _spec(found: SelectiveContrast, names: dict[str, str]) -> Spec:
    labels = [names.get(arm, arm) for arm in found.arms]
    lines: list[dict[str, Any]] = []
    marks: list[dict[str, Any]] = []
    for label, arm in zip(labels, found.arms.values(), strict=True):
        lines += [
            {"series": label, "coverage": 100 * x, "risk": 100 * y, "order": i}
            for i, (x, y) in enumerate(curve(arm.points))
        ]
        if arm.risk is not None:
            marks.append({"series": label, "coverage": 100 * arm.coverage, "risk": 100 * arm.risk})
    percent = {"labelExpr": "datum.value + '%'", "tickCount": 5}
    x = number("coverage", "Coverage", domain=[0, 100], axis=percent)
    highest = max(each["risk"] for each in lines)
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
                    "order": {"field": "order", "type": "quantitative"},
                    "stroke": styles["stroke"],
                    "strokeDash": styles["strokeDash"],
                },
            },
            {
                "data": {"values": marks},
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
