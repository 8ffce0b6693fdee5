"""The tools of analyses against pandas, scipy and computations by hand."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from tables import of_frame, sales, table

from workflow_scripts.plans.result import Cell, Result
from workflow_scripts.plans.tools import TOOLS

FRAME = sales()
TABLE = of_frame(FRAME)


def call(name: str, of: Any = TABLE, **params: Any) -> Result:
    return TOOLS[name].run(of, **params)


def column(result: Result, name: str) -> list[Cell]:
    place = list(result.columns).index(name)
    return [row[place] for row in result.rows]


def same(found: list[Cell], expected: Any) -> None:
    got = [np.nan if each is None else each for each in found]
    np.testing.assert_allclose(got, np.asarray(expected, dtype=float), rtol=1e-12)


FUNCTIONS = {
    "sum": "sum", "mean": "mean", "median": "median", "minimum": "min", "maximum": "max",
    "count": "count",
}  # fmt: skip


@pytest.mark.parametrize("function", FUNCTIONS)
def test_groups_are_combined_as_pandas_does(function: str) -> None:
    expected = FRAME.groupby("region").revenue.agg(FUNCTIONS[function])
    expected = expected.sort_values(ascending=False, kind="stable")
    what = f"{function} of revenue"
    for tool, names in (("aggregate", ("by", "value")), ("bar", ("x", "y"))):
        params = dict(zip(names, ("region", "revenue"), strict=True))
        result = call(tool, **params, function=function)
        assert column(result, "region") == list(expected.index)
        same(column(result, what), expected)
        assert "10 rows without region left out." in result.remarks


@pytest.mark.parametrize(
    ("period", "rule"),
    [("day", "D"), ("week", "W-SUN"), ("month", "M"), ("quarter", "Q"), ("year", "Y")],
)
@pytest.mark.parametrize("function", ["sum", "mean", "median"])
def test_spans_of_time_are_those_of_pandas(period: str, rule: str, function: str) -> None:
    spans = FRAME.date.dt.to_period(rule)
    grouped = FRAME.groupby(spans).revenue.agg(FUNCTIONS[function])
    whole = pd.period_range(spans.min(), spans.max(), freq=spans.dt.freq)
    expected = grouped.reindex(whole, fill_value=0 if function == "sum" else np.nan)
    result = call("line", x="date", y="revenue", period=period, function=function)
    assert column(result, "date") == [str(each.start_time.date()) for each in whole]
    same(column(result, f"{function} of revenue"), expected)


def test_a_span_is_chosen_that_leaves_a_readable_line() -> None:
    assert len(call("line", x="date").rows) == 18  # months of one and a half years
    long = table({"d": ["0001-01-01", "9999-12-31"], "v": [1, 2]})
    assert len(call("line", long, x="d", period="day").rows) == 9999  # years: days are too many


def test_series_are_the_largest_groups() -> None:
    result = call("line", x="date", y="units", by="region", period="month")
    months = FRAME.date.dt.to_period("M")
    expected = FRAME.groupby([months, "region"]).units.sum()
    assert len(result.rows) == 18 * 4
    for at, region, found in result.rows:
        assert found == expected.get((pd.Period(str(at), "M"), region), 0)


def test_a_line_over_numbers() -> None:
    result = call("line", x="units", y="revenue", function="mean")
    expected = FRAME.groupby("units").revenue.mean()
    same(column(result, "units"), expected.index)
    same(column(result, "mean of revenue"), expected)
    steps = call("line", x="revenue", function="count")
    edges = np.linspace(FRAME.revenue.min(), FRAME.revenue.max(), 41)
    counts, _ = np.histogram(FRAME.revenue.dropna(), edges)
    same(column(steps, "rows"), counts)


def test_summaries() -> None:
    result = call("summary")
    described = FRAME[["units", "revenue"]].describe()
    for name in ("units", "revenue"):
        row = dict(zip(result.columns, next(r for r in result.rows if r[0] == name), strict=True))
        for ours, theirs in (
            ("values", "count"), ("mean", "mean"), ("standard deviation", "std"),
            ("minimum", "min"), ("lower quartile", "25%"), ("median", "50%"),
            ("upper quartile", "75%"), ("maximum", "max"),
        ):  # fmt: skip
            assert row[ours] == pytest.approx(described.loc[theirs, name], rel=1e-12)
    region = dict(zip(result.columns, result.rows[1], strict=True))
    most = FRAME.region.value_counts()
    assert (region["most frequent"], region["its rows"]) == (most.index[0], most.iloc[0])
    assert (region["missing"], region["different"]) == (10, 4)


@pytest.mark.parametrize("method", ["pearson", "spearman"])
def test_correlations(method: str) -> None:
    frame = pd.DataFrame(np.random.default_rng(1).normal(size=(50, 4)), columns=[*"abcd"])
    frame["b"] += frame["a"]
    frame.loc[:9, "c"] = np.nan
    frame["d"] = 7.0
    result = call("correlations", of_frame(frame), columns=[*"abcd"], method=method)
    expected = frame.corr(method=method)
    assert len(result.rows) == 6
    for one, other, found, rows in result.rows:
        theirs = expected.loc[str(one), str(other)]
        assert found is None if np.isnan(theirs) else found == pytest.approx(theirs, rel=1e-9)
        assert rows == int((frame[one].notna() & frame[other].notna()).sum())
    sizes = [abs(row[2]) for row in result.rows if isinstance(row[2], float)]
    assert sizes == sorted(sizes, reverse=True)


def test_anomalies_by_the_modified_score_of_iglewicz_and_hoaglin() -> None:
    values = [2.1, 2.6, 2.4, 2.5, 2.3, 2.1, 2.3, 2.6, 8.2, 8.3]  # their book's example
    result = call("anomalies", table({"v": values}), value="v")
    scores = scipy.stats.median_abs_deviation(values)
    expected = 0.6745 * (np.array(values) - np.median(values)) / scores
    same(column(result, "score"), expected)
    assert column(result, "unusual") == [False] * 8 + [True, True]
    assert result.finding.startswith("2 unusual values of 10")
    # More than half equal: the mean of the distances takes the place of their median.
    equal = [*[5.0] * 8, 6.0, 40.0]
    found = column(call("anomalies", table({"v": equal}), value="v"), "score")
    mean = np.mean(np.abs(np.array(equal) - 5))
    same(found, (np.array(equal) - 5) / (1.253314 * mean))
    assert not any(column(call("anomalies", table({"v": [3, 3, 3]}), value="v"), "unusual"))
    months = call("anomalies", value="revenue", x="date", period="month")
    assert column(months, "sum of revenue") == column(
        call("line", x="date", y="revenue", period="month"), "sum of revenue"
    )


def test_points_of_a_large_table_keep_the_unusual_ones() -> None:
    rng = np.random.default_rng(2)
    values = np.round(rng.normal(size=20_000), 3)
    values[777] = 100
    large = table({"v": values, "w": values * 2})
    result = call("anomalies", large, value="v")
    assert [row[0] for row in result.rows if row[1] == 100] == [778]
    points = call("scatter", large, x="v", y="w")
    assert len(points.rows) == 1500
    assert points.remarks == ["1,500 of 20,000 points are drawn."]
    assert "Pearson correlation 1.00 (20,000 rows)" in points.finding


def test_histograms() -> None:
    counts, edges = np.histogram(FRAME.revenue.dropna(), bins=17)
    result = call("histogram", x="revenue", bins=17)
    same(column(result, "from"), edges[:-1])
    same(column(result, "to"), edges[1:])
    same(column(result, "rows"), counts)
    assert result.remarks == ["25 rows without revenue left out."]
    equal = call("histogram", table({"v": [4, 4, 4]}), x="v")
    assert [row[2] for row in equal.rows] == [3]
    huge = call("histogram", table({"v": ["1e149", "-1e149", "1"]}), x="v")
    assert sum(int(str(row[2])) for row in huge.rows) == 3


def test_heat_maps() -> None:
    result = call("heatmap", x="region", y="channel", value="revenue", function="mean")
    expected = FRAME.pivot_table(values="revenue", index="region", columns="channel")
    assert len(result.rows) == 8
    for region, channel, found in result.rows:
        assert found == pytest.approx(expected.loc[region, channel], rel=1e-12)
    sizes = FRAME.region.value_counts()
    order = [region for region, _ in itertools.groupby(row[0] for row in result.rows)]
    assert order == list(sizes.index)


def test_boxes() -> None:
    result = call("box", y="revenue", by="region")
    for region, low, q1, median, q3, high, number in result.rows:
        values = FRAME.revenue[FRAME.region == region].dropna()
        same([q1, median, q3], values.quantile([0.25, 0.5, 0.75]))
        reach = 1.5 * (values.quantile(0.75) - values.quantile(0.25))
        assert low == values[values >= values.quantile(0.25) - reach].min()
        assert high == values[values <= values.quantile(0.75) + reach].max()
        assert number == len(values)


def test_cleaning_trims_unifies_and_drops() -> None:
    dirty = table({"a": [" x", "x ", "n/a", "y", None], "b": ["1", "1", "2", "3", "4"]})
    kept = call("clean", dirty)
    assert kept.table is not None
    assert column(kept, "number") == [1, 0, 0]
    assert kept.table.columns["a"].codes.tolist() == [0, 0, -1, 2, -1]
    once = call("clean", dirty, duplicates="drop", missing="drop")
    assert once.table is not None
    assert once.table.rows == 2
    assert column(once, "number") == [1, 1, 2]
    frame = pd.concat([FRAME, FRAME.iloc[:50]])
    done = call("clean", of_frame(frame), duplicates="drop")
    assert done.table is not None
    assert done.table.rows == len(frame.drop_duplicates())


def test_dates_are_read_as_told() -> None:
    unclear = table({"d": ["03/04/2024", "05/06/2024", "soon"] + ["01/01/2024"] * 20})
    for day_first, expected in ((True, "2024-04-03"), (False, "2024-03-04"), (None, "2024-03-04")):
        result = call("parse_dates", unclear, columns=["d"], day_first=day_first)
        assert result.table is not None
        assert str(result.table.dates("d")[0])[:10] == expected
        assert result.remarks == ["1 value could not be read as a date."]
        assert result.rows[0][:3] == ("d", 22, 1)
        cut = result.table.picked(np.arange(23) < 2)
        assert str(cut.dates("d")[0])[:10] == expected


@pytest.mark.parametrize("name", [name for name in TOOLS if name != "clean"])
def test_no_values_and_a_single_row_are_no_trouble(name: str) -> None:
    tool = TOOLS[name]
    for values in ([None, None], ["2024-01-01", None], ["1", None], ["x", "x"]):
        of = table({"c": values, "n": ["1", "2"], "d": ["2024-01-01", "2024-01-01"]})
        params = {
            each: ["n" if holds.kind == "number" else "c"]
            if tool.parameters[each]["type"] == "array"
            else {"any": "c", "number": "n", "date": "d", "ordered": "d"}[holds.kind]
            for each, holds in tool.columns.items()
        }
        assert tool.run(of, **params).finding
