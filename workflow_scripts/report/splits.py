"""The outcomes of each arm by a column that its task declares (`Split`)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..core.records import RIGHT, Outcome, SampleOutcome
from ..core.shown import Split
from ..tasks.task import Task


@dataclass(frozen=True)
class Part:
    """The responses of one arm with one text in the column, by what became of them."""

    kind: str
    right: int
    wrong: int
    abstained: int
    other: int

    @property
    def n(self) -> int:
        """How many there are."""
        return self.right + self.wrong + self.abstained + self.other


@dataclass(frozen=True)
class ArmSplit:
    """One arm: its parts, and its totals over the items that were answered."""

    condition: str
    parts: list[Part]
    n_items: int
    totals: list[int]


@dataclass(frozen=True)
class TaskSplit:
    """The table of one task."""

    task: Task
    split: Split
    arms: list[ArmSplit]


def splits(
    rows: Iterable[SampleOutcome], tasks: Iterable[Task], conditions: Sequence[str]
) -> list[TaskSplit]:
    """Return the tables of the tasks that declare one. Failed requests are left out.

    Args:
        rows: outcomes.csv, gone through for each table and condition.
        tasks: the trial's tasks.
        conditions: the arms.
    """
    return [
        TaskSplit(task, task.split, [_arm(task, task.split, rows, each) for each in conditions])
        for task in tasks
        if task.split is not None
    ]


def _arm(task: Task, split: Split, rows: Iterable[SampleOutcome], condition: str) -> ArmSplit:
    outcomes: dict[float | str | None, Counter[Outcome]] = defaultdict(Counter)
    seen: set[str] = set()
    totals = [0.0] * len(split.totals)
    for row in rows:
        if (row.type, row.condition) != (task.name, condition) or row.outcome == "failed":
            continue
        outcomes[row.column(split.column)][row.outcome] += 1
        if row.item_key not in seen:
            seen.add(row.item_key)
            for place, (column, _) in enumerate(split.totals):
                totals[place] += row.number(column) or 0
    parts = [_part(kind, outcomes[kind]) for kind in split.kinds]
    return ArmSplit(
        condition=condition,
        parts=[part for part in parts if part.n],
        n_items=len(seen),
        totals=[round(total) for total in totals],
    )


def _part(kind: str, counts: Counter[Outcome]) -> Part:
    right = sum(counts[each] for each in RIGHT)
    wrong, abstained = counts["wrong"], counts["wrongly_abstained"]
    return Part(kind, right, wrong, abstained, counts.total() - right - wrong - abstained)
