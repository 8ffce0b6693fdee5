"""Forest plots: differences with their intervals, in percentage points, on one axis with 0."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from ...stats.estimates import Estimate
from ..verdict import Effect, effect
from ..wording import points
from .vega import (
    EFFECT_MARKS,
    INK,
    WIDTH,
    Spec,
    draw,
    effect_points,
    number,
    pixels,
    plain,
    signed_labels,
    text,
)

_ROW_HEIGHT = 38


@dataclass(frozen=True)
class Row:
    """One interval of a forest plot, or with no estimate a heading over the rows below."""

    label: str
    estimate: Estimate | None = None
    effect: Effect = "untested"


def row(
    label: str, name: str, estimate: Estimate, confidence: float, subgroup: str | None = None
) -> Row:
    """The row of one estimate."""
    return Row(label, estimate, effect(name, estimate, confidence, subgroup))


def forest(rows: Sequence[Row], title: str) -> Markup:
    """Draw a forest plot for a narrow place: each label stands over its line.

    Args:
        rows: top to bottom; rows without an interval are left out.
        title: what the chart shows, for readers who cannot see it.

    Returns:
        The SVG, or nothing where there is no interval to draw.
    """
    drawn = [each for each in rows if each.estimate is None or each.effect != "untested"]
    headings = [_heading(each, i) for i, each in enumerate(drawn) if each.estimate is None]
    intervals = [_interval(each, each.estimate, i) for i, each in enumerate(drawn) if each.estimate]
    if not intervals:
        return Markup()
    return draw(_spec(headings, intervals, _ROW_HEIGHT * len(drawn)), title)


def interval_text(estimate: Estimate) -> str:
    """A difference with its interval, in percentage points."""
    if estimate.ci_low is None or estimate.ci_high is None:
        return f"{points(estimate.difference, signed=True)}  (no interval)"
    low, high = points(estimate.ci_low, signed=True), points(estimate.ci_high, signed=True)
    return f"{points(estimate.difference, signed=True)}  [{low}, {high}]"


def difference_scale(intervals: Sequence[dict[str, Any]]) -> Spec:
    """A scale that holds 0 and all ``low`` and ``high``, with room for the marks at the ends."""
    ends = [0.0, *(each[end] for each in intervals for end in ("low", "high"))]
    margin = max(1.0, 0.05 * (max(ends) - min(ends)))
    return {"domain": [min(ends) - margin, max(ends) + margin], "nice": True}


def _heading(row: Row, position: int) -> dict[str, Any]:
    return {"label": row.label, "label_y": _ROW_HEIGHT * (position + 1) - 10}


def _interval(row: Row, estimate: Estimate, position: int) -> dict[str, Any]:
    shape, fill, outline = EFFECT_MARKS[row.effect]
    return {
        "label": row.label,
        "text": interval_text(estimate),
        "low": 100 * (estimate.ci_low or 0),
        "high": 100 * (estimate.ci_high or 0),
        "difference": 100 * estimate.difference,
        "shape": shape,
        "fill": fill,
        "outline": outline,
        "label_y": _ROW_HEIGHT * position + 9,
        "y": _ROW_HEIGHT * position + 26,
        "zero": 0,  # the line of no difference, where no text stands
        "zero_top": _ROW_HEIGHT * position + 17,
        "zero_bottom": _ROW_HEIGHT * position + 36,
    }


def _spec(headings: list[dict[str, Any]], intervals: list[dict[str, Any]], height: int) -> Spec:
    axis = {**signed_labels(), "tickCount": 6}
    scale = difference_scale(intervals)

    def x(field: str) -> Spec:
        return number(field, axis=axis, **scale)

    def y(field: str) -> Spec:
        return pixels(field, height)

    left, right = {"value": 0}, {"value": WIDTH}
    return {
        "width": WIDTH,
        "height": height,
        "data": {"values": intervals},
        "layer": [
            {
                "mark": {"type": "rule", "stroke": INK, "strokeDash": [2, 2]},
                "encoding": {"x": x("zero"), "y": y("zero_top"), "y2": {"field": "zero_bottom"}},
            },
            {
                "mark": {"type": "rule", "strokeWidth": 2},
                "encoding": {
                    "x": x("low"),
                    "x2": {"field": "high"},
                    "y": y("y"),
                    "stroke": plain("outline"),
                },
            },
            effect_points(x("difference"), y("y")),
            text("label", "left", left, y("label_y"), WIDTH - 165),
            text("text", "right", right, y("label_y"), 165),
            {
                "data": {"values": headings},
                **text("label", "left", left, y("label_y"), WIDTH, "bold"),
            },
        ],
    }
