"""What became of each item, and which items a page holds where there are too many for one."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..core.records import Outcome, SampleOutcome
from ..stats.scores import BoolArray

ItemOutcome = Outcome | Literal["mixed"]

OUTCOMES: dict[ItemOutcome, tuple[str, str]] = {
    "correct": ("✓", "answered correctly"),
    "rightly_abstained": ("○", "said that it does not know, and the item has no answer"),
    "wrong": ("✗", "answered, but not correctly (or the item has no answer)"),
    "wrongly_abstained": ("–", "said that it does not know, but the item has an answer"),
    "refused": ("⊘", "would not answer, or the provider blocked it"),
    "mixed": ("≈", "the samples of this item differ"),
    "empty": ("∅", "the response says nothing"),
    "truncated": ("…", "cut off at the token limit"),
    "failed": ("!", "the request has no answer, see the errors"),
}
"""Each outcome's sign and meaning."""

MOST_RESPONSES = 50_000
MOST_BYTES = 100_000_000
"""The most responses that a page holds, and the most bytes of the files that they and their items
are read from: more make it too large to open and to send."""

_NAMES: tuple[ItemOutcome, ...] = tuple(OUTCOMES)
_CODES = {name: code for code, name in enumerate(_NAMES, start=1)}
_MIXED = _CODES["mixed"]


@dataclass(frozen=True)
class Selection:
    """How many of the items and responses a page holds, and how many of the differing items.

    Items differ if their outcome is not the same under all arms.
    """

    items: int
    all_items: int
    responses: int
    all_responses: int
    differing: int
    all_differing: int


class ItemOutcomes:
    """What became of each item under each arm, over all its samples; a byte for each of them.

    Args:
        rows: outcomes.csv.
        most: the most responses that a page holds.
        size: of the files that all responses and items are read from, in bytes.
    """

    def __init__(self, rows: Iterable[SampleOutcome], most: int, size: int = 0) -> None:
        self._numbers: dict[str, int] = {}
        self._codes: dict[tuple[str, str, str], bytearray] = {}
        self._responses: dict[str, array[int]] = {}
        for row in rows:
            self._add(row)
        self._shown: dict[str, BoolArray] | None = None
        self.selection: Selection | None = None
        responses = sum(map(sum, self._responses.values()))
        if size > MOST_BYTES:
            most = min(most, responses * MOST_BYTES // size)
        if responses > most:
            self._select(most)

    def _add(self, row: SampleOutcome) -> None:
        number = self._numbers.setdefault(row.item_key, len(self._numbers))
        codes = self._codes.setdefault((row.type, row.temp, row.condition), bytearray())
        responses = self._responses.setdefault(row.type, array("L"))
        codes.extend(bytes(max(0, number + 1 - len(codes))))
        responses.extend([0] * (number + 1 - len(responses)))
        before, now = codes[number], _CODES[row.outcome]
        codes[number] = now if before in (0, now) else _MIXED
        responses[number] += 1

    def of(self, task: str, key: str, temp: str, condition: str) -> ItemOutcome | None:
        """Return the outcome of an item under an arm; ``None`` where there is none."""
        codes, number = self._codes.get((task, temp, condition), b""), self._numbers.get(key)
        if number is None or number >= len(codes) or not codes[number]:
            return None
        return _NAMES[codes[number] - 1]

    def on_page(self, task: str, key: str) -> bool:
        """Whether the page holds an item; also where nothing is known of it."""
        number = self._numbers.get(key)
        if self._shown is None or number is None or task not in self._shown:
            return True
        shown = self._shown[task]
        return number >= len(shown) or bool(shown[number])

    def transitions(
        self, task: str, temp: str, control: str, treatment: str
    ) -> dict[tuple[ItemOutcome, ItemOutcome], int]:
        """How many items went from which outcome to which; an item that one arm lacks failed."""
        before, after = (
            self._codes.get((task, temp, condition), b"") for condition in (control, treatment)
        )
        size = max(len(before), len(after))
        pairs = Counter(zip(before.ljust(size, b"\0"), after.ljust(size, b"\0"), strict=True))
        counts: Counter[tuple[ItemOutcome, ItemOutcome]] = Counter()
        for (one, other), n in pairs.items():
            if one or other:
                failed = _CODES["failed"]
                counts[_NAMES[(one or failed) - 1], _NAMES[(other or failed) - 1]] += n
        return dict(counts)

    def _select(self, most: int) -> None:
        """Choose differing items first, then others: of each task alike, in the rows' order."""
        differing = {task: self._differing(task) for task in self._responses}
        counts = {task: np.array(found, dtype=np.int64) for task, found in self._responses.items()}
        ordered = sorted(self._by_rank(differing, counts))
        self._shown = {task: np.zeros(len(found), dtype=np.bool_) for task, found in counts.items()}
        left = most
        for *_, task, number in ordered:
            left -= int(counts[task][number])
            if left < 0:
                break
            self._shown[task][number] = True
        chosen = self._shown
        self.selection = Selection(
            items=sum(int(each.sum()) for each in chosen.values()),
            all_items=len(ordered),
            responses=sum(int(counts[task][each].sum()) for task, each in chosen.items()),
            all_responses=sum(int(each.sum()) for each in counts.values()),
            differing=sum(int((each & differing[task]).sum()) for task, each in chosen.items()),
            all_differing=sum(int(each.sum()) for each in differing.values()),
        )

    def _by_rank(
        self, differing: dict[str, BoolArray], counts: dict[str, np.ndarray]
    ) -> Iterator[tuple[bool, int, str, int]]:
        """Whether an item does not differ, its rank among such of its task, its task and number."""
        for task, found in counts.items():
            for same in (False, True):
                numbers = np.flatnonzero((found > 0) & (differing[task] != same))
                for rank, number in enumerate(numbers.tolist()):
                    yield same, rank, task, number

    def _differing(self, task: str) -> BoolArray:
        size = len(self._responses[task])
        found = np.zeros(size, dtype=np.bool_)
        temps = {temp for name, temp, _ in self._codes if name == task}
        for of_temp in temps:
            arms = [
                np.frombuffer(codes.ljust(size, b"\0"), dtype=np.uint8)
                for (name, temp, _), codes in self._codes.items()
                if (name, temp) == (task, of_temp)
            ]
            found |= np.ptp(np.stack(arms), axis=0) > 0
        return found
