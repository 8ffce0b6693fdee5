"""Vega-Lite for static figures: drawing a specification, and the pieces that figures share."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Any

import vl_convert
from markupsafe import Markup

from ...core.metric import Metric
from ...core.xml_text import xml_text
from ..verdict import Effect
from ..wording import better_words, sentence_case

Spec = dict[str, Any]

WIDTH = 360
"""Width of a figure in pixels, before scaling: what fits a phone."""

INK, MUTED, ACCENT, CARD = "var(--ink)", "var(--muted)", "var(--accent)", "var(--card)"
BETTER, WORSE = "var(--better)", "var(--worse)"

EFFECT_MARKS: dict[Effect, tuple[str, str, str]] = {
    "better": ("circle", BETTER, BETTER),
    "worse": ("diamond", WORSE, WORSE),
    "differs": ("square", INK, INK),
    "unclear": ("circle", CARD, MUTED),
    "untested": ("cross", MUTED, MUTED),
}
"""Mark, fill and outline of each effect: shape and filling tell what colour tells."""

_SERIES = (
    (MUTED, "circle", [4, 3]),
    (ACCENT, "square", [1, 0]),
    (INK, "triangle-up", [7, 3]),
    (ACCENT, "diamond", [2, 2]),
    (INK, "cross", [8, 3, 2, 3]),
)
"""Colour, mark and dashes of the first series (the control, where there is one) and the others."""

_CLIP = re.compile(r'(<clipPath id="|clip-path="url\(#)clip(\d+)')

_CONFIG = {
    "font": "system-ui, sans-serif",
    "view": {"stroke": None},
    "axis": {
        "gridColor": "var(--grid)",
        "labelColor": MUTED,
        "labelFontSize": 11,
        "titleColor": MUTED,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "domain": False,
        "ticks": False,
    },
    "legend": {
        "orient": "top",
        "columns": 2,
        "title": None,
        "labelColor": INK,
        "labelFontSize": 12,
        "labelLimit": 150,
        "labelOffset": 7,
        "columnPadding": 22,
        "symbolSize": 80,
        "symbolStrokeWidth": 2,
    },
    "concat": {"spacing": 14},
}


def metric_heading(metric: Metric) -> str:
    """A metric's name, with which direction is better."""
    return f"{sentence_case(metric.label)} ({better_words(metric.better)})"


def metric_title(metric: Metric) -> Spec:
    """A metric's heading over its panel."""
    return {
        "text": metric_heading(metric),
        "anchor": "start",
        "color": INK,
        "fontSize": 13,
        "fontWeight": "bold",
    }


def draw(spec: Spec, title: str) -> Markup:
    """Draw a specification as part of a page.

    Args:
        spec: Vega-Lite, without what all figures share.
        title: what the figure shows, for readers who cannot see it.

    Returns:
        The SVG: sized by the style sheet, and one image to a screen reader.
    """
    whole = {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "padding": 6,
        "background": "transparent",
        "config": _CONFIG,
        **spec,
    }
    svg = vl_convert.vegalite_to_svg(_legal(whole))
    svg = re.sub(r'^<svg ([^>]*?) width="[\d.]+" height="[\d.]+"', r"<svg \1", svg, count=1)
    svg = re.sub(r' (aria-[a-z]+|role|class|pointer-events)="[^"]*"', "", svg)
    svg = _with_own_clips(svg)
    opening = Markup('<svg role="img" aria-label="{}"').format(_legal(title))
    return opening + Markup(svg.removeprefix("<svg"))  # noqa: S704 - Vega escapes its texts


def _with_own_clips(svg: str) -> str:
    """Name clipping paths after the drawing: Vega counts all that its process ever drew."""
    numbers = list(dict.fromkeys(number for _, number in _CLIP.findall(svg)))
    drawing = hashlib.sha256(_CLIP.sub("", svg).encode()).hexdigest()[:12]
    return _CLIP.sub(lambda clip: f"{clip[1]}clip-{drawing}-{numbers.index(clip[2])}", svg)


def _legal(value: Any) -> Any:
    """The same without characters that XML does not have: vl-convert would abort the process."""
    if isinstance(value, str):
        return xml_text(value)
    if isinstance(value, dict):
        return {key: _legal(each) for key, each in value.items()}
    return [_legal(each) for each in value] if isinstance(value, list) else value


def number(field: str, title: str | None = None, **options: Any) -> Spec:
    """The encoding of a number. ``options`` are those of the scale, ``axis`` those of the axis."""
    axis = options.pop("axis", {})
    shown = None if axis is None else {"title": title, **axis}
    return {"field": field, "type": "quantitative", "scale": options, "axis": shown}


def pixels(field: str, length: float) -> Spec:
    """The encoding of a position in pixels from the left or the top."""
    scale = {"domain": [0, length], "range": [0, length], "nice": False}
    return {"field": field, "type": "quantitative", "scale": scale, "axis": None}


def plain(field: str) -> Spec:
    """The encoding of a value that is used as it is: a colour, the name of a mark."""
    return {"field": field, "type": "nominal", "scale": None, "legend": None}


def text(
    field: str, align: str, x: Spec, y: Spec, limit: int = 0, weight: str = "normal", **mark: Any
) -> Spec:
    """A layer of text; longer than ``limit`` pixels it ends in an ellipsis (0: as it is)."""
    return {
        "mark": {
            "type": "text",
            "align": align,
            "baseline": "middle",
            "fontSize": 13,
            "fontWeight": weight,
            "fill": INK,
            "limit": limit,
            **mark,
        },
        "encoding": {"x": x, "y": y, "text": {"field": field, "type": "nominal"}},
    }


def effect_points(x: Spec, y: Spec, size: int = 90) -> Spec:
    """A layer of points that show an effect by their ``shape``, ``fill`` and ``outline``."""
    return {
        "mark": {"type": "point", "size": size, "strokeWidth": 2, "opacity": 1},
        "encoding": {
            "x": x,
            "y": y,
            "shape": plain("shape"),
            "fill": plain("fill"),
            "stroke": plain("outline"),
        },
    }


def series(names: Sequence[str], field: str = "series") -> dict[str, Spec]:
    """Colour, mark and dashes by series, with one legend for all three."""
    styles = [_SERIES[i % len(_SERIES)] for i in range(len(names))]

    def channel(position: int) -> Spec:
        scale = {"domain": list(names), "range": [style[position] for style in styles]}
        return {"field": field, "type": "nominal", "scale": scale}

    return {"stroke": channel(0), "shape": channel(1), "strokeDash": channel(2)}


def signed_labels() -> Spec:
    """An axis of differences: a sign before each number but 0."""
    return {
        "labelExpr": "datum.value === 0 ? '0' : format(datum.value, '+~g')",
        "labelFlush": False,
    }
