"""The differences over parts of the items: each data set, and each subgroup of the task."""

from __future__ import annotations

from collections.abc import Iterator

from ..contrast import Contrast, foremost
from ..wording import sentence_case
from .figure import Figure
from .forest import Row, forest, row


def subgroups_figure(contrast: Contrast, arms: tuple[str, str]) -> Figure | None:
    """Draw the subgroups of a contrast, if it has any.

    ``arms`` are the names of control and treatment.
    """
    name = f"subgroups-{contrast.anchor}"
    title = "Parts of the items"
    groups = contrast.result.subgroups
    if not groups:
        return None
    drawn = forest(
        list(_rows(contrast)),
        f"Differences by subgroup, {arms[1]} minus {arms[0]}: {contrast.task.label}",
    )
    if not drawn:
        return Figure(name, title, absent="No part of the items has an interval.")
    return Figure(
        name=name,
        title=title,
        how_to_read=(
            "The same differences over parts of the items (how many, in brackets). A clear "
            "difference in one part and none in another is not yet a difference between the parts: "
            "the front page tests that."
        ),
        svg=drawn,
        columns=(
            "metric",
            "subgroup",
            "n_items",
            "control_mean",
            "treatment_mean",
            "difference",
            "ci_low",
            "ci_high",
            "permutation_p",
            "q_value",
        ),
        rows=[
            [
                metric.name,
                group,
                part.n_items,
                found.control_mean,
                found.treatment_mean,
                found.difference,
                found.ci_low,
                found.ci_high,
                found.permutation_p,
                found.q_value,
            ]
            for metric in foremost(contrast.shares)
            for group, part in groups.items()
            if (found := part.metrics.get(metric.name))
        ],
    )


def _rows(contrast: Contrast) -> Iterator[Row]:
    result = contrast.result
    for metric in foremost(contrast.shares):
        rows = [
            row(
                f"{_group_name(group)} ({part.n_items:,})",
                metric,
                part.metrics[metric.name],
                result.meta.confidence,
                group,
            )
            for group, part in result.subgroups.items()
            if metric.name in part.metrics
        ]
        if rows:
            yield Row(sentence_case(metric.label))
            yield from rows


def _group_name(group: str) -> str:
    return group.removeprefix("dataset=") if "=" in group else sentence_case(group)
