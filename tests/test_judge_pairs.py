"""Judges that compare two arms' responses: blind, in both orders, contradictions are ties."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from question_records import Item

from workflow_scripts.answers.parts import ArmParts
from workflow_scripts.comparisons.judgements import JudgementSettings, judgements
from workflow_scripts.comparisons.settings import AskedModel
from workflow_scripts.core.files import write_jsonl
from workflow_scripts.core.records import Prediction, RawLine, Request, Usage, custom_id
from workflow_scripts.judges.judged import different
from workflow_scripts.judges.requests import JudgeSettings, requests
from workflow_scripts.judges.settings import Measurement
from workflow_scripts.scoring.judged import Verdicts
from workflow_scripts.scoring.verdicts import (
    AskedJudge,
    VerdictRow,
    VerdictsSettings,
    verdicts,
)

PAIR = Measurement(measures="pair")
ITEMS = [
    Item(id=str(n), dataset="d", question=f"Question {n}?", answers=["x"], cluster_id=str(n))
    for n in range(60)
]
BY_KEY = {item.key: item for item in ITEMS}


def prediction(item: Item, condition: str, text: str) -> Prediction:
    return Prediction(
        custom_id=custom_id("d", item.id, condition, "0.0", 0, "closed_book"),
        dataset="d",
        item_id=item.id,
        condition=condition,
        temp="0.0",
        sample_index=0,
        type="closed_book",
        request_id="r",
        finish_reason="stop",
        response_text=text,
    )


def responses(control: Callable[[Item], str], treatment: Callable[[Item], str]) -> list[Prediction]:
    return [
        prediction(item, condition, text(item))
        for condition, text in (("control", control), ("treatment", treatment))
        for item in ITEMS
    ]


def asked(predictions: list[Prediction]) -> list[Request]:
    settings = JudgeSettings(
        name="versus", judge=PAIR, trial="t", text="{question}\n1 {first}\n2 {second}\n{verdicts}",
        enforced=False, parts=["000"],
    )  # fmt: skip
    return list(requests(different(predictions, BY_KEY, PAIR.instrument()), settings))


def said(
    tmp_path: Path, predictions: list[Prediction], judge: Callable[[str, str], str]
) -> list[VerdictRow]:
    """The verdicts of a judge that is a function of the first and the second response."""
    lines = []
    for request in asked(predictions):
        _, first, second, _ = request.messages[0].content.split("\n")
        reply = f'{{"verdict": "{judge(first[2:], second[2:])}"}}'
        fields = request.model_dump(exclude={"messages", "decoding"})
        lines.append(
            RawLine(**fields, response_text=reply, finish_reason="stop", request_id="r",
                    usage=Usage(prompt_tokens=10, completion_tokens=2))
        )  # fmt: skip
    write_jsonl(tmp_path / "raw.jsonl", lines)
    settings = VerdictsSettings(
        asked={
            "versus": AskedJudge(
                judge=PAIR,
                parts=ArmParts(inputs_folder="", raw_folder=str(tmp_path), names=["raw.jsonl"]),
            )
        },
        files={},
        arms={"control": "a", "treatment": "b"},
        answers={},
    )
    return list(verdicts(predictions, {"closed_book": ITEMS}, settings))


def swapped(tmp_path: Path, predictions: list[Prediction], rows: list[VerdictRow]):
    settings = JudgementSettings(
        judges={"versus": PAIR},
        asked={
            "versus": AskedModel(model="m", raw=[str(tmp_path / "raw.jsonl")], quote=None),
        },
        judged_models={},
        labels=None,
        arms={"control": "a", "treatment": "b"},
        bar=None,
        confidence=0.95,
    )
    (report,) = judgements(predictions, [], [], rows, BY_KEY, settings).judges
    return report


def shares(rows: list[VerdictRow]) -> dict[str, float]:
    scores = Verdicts({"versus": PAIR}, rows)
    of_arm: dict[str, list[float]] = {"control": [], "treatment": []}
    for row in rows:
        of_arm[row.custom_id.split("|")[2]].append(scores.scores(row.custom_id)["versus"])
    return {arm: sum(values) / len(values) for arm, values in of_arm.items()}


def longer(first: str, second: str) -> str:
    return "first" if len(first) > len(second) else "second"


def test_each_pair_is_asked_in_both_orders_and_blind() -> None:
    predictions = responses(lambda item: f"short {item.id}", lambda item: f"much longer {item.id}")
    found = asked(predictions)
    assert len(found) == 2 * len(ITEMS)
    texts = [request.messages[0].content for request in found]
    assert len(set(texts)) == len(texts)
    assert not any(word in text for text in texts for word in ("control", "treatment"))
    firsts = sum(text.split("\n")[1].startswith("1 short") for text in texts[::2])
    assert 10 < firsts < 50  # in the first order, neither arm always comes first
    for one, other in zip(texts[::2], texts[1::2], strict=True):
        assert one.split("\n")[1][2:] == other.split("\n")[2][2:]


def test_a_real_preference_counts_whatever_the_order(tmp_path: Path) -> None:
    predictions = responses(lambda item: f"short {item.id}", lambda item: f"much longer {item.id}")
    rows = said(tmp_path, predictions, longer)
    assert {(row.custom_id.split("|")[2], row.verdict) for row in rows} == {
        ("control", "not_preferred"),
        ("treatment", "preferred"),
    }
    assert shares(rows) == {"control": 0, "treatment": 1}
    assert swapped(tmp_path, predictions, rows).swapped.inconsistent.value == 0


@pytest.mark.parametrize("first", ["first", "second"])
def test_a_judge_that_goes_by_the_order_is_exposed_and_decides_nothing(
    tmp_path: Path, first: str
) -> None:
    predictions = responses(lambda item: f"one {item.id}", lambda item: f"other {item.id}")
    rows = said(tmp_path, predictions, lambda *_: first)
    assert {row.verdict for row in rows} == {"tie"}
    assert shares(rows) == {"control": 0.5, "treatment": 0.5}
    found = swapped(tmp_path, predictions, rows).swapped
    assert found.inconsistent.value == 1
    assert found.first_preferred.value == (first == "first")


def test_what_is_undecided_once_is_undecided(tmp_path: Path) -> None:
    draw = random.Random(1)
    predictions = responses(lambda item: f"one {item.id}", lambda item: f"other {item.id}")
    rows = said(tmp_path, predictions, lambda *_: draw.choice(["first", "nonsense"]))
    assert {row.verdict for row in rows} <= {"tie", "undecided"}
    assert "undecided" in {row.verdict for row in rows}


def test_equal_and_blank_responses_are_not_asked_about_and_count_half(tmp_path: Path) -> None:
    predictions = responses(
        lambda item: "same" if int(item.id) % 2 else "", lambda item: "same" if int(item.id) else ""
    )
    assert not asked(predictions)
    assert not said(tmp_path, predictions, longer)
    assert Verdicts({"versus": PAIR}, []).scores("any") == {"versus": 0.5}
