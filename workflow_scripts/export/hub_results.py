"""One arm's scores on benchmarks of the Hugging Face Hub, as a file for ``.eval_results/``.

Run as ``python -m workflow_scripts.export.hub_results --settings settings.json --items …
--scores per_item_scores.csv --provenance provenance.json --output TASK.control.t0.0.yaml``.

A model's repository on the Hub holds such files. The Hub shows them on the model's page and in the
leaderboard of the benchmark. Reference: https://huggingface.co/docs/hub/eval-results.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from ..core.errors import UserError, command
from ..core.files import read_settings, write_text
from ..core.metric import Metric
from ..core.records import Item, ItemScores
from ..report.provenance import Answered, Provenance
from ..tasks.items import read_items
from ..tasks.score_tables import read_item_scores, score_columns
from ..verify.files import require_unchanged
from .means import Mean, by_dataset, mean_score
from .settings import EvalSettings


def hub_results(
    settings: EvalSettings,
    items: Mapping[str, Item],
    scores: Iterable[ItemScores],
    metrics: Iterable[Metric],
    times: Answered | None,
) -> list[dict[str, Any]]:
    """Return an entry for each benchmark: the mean of its metric over the data set's items.

    Args:
        settings: the arm, and which of its data sets are benchmarks.
        items: of the task, by key.
        scores: rows of the trial; those of other arms are ignored.
        metrics: those of the trial.
        times: when the answers came.

    Raises:
        UserError: a benchmark's metric was not measured.
    """
    place = (settings.condition, settings.task, settings.temp)
    own = [row for row in scores if (row.condition, row.type, row.temp) == place]
    declared = {metric.name: metric for metric in metrics}
    rows = by_dataset(own, items)
    entries = []
    for dataset, benchmark in settings.benchmarks.items():
        metric = declared.get(benchmark.metric)
        own_rows = rows.get(dataset, [])
        found = mean_score(own_rows, items, metric, settings.confidence) if metric else None
        if metric is None or found is None:
            raise UserError(
                f"datasets.{dataset}.hub: {benchmark.metric!r} was not measured in "
                f"{settings.task}, condition {settings.condition}, temperature {settings.temp}"
            )
        named = {"id": benchmark.id, "task_id": benchmark.task_id, "revision": benchmark.revision}
        entry: dict[str, Any] = {
            "dataset": {name: value for name, value in named.items() if value is not None},
            "value": round(100 * found.value, 4),
        }
        if times is not None:
            entry["date"] = times.last.isoformat()
        entry["notes"] = _notes(settings, metric, found)
        entries.append(entry)
    return entries


def _notes(settings: EvalSettings, metric: Metric, found: Mean) -> str:
    facts = [
        f"{metric.label} in percent",
        f"prompt {settings.prompt}",
        f"temperature {settings.temperature}",
        f"{found.n_items} items",
    ]
    if found.low is not None and found.high is not None:
        level = f"{100 * settings.confidence:g}%"
        facts.append(f"{level} interval {100 * found.low:.2f} to {100 * found.high:.2f}")
    return ", ".join(facts)


@command
def main() -> None:
    """Write one arm's scores on benchmarks of the Hub."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--settings", type=Path, required=True, help="EvalSettings as JSON")
    parser.add_argument("--items", type=Path, required=True, nargs="+", help="item files (JSONL)")
    parser.add_argument("--scores", type=Path, required=True, help="per_item_scores.csv")
    parser.add_argument("--provenance", type=Path, required=True, help="provenance.json")
    parser.add_argument("--output", type=Path, required=True, help="the YAML file to write")
    arguments = parser.parse_args()
    require_unchanged([arguments.scores, arguments.provenance])
    entries = hub_results(
        read_settings(arguments.settings, EvalSettings),
        read_items(arguments.items),
        read_item_scores(arguments.scores),
        score_columns(arguments.scores),
        read_settings(arguments.provenance, Provenance).answered,
    )
    write_text(arguments.output, yaml.safe_dump(entries, sort_keys=False, allow_unicode=True))


if __name__ == "__main__":
    main()
