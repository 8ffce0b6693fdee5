"""What a tool gives: a sentence, numbers, and how they are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from .table import Table

Cell = str | int | float | bool | None

Chart = Literal["", "line", "bar", "scatter", "histogram", "heatmap", "box", "anomalies"]


@dataclass(frozen=True)
class Result:
    """What a tool found.

    ``finding``: one sentence with the main number. ``columns``, ``rows``: the numbers, and what
    is drawn if ``chart`` says how. ``subject``: the column that is drawn, if no name of ``columns``
    is its own. ``remarks``: what was left out or could not be read. ``table``:
    the changed table, from tools that prepare it.
    """

    finding: str
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[Cell]] = ()
    chart: Chart = ""
    subject: str = ""
    remarks: Sequence[str] = ()
    table: Table | None = None


def amount(value: float | None) -> str:
    """Return a number for a sentence, with up to four significant digits."""
    if value is None:
        return "none"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"
