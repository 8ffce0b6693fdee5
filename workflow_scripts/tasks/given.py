"""The passages that the prompts of a trial's arms were given: they differ by arm."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ..core.block import Block
from ..core.errors import UserError
from ..core.placed import Placed
from ..core.records import TrialRow
from ..retrieval.records import Passage
from ..retrieval.retrieved import Retrieved, RetrievedFile, RetrievedOnDisk
from .registry import TASKS, options_of

_NOTHING: Retrieved = MappingProxyType({})


class ArmRetrieval(Block):
    """What an arm retrieved.

    ``options``: of each task that it searches for; they say how its prompts number passages.
    """

    files: list[Placed]
    options: dict[str, dict[str, Any]]


Retrievals = Mapping[str, ArmRetrieval]
"""By condition, of the arms that search."""


class Found:
    """What the arms of a trial found for their items.

    Args:
        retrieved: by condition and `Item.key`; none of an arm that does not search.
    """

    def __init__(self, retrieved: Retrieved = _NOTHING) -> None:
        self._retrieved = retrieved
        self._searching = {condition for condition, _ in retrieved}

    def passages(self, row: TrialRow) -> tuple[Passage, ...]:
        """Return what was found for the item of a row in its arm, best first, given or not.

        Raises:
            UserError: the arm searches, but not for this item.
        """
        if row.condition not in self._searching or not TASKS[row.type].searches:
            return ()
        found = self._retrieved.get((row.condition, row.item_key))
        if found is None:
            raise UserError(
                f"item {row.item_key!r} has no retrieval in arm {row.condition!r}; delete the "
                "retrievals of the experiment and run again"
            )
        return found.passages


class Given:
    """The passages in the prompts of a trial's arms; they are read when they are needed.

    Args:
        retrievals: of the arms that search.

    Raises:
        UserError: a file of them is not valid.
    """

    def __init__(self, retrievals: Retrievals = MappingProxyType({})) -> None:
        self._options = {
            (condition, task): options_of(task, each.options)
            for condition, each in retrievals.items()
            for task in each.options
        }
        self._found = Found(
            RetrievedOnDisk(
                RetrievedFile(condition, Path(file))
                for condition, each in retrievals.items()
                for file in each.files
            )
        )

    def passages(self, row: TrialRow) -> list[Passage]:
        """Return the passages in the prompt of a row's request, as it numbers them from 1.

        Raises:
            UserError: the arm searches, but not for this item.
        """
        if not (found := self._found.passages(row)):
            return []
        return TASKS[row.type].in_prompt(found, self._options[row.condition, row.type])


def files_of(retrievals: Retrievals) -> list[Path]:
    """Return the files of the arms, each once."""
    return list(dict.fromkeys(Path(file) for each in retrievals.values() for file in each.files))
