"""What became of a request: one outcome each, and API failures never look like answers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from question_records import Item, scored

from workflow_scripts.core.records import ErrorRow, Prediction, custom_id
from workflow_scripts.metrics.refusal import refuses
from workflow_scripts.metrics.settings import Unsupported
from workflow_scripts.tasks.question_scorer import outcome_of
from workflow_scripts.tasks.settings import ScoreSettings

SETTINGS = ScoreSettings(
    unsupported=Unsupported(), abstention_phrases=["Keine Ahnung"], evaluations={"t": "triviaqa"}
)
ITEMS = {
    item.key: item
    for item in (
        Item(id="lives", dataset="d", question="Where?", answers=["Lyon"], cluster_id="1"),
        Item(
            id="open",
            dataset="d",
            question="Who?",
            answers=[],
            is_unanswerable=True,
            cluster_id="2",
        ),
        Item(id="film", dataset="d", question="Which?", answers=["Unknown"], cluster_id="3"),
        Item(id="band", dataset="t", question="Which?", answers=["The The"], cluster_id="4"),
    )
}


def sample(item_id: str, text: str, finish_reason: str = "stop"):
    dataset = next(item.dataset for item in ITEMS.values() if item.id == item_id)
    prediction = Prediction(
        custom_id=custom_id(dataset, item_id, "control", "0.0", 0, "closed_book"),
        dataset=dataset,
        item_id=item_id,
        condition="control",
        temp="0.0",
        sample_index=0,
        type="closed_book",
        request_id="r",
        finish_reason=finish_reason,
        response_text=text,
    )
    _, (row,) = scored([prediction], ITEMS, SETTINGS)
    return row


@pytest.mark.parametrize(
    ("item_id", "text", "finish_reason", "outcome", "em", "false_answer"),
    [
        ("lives", "Lyon.", "stop", "correct", 1, 0),
        ("lives", "Lyon", "length", "correct", 1, 0),  # cut, but all there
        ("lives", "Bremen", "stop", "wrong", 0, 1),
        ("lives", "Bremen is a city in", "length", "truncated", 0, 1),
        ("lives", "Lyon is a city in", "length", "correct", 0, 0),
        ("lives", "", "stop", "empty", 0, 0),
        ("lives", "", "length", "truncated", 0, 0),
        ("lives", "The", "length", "truncated", 0, 0),
        ("lives", "I don't know.", "stop", "wrongly_abstained", 0, 0),
        ("lives", "I don't know. The passage only", "length", "wrongly_abstained", 0, 0),
        ("lives", "Keine Ahnung!", "stop", "wrongly_abstained", 0, 0),
        ("lives", "I'm sorry, I can't help with that.", "stop", "refused", 0, 0),
        ("lives", "", "refused:content_filter", "refused", 0, 0),
        ("lives", "Lyon", "refused:SAFETY", "refused", 0, 0),
        ("film", "Unknown", "stop", "correct", 1, 0),
        ("film", "Unknown.", "length", "correct", 1, 0),
        # Scores are those of the final answer.
        ("lives", "<think>Paris? No, Lyon.</think>Lyon", "stop", "correct", 1, 0),
        ("lives", "It is in the text.\nAnswer: Lyon", "stop", "correct", 1, 0),
        ("lives", "<think>I don't know. Lyon?</think>Paris", "stop", "wrong", 0, 1),
        ("lives", "<think>Lyon", "length", "truncated", 0, 0),
        ("lives", "<think>Lyon</think>", "stop", "empty", 0, 0),
        ("open", "<think>Lyon?</think>I don't know.", "stop", "rightly_abstained", 1, 0),
        ("open", "<think>Lyon?</think>I can't help with that.", "stop", "refused", 0, 0),
        # Nothing said is never correct, although EM is 1 by the official evaluation of SQuAD.
        ("open", "", "stop", "empty", 1, 0),
        ("open", "...", "stop", "empty", 1, 0),
        ("open", "The.", "stop", "empty", 1, 0),
        ("open", "…", "stop", "empty", 0, 0),  # not ASCII: to the official evaluation an answer
        ("band", "The The", "stop", "empty", 1, 0),
        # Only who says so is right that an item has no answer.
        ("open", "I don't know.", "stop", "rightly_abstained", 1, 0),
        ("open", "I can't help with that.", "stop", "refused", 0, 0),
        ("open", "", "refused:refusal", "refused", 0, 0),
        ("open", "", "length", "truncated", 0, 0),
        ("open", "The", "length", "truncated", 0, 0),
        ("open", "Lyon", "stop", "wrong", 0, 1),
        ("open", "Lyon", "length", "truncated", 0, 1),
    ],
)
def test_outcome_em_and_false_answer(item_id, text, finish_reason, outcome, em, false_answer):
    row = sample(item_id, text, finish_reason)
    assert (row.outcome, row.em, row.false_answer_rate) == (outcome, em, false_answer)
    assert row.abstain_rate == outcome.endswith("_abstained")


def test_the_extraction_stands_beside_the_strict_scores():
    row = sample("lives", "The answer is **Lyon**. It is in France.")
    assert (row.em, row.em_extracted, row.f1_extracted, row.answer_extracted) == (0, 1, 1, "Lyon")
    assert row.f1 == pytest.approx(2 * (1 / 7) / (1 / 7 + 1), abs=1e-12)
    assert row.outcome == "correct"


@pytest.mark.parametrize("text", ["I don't know.", "", "I can't help with that."])
def test_where_nothing_is_answered_nothing_is_extracted(text):
    for item_id in ("lives", "open"):
        row = sample(item_id, text)
        assert (row.answer_extracted, row.em_extracted, row.f1_extracted) == ("", row.em, row.f1)


def test_failed_requests_have_an_outcome_and_no_score():
    error = ErrorRow(
        custom_id="d|lives|control|0.0|0|closed_book",
        dataset="d",
        item_id="lives",
        condition="control",
        temp="0.0",
        sample_index=0,
        type="closed_book",
        error_type="timeout",
        error_message="no answer within 60 s",
    )
    _, (failed,) = scored([], ITEMS, SETTINGS, [error])
    assert (failed.outcome, failed.item_key) == ("failed", "d|lives")
    scores = (failed.em, failed.f1, failed.em_extracted, failed.f1_extracted, failed.support)
    assert scores == (None,) * 5


@given(
    st.sampled_from(sorted(item.id for item in ITEMS.values())),
    st.one_of(
        st.text(max_size=30),
        st.sampled_from(["Lyon", "Unknown", "I don't know", "The", "I can't help with that."]),
    ),
    st.sampled_from(["stop", "length", "refused:content_filter"]),
)
def test_metrics_follow_from_outcome_and_item(item_id, text, finish_reason):
    row = sample(item_id, text, finish_reason)
    item = next(item for item in ITEMS.values() if item.id == item_id)
    answers = row.answer_extracted != ""
    assert row.false_answer_rate == (answers and row.outcome != "correct")
    assert row.abstain_rate == row.outcome.endswith("_abstained")
    assert row.correct == (row.outcome in ("correct", "rightly_abstained"))
    if row.outcome == "correct":
        assert row.contains_gold == 1
        assert not item.is_unanswerable
    if row.outcome in ("wrong", "truncated") and answers:
        assert row.em == 0
    if row.abstain_rate:
        assert row.outcome == ("rightly" if item.is_unanswerable else "wrongly") + "_abstained"
        assert row.em == row.f1 == item.is_unanswerable
    if row.outcome == "refused" or (row.outcome == "truncated" and not answers):
        assert row.em == row.f1 == 0
    if row.abstain_rate or row.outcome == "refused":
        assert not answers
    if row.outcome == "refused" and finish_reason != "stop":
        assert finish_reason == "refused:content_filter" or "help" in text


def test_a_match_outweighs_wording_but_not_the_provider():
    assert sample("film", "Unknown").outcome == "correct"
    assert sample("film", "Unknown", "refused:refusal").outcome == "refused"
    assert sample("film", "").outcome == "empty"


@pytest.mark.parametrize(
    ("text", "verdict", "outcome"),
    [
        ("Lyon", "incorrect", "wrong"),
        ("Bremen", "correct", "correct"),
        ("I don't know.", "incorrect", "wrong"),
        ("Ask her.", "not_attempted", "wrongly_abstained"),
        ("I can't help with that.", "not_attempted", "refused"),
        ("I don't know.", None, "wrongly_abstained"),
    ],
)
def test_a_verdict_outweighs_the_patterns(text, verdict, outcome):
    abstains = "don't know" in text
    found = outcome_of(
        text, "stop", verdict=verdict, abstains=abstains, refuses=refuses(text), unanswerable=False
    )
    assert found == outcome
