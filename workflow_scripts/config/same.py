"""Settings under which a model is sent the same. They are one: asked, paid for and tested once."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from ..backends.capabilities import capabilities, problems, sent
from .schema import Config
from .trial import Arm

_OF_DECODING = {"max new tokens", "top p", "top k", "stop", "reasoning"}
"""What of `Arm.asks` a model may not take."""


def said(arms: Iterable[Arm], tasks: Sequence[str], temps: Sequence[str]) -> str:
    """Return what the requests of some arms say about decoding, as a text to compare."""
    found = []
    for arm in arms:
        row = capabilities(arm.engine, arm.model_id)
        found.append(
            [
                [
                    [
                        sent(arm.engine, arm.model_id, decoding, arm.shape).parameters,
                        problems(arm.engine, arm.model_id, decoding),  # nothing will be sent
                    ]
                    for task in tasks
                    for temp in temps
                    for decoding in [arm.decoding.request(task, temp, 0)]
                ],
                arm.decoding.stop if row.cuts_at_further_stops else None,
            ]
        )
    return json.dumps(found, sort_keys=True)


def asks_the_same(arm: Arm, control: Arm, tasks: Sequence[str], temps: Sequence[str]) -> bool:
    """Whether an arm differs from its control in nothing that is sent."""
    differing = set(arm.differing(control))
    if not differing or not differing <= _OF_DECODING:
        return not differing
    return said([arm], tasks, temps) == said([control], tasks, temps)


def stand_ins(config: Config, arms: Sequence[Arm], tasks: Sequence[str]) -> dict[str, str]:
    """Return each temperature with the one that is asked for it, mostly itself.

    Of temperatures at which all arms are sent the same, it is one that the config names elsewhere,
    or the one with the most samples, or the first.
    """
    temps = list(config.sweep.temps or config.temps)
    declared = config.stats.registration
    named = {declared.temp if declared else None, config.labelling.temp}
    named |= {check.temp for check in config.gate}
    ranked = sorted(
        temps,
        key=lambda temp: (temp not in named, -config.samples_per_item.get(temp, 1)),
    )
    first: dict[str, str] = {}
    found = {}
    for temp in ranked:
        # Without a request there is nothing to compare: files have the same answers at each.
        found[temp] = first.setdefault(said(arms, tasks, [temp]), temp) if arms else temp
    return {temp: found[temp] for temp in temps}
