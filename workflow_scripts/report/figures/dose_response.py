"""Dose and response: a series of treatments in the config's order, each against the control."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...core.metric import Metric
from ..contrast import Contrast, foremost
from .figure import Figure
from .vega import CARD, INK, WIDTH, Spec, draw, metric_title, number, series, signed_labels, text

_HEIGHT = 130
_PANELS_IN_A_ROW = 3


def dose_response_figure(
    contrasts: Sequence[Contrast], names: Mapping[str, str], control: str
) -> Figure:
    """Draw the differences of several treatments.

    Args:
        contrasts: all of the trial.
        names: the arms' names by condition, in the config's order.
        control: the condition that the others are compared with.
    """
    title = "Effect by treatment"
    order = [control, *(name for name in names if name != control)]
    contrasts = sorted(
        (each for each in contrasts if each.treatment in order),
        key=lambda each: order.index(each.treatment),
    )
    metrics = list(
        {each.name: each for found in contrasts for each in foremost(found.shares)}.values()
    )
    if not metrics:
        return Figure("dose-response", title, absent="There is nothing to compare.")
    several = len({each.temp for each in contrasts}) > 1
    labelled = [
        (f"{each.task.label}, t = {each.temp}" if several else each.task.label, each)
        for each in contrasts
    ]

    def panels(names_below: Sequence[Metric]) -> list[Spec]:
        """All panels; those that stand over another one need no names of treatments."""
        return [
            _panel(metric, labelled, names, order, named=metric in names_below)
            for metric in metrics
        ]

    confidence = contrasts[0].result.meta.confidence
    return Figure(
        name="dose-response",
        title=title,
        how_to_read=(
            "The treatments in the order of the config, each as its difference from the control "
            f"(the line at 0) in percentage points with its {100 * confidence:g}% confidence "
            "interval. Where the order is a dose, a steady rise or fall is the response. "
            "Neighbours share the control, so their intervals are not independent."
        ),
        svg=draw(
            {
                "concat": panels(names_below=metrics),
                "columns": _PANELS_IN_A_ROW,
                "bounds": "flush",
                "spacing": 60,
            },
            title,
        ),
        narrow=draw({"vconcat": panels(names_below=metrics[-1:])}, title),
        columns=("metric", "treatment", "task", "temp", "difference", "ci_low", "ci_high"),
        rows=[
            [
                metric.name,
                each.treatment,
                each.task.name,
                each.temp,
                found.difference,
                found.ci_low,
                found.ci_high,
            ]
            for metric in metrics
            for each in contrasts
            if (found := each.result.metrics.get(metric.name))
        ],
    )


def _panel(
    metric: Metric,
    labelled: Sequence[tuple[str, Contrast]],
    names: Mapping[str, str],
    order: Sequence[str],
    *,
    named: bool,
) -> Spec:
    lines = list(dict.fromkeys(label for label, _ in labelled))
    marks: list[dict[str, Any]] = []
    for label, contrast in labelled:
        found = contrast.result.metrics.get(metric.name)
        if found is not None:
            # Side by side, so that intervals do not hide each other.
            shift = 0.12 * (lines.index(label) - (len(lines) - 1) / 2)
            low = found.difference if found.ci_low is None else found.ci_low
            high = found.difference if found.ci_high is None else found.ci_high
            marks.append(
                {
                    "series": label,
                    "x": order.index(contrast.treatment) + shift,
                    "difference": 100 * found.difference,
                    "low": 100 * low,
                    "high": 100 * high,
                }
            )
    ends = [0.0, *(each[end] for each in marks for end in ("low", "high"))]
    y_scale = {"domain": [min(ends), max(ends)], "nice": True}
    last = len(order) - 1
    axis = {"values": list(range(len(order))), "labels": False, "grid": False}
    x = number("x", None, domain=[-0.4, last + 0.4], axis=axis)
    # As texts, not as the axis's labels: those would have to be part of an expression.
    few = last <= 3
    dose_names = [{"x": i, "name": names[name]} for i, name in enumerate(order) if named]

    def y(field: str) -> Spec:
        return number(field, None, axis={**signed_labels(), "tickCount": 4}, **y_scale)

    styles = series(lines)
    if len(lines) == 1:
        for style in styles.values():
            style["legend"] = None
    return {
        "width": WIDTH - 40,
        "height": _HEIGHT,
        "title": metric_title(metric),
        "data": {"values": marks},
        "layer": [
            {
                "data": {"values": [{"zero": 0}]},
                "mark": {"type": "rule", "stroke": INK, "strokeDash": [2, 2]},
                "encoding": {"y": y("zero")},
            },
            {
                "mark": {"type": "line", "strokeWidth": 1.5},
                "encoding": {
                    "x": x,
                    "y": y("difference"),
                    "stroke": styles["stroke"],
                    "strokeDash": styles["strokeDash"],
                },
            },
            {
                "mark": {"type": "rule", "strokeWidth": 2},
                "encoding": {
                    "x": x,
                    "y": y("low"),
                    "y2": {"field": "high"},
                    "stroke": styles["stroke"],
                },
            },
            {
                "mark": {
                    "type": "point",
                    "size": 80,
                    "strokeWidth": 2,
                    "opacity": 1,
                    "fill": CARD,
                },
                "encoding": {
                    "x": x,
                    "y": y("difference"),
                    "stroke": styles["stroke"],
                    "shape": styles["shape"],
                },
            },
            {
                "data": {"values": dose_names},
                **text(
                    "name",
                    "center" if few else "right",
                    x,
                    {"value": _HEIGHT + 12},
                    (WIDTH - 40) // len(order) if few else 110,
                    angle=0 if few else -35,
                    fontSize=12,
                ),
            },
        ],
    }
