"""The passages of each arm as the item viewer shows them: which were given, gold and cited."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from ..config.trial import Arm
from ..core.records import Item
from ..metrics.citations import cited_numbers
from ..retrieval.records import Passage
from ..retrieval.relevant import Relevant
from ..retrieval.retrieved import Retrieved
from ..retrieval.settings import REWRITE
from ..tasks.registry import options_of
from ..tasks.task import Task


class Rewritten(NamedTuple):
    """An arm's questions, and by reason how many were searched for as they are."""

    condition: str
    questions: int
    as_they_are: Counter[str]

    @property
    def n(self) -> int:
        """How many were rewritten."""
        return self.questions - self.as_they_are.total()


class ArmPassages:
    """Gathers the passages of the arms that search, each text once.

    Args:
        retrieved: what was found.
        arms: the trial's arms by condition.
    """

    def __init__(
        self,
        retrieved: Retrieved = MappingProxyType({}),
        arms: Mapping[str, Arm] = MappingProxyType({}),
    ) -> None:
        self._retrieved = retrieved
        self._arms = arms
        self._numbers: dict[tuple[str, int, int, str], int] = {}

    @property
    def texts(self) -> list[list[Any]]:
        """Each passage as ``[path, first line, last line, text]``."""
        return [list(each) for each in self._numbers]

    def of_item(self, task: Task, item: Item, condition: str) -> dict[str, Any] | None:
        """Return what an arm found for an item; ``None`` where it does not search.

        ``found`` has ``[index in texts, number in the prompt or null, whether it is gold]`` of
        each passage, best first; ``missing`` the names of the gold passages that none covers.
        ``query``, where the arm rewrites questions: what was searched for, and why it is the
        question, or null.
        """
        retrieval = self._retrieved.get((condition, item.key))
        if retrieval is None:
            return None
        passages = retrieval.passages
        options = options_of(task.name, self._arms[condition].options)
        numbers = {each.id: n for n, each in enumerate(task.in_prompt(passages, options), 1)}
        gold = {name: Relevant.read(name) for name in task.relevant(item)}
        rewrites = getattr(options, "query", None) == REWRITE
        query = {"query": [retrieval.query, retrieval.not_rewritten]} if rewrites else {}
        return {
            **query,
            "found": [
                [
                    self._index(passage),
                    numbers.get(passage.id),
                    any(each.covers(passage) for each in gold.values()),
                ]
                for passage in passages
            ],
            "missing": [name for name, each in gold.items() if not any(map(each.covers, passages))],
        }

    def rewritten(self) -> list[Rewritten]:
        """Return what became of the questions in each arm that rewrites them."""
        rewriting = [
            condition
            for condition, arm in self._arms.items()
            if any(options.get("query") == REWRITE for options in arm.options.values())
        ]
        of_arms: dict[str, list[str | None]] = {condition: [] for condition in rewriting}
        for condition, key in self._retrieved:
            if condition in of_arms:
                of_arms[condition].append(self._retrieved[condition, key].not_rewritten)
        return [
            Rewritten(condition, len(reasons), Counter(filter(None, reasons)))
            for condition, reasons in of_arms.items()
        ]

    def _index(self, passage: Passage) -> int:
        place = (passage.path, passage.first_line, passage.last_line, passage.text)
        return self._numbers.setdefault(place, len(self._numbers))


def cited(response: str, task: Task) -> list[int] | None:
    """Return the numbers that a response cites; ``None`` for tasks that search nothing."""
    return cited_numbers(response) if task.searches else None
