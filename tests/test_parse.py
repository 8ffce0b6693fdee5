"""From raw parts to answers.csv, predictions.csv and errors.csv."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from trial_parts import trial_parts

from workflow_scripts.answers.parts import ParseSettings, TrialParts
from workflow_scripts.answers.predictions import (
    TABLES,
    answers,
    checked_answers,
    errors,
    write_tables,
)
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import read_csv, write_csv, write_jsonl
from workflow_scripts.core.records import (
    Answer,
    Decoding,
    ErrorRow,
    Failure,
    Message,
    Prediction,
    RawLine,
    Request,
    RequestMeta,
    Usage,
)


def checked(parts: TrialParts) -> list[Answer]:
    return list(checked_answers(ParseSettings(parts=parts, max_failure_share=1)))


def meta(number: int, prompt: str) -> dict[str, object]:
    return {
        "custom_id": f"d|{number}|{prompt}|0.0|0|closed_book",
        "dataset": "d",
        "item_id": str(number),
        "prompt": prompt,
        "temp": "0.0",
        "sample_index": 0,
        "type": "closed_book",
    }


def asked(number: int, prompt: str) -> Request:
    return Request.model_validate(
        {
            **meta(number, prompt),
            "messages": [Message(role="user", content="?")],
            "decoding": Decoding(temperature=0, max_new_tokens=1, seed=0),
        }
    )


def answered(number: int, prompt: str, latency_s: float = 1.0, finish: str = "stop") -> RawLine:
    return RawLine.model_validate(
        {
            **meta(number, prompt),
            "response_text": f"answer {number}",
            "finish_reason": finish,
            "request_id": "r",
            "usage": Usage(prompt_tokens=10, completion_tokens=2, total_tokens=12),
            "latency_s": latency_s,
        }
    )


def failed(number: int, prompt: str) -> RawLine:
    return RawLine.model_validate(
        {**meta(number, prompt), "error": Failure(type="RequestError", message="down")}
    )


@pytest.fixture
def parts(tmp_path: Path) -> TrialParts:
    """Two arms of one part with three requests each; one of the treatment's failed."""
    for prompt in ("plain", "careful"):
        write_jsonl(tmp_path / f"in/{prompt}.jsonl", [asked(n, prompt) for n in range(3)])
        lines = [answered(n, prompt) for n in range(3)]
        if prompt == "careful":
            lines[1] = failed(1, prompt)
        write_jsonl(tmp_path / f"raw/{prompt}.jsonl", lines)
    arms = {"control": ["plain.jsonl"], "treatment": ["careful.jsonl"]}
    return trial_parts(tmp_path / "in", tmp_path / "raw", arms)


def test_requests_stand_in_the_table_under_their_conditions(parts: TrialParts) -> None:
    assert [(row.condition, row.item_id, row.failed) for row in answers(parts)] == [
        *(("control", str(n), False) for n in range(3)),
        *(("treatment", str(n), n == 1) for n in range(3)),
    ]


def test_a_prompt_becomes_the_condition_it_stands_for(parts: TrialParts, tmp_path: Path) -> None:
    assert checked(parts) == list(answers(parts))
    paths = [tmp_path / table.name for table in TABLES]
    write_tables(paths, answers(parts))
    rows = list(read_csv(paths[1], Prediction))
    assert list(read_csv(paths[0], Answer)) == list(answers(parts))
    assert list(read_csv(paths[2], ErrorRow)) == list(errors(answers(parts)))
    assert [row.custom_id for row in rows] == [
        "d|0|control|0.0|0|closed_book",
        "d|1|control|0.0|0|closed_book",
        "d|2|control|0.0|0|closed_book",
        "d|0|treatment|0.0|0|closed_book",
        "d|2|treatment|0.0|0|closed_book",
    ]
    assert rows[0].total_tokens == 12


def test_a_failure_is_an_error_row_and_never_a_prediction(parts: TrialParts) -> None:
    (row,) = errors(answers(parts))
    assert (row.item_id, row.condition, row.error_message) == ("1", "treatment", "down")


def test_the_table_keeps_all_of_a_raw_line_through_its_file(tmp_path: Path) -> None:
    usage = Usage(
        prompt_tokens=9,
        completion_tokens=0,
        total_tokens=9,
        cached_tokens=4,
        cache_write_tokens=2,
    )
    full = answered(0, "plain").model_copy(
        update={
            "request_digest": "ab" * 32,
            "response_text": "=1+1\r\n\u2028'",
            "usage": usage,
            "latency_s": 0.1 + 0.2,
            "at_once": 3,
            "served_by": {"server": "s", "address": "http://ü"},
        }
    )
    silent = answered(1, "plain").model_copy(
        update={"response_text": "", "request_id": "", "usage": Usage(), "latency_s": None}
    )
    lines = [full, silent, failed(2, "plain")]
    write_jsonl(tmp_path / "raw.jsonl", lines)
    parts = trial_parts(tmp_path, tmp_path, {"control": ["raw.jsonl"]})
    write_csv(tmp_path / "answers.csv", Answer, answers(parts))
    rows = list(read_csv(tmp_path / "answers.csv", Answer))
    assert rows == list(answers(parts))
    for row, line in zip(rows, lines, strict=True):
        assert row.failed == (line.error is not None)
        served_by = json.loads(row.served_by) if row.served_by else None
        told = RawLine(
            **line.model_dump(include=set(RequestMeta.model_fields)),
            request_digest=row.request_digest,
            error=Failure(type=row.error_type, message=row.error_message) if row.failed else None,
            **{}
            if row.failed
            else {
                "response_text": row.response_text,
                "finish_reason": row.finish_reason,
                "request_id": row.request_id,
                "usage": row.usage,
                "latency_s": row.latency_s,
                "at_once": row.at_once,
                "served_by": served_by,
            },
        )
        assert told == line
    assert [row.from_batch_job for row in rows] == [False, True, False]


def test_one_prompt_may_stand_for_both_conditions(parts: TrialParts) -> None:
    plain = parts.arms["control"]
    both = TrialParts(arms={"control": plain, "a": plain})
    assert len({row.custom_id for row in checked(both)}) == 6


def test_missing_unknown_and_repeated_ids_are_named(parts: TrialParts) -> None:
    raw = Path(*parts.arms["control"].raw_files())
    lines = [answered(n, "plain") for n in range(3)]
    for wrong, message in (
        (lines[:2], r"1 requests have no raw line: d\|2\|plain"),
        ([*lines, answered(9, "plain")], r"1 requests were never asked: d\|9\|plain"),
        ([*lines, lines[0]], r"'d\|0\|plain\|0\.0\|0\|closed_book' occurs twice"),
    ):
        write_jsonl(raw, wrong)
        with pytest.raises(UserError, match=message):
            checked(parts)


def test_a_raw_line_is_an_answer_or_an_error(tmp_path: Path) -> None:
    for values in (
        meta(0, "plain"),
        {**answered(0, "plain").model_dump(), "error": {"type": "t", "message": "m"}},
    ):
        with pytest.raises(ValueError, match="either all fields of a completion or an error"):
            RawLine.model_validate(values)


def test_request_metadata_is_all_that_is_echoed() -> None:
    assert set(RequestMeta.model_fields) < set(RawLine.model_fields)
