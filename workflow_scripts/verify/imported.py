"""Compare imported answers with the file that they were read from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ..answers.imported import completion
from ..core.recorded import AnswersFile
from ..core.records import RawLine
from ..datasets.answer_formats import read_answers


class _Line(NamedTuple):
    """A raw line, and the checksum of its answer whoever was asked."""

    raw: Path
    number: int
    place: str
    checksum: str


class Compared(NamedTuple):
    """What became of the raw lines of one file: how many are equal, and which are not.

    ``not_compared``: the file is not here.
    """

    equal: int
    not_compared: int
    differing: list[tuple[Path, int, str]]


class ImportedAnswers:
    """Raw lines with answers that come from files. Memory grows by some 300 bytes a line."""

    def __init__(self) -> None:
        self._files: dict[str, AnswersFile] = {}
        self._lines: dict[str, list[_Line]] = {}

    def add(self, file: AnswersFile, raw: Path, number: int, line: RawLine) -> None:
        """Keep a raw line that has an answer."""
        key = json.dumps(file.model_dump(mode="json"), sort_keys=True)
        self._files[key] = file
        answer = line.completion()
        self._lines.setdefault(key, []).append(
            _Line(raw, number, answer.request_id, answer.checksum(""))
        )

    def compare(self) -> Iterator[tuple[AnswersFile, Compared]]:
        """Yield what the comparison with each file gives.

        Raises:
            UserError: a file is there and cannot be read.
        """
        for key, file in self._files.items():
            lines = self._lines[key]
            if not Path(file.path).is_file():
                yield file, Compared(0, len(lines), [])
                continue
            held = {
                each.place: answer.checksum("")
                for each in read_answers(file)
                if (answer := completion(each, file)) is not None
            }
            differing = [
                (each.raw, each.number, f"{file.shown} has another answer at {each.place}")
                for each in lines
                if held.get(each.place) != each.checksum
            ]
            yield file, Compared(len(lines) - len(differing), 0, differing)
