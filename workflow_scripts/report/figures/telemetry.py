"""What this machine did while the arms were answered, over time."""

from __future__ import annotations

from collections.abc import Mapping

from ...telemetry.summary import Curves, Telemetry
from .figure import Figure
from .vega import INK, WIDTH, Spec, draw, number, series

CURVES = {
    "tokens_per_s": "Generated tokens per second",
    "machine_cpu_percent": "CPU of the machine, % of one core",
    "resident_mb": "Memory of the asking process, MB",
    "gpu_utilisation_percent": "GPU utilisation, %",
    "gpu_memory_mb": "GPU memory in use, MB",
    "gpu_power_w": "GPU power, W",
}
"""The curves that are drawn, by their name in local_costs.json."""


def telemetry_figure(measured: Mapping[str, Telemetry], names: Mapping[str, str]) -> Figure | None:
    """Draw each measured quantity over time, a line for each arm; ``None`` without telemetry.

    Args:
        measured: of each arm, by condition.
        names: the arms' names by condition.
    """
    known = {names.get(arm, arm): each.curves for arm, each in measured.items()}
    if not known:
        return None
    title = "The machine while it answered"
    drawn = [name for name in CURVES if any(getattr(each, name) for each in known.values())]
    columns = ("at_s", *CURVES)
    return Figure(
        name="telemetry",
        title=title,
        how_to_read=(
            "Time is measured time: parts follow each other, and pauses between them are left "
            "out. Each point is the mean over an equal stretch. CPU and GPU are those of the "
            "whole machine, so other programs count too."
        ),
        svg=draw({"vconcat": [_panel(name, known) for name in drawn]}, title),
        columns=("arm", *columns),
        rows=[
            [arm, *row]
            for arm, each in known.items()
            for row in zip(
                *(getattr(each, name) or [None] * len(each.at_s) for name in columns), strict=True
            )
        ],
    )


def _panel(name: str, known: Mapping[str, Curves]) -> Spec:
    """One quantity: a line for each arm."""
    styles = series(list(known))
    return {
        "width": WIDTH - 40,
        "height": 90,
        "title": {
            "text": CURVES[name],
            "anchor": "start",
            "color": INK,
            "fontSize": 13,
            "fontWeight": "bold",
        },
        "data": {
            "values": [
                {"series": arm, "at": at, "value": value}
                for arm, curves in known.items()
                for at, value in zip(curves.at_s, getattr(curves, name), strict=False)
            ]
        },
        "mark": {"type": "line", "strokeWidth": 2, "interpolate": "step-before"},
        "encoding": {
            "x": number("at", "Seconds", axis={"tickCount": 5}),
            "y": number("value", domainMin=0, axis={"tickCount": 4}),
            "stroke": styles["stroke"],
            "strokeDash": styles["strokeDash"],
        },
    }
