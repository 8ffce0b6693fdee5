"""Gather the raw parts of a trial into one table, answers.csv.

Later stages read it and not the parts. predictions.csv and errors.csv have some of its columns: the
answers, and the requests without one.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel

from ..core.errors import UserError, command
from ..core.files import atomic_writer, csv_row, read_settings
from ..core.records import Answer, ErrorRow, Prediction, RawLine, RequestMeta
from ..core.seals import SealWriter, add_seal_argument
from .parts import ParseSettings, TrialParts

_NAMED_AT_MOST = 5
_COPIED = RawLine.model_fields.keys() & Answer.model_fields.keys() - {"custom_id", "served_by"}
"""Fields that a raw line and its row have in common."""


class Completeness:
    """The check that the raw parts answer exactly the requests, each once.

    Args:
        parts: of a trial.
    """

    def __init__(self, parts: TrialParts) -> None:
        self._at = parts.answers_at
        self._asked = set(_asked(parts))
        self._answered: set[tuple[str, str]] = set()

    def add(self, condition: str, line: RawLine) -> None:
        """Take a raw line.

        Raises:
            UserError: its id was there before.
        """
        key = (condition, line.custom_id)
        if key in self._answered:
            raise UserError(f"{self._at}: custom_id {line.custom_id!r} occurs twice")
        self._answered.add(key)

    def finish(self) -> None:
        """Check that all raw lines were the right ones.

        Raises:
            UserError: naming missing and unknown ids.
        """
        for problem, keys in (
            ("have no raw line", self._asked - self._answered),
            ("were never asked", self._answered - self._asked),
        ):
            if keys:
                raise UserError(
                    f"{self._at}: {len(keys)} requests {problem}: "
                    f"{_some(sorted(each for _, each in keys))}. "
                    "Delete the raw part they belong to; it is made again from the journal."
                )


def _asked(parts: TrialParts) -> Iterator[tuple[str, str]]:
    for condition, arm in parts.arms.items():
        for request in arm.requests(RequestMetaOnly):
            yield condition, request.custom_id


class FailureCount:
    """The check that not too many of a trial's requests failed.

    Arms whose answers come from a file do not count: no further run could add to the file.
    """

    def __init__(self, settings: ParseSettings) -> None:
        self._settings = settings
        arms = settings.parts.arms.items()
        self._files = {condition for condition, arm in arms if arm.answers}
        self._reasons: Counter[str] = Counter()
        self._asked = 0

    def add(self, condition: str, line: RawLine) -> None:
        """Take a raw line."""
        if condition not in self._files:
            self._asked += 1
            if line.error is not None:
                self._reasons[line.error.message] += 1

    def finish(self) -> None:
        """Check the share of failures.

        Raises:
            UserError: how many failed, and the most frequent reason.
        """
        failed, most = self._reasons.total(), self._settings.max_failure_share
        if failed > most * self._asked:
            ((reason, _),) = self._reasons.most_common(1)
            raise UserError(
                f"{self._settings.parts.answers_at}: {failed} of {self._asked} requests failed, "
                f"more than max_failure_share={most:g} allows. Most often: {reason}. "
                "Fix the cause and run again: only failed requests are sent. Or raise "
                "max_failure_share."
            )


def checked_answers(settings: ParseSettings) -> Iterator[Answer]:
    """Yield what `answers` does, and check the raw parts meanwhile.

    Raises:
        UserError: the raw parts are not complete, or too many requests failed.
    """
    checks = (Completeness(settings.parts), FailureCount(settings))
    for condition, line in settings.parts.raw_lines():
        for check in checks:
            check.add(condition, line)
        yield answer(condition, line)
    for check in checks:
        check.finish()


class RequestMetaOnly(RequestMeta):
    """A request's metadata, read from its line without building messages and parameters."""

    model_config = RequestMeta.model_config | {"extra": "ignore"}


def answers(parts: TrialParts) -> Iterator[Answer]:
    """One row for each request of the trial, under the condition its prompt stands for."""
    for condition, line in parts.raw_lines():
        yield answer(condition, line)


def answer(condition: str, line: RawLine) -> Answer:
    """The row of a raw line, in the arm of a condition."""
    fields = {name: value for name, value in line if name in _COPIED and value is not None}
    if line.usage is not None:
        fields |= line.usage.model_dump()
    if line.logprobs is not None:
        fields |= {"logprob_sum": line.logprobs.total, "logprob_mean": line.logprobs.mean}
    if line.served_by is not None:
        fields["served_by"] = _json(tuple(sorted(line.served_by.items())))
    if line.error is not None:
        fields |= {"error_type": line.error.type, "error_message": line.error.message}
    named = {"custom_id": line.named(condition), "condition": condition}
    return Answer.model_validate(fields | named)  # it takes half of the time of `model_construct`


@functools.lru_cache(maxsize=64)  # few servers give many answers
def _json(served_by: tuple[tuple[str, str], ...]) -> str:
    return json.dumps(dict(served_by), ensure_ascii=False)


def errors(rows: Iterable[Answer]) -> Iterator[ErrorRow]:
    """The rows of the requests that have no answer."""
    for row in rows:
        if row.failed:
            yield ErrorRow(**row.model_dump(include=set(ErrorRow.model_fields)))


class AnswerTable(NamedTuple):
    """One of the tables of a trial's answers: some columns of some rows of answers.csv."""

    name: str
    record: type[BaseModel]
    holds: Callable[[Answer], bool]

    @property
    def header(self) -> str:
        """Return its first line."""
        return csv_row(self.record.model_fields)

    def line(self, row: Answer) -> str:
        """Return the line of a row."""
        return csv_row([getattr(row, column) for column in self.record.model_fields])


TABLES = (
    AnswerTable("answers.csv", Answer, lambda row: True),
    AnswerTable("predictions.csv", Prediction, lambda row: not row.failed),
    AnswerTable("errors.csv", ErrorRow, lambda row: row.failed),
)


def write_tables(paths: Sequence[Path], rows: Iterable[Answer]) -> None:
    """Write the `TABLES` to these paths, all in one pass over the rows."""
    with contextlib.ExitStack() as stack:
        streams = [stack.enter_context(atomic_writer(path)) for path in paths]
        tables = list(zip(TABLES, streams, strict=True))
        for table, stream in tables:
            stream.write(table.header)
        for row in rows:
            for table, stream in tables:
                if table.holds(row):
                    stream.write(table.line(row))


def _some(ids: list[str]) -> str:
    more = f" and {len(ids) - _NAMED_AT_MOST} more" if len(ids) > _NAMED_AT_MOST else ""
    return ", ".join(ids[:_NAMED_AT_MOST]) + more


@command
def main() -> None:
    """Write answers.csv, predictions.csv and errors.csv of one trial."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--settings", type=Path, required=True)
    parser.add_argument("--answers", type=Path, required=True)
    parser.add_argument("--predictions", type=Path, required=True)
    parser.add_argument("--errors", type=Path, required=True)
    add_seal_argument(parser)
    args = parser.parse_args()

    settings = read_settings(args.settings, ParseSettings)
    parts = settings.parts
    seal = SealWriter(args.seal, parts.input_files() + parts.raw_files())
    written = [args.answers, args.predictions, args.errors]
    write_tables(written, checked_answers(settings))
    seal.seal(*written)


if __name__ == "__main__":
    main()
