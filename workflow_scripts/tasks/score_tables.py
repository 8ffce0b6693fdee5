"""The tables of a trial's scores, whose columns depend on its tasks and on the user's own metrics.

metrics.json beside per_item_scores.csv and outcomes.csv declares their metrics, in the order of the
columns, so that every later stage knows what a column means.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from ..core.block import Block
from ..core.errors import UserError
from ..core.files import csv_rows, read_csv, read_settings, write_json
from ..core.metric import TOKEN_PROBABILITY, Metric
from ..core.records import ItemScores, SampleOutcome
from .registry import TASKS, details_of, known_metrics

METRICS_FILE = "metrics.json"


class MetricsFile(Block):
    """metrics.json."""

    metrics: list[Metric]


def write_metrics(path: Path, metrics: Iterable[Metric]) -> None:
    """Write the declarations of a trial's metrics."""
    write_json(path, {"metrics": [asdict(metric) for metric in metrics]})


def read_item_scores(path: Path) -> Iterator[ItemScores]:
    """Read the rows of a per_item_scores.csv as records; errors as in `read_csv`."""
    return read_csv(path, ItemScores.with_metrics(score_columns(path)))


def score_columns(path: Path) -> tuple[Metric, ...]:
    """Return the metrics whose columns a per_item_scores.csv has, in their order.

    Raises:
        UserError: it has columns that metrics.json does not declare.
    """
    header = _header(path)
    metrics = _declared(path, header)
    expected = list(ItemScores.with_metrics(metrics).model_fields)
    if header != expected:
        raise UserError(f"{path}, line 1: the columns are {header}, expected {expected}")
    return metrics


def read_outcomes(path: Path) -> Iterator[SampleOutcome]:
    """Read the rows of an outcomes.csv; errors as in `read_csv`."""
    header = _header(path)
    known = {**details_of(TASKS), TOKEN_PROBABILITY.column: float}
    details = {name: kind for name, kind in known.items() if name in header}
    return read_csv(path, SampleOutcome.with_columns(_declared(path, header), details))


def metrics_in(columns: Sequence[str]) -> tuple[Metric, ...]:
    """Return the metrics of registered tasks among the names of columns."""
    known = known_metrics()
    return tuple(known[name] for name in columns if name in known)


def _header(path: Path) -> list[str]:
    _, header = next(csv_rows(path), (1, []))
    return header


def _declared(path: Path, header: Sequence[str]) -> tuple[Metric, ...]:
    """The metrics among the columns of a table; without metrics.json none are the user's own."""
    declared = path.with_name(METRICS_FILE)
    if not declared.is_file():
        return metrics_in(header)
    metrics = read_settings(declared, MetricsFile).metrics
    return tuple(each for each in metrics if each.name in header)
