"""The comparisons of a trial, each with the declarations of its task and of what it measures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..comparisons.records import Significance
from ..config.trial import Trial
from ..core.errors import UserError
from ..core.metric import Metric
from ..stats.amounts import AmountEstimate
from ..stats.comparison import Comparison
from ..stats.estimates import Estimate
from ..tasks.registry import TASKS
from ..tasks.task import Task

AnyEstimate = Estimate | AmountEstimate
"""A difference of shares, or a ratio of amounts."""


@dataclass(frozen=True)
class Contrast:
    """One comparison; ``metrics`` are those that it has an estimate of, the leading ones first."""

    treatment: str
    temp: str
    task: Task
    metrics: tuple[Metric, ...]
    result: Comparison

    @property
    def anchor(self) -> str:
        """Its id on the page."""
        return f"contrast-{self.treatment}-{self.temp}-{self.task.name}"

    @property
    def shares(self) -> list[Metric]:
        """The metrics that are compared by differences."""
        return [each for each in self.metrics if each.name in self.result.metrics]

    @property
    def amounts(self) -> list[Metric]:
        """The metrics that are compared by ratios."""
        return [each for each in self.metrics if each.name in self.result.amounts]

    def estimate(self, metric: Metric) -> AnyEstimate:
        """Return the estimate of one of its metrics."""
        return self.result.metrics.get(metric.name) or self.result.amounts[metric.name]


def tasks_of(trial: Trial) -> dict[str, Task]:
    """Return the tasks of a trial by name, in the order in which the registry lists them."""
    used = {name: TASKS[name] for name in trial.decoding.max_new_tokens}
    return {name: used[name] for name in TASKS if name in used}


def leading_first(metrics: Iterable[Metric]) -> dict[str, Metric]:
    """Return metrics by name, each once, first those that decide the verdict."""
    ordered = sorted(metrics, key=lambda each: (each.leads == 0, each.leads))
    return {each.name: each for each in ordered}


def contrasts(
    trial: Trial, significance: Significance, metrics: Iterable[Metric]
) -> list[Contrast]:
    """Return all comparisons of a trial, in the order of the file.

    Args:
        trial: which one.
        significance: its comparisons.
        metrics: what its answers were scored by.

    Raises:
        UserError: the file has a task or a metric that the trial has not.
    """
    tasks, declared = tasks_of(trial), leading_first(metrics)
    return [
        _contrast(treatment, temp, task, result, tasks, declared)
        for treatment, by_temp in significance.results.items()
        for temp, by_task in by_temp.items()
        for task, result in by_task.items()
    ]


def _contrast(
    treatment: str,
    temp: str,
    task: str,
    result: Comparison,
    tasks: Mapping[str, Task],
    metrics: Mapping[str, Metric],
) -> Contrast:
    measured = {*result.metrics, *result.amounts}
    for what, names, declared in (("task", {task}, tasks), ("metric", measured, metrics)):
        if unknown := sorted(names - declared.keys()):
            raise UserError(
                f"significance.json has the {what} {unknown[0]!r}, which this trial has not; "
                "delete the file and run again to make it again"
            )
    shown = tuple(metric for name, metric in metrics.items() if name in measured)
    return Contrast(treatment, temp, tasks[task], shown, result)


def leading(metrics: Iterable[Metric]) -> list[Metric]:
    """Return the metrics that decide the verdict."""
    return [each for each in metrics if each.leads]


def foremost(metrics: Iterable[Metric]) -> list[Metric]:
    """Return the metrics of overviews: the leading ones, those that count items, and amounts."""
    return list(leading_first(each for each in metrics if each.in_overviews).values())
