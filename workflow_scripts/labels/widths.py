"""How precise a difference will be, before anybody has labelled."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from ..core.records import Item, SampleOutcome
from ..stats.intervals import mean_difference
from ..stats.label_design import LabelDesign
from ..tasks.registry import TASKS
from .units import Unit

CORRECT = {"correct", "rightly_abstained"}
"""Outcomes that count as correct when the differences between arms are guessed beforehand."""

SIZES = (25, 50, 100, 200, 400, 800)
CORRELATIONS = (0.0, 0.6, 0.9)
"""Of a judge's difference with the true one, before anybody knows it: none, fair and good."""


def width_table(
    units: Sequence[Unit],
    outcomes: Mapping[str, SampleOutcome],
    items: Mapping[str, Item],
    drawn: int,
    confidence: float,
) -> str:
    """Return a table: labelled items, and the half-width of the difference's interval in points.

    ``units`` are of one task: each task has a difference of its own. ``drawn`` of them are in the
    sample, a row that the table marks. The spread of the differences is that of the scores at hand,
    of the treatment that differs most; without scores, that of arms that differ on a quarter of the
    items.
    """
    deviation, effect = _spread(units, outcomes, items)
    sizes = sorted({*(size for size in SIZES if size < len(units)), drawn, len(units)} - {0})
    lines = [
        f"{TASKS[units[0].task].label}: half-width of the {confidence:.0%} interval of the "
        "difference, in points",
        "items labelled   " + "   ".join(("no judge", "fair judge", "good judge")),
    ]
    for size in sizes:
        widths = (
            LabelDesign.assumed(deviation, each, len(units), effect).half_width(size, confidence)
            for each in CORRELATIONS
        )
        cells = (f"{100 * width:>{n}.1f}" for width, n in zip(widths, (8, 12, 12), strict=True))
        mark = "   this page" if size == drawn else ""
        lines.append(f"{size:>14}   {' '.join(cells)}{mark}")
    return "\n".join(lines)


def _spread(
    units: Sequence[Unit], outcomes: Mapping[str, SampleOutcome], items: Mapping[str, Item]
) -> tuple[float, float]:
    """The standard deviation of an item's difference, and the design effect of its clusters."""
    deviation, effect = 0.0, 1.0
    for place in range(1, len(units[0].responses)):
        differences, names = [], []
        for unit in units:
            pair = [outcomes.get(unit.responses[each].custom_id) for each in (0, place)]
            if pair[0] is not None and pair[1] is not None:
                differences.append(
                    float(pair[1].outcome in CORRECT) - float(pair[0].outcome in CORRECT)
                )
                item = items[unit.item_key]
                names.append(f"{item.dataset}|{item.cluster_id}")
        if len(differences) > 1 and any(differences):
            clusters = np.unique(names, return_inverse=True)[1].astype(np.int64)
            mean = mean_difference(np.array(differences), clusters)
            found = math.sqrt(float(np.var(differences, ddof=1)))
            if found > deviation:
                deviation, effect = found, max(1.0, mean.design_effect or 1.0)
    return deviation or 0.5, effect
