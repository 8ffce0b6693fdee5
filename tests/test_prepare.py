"""Prepare: items from data sets, sampling, and errors that name the place."""

import csv
import functools
import gzip
import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
import threading
import zipfile
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from question_records import Item

from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import read_jsonl
from workflow_scripts.datasets.items import PrepareSettings, prepare, read_items
from workflow_scripts.datasets.sampling import sample
from workflow_scripts.datasets.settings import DatasetSpec
from workflow_scripts.datasets.source import Source
from workflow_scripts.tasks.question_answering import QuestionRow
from workflow_scripts.tasks.registry import TASKS

SQUAD = {
    "version": "v2.0",
    "data": [
        {
            "title": "Super | Bowl",
            "paragraphs": [
                {
                    "context": "Denver won.",
                    "qas": [
                        {
                            "id": "a1",
                            "question": "Who won?",
                            "answers": [
                                {"text": "Denver", "answer_start": 0},
                                {"text": "Denver won", "answer_start": 0},
                                {"text": "Denver", "answer_start": 0},
                            ],
                            "is_impossible": False,
                        },
                        {
                            "id": "a2",
                            "question": "Who sang?",
                            "answers": [],
                            "plausible_answers": [{"text": "Denver", "answer_start": 0}],
                            "is_impossible": True,
                        },
                    ],
                },
                {
                    "context": "It rained.",
                    "qas": [
                        {
                            "id": "a3",
                            "question": "What did it do?",
                            "answers": [{"text": "rained", "answer_start": 3}],
                            "is_impossible": False,
                        }
                    ],
                },
            ],
        },
        {
            "title": "Super | Bowl",
            "paragraphs": [
                {
                    "context": "Another article of that title.",
                    "qas": [
                        {
                            "id": "a4",
                            "question": "Which?",
                            "answers": [{"text": "Another", "answer_start": 0}],
                            "is_impossible": False,
                        }
                    ],
                }
            ],
        },
    ],
}

TRIVIA = {
    "Data": [
        {
            "Answer": {
                "Aliases": ["Sunset Blvd", "", "Sunset Boulevard"],
                "HumanAnswers": ["Sunset"],
                "NormalizedAliases": ["sunset blvd"],
                "Type": "WikipediaEntity",
                "Value": "Sunset Boulevard",
            },
            "EntityPages": [],
            "Question": "Which musical premiered in 1993?",
            "QuestionId": "tc_33",
            "SearchResults": [{"Rank": 0}],
        }
    ],
    "Domain": "Web",
    "Version": 1.0,
}


def squad_with(change) -> dict:
    """A copy of SQUAD after ``change`` was made to it."""
    document = json.loads(json.dumps(SQUAD))
    change(document)
    return document


def read(path: Path, file_format: str, task: str, content: bytes | str | dict, **source):
    """Write ``content`` to ``path`` and read its items."""
    if isinstance(content, dict):
        content = json.dumps(content)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_items(Source("mine", path, **source), file_format, TASKS[task])


def error_of(*arguments, **source) -> str:
    with pytest.raises(UserError) as caught:
        read(*arguments, **source)
    return str(caught.value)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "data.file"


# --- published formats ---


def test_squad_items_keep_order_answers_and_passages(path):
    items = read(path, "squad_v2", "open_book", SQUAD)
    assert [item.id for item in items] == ["a1", "a2", "a3", "a4"]
    assert items[0] == Item(
        id="a1",
        dataset="mine",
        question="Who won?",
        answers=["Denver", "Denver won"],
        context="Denver won.",
        is_unanswerable=False,
        cluster_id="Super_Bowl-0",
    )
    assert items[1].is_unanswerable
    assert items[1].answers == []
    # One cluster per passage, also when two articles share a title.
    assert [item.cluster_id for item in items] == [
        "Super_Bowl-0",
        "Super_Bowl-0",
        "Super_Bowl-1",
        "Super_Bowl-2",
    ]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            lambda d: d["data"][0]["paragraphs"][0]["qas"][1].pop("question"),
            "data[0].paragraphs[0].qas[1].question: is missing",
        ),
        (
            lambda d: d["data"][0]["paragraphs"][1]["qas"][0].update(is_impossible="no"),
            "data[0].paragraphs[1].qas[0].is_impossible",
        ),
        (
            lambda d: d["data"][0]["paragraphs"][1]["qas"][0].update(answers=[{"text": " "}]),
            "data[0].paragraphs[1].qas[0].answers[0].text: is blank",
        ),
        (
            lambda d: d["data"][1]["paragraphs"][0]["qas"][0].update(answers=[]),
            "data[1].paragraphs[0].qas[0]: answers is empty but is_unanswerable is false",
        ),
        (
            lambda d: d["data"][0]["paragraphs"][0]["qas"][0].update(is_impossible=True),
            "data[0].paragraphs[0].qas[0]: is_unanswerable is true but answers is not empty",
        ),
        (
            lambda d: d["data"][0]["paragraphs"][0]["qas"][0].update(id="a|1"),
            "data[0].paragraphs[0].qas[0].id: 'a|1' contains '|' or a line break",
        ),
        (lambda d: d.pop("data"), "data: is missing"),
    ],
)
def test_a_malformed_squad_record_is_named_by_its_path(path, change, expected):
    message = error_of(path, "squad_v2", "open_book", squad_with(change))
    assert str(path) in message
    assert expected in message


def test_a_repeated_id_names_both_places(path):
    def change(document):
        document["data"][1]["paragraphs"][0]["qas"][0]["id"] = "a2"

    message = error_of(path, "squad_v2", "open_book", squad_with(change))
    assert "data[1].paragraphs[0].qas[0]" in message
    assert "'a2' was used before, at data[0].paragraphs[0].qas[1]" in message


def test_many_problems_are_counted_not_listed(path):
    def change(document):
        document["data"] = [{} for _ in range(50)]

    message = error_of(path, "squad_v2", "open_book", squad_with(change))
    assert "and 97 more such problems" in message  # each lacks title and paragraphs; 3 are shown
    assert len(message) < 400


def test_a_cut_off_json_document_names_line_and_column(path):
    text = json.dumps(SQUAD, indent=1)
    message = error_of(path, "squad_v2", "open_book", text[: len(text) // 2])
    assert f"at line {text[: len(text) // 2].count(chr(10)) + 1} column" in message


def test_nq_open_ids_depend_on_the_question_alone(path):
    lines = [
        '{"question": "who won", "answer": ["A", "B", "A"]}',
        '{"question": "who lost", "answer": ["C"]}',
    ]
    first, second = read(path, "nq_open", "closed_book", "\n".join(lines) + "\n")
    digest = hashlib.sha256(b"who won").hexdigest()[:16]
    assert (first.id, first.cluster_id, first.answers) == (f"nq-{digest}", first.id, ["A", "B"])
    assert first.context is None
    assert read(path, "nq_open", "closed_book", "\n".join(reversed(lines))) == [second, first]


def test_a_repeated_nq_question_gets_its_own_id_in_the_same_cluster(path):
    line = '{"question": "who won", "answer": ["A"]}\n'
    first, second = read(path, "nq_open", "closed_book", line * 2)
    assert second.id == f"{first.id}-2"
    assert second.cluster_id == first.cluster_id


def test_triviaqa_answers_are_value_aliases_and_human_answers(path):
    (item,) = read(path, "triviaqa", "closed_book", TRIVIA)
    assert item.id == item.cluster_id == "tc_33"
    assert item.answers == ["Sunset Boulevard", "Sunset Blvd", "Sunset"]


def test_triviaqa_without_answers_is_an_error(path):
    document = json.loads(json.dumps(TRIVIA))
    del document["Data"][0]["Answer"]
    assert "Data[0].Answer: is missing" in error_of(path, "triviaqa", "closed_book", document)


def test_a_published_format_has_a_fixed_task(path):
    assert "always task 'open_book'" in error_of(path, "squad_v2", "closed_book", SQUAD)


# --- own files ---


def jsonl(*rows: dict) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


ROW = {"id": "1", "question": "Why?", "answers": ["so", "thus"], "context": "It is so."}


def test_jsonl_defaults(path):
    other = {**ROW, "id": "2", "answers": [], "is_unanswerable": True}
    third = {**ROW, "id": "3", "context": "Not so.", "cluster_id": "mine", "dataset": "mine"}
    items = read(path, "jsonl", "open_book", jsonl(ROW, other, third))
    digest = hashlib.sha256(b"It is so.").hexdigest()[:16]
    assert [item.cluster_id for item in items] == [f"context-{digest}"] * 2 + ["mine"]
    assert [item.is_unanswerable for item in items] == [False, True, False]
    assert {item.dataset for item in items} == {"mine"}


def test_closed_book_items_stand_alone_and_carry_no_context(path):
    (item,) = read(path, "jsonl", "closed_book", jsonl(ROW))
    assert item.context is None
    assert item.cluster_id == "1"


def test_csv_means_the_same_as_jsonl(path):
    text = (
        "id,question,answers,context,is_unanswerable\r\n"
        '1,Why?,so || thus,"It is\r\n""so"", yes",\r\n'
        "2,Who?,,Nobody.,TRUE\r\n"
    )
    rows = [
        {**ROW, "context": 'It is\r\n"so", yes'},
        {
            "id": "2",
            "question": "Who?",
            "answers": [],
            "context": "Nobody.",
            "is_unanswerable": True,
        },
    ]
    expected = read(path, "jsonl", "open_book", jsonl(*rows))
    assert read(path, "csv", "open_book", text) == expected
    assert read(path, "csv", "open_book", b"\xef\xbb\xbf" + text.encode()) == expected
    with_bom = b"\xef\xbb\xbf" + jsonl(*rows).encode()
    assert read(path, "jsonl", "open_book", with_bom) == expected


cell = st.text(st.characters(codec="utf-8", exclude_characters="\r\n|;[]"), min_size=1).filter(
    lambda text: (
        text == text.strip() != ""
        and text.lower() not in {"nan", "none", "null", "<na>", "nat", "#n/a"}
    )
)


@given(
    st.lists(
        st.tuples(cell, cell, st.lists(cell, min_size=1)), min_size=1, unique_by=lambda r: r[0]
    )
)
def test_any_text_survives_csv_and_jsonl(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("own")
    stream = io.StringIO(newline="")
    writer = csv.writer(stream)
    writer.writerow(["answers", "id", "question"])
    writer.writerows(["||".join(answers), item_id, question] for item_id, question, answers in rows)
    from_csv = read(folder / "own.csv", "csv", "closed_book", stream.getvalue())
    assert [(item.id, item.question, item.answers) for item in from_csv] == [
        (item_id, question, list(dict.fromkeys(answers))) for item_id, question, answers in rows
    ]
    named = (dict(zip(("id", "question", "answers"), row, strict=True)) for row in rows)
    assert read(folder / "own.jsonl", "jsonl", "closed_book", jsonl(*named)) == from_csv


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({**ROW, "answer": "x"}, "unknown column 'answer'; did you mean 'answers'?"),
        ({**ROW, "Context": "x"}, "unknown column 'Context'; did you mean 'context'?"),
        ({**ROW, "zzz": 1}, "unknown column 'zzz'; the columns are id, question, answers"),
        ({**ROW, "id": "a|b"}, "id: 'a|b' contains '|' or a line break"),
        ({**ROW, "id": "a\nb"}, "id: 'a\\nb' contains '|' or a line break"),
        ({**ROW, "id": 7}, "id: Input should be a valid string"),
        ({**ROW, "answers": "so"}, "answers: Input should be a valid"),
        ({**ROW, "answers": ["so", ""]}, "answers[1]: is blank"),
        ({**ROW, "answers": []}, "answers is empty but is_unanswerable is false"),
        ({**ROW, "question": " "}, "question: is blank"),
        ({**ROW, "is_unanswerable": "yes"}, "is_unanswerable: Input should be a valid boolean"),
        ({**ROW, "dataset": "other"}, "dataset is 'other', but the config calls"),
        ({**ROW, "context": None}, "item '2' has no context, but open_book"),
        ({"id": "2", "question": "?"}, "answers: is missing"),
    ],
)
def test_a_wrong_jsonl_row_names_its_line(path, row, expected):
    if row["id"] == ROW["id"]:
        row["id"] = "2"
    message = error_of(path, "jsonl", "open_book", jsonl(ROW, row))
    assert message.startswith(f"{path}, line 2: ")
    assert expected in message


@pytest.mark.parametrize("text", ['{"id": "2"', "{} x", "[1]", '"\\ud800"', "nothing"])
def test_a_line_that_is_no_json_object_names_its_line(path, text):
    message = error_of(path, "jsonl", "open_book", jsonl(ROW) + text + "\n")
    assert message.startswith(f"{path}, line 2: ")
    assert "line 1" not in message


def test_a_blank_line_is_an_error_not_skipped(path):
    message = error_of(path, "jsonl", "open_book", jsonl(ROW) + "\n" + jsonl({**ROW, "id": "2"}))
    assert "line 2: the line is blank" in message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("id,question,answer\n", "line 1: unknown column 'answer'; did you mean 'answers'?"),
        ("ID,question,answers\n", "line 1: unknown column 'ID'; did you mean 'id'?"),
        ("id,question\n1,Why?\n", "line 1: the column 'answers' is missing"),
        ("id,question,answers,id\n", "line 1: the column 'id' occurs twice"),
        ("", "line 1: the column 'id' is missing"),
        ("id;question;answers\n1;a;b\n", "line 1: the columns are separated by semicolons"),
        ('"id";"question";"answers"\r\n', "line 1: the columns are separated by semicolons"),
        ("ID\tQuestion\tAnswers\r\n", "line 1: the columns are separated by tabs"),
        ("id,question,answers\n", "there are no items in data set 'mine'"),
        (
            'id,question,answers\n1,"a\nb",c\n2,Why,now,so\n',
            "line 4: 4 cells, but the header has 3",
        ),
        ("id,question,answers\n1,a,b\n\n2,a,b\n", "line 3: 0 cells"),
        ('id,question,answers\n1,"a"b,c\n', "line 2: not valid CSV"),
        ('id,question,answers\n1,a,b\n2,"a,c\n', "line 3: not valid CSV"),
        ("id,question,answers\n1,a,b\n,a,b\n", "line 3: id: is missing"),
        ("id,question,answers\n1,a,b||\n", "line 2: answers[1]: is blank"),
        ("id,question,answers\n1,a,b\n1,c,d\n", "'1' was used before, at line 2"),
        (
            "id,question,answers\n1,a,\"['b', 'c']\"\n",
            "line 2: answers: \"['b', 'c']\" would be one",
        ),
        ("id,question,answers\n1,a,[b]\n", "line 2: answers: '[b]' would be one text"),
        ("id,question,answers\n1,a,b|c\n", "line 2: answers: 'b|c' would be one text"),
        ("id,question,answers\n1,a,b||c|d\n", "line 2: answers: 'b||c|d' would be one text"),
        ("id,question,answers\n1,a,b\n2,a,b; c\n", "line 3: answers: 'b; c' would be one text"),
        ("id,question,answers\n1,a,nan\n", "line 2: answers: 'nan' is what programs write for an"),
        ("id,question,answers\n1,a, None\n", "line 2: answers: 'None' is what programs write"),
        ("id,question,answers,context\n1,a,b,NaN\n", "line 2: context: 'NaN' is what programs"),
        ("id,question,answers,is_unanswerable\n1,a,,perhaps\n", "line 2: is_unanswerable:"),
    ],
)
def test_a_wrong_csv_file_names_its_line(path, text, expected):
    message = error_of(path, "csv", "closed_book", text)
    assert message.startswith(str(path))
    assert expected in message


@pytest.mark.parametrize(
    ("file_format", "task", "text"),
    [
        ("csv", "open_book", "id,question,answers,context\n1,a,b,c\n2,Ö,b,c\n"),
        ("jsonl", "open_book", jsonl(ROW, {**ROW, "id": "2"}, {**ROW, "question": "Ö"})),
        ("nq_open", "closed_book", '{"question": "a", "answer": ["b"]}\n{"question": "Ö"}'),
        ("squad_v2", "open_book", '{"data":\n\n"Ö"}'),
    ],
)
def test_invalid_utf8_names_its_line(path, file_format, task, text):
    line = text[: text.index("Ö")].count("\n") + 1
    message = error_of(path, file_format, task, text.encode("latin-1"))
    assert f"{path}, line {line}: byte 0xd6 is not UTF-8" in message


# --- packed files ---


def packed(path: Path, kind: str, files: dict[str, bytes]) -> None:
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
    else:
        with tarfile.open(path, "w:gz") as archive:
            for name, content in files.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))


def test_a_gzipped_file_or_one_with_a_byte_order_mark_reads_like_a_plain_one(path):
    plain = read(path, "squad_v2", "open_book", SQUAD)
    zipped = gzip.compress(json.dumps(SQUAD).encode())
    assert read(path, "squad_v2", "open_book", zipped) == plain
    with_bom = b"\xef\xbb\xbf" + json.dumps(SQUAD).encode()
    assert read(path, "squad_v2", "open_book", with_bom) == plain


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_a_member_is_read_from_its_archive(path, kind, compress):
    content = json.dumps(TRIVIA).encode()
    packed(path, kind, {"unfiltered/train.json": b"{}", "unfiltered/dev.json": compress(content)})
    items = read_items(
        Source("mine", path, "unfiltered/dev.json"), "triviaqa", TASKS["closed_book"]
    )
    assert [item.id for item in items] == ["tc_33"]
    assert list(path.parent.iterdir()) == [path]  # nothing was extracted


def test_a_tar_made_of_the_current_folder_names_its_members_without_the_dot(path):
    packed(path, "tar.gz", {"./dev.json": json.dumps(TRIVIA).encode()})
    assert read_items(Source("mine", path, "dev.json"), "triviaqa", TASKS["closed_book"])


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_an_absent_member_lists_the_near_ones(path, kind):
    packed(path, kind, {"unfiltered/web-dev.json": b"{}", "README": b""})
    with pytest.raises(UserError) as caught:
        read_items(Source("mine", path, "web-dev.json"), "triviaqa", TASKS["closed_book"])
    assert "no member 'web-dev.json'" in str(caught.value)
    assert "'unfiltered/web-dev.json'" in str(caught.value)
    assert "README" not in str(caught.value)


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_an_archive_without_a_member_says_what_it_holds(path, kind):
    packed(path, kind, {"unfiltered/web-dev.json": b"{}"})
    with pytest.raises(UserError, match=r"'member' of data set 'mine'.*unfiltered/web-dev\.json"):
        read_items(Source("mine", path), "triviaqa", TASKS["closed_book"])


def test_a_member_of_a_plain_file_is_an_error(path):
    assert "not a .zip or .tar archive" in error_of(
        path, "triviaqa", "closed_book", TRIVIA, member="dev.json"
    )


def test_truncated_gzip_is_an_error(path):
    # Noise, so that the cut does not fall into the end mark.
    row = {**ROW, "context": hashlib.shake_128(b"").hexdigest(5000)}
    content = gzip.compress(jsonl(row).encode())
    for kept in (len(content) // 2, len(content) - 4):
        message = error_of(path, "jsonl", "open_book", content[:kept])
        assert "damaged or cut off" in message
        assert str(path) in message


@pytest.mark.parametrize("position", [10, -6])  # in the compressed block; in the CRC
def test_a_damaged_gzip_is_an_error(path, position):
    content = bytearray(gzip.compress(jsonl(ROW).encode()))
    content[position] = 0xFF
    assert "damaged or cut off" in error_of(path, "jsonl", "open_book", bytes(content))


def test_a_truncated_archive_is_an_error(path):
    document = {"Data": TRIVIA["Data"], "Noise": hashlib.shake_128(b"").hexdigest(50_000)}
    packed(path, "tar.gz", {"dev.json": json.dumps(document).encode()})
    content = path.read_bytes()
    message = error_of(
        path, "triviaqa", "closed_book", content[: len(content) // 2], member="dev.json"
    )
    assert "damaged or cut off" in message


def test_a_missing_file_is_an_error(path):
    with pytest.raises(UserError, match="there is no such file"):
        read_items(Source("mine", path), "csv", TASKS["closed_book"])


def test_a_folder_is_not_a_file(tmp_path):
    with pytest.raises(UserError, match="there is no such file"):
        read_items(Source("mine", tmp_path), "csv", TASKS["closed_book"])


# --- sampling ---


def items_named(ids) -> list[Item]:
    return [Item(id=i, dataset="d", question="?", answers=["x"], cluster_id=i) for i in ids]


unique_ids = st.lists(cell, min_size=1, max_size=40, unique=True)


@given(unique_ids, st.integers(1, 45), st.integers(1, 45), st.integers(), st.randoms())
def test_samples_are_nested_and_independent_of_the_order(ids, one, other, seed, shuffler):
    items = items_named(ids)
    small, large = (sample(items, limit, seed) for limit in sorted((one, other)))
    assert len(small) == min(one, other, len(items))
    assert {item.id for item in small} <= {item.id for item in large}
    assert small == [item for item in items if item in small]  # the file's order
    shuffled = shuffler.sample(items, len(items))
    assert {item.id for item in sample(shuffled, min(one, other), seed)} == {i.id for i in small}


def test_the_sample_is_fixed_across_versions_and_depends_on_the_seed():
    items = items_named(str(number) for number in range(1000))
    by_hand = sorted(items, key=lambda i: hashlib.sha256(f"7|{i.id}".encode()).hexdigest())[:10]
    assert {item.id for item in sample(items, 10, 7)} == {item.id for item in by_hand}
    assert sample(items, 10, 7) != sample(items, 10, 8)
    assert sample(items, None, 7) == items


def test_every_item_is_sampled_equally_often():
    items = items_named(str(number) for number in range(20))
    counts = dict.fromkeys((item.id for item in items), 0)
    for seed in range(2000):
        for item in sample(items, 5, seed):
            counts[item.id] += 1
    # Binomial(2000, 1/4): mean 500, standard deviation 19.4.
    assert all(abs(count - 500) < 5 * 19.4 for count in counts.values())


# --- the stage ---


def test_data_sets_follow_the_order_of_the_settings(tmp_path):
    (tmp_path / "b.jsonl").write_text(jsonl(ROW, {**ROW, "id": "2"}), encoding="utf-8")
    (tmp_path / "a.json").write_text(json.dumps(SQUAD), encoding="utf-8")
    settings = PrepareSettings.model_validate(
        {"datasets": {"b": {"format": "jsonl", "limit": 1}, "a": {"format": "squad_v2"}}}
    )
    files = {"a": tmp_path / "a.json", "b": tmp_path / "b.jsonl"}
    items = prepare(TASKS["open_book"], settings, files)
    assert [item.dataset for item in items] == ["b", "a", "a", "a", "a"]
    with pytest.raises(UserError, match=r"--source gives \['a'\]"):
        prepare(TASKS["open_book"], settings, {"a": tmp_path / "a.json"})


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "workflow_scripts.datasets.items", *map(str, arguments)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )


def test_the_command_writes_items_or_nothing(tmp_path):
    data, settings, output = (tmp_path / name for name in ("d.csv", "s.json", "out/items.jsonl"))
    data.write_text("id,question,answers\n1,Größe?,groß\n2,Why?,so\n", encoding="utf-8")
    settings.write_text(json.dumps({"datasets": {"own": {"format": "csv"}}}), encoding="utf-8")
    questions = output.with_name("questions.jsonl")
    command = [
        *("--task", "closed_book", "--settings", settings),
        *("--output", output, "--questions", questions, "--source"),
    ]
    done = run(*command, f"own={data}")
    assert done.returncode == 0, done.stderr
    assert "own: 2 of 2 items" in done.stderr
    assert [item.question for item in read_jsonl(output, Item)] == ["Größe?", "Why?"]
    asked = [json.loads(line) for line in questions.read_text(encoding="utf-8").splitlines()]
    assert asked == [
        {"id": "1", "dataset": "own", "question": "Größe?", "cluster_id": "1"},
        {"id": "2", "dataset": "own", "question": "Why?", "cluster_id": "2"},
    ]

    output.unlink()
    questions.unlink()
    shutil.rmtree(output.parent / "seals")
    data.write_text("id,question,answers\n1,Why?,so\n2,,so\n", encoding="utf-8")
    failed = run(*command, f"own={data}")
    assert failed.returncode == 1
    assert failed.stderr == f"error: {data}, line 3: question: is missing\n"
    assert list(output.parent.iterdir()) == []

    wrong = run(*command, "own")
    assert wrong.stderr == "error: --source own: write NAME=FILE\n"


# --- through Snakemake ---


@pytest.fixture
def served(tmp_path):
    """The address of a server that knows the folder ``tmp_path / "served"``."""
    (tmp_path / "served").mkdir()
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "served"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_the_query_of_a_url_is_shown_nowhere(tmp_path, served, project):
    content = jsonl(ROW).encode()
    (tmp_path / "served" / "data; x.jsonl").write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    spec = {"format": "jsonl", "task": "open_book", "sha256": sha256}
    spec["url"] = f"{served}/data;%20x.jsonl?token=s3cret&x=$HOME"
    config = yaml.safe_load(project.read("config/config.yaml"))
    (project.root / "own.yaml").write_text(
        yaml.safe_dump({**config, "datasets": {"own": spec}}), encoding="utf-8"
    )
    target = "results/demo/items/open_book.jsonl"
    done = project.snakemake("--cores", "1", "--configfile", "own.yaml", target)
    (project.root / target).unlink()
    (tmp_path / "served" / "data; x.jsonl").unlink()
    (project.root / "results/downloads/own/data-20x.jsonl").unlink()
    failed = project.snakemake("--cores", "1", "--configfile", "own.yaml", target, check=False)
    assert failed.returncode != 0
    assert "404" in failed.stderr
    shown = done.stdout + done.stderr + failed.stdout + failed.stderr
    for path in project.root.rglob("*"):
        hidden = ".snakemake" in path.parts or "logs" in path.parts
        if path.is_file() and hidden:
            shown += path.read_bytes().decode("utf-8", errors="replace")
    assert "data-20x.jsonl" in shown
    assert "s3cret" not in shown


# --- the user page ---

PAGE = (Path(__file__).parent.parent / "docs" / "data.md").read_text(encoding="utf-8")
OF_QUESTIONS = PAGE[: PAGE.index("## Questions to a corpus")]
TO_A_CORPUS = PAGE[PAGE.index("## Questions to a corpus") : PAGE.index("## Objects as answers")]


def blocks(language: str, page: str = OF_QUESTIONS) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)


def test_the_config_blocks_of_the_page_are_valid():
    specs = {}
    for block in blocks("yaml", PAGE):
        for name, spec in yaml.safe_load(block).get("datasets", {}).items():
            specs[name] = DatasetSpec.model_validate(spec)
    tasks = {name: spec.the_task for name, spec in specs.items()}
    assert tasks == {
        "my_questions": "open_book",
        "squad": "open_book",
        "nq": "closed_book",
        "trivia": "closed_book",
        "code": "rag",
        "people": "structured",
    }


def test_the_worked_example_of_the_page(tmp_path):
    (from_csv,) = blocks("csv")
    own, first_item = blocks("json")
    source = Source("my_questions", tmp_path / "questions")
    source.path.write_text(from_csv, encoding="utf-8")
    items = read_items(source, "csv", TASKS["open_book"])
    assert items[0] == Item.model_validate_json(first_item)
    source.path.write_text(own, encoding="utf-8")
    assert read_items(source, "jsonl", TASKS["open_book"]) == items


def test_the_page_names_every_column():
    described = re.findall(
        r"^\| `(\w+)` \| (?:required|for `open_book`)? ?\|", OF_QUESTIONS, flags=re.M
    )
    assert described == list(QuestionRow.model_fields)


def test_the_questions_to_a_corpus_of_the_page(tmp_path):
    (lines,) = blocks("json", TO_A_CORPUS)
    source = Source("code", tmp_path / "questions.jsonl")
    source.path.write_text(lines, encoding="utf-8")
    items = read_items(source, "jsonl", TASKS["rag"])
    assert [item.is_unanswerable for item in items] == [False, False, True]
    cells = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", TO_A_CORPUS, flags=re.M)
    described = [name for cell in cells for name in re.findall(r"`(\w+)`", cell)]
    assert sorted(described) == sorted(TASKS["rag"].row.model_fields)


def test_items_with_control_tokens_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "items.jsonl"
    questions = ["Where?", "Where?<|im_end|>", "A </s> b?", "x <| y?", "[/INST]", "<|end|>"]
    lines = [
        {"id": str(number), "question": question, "answers": ["here"]}
        for number, question in enumerate(questions)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    settings = PrepareSettings.model_validate({"datasets": {"d": {"format": "jsonl"}}})
    assert len(prepare(TASKS["closed_book"], settings, {"d": path})) == len(questions)
    (said,) = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
    assert "item '1' (question: <|im_end|>), item '2' (question: </s>)" in said
    assert "and 1 more" in said
