"""How long answers took and how long they are: quantiles by arm and task."""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...core.records import Answer
from ...tasks.task import Task
from .figure import Figure
from .vega import ACCENT, CARD, MUTED, WIDTH, Spec, draw, number, pixels, plain, text

QUANTITIES = {
    "latency_s": "Seconds per request",
    "prompt_tokens": "Prompt tokens",
    "completion_tokens": "Answer tokens",
}

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)

_ROW_HEIGHT = 40


@dataclass(frozen=True)
class Spread:
    """One quantity of the requests of one arm in one task: `LEVELS` quantiles and the extremes."""

    quantity: str
    task: str
    arm: str
    n: int
    mean: float
    smallest: float
    quantiles: tuple[float, ...]
    largest: float


class Spreads:
    """Collects the quantities of answers that are known.

    All temperatures and samples of an arm count together; failed requests have none.
    """

    def __init__(self) -> None:
        self._values: dict[tuple[str, str, str], array[float]] = {}
        self._arms: dict[str, None] = {}

    def add(self, answer: Answer) -> None:
        """Take in an answer."""
        self._arms[answer.condition] = None
        for quantity in QUANTITIES:
            value = getattr(answer, quantity)
            if value is not None:
                place = (quantity, answer.type, answer.condition)
                self._values.setdefault(place, array("d")).append(value)

    def found(self, tasks: Iterable[str]) -> list[Spread]:
        """Return the quantiles by quantity, task and arm."""
        return [
            Spread(
                quantity,
                task,
                arm,
                len(values),
                float(values.mean()),
                float(values.min()),
                tuple(map(float, np.quantile(values, LEVELS))),
                float(values.max()),
            )
            for quantity, task, arm in itertools.product(QUANTITIES, tasks, self._arms)
            if (given := self._values.get((quantity, task, arm)))
            for values in (np.frombuffer(given),)
        ]


def distributions_figure(
    found: list[Spread], names: Mapping[str, str], tasks: Mapping[str, Task], control: str
) -> Figure:
    """Draw the quantiles of time and tokens; ``names`` are those of the arms by condition."""
    title = "Time and length of answers"
    if not found:
        return Figure(
            "distributions",
            title,
            absent="The answers came with neither times nor tokens.",
        )
    missing = [
        what
        for quantity, what in (("latency_s", "time"), ("completion_tokens", "tokens"))
        if not any(each.quantity == quantity for each in found)
    ]
    known = [name for name in QUANTITIES if any(each.quantity == name for each in found)]
    return Figure(
        name="distributions",
        title=title,
        how_to_read=(
            "The box holds the middle half of the requests, the line 90% of them. The bar in the "
            "box is the median; its value is beside the name. All temperatures and samples "
            "together. Time is wall time until the whole answer arrived. It includes waiting if "
            "several requests were in flight."
            + "".join(f" The backend reported no {each} of single requests." for each in missing)
        ),
        svg=draw(
            {
                "vconcat": [
                    _panel(
                        quantity,
                        [each for each in found if each.quantity == quantity],
                        names,
                        tasks,
                        control,
                    )
                    for quantity in known
                ]
            },
            title,
        ),
        columns=(
            "quantity",
            "task",
            "arm",
            "requests",
            "mean",
            "smallest",
            *(f"p{100 * level:02.0f}" for level in LEVELS),
            "largest",
        ),
        rows=[
            [
                each.quantity,
                each.task,
                each.arm,
                each.n,
                each.mean,
                each.smallest,
                *each.quantiles,
                each.largest,
            ]
            for each in found
        ],
    )


def _panel(
    quantity: str,
    found: list[Spread],
    names: Mapping[str, str],
    tasks: Mapping[str, Task],
    control: str,
) -> Spec:
    """One quantity: a row for each task and arm, its label over its box."""
    several = len({each.task for each in found}) > 1
    rows: list[dict[str, Any]] = []
    for i, each in enumerate(found):
        name = names.get(each.arm, each.arm)
        task = tasks[each.task].label
        top = _ROW_HEIGHT * i
        rows.append(
            {
                "label": f"{task} · {name}" if several else name,
                "median_text": f"{each.quantiles[2]:.3g}",
                **{f"p{i}": value for i, value in enumerate(each.quantiles)},
                "label_y": top + 9,
                "top": top + 19,
                "middle": top + 26,
                "bottom": top + 33,
                "colour": MUTED if each.arm == control else ACCENT,
            }
        )
    height = _ROW_HEIGHT * len(found)
    scale = {"domain": [0, max(each["p4"] for each in rows) or 1], "nice": True}

    def x(field: str) -> Spec:
        return number(field, None, axis={"tickCount": 5}, **scale)

    def y(field: str) -> Spec:
        return pixels(field, height)

    def rule(width: float, **encoding: Spec) -> Spec:
        return {
            "mark": {"type": "rule", "strokeWidth": width},
            "encoding": {**encoding, "stroke": plain("colour")},
        }

    ends = {"y": y("top"), "y2": {"field": "bottom"}}
    return {
        "width": WIDTH,
        "height": height,
        "title": {
            "text": QUANTITIES[quantity],
            "anchor": "start",
            "color": "var(--ink)",
            "fontSize": 13,
            "fontWeight": "bold",
        },
        "data": {"values": rows},
        "layer": [
            rule(2, x=x("p0"), x2={"field": "p4"}, y=y("middle")),
            {
                "mark": {"type": "rect", "fill": CARD, "strokeWidth": 2},
                "encoding": {
                    "x": x("p1"),
                    "x2": {"field": "p3"},
                    **ends,
                    "stroke": plain("colour"),
                },
            },
            rule(3, x=x("p2"), **ends),
            text("label", "left", {"value": 0}, y("label_y"), WIDTH - 110, fontSize=12),
            text("median_text", "right", {"value": WIDTH}, y("label_y"), fontSize=12),
        ],
    }
