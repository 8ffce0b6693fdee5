"""Scoring stops where anything that was asked is missing, and says what."""

import pytest
from question_records import Item

from workflow_scripts.core.errors import UserError
from workflow_scripts.core.records import Answer, ErrorRow, Prediction
from workflow_scripts.scoring.completeness import check_complete

ITEMS = {
    f"d|{n}": Item(id=str(n), dataset="d", question="?", answers=["x"], cluster_id=str(n))
    for n in range(8)
}
IDS = [
    f"d|{n}|{condition}|0.0|0|closed_book"
    for condition in ("control", "treatment")
    for n in range(8)
]


def meta(custom_id: str) -> dict[str, object]:
    dataset, item_id, condition, temp, sample, task = custom_id.split("|")
    return {
        "custom_id": custom_id,
        "dataset": dataset,
        "item_id": item_id,
        "condition": condition,
        "temp": temp,
        "sample_index": int(sample),
        "type": task,
    }


ASKED = [Answer(**meta(each), prompt="any") for each in IDS]


def predictions(ids):
    answer = {"request_id": "r", "finish_reason": "stop", "response_text": "x"}
    return [Prediction(**meta(each), **answer) for each in ids]


def errors(ids):
    return [ErrorRow(**meta(each), error_type="timeout", error_message="60 s") for each in ids]


def test_every_request_answered_or_failed_is_complete():
    check_complete(ASKED, predictions(IDS[3:]), errors(IDS[:3]), ITEMS)
    check_complete(ASKED, predictions(IDS[::-1]), [], {**ITEMS, "d|9": ITEMS["d|0"]})


@pytest.mark.parametrize(
    ("answered", "failed", "items", "message"),
    [
        (IDS[1:], [], ITEMS, r"1 requests have neither .*: d\|0\|control\|0\.0\|0\|closed_book\n"),
        (IDS[7:], [], ITEMS, r"7 requests have neither .*: d\|0\|control.* and 2 more"),
        (
            [*IDS, "d|0|placebo|0.0|0|closed_book"],
            [],
            ITEMS,
            r"1 predictions or errors were never asked for: d\|0\|placebo",
        ),
        ([*IDS, IDS[2]], [], ITEMS, r"1 requests have more than one .*: d\|2\|control"),
        (IDS, IDS[2:3], ITEMS, r"1 requests have more than one .*: d\|2\|control"),
        (
            IDS,
            [],
            {key: item for key, item in ITEMS.items() if key != "d|3"},
            r"1 items were asked but are not in the item files: d\|3",
        ),
    ],
)
def test_what_is_missing_twice_or_unknown_is_named(answered, failed, items, message):
    with pytest.raises(UserError, match=message):
        check_complete(ASKED, predictions(answered), errors(failed), items)


def test_all_problems_are_told_at_once():
    with pytest.raises(UserError) as caught:
        check_complete(ASKED, predictions(IDS[1:]), [], {})
    assert "neither a prediction" in str(caught.value)
    assert "8 items were asked" in str(caught.value)
