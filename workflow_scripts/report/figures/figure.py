"""A figure with what a reader needs to use it: title, how to read it, and its numbers as CSV."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from markupsafe import Markup

from ...core.files import csv_row

NOTHING = Markup()

Cell = str | int | float | bool | None


@dataclass(frozen=True)
class Figure:
    """A figure, or a sentence that says why there is none.

    ``name``: unique on the page; downloads are named after it. ``svg``: empty where there is
    nothing to draw, and then ``absent`` says why. ``narrow``: the same for a phone, where a
    figure that is drawn for a whole page would be too small. ``columns``, ``rows``: the numbers
    behind it, in the units of the files that they come from.
    """

    name: str
    title: str
    how_to_read: str = ""
    svg: Markup = NOTHING
    narrow: Markup = NOTHING
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[Cell]] = ()
    absent: str = ""

    @property
    def csv_link(self) -> str:
        """Its numbers as a ``data:`` link, so that saving them needs no script."""
        # "#" would end the link and "%" is what quotes; the rest is legal in a link as it is.
        return "data:text/csv;charset=utf-8," + quote(self.csv, safe=",;:/?@=+$!*()")

    @property
    def csv(self) -> str:
        """Its numbers as CSV; text that a spreadsheet would run as a formula is disarmed."""
        return "".join(csv_row(row) for row in (self.columns, *self.rows))
