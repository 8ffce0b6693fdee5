"""Tools that prepare a table, and tools whose result is a table of numbers."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from ..core.wording import counted
from .grouping import combined, grouped
from .parameters import (
    AnyColumn,
    Columns,
    DateColumn,
    DateColumns,
    Function,
    Keep,
    Method,
    NumberColumn,
    NumberColumns,
    Period,
    Threshold,
    Top,
)
from .profiling import measures
from .result import Cell, Result, amount
from .table import Labels, Table, Texts
from .values import Floats, dates_in

MOST_POINTS = 1500
"""Points of a figure; of more, some at equal distances are drawn."""

_MOST_COLUMNS = 12
_MOST_ANOMALIES = 50


def clean(
    table: Table,
    columns: Columns | None = None,
    duplicates: Keep = "keep",
    missing: Keep = "keep",
) -> Result:
    """Trim texts and unify words for missing values; drop repeated or incomplete rows if asked."""
    names = columns or list(table.columns)
    done = table.with_columns({name: _trimmed(table.columns[name]) for name in names})
    blanked = sum(
        int((table.columns[name].codes >= 0).sum() - (done.columns[name].codes >= 0).sum())
        for name in names
    )
    keep = np.ones(table.rows, dtype=bool)
    if duplicates == "drop":
        keep &= _first_of_equal(done)
    repeated = table.rows - int(keep.sum())
    if missing == "drop":
        for name in names:
            keep &= done.columns[name].codes >= 0
    incomplete = table.rows - repeated - int(keep.sum())
    return Result(
        finding=f"{counted(int(keep.sum()), 'row')} of {table.rows:,} are used.",
        columns=("what", "number"),
        rows=[
            ("words for a missing value", blanked),
            ("repeated rows dropped", repeated),
            ("incomplete rows dropped", incomplete),
        ],
        table=done.picked(keep),
    )


def parse_dates(table: Table, columns: DateColumns, day_first: bool | None = None) -> Result:
    """Read columns as dates; day_first decides dates such as 03/04/2024."""
    read = {name: dates_in(table.columns[name].labels.texts, day_first) for name in columns}
    done = table.with_dates(read)
    rows: list[Sequence[Cell]] = []
    for name in columns:
        dates = done.dates(name)
        there = dates[~np.isnat(dates)]
        first, last = (str(there.min()), str(there.max())) if len(there) else (None, None)
        rows.append((name, len(there), done.unreadable(name), first, last))
    unreadable = sum(done.unreadable(name) for name in columns)
    return Result(
        finding=f"{counted(len(columns), 'column')} read as dates.",
        columns=("column", "dates", "unreadable", "first", "last"),
        rows=rows,
        remarks=[f"{counted(unreadable, 'value')} could not be read as a date."]
        if unreadable
        else [],
        table=done,
    )


def summary(table: Table, columns: Columns | None = None) -> Result:
    """Describe columns: values, missing ones, mean, spread and quartiles, or the most frequent."""
    names = columns or list(table.columns)
    return Result(
        finding=f"{counted(table.rows, 'row')}, {counted(len(names), 'column')} described.",
        columns=(
            *("column", "values", "missing", "different", "mean", "standard deviation"),
            *("minimum", "lower quartile", "median", "upper quartile", "maximum"),
            *("most frequent", "its rows"),
        ),
        rows=[_described(table, name) for name in names],
    )


def aggregate(
    table: Table,
    by: AnyColumn,
    value: NumberColumn | None = None,
    function: Function = "sum",
    period: Period | None = None,
    top: Top = 20,
) -> Result:
    """Combine a column within the groups of another; without value, count rows."""
    groups = grouped(table, by, period)
    values = table.numbers(value) if value else None
    found = combined(groups, values, function)
    rows = combined(groups, values, "count")
    if groups.period:
        order, left = np.arange(len(found)), 0
    else:
        order, left = largest(found, top)
    what = named(value, function)
    return Result(
        finding=extremes([groups.labels[n] for n in order], found[order], what),
        columns=(by, what, "values"),
        rows=[(groups.labels[n], number(found[n]), int(rows[n])) for n in order],
        remarks=list(remarks(left, groups.ungrouped, by)),
    )


def correlations(
    table: Table, columns: NumberColumns | None = None, method: Method = "pearson"
) -> Result:
    """Correlate number columns pair by pair, over the rows in which both have a value."""
    wanted = columns or measures(table)
    names = wanted[:_MOST_COLUMNS]
    rows: list[Sequence[Cell]] = []
    for one, other in itertools.combinations(names, 2):
        x, y = table.numbers(one), table.numbers(other)
        both = ~np.isnan(x) & ~np.isnan(y)
        rows.append((one, other, correlation(x[both], y[both], method), int(both.sum())))
    rows.sort(key=lambda row: -abs(row[2]) if isinstance(row[2], float) else 1.0)
    strongest = next((row for row in rows if row[2] is not None), None)
    left = len(wanted) - len(names)
    return Result(
        finding=f"Strongest: {strongest[0]} and {strongest[1]}, r = {strongest[2]:.2f}."
        if strongest
        else "No two columns of numbers vary together.",
        columns=("column", "other column", f"{method} correlation", "rows"),
        rows=rows,
        remarks=[f"{counted(left, 'further column')} left out."] if left else [],
    )


def anomalies(
    table: Table,
    value: NumberColumn,
    x: DateColumn | None = None,
    function: Function = "sum",
    period: Period | None = None,
    threshold: Threshold = 3.5,
) -> Result:
    """Find unusual values by their distance from the median; with x, of each span of time."""
    if x:
        groups = grouped(table, x, period)
        values = combined(groups, table.numbers(value), function)
        labels: Sequence[Cell] = groups.labels
        what = named(value, function)
    else:
        values, labels, what = table.numbers(value), range(1, table.rows + 1), value
    scores = modified_scores(values)
    unusual = np.flatnonzero(np.abs(scores) > threshold)
    strongest = unusual[np.argsort(-np.abs(scores[unusual]), kind="stable")][:_MOST_ANOMALIES]
    drawn = np.union1d(spread(np.flatnonzero(~np.isnan(values))), strongest)
    more = len(unusual) - len(strongest)
    return Result(
        finding=f"{counted(len(unusual), 'unusual value')} of {int((~np.isnan(values)).sum()):,}"
        + (f", most of all {amount(values[strongest[0]])} at {labels[strongest[0]]}." if x and len(
            strongest) else "."),
        columns=(x or "row", what, "score", "unusual"),
        rows=[
            (labels[n], number(values[n]), number(scores[n]), bool(np.abs(scores[n]) > threshold))
            for n in drawn
        ],
        chart="anomalies",
        remarks=[f"{counted(more, 'further unusual value')} not shown."] if more > 0 else [],
    )  # fmt: skip


def correlation(x: Floats, y: Floats, method: Method) -> float | None:
    """Return the correlation of two samples; ``None`` if one does not vary or both are short."""
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    if method == "spearman":
        from scipy.stats import rankdata

        x, y = rankdata(x), rankdata(y)
    with np.errstate(all="ignore"):
        return number(np.corrcoef(x, y)[0, 1])


def modified_scores(values: Floats) -> Floats:
    """Return the modified z-scores of values (Iglewicz and Hoaglin 1993): 0 if none differs.

    The distance from the median, divided by the median of such distances, or by their mean if more
    than half of the values are equal.
    """
    distances = values - (np.nanmedian(values) if np.isfinite(values).any() else 0)
    there = np.abs(distances[~np.isnan(distances)])
    if not len(there) or not there.any():
        return np.where(np.isnan(values), np.nan, 0.0)
    median = float(np.median(there))
    scale = median / 0.6745 if median else float(np.mean(there)) * 1.253314
    scores: Floats = distances / scale
    return scores


def largest(values: Floats, top: int) -> tuple[npt.NDArray[np.int64], int]:
    """Return the places of the largest values, and how many other values there are."""
    there = np.flatnonzero(~np.isnan(values))
    order = there[np.argsort(-values[there], kind="stable")]
    return order[:top], max(0, len(order) - top)


def named(value: str | None, function: Function) -> str:
    """Return what combined values are called, such as ``sum of revenue``."""
    return "rows" if value is None else f"{function} of {value}"


def number(value: float) -> float | None:
    """Return a number as JSON has it: ``None`` for NaN."""
    return float(value) if np.isfinite(value) else None


def extremes(labels: Sequence[str], values: Floats, what: str) -> str:
    """Return a sentence on the largest and the smallest of some values."""
    there = np.flatnonzero(~np.isnan(values))
    if not len(there):
        return f"There is no value of {what}."
    high = there[np.argmax(values[there])]
    low = there[np.argmin(values[there])]
    text = f"Highest {what}: {amount(values[high])} at {labels[high] or 'blank'}"
    if high == low:
        return text + "."
    return f"{text}; lowest shown: {amount(values[low])} at {labels[low] or 'blank'}."


def remarks(left: int, ungrouped: int, by: str) -> Iterator[str]:
    """Yield what was left out of groups."""
    if left:
        yield f"{counted(left, 'further group')} of {by} not shown."
    if ungrouped:
        yield f"{counted(ungrouped, 'row')} without {by} left out."


def spread(places: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """At most `MOST_POINTS` of some places, at equal distances."""
    if len(places) <= MOST_POINTS:
        return places
    chosen: npt.NDArray[np.int64] = places[
        np.linspace(0, len(places) - 1, MOST_POINTS).astype(np.int64)
    ]
    return chosen


def _trimmed(column: Texts) -> Texts:
    import pyarrow.compute as pc

    labels, codes = column.labels, column.codes
    trimmed = pc.utf8_trim_whitespace(labels.texts)
    if not trimmed.equals(labels.texts):
        encoded = trimmed.dictionary_encode()
        new = np.append(encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64), -1)
        labels, codes = Labels(encoded.dictionary), new[codes]
    if not labels.missing.any():
        return Texts(labels, codes)
    return Texts(labels, np.where(np.append(labels.missing, True)[codes], -1, codes))


def _first_of_equal(table: Table) -> npt.NDArray[np.bool_]:
    """Whether a row is the first of equal ones."""
    keys = np.zeros(table.rows, dtype=np.int64)
    for column in table.columns.values():
        both = keys * (len(column.labels) + 1) + column.codes + 1
        keys = np.unique(both, return_inverse=True)[1]
    first = np.zeros(table.rows, dtype=bool)
    first[np.unique(keys, return_index=True)[1]] = True
    return first


def _described(table: Table, name: str) -> Sequence[Cell]:
    used = table.used(name)
    labels = table.columns[name].labels
    used = np.where(labels.missing, 0, used)
    values = int(used.sum())
    row: list[Cell] = [name, values, table.rows - values, int((used > 0).sum())]
    if table.type_of(name) == "number":
        found = table.numbers(name)
        found = found[~np.isnan(found)]
        spread_of = number(float(np.std(found, ddof=1))) if len(found) > 1 else None
        quartiles = np.quantile(found, [0, 0.25, 0.5, 0.75, 1])
        row += [number(float(np.mean(found))), spread_of, *map(number, quartiles)]
    else:
        row += [None] * 7
    if not values:
        return [*row, None, None]
    most = int(np.argmax(used))
    return [*row, labels.some([most])[0], int(used[most])]
