"""Responses, items and judges for the tests of judges."""

from __future__ import annotations

from typing import Any

from question_records import Item

from workflow_scripts.core.records import Prediction, custom_id
from workflow_scripts.judges.settings import Measurement
from workflow_scripts.scoring.verdicts import PEOPLE, VerdictRow

ARMS = {"control": "plain", "treatment": "brief"}


def item(number: int = 1, **fields: Any) -> Item:
    """A question with one gold answer."""
    known = {"question": f"Capital {number}?", "answers": [f"City {number}"], **fields}
    return Item(**{"id": str(number), "dataset": "d", "cluster_id": str(number), **known})


def response(
    number: int = 1, condition: str = "control", text: str = "Lyon", **fields: Any
) -> Prediction:
    """What an arm says about an item."""
    identity = {"dataset": "d", "temp": "0.0", "sample_index": 0, "type": "open_book", **fields}
    finish = identity.pop("finish_reason", "stop")
    return Prediction(
        **identity,
        item_id=str(number),
        condition=condition,
        custom_id=custom_id(
            identity["dataset"],
            str(number),
            condition,
            identity["temp"],
            identity["sample_index"],
            identity["type"],
        ),
        request_id="r",
        finish_reason=finish,
        response_text=text,
    )


def said(of: Prediction, judge: str, verdict: str, **fields: Any) -> VerdictRow:
    """A judge's verdict on a response."""
    return VerdictRow(
        custom_id=of.custom_id, judge=judge, digest=of.custom_id, verdict=verdict, **fields
    )


def label(of: Prediction, verdict: str, **fields: Any) -> VerdictRow:
    """A person's verdict on a response."""
    return VerdictRow(custom_id=of.custom_id, judge=PEOPLE, digest="", verdict=verdict, **fields)


RUBRIC = Measurement(
    measures="rubric", prompt="prompts/tone.md", verdicts=["rude", "kind"], counts="kind"
)
