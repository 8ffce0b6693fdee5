"""Readers of per_item_scores.csv and outcomes.csv, whose columns depend on the trial's tasks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from ..core.errors import UserError
from ..core.files import csv_rows, read_csv
from ..core.metric import Metric
from ..core.records import ItemScores, SampleOutcome
from ..tasks.registry import TASKS, details_of, known_metrics


def read_item_scores(path: Path) -> Iterator[ItemScores]:
    """Read the rows of a per_item_scores.csv as records; errors as in `read_csv`."""
    return read_csv(path, ItemScores.with_metrics(score_columns(path)))


def score_columns(path: Path) -> tuple[Metric, ...]:
    """Return the metrics whose columns a per_item_scores.csv has.

    Raises:
        UserError: it has other columns.
    """
    _, header = next(csv_rows(path), (1, []))
    metrics = metrics_in(header)
    expected = list(ItemScores.with_metrics(metrics).model_fields)
    if header != expected:
        raise UserError(f"{path}, line 1: the columns are {header}, expected {expected}")
    return metrics


def metrics_in(columns: Sequence[str]) -> tuple[Metric, ...]:
    """Return the metrics among the names of columns."""
    known = known_metrics()
    return tuple(known[name] for name in columns if name in known)


def read_outcomes(path: Path) -> Iterator[SampleOutcome]:
    """Read the rows of an outcomes.csv; errors as in `read_csv`."""
    _, header = next(csv_rows(path), (1, []))
    details = {name: kind for name, kind in details_of(TASKS).items() if name in header}
    return read_csv(path, SampleOutcome.with_columns(metrics_in(header), details))
