"""The tasks by name: a new one is a module, a template and a line here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, WithJsonSchema

from ..core.block import Block
from ..core.metric import Metric
from ..core.records import Details, TaskName
from ..core.registry import Registry
from .question_answering import CLOSED_BOOK, OPEN_BOOK
from .task import Task

TASKS: Registry[Task] = Registry(
    "task", "assay.tasks", {each.name: each for each in (OPEN_BOOK, CLOSED_BOOK)}
)


def _known(name: str) -> str:
    if name not in TASKS:
        raise ValueError(TASKS.unknown(name))
    return name


KnownTask = Annotated[
    TaskName, AfterValidator(_known), WithJsonSchema({"type": "string", "enum": list(TASKS)})
]
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
