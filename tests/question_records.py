"""The records of question answering, with the columns of its metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from workflow_scripts.core import records
from workflow_scripts.scoring.items import TrialScorer
from workflow_scripts.tasks.question_answering import AnsweredQuestion, QuestionAnswering
from workflow_scripts.tasks.registry import TASKS
from workflow_scripts.tasks.settings import ScoreSettings

Item = AnsweredQuestion
ItemScores = records.ItemScores.with_metrics(QuestionAnswering.metrics)
SampleOutcome = records.SampleOutcome.with_columns(
    QuestionAnswering.metrics, QuestionAnswering.details
)
QUESTIONS = {name: TASKS[name] for name in ("open_book", "closed_book")}
"""The tasks of question answering by name."""

METRICS = tuple(metric.name for metric in QuestionAnswering.metrics)


def scored(
    predictions: Sequence[records.Prediction],
    items: Mapping[str, Item],
    settings: ScoreSettings,
    errors: Sequence[records.ErrorRow] = (),
) -> tuple[list[records.ItemScores], list[records.SampleOutcome]]:
    """The rows of per_item_scores.csv and of outcomes.csv."""
    scorer = TrialScorer(QUESTIONS, items, settings)
    outcomes = list(scorer.outcomes(predictions, errors))
    return list(scorer.averaged()), outcomes


def item_scores(
    predictions: Sequence[records.Prediction], items: Mapping[str, Item], settings: ScoreSettings
) -> list[records.ItemScores]:
    """The rows of per_item_scores.csv."""
    return scored(predictions, items, settings)[0]
