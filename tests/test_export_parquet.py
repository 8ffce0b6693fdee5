"""Parquet files: the rows of the CSV files in their order, with exact types, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from question_records import ItemScores
from report_files import INJECTIONS, run_main, write_trial

from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import read_csv, write_json
from workflow_scripts.core.records import Prediction
from workflow_scripts.export import parquet
from workflow_scripts.export.parquet import row_groups, write_parquet


def prediction(number: int, text: str = "Oslo", tokens: int | None = 3) -> Prediction:
    return Prediction(
        custom_id=f"d|{number}|control|0.0|0|open_book", dataset="d", item_id=str(number),
        condition="control", temp="0.0", sample_index=0, type="open_book", request_id="r",
        finish_reason="stop", response_text=text, prompt_tokens=tokens, completion_tokens=2**40,
    )  # fmt: skip


@pytest.fixture
def trial(tmp_path: Path) -> Path:
    write_trial(tmp_path, injected=[*INJECTIONS, "=1+1", "'@x", "\t", "Zürich 東京 🙂"])
    write_json(tmp_path / "parquet.json", {"retrievals": {}})
    arguments = {
        "settings": "parquet.json",
        "predictions": "predictions.csv",
        "scores": "per_item_scores.csv",
        "predictions-output": "predictions.parquet",
        "scores-output": "per_item_scores.parquet",
    }
    run_main(
        parquet,
        [part for name, file in arguments.items() for part in (f"--{name}", str(tmp_path / file))],
    )
    return tmp_path


def test_rows_columns_and_order_are_those_of_the_csv(trial: Path) -> None:
    for name, model in (("predictions", Prediction), ("per_item_scores", ItemScores)):
        table = pq.read_table(trial / f"{name}.parquet")
        assert table.column_names == list(model.model_fields)
        rows = list(read_csv(trial / f"{name}.csv", model))
        assert table.to_pylist() == [row.model_dump() for row in rows]
        assert len(rows) > 300


def test_columns_have_exact_types_and_the_file_says_what_it_is(trial: Path) -> None:
    schema = pq.read_schema(trial / "predictions.parquet")
    assert {field.name: (field.type, field.nullable) for field in schema} == {
        **dict.fromkeys(Prediction.model_fields, (pa.string(), False)),
        "sample_index": (pa.int64(), False),
        **dict.fromkeys(("prompt_tokens", "completion_tokens", "total_tokens"), (pa.int64(), True)),
    }
    assert schema.metadata == {b"assay.schema": b"predictions/1"}
    schema = pq.read_schema(trial / "per_item_scores.parquet")
    metrics = [name for name in ItemScores.model_fields if name.endswith(("_std", "_rate"))]
    assert {field.name: (field.type, field.nullable) for field in schema} == {
        **dict.fromkeys(ItemScores.model_fields, (pa.string(), False)),
        **dict.fromkeys([*metrics, "em", "f1", "correct", "contains_gold"], (pa.float64(), True)),
    }
    assert schema.metadata == {b"assay.schema": b"per_item_scores/1"}


def test_a_missing_count_is_null_and_large_ones_are_exact(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    write_parquet(path, "predictions", Prediction, [prediction(1, tokens=None), prediction(2)])
    table = pq.read_table(path)
    assert table["prompt_tokens"].to_pylist() == [None, 3]
    assert table["completion_tokens"].to_pylist() == [2**40, 2**40]


def test_no_rows_are_an_empty_table(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    write_parquet(path, "predictions", Prediction, [])
    assert pq.read_table(path).num_rows == 0
    assert pq.read_schema(path).names == list(Prediction.model_fields)


def test_rows_are_written_group_by_group_while_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "ROWS_PER_GROUP", 10)
    alive = 0
    most = 0

    class Counted(Prediction):
        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    def rows() -> Iterator[Prediction]:
        nonlocal alive, most
        for number in range(1000):
            alive += 1
            most = max(most, alive)
            yield Counted(**prediction(number).model_dump())

    path = tmp_path / "x.parquet"
    write_parquet(path, "predictions", Prediction, rows())
    assert pq.ParquetFile(path).num_row_groups == 100
    assert most <= 30


def test_long_answers_make_smaller_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "CHARACTERS_PER_GROUP", 1000)
    rows = [prediction(number, "x" * 400) for number in range(10)]
    groups = list(row_groups(rows))
    assert [row for group in groups for row in group] == rows
    assert max(map(len, groups)) <= 3


def test_nothing_is_left_of_a_table_that_fails_half_way(tmp_path: Path) -> None:
    def rows() -> Iterator[Prediction]:
        yield prediction(1)
        raise UserError("line 2")

    with pytest.raises(UserError, match="line 2"):
        write_parquet(tmp_path / "x.parquet", "predictions", Prediction, rows())
    assert not list(tmp_path.iterdir())
