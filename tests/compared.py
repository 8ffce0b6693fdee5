"""Comparisons of records in memory, as their files have them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import SimpleNamespace
from typing import Any

from workflow_scripts.comparisons.contrasts import analyse
from workflow_scripts.comparisons.score_files import scores_of, table_of
from workflow_scripts.comparisons.settings import StatsSettings
from workflow_scripts.core.records import Item, ItemScores
from workflow_scripts.stats.settings import Stats


def analysed(
    rows: Iterable[ItemScores], items: Iterable[Item], settings: StatsSettings, **further: Any
) -> SimpleNamespace:
    """What significance.json, selective_risk.json and power.json hold."""
    table = table_of(items)
    outputs = analyse(scores_of(rows, table), table, settings, **further)
    return SimpleNamespace(
        **{name: content.model_dump(mode="json") for name, content in vars(outputs).items()}
    )


def significance(results: dict[str, Any], **given: Any) -> dict[str, Any]:
    """A significance.json without declaration and waves."""
    empty = {"registration": None, "sequential": None, "confidence": 0.95, "false_answers": {}}
    return {"multiplicity": {"families": {}}, **empty, "results": results, **given}


def contrasts(
    rows: Iterable[ItemScores], items: Mapping[str, Item], settings: Stats
) -> dict[str, Any]:
    """What significance.json holds."""
    outputs = analysed(rows, items.values(), StatsSettings(stats=settings))
    found: dict[str, Any] = outputs.significance
    return found
