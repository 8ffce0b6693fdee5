"""The command that compares each treatment with the control: significance.json."""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..config.schema import Stats
from ..errors import UserError, command
from ..files import read_csv, read_settings, write_json
from ..items import read_items
from ..records import Item, ItemScores
from .comparison import Comparison, Estimate, compare
from .multiplicity import benjamini_hochberg
from .pairs import pair

SCHEMA_VERSION = 1
CONTROL = "control"

Scores = dict[tuple[str, str], dict[str, dict[str, ItemScores]]]
"""(temp, type) -> condition -> item key -> scores."""


def contrasts(
    rows: Iterable[ItemScores], items: Mapping[str, Item], settings: Stats
) -> dict[str, Any]:
    """All comparisons of treatments with the control, as the content of significance.json."""
    scores = _by_condition(rows)
    conditions = {condition for arms in scores.values() for condition in arms}
    if CONTROL not in conditions or len(conditions) < 2:
        raise UserError(
            f"the scores have the conditions {sorted(conditions)}; a comparison needs "
            f"{CONTROL!r} and at least one treatment"
        )
    results: dict[str, dict[str, dict[str, Comparison]]] = {}
    for treatment in sorted(conditions - {CONTROL}):
        by_temp = results.setdefault(treatment, {})
        for (temp, task), arms in sorted(scores.items()):
            if arms.keys().isdisjoint((CONTROL, treatment)):
                continue
            pairs, unpaired = pair(arms.get(CONTROL, {}), arms.get(treatment, {}), items)
            by_temp.setdefault(temp, {})[task] = compare(
                pairs, unpaired, CONTROL, treatment, settings
            )
    families = _correct(
        comparison
        for by_temp in results.values()
        for by_task in by_temp.values()
        for comparison in by_task.values()
    )
    return {
        "schema_version": SCHEMA_VERSION,
        "control": CONTROL,
        "multiplicity": {
            "method": "Benjamini-Hochberg",
            "p_value": "permutation_p",
            "families": families,
        },
        "results": {
            treatment: {
                temp: {task: asdict(comparison) for task, comparison in by_task.items()}
                for temp, by_task in by_temp.items()
            }
            for treatment, by_temp in results.items()
        },
    }


def _by_condition(rows: Iterable[ItemScores]) -> Scores:
    scores: Scores = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        by_key = scores[row.temp, row.type][row.condition]
        if row.item_key in by_key:
            raise UserError(
                f"item {row.item_key!r} has two rows of scores for {row.type}, "
                f"{row.condition}, temp {row.temp}"
            )
        by_key[row.item_key] = row
    return scores


def _correct(comparisons: Iterable[Comparison]) -> dict[str, int]:
    """Fill in q values; the size of each family.

    All estimates over all items of a comparison are one family, those of all subgroups another:
    subgroups are looked at to explain, and must not make the main results harder to reach.
    """
    families: dict[str, list[Estimate]] = {"totals": [], "subgroups": []}
    for comparison in comparisons:
        families["totals"] += comparison.metrics.values()
        for subgroup in comparison.subgroups.values():
            families["subgroups"] += subgroup.metrics.values()
    for family in families.values():
        q_values = benjamini_hochberg([estimate.permutation_p for estimate in family])
        for estimate, q_value in zip(family, q_values, strict=True):
            estimate.q_value = q_value
    return {name: len(family) for name, family in families.items()}


@command
def main() -> None:
    """Parse arguments and write significance.json."""
    parser = argparse.ArgumentParser(description="Compare treatments with the control.")
    parser.add_argument("--scores", type=Path, required=True, help="per_item_scores.csv")
    parser.add_argument("--items", type=Path, required=True, nargs="+", help="item files (JSONL)")
    parser.add_argument("--settings", type=Path, required=True, help="the config's stats block")
    parser.add_argument("--output", type=Path, required=True, help="significance.json")
    arguments = parser.parse_args()

    settings = read_settings(arguments.settings, Stats)
    items = read_items(arguments.items)
    write_json(arguments.output, contrasts(read_csv(arguments.scores, ItemScores), items, settings))


if __name__ == "__main__":
    main()
