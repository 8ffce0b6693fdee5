"""The parameters that tools share: a name means the same in each of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from .profile import ColumnProfile


@dataclass(frozen=True)
class Holds:
    """Marks a parameter that names columns: those of the ``kind``, which messages call so."""

    kind: Literal["any", "number", "date", "ordered"]

    def accepts(self, column: ColumnProfile) -> bool:
        """Whether a column is of the kind."""
        if self.kind == "any":
            return column.type != "empty"
        types = {"number": {"number"}, "date": {"date"}, "ordered": {"number", "date"}}
        return column.type in types[self.kind]

    @property
    def wanted(self) -> str:
        """What such a column holds."""
        words = {"any": "values", "number": "numbers", "date": "dates"}
        return words.get(self.kind, "numbers or dates")


AnyColumn = Annotated[str, Holds("any")]
NumberColumn = Annotated[str, Holds("number")]
DateColumn = Annotated[str, Holds("date")]
OrderedColumn = Annotated[str, Holds("ordered")]

Columns = Annotated[list[str], Holds("any"), Field(min_length=1)]
NumberColumns = Annotated[list[str], Holds("number"), Field(min_length=1)]
DateColumns = Annotated[list[str], Holds("date"), Field(min_length=1)]

Function = Literal["sum", "mean", "median", "minimum", "maximum", "count"]
"""How the values of a group become one."""

Period = Literal["day", "week", "month", "quarter", "year"]

Top = Annotated[int, Field(ge=1, le=50)]
"""How many groups are shown, the largest first."""

Bins = Annotated[int, Field(ge=2, le=100)]

Threshold = Annotated[float, Field(ge=1, le=100)]

Method = Literal["pearson", "spearman"]

Keep = Literal["keep", "drop"]
