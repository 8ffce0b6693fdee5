"""The parts that make up a trial."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TypeVar

from pydantic import Field

from ..core.block import Block
from ..core.files import read_jsonl
from ..core.placed import Placed
from ..core.recorded import AnswersFile
from ..core.records import RawLine, Record, Request

AnyRecord = TypeVar("AnyRecord", bound=Record)

RETEST = "-retest"
"""Ends the names of the folders of requests that are sent a second time."""

_PART = re.compile(r"\.p\d+\.jsonl$")


EstimatedParts = Mapping[Path, Sequence[Request]]
"""Requests as they may be, by the batch-input part that is not made yet."""

_NONE: EstimatedParts = {}


def part_requests(
    path: Path, record: type[AnyRecord], estimated: EstimatedParts = _NONE
) -> Iterator[AnyRecord]:
    """Yield the lines of a batch-input part; the estimated ones, where there are some."""
    if path not in estimated:
        yield from read_jsonl(path, record)
    for request in estimated.get(path, ()):
        if isinstance(request, record):
            yield request
        else:
            yield record.model_validate(request.model_dump())


class ArmParts(Block):
    """Where the requests and answers of one arm lie: files of the same names in both folders.

    ``answers``: the file that the answers come from, if nobody was asked. Then the lines in the
    place of requests are no more than a `RequestMeta`.
    """

    inputs_folder: Placed
    raw_folder: Placed
    names: list[str]
    answers: AnswersFile | None = Field(None, exclude_if=lambda file: file is None)

    def input_files(self) -> list[str]:
        """The batch-input parts."""
        return [f"{self.inputs_folder}/{name}" for name in self.names]

    def raw_files(self) -> list[str]:
        """The raw parts."""
        return [f"{self.raw_folder}/{name}" for name in self.names]

    def telemetry_files(self) -> list[str]:
        """What was measured while the parts were answered."""
        folder = PurePosixPath(self.raw_folder).with_name("telemetry")
        return [f"{folder}/{name}" for name in self.names]

    def sent_again(self) -> ArmParts:
        """The requests that are sent a second time: one part for all parts of a prompt."""
        raw = PurePosixPath(self.raw_folder)
        return ArmParts(
            inputs_folder=f"{self.inputs_folder}{RETEST}",
            raw_folder=f"{raw.parent}{RETEST}/{raw.name}",
            names=list(dict.fromkeys(_PART.sub(".p000.jsonl", name) for name in self.names)),
        )

    def requests(
        self, record: type[AnyRecord], estimated: EstimatedParts = _NONE
    ) -> Iterator[AnyRecord]:
        """The lines of the batch-input parts; see `part_requests`."""
        for name in self.input_files():
            yield from part_requests(Path(name), record, estimated)

    def raw_lines(self) -> Iterator[RawLine]:
        """The lines of the raw parts."""
        for name in self.raw_files():
            yield from read_jsonl(Path(name), RawLine)


class TrialParts(Block):
    """The parts of each arm of a trial, by condition."""

    arms: dict[str, ArmParts]

    def input_files(self) -> list[str]:
        """The batch-input parts of all arms; a file that arms share stands there for each."""
        return [file for arm in self.arms.values() for file in arm.input_files()]

    def raw_files(self) -> list[str]:
        """The raw parts of all arms."""
        return [file for arm in self.arms.values() for file in arm.raw_files()]

    @property
    def answers_at(self) -> str:
        """The folders of the raw parts, for messages."""
        return ", ".join(dict.fromkeys(str(arm.raw_folder) for arm in self.arms.values()))

    def count_requests(self) -> int:
        """The number of requests in the batch-input parts."""
        return sum(_count_lines(Path(name)) for name in self.input_files())

    def raw_lines(self) -> Iterator[tuple[str, RawLine]]:
        """All raw lines, each with its condition."""
        for condition, arm in self.arms.items():
            for line in arm.raw_lines():
                yield condition, line


def _count_lines(path: Path) -> int:
    with path.open("rb") as stream:
        return sum(1 for _ in stream)


class ParseSettings(Block):
    """The parts of a trial, and the share of failed requests that it bears."""

    parts: TrialParts
    max_failure_share: float
