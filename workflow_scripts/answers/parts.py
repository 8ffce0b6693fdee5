"""The parts that make up a trial."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..core.block import Block
from ..core.files import read_jsonl
from ..core.placed import Placed
from ..core.records import RawLine


class TrialParts(Block):
    """Where the requests and answers of a trial lie.

    ``arms`` gives for each condition the file names of its prompt's parts, the same in both
    folders.
    """

    inputs_folder: Placed
    raw_folder: Placed
    arms: dict[str, list[str]]

    def input_files(self) -> list[str]:
        """The batch-input parts of all arms."""
        return [f"{self.inputs_folder}/{name}" for names in self.arms.values() for name in names]

    def raw_files(self) -> list[str]:
        """The raw parts of all arms."""
        return [f"{self.raw_folder}/{name}" for names in self.arms.values() for name in names]

    def count_requests(self) -> int:
        """The number of requests in the batch-input parts."""
        return sum(_count_lines(Path(name)) for name in self.input_files())

    def raw_lines(self) -> Iterator[tuple[str, RawLine]]:
        """All raw lines, each with the condition that its prompt stands for in this trial."""
        for condition, lines in self.lines_by_arm():
            for line in lines:
                yield condition, line

    def lines_by_arm(self) -> Iterator[tuple[str, Iterator[RawLine]]]:
        """Each condition with the raw lines of its prompt."""
        for condition, names in self.arms.items():
            yield condition, self._lines(names)

    def _lines(self, names: list[str]) -> Iterator[RawLine]:
        for name in names:
            yield from read_jsonl(Path(self.raw_folder) / name, RawLine)


def _count_lines(path: Path) -> int:
    with path.open("rb") as stream:
        return sum(1 for _ in stream)


class ParseSettings(Block):
    """The parts of a trial, and the share of failed requests that it bears."""

    parts: TrialParts
    max_failure_share: float
