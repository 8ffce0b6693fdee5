"""Compare imported answers with the file that they were read from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ..core.recorded import AnswersFile, RecordedAnswer
from ..core.records import RawLine, Usage
from ..datasets.answer_formats import read_answers


class _Line(NamedTuple):
    """A raw line, the place in the file that it names, and a hash of its answer."""

    raw: Path
    number: int
    place: str
    answer: int


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
        self._files: dict[int, AnswersFile] = {}
        self._lines: dict[int, list[_Line]] = {}

    def add(self, file: AnswersFile, raw: Path, number: int, line: RawLine) -> None:
        """Keep a raw line that has an answer."""
        key = id(file)
        self._files[key] = file
        usage = line.usage or Usage()
        answer = _hash(
            RecordedAnswer(
                place="",
                response_text=line.response_text,
                finish_reason=line.finish_reason or "",
                prompt_tokens=usage.prompt_tokens,
                completion_tokens=usage.completion_tokens,
                latency_s=line.latency_s,
            )
        )
        self._lines.setdefault(key, []).append(_Line(raw, number, line.request_id or "", answer))

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
            held = {each.place: _hash(each) for each in read_answers(file)}
            differing = [
                (each.raw, each.number, f"{file.shown} has another answer at {each.place}")
                for each in lines
                if held.get(each.place) != each.answer
            ]
            yield file, Compared(len(lines) - len(differing), 0, differing)


def _hash(answer: RecordedAnswer) -> int:
    """A hash of an answer of a file, equal to that of the raw line that was made from it."""
    return hash(
        (
            answer.response_text,
            answer.finish_reason,
            answer.prompt_tokens,
            answer.completion_tokens,
            answer.latency_s,
        )
    )
