"""What of a gate no run could decide: names that are not in use, and margins without a meaning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..core.metric import Metric
from ..core.usage import USAGE
from ..stats.settings import GateCheck
from ..tasks.registry import TASKS, metrics_of
from . import trials
from .checks import unknown_subgroup
from .mistakes import Location, Problem, there_are
from .schema import Config


def impossible_gates(config: Config) -> Iterator[Problem]:
    """Entries of ``gate`` that name nothing in use, or have no usable margin."""
    known = {metric.name: metric for metric in (*USAGE, *metrics_of(trials.tasks(config)))}
    known |= {name: own.declaration(name) for name, own in config.metrics.items()}
    for number, check in enumerate(config.gate):
        where: Location = ("gate", number)
        yield from _not_in_use(config, check, where)
        if check.metric not in known:
            there = there_are(check.metric, known)
            yield (*where, "metric"), f"no metric {check.metric!r}{there}"
            continue
        if check.subgroup and check.metric in {metric.name for metric in USAGE}:
            yield (*where, "subgroup"), f"{check.metric!r} is compared over all items only"
        yield from _undecidable(config, check, where, known)


def _not_in_use(config: Config, check: GateCheck, where: Location) -> Iterator[Problem]:
    in_use = {
        "task": trials.tasks(config),
        "temp": trials.temps(config),
        "prompt_set": trials.active_prompt_sets(config),
    }
    for key, names in in_use.items():
        name = getattr(check, key)
        if name is not None and name not in names:
            what = key.replace("_", " ")
            yield (*where, key), f"{what} {name!r} is not in use{there_are(name, names)}"
    tasks = in_use["task"] if check.task is None else [check.task]
    known = [task for task in tasks if task in TASKS]
    yield from unknown_subgroup(config, (*where, "subgroup"), check.subgroup, known)
    if known and all(check.metric in TASKS[task].unmeasured for task in known):
        yield (*where, "metric"), f"{check.metric!r} is not measured in {' or '.join(known)}"


def _undecidable(
    config: Config, check: GateCheck, where: Location, known: Mapping[str, Metric]
) -> Iterator[Problem]:
    metric = known[check.metric]
    if metric.better_in(check.subgroup) == "neither":
        among = f" in the subgroup {check.subgroup!r}" if check.subgroup else ""
        yield (
            (*where, "metric"),
            f"{metric.name!r} has no better direction{among}, so it cannot get worse; choose "
            "another metric or subgroup",
        )
    margin = margin_of(config, check)
    if margin is None:
        yield where, "margin is missing: the smallest change for the worse that is too much"
    elif metric.kind == "amount" and margin <= 1:
        yield (
            (*where, "margin"),
            f"{metric.name!r} is an amount: its margin is a ratio above 1, such as 1.1 (it is "
            f"{margin:g})",
        )
    elif metric.kind == "share" and margin >= 1:
        yield (
            (*where, "margin"),
            f"{metric.name!r} is a share: its margin lies between 0 and 1, and 0.02 means 2 "
            f"percentage points (it is {margin:g})",
        )


def margin_of(config: Config, check: GateCheck) -> float | None:
    """Return the margin of a check: its own, else that of equivalence tests, if there is one."""
    return config.stats.tost_margins.get(check.metric) if check.margin is None else check.margin
