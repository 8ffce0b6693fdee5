"""Results as figures. Columns are called c0, c1 … in specifications: their names are data."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from markupsafe import Markup

from ..plans.result import Result
from ..report import page
from ..report.figures.figure import Figure
from ..report.figures.vega import ACCENT, CARD, INK, MUTED, WIDTH, Spec, draw, series
from ..report.wording import sentence_case
from .running import Done

_HEIGHT = 220
_ROW = 24
_LABEL = 120
_MOST_CHARACTERS = 60

_COLOUR = re.compile(r"(--[\w-]+): (#[0-9a-f]{6})")
_VARIABLE = re.compile(r"var\((--[\w-]+)\)")
_VIEW = re.compile(r'viewBox="[-\d.]+ [-\d.]+ ([\d.]+) ([\d.]+)"')


def figure(number: int, done: Done) -> Figure:
    """Return the figure of a step's result.

    Args:
        number: its place on the page, from 1.
        done: a step with a chart.
    """
    result = done.result
    title = _title(result)
    spec, how_to_read = _DRAWN[result.chart]
    rows = [{f"c{n}": cell for n, cell in enumerate(row)} for row in result.rows]
    whole = {"data": {"values": rows}, "width": WIDTH, **spec(result)}
    return Figure(
        name=f"{number:02d}-{done.step.tool}",
        title=title,
        how_to_read=f"{result.finding} {how_to_read}",
        svg=draw(whole, f"{title}. {result.finding}"),
        columns=result.columns,
        rows=result.rows,
    )


def standalone(svg: Markup) -> str:
    """Return a figure as a file of its own: with a size, a background and the light colours."""
    style = (Path(page.__file__).parent / "assets" / "style.css").read_text(encoding="utf-8")
    colours = dict(reversed(_COLOUR.findall(style.partition("@media")[0])))
    text = _VARIABLE.sub(lambda found: colours[found[1]], str(svg))
    view = _VIEW.search(text)
    width, height = (view[1], view[2]) if view else ("100%", "100%")
    ground = f'<rect width="100%" height="100%" fill="{colours["--card"]}"/>'
    opening, _, rest = text.partition(">")
    return f'{opening} width="{width}" height="{height}">{ground}{rest}\n'


def _title(result: Result) -> str:
    columns = [_short(each) for each in result.columns]
    subject = _short(result.subject)
    titles = {
        "line": lambda: (
            f"{columns[-1]} over {columns[0]}" + (f", by {columns[1]}" if len(columns) > 2 else "")
        ),
        "bar": lambda: f"{columns[1]} by {columns[0]}",
        "scatter": lambda: f"{columns[-1]} against {columns[0]}",
        "histogram": lambda: f"Distribution of {subject}",
        "heatmap": lambda: f"{columns[2]} by {columns[0]} and {columns[1]}",
        "box": lambda: (
            f"Spread of {subject}" + ("" if columns[0] == "rows" else f" by {columns[0]}")
        ),
        "anomalies": lambda: f"Unusual values: {columns[1]} by {columns[0]}",
    }
    return sentence_case(titles[result.chart]())


def _short(text: str) -> str:
    return text if len(text) <= _MOST_CHARACTERS else text[: _MOST_CHARACTERS - 1] + "…"


def _quantitative(place: int, title: str, *, zero: bool = False, **more: object) -> Spec:
    axis = {"title": _short(title), "titleLimit": WIDTH, "tickCount": 6, "labelLimit": _LABEL}
    axis["format"] = "~s" if more.pop("si", True) else "~g"
    return {
        "field": f"c{place}", "type": "quantitative", "scale": {"zero": zero}, "axis": axis, **more,
    }  # fmt: skip


def _along(result: Result) -> Spec:
    """The encoding of a first column with dates or numbers. UTC: not the clock of this machine."""
    if isinstance(result.rows[0][0], str):
        axis = {"title": _short(result.columns[0]), "titleLimit": WIDTH, "tickCount": 6,
                "labelOverlap": True}  # fmt: skip
        return {"field": "c0", "type": "temporal", "scale": {"type": "utc"}, "axis": axis}
    return _quantitative(0, result.columns[0], si=False)


def _named(place: int, title: str | None = None, size: int = _LABEL, **options: object) -> Spec:
    """The encoding of groups, in the order of the rows; the figure's title says what they are."""
    axis = {"title": title, "titleLimit": WIDTH, "labelLimit": size, "grid": False, **options}
    return {"field": f"c{place}", "type": "nominal", "sort": None, "axis": axis}


def _line(result: Result) -> Spec:
    last = len(result.columns) - 1
    encoding = {"x": _along(result), "y": _quantitative(last, result.columns[last], zero=True)}
    mark: Spec = {"type": "line", "point": {"size": 18, "filled": True}, "strokeWidth": 2}
    if last == 1:
        mark |= {"stroke": ACCENT, "point": {"size": 18, "fill": ACCENT}}
    else:
        names = list(dict.fromkeys(str(row[1]) for row in result.rows))
        styles = series(names, "c1")
        encoding |= {"stroke": styles["stroke"], "strokeDash": styles["strokeDash"]}
        mark["point"] = False
    return {"height": _HEIGHT, "mark": mark, "encoding": encoding}


def _bar(result: Result) -> Spec:
    return {
        "height": {"step": _ROW},
        "mark": {"type": "bar", "fill": ACCENT, "cornerRadiusEnd": 2},
        "encoding": {
            "y": _named(0),
            "x": _quantitative(1, result.columns[1], zero=True),
        },
    }


def _scatter(result: Result) -> Spec:
    last = len(result.columns) - 1
    encoding = {
        "x": _quantitative(0, result.columns[0]),
        "y": _quantitative(last, result.columns[last]),
    }
    mark: Spec = {"type": "point", "size": 22, "opacity": 0.6, "strokeWidth": 1.2}
    if last == 1:
        mark["stroke"] = ACCENT
    else:
        styles = series(list(dict.fromkeys(str(row[1]) for row in result.rows)), "c1")
        encoding |= {"stroke": styles["stroke"], "shape": styles["shape"]}
    return {"height": _HEIGHT, "mark": mark, "encoding": encoding}


def _histogram(result: Result) -> Spec:
    return {
        "height": _HEIGHT,
        "mark": {"type": "bar", "fill": ACCENT, "stroke": CARD, "strokeWidth": 1},
        "encoding": {
            "x": _quantitative(0, result.subject, bin="binned"),
            "x2": {"field": "c1"},
            "y": _quantitative(2, "rows", zero=True),
        },
    }


def _heatmap(result: Result) -> Spec:
    return {
        "height": {"step": _ROW},
        "mark": {"type": "rect", "fill": ACCENT},
        "encoding": {
            "x": _named(0, _short(result.columns[0]), 70, labelAngle=-45),
            "y": _named(1),
            "fillOpacity": {
                "field": "c2",
                "type": "quantitative",
                "scale": {"range": [0.06, 1], "zero": False},
                "legend": {"title": None, "format": "~s", "symbolFillColor": ACCENT,
                           "symbolStrokeWidth": 0, "columns": 5},
            },
        },
    }  # fmt: skip


def _box(result: Result) -> Spec:
    y = _named(0)
    title = result.subject

    def at(place: int, end: int | None = None) -> Spec:
        x = _quantitative(place, title)
        return {"y": y, "x": x} if end is None else {"y": y, "x": x, "x2": {"field": f"c{end}"}}

    return {
        "height": {"step": _ROW + 8},
        "layer": [
            {"mark": {"type": "rule", "stroke": MUTED}, "encoding": at(1, 5)},
            {"mark": {"type": "bar", "fill": ACCENT, "size": 14}, "encoding": at(2, 4)},
            {
                "mark": {"type": "tick", "stroke": CARD, "thickness": 2, "size": 14},
                "encoding": at(3),
            },
        ],
    }


def _anomalies(result: Result) -> Spec:
    x, y = _along(result), _quantitative(1, result.columns[1])
    return {
        "height": _HEIGHT,
        "layer": [
            {
                "transform": [{"filter": {"field": "c3", "equal": False}}],
                "mark": {"type": "point", "size": 16, "fill": MUTED, "stroke": None},
                "encoding": {"x": x, "y": y},
            },
            {
                "transform": [{"filter": {"field": "c3", "equal": True}}],
                "mark": {"type": "point", "shape": "diamond", "size": 70, "fill": "var(--worse)",
                         "stroke": INK, "opacity": 1},
                "encoding": {"x": x, "y": y},
            },
        ],
    }  # fmt: skip


_DRAWN: dict[str, tuple[Callable[[Result], Spec], str]] = {
    "line": (_line, "Each point is one span of time or step. A gap has no values."),
    "bar": (_bar, "Each bar is one group."),
    "scatter": (_scatter, "Each point is one row."),
    "histogram": (_histogram, "A bar is as high as the number of rows in its range."),
    "heatmap": (_heatmap, "The darker a cell, the larger its number. An empty cell has no rows."),
    "box": (
        _box,
        "A box holds the middle half of the values, the tick in it is their median. The lines "
        "reach to the last values within 1.5 boxes; values beyond are not drawn.",
    ),
    "anomalies": (_anomalies, "Diamonds are unusual: far from the median for this column."),
}
