"""The command that scores predictions: per_item_scores.csv, outcomes.csv and metrics.json.

Each task scores the final answers of its responses (`workflow_scripts.tasks`,
`workflow_scripts.metrics.final_answer`). Per item, a score is the mean over
the item's samples.
"""

from __future__ import annotations

import argparse
import itertools
import math
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..core.errors import UserError, command
from ..core.files import read_csv, read_settings, write_csv
from ..core.metric import TOKEN_PROBABILITY, Metric
from ..core.records import Answer, ErrorRow, Item, ItemScores, Prediction, SampleOutcome
from ..core.seals import SealWriter, add_seal_argument
from ..metrics.final_answer import final_answer, without_reasoning
from ..metrics.own import OwnScorer
from ..retrieval.retrieved import Retrieved, RetrievedOnDisk, add_retrieved_argument
from ..tasks.given import Found
from ..tasks.items import read_items
from ..tasks.registry import TASKS, details_of, metrics_of, options_of
from ..tasks.score_tables import write_metrics
from ..tasks.settings import ScoreSettings
from ..tasks.task import Sample, Score
from .completeness import check_complete
from .judged import Verdicts
from .settings import TrialScoreSettings
from .verdicts import VerdictRow

_Group = tuple[str, str, str, str]
"""Item, task, condition and temperature."""

_Values = tuple[float | None, ...]
"""One sample's value of each metric."""

_CHUNK = 2_000
"""Responses that are scored together: an entailment model is fast with many at a time."""


class TrialScorer:
    """Scores the responses of a trial, a chunk at a time, so that memory does not grow with them.

    Args:
        tasks: the tasks of the trial, whose metrics are the columns.
        items: by `Item.key`.
        settings: how to score.
        verdicts: what judges and people say of the responses.
        likely: the token probability of responses by custom_id, where it is known.
        retrieved: the passages that were found for the items of arms that search.
    """

    def __init__(
        self,
        tasks: Iterable[str],
        items: Mapping[str, Item],
        settings: ScoreSettings,
        verdicts: Verdicts | None = None,
        likely: Mapping[str, float] | None = None,
        retrieved: Retrieved | None = None,
    ) -> None:
        self._verdicts = verdicts or Verdicts({}, [])
        self._likely = likely or {}
        self._found = Found(retrieved or {})
        tasks = self._tasks = list(tasks)
        own = settings.own_metrics
        decided_by = settings.decided_by({item.dataset for item in items.values()})
        decided = {TASKS[task].correctness for task in tasks}
        self.metrics: tuple[Metric, ...] = (
            *(
                replace(metric, decided_by=decided_by) if metric.name in decided else metric
                for metric in metrics_of(tasks)
            ),
            *(metric.declaration(name) for name, metric in own.items()),
            *self._verdicts.metrics,
        )
        details: dict[str, type[float] | type[str]] = dict(details_of(tasks))
        if likely:
            details[TOKEN_PROBABILITY.column] = float
        self.outcome_record = SampleOutcome.with_columns(self.metrics, details)
        self._items = items
        self._own_options = settings.options_of_arms
        by_condition = {"": settings.options, **settings.options_of_arms}  # "": all others
        self._scorers = {
            (task, condition): TASKS[task].scorer(settings, options_of(task, options))
            for task in tasks
            for condition, options in by_condition.items()
        }
        self._own = [OwnScorer(name, metric) for name, metric in own.items()]
        self._of_items: dict[_Group, list[_Values]] = defaultdict(list)

    def outcomes(
        self, predictions: Iterable[Prediction], errors: Iterable[ErrorRow]
    ) -> Iterator[SampleOutcome]:
        """Yield the rows of outcomes.csv: all requests, the answered ones first.

        The scores that `averaged` gives are those of the responses that were gone through.

        Raises:
            UserError: naming a prediction without its item, or an item that cannot be scored.
        """
        rows = iter(predictions)
        while chunk := list(itertools.islice(rows, _CHUNK)):
            yield from self._score(chunk)
        for error in errors:
            row = {**_identity(error), "outcome": "failed"}
            yield self.outcome_record.model_validate(row)

    def averaged(self) -> Iterator[ItemScores]:
        """Yield the rows of per_item_scores.csv: means over the samples of each item so far.

        Sorted by item, type, condition and temp.
        """
        record = ItemScores.with_metrics(self.metrics)
        for group, samples in sorted(self._of_items.items()):
            values: dict[str, str | float | None] = dict(
                zip(("item_key", "type", "condition", "temp"), group, strict=True)
            )
            for metric, of_samples in zip(self.metrics, zip(*samples, strict=True), strict=True):
                measured = [value for value in of_samples if value is not None]
                mean, std = _mean_and_std(measured) or (None, None)
                values[metric.name], values[f"{metric.name}_std"] = mean, std
            yield record.model_validate(values)

    def _item(self, row: Prediction) -> Item:
        item = self._items.get(row.item_key)
        if item is None or row.type not in self._tasks:
            raise UserError(
                f"prediction {row.custom_id!r}: its item {row.item_key!r} is not in the item "
                f"files of task {row.type}"
            )
        return item

    def _score(self, chunk: Sequence[Prediction]) -> Iterator[SampleOutcome]:
        chunk = [_with_final_answer(prediction) for prediction in chunk]
        said = self._verdicts
        samples = [
            Sample(
                self._item(row),
                row,
                said.by_people(row.custom_id),
                said.by_judges(row.custom_id),
                said.reaction(row.custom_id),
                self._found.passages(row),
            )
            for row in chunk
        ]
        scores: dict[int, Score] = {}
        for (task, condition), scorer in self._scorers.items():
            numbers = [
                number
                for number, row in enumerate(chunk)
                if row.type == task
                and (row.condition if row.condition in self._own_options else "") == condition
            ]
            found = scorer([samples[number] for number in numbers])
            scores.update(zip(numbers, found, strict=True))
        for number, (item, row, *_) in enumerate(samples):
            score = scores[number]
            metrics = {
                **score.metrics,
                **{each.name: each(item, row.response_text) for each in self._own},
                **said.scores(row.custom_id),
            }
            values = tuple(metrics.get(metric.name) for metric in self.metrics)
            group = (row.item_key, row.type, row.condition, row.temp)
            item_key, task, condition, temp = map(sys.intern, group)  # many rows share them
            self._of_items[item_key, task, condition, temp].append(values)
            details = dict(score.details)
            if (likely := self._likely.get(row.custom_id)) is not None:
                details[TOKEN_PROBABILITY.column] = likely
            yield self.outcome_record.model_validate(
                {**_identity(row), "outcome": score.outcome, **metrics, **details}
            )


def noting(answers: Iterable[Answer], likely: dict[str, float]) -> Iterator[Answer]:
    """Yield answers, and note the geometric mean of the probabilities of each one's tokens."""
    for row in answers:
        if row.logprob_mean is not None:
            likely[row.custom_id] = round(math.exp(row.logprob_mean), 6)
        yield row


def _with_final_answer(row: Prediction) -> Prediction:
    """Return the row as all metrics see it."""
    scored = without_reasoning if TASKS[row.type].scored_whole else final_answer
    text = scored(row.response_text)
    return row if text == row.response_text else row.model_copy(update={"response_text": text})


def _mean_and_std(values: Sequence[float]) -> tuple[float, float] | None:
    """Mean and sample standard deviation (n - 1; 0 for one value); ``None`` without values."""
    n = len(values)
    if n < 2:
        return (values[0], 0.0) if values else None
    mean = math.fsum(values) / n
    squares = math.fsum((value - mean) ** 2 for value in values)
    return mean, math.sqrt(squares / (n - 1))


def _identity(row: Prediction | ErrorRow) -> dict[str, Any]:
    return {
        "custom_id": row.custom_id,
        "item_key": row.item_key,
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
    parser.add_argument("--answers", type=Path, required=True, help="answers.csv: what was asked")
    parser.add_argument("--items", type=Path, required=True, nargs="+", help="item files (JSONL)")
    parser.add_argument("--settings", type=Path, required=True, help="ScoreSettings as JSON")
    parser.add_argument("--verdicts", type=Path, nargs="?", help="verdicts.csv, if any")
    parser.add_argument("--output", type=Path, required=True, help="per_item_scores.csv")
    parser.add_argument("--outcomes", type=Path, required=True, help="outcomes.csv")
    parser.add_argument("--metrics", type=Path, required=True, help="metrics.json: their columns")
    add_retrieved_argument(parser)
    add_seal_argument(parser)
    arguments = parser.parse_args()

    settings = read_settings(arguments.settings, TrialScoreSettings)
    read = [arguments.predictions, arguments.errors, arguments.answers, *arguments.items]
    read += [arguments.verdicts] if arguments.verdicts else []
    read += dict.fromkeys(each.path for each in arguments.retrieved)
    seal = SealWriter(arguments.seal, read)
    items = read_items(arguments.items)
    likely: dict[str, float] = {}
    check_complete(
        noting(read_csv(arguments.answers, Answer), likely),
        read_csv(arguments.predictions, Prediction),
        read_csv(arguments.errors, ErrorRow),
        items,
    )
    tasks = sorted(path.stem for path in arguments.items)
    rows = read_csv(arguments.verdicts, VerdictRow) if arguments.verdicts else []
    verdicts = Verdicts(settings.judges, rows)
    retrieved = RetrievedOnDisk(arguments.retrieved)
    scorer = TrialScorer(tasks, items, settings, verdicts, likely, retrieved)
    outcomes = scorer.outcomes(
        read_csv(arguments.predictions, Prediction), read_csv(arguments.errors, ErrorRow)
    )
    write_csv(arguments.outcomes, scorer.outcome_record, outcomes)
    write_csv(arguments.output, ItemScores.with_metrics(scorer.metrics), scorer.averaged())
    write_metrics(arguments.metrics, scorer.metrics)
    seal.seal(arguments.output, arguments.outcomes, arguments.metrics)


if __name__ == "__main__":
    main()
