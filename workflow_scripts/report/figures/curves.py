"""One measure at several cut-offs, a curve for each arm."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping
from typing import Any

from ...core.records import SampleOutcome
from ...core.shown import Curve
from ...core.wording import counted
from ...tasks.task import Task
from ..wording import number as number_text
from .figure import Figure
from .vega import CARD, WIDTH, Spec, draw, number, series

_Points = list[tuple[int, float]]


def curve_figure(
    task: Task, curve: Curve, rows: Iterable[SampleOutcome], names: Mapping[str, str]
) -> Figure:
    """Draw a measure of a task.

    Args:
        task: which one.
        curve: which of its measures.
        rows: outcomes.csv.
        names: the arms' names by condition, in the config's order.
    """
    values: dict[tuple[str, str], array[float]] = {}
    items: set[str] = set()
    searched: set[str] = set()
    for row in rows:
        if row.type != task.name or row.outcome == "failed":
            continue
        if row.number(curve.found):
            searched.add(row.condition)
        if (row.number(curve.among) or 0) > 0:
            items.add(row.item_key)
            for _, metric in curve.points:
                if (value := row.number(metric)) is not None:
                    values.setdefault((row.condition, metric), array("d")).append(value)
    points = {
        arm: [
            (k, sum(found) / len(found))
            for k, metric in curve.points
            if (found := values.get((arm, metric)))
        ]
        for arm in names
    }
    unmeasured = [name for arm, name in names.items() if arm not in searched]
    drawn = {
        names[arm]: each for arm, each in points.items() if each and names[arm] not in unmeasured
    }
    name = f"{curve.name}-{task.name}"
    if not drawn:
        return Figure(name, curve.label, absent="Nothing was measured.")
    n_items = len(items)
    last = "; ".join(
        f"{arm}: {', '.join(f'{number_text(100 * share, 1)}% at {k}' for k, share in each)}"
        for arm, each in drawn.items()
    )
    without = f" Not measured: {', '.join(unmeasured)}." if unmeasured else ""
    return Figure(
        name=name,
        title=curve.label,
        how_to_read=f"{curve.definition} {counted(n_items, 'item')}.{without}",
        svg=draw(_spec(curve, drawn), f"{curve.label}: {task.label}. {last}"),
        columns=("arm", "k", "share"),
        rows=[[arm, k, share] for arm, each in drawn.items() for k, share in each],
    )


def _spec(curve: Curve, drawn: Mapping[str, _Points]) -> Spec:
    marks: list[dict[str, Any]] = [
        {"series": arm, "k": k, "share": 100 * share}
        for arm, points in drawn.items()
        for k, share in points
    ]
    cut_offs = [k for k, _ in curve.points]
    ends = [0, max(cut_offs) + 0.5]
    styles = series(list(drawn))
    x = number("k", curve.across, domain=ends, nice=False, axis={"values": cut_offs, "grid": False})
    y = number(
        "share", None, domain=[0, 100], axis={"labelExpr": "datum.value + '%'", "tickCount": 5}
    )
    return {
        "width": WIDTH - 40,
        "height": 220,
        "data": {"values": marks},
        "layer": [
            {
                "mark": {"type": "line", "strokeWidth": 2},
                "encoding": {
                    "x": x,
                    "y": y,
                    "stroke": styles["stroke"],
                    "strokeDash": styles["strokeDash"],
                },
            },
            {
                "mark": {"type": "point", "strokeWidth": 2, "opacity": 1, "size": 70, "fill": CARD},
                "encoding": {"x": x, "y": y, "stroke": styles["stroke"], "shape": styles["shape"]},
            },
        ],
    }
