"""What a page shows of a task beside its metrics, as declarations."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Curve:
    """One measure at several cut-offs, each a metric, which a page draws as a curve by arm.

    Attributes:
        name: its part of the figure's name.
        label: the title of the figure.
        across: what the cut-offs count.
        points: each cut-off with the name of its metric.
        among: a number of outcomes.csv; only requests with one above 0 count.
        found: a number of outcomes.csv that is 0 for all requests of an arm that was not measured.
        definition: what is drawn, as a sentence.
    """

    name: str
    label: str
    across: str
    points: tuple[tuple[int, str], ...]
    among: str
    found: str
    definition: str


@dataclass(frozen=True)
class Split:
    """A column of outcomes.csv by which a page counts the outcomes of each arm.

    Attributes:
        column: the column of texts.
        label: the title of the table.
        heading: what the column says.
        kinds: the texts, in the order of the table.
        definition: how to read it.
        totals: numbers of outcomes.csv that are summed up by arm, each with its name.
    """

    column: str
    label: str
    heading: str
    kinds: tuple[str, ...]
    definition: str
    totals: tuple[tuple[str, str], ...] = ()
