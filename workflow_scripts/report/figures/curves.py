"""One measure at several cut-offs, a curve for each arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    task: Task, curve: Curve, rows: Sequence[SampleOutcome], names: Mapping[str, str]
) -> Figure:
    """Draw a measure of a task.

    Args:
        task: which one.
        curve: which of its measures.
        rows: outcomes.csv.
        names: the arms' names by condition, in the config's order.
    """
    of_task = [row for row in rows if row.type == task.name and row.outcome != "failed"]
    measured = [row for row in of_task if (row.number(curve.among) or 0) > 0]
    points = {
        arm: _points(curve, [row for row in measured if row.condition == arm]) for arm in names
    }
    unmeasured = [
        names[arm]
        for arm in names
        if not any(row.number(curve.found) for row in of_task if row.condition == arm)
    ]
    drawn = {
        names[arm]: each for arm, each in points.items() if each and names[arm] not in unmeasured
    }
    name = f"{curve.name}-{task.name}"
    if not drawn:
        return Figure(name, curve.label, absent="Nothing was measured.")
    n_items = len({row.item_key for row in measured})
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


def _points(curve: Curve, rows: Sequence[SampleOutcome]) -> _Points:
    found = []
    for k, metric in curve.points:
        values = [value for row in rows if (value := row.number(metric)) is not None]
        if values:
            found.append((k, sum(values) / len(values)))
    return found


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
