"""Reading and writing files: whole or not at all, and checked at the boundary."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from workflow_scripts.errors import UserError
from workflow_scripts.files import (
    atomic_writer,
    read_csv,
    read_json,
    read_jsonl,
    write_csv,
    write_json,
    write_jsonl,
)
from workflow_scripts.records import ErrorRow, Item, Prediction

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
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(UserError, match=r"x\.csv, line 3: sample_index"):
        list(read_csv(path, Prediction))


def test_a_row_with_too_many_cells_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    write_csv(path, Prediction, [prediction()])
    path.write_text(path.read_text(encoding="utf-8").rstrip() + ",more\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"x\.csv, line 2: more cells than columns"):
        list(read_csv(path, Prediction))


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
