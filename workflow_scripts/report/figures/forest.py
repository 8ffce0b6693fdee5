"""Forest plots: differences in percentage points on an axis with 0, or ratios with 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from ...core.metric import Metric
from ...stats.amounts import AmountEstimate
from ..contrast import AnyEstimate, Contrast
from ..verdict import Effect, effect
from ..wording import points, ratio
from .figure import Cell
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

_LEAST_RATIO = 0.01
"""Where an axis of ratios begins at the latest: a logarithm has no 0."""


@dataclass(frozen=True)
class Row:
    """One interval of a forest plot, or with no estimate a heading over the rows below."""

    label: str
    estimate: AnyEstimate | None = None
    effect: Effect = "untested"


def row(
    label: str,
    metric: Metric,
    estimate: AnyEstimate,
    confidence: float,
    subgroup: str | None = None,
) -> Row:
    """The row of one estimate."""
    return Row(label, estimate, effect(metric, estimate, confidence, subgroup))


def columns(change: str) -> tuple[str, ...]:
    """The columns of estimates of whole contrasts; ``change`` is ``difference`` or ``ratio``."""
    of_contrast = ("metric", "task", "treatment", "temp", "n_items", "control_mean")
    tested = ("ci_low", "ci_high", "permutation_p", "q_value", "effect")
    return (*of_contrast, "treatment_mean", change, *tested)


def cells(metric: Metric, contrast: Contrast, found: AnyEstimate) -> list[Cell]:
    """The numbers of one estimate under `columns`."""
    if isinstance(found, AmountEstimate):
        n_items, change = found.n_items, found.ratio
    else:
        n_items, change = contrast.result.n_items, found.difference
    return [
        metric.name,
        contrast.task.name,
        contrast.treatment,
        contrast.temp,
        n_items,
        found.control_mean,
        found.treatment_mean,
        change,
        found.ci_low,
        found.ci_high,
        found.permutation_p,
        found.q_value,
        effect(metric, found, contrast.result.meta.confidence),
    ]


def forest(rows: Sequence[Row], title: str) -> Markup:
    """Draw a forest plot for a narrow place: each label stands over its line.

    Args:
        rows: top to bottom, all differences or all ratios; rows without an interval are left out.
        title: what the chart shows, for readers who cannot see it.

    Returns:
        The SVG, or nothing where there is no interval to draw.
    """
    drawn = [each for each in rows if each.estimate is None or each.effect != "untested"]
    headings = [_heading(each, i) for i, each in enumerate(drawn) if each.estimate is None]
    intervals = [_interval(each, each.estimate, i) for i, each in enumerate(drawn) if each.estimate]
    if not intervals:
        return Markup()
    ratios = any(isinstance(each.estimate, AmountEstimate) for each in drawn)
    scale = ratio_scale(intervals) if ratios else difference_scale(intervals)
    axis = {**(_ratio_labels() if ratios else signed_labels()), "tickCount": 6}
    return draw(_spec(headings, intervals, _ROW_HEIGHT * len(drawn), scale, axis), title)


def interval_text(estimate: AnyEstimate) -> str:
    """A difference with its interval, in percentage points; or a ratio with its own."""
    if isinstance(estimate, AmountEstimate):
        value, low, high = map(ratio, (estimate.ratio, estimate.ci_low, estimate.ci_high))
        low, high = low.removeprefix("×"), high.removeprefix("×")
    else:
        value, low, high = (
            points(each, signed=True)
            for each in (estimate.difference, estimate.ci_low, estimate.ci_high)
        )
    if estimate.ci_low is None or estimate.ci_high is None:
        return f"{value}  (no interval)"
    return f"{value}  [{low}, {high}]"


def difference_scale(intervals: Sequence[dict[str, Any]]) -> Spec:
    """A scale that holds 0 and all ``low`` and ``high``, with room for the marks at the ends."""
    ends = [0.0, *(each[end] for each in intervals for end in ("low", "high"))]
    margin = max(1.0, 0.05 * (max(ends) - min(ends)))
    return {"domain": [min(ends) - margin, max(ends) + margin], "nice": True}


def ratio_scale(intervals: Sequence[dict[str, Any]]) -> Spec:
    """A logarithmic scale that holds 1 and all ``low`` and ``high``, with room at the ends."""
    ends = [1.0, *(each[end] for each in intervals for end in ("low", "high"))]
    margin = max(1.02, (max(ends) / min(ends)) ** 0.05)
    return {"type": "log", "domain": [min(ends) / margin, max(ends) * margin], "nice": False}


def _ratio_labels() -> Spec:
    return {"labelExpr": "'×' + format(datum.value, '~g')", "labelFlush": False}


def _heading(row: Row, position: int) -> dict[str, Any]:
    return {"label": row.label, "label_y": _ROW_HEIGHT * (position + 1) - 10}


def _interval(row: Row, estimate: AnyEstimate, position: int) -> dict[str, Any]:
    shape, fill, outline = EFFECT_MARKS[row.effect]
    low, high = estimate.ci_low or 0, estimate.ci_high or 0
    if isinstance(estimate, AmountEstimate):
        ends = (max(each or 0, _LEAST_RATIO) for each in (low, high, estimate.ratio))
        no_change = 1
    else:
        ends = (100 * each for each in (low, high, estimate.difference))
        no_change = 0
    return {
        "label": row.label,
        "text": interval_text(estimate),
        **dict(zip(("low", "high", "value"), ends, strict=True)),
        "shape": shape,
        "fill": fill,
        "outline": outline,
        "label_y": _ROW_HEIGHT * position + 9,
        "y": _ROW_HEIGHT * position + 26,
        "no_change": no_change,  # its line is drawn where no text stands
        "line_top": _ROW_HEIGHT * position + 17,
        "line_bottom": _ROW_HEIGHT * position + 36,
    }


def _spec(
    headings: list[dict[str, Any]],
    intervals: list[dict[str, Any]],
    height: int,
    scale: Spec,
    axis: Spec,
) -> Spec:
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
                "encoding": {
                    "x": x("no_change"),
                    "y": y("line_top"),
                    "y2": {"field": "line_bottom"},
                },
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
            effect_points(x("value"), y("y")),
            text("label", "left", left, y("label_y"), WIDTH - 165),
            text("text", "right", right, y("label_y"), 165),
            {
                "data": {"values": headings},
                **text("label", "left", left, y("label_y"), WIDTH, "bold"),
            },
        ],
    }
