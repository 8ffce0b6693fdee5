"""The command that scores predictions: per_item_scores.csv, outcomes.csv and metrics.json.

Each task scores its own responses (`workflow_scripts.tasks`). Per item, a score is the mean over
the item's samples.
"""

from __future__ import annotations

import argparse
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..answers.parts import ParseSettings
from ..core.errors import UserError, command
from ..core.files import read_csv, read_settings, write_csv
from ..core.metric import Metric
from ..core.records import ErrorRow, Item, ItemScores, Prediction, SampleOutcome
from ..core.seals import SealWriter, add_seal_argument
from ..metrics.own import OwnScorer
from ..tasks.items import read_items
from ..tasks.registry import TASKS, details_of, metrics_of, options_of
from ..tasks.settings import ScoreSettings
from ..tasks.task import Sample, Score
from .completeness import asked, check_complete, item_key
from .tables import write_metrics


@dataclass(frozen=True)
class Scored:
    """The scores of responses, in the order of their predictions."""

    samples: Sequence[Sample]
    scores: Sequence[Score]
    own_metrics: tuple[Metric, ...] = ()

    @property
    def tasks(self) -> list[str]:
        """The tasks of the responses."""
        return sorted({sample.prediction.type for sample in self.samples})

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The metrics of these tasks, and behind them the user's own."""
        return (*metrics_of(self.tasks), *self.own_metrics)

    @property
    def outcome_record(self) -> type[SampleOutcome]:
        """The record of a row of outcomes.csv."""
        return SampleOutcome.with_columns(self.metrics, details_of(self.tasks))


def score(
    predictions: Sequence[Prediction], items: Mapping[str, Item], settings: ScoreSettings
) -> Scored:
    """Score responses, those of each task together.

    Args:
        predictions: the responses.
        items: by `Item.key`.
        settings: how to score.

    Raises:
        UserError: naming a prediction without its item, or an item that cannot be scored.
    """
    samples = [Sample(_item(prediction, items), prediction) for prediction in predictions]
    scores: dict[int, Score] = {}
    for task in sorted({prediction.type for prediction in predictions}):
        numbers = [n for n, prediction in enumerate(predictions) if prediction.type == task]
        options = options_of(task, settings.options)
        scorer = TASKS[task].scorer(settings, options)
        found = scorer([samples[number] for number in numbers])
        scores.update(zip(numbers, found, strict=True))
    own = [OwnScorer(name, metric) for name, metric in settings.own_metrics.items()]
    return Scored(
        samples,
        [_with_own(scores[number], sample, own) for number, sample in enumerate(samples)],
        tuple(metric.declaration(name) for name, metric in settings.own_metrics.items()),
    )


def _with_own(found: Score, sample: Sample, own: Sequence[OwnScorer]) -> Score:
    if not own:
        return found
    item, response = sample.item, sample.prediction.response_text
    return replace(
        found, metrics={**found.metrics, **{each.name: each(item, response) for each in own}}
    )


def _item(prediction: Prediction, items: Mapping[str, Item]) -> Item:
    item = items.get(item_key(prediction))
    if item is None:
        raise UserError(
            f"prediction {prediction.custom_id!r}: its item {item_key(prediction)!r} is not in "
            "the item files"
        )
    return item


def averaged(scored: Scored) -> Iterator[ItemScores]:
    """The scores of items: means over their samples, sorted by item, type, condition and temp."""
    record = ItemScores.with_metrics(scored.metrics)
    groups: dict[tuple[str, str, str, str], list[Score]] = defaultdict(list)
    for (_, row), found in zip(scored.samples, scored.scores, strict=True):
        groups[item_key(row), row.type, row.condition, row.temp].append(found)
    for group in sorted(groups):
        values: dict[str, str | float | None] = dict(
            zip(("item_key", "type", "condition", "temp"), group, strict=True)
        )
        for metric in scored.metrics:
            of_samples = [each.metrics.get(metric.name) for each in groups[group]]
            measured = [value for value in of_samples if value is not None]
            mean, std = _mean_and_std(measured) or (None, None)
            values[metric.name], values[f"{metric.name}_std"] = mean, std
        yield record.model_validate(values)


def _mean_and_std(values: Sequence[float]) -> tuple[float, float] | None:
    """Mean and sample standard deviation (n - 1; 0 for one value); ``None`` without values."""
    n = len(values)
    if n < 2:
        return (values[0], 0.0) if values else None
    mean = math.fsum(values) / n
    squares = math.fsum((value - mean) ** 2 for value in values)
    return mean, math.sqrt(squares / (n - 1))


def outcomes(scored: Scored, errors: Iterable[ErrorRow]) -> Iterator[SampleOutcome]:
    """The rows of outcomes.csv: all requests, the answered ones first."""
    record = scored.outcome_record
    for (_, row), found in zip(scored.samples, scored.scores, strict=True):
        yield record.model_validate(
            {**_identity(row), "outcome": found.outcome, **found.metrics, **found.details}
        )
    for error in errors:
        yield record.model_validate({**_identity(error), "outcome": "failed"})


def _identity(row: Prediction | ErrorRow) -> dict[str, Any]:
    return {
        "custom_id": row.custom_id,
        "item_key": item_key(row),
        "type": row.type,
        "condition": row.condition,
        "temp": row.temp,
        "sample_index": row.sample_index,
    }


@command
def main() -> None:
    """Parse arguments and write the three files."""
    parser = argparse.ArgumentParser(description="Score predictions against gold answers.")
    parser.add_argument("--predictions", type=Path, required=True, help="predictions.csv")
    parser.add_argument("--errors", type=Path, required=True, help="errors.csv")
    parser.add_argument(
        "--parse-settings", type=Path, required=True, help="ParseSettings as JSON: what was asked"
    )
    parser.add_argument("--items", type=Path, required=True, nargs="+", help="item files (JSONL)")
    parser.add_argument("--settings", type=Path, required=True, help="ScoreSettings as JSON")
    parser.add_argument("--output", type=Path, required=True, help="per_item_scores.csv")
    parser.add_argument("--outcomes", type=Path, required=True, help="outcomes.csv")
    parser.add_argument("--metrics", type=Path, required=True, help="metrics.json: their columns")
    add_seal_argument(parser)
    arguments = parser.parse_args()

    settings = read_settings(arguments.settings, ScoreSettings)
    parts = read_settings(arguments.parse_settings, ParseSettings).parts
    read = [arguments.predictions, arguments.errors, *arguments.items, *parts.input_files()]
    seal = SealWriter(arguments.seal, read)
    items = read_items(arguments.items)
    predictions = list(read_csv(arguments.predictions, Prediction))
    errors = list(read_csv(arguments.errors, ErrorRow))
    check_complete(asked(parts), predictions, errors, items)
    scored = score(predictions, items, settings)
    write_csv(arguments.output, ItemScores.with_metrics(scored.metrics), averaged(scored))
    write_csv(arguments.outcomes, scored.outcome_record, outcomes(scored, errors))
    write_metrics(arguments.metrics, scored.metrics)
    seal.seal(arguments.output, arguments.outcomes, arguments.metrics)


if __name__ == "__main__":
    main()
