"""Power: which difference so many items can detect, and where the trial stands."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ...core.metric import Metric
from ...core.wording import counted
from ...stats.power import Power, smallest_detectable
from ..contrast import Contrast, leading
from ..wording import count, points, sentence_case
from .figure import Figure
from .vega import INK, WIDTH, Spec, draw, number, series, text

LARGEST = 1.0
"""No two rates differ by more."""

_STEPS = 40
"""Points that a curve is drawn with."""


def power_figure(
    contrast: Contrast,
    found: Mapping[str, Power | None],
    declared: Mapping[str, Power | None],
) -> Figure:
    """Draw the smallest detectable difference against the number of items.

    Args:
        contrast: which one.
        found: its part of power.json, by metric.
        declared: the same of a declared subgroup.
    """
    name = f"power-{contrast.anchor}"
    title = "Smallest effect this run could detect"
    shown = {
        metric: power
        for metric in leading(contrast.shares)
        if (power := found.get(metric.name))
        and contrast.result.metrics[metric.name].degrees_of_freedom
    }
    if not shown:
        return Figure(
            name,
            title,
            absent="Not known: no item’s score differs between the arms, or all items belong to "
            "one passage, so nothing says how much scores vary.",
        )
    first = next(iter(shown.values()))
    if all(power.smallest_detectable > LARGEST for power in shown.values()):
        return Figure(
            name,
            title,
            absent=f"Nothing: {counted(first.n_items, 'item')} like these cannot show any "
            "difference with certainty, not even one of 100 points.",
        )
    here = "; ".join(f"{metric.label} {_detectable(power)}" for metric, power in shown.items())
    return Figure(
        name=name,
        title=title,
        how_to_read=(
            "The true difference that a run with so many items like these finds with a probability "
            f"of {100 * first.power:g}% (alpha {first.alpha:g}). Filled marks: this run, with "
            f"{count(first.n_items)} items ({here}). Hollow marks: the items that other "
            "differences need. “No clear difference” means little if a difference that matters is "
            "smaller than the filled mark." + _doubt(shown) + _of_subgroup(contrast, declared)
        ),
        svg=draw(_spec(shown, contrast), f"Smallest detectable difference: {contrast.task.label}"),
        columns=("metric", "items", "detectable_difference", "here"),
        rows=[
            [metric.name, items, difference, here]
            for metric, power in shown.items()
            for items, difference, here in _marks(power)
        ],
    )


def _doubt(shown: Mapping[Metric, Power]) -> str:
    """Which metrics have too few items that differ to say how much they vary."""
    doubted = [metric.label for metric, power in shown.items() if not power.trusted]
    if not doubted:
        return ""
    return f" Do not rely on it for {' and '.join(doubted)}: too few items differ."


def _of_subgroup(contrast: Contrast, declared: Mapping[str, Power | None]) -> str:
    """What the items that a declared question is about can detect."""
    known = [
        f"{metric.label}: {_detectable(power)} with {counted(power.n_items, 'item')} "
        f"(alpha {power.alpha:g})"
        for metric in contrast.shares
        if (power := declared.get(metric.name))
    ]
    return f" In the declared subgroup, {'; '.join(known)}." if known else ""


def _detectable(power: Power) -> str:
    if power.smallest_detectable > LARGEST:
        return "none, not even 100 points"
    return f"{points(power.smallest_detectable)} points"


def _marks(power: Power) -> list[tuple[int, float, bool]]:
    """Items, the difference that they can detect, and whether that is this trial; ascending."""
    needed = [(items, float(effect), False) for effect, items in power.items_needed.items()]
    return sorted([*needed, (power.n_items, power.smallest_detectable, True)])


def curve(power: Power, freedom: float, low: float, high: float) -> list[tuple[float, float]]:
    """Items and what they can detect: with n times the items the standard error falls by √n."""
    found = []
    for step in range(_STEPS + 1):
        items = low * (high / low) ** (step / _STEPS)
        times = items / power.n_items
        error = power.standard_error / math.sqrt(times)
        detectable = smallest_detectable(error, freedom * times, power.alpha, power.power)
        found.append((items, detectable))
    return found


def _spec(shown: Mapping[Metric, Power], contrast: Contrast) -> Spec:
    marks: list[dict[str, Any]] = []
    lines: list[dict[str, Any]] = []
    every = [items for power in shown.values() for items, _, _ in _marks(power)]
    n_items = next(iter(shown.values())).n_items
    low, high = min(*every, n_items / 4), max(*every, 4 * n_items)
    for metric, power in shown.items():
        name = sentence_case(metric.label)
        freedom = contrast.result.metrics[metric.name].degrees_of_freedom or 1.0
        lines += [
            {"series": name, "items": items, "points": 100 * difference}
            for items, difference in curve(power, freedom, low, high)
        ]
        marks += [
            {"series": name, "items": items, "points": 100 * difference, "here": here}
            for items, difference, here in _marks(power)
        ]
    marks = [each for each in marks if each["points"] <= 100 * LARGEST]
    here = max((each for each in marks if each["here"]), key=lambda each: each["points"])
    top = min(100 * LARGEST, 1.15 * max(each["points"] for each in marks))
    x = number(
        "items",
        "Items (logarithmic)",
        type="log",
        domain=[low, high],
        nice=False,
        axis={"tickCount": 4, "format": ",d", "grid": False},
    )
    y = number("points", "Detectable difference, points", domain=[0, top], axis={"tickCount": 5})
    styles = series([sentence_case(metric.label) for metric in shown])
    return {
        "width": WIDTH - 40,
        "height": 200,
        "layer": [
            {
                "data": {"values": lines},
                "mark": {"type": "line", "strokeWidth": 2, "clip": True},
                "encoding": {
                    "x": x,
                    "y": y,
                    "stroke": styles["stroke"],
                    "strokeDash": styles["strokeDash"],
                },
            },
            {
                "data": {"values": marks},
                "mark": {"type": "point", "size": 80, "strokeWidth": 2, "opacity": 1},
                "encoding": {
                    "x": x,
                    "y": y,
                    "stroke": styles["stroke"],
                    "shape": styles["shape"],
                    "fill": {
                        "condition": {"test": "datum.here", "value": INK},
                        "value": "var(--card)",
                    },
                },
            },
            {
                "data": {"values": [{**here, "text": "this run"}]},
                **text("text", "left", x, y, dx=9, dy=-8, fontSize=12),
            },
        ],
    }
