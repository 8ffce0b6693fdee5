"""The records of question answering, with the columns of its metrics."""

from __future__ import annotations

from workflow_scripts.core import records
from workflow_scripts.tasks.question_answering import AnsweredQuestion, QuestionAnswering

Item = AnsweredQuestion
ItemScores = records.ItemScores.with_metrics(QuestionAnswering.metrics)
SampleOutcome = records.SampleOutcome.with_columns(
    QuestionAnswering.metrics, QuestionAnswering.details
)
METRICS = tuple(metric.name for metric in QuestionAnswering.metrics)
