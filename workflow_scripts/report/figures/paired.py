"""How items changed: the distribution of paired differences, from the worst to the best."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ...core.metric import Metric
from ...core.records import ItemScores
from ...stats.pairs import DECIMALS
from ..contrast import Contrast
from ..wording import count, sentence_case
from .figure import Figure
from .vega import BETTER, INK, MUTED, WIDTH, WORSE, Spec, draw, number, plain, signed_labels, text

Differences = npt.NDArray[np.float64]

BIN = 0.05
"""Differences are put together in steps of so much; 0 is a step of its own."""

_HEIGHT = 92
_BAND = 20
"""Height of a panel, and of the band over it where its counts stand."""


def paired_figure(
    contrast: Contrast, differences: Mapping[str, Differences], arms: tuple[str, str]
) -> Figure:
    """Draw the items of a contrast sorted from the one that lost most to the one that gained most.

    Args:
        contrast: which one.
        differences: treatment minus control by metric, shape (items,).
        arms: the names of control and treatment.
    """
    name = f"paired-{contrast.anchor}"
    title = "How items changed"
    binned = {
        metric: bins(differences[metric.name])
        for metric in contrast.shares
        if metric.better != "neither" and metric.name in differences
    }
    if not any(len(each) for each in binned.values()):
        return Figure(name, title, absent="No item was scored under both arms.")
    if all(low == high == 0 for each in binned.values() for low, high, _, _ in each):
        return Figure(name, title, absent="No item’s score differs between the arms.")
    return Figure(
        name=name,
        title=title,
        how_to_read=(
            "All items, sorted from those that got worse under the treatment (left) to those that "
            "got better (right). Height is treatment minus control; width is a share of the items. "
            "A wide flat middle means that most items did not change."
        ),
        svg=draw(
            {
                "vconcat": [
                    _panel(metric, found, is_last=metric == list(binned)[-1])
                    for metric, found in binned.items()
                ]
            },
            f"Paired differences of items, {arms[1]} minus {arms[0]}: {contrast.task.label}",
        ),
        columns=("metric", "difference_from", "difference_to", "mean_difference", "items"),
        rows=[[metric.name, *each] for metric, found in binned.items() for each in found],
    )


def differences(
    scores: Iterable[ItemScores], metrics: Iterable[str], control: str
) -> dict[tuple[str, str, str], dict[str, Differences]]:
    """Treatment minus control of each item that both have, by contrast and then by metric.

    A contrast is its treatment, temperature and task. It has the metrics that its task measures.
    """
    names = list(metrics)
    numbers: dict[str, int] = {}
    items: dict[tuple[str, str, str], array[int]] = {}
    values: dict[tuple[str, str, str], array[float]] = {}
    for each in scores:
        group = (each.condition, each.temp, each.type)
        number = numbers.setdefault(each.item_key, len(numbers))
        items.setdefault(group, array("q")).append(number)
        measured = (each.score(name) for name in names)
        values.setdefault(group, array("d")).extend(
            math.nan if score is None else score for score in measured
        )
    tables = {
        group: np.asarray(of_group).reshape(len(items[group]), len(names))
        for group, of_group in values.items()
    }
    found = {}
    for (condition, temp, task), after in tables.items():
        if condition == control:
            continue
        before = np.full((len(numbers), len(names)), np.nan)
        if (base := (control, temp, task)) in tables:
            before[np.frombuffer(items[base], dtype=np.int64)] = tables[base]
        rows = np.frombuffer(items[condition, temp, task], dtype=np.int64)
        changes = after - before[rows]
        found[condition, temp, task] = {
            name: np.round(of_metric, DECIMALS)
            for name, column in zip(names, changes.T, strict=True)
            if len(of_metric := column[~np.isnan(column)])
        }
    return found


def bins(differences: Differences) -> list[tuple[float, float, float, int]]:
    """Lowest and highest end of each step with the mean of its differences and their number.

    Ascending; steps without an item are left out.
    """
    steps = np.sign(differences) * np.ceil(np.abs(differences) / BIN - 1e-9)
    found = []
    for step in np.unique(steps):
        inside = differences[steps == step]
        ends = sorted((step * BIN, (step - np.sign(step)) * BIN))
        found.append(
            (round(ends[0], 9), round(ends[1], 9), round(float(inside.mean()), 9), len(inside))
        )
    return found


def _panel(metric: Metric, found: list[tuple[float, float, float, int]], *, is_last: bool) -> Spec:
    """One metric: its steps side by side, each as wide as its share of the items."""
    falls_are_worse = metric.better == "higher"
    ordered = found if falls_are_worse else found[::-1]
    total = sum(items for *_, items in found)
    done = worse = better = 0
    steps: list[dict[str, Any]] = []
    for *_, mean, items in ordered:
        is_worse = mean < 0 if falls_are_worse else mean > 0
        start, done = done, done + items
        if mean == 0:
            continue
        worse, better = worse + items * is_worse, better + items * (not is_worse)
        steps.append(
            {
                "start": 100 * start / total,
                "end": 100 * done / total,
                "difference": 100 * mean,
                "zero": 0,
                "colour": WORSE if is_worse else BETTER,
            }
        )
    labels = [
        (sentence_case(metric.label), 0, "left", INK, "bold"),
        (f"{count(worse)} worse", 60, "right", WORSE, "normal"),
        (f"{count(total - worse - better)} same", 80, "right", MUTED, "normal"),
        (f"{count(better)} better", 100, "right", BETTER, "normal"),
    ]
    share = {"labelExpr": "datum.value + '%'", "tickCount": 5, "grid": False}
    x_axis = {"title": "Share of the items", **share} if is_last else None
    y_axis = {**signed_labels(), "values": [-100, 0, 100], "title": None}

    def x(field: str) -> Spec:
        return number(field, domain=[0, 100], axis=None if x_axis is None else dict(x_axis))

    def y(field: str) -> Spec:
        return number(field, domain=[-100, 100], range=[_HEIGHT, _BAND], axis=dict(y_axis))

    return {
        "width": WIDTH,
        "height": _HEIGHT,
        "layer": [
            {
                "data": {"values": steps},
                "mark": {"type": "rect"},
                "encoding": {
                    "x": x("start"),
                    "x2": {"field": "end"},
                    "y": y("zero"),
                    "y2": {"field": "difference"},
                    "fill": plain("colour"),
                },
            },
            {
                "data": {"values": [{"zero": 0}]},
                "mark": {"type": "rule", "stroke": INK},
                "encoding": {"y": y("zero")},
            },
            *(
                {
                    "data": {"values": [{"text": label, "x": position}]},
                    **text(
                        "text", align, x("x"), {"value": 6}, 145, weight, fill=colour, fontSize=12
                    ),
                }
                for label, position, align, colour, weight in labels
            ),
        ],
    }
