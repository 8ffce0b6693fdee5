"""The profile of a table: types, cardinalities and roles of its columns."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt

from .profile import ColumnProfile, ColumnType, Profile, Role
from .table import Table
from .values import Floats

MAX_GROUPS = 50
"""Different values that a column to group by can have."""

_FEW_NUMBERS = 12
"""Different whole numbers up to which a column is also one to group by."""

_EXAMPLES, _EXAMPLE_LENGTH = 3, 40

_IS_ID = re.compile(r"(^|[\s_-])(id|key|uuid|nr|no|number)$|[a-z]Id$", re.IGNORECASE)


def profiled(table: Table, originals: dict[str, str]) -> Profile:
    """Return the profile of a table. ``originals``: the names that the file has, if they differ."""
    columns = [_column(table, name, originals.get(name)) for name in table.columns]
    return Profile(rows=table.rows, columns=columns)


def measures(table: Table) -> list[str]:
    """Return the columns to compute with."""
    return [each.name for each in profiled(table, {}).with_role("measure")]


def _column(table: Table, name: str, original: str | None) -> ColumnProfile:
    labels, used = table.columns[name].labels, table.used(name)
    there = (used > 0) & ~labels.missing
    kind = table.type_of(name)
    smallest, largest = _range(table, name, kind)
    frequent = np.flatnonzero(there)
    frequent = frequent[np.argsort(-used[frequent], kind="stable")][:_EXAMPLES]
    return ColumnProfile(
        name=name,
        original=original,
        type=kind,
        cardinality=int(there.sum()),
        roles=_roles(table, name, kind, there),
        missing=table.rows - int(used[there].sum()),
        unreadable=table.unreadable(name),
        minimum=smallest,
        maximum=largest,
        examples=[_short(each) for each in labels.some(frequent)],
    )


def _roles(table: Table, name: str, kind: ColumnType, there: npt.NDArray[np.bool_]) -> list[Role]:
    different, values = int(there.sum()), int(table.used(name)[there].sum())
    unique = different == values > 1
    if different <= 1:
        return ["constant"] if different else []
    by_type: dict[str, list[Role]] = {"date": ["time"], "boolean": ["category"]}
    if kind in by_type:
        return by_type[kind]
    if kind == "number":
        return _number_roles(table.numbers(name), name, different)
    if unique and values > _FEW_NUMBERS:
        return ["identifier"]
    if different <= max(MAX_GROUPS, values // 100) and different * 2 <= max(values, 4):
        return ["category"]
    return ["text"]


def _number_roles(numbers: Floats, name: str, different: int) -> list[Role]:
    numbers = numbers[~np.isnan(numbers)]
    whole = bool(np.all(numbers == np.floor(numbers)))
    unique = different == len(numbers)
    if whole and unique and (_IS_ID.search(name) or bool(np.all(np.diff(numbers) == 1))):
        return ["identifier"]
    few = whole and different <= _FEW_NUMBERS and different * 5 <= len(numbers)
    return ["measure", "category"] if few else ["measure"]


def _range(table: Table, name: str, kind: ColumnType) -> tuple[str | None, str | None]:
    if kind == "number":
        numbers: Any = table.numbers(name)
        return _plain(np.nanmin(numbers)), _plain(np.nanmax(numbers))
    if kind == "date":
        dates = table.dates(name)
        dates = dates[~np.isnat(dates)]
        return str(dates.min()).replace("T00:00:00", ""), str(dates.max()).replace("T00:00:00", "")
    return None, None


def _plain(number: float) -> str:
    return f"{number:.12g}"


def _short(text: str) -> str:
    return text if len(text) <= _EXAMPLE_LENGTH else text[: _EXAMPLE_LENGTH - 1] + "…"
