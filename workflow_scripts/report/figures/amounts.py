"""The amounts of a trial, such as tokens: each contrast's ratio, on a logarithmic axis."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ...core.metric import Metric
from ..contrast import Contrast
from .figure import Figure
from .forest import Row, cells, columns, forest, row
from .vega import metric_heading


def amounts_figure(
    metrics: Iterable[Metric], found: Sequence[tuple[str, Contrast]]
) -> Figure | None:
    """Draw the amounts of all contrasts, if they have any.

    Args:
        metrics: in the order in which they are drawn.
        found: the contrasts, each with what sets it apart from the others.
    """
    title = "Amounts"
    shown = [
        (metric, [(label, each) for label, each in found if metric in each.amounts])
        for metric in metrics
    ]
    shown = [(metric, of_metric) for metric, of_metric in shown if of_metric]
    if not shown:
        return None
    drawn = forest(list(_rows(shown)), title)
    if not drawn:
        return Figure("amounts", title, absent="No amount has an interval.")
    confidence = shown[0][1][0][1].result.meta.confidence
    return Figure(
        name="amounts",
        title=title,
        how_to_read=(
            "The ratio of the treatment’s geometric mean to the control’s, over the same items, on "
            f"a logarithmic axis with its {100 * confidence:g}% confidence interval. ×1 (dashed "
            "line) is no difference."
        ),
        svg=drawn,
        columns=columns("ratio"),
        rows=[
            cells(metric, each, each.result.amounts[metric.name])
            for metric, of_metric in shown
            for _, each in of_metric
        ],
    )


def _rows(shown: Iterable[tuple[Metric, Sequence[tuple[str, Contrast]]]]) -> Iterator[Row]:
    for metric, of_metric in shown:
        yield Row(metric_heading(metric))
        for label, each in of_metric:
            result = each.result
            yield row(label, metric, result.amounts[metric.name], result.meta.confidence)
