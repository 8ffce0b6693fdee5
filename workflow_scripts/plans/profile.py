"""What is known about a table before it is analysed: its columns, their types and roles."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Literal

from pydantic import Field

from ..core.records import Record

ColumnType = Literal["number", "date", "boolean", "text", "mixed", "empty"]
"""What most values of a column read as. ``mixed``: numbers for the greater part, not mostly."""

Role = Literal["measure", "category", "time", "identifier", "text", "constant"]
"""What a column can be used for: to be summed up, to group by, to order by time."""

SHOWN_COLUMNS = 200
"""Columns that a model is shown; of a wider table, those with a role come first."""


class ColumnProfile(Record):
    """One column.

    ``name`` is unique, not blank and without control characters. ``original`` is what the file
    calls it, if that differs. ``cardinality`` is the number of different values, ``missing`` the
    number of rows without one, ``unreadable`` the number of values that do not read as ``type``.
    ``minimum`` and ``maximum`` are those of numbers and dates, as text.
    """

    name: str = Field(min_length=1)
    original: str | None = Field(default=None, exclude_if=lambda name: name is None)
    type: ColumnType
    cardinality: int = Field(ge=0)
    roles: list[Role] = Field(default_factory=list)
    missing: int = Field(default=0, ge=0)
    unreadable: int = Field(default=0, ge=0)
    minimum: str | None = None
    maximum: str | None = None
    examples: list[str] = Field(default_factory=list)


class Profile(Record):
    """A table: the number of its rows, and its columns in their order."""

    rows: int = Field(ge=0)
    columns: list[ColumnProfile]

    def column(self, name: str) -> ColumnProfile | None:
        """Return the column of that name; ``None`` if there is none."""
        return next((each for each in self.columns if each.name == name), None)

    def with_role(self, role: Role) -> list[ColumnProfile]:
        """Return the columns that have a role."""
        return [each for each in self.columns if role in each.roles]

    def text(self) -> str:
        """Return what a model is shown: one line of JSON a column, after the number of rows."""
        usable = sorted(self.columns, key=lambda each: not set(each.roles) - {"constant", "text"})
        kept = {each.name for each in usable[:SHOWN_COLUMNS]}
        lines = [_line(each) for each in self.columns if each.name in kept]
        more = len(self.columns) - len(lines)
        rest = [f"({more} further columns are not shown)"] if more else []
        return "\n".join((f"{self.rows} rows", *lines, *rest))


def first_mentioned(columns: Iterable[ColumnProfile], question: str) -> list[ColumnProfile]:
    """Return the columns in the order of the table, those that the question names before others."""
    words = _words(question)
    return sorted(columns, key=lambda each: f" {_words(each.name)} " not in f" {words} ")


def _words(text: str) -> str:
    """The words of a text in small letters, a space between each two."""
    return " ".join(re.findall(r"[^\W_]+", text.casefold()))


def _line(column: ColumnProfile) -> str:
    shown = {
        "name": column.name,
        "type": column.type,
        "cardinality": column.cardinality,
        "roles": list(column.roles),
    }
    return json.dumps(shown, ensure_ascii=False)
