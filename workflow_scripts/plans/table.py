"""A table in memory: texts, read as numbers or dates when a tool needs them."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .profile import ColumnType
from .values import Dates, Floats, dates_in, missing_in, numbers_in

Codes = npt.NDArray[np.int64]

_MOST = 0.9
"""Share of a column's values that make its type; the others are unreadable."""

_GREATER_PART = 0.5

_TRIED = 1000
"""Different texts that are read first, so that a long column of words is not read twice."""

_YES_NO = ({"true", "false"}, {"yes", "no"}, {"y", "n"}, {"t", "f"})


class Labels:
    """The different texts of a column, each read at most once.

    Args:
        texts: a pyarrow array.
    """

    def __init__(self, texts: Any) -> None:
        self.texts = texts

    def __len__(self) -> int:
        return len(self.texts)

    @functools.cached_property
    def missing(self) -> npt.NDArray[np.bool_]:
        """Which of them stand for no value."""
        return missing_in(self.texts)

    @functools.cached_property
    def numbers(self) -> Floats:
        """Them as numbers, NaN where one does not read so."""
        return numbers_in(self.texts)

    @functools.cached_property
    def dates(self) -> Dates:
        """Them as dates in seconds, NaT where one does not read so."""
        return dates_in(self.texts)

    def some(self, places: Any) -> list[str]:
        """Return those at some places."""
        found: list[str] = self.texts.take(places).to_pylist()
        return found


@dataclass(frozen=True)
class Texts:
    """A column: its different texts, and which of them each row has, -1: none."""

    labels: Labels
    codes: Codes


class Table:
    """A table whose columns are read as needed, and only once.

    Args:
        columns: by name, all of one length.
        rows: their length.
        dates: columns that were already read as dates.
    """

    def __init__(
        self, columns: Mapping[str, Texts], rows: int, dates: Mapping[str, Dates] | None = None
    ) -> None:
        self.columns = dict(columns)
        self.rows = rows
        self._numbers: dict[str, Floats] = {}
        self._dates: dict[str, Dates] = {}
        self._read_dates = dict(dates or {})
        self._types: dict[str, tuple[ColumnType, int]] = {}

    def numbers(self, name: str) -> Floats:
        """Return a column's values as numbers: NaN where there is none, or it does not read so."""
        if name not in self._numbers:
            column = self.columns[name]
            self._numbers[name] = np.append(column.labels.numbers, np.nan)[column.codes]
        return self._numbers[name]

    def dates(self, name: str) -> Dates:
        """Return a column's values as dates in seconds: NaT as `numbers` has NaN."""
        if name not in self._dates:
            column = self.columns[name]
            read = self._read_dates.get(name)
            read = column.labels.dates if read is None else read
            self._dates[name] = np.append(read, np.datetime64("NaT", "s"))[column.codes]
        return self._dates[name]

    def type_of(self, name: str) -> ColumnType:
        """Return what most values of a column read as."""
        return self._type(name)[0]

    def unreadable(self, name: str) -> int:
        """Return the number of rows whose value does not read as the column's type."""
        return self._type(name)[1]

    def used(self, name: str) -> npt.NDArray[np.int64]:
        """Return the number of rows of each different text of a column."""
        column = self.columns[name]
        return np.bincount(column.codes[column.codes >= 0], minlength=len(column.labels))

    def picked(self, rows: npt.NDArray[np.bool_]) -> Table:
        """Return the table with some of its rows."""
        columns = {
            name: Texts(each.labels, each.codes[rows]) for name, each in self.columns.items()
        }
        return Table(columns, int(rows.sum()), self._read_dates)

    def with_columns(self, columns: Mapping[str, Texts]) -> Table:
        """Return the table with other texts in some columns."""
        return Table({**self.columns, **columns}, self.rows)

    def with_dates(self, dates: Mapping[str, Dates]) -> Table:
        """Return the table with the different texts of some columns read as these dates."""
        return Table(self.columns, self.rows, {**self._read_dates, **dates})

    def _type(self, name: str) -> tuple[ColumnType, int]:
        if name not in self._types:
            self._types[name] = self._typed(name)
        return self._types[name]

    def _typed(self, name: str) -> tuple[ColumnType, int]:
        labels = self.columns[name].labels
        counts = np.where(labels.missing, 0, self.used(name))
        values = int(counts.sum())
        if not values:
            return "empty", 0
        if name in self._read_dates:
            return "date", self._unread(counts, np.isnat(self._read_dates[name]))
        there = np.flatnonzero(counts)
        words = {each.lower() for each in labels.some(there[:4])}
        if len(there) < 4 and any(words <= pair for pair in _YES_NO):
            return "boolean", 0
        sample = np.unique(np.linspace(0, len(labels) - 1, _TRIED).astype(np.int64))
        tried = labels.texts.take(sample[counts[sample] > 0])
        if np.isfinite(numbers_in(tried)).mean() > _GREATER_PART / 2:
            unread = self._unread(counts, np.isnan(labels.numbers))
            if unread <= _GREATER_PART * values:
                return "number" if unread <= (1 - _MOST) * values else "mixed", unread
        if (~np.isnat(dates_in(tried))).mean() > _GREATER_PART / 2:
            unread = self._unread(counts, np.isnat(labels.dates))
            if unread <= (1 - _MOST) * values:
                return "date", unread
        return "text", 0

    @staticmethod
    def _unread(counts: npt.NDArray[np.int64], fails: npt.NDArray[np.bool_]) -> int:
        return int(counts[fails].sum())
