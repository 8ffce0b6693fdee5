"""The tasks by name: a new one is a module, a template and a line here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from ..core.block import Block
from ..core.metric import Metric
from ..core.records import Details, TaskName
from ..core.registry import NameIn, Registry
from .task import Task

TASKS: Registry[Task] = Registry(
    "task",
    "assay.tasks",
    {
        "open_book": "workflow_scripts.tasks.question_answering:OPEN_BOOK",
        "closed_book": "workflow_scripts.tasks.question_answering:CLOSED_BOOK",
        "rag": "workflow_scripts.tasks.rag:RAG",
        "structured": "workflow_scripts.tasks.structured:STRUCTURED",
        "question_intent": "workflow_scripts.tasks.jobs:QUESTION_INTENT",
        "plan_adaptation": "workflow_scripts.tasks.jobs:PLAN_ADAPTATION",
    },
)

KnownTask = Annotated[TaskName, NameIn(TASKS)]
"""The name of a task that there is."""


def metrics_of(tasks: Iterable[str]) -> tuple[Metric, ...]:
    """Return the metrics of some tasks, each once, in the order of the tasks and of their columns.

    Raises:
        UserError: there is no such task.
    """
    found = {metric.name: metric for name in tasks for metric in TASKS[name].metrics}
    return tuple(found.values())


def known_metrics() -> dict[str, Metric]:
    """Return the metrics of all tasks by name."""
    return {metric.name: metric for metric in metrics_of(TASKS)}


def details_of(tasks: Iterable[str]) -> Details:
    """Return the further columns of outcomes.csv that some tasks have."""
    return {column: kind for name in tasks for column, kind in TASKS[name].details.items()}


def options_of(task: str, given: Mapping[str, Mapping[str, Any]]) -> Block:
    """Return the options of a task: those that are given for it, and its defaults."""
    return TASKS[task].options.model_validate(given.get(task, {}))
