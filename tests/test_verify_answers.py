"""Answers against requests and journal, and files against their seals."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_scripts.answers.part import Part
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import read_csv, write_csv, write_jsonl
from workflow_scripts.core.records import (
    Completion,
    Decoding,
    Message,
    Prediction,
    Request,
    Usage,
    custom_id,
)
from workflow_scripts.core.seals import Seal, SealedFile, SealWriter, seal_beside
from workflow_scripts.verify.answers import AnswerCheck, AnswerCounts
from workflow_scripts.verify.files import check_files, require_unchanged

NAME = "open_book.control.t0.0.p000.jsonl"
IDENTITY = {"engine": "openai", "model": "m"}


def request(number: int, text: str | None = None) -> Request:
    item = f"i{number}"
    return Request(
        custom_id=custom_id("d", item, "control", "0.0", 0, "open_book"),
        dataset="d",
        item_id=item,
        prompt="control",
        temp="0.0",
        sample_index=0,
        type="open_book",
        messages=[Message(role="user", content=text or f"Question {number}?")],
        decoding=Decoding(temperature=0, max_new_tokens=8, seed=0),
    )


def completion(number: int) -> Completion:
    return Completion(
        response_text=f"Answer {number}.",
        finish_reason="stop",
        request_id=f"r{number}",
        usage=Usage(total_tokens=9),
        latency_s=0.5,
    )


class Folder:
    """A part with its requests, its answers in a journal, and its raw part."""

    def __init__(self, root: Path, requests: list[Request], unanswered: int = 0) -> None:
        self.requests, self.raw = root / "inputs" / NAME, root / "raw" / NAME
        self.root = root
        write_jsonl(self.requests, requests)
        part = Part(self.requests, IDENTITY, root / "journal")
        part.look_up()
        with part.journal:
            pairs = list(part.unanswered())
            for number, (digest, _) in enumerate(pairs[: len(pairs) - unanswered]):
                part.answer(digest, completion(number))
        part.write(self.raw)

    @property
    def journal(self) -> Path:
        (path,) = (self.root / "journal").glob("*/*.jsonl")
        return path

    def check(self) -> tuple[AnswerCounts, list[str]]:
        found = AnswerCheck(self.root / "journal")
        found.add_part(self.requests, self.raw)
        counts = found.compare()
        return counts, [each.text for each in found.problems]

    def edit(self, path: Path, number: int, change: Callable[[dict[str, Any]], None]) -> None:
        lines = path.read_text(encoding="utf-8").split("\n")
        record = json.loads(lines[number - 1])
        change(record)
        lines[number - 1] = json.dumps(record, ensure_ascii=False, separators=(",", ":"))
        path.write_text("\n".join(lines), encoding="utf-8", newline="")


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Four requests, of which the first and the last are equal."""
    return Folder(tmp_path, [request(0), request(1), request(2), request(3, "Question 0?")])


def test_equal_requests_share_an_answer(folder: Folder) -> None:
    counts, problems = folder.check()
    assert counts == AnswerCounts(requests=4, in_journal=4)
    assert problems == []


def test_a_failed_request_is_counted(tmp_path: Path) -> None:
    counts, problems = Folder(tmp_path, [request(0), request(1)], unanswered=1).check()
    assert counts == AnswerCounts(requests=2, failed=1, in_journal=1)
    assert problems == []


def test_another_request_than_the_answered_one(folder: Folder) -> None:
    folder.edit(
        folder.requests, 2, lambda line: line["messages"][0].update(content="Question two?")
    )
    _, (problem,) = folder.check()
    assert problem.startswith(f"{folder.requests}, line 2: this is not the request that was answ")


def test_other_decoding_than_the_answered_one(folder: Folder) -> None:
    folder.edit(folder.requests, 3, lambda line: line["decoding"].update(max_new_tokens=9))
    _, (problem,) = folder.check()
    assert problem.startswith(f"{folder.requests}, line 3: ")


@pytest.mark.parametrize(
    ("field", "value"), [("temp", "0.7"), ("prompt", "treatment"), ("sample_index", 1)]
)
def test_requests_and_raw_lines_that_agree_on_a_wrong_name(
    folder: Folder, field: str, value: object
) -> None:
    for path in (folder.requests, folder.raw):
        folder.edit(path, 1, lambda line: line.update({field: value}))
    _, problems = folder.check()
    assert problems[0].startswith(f"{folder.raw}, line 1: custom_id is 'd|i0|control|0.0|0|open_b")


def test_a_line_that_belongs_into_another_part(folder: Folder) -> None:
    named = {"prompt": "treatment", "custom_id": "d|i0|treatment|0.0|0|open_book"}
    for path in (folder.requests, folder.raw):
        folder.edit(path, 1, lambda line: line.update(named))
    _, (problem,) = folder.check()
    assert problem.startswith(f"{folder.raw}, line 1: ")
    assert "does not belong into this part" in problem


@pytest.mark.parametrize("at", ["requests", "raw"])
def test_a_line_too_many_or_too_few(folder: Folder, at: str) -> None:
    path: Path = getattr(folder, at)
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[:3]), encoding="utf-8", newline="")
    _, (problem,) = folder.check()
    assert problem.startswith(f"{folder.raw}, line 4: this line ")


def test_an_edit_with_its_checksum_is_not_the_journals(folder: Folder) -> None:
    def forge(line: dict[str, Any]) -> None:
        line["response_text"] = "Atlantis"
        answer = completion(1).model_copy(update={"response_text": "Atlantis"})
        line["answer_checksum"] = answer.checksum(line["request_digest"])

    folder.edit(folder.raw, 2, forge)
    _, (problem,) = folder.check()
    assert problem.startswith(f"{folder.raw}, line 2: the journal holds another answer to this")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("response_text", "Atlantis"),
        ("finish_reason", "length"),
        ("finish_reason", "anything"),
        ("latency_s", 0.1),
        ("usage", {"total_tokens": 8}),
        ("request_id", "another"),
        ("served_by", {"version": "1"}),
        ("request_digest", "0" * 64),
        ("answer_checksum", "0" * 64),
    ],
)
def test_an_edit_of_any_field_of_an_answer(folder: Folder, field: str, value: object) -> None:
    folder.edit(folder.raw, 2, lambda line: line.update({field: value}))
    _, problems = folder.check()
    assert problems[0].startswith(f"{folder.raw}, line 2: this answer was changed after it was")


def test_an_answer_that_the_journal_lacks_is_counted(folder: Folder) -> None:
    lines = folder.journal.read_text(encoding="utf-8").splitlines(keepends=True)
    folder.journal.write_text("".join(lines[:2]), encoding="utf-8", newline="")
    counts, problems = folder.check()
    assert (counts.in_journal, counts.not_in_journal) == (2, 2)  # the first is asked twice
    assert problems == []


def test_a_torn_line_of_the_journal_holds_no_answer(folder: Folder) -> None:
    with folder.journal.open("rb+") as stream:
        stream.truncate(folder.journal.stat().st_size - 20)
    counts, problems = folder.check()
    assert (counts.in_journal, counts.not_in_journal) == (3, 1)
    assert problems == []


def test_an_edited_identity(folder: Folder) -> None:
    folder.edit(folder.journal, 1, lambda line: line["identity"].update(model="another"))
    _, problems = folder.check()
    assert problems[0].startswith(f"{folder.journal}, line 1: the identity was changed")


def test_a_journal_without_checksums_is_compared_by_its_answers(folder: Folder) -> None:
    for number in (2, 3, 4):
        folder.edit(folder.journal, number, lambda line: line.pop("checksum"))
    assert folder.check() == (AnswerCounts(requests=4, in_journal=4), [])
    folder.edit(folder.journal, 3, lambda line: line["completion"].update(response_text="Atlantis"))
    _, (problem,) = folder.check()
    assert problem.startswith(f"{folder.raw}, line 2: the journal holds another answer")


def test_a_journal_without_identity_cannot_tell_the_request(folder: Folder) -> None:
    lines = folder.journal.read_text(encoding="utf-8").splitlines(keepends=True)
    folder.journal.write_text("".join(lines[1:]), encoding="utf-8", newline="")
    assert folder.check() == (AnswerCounts(requests=4, request_unchecked=4, in_journal=4), [])
    # Another model's identity does not help, and refuses nothing.
    other = Folder(folder.root / "other", [request(0)])
    other_identity = {"engine": "openai", "model": "other"}
    part = Part(other.requests, other_identity, folder.root / "journal")
    part.look_up()
    with part.journal:
        for digest, _ in part.unanswered():
            part.answer(digest, completion(0))
    found = AnswerCheck(folder.root / "journal")
    found.add_part(folder.requests, folder.raw)
    counts = found.compare()
    assert (counts.request_unchecked, counts.in_journal, found.problems) == (4, 4, [])


def test_a_row_under_another_condition_contradicts_its_custom_id(tmp_path: Path) -> None:
    path = tmp_path / "predictions.csv"
    row = Prediction(
        custom_id="d|i|control|0.0|0|open_book", dataset="d", item_id="i", condition="control",
        temp="0.0", sample_index=0, type="open_book", request_id="r", finish_reason="stop",
        response_text="x",
    )  # fmt: skip
    write_csv(path, Prediction, [row, row])
    assert len(list(read_csv(path, Prediction))) == 2
    lines = path.read_bytes().split(b"\r\n")
    lines[2] = lines[2].replace(b",control,", b",treatment,")
    path.write_bytes(b"\r\n".join(lines))
    with pytest.raises(UserError, match=r"predictions\.csv, line 3: .* fields say 'd\|i\|treatm"):
        list(read_csv(path, Prediction))


# Seals


@given(st.lists(st.text(max_size=3), max_size=6), st.lists(st.text(max_size=3), max_size=6))
def test_the_first_line_that_differs_is_named(
    tmp_path_factory: pytest.TempPathFactory, before: list[str], after: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("lines")
    path = folder / "file.txt"

    def content(lines: list[str]) -> bytes:
        return "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogatepass")

    path.write_bytes(content(before))
    writer = SealWriter(folder / "seals/file.json", [])
    writer.seal(path)
    seal = Seal.model_validate_json((folder / "seals/file.json").read_bytes())
    assert seal.outputs[0].sha256 == hashlib.sha256(content(before)).hexdigest()
    path.write_bytes(content(after))
    one, other = (content(lines).split(b"\n")[:-1] for lines in (before, after))
    expected = next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), None)
    if expected is None and len(one) != len(other):
        expected = min(len(one), len(other))
    found = seal.outputs[0].first_difference(path)
    assert found == (None if expected is None else expected + 1)
    assert bool(check_files([path]).problems) == (expected is not None)


def made(path: Path, text: str, *sources: Path) -> Path:
    """A file that a command made from others and sealed."""
    seal = SealWriter(seal_beside(path, path.stem), sources)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    seal.seal(path)
    return path


def test_a_change_is_found_from_what_was_made_of_it(tmp_path: Path) -> None:
    data = tmp_path / "data.txt"
    data.write_text("data\n", encoding="utf-8")
    first = made(tmp_path / "a/first.txt", "one\ntwo\n", data)
    second = made(tmp_path / "b/second.txt", "three\n", first)
    third = made(tmp_path / "b/third.txt", "four\n", second, first)
    report = check_files([third])
    assert report.problems == []
    assert set(report.sealed) == {data, first, second, third}

    assert check_files([tmp_path / "a" / ".." / "b" / "third.txt"]) == report

    first.write_text("one\n2\n", encoding="utf-8")
    ((path, text),) = check_files([third]).problems
    assert path == first
    assert text.startswith(f"{first}, line 2: ")
    with pytest.raises(UserError, match=r"first\.txt, line 2: "):
        require_unchanged([third])

    # What is made of an edited file is refused for the edit; and also once the edit is undone.
    made(second, "three\n", first)
    assert [each.path for each in check_files([second]).problems] == [first]
    first.write_text("one\ntwo\n", encoding="utf-8")
    ((path, text),) = check_files([second]).problems
    assert text.startswith(f"{second}: it was made from another first.txt")


def test_a_source_without_a_seal_is_compared_with_what_was_read(tmp_path: Path) -> None:
    data = tmp_path / "data.txt"
    data.write_text("data\n", encoding="utf-8")
    first = made(tmp_path / "first.txt", "one\n", data)
    data.write_text("other\n", encoding="utf-8")
    assert check_files([first]).problems[0].text.startswith(f"{first}: it was made from another")
    data.unlink()
    assert check_files([first]).problems[0].text.startswith(f"{data}: no such file")


def test_what_has_no_seal_is_named_and_not_refused(tmp_path: Path) -> None:
    path = tmp_path / "old.txt"
    path.write_text("x\n", encoding="utf-8")
    assert check_files([path]) == ([], [], [path])


def test_inputs_are_sealed_as_they_were_before_the_work(tmp_path: Path) -> None:
    data, output = tmp_path / "data.txt", tmp_path / "output.txt"
    data.write_text("before\n", encoding="utf-8")
    seal = SealWriter(tmp_path / "seals/output.json", [data])
    data.write_text("meanwhile\n", encoding="utf-8")
    output.write_text("made\n", encoding="utf-8")
    seal.seal(output)
    read = Seal.model_validate_json((tmp_path / "seals/output.json").read_bytes())
    assert read.inputs == [
        SealedFile(path="../data.txt", sha256=hashlib.sha256(b"before\n").hexdigest())
    ]
    assert len(check_files([output]).problems) == 1


def test_a_damaged_seal_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = made(tmp_path / "a.txt", "x\n")
    seal_beside(path, "a").write_text("{", encoding="utf-8")
    with pytest.raises(UserError, match=r"a\.json, line 1: not valid JSON"):
        check_files([path])
