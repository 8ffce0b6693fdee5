"""From raw parts to predictions.csv and errors.csv."""

from __future__ import annotations

from pathlib import Path

import pytest
from trial_parts import trial_parts

from workflow_scripts.answers.parts import TrialParts
from workflow_scripts.answers.predictions import check_complete, errors, predictions
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import write_jsonl
from workflow_scripts.core.records import (
    Decoding,
    Failure,
    Message,
    RawLine,
    Request,
    RequestMeta,
    Usage,
)


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


def test_a_prompt_becomes_the_condition_it_stands_for(parts: TrialParts) -> None:
    check_complete(parts)
    rows = list(predictions(parts))
    assert [row.custom_id for row in rows] == [
        "d|0|control|0.0|0|closed_book",
        "d|1|control|0.0|0|closed_book",
        "d|2|control|0.0|0|closed_book",
        "d|0|treatment|0.0|0|closed_book",
        "d|2|treatment|0.0|0|closed_book",
    ]
    assert rows[0].total_tokens == 12


def test_a_failure_is_an_error_row_and_never_a_prediction(parts: TrialParts) -> None:
    (row,) = errors(parts)
    assert (row.item_id, row.condition, row.error_message) == ("1", "treatment", "down")


def test_one_prompt_may_stand_for_both_conditions(parts: TrialParts) -> None:
    plain = parts.arms["control"]
    both = TrialParts(arms={"control": plain, "a": plain})
    check_complete(both)
    assert len({row.custom_id for row in predictions(both)}) == 6


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
            check_complete(parts)


def test_a_raw_line_is_an_answer_or_an_error(tmp_path: Path) -> None:
    for values in (
        meta(0, "plain"),
        {**answered(0, "plain").model_dump(), "error": {"type": "t", "message": "m"}},
    ):
        with pytest.raises(ValueError, match="either all fields of a completion or an error"):
            RawLine.model_validate(values)


def test_request_metadata_is_all_that_is_echoed() -> None:
    assert set(RequestMeta.model_fields) < set(RawLine.model_fields)
