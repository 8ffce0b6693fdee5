"""Discordant pairs: how many items only one of the two arms gets, by metric."""

from __future__ import annotations

from typing import Any

from ...core.metric import Better
from ..contrast import Contrast
from ..wording import count, p_equation, sentence_case
from .figure import Figure
from .vega import BETTER, INK, MUTED, WIDTH, WORSE, Spec, draw, number, pixels, plain, text

_COLOURS: dict[Better, tuple[str, str]] = {
    "higher": (WORSE, BETTER),
    "lower": (BETTER, WORSE),
    "neither": (INK, INK),
}
"""Of the items of the control alone, and of the treatment alone."""

_ROW_HEIGHT = 54


def discordant_figure(contrast: Contrast, arms: tuple[str, str]) -> Figure:
    """Draw the discordant pairs of a contrast; ``arms`` are the names of control and treatment."""
    name = f"discordant-{contrast.anchor}"
    title = "Items won and lost"
    tests = contrast.result.mcnemar
    if not any(each.only_control or each.only_treatment for each in tests.values()):
        return Figure(
            name, title, absent="Both arms get the same items: there is no discordant pair."
        )
    control, treatment = arms
    return Figure(
        name=name,
        title=title,
        how_to_read=(
            f"Left: items that count under {control} alone. Right: under {treatment} alone. Items "
            "on which both agree are left out. p is from McNemar’s exact test, which takes items "
            "as independent. The numbers below open the items."
        ),
        svg=draw(_spec(contrast), f"Discordant pairs by metric: {contrast.task.label}"),
        columns=("metric", "only_control", "only_treatment", "both", "neither", "p_value", "mid_p"),
        rows=[
            [
                metric,
                test.only_control,
                test.only_treatment,
                test.both,
                test.neither,
                test.p_value,
                test.mid_p,
            ]
            for metric, test in tests.items()
        ],
    )


def _spec(contrast: Contrast) -> Spec:
    """A row a metric: its name over two bars that start in the middle."""
    tests = contrast.result.mcnemar
    metrics = [each for each in contrast.metrics if each.name in tests]
    largest = max(max(each.only_control, each.only_treatment) for each in tests.values())
    height = _ROW_HEIGHT * len(metrics)
    names: list[dict[str, Any]] = []
    bars: list[dict[str, Any]] = []
    for i, metric in enumerate(metrics):
        test = tests[metric.name]
        top = _ROW_HEIGHT * i
        names.append(
            {
                "name": sentence_case(metric.label),
                "p": p_equation("p", test.p_value),
                "y": top + 9,
            }
        )
        sides = ((-1, test.only_control), (1, test.only_treatment))
        words, colours = (metric.lost, metric.gained), _COLOURS[metric.better]
        for (side, items), word, colour in zip(sides, words, colours, strict=True):
            bars.append(
                {
                    "items": side * items,
                    "zero": 0,
                    "top": top + 22,
                    "middle": top + 34,
                    "bottom": top + 46,
                    "colour": colour,
                    "label": f"{count(items)} {word}",
                    "side": side,
                }
            )
    # Beside the longest bar there must be room for its label.
    scale: Spec = {"domain": [-largest, largest], "range": [85, WIDTH - 85]}

    def x(field: str) -> Spec:
        return number(field, axis=None, **scale)

    def y(field: str) -> Spec:
        return pixels(field, height)

    return {
        "width": WIDTH,
        "height": height,
        "data": {"values": bars},
        "layer": [
            {
                "mark": {"type": "rect"},
                "encoding": {
                    "x": x("zero"),
                    "x2": {"field": "items"},
                    "y": y("top"),
                    "y2": {"field": "bottom"},
                    "fill": plain("colour"),
                },
            },
            {
                "mark": {"type": "rule", "stroke": INK},
                "encoding": {"x": x("zero"), "y": y("top"), "y2": {"field": "bottom"}},
            },
            *(
                {
                    "transform": [{"filter": {"field": "side", "equal": side}}],
                    **text("label", align, x("items"), y("middle"), dx=6 * side),
                }
                for side, align in ((-1, "right"), (1, "left"))
            ),
            {
                "data": {"values": names},
                **text("name", "left", {"value": 0}, y("y"), weight="bold"),
            },
            {
                "data": {"values": names},
                **text("p", "right", {"value": WIDTH}, y("y"), fill=MUTED),
            },
        ],
    }
