"""Reading and writing files: whole or not at all, and checked at the boundary."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from question_records import Item

from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import (
    atomic_writer,
    read_csv,
    read_json,
    read_jsonl,
    read_settings,
    read_text,
    write_csv,
    write_json,
    write_jsonl,
)
from workflow_scripts.core.records import ErrorRow, Prediction

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


def prediction(response: str = "Oslo", tokens: int | None = 3) -> Prediction:
    return Prediction(
        custom_id="d|i|control|0.0|0|open_book",
        dataset="d",
        item_id="i",
        condition="control",
        temp="0.0",
        sample_index=0,
        type="open_book",
        request_id="r",
        finish_reason="stop",
        response_text=response,
        prompt_tokens=tokens,
        completion_tokens=tokens,
        total_tokens=tokens,
    )


def test_the_columns_of_predictions_are_exactly_these(tmp_path: Path) -> None:
    write_csv(tmp_path / "predictions.csv", Prediction, [prediction()])
    header = (tmp_path / "predictions.csv").read_text(encoding="utf-8").splitlines()[0]
    assert header == (
        "custom_id,dataset,item_id,condition,temp,sample_index,type,request_id,"
        "finish_reason,response_text,prompt_tokens,completion_tokens,total_tokens"
    )


@example("\r", None)
@given(TEXT, st.none() | st.integers(0, 10**9))
def test_csv_gives_back_any_text(
    tmp_path_factory: pytest.TempPathFactory, response: str, tokens: int | None
) -> None:
    path = tmp_path_factory.mktemp("csv") / "predictions.csv"
    written = prediction(response, tokens)
    write_csv(path, Prediction, [written])
    assert list(read_csv(path, Prediction)) == [written]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_cell_starts_a_formula(tmp_path: Path, start: str) -> None:
    path = tmp_path / "predictions.csv"
    write_csv(path, Prediction, [prediction(f"{start}HYPERLINK(1)")])
    with path.open(encoding="utf-8", newline="") as stream:
        cell = next(csv.DictReader(stream))["response_text"]
    assert cell == f"'{start}HYPERLINK(1)"


def test_wrong_columns_are_named(tmp_path: Path) -> None:
    write_csv(tmp_path / "x.csv", ErrorRow, [])
    with pytest.raises(UserError, match=r"x\.csv, line 1: the columns are"):
        list(read_csv(tmp_path / "x.csv", Prediction))


def test_a_bad_row_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    write_csv(path, Prediction, [prediction(), prediction()])
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[2] = lines[2].replace(",0,open_book,", ",first,open_book,")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"x\.csv, line 3: sample_index"):
        list(read_csv(path, Prediction))


def test_a_row_with_too_many_cells_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    write_csv(path, Prediction, [prediction()])
    path.write_text(path.read_text(encoding="utf-8").rstrip() + ",more\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"x\.csv, line 2: 14 cells for 13 columns"):
        list(read_csv(path, Prediction))


def test_a_cut_off_csv_is_an_error_not_a_shorter_table(tmp_path: Path) -> None:
    """Cut at any byte, but between two rows, where only the stage before could tell."""
    path = tmp_path / "x.csv"
    write_csv(path, Prediction, [prediction("a"), prediction('say "b,\r\nc"', 1234)])
    whole = path.read_bytes()
    row_ends = [whole.index(b"\r\n") + 2, whole.index(b"\r\n", whole.index(b"\r\n") + 2) + 2]
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        if length in row_ends:
            assert len(list(read_csv(path, Prediction))) == row_ends.index(length)
        else:
            with pytest.raises(UserError, match=r"x\.csv, line [1-4]: "):
                list(read_csv(path, Prediction))


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("Oslo", '"Os"lo', "line 2: not valid CSV"),
        ("\r\nd|i", "\r\n\r\nd|i", "line 2: 0 cells for 13 columns"),
        (",3,3,3", ",3,3", "line 2: 12 cells for 13 columns"),
        (",Oslo,", ',"Oslo,', "line 2: not valid CSV"),
    ],
)
def test_a_damaged_csv_row_is_named_with_its_line(
    tmp_path: Path, old: str, new: str, complaint: str
) -> None:
    path = tmp_path / "x.csv"
    write_csv(path, Prediction, [prediction()])
    text = path.read_bytes().decode("utf-8")
    assert old in text
    path.write_bytes(text.replace(old, new).encode("utf-8"))
    with pytest.raises(UserError, match=complaint):
        list(read_csv(path, Prediction))


def test_a_row_is_named_with_the_line_that_it_begins_on(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    write_csv(path, Prediction, [prediction("a\nb\nc"), prediction("a\nb")])
    path.write_bytes(path.read_bytes()[:-3] + b"x\r\n")
    with pytest.raises(UserError, match=r"x\.csv, line 5: total_tokens"):
        list(read_csv(path, Prediction))


READERS = [
    pytest.param(lambda path: list(read_csv(path, Prediction)), id="csv"),
    pytest.param(lambda path: list(read_jsonl(path, Item)), id="jsonl"),
    pytest.param(read_json, id="json"),
    pytest.param(read_text, id="text"),
    pytest.param(lambda path: read_settings(path, Item), id="settings"),
]


@pytest.mark.parametrize("reader", READERS)
def test_a_file_that_cannot_be_read_is_named(
    tmp_path: Path, reader: Callable[[Path], object]
) -> None:
    with pytest.raises(UserError, match=r"none\.x: no such file"):
        reader(tmp_path / "none.x")
    with pytest.raises(UserError, match=rf"{re.escape(str(tmp_path))}: cannot be read \("):
        reader(tmp_path)
    (tmp_path / "latin1.x").write_bytes(b"{\n\xe9")
    with pytest.raises(UserError, match=r"latin1\.x, line [12]: "):
        reader(tmp_path / "latin1.x")


def test_the_line_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    lines = tmp_path / "items.jsonl"
    write_jsonl(lines, [item(1), item(2)])
    lines.write_bytes(lines.read_bytes() + b'{"id": "\xe9"}\n')
    with pytest.raises(UserError, match=r"items\.jsonl, line 3: byte 0xe9 is not UTF-8; save"):
        list(read_jsonl(lines, Item))
    table = tmp_path / "x.csv"
    write_csv(table, Prediction, [prediction(), prediction("caf#")])
    table.write_bytes(table.read_bytes().replace(b"#", b"\xe9"))
    with pytest.raises(UserError, match=r"x\.csv, line 3: byte 0xe9 is not UTF-8"):
        list(read_csv(table, Prediction))


def test_json_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    """Editors on Windows write one into settings that are made by hand."""
    (tmp_path / "x.json").write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read_json(tmp_path / "x.json") == {"a": 1}


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(UserError, match=r"file.x\.json: cannot be written \("):
        write_json(tmp_path / "file" / "x.json", {})
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match=r"folder: cannot be written \("):
        write_json(tmp_path / "folder", {})
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file", "folder"]


def test_a_very_long_answer_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    write_csv(path, Prediction, [prediction("long " * 100_000)])
    (read,) = read_csv(path, Prediction)
    assert len(read.response_text) == 500_000


def item(number: int) -> Item:
    return Item(id=str(number), dataset="d", question="?", answers=["a"], cluster_id="c")


def test_a_bad_json_line_is_named_with_line_and_field(tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl"
    write_jsonl(path, [item(1), item(2)])
    with path.open("a", encoding="utf-8") as stream:
        stream.write('{"id": "3", "dataset": "d", "answers": [], "cluster_id": "c"}\n')
    with pytest.raises(UserError, match=r"items\.jsonl, line 3: question: Field required"):
        list(read_jsonl(path, Item))


def test_a_cut_off_line_is_an_error_not_a_shorter_file(tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl"
    write_jsonl(path, [item(1), item(2)])
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UserError, match=r"line 2: .*JSON"):
        list(read_jsonl(path, Item))


def test_nothing_is_left_of_a_write_that_fails(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    path.write_text("before", encoding="utf-8")

    def fail_half_way() -> None:
        with atomic_writer(path) as stream:
            stream.write("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail_half_way()
    assert path.read_text(encoding="utf-8") == "before"
    assert [each.name for each in tmp_path.iterdir()] == ["out.txt"]


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_json_has_no_nan_and_no_infinity(tmp_path: Path, number: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "x.json", {"p": number})


def test_broken_json_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{\n"a": }', encoding="utf-8")
    with pytest.raises(UserError, match=r"x\.json, line 2: not valid JSON"):
        read_json(tmp_path / "x.json")


def test_a_file_that_somebody_reads_on_windows_is_replaced_a_moment_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There, os.replace fails with PermissionError while another process has the file open."""
    waits: list[float] = []
    replace = Path.replace

    def denied_twice(source: Path, target: Path) -> Path:
        if len(waits) < 2:
            raise PermissionError(13, "Access is denied")
        return replace(source, target)

    monkeypatch.setattr(Path, "replace", denied_twice)
    monkeypatch.setattr("time.sleep", waits.append)
    write_json(tmp_path / "x.json", [1])
    assert read_json(tmp_path / "x.json") == [1]
    assert len(waits) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


def test_a_file_that_stays_in_use_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(source: Path, target: Path) -> Path:
        raise PermissionError(13, "Access is denied")

    monkeypatch.setattr(Path, "replace", denied)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with pytest.raises(UserError, match=r"x\.json: cannot be replaced \(Access is denied\)"):
        write_json(tmp_path / "x.json", [1])
    assert not list(tmp_path.iterdir())
