"""Verify answers: raw lines against the requests, their own checksums, and the journal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container
from itertools import zip_longest
from pathlib import Path

from pydantic import ValidationError

from ..answers.imported import digest_of
from ..answers.journal import (
    answers_in,
    edited,
    identity_of,
    journal_folder,
    request_digest,
    sample_in,
)
from ..core.block import Block
from ..core.errors import UserError
from ..core.files import read_jsonl
from ..core.recorded import AnswersFile
from ..core.records import RawLine, Request, RequestMeta, custom_id
from .imported import ImportedAnswers
from .problem import Problem

_META = tuple(RequestMeta.model_fields)
_DIGEST = 64  # letters
_CHANGED = "this answer was changed after it was recorded (its checksum does not match)"


class AnswerCounts(Block):
    """What was verified of a trial's answers.

    ``without_checksum``: recorded by a version before 0.2, so an edit cannot be found.
    ``request_unchecked``: nothing says which model was asked, so the request's digest cannot be
    computed. ``in_journal``: the journal holds the same answer to the same request;
    ``not_in_journal``: it holds none to that request. ``in_files``: a file of answers made
    elsewhere holds the same answer at the same place; ``file_missing``: that file is not here.
    """

    requests: int = 0
    failed: int = 0
    without_checksum: int = 0
    request_unchecked: int = 0
    in_journal: int = 0
    not_in_journal: int = 0
    in_files: int = 0
    file_missing: int = 0

    @property
    def answers(self) -> int:
        """Requests that have an answer."""
        return self.requests - self.failed


class AnswerCheck:
    """The check of some parts' answers. Memory grows by some 300 bytes an answer.

    Args:
        journal: the folder of all journals; it need not exist.

    Attributes:
        problems: what is wrong.
    """

    def __init__(self, journal: Path) -> None:
        self.problems: list[Problem] = []
        self._journal = journal
        self._parts: list[Path] = []
        self._counts = dict.fromkeys(AnswerCounts.model_fields, 0)
        self._identities = self._read_identities()
        self._answers: Counter[str] = Counter()
        """Digest and checksum of each answer, joined."""
        self._unmatched: dict[str, Problem] = {}
        """By digest, requests that no known identity has asked."""
        self._imported = ImportedAnswers()

    def add_part(self, requests: Path, raw: Path, file: AnswersFile | None = None) -> None:
        """Check the raw lines of a part against its requests, line by line.

        Args:
            requests: the batch-input part.
            raw: its raw part.
            file: where the answers come from, if nobody was asked.

        Raises:
            UserError: a line cannot be read.
        """
        if file is not None:
            self._add_imported(requests, raw, file)
            return
        self._parts.append(raw)
        pairs = zip_longest(read_jsonl(requests, Request), read_jsonl(raw, RawLine))
        for number, (request, line) in enumerate(pairs, start=1):
            if request is None or line is None:
                wrong = "answers no request" if request is None else "is missing: it is a request"
                self._add(raw, number, f"this line {wrong} of {requests}")
                return
            self._counts["requests"] += 1
            self._check_names(raw, number, line, request)
            self._check_answer(raw, number, line)
            if line.request_digest is not None:
                self._check_request(requests, number, request, line.request_digest)

    def _add_imported(self, requests: Path, raw: Path, file: AnswersFile) -> None:
        """Check a part whose answers come from a file; `compare` looks into the file."""
        pairs = zip_longest(read_jsonl(requests, RequestMeta), read_jsonl(raw, RawLine))
        for number, (request, line) in enumerate(pairs, start=1):
            if request is None or line is None or line.request_digest != digest_of(request):
                problem = "this line and the one in its place there belong to different items"
                self._add(raw, number, f"{problem}: {requests}", file)
                return
            self._counts["requests"] += 1
            self._check_names(raw, number, line, request, file)
            if line.error is not None:
                self._counts["failed"] += 1
            elif not _is_intact(line):
                self._add(raw, number, _CHANGED, file)
            else:
                self._imported.add(file, raw, number, line)

    def compare(self) -> AnswerCounts:
        """Compare the answers of all parts with the journal and with the files of answers."""
        for file, found in self._imported.compare():
            self._counts["in_files"] += found.equal
            self._counts["file_missing"] += found.not_compared
            for raw, number, what in found.differing:
                self._add(raw, number, what, file)
        return self._compare_with_journal()

    def _compare_with_journal(self) -> AnswerCounts:
        wanted = {key[:_DIGEST].encode() for key in self._answers}
        wanted.update(digest.encode() for digest in self._unmatched)
        held: set[str] = set()
        confirmed: set[str] = set()
        damaged: set[str] = set()
        for path in sorted(self._journal.glob("*/*.jsonl")) if wanted else ():
            names_who = path.parent.name in self._identities
            sample: str | None = None
            for number, answer in answers_in(path, wanted):
                if not answer.is_intact:
                    self.problems.append(Problem(path, str(edited(path, number))))
                    damaged.add(answer.digest)
                    continue
                if answer.packed_reply is not None:
                    try:
                        sample = sample_in(path) if sample is None else sample
                        answer.reply(sample)
                    except UserError as error:
                        text = f"{path}, line {number}: {error}. Restore the file from a backup."
                        self.problems.append(Problem(path, text))
                held.add(answer.digest)
                confirmed.add(answer.digest + answer.completion.checksum(answer.digest))
                if names_who and answer.digest in self._unmatched:
                    self.problems.append(self._unmatched.pop(answer.digest))
        differ = {key for key in self._answers.keys() - confirmed if key[:_DIGEST] in held}
        if differ:
            self._name(differ)
        held |= damaged
        self._counts["request_unchecked"] += len(self._unmatched)
        for key, count in self._answers.items():
            self._counts["in_journal"] += count if key in confirmed else 0
            self._counts["not_in_journal"] += count if key[:_DIGEST] not in held else 0
        return AnswerCounts(**self._counts)

    def _add(self, raw: Path, number: int, what: str, file: AnswersFile | None = None) -> None:
        remedy = "the journal, and only what the journal does not hold is sent"
        if file is not None:
            remedy = file.shown
        text = (
            f"{raw}, line {number}: {what}. Delete this file and run again: it is made again from "
            f"{remedy}."
        )
        self.problems.append(Problem(raw, text))

    def _check_names(
        self,
        raw: Path,
        number: int,
        line: RawLine,
        request: RequestMeta,
        file: AnswersFile | None = None,
    ) -> None:
        """Check that a raw line echoes its request, and lies in the part that its fields name."""
        wrong = [name for name in _META if getattr(line, name) != getattr(request, name)]
        named = custom_id(
            line.dataset, line.item_id, line.prompt, line.temp, line.sample_index, line.type
        )
        if wrong:
            self._add(
                raw,
                number,
                f"{wrong[0]} is {getattr(line, wrong[0])!r}, but the request has "
                f"{getattr(request, wrong[0])!r}",
                file,
            )
        elif line.custom_id != named:
            what = f"custom_id is {line.custom_id!r}, but the fields say {named!r}"
            self._add(raw, number, what, file)
        elif not raw.name.startswith(f"{line.type}.{line.prompt}.t{line.temp}.p"):
            self._add(raw, number, f"{line.custom_id!r} does not belong into this part", file)

    def _check_answer(self, raw: Path, number: int, line: RawLine) -> None:
        """Check an answer against its checksum, and keep it for the comparison."""
        if line.error is not None:
            self._counts["failed"] += 1
        elif line.request_digest is None or line.answer_checksum is None:
            self._counts["without_checksum"] += 1
        elif not _is_intact(line):
            self._add(raw, number, _CHANGED)
        else:
            self._answers[line.request_digest + line.answer_checksum] += 1

    def _check_request(self, requests: Path, number: int, request: Request, digest: str) -> None:
        """Check that a request is the one whose digest the raw line has."""
        for folder, identity in self._identities.items():
            if request_digest(identity, request) == digest:
                # All of a trial's requests go to one model: it is tried first from now on.
                self._identities = {folder: identity, **self._identities}
                return
        if not self._identities or digest in self._unmatched:
            self._counts["request_unchecked"] += 1
            return
        text = (
            f"{requests}, line {number}: this is not the request that was answered (its digest "
            "differs). Delete this file and run again: it is made again from items and prompts, "
            "and only what the journal does not hold is sent."
        )
        self._unmatched[digest] = Problem(requests, text)

    def _name(self, keys: Container[str]) -> None:
        """Name the raw lines whose answer is not the journal's."""
        for raw in self._parts:
            for number, line in enumerate(read_jsonl(raw, RawLine), start=1):
                if f"{line.request_digest}{line.answer_checksum}" in keys:
                    self._add(raw, number, "the journal holds another answer to this request")

    def _read_identities(self) -> dict[str, dict[str, str]]:
        """Return who answered, by folder of the journal, where its files say it."""
        found: dict[str, dict[str, str]] = {}
        for path in sorted(self._journal.glob("*/*.jsonl")):
            identity = identity_of(path)
            if identity is None:
                continue
            if journal_folder(self._journal, identity) == path.parent:
                found[path.parent.name] = identity
            else:
                text = (
                    f"{path}, line 1: the identity was changed after it was recorded (it belongs "
                    "to another folder). Restore the file from a backup."
                )
                self.problems.append(Problem(path, text))
        return found


def _is_intact(line: RawLine) -> bool:
    """Whether a raw line's answer is the one that its checksum was made of."""
    try:
        return line.completion().checksum(line.request_digest or "") == line.answer_checksum
    except ValidationError:  # no backend could have given it
        return False
