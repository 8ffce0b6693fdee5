"""How sure the responses of a trial are, from outcomes.csv, and what that says of two arms."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from ..core.files import csv_rows
from ..core.records import ResultFile, SampleOutcome
from ..stats.confidence import ArmConfidence, Responses, differences
from ..stats.pairs import Pairs
from ..stats.scores import FloatArray, Group, IntArray, ItemTable
from ..stats.selective import SelectiveDifference
from ..stats.settings import Stats
from ..tasks.registry import TASKS
from ..tasks.score_tables import read_outcomes

_Columns = tuple[IntArray, FloatArray, FloatArray]
"""Of each response: its item (a row of the `ItemTable`), its confidence, whether it is right."""


class ConfidenceContrast(ResultFile):
    """What one confidence says of both arms, and what differs between them."""

    arms: dict[str, ArmConfidence]
    differences: dict[str, SelectiveDifference]


class Confidences:
    """The confidences of a trial's responses, by task, arm, temperature and column.

    Args:
        rows: outcomes.csv.
        table: the items.
    """

    def __init__(self, rows: Iterable[SampleOutcome], table: ItemTable) -> None:
        found: dict[tuple[Group, str], list[tuple[int, float, float]]] = {}
        for row in rows:
            task = TASKS[row.type]
            right = row.number(task.right) if task.right else None
            if right is None:
                continue
            item = table.index[row.item_key]
            for confidence in task.confidences:
                value = row.number(confidence.column)
                group = Group(row.type, row.condition, row.temp)
                found.setdefault((group, confidence.column), []).append(
                    (item, np.nan if value is None else value, right)
                )
        self._columns: Mapping[tuple[Group, str], _Columns] = {
            key: (items.astype(np.int64), confidence, right)
            for key, rows_of in found.items()
            for items, confidence, right in [np.array(rows_of).T]
            if not np.isnan(confidence).all()
        }
        self._n_items = len(table.keys)

    def of_contrast(
        self, groups: tuple[Group, Group], pairs: Pairs, settings: Stats
    ) -> dict[str, ConfidenceContrast]:
        """Return what each confidence says of two arms, on the items that both have; by column.

        Args:
            groups: the control's and the treatment's responses.
            pairs: the items of both.
            settings: how to test.
        """
        clusters = np.full(self._n_items, -1, dtype=np.int64)
        clusters[pairs.items] = pairs.clusters
        found = {}
        for confidence in TASKS[groups[0].type].confidences:
            arms = dict(self._arms(groups, confidence.column, clusters))
            if arms:
                one, other = (arms.get(group.condition) for group in groups)
                found[confidence.column] = ConfidenceContrast(
                    arms={arm: of.summary(settings.confidence) for arm, of in arms.items()},
                    differences=differences(one, other, settings) if one and other else {},
                )
        return found

    def _arms(
        self, groups: tuple[Group, Group], column: str, clusters: IntArray
    ) -> Iterator[tuple[str, Responses]]:
        """The responses of each arm that has this confidence."""
        for group in groups:
            if (group, column) in self._columns:
                items, confidence, right = self._columns[group, column]
                used = clusters[items] >= 0
                if used.any():
                    yield (
                        group.condition,
                        Responses(clusters[items][used], confidence[used], right[used]),
                    )


def read_confidences(path: Path, table: ItemTable) -> Confidences | None:
    """Read outcomes.csv; ``None`` where it has no confidence, which its first line says.

    Raises:
        UserError: a row is not valid.
    """
    _, header = next(csv_rows(path), (1, []))
    columns = {each.column for task in TASKS.values() for each in task.confidences}
    return Confidences(read_outcomes(path), table) if columns & {*header} else None
