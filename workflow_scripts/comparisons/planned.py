"""What a declared primary question can find, known before anything is asked."""

from __future__ import annotations

import math
from collections.abc import Mapping

from ..core.block import Block
from ..stats.settings import Stopping
from ..stats.spending import design
from ..tasks.registry import known_metrics
from .settings import WaveSettings

DISCORDANT = (0.05, 0.1, 0.2, 0.4)
"""Shares of items on which the arms may differ; nobody knows it beforehand."""


class PlannedTest(Block):
    """The primary question in one task, before the first answer.

    ``subgroup``: the part of the items that it is about, and that ``n_items`` counts.
    ``alpha``: this test's part of the declared one. ``times_one_look``: items that the looks take
    for ``power``, as a multiple of one look at the end; ``expected_share``: of all items, how many
    are asked on average where the difference is one of ``detectable``. Both are ``None`` for
    ``betting``, which has no such number. ``detectable``: by share of items on which the arms
    differ, the difference that is found with ``power``; ``None`` where that many cannot show it.
    Empty for ``betting``, for an amount, and for a metric of the user's own: nobody knows
    beforehand how much they vary. Items count as independent: clusters multiply ``detectable`` by
    the root of the design effect.
    """

    primary: str
    task: str
    n_items: int
    alpha: float
    looks: int
    stopping: Stopping
    power: float
    times_one_look: float | None
    expected_share: float | None
    detectable: dict[str, float | None]
    subgroup: str | None = None


def planned_tests(settings: WaveSettings, n_items: Mapping[str, int]) -> list[PlannedTest]:
    """What a trial's declared question can find in each of its tasks; nothing if undeclared.

    ``n_items``: items of each task that the question is about.
    """
    stats = settings.stats.stats
    declared, comparisons = stats.registration, settings.primary_comparisons()
    if declared is None or not comparisons:
        return []
    alpha = declared.alpha / len(comparisons)
    level = alpha / 2 if declared.direction == "either" else alpha
    looks = settings.waves_planned
    betting = looks > 1 and declared.stopping == "betting"
    found = design(looks, level, stats.power) if not betting else None
    metric = known_metrics().get(declared.primary)
    return [
        PlannedTest(
            primary=declared.primary,
            task=task,
            n_items=n_items.get(task, 0),
            alpha=alpha,
            looks=looks,
            stopping=declared.stopping,
            power=stats.power,
            times_one_look=found.times_one_look if found else None,
            expected_share=found.expected_share if found else None,
            detectable={
                f"{share:g}": _detectable(found.drift, share, n_items.get(task, 0))
                for share in DISCORDANT
            }
            if found and metric is not None and metric.kind == "share"
            else {},
            subgroup=declared.subgroup,
        )
        for task in sorted({task for _, _, task in comparisons})
    ]


def _detectable(drift: float, share: float, n_items: int) -> float | None:
    """The difference d with d = drift sqrt((share - d²) / n), of at most ``share``."""
    if not n_items:
        return None
    found = drift * math.sqrt(share / n_items / (1 + drift**2 / n_items))
    return found if found <= share else None
