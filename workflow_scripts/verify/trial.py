"""Verify one trial, from the journal to its statistics.

A trial's page is made only when nothing wrong was found.
"""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import BinaryIO, NamedTuple

from pydantic import Field

from ..answers.parts import ArmParts, TrialParts
from ..answers.predictions import TABLES, answers
from ..core.block import Block
from ..retrieval.settings import REWRITE
from .answers import AnswerCheck, AnswerCounts
from .files import check_files
from .problem import Problem

SCHEMA_VERSION = 1

CHAIN = (
    "answers.csv",
    "predictions.csv",
    "errors.csv",
    "per_item_scores.csv",
    "outcomes.csv",
    "metrics.json",
    "unsupported_sensitivity.json",
    "significance.json",
    "selective_risk.json",
    "power.json",
    "costs.json",
    "local_costs.json",
    "cost_effectiveness.json",
    "usage_per_item.csv",
    "usage.json",
    "audit.json",
    "differences.json",
)
"""The files of a trial that its numbers come from."""

JUDGED_FILES = ("verdicts.csv", "judgements.json")
"""Further ones of a trial whose responses somebody judges."""

RETEST_FILE = "retest.json"
"""That of a trial with requests that were sent again."""

PAGE_FILES = (
    "answers.csv",
    "per_item_scores.csv",
    "outcomes.csv",
    "metrics.json",
    "significance.json",
    "selective_risk.json",
    "power.json",
    "costs.json",
    "local_costs.json",
    "cost_effectiveness.json",
    "usage.json",
    "audit.json",
    "differences.json",
    "provenance.json",
    "verification.json",
)
"""The files of a trial that its page shows."""


class Verification(Block):
    """verification.json: what was checked of a trial, and what could not be.

    ``files`` is the number of files that are as they were made; ``unchecked`` names each gap.
    """

    schema_version: int = SCHEMA_VERSION
    answers: AnswerCounts = AnswerCounts()
    files: int = 0
    unchecked: list[str] = Field(default_factory=list)

    @classmethod
    def together(cls, several: Iterable[Verification]) -> Verification:
        """Return the sums of several; each trial's page names its own gaps."""
        found = list(several)
        counts = {
            name: sum(getattr(each.answers, name) for each in found)
            for name in AnswerCounts.model_fields
        }
        gaps = ["some of it; see the pages of the trials"]
        return cls(
            answers=AnswerCounts(**counts),
            files=sum(each.files for each in found),
            unchecked=gaps if any(each.unchecked for each in found) else [],
        )

    @property
    def in_short(self) -> str:
        """Whether it was verified, in a word or two."""
        if not self.unchecked:
            return "answers and files"
        compared = self.answers.in_journal + self.answers.in_files
        return "in part" if self.files or compared else "no"

    @property
    def sentence(self) -> str:
        """What was verified, in plain words."""
        counts = self.answers
        checked = counts.answers - counts.without_checksum - counts.in_files
        found = []
        if counts.in_files:
            found.append(f"{_answers(counts.in_files)} the files that they come from")
        if counts.in_journal:
            found.append(f"{_answers(counts.in_journal)} the journal")
        elif checked > 0:
            found.append(f"{_answers(checked)} the recorded checksums")
        if self.files:
            found.append("tables and statistics are as they were computed")
        return f"Verified: {'; '.join(found)}." if found else "Not verified."


class TrialCheck(NamedTuple):
    """What was checked of a trial, and what is wrong with it, the first of the chain first."""

    verification: Verification
    problems: list[Problem]


def verify_trial(
    folder: Path,
    parts: TrialParts | None,
    journal: Path,
    pages: Sequence[str] = (),
    further: Sequence[ArmParts] = (),
) -> TrialCheck:
    """Verify a trial.

    Args:
        folder: the trial's.
        parts: where its requests and answers lie; ``None`` if that is not known.
        journal: the folder of all journals; it need not exist.
        pages: names of files in the folder to check beside the `CHAIN`.
        further: the parts of its judges, and of requests that were sent again.

    Raises:
        UserError: a file cannot be read.
    """
    problems: list[Problem] = []
    counts = AnswerCounts()
    files = check_files(_there(folder, (*CHAIN, *JUDGED_FILES, RETEST_FILE, *pages)))
    unchecked: list[str] = []
    if parts is None:
        unchecked.append("the answers: no provenance.json says which they are")
    else:
        check = AnswerCheck(journal)
        for arm in (*parts.arms.values(), *further):
            for requests, raw in zip(arm.input_files(), arm.raw_files(), strict=True):
                check.add_part(Path(requests), Path(raw), arm.answers)
        for texts in _rewriting(files.sealed):
            check.add_part(*texts)
        counts = check.compare()
        unchecked += _gaps(counts, parts, journal)
        # Tables of answers that were changed differ too; the cause is named alone.
        problems += check.problems or _tables(folder, parts)
    named = {each.path for each in problems}
    problems += [each for each in files.problems if each.path not in named]
    if files.unsealed:
        names = ", ".join(sorted(path.name for path in files.unsealed))
        unchecked.append(f"whether files were changed that a version before 0.2 made: {names}")
    verification = Verification(answers=counts, files=len(files.sealed), unchecked=unchecked)
    return TrialCheck(verification, problems)


def _rewriting(files: Iterable[Path]) -> Iterator[tuple[Path, Path]]:
    """Yield the parts that rewrite questions, to which seals lead, each with its raw part."""
    for path in files:
        if path.name.startswith(f"{REWRITE}.") and path.parent.parent.name == "inputs":
            yield path, path.parents[2] / path.parent.name / "raw" / path.name


def _answers(n: int) -> str:
    return f"{n:,} answer matches" if n == 1 else f"{n:,} answers match"


def _there(folder: Path, names: Iterable[str]) -> list[Path]:
    return [folder / name for name in names if (folder / name).is_file()]


def _gaps(counts: AnswerCounts, parts: TrialParts, journal: Path) -> list[str]:
    """Name what could not be checked of the answers."""
    found = []
    if counts.without_checksum:
        found.append(
            "whether answers were changed that a version before 0.2 recorded, without checksums: "
            f"{counts.without_checksum:,}"
        )
    if counts.file_missing:
        files = {arm.answers.shown for arm in parts.arms.values() if arm.answers}
        found.append(
            f"the answers against their file ({', '.join(sorted(files))}), which is not here: "
            f"{counts.file_missing:,}"
        )
    if all(arm.answers for arm in parts.arms.values()):
        return found
    return found + gaps_of_asked(counts, journal)


def gaps_of_asked(counts: AnswerCounts, journal: Path) -> list[str]:
    """Name what could not be checked of answers that somebody was asked for."""
    found = []
    if not any(journal.glob("*/*.jsonl")):
        return ["the answers against the journal: it is not here"]
    if counts.not_in_journal:
        found.append(f"answers that the journal does not hold: {counts.not_in_journal:,}")
    if counts.request_unchecked:
        found.append(
            "whether requests are those that were sent, because the journal does not say which "
            f"model was asked: {counts.request_unchecked:,}"
        )
    return found


def _tables(folder: Path, parts: TrialParts) -> list[Problem]:
    """Make the tables of answers again, and compare them with those that are there."""
    with contextlib.ExitStack() as stack:
        there = [
            (table, _Comparison(path, stack.enter_context(path.open("rb"))))
            for table in TABLES
            if (path := folder / table.name).is_file()
        ]
        for table, comparison in there:
            comparison.compare(table.header)
        for row in answers(parts):
            for table, comparison in there:
                if table.holds(row) and comparison.problem is None:
                    comparison.compare(table.line(row))
        for _, comparison in there:
            comparison.end()
    return [comparison.problem for _, comparison in there if comparison.problem is not None]


class _Comparison:
    """A table that is compared with its rows as they are made again, one by one.

    Attributes:
        problem: the first line that is not as it should be.
    """

    def __init__(self, path: Path, stream: BinaryIO) -> None:
        self.problem: Problem | None = None
        self._path = path
        self._stream = stream
        self._number = 1

    def compare(self, row: str) -> None:
        """Compare the next row."""
        expected = row.encode()
        found = self._stream.read(len(expected))
        if found != expected:
            lines = zip_longest(found.split(b"\n"), expected.split(b"\n"))
            equal = next(n for n, (one, other) in enumerate(lines) if one != other)
            row_of = repr(next(csv.reader([row]))[0]) if self._number > 1 else "the columns' names"
            self._found(self._number + equal, f"the raw parts give another row for {row_of}")
        self._number += expected.count(b"\n")

    def end(self) -> None:
        """Check that the table has no further row."""
        if self.problem is None and self._stream.read(1):
            self._found(self._number, "the raw parts give no such row")

    def _found(self, number: int, what: str) -> None:
        text = (
            f"{self._path}, line {number}: {what}. Delete this file and run again: it is made "
            "again from the raw parts, and nothing is sent."
        )
        self.problem = Problem(self._path, text)
