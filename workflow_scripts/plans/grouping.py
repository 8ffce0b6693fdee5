"""Rows in groups, and the values of each group as one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .parameters import Function, Period
from .table import Codes, Table
from .values import Dates, Floats

_PERIODS: tuple[tuple[Period, int], ...] = (
    ("day", 1),
    ("week", 7),
    ("month", 30),
    ("quarter", 91),
    ("year", 365),
)
_MOST_PERIODS = 60
_TOO_MANY_PERIODS = 1000
_EPOCH_WEEKDAY = 3  # 1970-01-01 was a Thursday


@dataclass(frozen=True)
class Groups:
    """Rows in groups: of each row the number of its group, -1 for none, and the groups' labels.

    ``period``: what the groups are if they are spans of time; ``None`` if not.
    """

    codes: Codes
    labels: list[str]
    period: Period | None = None

    @property
    def ungrouped(self) -> int:
        """The number of rows without a group."""
        return int((self.codes < 0).sum())

    def kept(self, groups: npt.NDArray[np.int64]) -> Groups:
        """Return some of the groups, in this order; the rows of others have none."""
        new = np.full(len(self.labels) + 1, -1, dtype=np.int64)
        new[groups] = np.arange(len(groups))
        return Groups(new[self.codes], [self.labels[each] for each in groups], self.period)


def grouped(table: Table, name: str, period: Period | None = None) -> Groups:
    """Return the rows grouped by a column's values: dates by spans of time, in order."""
    if table.type_of(name) == "date":
        return by_period(table.dates(name), period)
    column = table.columns[name]
    used = np.flatnonzero(table.used(name))
    new = np.full(len(column.labels) + 1, -1, dtype=np.int64)
    new[used] = np.arange(len(used))
    return Groups(new[column.codes], column.labels.some(used))


def by_period(dates: Dates, period: Period | None = None) -> Groups:
    """Return rows grouped by spans of time, those in between without rows included.

    Without a ``period``, or if it makes more than 1,000 of them: the shortest that makes at most
    60 of them, or years.
    """
    there = ~np.isnat(dates)
    if not there.any():
        return Groups(np.full(len(dates), -1), [], period)
    days = dates[there].astype("datetime64[D]").astype(np.int64)
    span = int(days.max() - days.min()) + 1
    chosen: Period = next(
        (name for name, length in _PERIODS if span <= length * _MOST_PERIODS), "year"
    )
    if period and span <= dict(_PERIODS)[period] * _TOO_MANY_PERIODS:
        chosen = period
    numbers = _numbered(dates[there], days, chosen)
    first = numbers.min()
    codes = np.full(len(dates), -1, dtype=np.int64)
    codes[there] = numbers - first
    labels = [_label(int(each), chosen) for each in range(first, numbers.max() + 1)]
    return Groups(codes, labels, chosen)


def combined(groups: Groups, values: Floats | None, function: Function) -> Floats:
    """Return one number for each group; NaN where it has no value, but 0 for a sum or a count.

    ``values``: of each row; ``None``: rows are counted.
    """
    there = groups.codes >= 0
    if values is not None:
        there &= ~np.isnan(values)
    codes, number = groups.codes[there], len(groups.labels)
    counts = np.bincount(codes, minlength=number).astype(np.float64)
    if function == "count" or values is None:
        return counts
    found = values[there]
    if function in {"sum", "mean"}:
        sums = np.bincount(codes, weights=found, minlength=number).astype(np.float64)
        mean = function == "mean"
        return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan) if mean else sums
    order = np.lexsort((found, codes))
    return np.array([_of_sorted(each, function) for each in _split(found[order], counts)])


def values_by_group(groups: Groups, values: Floats) -> list[Floats]:
    """Return the values of each group, sorted."""
    there = (groups.codes >= 0) & ~np.isnan(values)
    codes, found = groups.codes[there], values[there]
    order = np.lexsort((found, codes))
    return _split(found[order], np.bincount(codes, minlength=len(groups.labels)))


def _split(values: Floats, counts: Any) -> list[Floats]:
    return np.split(values, np.cumsum(counts.astype(np.int64))[:-1]) if len(counts) else []


def _of_sorted(values: Floats, function: Function) -> float:
    if not len(values):
        return np.nan
    if function == "median":
        return float(np.median(values))
    return float(values[0] if function == "minimum" else values[-1])


def _numbered(dates: Dates, days: npt.NDArray[np.int64], period: Period) -> Any:
    if period == "day":
        return days
    if period == "week":
        return (days + _EPOCH_WEEKDAY) // 7
    months = dates.astype("datetime64[M]").astype(np.int64)
    return months // {"month": 1, "quarter": 3, "year": 12}[period]


def _label(number: int, period: Period) -> str:
    """The first day of a span of time."""
    if period == "day":
        return str(np.datetime64(number, "D"))
    if period == "week":
        return str(np.datetime64(number * 7 - _EPOCH_WEEKDAY, "D"))
    months = number * {"month": 1, "quarter": 3, "year": 12}[period]
    return str(np.datetime64(months, "M").astype("datetime64[D]"))
