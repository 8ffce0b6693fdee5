"""Answers made elsewhere: files as they are written, whose items they answer, and the report."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Project
from hypothesis import given
from hypothesis import strategies as st
from report_files import run_main

from workflow_scripts.answers.imported import (
    ImportSettings,
    completion,
    lines,
    match,
    write_parts,
)
from workflow_scripts.answers.parts import ArmParts, ParseSettings, TrialParts
from workflow_scripts.answers.predictions import answers as answers_of
from workflow_scripts.answers.predictions import checked_answers
from workflow_scripts.comparisons.differences import DifferencesSettings, differences
from workflow_scripts.comparisons.registration import Declaration, registration_status
from workflow_scripts.config.load import read_config
from workflow_scripts.config.trial import Trial
from workflow_scripts.config.trials import trials
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import read_csv, write_csv, write_json, write_jsonl
from workflow_scripts.core.recorded import AnswersFile, RecordedAnswer
from workflow_scripts.core.records import NOT_IN_FILE, Answer, Item, Prediction, RequestMeta
from workflow_scripts.costs.trial import imported_totals
from workflow_scripts.datasets.answer_formats import ANSWER_FORMATS, format_of, read_answers
from workflow_scripts.datasets.items import read_items
from workflow_scripts.datasets.source import Source
from workflow_scripts.report.arms import question, sources
from workflow_scripts.report.explorer import request_data
from workflow_scripts.rules.experiment import Experiment
from workflow_scripts.scoring import verdicts
from workflow_scripts.scoring.verdicts import VerdictRow
from workflow_scripts.tasks.registry import TASKS
from workflow_scripts.verify.answers import AnswerCheck
from workflow_scripts.verify.files import check_files

TASK = TASKS["closed_book"]


def item(number: int, text: str | None = None, dataset: str = "d") -> Item:
    asked = text or f"Question {number}?"
    return TASK.item(
        id=str(number), dataset=dataset, cluster_id=str(number), question=asked, answers=["yes"]
    )  # type: ignore[call-arg]


def file_of(path: Path, text: str, **how: Any) -> AnswersFile:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="")
    return AnswersFile(path=path.as_posix(), format=format_of(path.name) or "", **how)


def jsonl(*rows: Mapping[str, Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


# Files of answers


def test_every_column_is_read(tmp_path: Path) -> None:
    row = {
        "item_id": 7, "response_text": "Paris", "question": "Capital?", "dataset": "d",
        "sample_index": 1, "finish_reason": "max_tokens", "prompt_tokens": 5,
        "completion_tokens": 3, "latency_s": 0.25, "verdict": "unsure", "model": "gpt",
    }  # fmt: skip
    expected = RecordedAnswer(
        place="line 1", item_id="7", dataset="d", question="Capital?", sample_index=1,
        response_text="Paris", finish_reason="length", prompt_tokens=5, completion_tokens=3,
        latency_s=0.25, verdict="unsure",
    )  # fmt: skip
    assert read_answers(file_of(tmp_path / "a.jsonl", jsonl(row))) == [expected]
    table = ",".join(row) + "\r\n" + ",".join(map(str, row.values())) + "\r\n"
    (found,) = read_answers(file_of(tmp_path / "a.csv", table))
    assert found == RecordedAnswer(**{**_fields(expected), "place": "line 2"})


def _fields(answer: RecordedAnswer) -> dict[str, Any]:
    return {name: getattr(answer, name) for name in RecordedAnswer.__dataclass_fields__}


@given(
    st.lists(
        st.fixed_dictionaries(
            {"item_id": st.from_regex(r"[a-z0-9-]{1,9}", fullmatch=True), "response_text": st.text(
                st.characters(exclude_categories=["Cs"], exclude_characters="\x00")
            )}
        ),
        min_size=1, max_size=5,
    )
)  # fmt: skip
def test_csv_and_jsonl_hold_the_same_texts(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, str]]
) -> None:
    """Commas, quotes, line ends and empty answers."""
    folder = tmp_path_factory.mktemp("same")
    with (folder / "a.csv").open("w", encoding="utf-8", newline="") as stream:
        table = csv.DictWriter(stream, ["item_id", "response_text"], quoting=csv.QUOTE_ALL)
        table.writeheader()
        table.writerows(rows)
    read = [
        read_answers(AnswersFile(path=(folder / "a.csv").as_posix(), format="csv")),
        read_answers(file_of(folder / "a.jsonl", jsonl(*rows))),
    ]
    for found in read:
        texts = [{"item_id": each.item_id, "response_text": each.response_text} for each in found]
        assert texts == rows


def test_columns_may_have_other_names(tmp_path: Path) -> None:
    row = {"q": "Capital?", "prediction": ["Paris", "Lyon"], "answer": ["Paris"]}
    columns = {"question": "q", "response_text": "prediction"}
    (found,) = read_answers(file_of(tmp_path / "a.jsonl", jsonl(row), columns=columns))
    assert (found.question, found.response_text) == ("Capital?", "Paris")
    table = "q,prediction\r\nCapital?,Paris\r\n"
    (found,) = read_answers(file_of(tmp_path / "a.csv", table, columns=columns))
    assert (found.question, found.response_text) == ("Capital?", "Paris")


def test_where_chooses_the_answers_of_one_model(tmp_path: Path) -> None:
    rows = [{"item_id": "1", "response_text": name, "model": name} for name in ("one", "two")]
    file = file_of(tmp_path / "a.jsonl", jsonl(*rows), where={"model": "two"})
    assert [each.response_text for each in read_answers(file)] == ["two"]
    file = file_of(tmp_path / "a.jsonl", jsonl(*rows), where={"model": "three"})
    with pytest.raises(UserError, match=r"no record has {'model': 'three'}.*'one', 'two'"):
        read_answers(file)


GOOD = jsonl({"item_id": "1", "response_text": "yes"})


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("a.jsonl", GOOD + "{", "line 2: not valid JSON"),
        ("a.jsonl", GOOD + "\n" + GOOD, "line 2: the line is blank"),
        ("a.jsonl", GOOD + "[1]\n", "line 2: not a JSON object"),
        ("a.jsonl", GOOD + jsonl({"item_id": "2"}), "line 2: response_text: is missing"),
        ("a.jsonl", GOOD + jsonl({"item_id": "2", "response_text": None}),
         "line 2: response_text: is missing"),
        ("a.jsonl", jsonl({"response_text": "yes"}), "line 1: neither item_id nor question"),
        ("a.jsonl", jsonl({"item_id": "a|b", "response_text": "yes"}), "line 1: item_id"),
        ("a.jsonl", jsonl({"item_id": "1", "response_text": "", "verdict": "right"}),
         "line 1: verdict"),
        ("a.jsonl", jsonl({"item_id": "1", "response_text": "", "finish_reason": "tired"}),
         "line 1: finish_reason"),
        ("a.jsonl", jsonl({"item_id": "1", "response_text": "", "sample_index": -1}),
         "line 1: sample_index"),
        ("a.jsonl", jsonl({"item_id": "1", "response_text": "", "latency": 1}),
         "line 1: unknown column 'latency'; did you mean 'latency_s'"),
        ("a.csv", "item_id,response_text\r\n1,yes\r\n2\r\n", "line 3: 1 cells, but the header"),
        ("a.csv", "item_id,responsetext\r\n1,yes\r\n", "line 1: unknown column 'responsetext'"),
        ("a.csv", 'item_id,response_text\r\n1,"yes\r\n', "line 2: not valid CSV"),
        ("a.csv", "item_id,response_text\r\n1,yes\r\n,no\r\n", "line 3: neither item_id nor"),
        ("a.jsonl", "", "there are no answers in this file"),
    ],
)  # fmt: skip
def test_a_malformed_file_stops_with_its_line(
    tmp_path: Path, name: str, text: str, problem: str
) -> None:
    file = file_of(tmp_path / name, text)
    with pytest.raises(UserError) as refused:
        read_answers(file)
    assert file.path in str(refused.value)
    assert problem in str(refused.value)


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        ({"response": "text"}, "'response' is none of Assay's columns; did you mean"),
        ({"response_text": "text", "verdict": "judged"}, "no such column: judged"),
    ],
)  # fmt: skip
def test_columns_that_are_not_there_stop(
    tmp_path: Path, columns: dict[str, str], problem: str
) -> None:
    file = file_of(tmp_path / "a.jsonl", jsonl({"item_id": "1", "text": "yes"}), columns=columns)
    with pytest.raises(UserError, match=problem):
        read_answers(file)


def test_a_data_set_without_ids_is_identified_by_its_questions(tmp_path: Path) -> None:
    rows = [{"question": f"Question {n}?", "answer": ["yes", "sure"]} for n in range(3)]
    columns = {"question": "question", "answers": "answer"}

    def ids(rows: Sequence[Mapping[str, Any]]) -> list[str]:
        path = tmp_path / "d.jsonl"
        path.write_text(jsonl(*rows), encoding="utf-8")
        return [each.id for each in read_items(Source("d", path, columns=columns), "jsonl", TASK)]

    assert ids(rows) == ids(rows[::-1])[::-1]
    assert len(set(ids(rows))) == 3
    with pytest.raises(UserError, match=r"line 4: the id 'q-.*' was used before, at line 1"):
        ids([*rows, rows[0]])
    (tmp_path / "d.csv").write_text("question,answer,more\r\nWhat?,yes || sure,x\r\n", "utf-8")
    (found,) = read_items(Source("d", tmp_path / "d.csv", columns=columns), "csv", TASK)
    assert found.model_dump(include={"question", "answers"}) == {
        "question": "What?",
        "answers": ["yes", "sure"],
    }


# Whose answers


FILE = AnswersFile(path="a.jsonl", format="jsonl")


def answer(number: int, **fields: Any) -> RecordedAnswer:
    return RecordedAnswer(
        **{"place": f"line {number}", "item_id": str(number), "response_text": "yes", **fields}
    )


def matched(answers: Sequence[RecordedAnswer], *items: Item) -> dict[str, list[str]]:
    found = match(answers, {"closed_book": items}, FILE)
    return {key: [each.place for each in of_item] for key, of_item in found.answers.items()}


def test_items_are_found_by_id_or_by_question() -> None:
    items = [item(1), item(2), item(3)]
    answers = [
        answer(1),
        answer(9, item_id=None, question=" Question  2? "),
        answer(8, item_id="unknown", question="Question 3?"),
        answer(7, item_id="not sampled"),
    ]
    assert matched(answers, *items) == {"d|1": ["line 1"], "d|2": ["line 9"], "d|3": ["line 8"]}


def test_the_numbers_of_a_tool_are_no_ids_of_a_data_set() -> None:
    """Tools number their records from 0 or 1, and data sets do, too."""
    answers = [answer(1, question="Question 2?"), answer(2, question="Not sampled?")]
    file = FILE.model_copy(update={"format": "lm_eval"})
    found = match(answers, {"closed_book": [item(1), item(2)]}, file)
    assert {key: [each.place for each in of_item] for key, of_item in found.answers.items()} == {
        "d|2": ["line 1"]
    }
    assert [each.place for each in found.unknown] == ["line 2"]


def test_an_item_may_be_named_by_its_key() -> None:
    """As in the logs that Assay exports."""
    items = [item(1), item(1, dataset="e")]
    assert matched([answer(1, item_id="e|1")], *items) == {"e|1": ["line 1"]}


def test_a_data_set_may_be_named() -> None:
    items = [item(1), item(1, dataset="e")]
    assert matched([answer(1, dataset="e")], *items) == {"e|1": ["line 1"]}
    with pytest.raises(UserError, match=r"a.jsonl, line 1: 2 items have this id \(d\|1, e\|1\)"):
        matched([answer(1)], *items)


def test_samples_come_in_their_order() -> None:
    answers = [answer(1, place=f"line {n}", sample_index=n) for n in (2, 0, 1)]
    assert matched(answers, item(1)) == {"d|1": ["line 0", "line 1", "line 2"]}


@pytest.mark.parametrize(
    ("answers", "problem"),
    [
        ([answer(1), answer(1, place="line 2")],
         "line 2: item 'd|1' was answered before, at line 1. Number several"),
        ([answer(1, sample_index=1), answer(1, place="line 2", sample_index=1)],
         "line 2: item 'd|1', sample 1, was answered before"),
        ([answer(8), answer(9)], "none of its 2 answers is to an item of the data sets. It has "
         "the items ['8', '9'], the data sets have ['1', '2']"),
        ([answer(1, question="Something else?")], "line 1: item 'd|1' has another question"),
        ([answer(8, item_id=None, question="Twice?")], "none of its 1 answers"),
    ],
)  # fmt: skip
def test_answers_that_fit_no_item_or_two_stop(answers: list[RecordedAnswer], problem: str) -> None:
    with pytest.raises(UserError) as refused:
        matched(answers, item(1), item(2))
    assert problem in str(refused.value)


def test_a_prompt_around_the_question_is_no_other_question() -> None:
    asked = "Answer briefly.\n\nQuestion: Question 1?"
    assert matched([answer(1, question=asked)], item(1)) == {"d|1": ["line 1"]}


# Raw parts


SETTINGS = ImportSettings(arm="gpt", task="closed_book", temp="0.0", parts=["000"], file=FILE)


def test_a_missing_item_is_an_error_of_its_own_kind() -> None:
    items = [item(1), item(2)]
    found = match([answer(1)], {"closed_book": items}, FILE)
    (_, one), (meta, other) = lines(items, found.answers, SETTINGS)
    assert one.response_text == "yes"
    assert one.request_id == "line 1"
    assert one.served_by == {"file": "a.jsonl"}
    assert other.error is not None
    assert other.error.type == NOT_IN_FILE
    assert meta.custom_id == "d|2|gpt|0.0|0|closed_book"


def test_an_error_in_the_file_is_no_missing_item() -> None:
    failed = answer(1, response_text=None, error="HTTP 500")
    ((_, line),) = lines([item(1)], {"d|1": [failed]}, SETTINGS)
    assert line.error is not None
    assert line.error.type == "FailedElsewhere"
    assert line.error.message == "a.jsonl, line 1: HTTP 500"


def parts_of(folder: Path, file: AnswersFile, items: list[Item], n_parts: int = 1) -> ArmParts:
    names = [f"{number:03d}" for number in range(n_parts)]
    settings = SETTINGS.model_copy(update={"file": file, "parts": names})
    found = match(read_answers(file), {"closed_book": items}, file)
    write_parts(items, found.answers, settings, folder / "inputs", folder / "raw")
    return ArmParts(
        inputs_folder=(folder / "inputs").as_posix(),
        raw_folder=(folder / "raw").as_posix(),
        names=[f"closed_book.gpt.t0.0.p{name}.jsonl" for name in names],
        answers=file,
    )


def test_what_a_file_lacks_does_not_stop_a_trial(tmp_path: Path) -> None:
    arm = parts_of(tmp_path, file_of(tmp_path / "a.jsonl", GOOD), [item(n) for n in range(1, 9)])
    settings = ParseSettings(parts=TrialParts(arms={"control": arm}), max_failure_share=0)
    assert [row.error_type for row in checked_answers(settings)] == [""] + [NOT_IN_FILE] * 7


def test_parts_are_cut_like_those_that_are_asked(tmp_path: Path) -> None:
    arm = parts_of(
        tmp_path, file_of(tmp_path / "a.jsonl", GOOD), [item(n) for n in range(1, 6)], n_parts=2
    )
    ids = [
        [json.loads(line)["item_id"] for line in Path(name).read_text("utf-8").splitlines()]
        for name in arm.raw_files()
    ]
    assert ids == [["1", "2"], ["3", "4", "5"]]


@given(st.permutations(range(6)))
def test_the_order_of_a_file_does_not_matter(order: list[int]) -> None:
    """Two samples of each of three items, in any order."""
    items = [item(n) for n in range(3)]
    answers = [
        answer(n % 3, place=f"line {n}", sample_index=n // 3, response_text=f"text {n}")
        for n in order
    ]
    found = match(answers, {"closed_book": items}, FILE)
    texts = [(meta.custom_id, line.response_text) for meta, line in
             lines(items, found.answers, SETTINGS)]  # fmt: skip
    assert texts == [
        (f"d|{n}|gpt|0.0|{sample}|closed_book", f"text {n + 3 * sample}")
        for n in range(3)
        for sample in range(2)
    ]


def test_what_was_asked_is_not_made_up(imported: ArmParts) -> None:
    (requests,) = map(Path, imported.input_files())
    for line in requests.read_text("utf-8").splitlines():
        assert json.loads(line).keys() == RequestMeta.model_fields.keys()
    parts = TrialParts(arms={"control": imported, "treatment": imported})
    settings = DifferencesSettings(parts=parts, declared={}, who={})
    found = differences(settings).treatments["treatment"]
    assert (found.requests, found.differing, found.declared) == (4, {"answers": 4}, ["answers"])
    data = {
        "items": [
            {
                "task": "closed_book", "key": f"d|{n}", "context": None, "question": "?",
                "arms": {"0.0": {"control": {}}},
            }
            for n in (1, 2, 3, 4)
        ],
        "contexts": [],
    }  # fmt: skip
    rows = list(answers_of(TrialParts(arms={"control": imported})))
    shown = request_data(data, parts, rows)
    assert (shown["chats"], shown["decodings"]) == ([], [])
    ((chat, decoding, seed, rest),) = shown["items"][0]["0.0"]["control"]
    assert (chat, decoding, seed, rest["request_id"]) == (None, None, None, "line 1")


def test_tokens_of_a_file_are_counted_and_not_estimated(tmp_path: Path) -> None:
    rows = [
        {"item_id": "1", "response_text": "yes", "prompt_tokens": 7, "completion_tokens": 2},
        {"item_id": "2", "response_text": "no"},
    ]
    arm = parts_of(
        tmp_path, file_of(tmp_path / "a.jsonl", jsonl(*rows)), [item(1), item(2), item(3)]
    )
    found = imported_totals(answers_of(TrialParts(arms={"control": arm})))
    assert (found.requests, found.answers, found.from_batch_jobs) == (3, 2, 0)
    assert (vars(found.prompt), vars(found.completion)) == (
        {"engine": 7, "estimate": 0},
        {"engine": 2, "estimate": 0},
    )


def test_a_declaration_is_not_known_to_precede_answers_from_elsewhere(tmp_path: Path) -> None:
    declared = Declaration.model_validate(
        {"digest": "d", "declared_at": "2020-01-01T00:00:00Z", "content": {}}
    )
    row = Answer(
        custom_id="d|1|control|0.0|0|closed_book", dataset="d", item_id="1", condition="control",
        temp="0.0", sample_index=0, type="closed_book", prompt="gpt", request_digest="0" * 64,
        finish_reason="stop",
    )  # fmt: skip
    path = tmp_path / "raw.jsonl"
    path.write_text("", encoding="utf-8")
    status = registration_status(declared, [row], [path], tmp_path, made_elsewhere=True)
    assert status.before_first_answer is None


# Verification


def problems(arm: ArmParts, folder: Path) -> tuple[int, int, list[str]]:
    check = AnswerCheck(folder / "journal")
    for requests, raw in zip(arm.input_files(), arm.raw_files(), strict=True):
        check.add_part(Path(requests), Path(raw), arm.answers)
    counts = check.compare()
    return counts.in_files, counts.file_missing, [each.text for each in check.problems]


@pytest.fixture
def imported(tmp_path: Path) -> ArmParts:
    rows = [{"item_id": str(n), "response_text": f"answer {n}"} for n in (1, 2, 3)]
    file = file_of(tmp_path / "a.jsonl", jsonl(*rows))
    return parts_of(tmp_path, file, [item(1), item(2), item(3), item(4)])


def test_imported_answers_are_those_of_the_file(imported: ArmParts, tmp_path: Path) -> None:
    assert problems(imported, tmp_path) == (3, 0, [])


def test_without_the_file_that_is_said(imported: ArmParts, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").unlink()
    assert problems(imported, tmp_path) == (0, 3, [])


def test_an_edited_raw_line_is_found(imported: ArmParts, tmp_path: Path) -> None:
    (raw,) = map(Path, imported.raw_files())
    text = raw.read_text("utf-8")
    raw.write_text(text.replace("answer 2", "answer 9"), "utf-8")
    _, _, (found,) = problems(imported, tmp_path)
    assert "raw" in found
    assert "line 2: this answer was changed after it was recorded" in found


def test_an_edit_with_its_checksum_is_found(imported: ArmParts, tmp_path: Path) -> None:
    (raw,) = map(Path, imported.raw_files())
    rows = [json.loads(line) for line in raw.read_text("utf-8").splitlines()]
    assert imported.answers is not None
    other = completion(answer(2, response_text="answer 9"), imported.answers)
    assert other is not None
    rows[1] |= {"response_text": "answer 9"}
    rows[1]["answer_checksum"] = other.checksum(rows[1]["request_digest"])
    raw.write_text(jsonl(*rows), "utf-8")
    _, _, (found,) = problems(imported, tmp_path)
    assert "line 2" in found
    assert "has another answer at line 2" in found


def test_a_moved_answer_is_found(imported: ArmParts, tmp_path: Path) -> None:
    (raw,) = map(Path, imported.raw_files())
    rows = raw.read_text("utf-8").splitlines()
    raw.write_text("\n".join([rows[1], rows[0], *rows[2:]]) + "\n", "utf-8")
    _, _, (found,) = problems(imported, tmp_path)
    assert "line 1" in found
    assert "belong to different items" in found


def test_an_edited_verdict_is_found_with_the_file_that_it_came_from(tmp_path: Path) -> None:
    rows = [
        {"item_id": str(n), "response_text": f"answer {n}", "verdict": "correct"} for n in (1, 2)
    ]
    file = file_of(tmp_path / "a.jsonl", jsonl(*rows))
    items = [item(1), item(2)]
    arm = parts_of(tmp_path, file, items)
    trial = tmp_path / "trial"
    trial.mkdir()
    write_jsonl(trial / "closed_book.jsonl", items)
    given = answers_of(TrialParts(arms={"control": arm}))
    write_csv(
        trial / "predictions.csv",
        Prediction,
        [Prediction(**{name: getattr(row, name) for name in Prediction.model_fields})
         for row in given],
    )  # fmt: skip
    settings = {"asked": {}, "files": {}, "arms": {"control": "gpt"}}
    settings["answers"] = {"control": file.model_dump()}
    write_json(trial / "settings.json", settings)
    names = {
        "--predictions": "predictions.csv",
        "--items": "closed_book.jsonl",
        "--settings": "settings.json",
        "--output": "verdicts.csv",
        "--seal": "seals/verdicts.json",
    }
    run_main(verdicts, [part for key, name in names.items() for part in (key, str(trial / name))])
    said = [row.verdict for row in read_csv(trial / "verdicts.csv", VerdictRow)]
    assert said == ["correct", "correct"]
    assert not check_files([trial / "verdicts.csv"]).problems

    path = Path(file.path)
    path.write_text(path.read_text("utf-8").replace("correct", "incorrect", 1), "utf-8")
    (found,) = check_files([trial / "verdicts.csv"]).problems
    assert "verdicts.csv: it was made from another a.jsonl" in found.text
    assert path.as_posix() in found.text.replace("\\", "/")


# Configs


CONFIG: dict[str, Any] = {
    "experiment": "elsewhere",
    "datasets": {
        "demo_closed": {
            "format": "jsonl",
            "path": "resources/demo/closed_book.jsonl",
            "task": "closed_book",
        }
    },
    "arms": {"old": {"answers": "data/old.jsonl"}, "new": {"answers": "data/new.csv"}},
    "prompt_sets": {"versions": {"control": "old", "treatment": "new"}},
    "stats": {"bootstrap_samples": 100, "permutation_samples": 100},
}


@pytest.fixture
def elsewhere(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A clone with two files of answers, which a program elsewhere gave the demo's questions."""
    monkeypatch.chdir(project.root)
    rows = [json.loads(line) for line in _demo(project)]
    kept = [row for row in rows if row["answers"]][:60]
    Path("data").mkdir()
    right = {"old": 3, "new": 2}  # every third or second answer is right
    given = {
        name: [
            (row["id"], row["answers"][0] if number % each == 0 else "nobody, nowhere")
            for number, row in enumerate(kept)
        ]
        for name, each in right.items()
    }
    Path("data/old.jsonl").write_text(
        jsonl(*({"item_id": name, "response_text": text} for name, text in given["old"])), "utf-8"
    )
    with Path("data/new.csv").open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["item_id", "response_text", "completion_tokens"])
        table.writerows([name, text, 4] for name, text in given["new"][:-2])  # two are missing
    Path("data/items.jsonl").write_text(
        jsonl(*({**row, "dataset": "mine"} for row in kept)), "utf-8"
    )
    return project


def _demo(project: Project) -> list[str]:
    return project.read("resources/demo/closed_book.jsonl").splitlines()


def made(**changes: Any) -> list[Trial]:
    path = Path("config/elsewhere.yaml")
    path.write_text(yaml.safe_dump({**CONFIG, **changes}, sort_keys=False), encoding="utf-8")
    return trials(read_config(path))


@pytest.mark.usefixtures("elsewhere")
def test_arms_from_files_need_no_backend() -> None:
    (trial,) = made()
    assert trial.folder == "results/elsewhere/imported/answers/default/versions"
    assert not trial.asks
    old, new = trial.arms.values()
    assert new.raw_folder == "results/elsewhere/imported/new/default/raw"
    assert new.differing(old) == ["answers"]
    assert sources(trial) == {"Answers from": "data/old.jsonl, data/new.csv"}
    assert question(trial) == (
        "Does “new” (answers from data/new.csv instead of from data/old.jsonl) change accuracy and "
        "hallucination compared with “old”?"
    )
    experiment = Experiment(read_config(Path("config/elsewhere.yaml")))
    assert not experiment.models
    assert not experiment.batched


@pytest.mark.usefixtures("elsewhere")
def test_a_sweep_multiplies_what_is_asked_alone() -> None:
    asked = {"control": "control", "treatment": "new"}
    found = made(
        backend="openai_compatible",
        local_endpoint="http://127.0.0.1:1",
        model_id="small",
        sweep={"models": ["small", "large"]},
        prompt_sets={**CONFIG["prompt_sets"], "mixed": asked},
    )
    assert [(trial.backend, trial.model, trial.prompt_set) for trial in found] == [
        ("imported", "answers", "versions"),
        ("openai_compatible", "small", "mixed"),
        ("openai_compatible", "large", "mixed"),
    ]
    folders = {trial.arms["treatment"].raw_folder for trial in found}
    assert folders == {"results/elsewhere/imported/new/default/raw"}
    assert sources(found[1]) == {
        "Model": "small",
        "Backend": "openai_compatible",
        "Temperature": "0.0",
        "Answers from": "data/new.csv",
    }


@pytest.mark.parametrize(
    ("arm", "problem"),
    [
        ({"answers": "data/new.csv", "decoding": {"top_p": 0.5}},
         "arms.new: its answers come from a file, so nothing is asked: delete decoding"),
        ({"answers": "data/new.csv", "backend": "openai", "system": "control", "chain": 1},
         "nothing is asked: delete backend, chain, system"),
        ({"answers": "data/none.csv"}, "the file of answers 'data/none.csv' does not exist"),
        ({"answers": "data/new.txt"}, "the name of 'data/new.txt' does not show its format"),
        ({"answers": "data/new.csv", "format": "cvs"}, "did you mean 'csv'"),
        ({"where": {"model": "x"}, "system": "control"}, "where: these keys need answers"),
        ({}, "an arm needs system, its system prompt, or answers, a file"),
        ({"answers": "data/old.jsonl"}, "'new' has the same file of answers as the control 'old'"),
    ],
    ids=["decoding", "several", "no file", "name", "format", "keys", "nothing", "equal"],
)  # fmt: skip
@pytest.mark.usefixtures("elsewhere")
def test_an_arm_that_cannot_be_is_refused_with_its_line(arm: dict[str, Any], problem: str) -> None:
    with pytest.raises(UserError) as refused:
        made(arms={**CONFIG["arms"], "new": arm})
    assert problem in str(refused.value)
    assert "config/elsewhere.yaml, line " in str(refused.value).replace(os.sep, "/")


def test_formats_are_told_by_names_of_files() -> None:
    for name, each in ANSWER_FORMATS.items():
        for suffix in each.suffixes:
            assert format_of(f"data/Answers{suffix.upper()}") == name


# From one end to the other


def test_two_files_become_a_report(elsewhere: Project) -> None:
    """Without a backend, a model, a key or a server."""
    datasets = {"mine": {**CONFIG["datasets"]["demo_closed"], "path": "data/items.jsonl"}}
    rows = [json.loads(line) for line in elsewhere.read("data/items.jsonl").splitlines()]
    made(datasets=datasets)
    elsewhere.snakemake("--cores", "2", "--configfile", "config/elsewhere.yaml")

    folder = "results/elsewhere/imported/answers/default/versions"
    gold = {row["id"]: row["answers"] for row in rows}
    with (elsewhere.root / folder / "predictions.csv").open(encoding="utf-8", newline="") as stream:
        found = list(csv.DictReader(stream))
    of_arm = {
        name: {
            row["item_id"]: row["response_text"] in gold[row["item_id"]]
            for row in found
            if row["condition"] == name
        }
        for name in ("control", "treatment")
    }
    both = of_arm["control"].keys() & of_arm["treatment"].keys()
    assert (len(of_arm["control"]), len(both)) == (60, 58)
    metrics = json.loads(elsewhere.read(f"{folder}/significance.json"))["results"]["treatment"]
    em = metrics["0.0"]["closed_book"]["metrics"]["em"]
    for name, mean in (("control", em["control_mean"]), ("treatment", em["treatment_mean"])):
        assert mean == pytest.approx(sum(of_arm[name][each] for each in both) / len(both))

    with (elsewhere.root / folder / "errors.csv").open(encoding="utf-8", newline="") as stream:
        missing = [(row["item_id"], row["error_type"]) for row in csv.DictReader(stream)]
    assert missing == [(row["id"], NOT_IN_FILE) for row in rows[-2:]]
    page = elsewhere.read(f"{folder}/report.html")
    assert "2 items have no answer in the file of “new” (data/new.csv)" in page
    assert "118 answers match the files that they come from" in page
    assert "What was asked is not known" in page
    assert "Temperature" not in page.split("<main")[0]
    assert "versions" in elsewhere.read("results/report.html")
    assert elsewhere.plan("--configfile", "config/elsewhere.yaml").total() == 0
