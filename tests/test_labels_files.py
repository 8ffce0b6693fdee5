"""Label files: what is read, what is refused, and which responses labels belong to."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from question_records import Item

from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import write_csv
from workflow_scripts.core.records import Prediction, custom_id
from workflow_scripts.labels.judged import judged_items
from workflow_scripts.labels.matching import LabelledResponse, match
from workflow_scripts.labels.records import (
    Label,
    PlacedLabel,
    as_share,
    decide,
    read_labels,
    response_digest,
)

HERE = Path("labels.csv")


def label(verdict: str = "correct", **fields: Any) -> Label:
    return Label(**{"dataset": "d", "item_id": "1", "arm": "brief", **fields}, verdict=verdict)


def placed(*labels: Label) -> list[PlacedLabel]:
    return [PlacedLabel(each, HERE, number) for number, each in enumerate(labels, start=2)]


def response(text: str = "Lyon", **fields: Any) -> Prediction:
    identity = {
        "dataset": "d",
        "item_id": "1",
        "condition": "treatment",
        "temp": "0.0",
        "sample_index": 0,
        "type": "open_book",
        **fields,
    }
    named = custom_id(
        *(str(identity[name]) for name in ("dataset", "item_id", "condition", "temp")),
        identity["sample_index"],
        identity["type"],
    )
    return Prediction(
        **identity, custom_id=named, request_id="r", finish_reason="stop", response_text=text
    )


ARMS = {"control": "plain", "treatment": "brief"}


def test_a_csv_file_by_hand_may_leave_columns_out_and_order_them(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(
        "\ufeffverdict,item_id,arm,dataset,temp\n"
        "correct,1,brief,d,0\n"
        '"not_attempted",2,brief,"d, the second",\n',
        encoding="utf-8",
    )
    one, two = read_labels(path)
    assert one.label == label(temp="0.0")
    assert (two.label.dataset, two.label.temp, two.line) == ("d, the second", None, 3)


def test_json_lines_are_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text(
        '{"dataset": "d", "item_id": "1", "arm": "brief", "verdict": "unsure"}\n',
        encoding="utf-8",
    )
    assert [each.label for each in read_labels(path)] == [label("unsure")]


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    labels = [
        label(annotator="=Ann", temp="0.7", sample_index=3, type="open_book", probability=0.25),
        label("incorrect", response_sha256="a" * 64, labelled_at="2026-05-01T10:00:00Z"),
    ]
    write_csv(path, Label, labels)
    assert [each.label for each in read_labels(path)] == labels


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dataset,item_id,verdict\nd,1,correct\n", r"line 1: columns \['arm'\] are missing"),
        ("dataset;item_id;arm;verdict\n", "separated by commas"),
        ("dataset,item_id,arm,verdict,mood\n", r"\['mood'\] are unknown"),
        ("dataset,item_id,arm,verdict,arm\n", r"\['arm'\] occur twice"),
        ("dataset,item_id,arm,verdict\nd,1,a,correct\nd,2,a,right\n", "line 3: verdict: "),
        ("dataset,item_id,arm,verdict\nd,1,a\n", "line 2: 3 cells for 4 columns"),
        ("dataset,item_id,arm,verdict\nd,,a,correct\n", "line 2: item_id: is blank"),
        ("dataset,item_id,arm,verdict,response_sha256\nd,1,a,correct,x\n", "line 2: response_sha"),
        ("dataset,item_id,arm,verdict,probability\nd,1,a,correct,0\n", "line 2: probability"),
    ],
)
def test_a_mistake_is_named_with_its_line(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        list(read_labels(path))


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ([], None),
        (["correct"], "correct"),
        (["unsure"], None),
        (["correct", "incorrect"], None),
        (["correct", "unsure"], None),
        (["correct", "correct", "incorrect"], "correct"),
        (["correct", "incorrect", "not_attempted"], None),
        (["unsure", "unsure", "correct"], None),
    ],
)
def test_the_majority_decides(verdicts: list[str], expected: str | None) -> None:
    assert decide([label(each, annotator=str(n)) for n, each in enumerate(verdicts)]) == expected


@pytest.mark.parametrize(("final", "expected"), [("incorrect", "incorrect"), ("unsure", None)])
def test_adjudication_overrules(final: str, expected: str | None) -> None:
    votes = [label(annotator=name) for name in ("ann", "ben", "cem")]
    assert decide([*votes, label(final, annotator="adjudicated")]) == expected


def test_declining_is_not_correct() -> None:
    assert [as_share(each) for each in ("correct", "incorrect", "not_attempted")] == [1, 0, 0]
    assert as_share("unsure") is None and as_share(None) is None


def test_a_label_belongs_to_a_response_by_arm_or_condition() -> None:
    rows = [response(), response("Rome", condition="control")]
    for arm in ("brief", "treatment"):
        found = match(placed(label(arm=arm)), rows, ARMS)
        assert list(found.matched) == ["d|1|treatment|0.0|0|open_book"]
        assert found.matched["d|1|treatment|0.0|0|open_book"].correct == 1
        assert found.stale == found.unknown == ()


def test_the_name_of_an_arm_goes_before_a_condition() -> None:
    rows = [response(), response("Rome", condition="control")]
    arms = {"control": "treatment", "treatment": "brief"}
    found = match(placed(label(arm="treatment")), rows, arms)
    assert list(found.matched) == ["d|1|control|0.0|0|open_book"]


def test_a_changed_response_does_not_inherit_a_label() -> None:
    old = label(response_sha256=hashlib.sha256(b"Lyon").hexdigest())
    assert match(placed(old), [response("Lyon")], ARMS).matched
    found = match(placed(old), [response("Lyon.")], ARMS)
    assert found.matched == {}
    assert [each.label for each in found.stale] == [old]


def test_labels_on_nothing_are_listed() -> None:
    labels = [label(item_id="9"), label(arm="other"), label(temp="1.0"), label(type="rag")]
    found = match(placed(*labels), [response()], ARMS)
    assert [each.label for each in found.unknown] == labels
    assert found.matched == {}


def test_a_label_that_fits_several_responses_is_refused_or_told_apart() -> None:
    rows = [response(), response("Rome", sample_index=1), response("Rome", temp="1.0")]
    with pytest.raises(UserError, match=r"labels\.csv, line 2: .*3 responses.* temp, sample_index"):
        match(placed(label()), rows, ARMS)
    found = match(placed(label(sample_index=1)), rows, ARMS)
    assert list(found.matched) == ["d|1|treatment|0.0|1|open_book"]
    # The same text is labelled once, wherever it occurs.
    found = match(placed(label(response_sha256=response_digest("Rome"))), rows, ARMS)
    assert len(found.matched) == 2


def test_two_labels_by_one_annotator_are_refused() -> None:
    twice = placed(label(annotator="ann"), label("incorrect", annotator="ann"))
    with pytest.raises(UserError, match=r"line 3: annotator 'ann' .*labels\.csv, line 2"):
        match(twice, [response()], ARMS)


def test_verdicts_and_labels_side_by_side() -> None:
    items = {
        f"d|{number}": Item(
            id=str(number), dataset="d", question="?", answers=["x"], cluster_id=cluster
        )
        for number, cluster in enumerate("aab")
    }
    rows, verdicts = [], {}
    for number in range(3):
        for condition in ("control", "treatment"):
            for index in (0, 1):
                row = response(item_id=str(number), condition=condition, sample_index=index)
                rows.append(row)
                verdicts[row.custom_id] = float(condition == "treatment" and index == 0)
    del verdicts["d|1|control|0.0|0|open_book"], verdicts["d|1|control|0.0|1|open_book"]
    labelled = {
        name: LabelledResponse(name, (label(verdict, probability=0.5),), verdict)
        for name, verdict in (
            ("d|0|control|0.0|0|open_book", "correct"),
            ("d|0|treatment|0.0|0|open_book", "incorrect"),
            ("d|0|treatment|0.0|1|open_book", "correct"),
            ("d|2|control|0.0|0|open_book", "not_attempted"),
        )
    }
    labelled["d|2|treatment|0.0|0|open_book"] = LabelledResponse("any", (label(),), None)
    (found,) = judged_items(rows, verdicts, labelled, items, "control", "treatment")
    assert (found.type, found.temp) == ("open_book", "0.0")
    assert found.item_keys == ("d|0", "d|2")  # the judge saw item 1 under one arm only
    assert found.judged.control.tolist() == [0, 0]
    assert found.judged.treatment.tolist() == [0.5, 0.5]
    assert found.judged.control_labels.tolist() == [1, 0]
    assert found.judged.treatment_labels[0] == 0.5
    assert np.isnan(found.judged.treatment_labels[1])
    assert found.judged.clusters.tolist() == [0, 1]
    assert found.judged.probability is not None
    assert found.judged.probability.tolist() == [0.5, 0.5]


def test_labels_with_and_without_a_probability_do_not_mix() -> None:
    items = {
        f"d|{number}": Item(
            id=str(number), dataset="d", question="?", answers=["x"], cluster_id=str(number)
        )
        for number in (1, 2)
    }
    rows = [
        response(item_id=str(number), condition=condition)
        for number in (1, 2)
        for condition in ("control", "treatment")
    ]
    labelled = {
        rows[0].custom_id: LabelledResponse("a", (label(probability=0.5),), "correct"),
        rows[2].custom_id: LabelledResponse("b", (label(),), "correct"),
    }
    verdicts = {row.custom_id: 1.0 for row in rows}
    with pytest.raises(UserError, match="sampling probability"):
        judged_items(rows, verdicts, labelled, items, "control", "treatment")
