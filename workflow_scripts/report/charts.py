"""Forest plots as static SVG, drawn by Vega-Lite (vl-convert) when the page is made.

The other way, Vega's scripts inlined in each page, costs 0.9 MB a page, needs a redraw for dark
mode and for print, and shows nothing without scripts. A static chart is about 10 KB; its colours
are CSS variables, so it follows the theme; and since every number stands beside its interval,
there is nothing a tooltip would add. Charts are drawn narrow and scaled up, so that they stay
legible on a phone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import vl_convert
from markupsafe import Markup

from ..stats.estimates import Estimate
from .verdict import Effect, effect
from .wording import points

_WIDTH = 360
"""Width in pixels, before scaling: what fits a phone."""

_ROW_HEIGHT = 38

_SHAPES: dict[Effect, tuple[str, str, str]] = {
    "better": ("circle", "var(--better)", "var(--better)"),
    "worse": ("diamond", "var(--worse)", "var(--worse)"),
    "differs": ("square", "var(--ink)", "var(--ink)"),
    "unclear": ("circle", "var(--card)", "var(--muted)"),
}
"""Mark, fill and outline of each effect: shape and filling tell what colour tells."""


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
    """Draw differences with their intervals, in percentage points, on one axis with 0.

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
    spec = _spec(headings, intervals, _ROW_HEIGHT * len(drawn))
    return _inline(vl_convert.vegalite_to_svg(spec), title)


def _heading(row: Row, position: int) -> dict[str, Any]:
    return {"label": row.label, "label_y": _ROW_HEIGHT * (position + 1) - 10}


def _interval(row: Row, estimate: Estimate, position: int) -> dict[str, Any]:
    shape, fill, outline = _SHAPES[row.effect]
    low, high = points(estimate.ci_low, signed=True), points(estimate.ci_high, signed=True)
    return {
        "label": row.label,
        "text": f"{points(estimate.difference, signed=True)}  [{low}, {high}]",
        "low": 100 * (estimate.ci_low or 0),
        "high": 100 * (estimate.ci_high or 0),
        "difference": 100 * (estimate.difference or 0),
        "shape": shape,
        "fill": fill,
        "outline": outline,
        "label_y": _ROW_HEIGHT * position + 9,
        "y": _ROW_HEIGHT * position + 26,
        "zero": 0,  # the line of no difference, where no text stands
        "zero_top": _ROW_HEIGHT * position + 17,
        "zero_bottom": _ROW_HEIGHT * position + 36,
    }


def _spec(
    headings: list[dict[str, Any]], intervals: list[dict[str, Any]], height: int
) -> dict[str, Any]:
    """The Vega-Lite specification: labels over lines, so that a narrow chart has room for both."""
    ends = [0.0, *(each[end] for each in intervals for end in ("low", "high"))]
    margin = max(1.0, 0.05 * (max(ends) - min(ends)))  # room for the marks at the ends
    x_scale = {"domain": [min(ends) - margin, max(ends) + margin], "nice": True}
    axis = {
        "title": None,
        "tickCount": 6,
        "labelExpr": "datum.value === 0 ? '0' : format(datum.value, '+~g')",
        "labelFlush": False,
        "domain": False,
        "ticks": False,
    }

    def x(field: str) -> dict[str, Any]:
        return {"field": field, "type": "quantitative", "scale": x_scale, "axis": axis}

    def y(field: str) -> dict[str, Any]:
        scale = {"domain": [0, height], "range": [0, height], "nice": False}
        return {"field": field, "type": "quantitative", "scale": scale, "axis": None}

    def plain(field: str) -> dict[str, Any]:
        return {"field": field, "type": "nominal", "scale": None, "legend": None}

    def text(
        field: str, align: str, position: int, limit: int, weight: str = "normal"
    ) -> dict[str, Any]:
        return {
            "mark": {
                "type": "text",
                "align": align,
                "baseline": "middle",
                "fontSize": 13,
                "fontWeight": weight,
                "fill": "var(--ink)",
                "limit": limit,  # in pixels; longer text ends in an ellipsis
            },
            "encoding": {
                "x": {"value": position},
                "y": y("label_y"),
                "text": {"field": field, "type": "nominal"},
            },
        }

    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "width": _WIDTH,
        "height": height,
        "padding": 2,
        "background": "transparent",
        "data": {"values": intervals},
        "layer": [
            {
                "mark": {"type": "rule", "stroke": "var(--ink)", "strokeDash": [2, 2]},
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
            {
                "mark": {"type": "point", "size": 90, "strokeWidth": 2, "opacity": 1},
                "encoding": {
                    "x": x("difference"),
                    "y": y("y"),
                    "shape": plain("shape"),
                    "fill": plain("fill"),
                    "stroke": plain("outline"),
                },
            },
            text("label", "left", 0, _WIDTH - 165),
            text("text", "right", _WIDTH, 165),
            {"data": {"values": headings}, **text("label", "left", 0, _WIDTH, "bold")},
        ],
        "config": {
            "font": "system-ui, sans-serif",
            "view": {"stroke": None},
            "axis": {"gridColor": "var(--grid)", "labelColor": "var(--muted)", "labelFontSize": 11},
        },
    }


def _inline(svg: str, title: str) -> Markup:
    """The SVG as part of a page: sized by the style sheet, and one image to a screen reader."""
    svg = re.sub(r'^<svg ([^>]*?) width="[\d.]+" height="[\d.]+"', r"<svg \1", svg, count=1)
    svg = re.sub(r' (aria-[a-z]+|role)="[^"]*"', "", svg)
    opening = Markup('<svg role="img" aria-label="{}"').format(title)
    return opening + Markup(svg.removeprefix("<svg"))  # noqa: S704 - Vega escapes its texts
