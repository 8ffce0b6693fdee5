"""The front page's share of comparisons.json: tables within trials, and any two trials."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from ..comparisons.pairings import Comparisons, Declared, Difference, Kind, Pairing, Ratio
from ..config.trial import Trial
from ..core.metric import Metric
from ..core.wording import counted
from .contrast import leading_first, tasks_of
from .verdict import doubt, effect
from .wording import p_equation, part_name, parts_question, points, ratio, significant


class Shown(NamedTuple):
    """A trial, what the page calls it, and the address of its report."""

    trial: Trial
    label: str
    link: str


def compared(comparisons: Comparisons, metrics: Iterable[Metric]) -> list[Metric]:
    """Return those of some metrics that the comparisons have, the leading ones first."""
    names = {
        name
        for each in comparisons.comparisons
        for measured in (each.metrics, each.amounts)
        for name in measured
    }
    return [metric for name, metric in leading_first(metrics).items() if name in names]


def _found(pairing: Pairing, metric: Metric) -> Difference | Ratio | None:
    return pairing.metrics.get(metric.name) or pairing.amounts.get(metric.name)


_TITLES: dict[Kind, str] = {
    "treatments": "Treatments of one prompt set",
    "temperatures": "Temperatures",
}

_ARMS = "Second minus first over the same items (of amounts, second over first)."
_EFFECTS = (
    "The effect is treatment minus control. Its difference is the effect in the second part of the "
    "items minus that in the first; of amounts, the ratio of both ratios."
)

_DECLARED: dict[Declared, str] = {
    "before": "declared before the first answer",
    "after": "declared after the first answer",
    "unknown": "declared, time unknown",
}


def tables(
    comparisons: Comparisons, trials: Sequence[Shown], metrics: Sequence[Metric]
) -> Iterator[dict[str, Any]]:
    """Yield what the template shows of comparisons within trials: a table for each question."""
    grouped = {title: comparisons.of_kind(kind) for kind, title in _TITLES.items()}
    for each in comparisons.of_kind("interaction"):
        parts = each.first.subgroup or "", each.second.subgroup or ""
        grouped.setdefault(parts_question(*parts), []).append(each)
    for title, pairings in grouped.items():
        shown = [metric for metric in metrics if any(_found(each, metric) for each in pairings)]
        if not shown:
            continue
        is_judged = pairings[0].kind != "interaction"
        if not is_judged:
            # An effect that differs is neither better nor worse.
            shown = [replace(each, better="neither", subgroup_better=()) for each in shown]
        rows = [_row(each, trials, shown, comparisons.confidence) for each in pairings]
        effects = [cell["effect"] for row in rows for cell in row["cells"] if cell]
        n_clear = sum(each in ("better", "worse", "differs") for each in effects)
        yield {
            "title": title,
            "in_short": f"{n_clear:,} of {counted(len(effects), 'difference')} "
            f"{'is' if n_clear == 1 else 'are'} clear",
            "is_judged": is_judged,
            "how_to_read": _ARMS if is_judged else _EFFECTS,
            "metrics": shown,
            "rows": rows,
        }


def _row(
    pairing: Pairing, trials: Sequence[Shown], metrics: Iterable[Metric], confidence: float
) -> dict[str, Any]:
    trial, label, link = trials[pairing.first.trial]
    one, other = (f"“{trial.arms[s.condition].name}”" for s in (pairing.first, pairing.second))
    what = [tasks_of(trial)[pairing.task].label]
    what.append(f"{other} against {one}" if pairing.kind == "treatments" else other)
    if pairing.kind == "temperatures":
        temps = (trial.temperature(each.temp) for each in (pairing.second, pairing.first))
        what.append(f"temperature {' against '.join(temps)}")
    elif len(trial.temps) > 1:
        what.append(f"temperature {trial.temperature(pairing.first.temp)}")
    return {
        "pairing": pairing,
        "trial": label,
        "link": link,
        "what": ", ".join(what),
        "cells": [
            {
                "metric": metric,
                "found": found,
                "effect": effect(metric, found, confidence),
                "lines": list(_lines(pairing, metric, found)),
            }
            if (found := _found(pairing, metric))
            else None
            for metric in metrics
        ],
    }


def _lines(pairing: Pairing, metric: Metric, found: Difference | Ratio) -> Iterator[str]:
    """What stands below a difference or ratio."""
    yield f"{p_equation('p', found.permutation_p)}, {p_equation('q', found.q_value)}"
    ends = found.first, found.second
    if pairing.kind == "interaction":
        for side, value in zip((pairing.first, pairing.second), ends, strict=True):
            size = ratio(value) if isinstance(found, Ratio) else points(value, signed=True)
            yield f"{part_name(side.subgroup or '')}: {size}"
    elif isinstance(found, Ratio):
        yield f"{' → '.join(map(significant, ends))} {metric.unit}".strip()
    else:
        yield f"{' → '.join(map(points, ends))} %"
    if isinstance(found, Difference) and found.equivalent:
        doubted = "" if found.margin_trusted else ", too few items or clusters to rely on"
        yield f"equivalent within ±{points(found.margin)}{doubted}"
    if found.declared is not None:
        yield _DECLARED[found.declared]


def in_words(families: Mapping[str, int]) -> list[str]:
    """Return how many tests were corrected together, in words."""
    of_amounts = families["amounts"]
    found = [counted(families["shares"], "test")]
    return [*found, f"of amounts {counted(of_amounts, 'test')}"] if of_amounts else found


def pairs_data(
    comparisons: Comparisons, trials: Sequence[Shown], metrics: Sequence[Metric]
) -> dict[str, Any]:
    """Return what the page's script needs to show any two trials."""
    pairs: dict[str, list[dict[str, Any]]] = {}
    for each in comparisons.of_kind("trials"):
        key = f"{each.first.trial},{each.second.trial}"
        pairs.setdefault(key, []).append(_arm_data(each, metrics))
    return {
        "trials": [each.label for each in trials],
        "arms": [
            {condition: arm.name for condition, arm in each.trial.arms.items()} for each in trials
        ],
        "level": round(1 - comparisons.confidence, 9),
        "metrics": [
            {"name": each.label, "better": each.better, "kind": each.kind} for each in metrics
        ],
        "tasks": {
            name: task.label for each in trials for name, task in tasks_of(each.trial).items()
        },
        "pairs": pairs,
    }


def _arm_data(pairing: Pairing, metrics: Iterable[Metric]) -> dict[str, Any]:
    return {
        "task": pairing.task,
        "temp": pairing.first.temp,
        "arms": [pairing.first.condition, pairing.second.condition],
        "items": pairing.n_items,
        "clusters": pairing.n_clusters,
        "same": pairing.same_answers,
        "metrics": [
            _rounded(found) if (found := _found(pairing, each)) else None for each in metrics
        ],
    }


def _rounded(found: Difference | Ratio) -> list[float | str | None]:
    """Means, change and interval (shares in points), p, q, and any doubt."""
    change, scale = (found.ratio, 1) if isinstance(found, Ratio) else (found.difference, 100)
    values = (found.first, found.second, change, found.ci_low, found.ci_high)
    return [
        *(None if each is None else float(f"{scale * each:.6g}") for each in values),
        *(float(f"{each:.4g}") for each in (found.permutation_p, found.q_value)),
        doubt(found),
    ]
