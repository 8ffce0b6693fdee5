"""The items that can be labelled, each with its responses under all arms."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..core.errors import UserError
from ..core.records import Answer, Item, SampleOutcome
from ..tasks.registry import TASKS


@dataclass(frozen=True)
class Unit:
    """An item that all arms answered: its responses, in the order of the conditions."""

    item_key: str
    responses: tuple[Answer, ...]

    @property
    def task(self) -> str:
        """The name of its task."""
        return self.responses[0].type


def units_of(
    answers: Iterable[Answer], items: Mapping[str, Item], conditions: Sequence[str], temp: str
) -> list[Unit]:
    """Return the items that all conditions answered, sorted by task and key.

    Of several samples all are returned, one unit each. Left out are items with a failed request,
    and items without a gold answer: labels on these count nowhere (docs/scoring.md).

    Raises:
        UserError: there are none.
    """
    found: dict[tuple[str, str, int], dict[str, Answer]] = defaultdict(dict)
    for row in answers:
        if row.condition in conditions and row.temp == temp and not row.failed:
            found[row.type, row.item_key, row.sample_index][row.condition] = row
    units = [
        Unit(key, tuple(arms[each] for each in conditions))
        for (task, key, _), arms in sorted(found.items())
        if len(arms) == len(conditions) and TASKS[task].shown(items[key])["answers"]
    ]
    if not units:
        raise UserError(
            f"no item with a gold answer has a response under each of {', '.join(conditions)} at "
            f"temperature {temp}, so there is nothing to label"
        )
    return units


def one_sample_each(units: Sequence[Unit], seed: int) -> list[Unit]:
    """Return one unit per task and item: of several samples a random one."""
    by_item: dict[tuple[str, str], list[Unit]] = defaultdict(list)
    for unit in units:
        by_item[unit.task, unit.item_key].append(unit)
    rng = np.random.default_rng([seed, 1])
    return [samples[int(rng.integers(len(samples)))] for samples in by_item.values()]


def differing(
    units: Sequence[Unit], outcomes: Mapping[str, SampleOutcome], columns: Sequence[str]
) -> list[bool]:
    """Return for each unit whether two verdict columns differ under one of the arms.

    Without columns no unit differs.

    Raises:
        UserError: a column is not in outcomes.csv.
    """
    known = {name for row in outcomes.values() for name in type(row).model_fields}
    for column in columns:
        if column not in known:
            raise UserError(f"labelling: disagree: {column!r} is no column of outcomes.csv")

    def differ(answer: Answer) -> bool:
        row = outcomes.get(answer.custom_id)
        return row is not None and len({row.column(each) for each in columns}) > 1

    return [any(map(differ, unit.responses)) for unit in units]
