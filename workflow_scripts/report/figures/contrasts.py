"""All contrasts of a trial in one forest plot, each with its interval and corrected p."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ...core.metric import Metric
from ..contrast import Contrast
from ..verdict import effect
from ..wording import p_value
from .figure import Figure
from .forest import Row, cells, columns, difference_scale, forest, interval_text, row
from .vega import (
    EFFECT_MARKS,
    INK,
    MUTED,
    Spec,
    draw,
    effect_points,
    metric_heading,
    number,
    pixels,
    plain,
    signed_labels,
    text,
)

_WIDTH, _PLOT = 1050, (290, 790)
"""Width of the figure, and where in it the axis lies."""

_ROW_HEIGHT = 27


def contrasts_figure(
    metrics: Iterable[Metric], found: Sequence[tuple[str, Contrast]], correction: str | None
) -> Figure:
    """Draw all contrasts.

    Args:
        metrics: in the order in which they are drawn.
        found: the contrasts, each with what sets it apart from the others.
        correction: how p values were corrected for their number, in words.
    """
    title = "All contrasts"
    shown = [
        (metric, label, each)
        for metric in metrics
        for label, each in found
        if metric.name in each.result.metrics
    ]
    if not shown:
        return Figure("contrasts", title, absent="There is no contrast to show.")
    confidence = shown[0][2].result.meta.confidence
    return Figure(
        name="contrasts",
        title=title,
        how_to_read=(
            "Differences are treatment minus control over the same items, in percentage points. A "
            f"difference is clear where its {100 * confidence:g}% confidence interval excludes 0 "
            f"(dashed line) and q is below {round(1 - confidence, 9):g}; q is the permutation "
            "test’s p value, corrected for the number of tests"
            f"{f' ({correction})' if correction else ''}."
        ),
        svg=draw(_spec(list(_wide_rows(shown)), f"{100 * confidence:g}% CI"), title),
        narrow=forest(list(_narrow_rows(shown)), title),
        columns=columns("difference"),
        rows=[cells(metric, each, each.result.metrics[metric.name]) for metric, _, each in shown],
    )


def _narrow_rows(shown: Sequence[tuple[Metric, str, Contrast]]) -> Iterator[Row]:
    above: Metric | None = None
    for metric, label, contrast in shown:
        if metric != above:
            yield Row(metric_heading(metric))
            above = metric
        result = contrast.result
        yield row(label, metric, result.metrics[metric.name], result.meta.confidence)


def _wide_rows(shown: Sequence[tuple[Metric, str, Contrast]]) -> Iterator[dict[str, Any]]:
    above: Metric | None = None
    top = 0
    for metric, label, contrast in shown:
        if metric != above:
            yield {"heading": metric_heading(metric), "y": top + _ROW_HEIGHT / 2 + 3}
            above = metric
            top += _ROW_HEIGHT
        result = contrast.result
        found = result.metrics[metric.name]
        shape, fill, outline = EFFECT_MARKS[effect(metric, found, result.meta.confidence)]
        yield {
            "label": label,
            "text": interval_text(found),
            "q": p_value(found.q_value),
            "y": top + _ROW_HEIGHT / 2,
            "low": 100 * (found.difference if found.ci_low is None else found.ci_low),
            "high": 100 * (found.difference if found.ci_high is None else found.ci_high),
            "difference": 100 * found.difference,
            "shape": shape,
            "fill": fill,
            "outline": outline,
        }
        top += _ROW_HEIGHT


def _spec(rows: list[dict[str, Any]], interval: str) -> Spec:
    """Labels at the left, intervals in the middle, numbers at the right."""
    height = _ROW_HEIGHT * len(rows)
    intervals = [each for each in rows if "label" in each]
    headings = [each for each in rows if "heading" in each]
    axis = {**signed_labels(), "tickCount": 8}
    scale = {**difference_scale(intervals), "range": list(_PLOT)}

    def x(field: str) -> Spec:
        return number(field, axis=axis, **scale)

    y = pixels("y", height)
    top = {"value": -9}
    return {
        "width": _WIDTH,
        "height": height,
        "data": {"values": intervals},
        "layer": [
            {
                "data": {"values": [{"x": 0}]},
                "mark": {"type": "rule", "stroke": INK, "strokeDash": [2, 2]},
                "encoding": {"x": x("x")},
            },
            {
                "mark": {"type": "rule", "strokeWidth": 2},
                "encoding": {
                    "x": x("low"),
                    "x2": {"field": "high"},
                    "y": y,
                    "stroke": plain("outline"),
                },
            },
            effect_points(x("difference"), y),
            text("label", "left", {"value": 0}, y, _PLOT[0] - 15),
            text("text", "right", {"value": 975}, y, 180),
            text("q", "right", {"value": _WIDTH}, y),
            {
                "data": {"values": headings},
                **text("heading", "left", {"value": 0}, y, _WIDTH, "bold"),
            },
            {
                "data": {"values": [{"text": f"Points  [{interval}]"}]},
                **text("text", "right", {"value": 975}, top, fill=MUTED, fontSize=12),
            },
            {
                "data": {"values": [{"text": "q"}]},
                **text("text", "right", {"value": _WIDTH}, top, fill=MUTED, fontSize=12),
            },
        ],
    }
