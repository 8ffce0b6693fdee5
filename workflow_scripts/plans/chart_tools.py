"""Tools whose result is drawn; they compute what is drawn, `analyses` draws it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..core.wording import counted
from .grouping import Groups, combined, grouped, values_by_group
from .parameters import AnyColumn, Bins, Function, NumberColumn, OrderedColumn, Period, Top
from .result import Cell, Result, amount
from .table import Table
from .table_tools import correlation, extremes, largest, named, number, remarks, spread
from .values import Floats

_MOST_SERIES = 5
_MOST_VALUES = 200
_STEPS = 40
_MOST_BINS, _FEWEST_BINS = 40, 5
_WHISKER = 1.5


def line(
    table: Table,
    x: OrderedColumn,
    y: NumberColumn | None = None,
    function: Function = "sum",
    period: Period | None = None,
    by: AnyColumn | None = None,
) -> Result:
    """Draw how a column develops over dates or numbers, by series if wanted; counts without y."""
    groups = grouped(table, x, period) if table.type_of(x) == "date" else _stepped(table, x)
    values = table.numbers(y) if y else None
    what = named(y, function)
    left: list[str] = list(remarks(0, groups.ungrouped, x))
    if by is None:
        total = combined(groups, values, function)
        rows = [(_at(groups, n), number(each)) for n, each in enumerate(total)]
        return Result(_trend(groups, total, what), (x, what), rows, "line", remarks=left)
    series = grouped(table, by)
    order, more = largest(combined(series, None, "count"), _MOST_SERIES)
    series = series.kept(np.sort(order) if series.period else order)
    left += remarks(more, 0, by)
    rows_by: list[Sequence[Cell]] = []
    ends: list[str] = []
    for place, label in enumerate(series.labels):
        part = Groups(np.where(series.codes == place, groups.codes, -1), groups.labels)
        each = combined(part, values, function)
        rows_by += [(_at(groups, n), label, number(found)) for n, found in enumerate(each)]
        ends += _ends(label, each)
    told = f"First and last {what}: {'; '.join(ends)}." if ends else f"There is no {what}."
    return Result(told, (x, by, what), rows_by, "line", remarks=left)


def bar(
    table: Table,
    x: AnyColumn,
    y: NumberColumn | None = None,
    function: Function = "sum",
    period: Period | None = None,
    top: Top = 12,
) -> Result:
    """Compare groups by a bar each, the largest first; counts without y."""
    groups = grouped(table, x, period)
    found = combined(groups, table.numbers(y) if y else None, function)
    order, left = largest(found, top)
    order = np.sort(order) if groups.period else order
    what = named(y, function)
    labels = [groups.labels[n] for n in order]
    return Result(
        finding=extremes(labels, found[order], what),
        columns=(x, what),
        rows=[(label, number(found[n])) for label, n in zip(labels, order, strict=True)],
        chart="bar",
        remarks=list(remarks(left, groups.ungrouped, x)),
    )


def scatter(table: Table, x: NumberColumn, y: NumberColumn, by: AnyColumn | None = None) -> Result:
    """Draw two number columns against each other, a point for each row."""
    horizontal, vertical = table.numbers(x), table.numbers(y)
    both = np.flatnonzero(~np.isnan(horizontal) & ~np.isnan(vertical))
    r = correlation(horizontal[both], vertical[both], "pearson")
    drawn = spread(both)
    left = [f"{len(drawn):,} of {len(both):,} points are drawn."] if len(drawn) < len(both) else []
    columns: tuple[str, ...] = (x, y)
    rows: list[Sequence[Cell]] = [(float(horizontal[n]), float(vertical[n])) for n in drawn]
    if by is not None:
        series = grouped(table, by)
        order, more = largest(combined(series, None, "count"), _MOST_SERIES)
        series = series.kept(order)
        left += remarks(more, 0, by)
        columns = (x, by, y)
        rows = [
            (float(horizontal[n]), series.labels[series.codes[n]], float(vertical[n]))
            for n in drawn
            if series.codes[n] >= 0
        ]
    told = "There is no correlation to report" if r is None else f"Pearson correlation {r:.2f}"
    return Result(f"{told} ({counted(len(both), 'row')}).", columns, rows, "scatter", remarks=left)


def histogram(table: Table, x: NumberColumn, bins: Bins | None = None) -> Result:
    """Draw how often the values of a number column occur."""
    values = table.numbers(x)
    values = values[~np.isnan(values)]
    wanted = bins or int(np.clip(np.ceil(2 * len(values) ** (1 / 3)), _FEWEST_BINS, _MOST_BINS))
    counts, edges = np.histogram(values, bins=_edges(values, wanted))
    return Result(
        finding=f"Half of the values are between {amount(float(np.quantile(values, 0.25)))} and "
        f"{amount(float(np.quantile(values, 0.75)))}; the median is "
        f"{amount(float(np.median(values)))}."
        if len(values)
        else f"There is no value of {x}.",
        columns=("from", "to", "rows"),
        rows=[(float(edges[n]), float(edges[n + 1]), int(count)) for n, count in enumerate(counts)],
        chart="histogram",
        subject=x,
        remarks=list(remarks(0, table.rows - len(values), x)),
    )


def heatmap(
    table: Table,
    x: AnyColumn,
    y: AnyColumn,
    value: NumberColumn | None = None,
    function: Function = "sum",
    period: Period | None = None,
    top: Top = 12,
) -> Result:
    """Draw a number for each pair of groups by colour; counts without value."""
    across, more = _most_frequent(grouped(table, x, period), top)
    down, further = _most_frequent(grouped(table, y, period), top)
    pairs = Groups(
        np.where(
            (across.codes >= 0) & (down.codes >= 0),
            across.codes * len(down.labels) + down.codes,
            -1,
        ),
        [f"{one}, {other}" for one in across.labels for other in down.labels],
    )
    found = combined(pairs, table.numbers(value) if value else None, function)
    rows = combined(pairs, None, "count")
    found = np.where(rows > 0, found, np.nan)
    what = named(value, function)
    return Result(
        finding=extremes(pairs.labels, found, what),
        columns=(x, y, what),
        rows=[
            (across.labels[n // len(down.labels)], down.labels[n % len(down.labels)], number(each))
            for n, each in enumerate(found)
        ],
        chart="heatmap",
        remarks=[*remarks(more, 0, x), *remarks(further, 0, y)],
    )


def box(table: Table, y: NumberColumn, by: AnyColumn | None = None, top: Top = 12) -> Result:
    """Compare the spread of a number column between groups: median, quartiles and whiskers."""
    values = table.numbers(y)
    if by is None:
        groups = Groups(np.zeros(table.rows, dtype=np.int64), ["all"])
        left: list[str] = []
    else:
        groups, more = _most_frequent(grouped(table, by), top)
        left = list(remarks(more, 0, by))
    boxes = [
        (label, *_box(each), len(each))
        for label, each in zip(groups.labels, values_by_group(groups, values), strict=True)
        if len(each)
    ]
    medians = np.array([each[3] for each in boxes])
    return Result(
        finding=extremes([each[0] for each in boxes], medians, f"median of {y}"),
        columns=(
            by or "rows", "lower whisker", "lower quartile", "median", "upper quartile",
            "upper whisker", "values",
        ),
        rows=boxes,
        chart="box",
        subject=y,
        remarks=left,
    )  # fmt: skip


def _box(values: Floats) -> tuple[float, float, float, float, float]:
    """Whiskers and quartiles of sorted values; whiskers reach to values within 1.5 boxes."""
    lower, median, upper = (float(each) for each in np.quantile(values, [0.25, 0.5, 0.75]))
    reach = _WHISKER * (upper - lower)
    inside = values[(values >= lower - reach) & (values <= upper + reach)]
    return float(inside[0]), lower, median, upper, float(inside[-1])


def _most_frequent(groups: Groups, top: int) -> tuple[Groups, int]:
    """The largest groups, or the last spans of time, and how many others there are."""
    if groups.period:
        kept = np.arange(max(0, len(groups.labels) - 2 * top), len(groups.labels))
        return groups.kept(kept), len(groups.labels) - len(kept)
    order, left = largest(combined(groups, None, "count"), top)
    return groups.kept(order), left


def _stepped(table: Table, x: str) -> Groups:
    """Rows by a number: its values, or of many ones steps of equal width."""
    values = table.numbers(x)
    there = ~np.isnan(values)
    different = np.unique(values[there])
    if len(different) > _MOST_VALUES:
        different = _edges(values[there], _STEPS)[:-1]
    codes = np.full(len(values), -1, dtype=np.int64)
    codes[there] = np.searchsorted(different, values[there], side="right") - 1
    return Groups(codes, [repr(float(each)) for each in different])


def _at(groups: Groups, place: int) -> Cell:
    label = groups.labels[place]
    return label if groups.period else float(label)


def _edges(values: Floats, bins: int) -> Floats:
    """Edges of equal width that differ, also if the values are equal or very large."""
    if not len(values):
        return np.array([0.0, 1.0])
    low, high = float(values.min()), float(values.max())
    edges = np.unique(np.linspace(low, high, bins + 1))
    if len(edges) < 2:
        return np.array([low, np.nextafter(low, np.inf)])
    return edges


def _ends(label: str, values: Floats) -> list[str]:
    there = values[~np.isnan(values)]
    return [f"{label} {amount(there[0])} and {amount(there[-1])}"] if len(there) else []


def _trend(groups: Groups, values: Floats, what: str) -> str:
    there = np.flatnonzero(~np.isnan(values))
    if not len(there):
        return f"There is no value of {what}."
    first, last, high = there[0], there[-1], there[np.argmax(values[there])]
    return (
        f"From {amount(values[first])} ({groups.labels[first]}) to {amount(values[last])} "
        f"({groups.labels[last]}); highest {what}: {amount(values[high])} "
        f"({groups.labels[high]})."
    )
