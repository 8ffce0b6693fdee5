"""The report in words and numbers: what it claims, what it counts, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_files import make_items

from workflow_scripts.errors import UserError
from workflow_scripts.records import ItemScores, Prediction
from workflow_scripts.report import verdict, wording
from workflow_scripts.report.explorer import explorer_data, outcome
from workflow_scripts.report.trial import prompt_diff
from workflow_scripts.stats.comparison import Comparison, Estimate, Meta, Subgroup
from workflow_scripts.stats.equivalence import Equivalence

# What the page says: sentences and numbers


def estimate(difference: float, low: float | None, high: float | None, q: float) -> Estimate:
    return Estimate(
        control_mean=0.5,
        treatment_mean=0.5 + difference,
        difference=difference,
        ci_low=low,
        ci_high=high,
        naive_ci_low=low,
        naive_ci_high=high,
        permutation_p=q,
        wilcoxon_p=q,
        hodges_lehmann=difference,
        cohens_d=0.1,
        cliffs_delta=0.1,
        q_value=q,
    )


def comparison(metrics: dict[str, Estimate], tost: dict[str, Equivalence] | None = None) -> Any:
    return Comparison(
        n_items=200 if metrics else 0,
        meta=Meta(
            n_clusters=200,
            n_unpaired=0,
            n_unanswerable=0,
            confidence=0.95,
            bootstrap_samples=2000,
            permutation_samples=5000,
            random_seed=1,
            warnings=[],
        ),
        metrics=metrics,
        tost=tost or {},
    )


CUT = estimate(-0.18, -0.24, -0.12, 0.0004)
LOSS = estimate(-0.03, -0.055, -0.004, 0.021)
NOTHING = estimate(0.005, -0.02, 0.03, 0.7)
CORRECTED_AWAY = estimate(0.04, 0.002, 0.078, 0.09)


@pytest.mark.parametrize(
    ("false_answers", "exact_match", "standing", "text"),
    [
        (
            CUT,
            LOSS,
            "trade-off",
            "Prompt X cut false answers by 18.0 points (95% CI 12.0 to 24.0; q < 0.001) and cost "
            "3.0 points of exact match (95% CI 0.4 to 5.5; q = 0.021).",
        ),
        (
            CUT,
            NOTHING,
            "better",
            "Prompt X cut false answers by 18.0 points (95% CI 12.0 to 24.0; q < 0.001). "
            "No detectable difference in exact match: between −2.0 and +3.0 points "
            "(95% CI; q = 0.700).",
        ),
        (
            CORRECTED_AWAY,
            LOSS,
            "worse",
            "Prompt X cost 3.0 points of exact match (95% CI 0.4 to 5.5; q = 0.021). False answers "
            "changed by +4.0 points (95% CI +0.2 to +7.8; q = 0.090): not clear once the number of "
            "tests is taken into account.",
        ),
        (
            NOTHING,
            estimate(0.1, None, None, 1.0),
            "unclear",
            "No detectable difference in false answers: between −2.0 and +3.0 points "
            "(95% CI; q = 0.700). Exact match has no interval: all items belong to one passage.",
        ),
    ],
)
def test_the_verdict_says_what_the_interval_says(
    false_answers: Estimate, exact_match: Estimate, standing: str, text: str
) -> None:
    result = comparison({"em": exact_match, "false_answer_rate": false_answers})
    assert verdict.sentence(result, "Prompt X") == text
    assert verdict.standing(result) == standing


def test_the_verdict_names_equivalence_and_abstentions() -> None:
    result = comparison(
        {"em": NOTHING, "abstain_rate": estimate(0.22, 0.2, 0.24, 0.001)},
        {"em": Equivalence(margin=0.05, p_value=0.001, equivalent=True)},
    )
    assert verdict.sentence(result, "Prompt X") == (
        "No detectable difference in exact match: between −2.0 and +3.0 points (95% CI; "
        "q = 0.700); equivalent within ±5.0 points. It abstained on 22.0 points more of the items "
        "(95% CI 20.0 to 24.0; q = 0.001)."
    )


def test_a_cost_on_answerable_items_is_not_hidden_by_the_total() -> None:
    metrics = {"em": estimate(0.25, 0.2, 0.3, 0.001), "false_answer_rate": NOTHING}
    result = comparison(metrics)
    result.subgroups["answerable"] = Subgroup(200, 60, {"em": LOSS})
    assert verdict.sentence(result, "Prompt X").startswith(
        "Prompt X gained 25.0 points of exact match (95% CI 20.0 to 30.0; q = 0.001). "
        "Among the 200 answerable items it cost 3.0 points of exact match "
        "(95% CI 0.4 to 5.5; q = 0.021)."
    )
    assert verdict.standing(result) == "trade-off"


def test_the_verdict_of_nothing() -> None:
    assert "Nothing to compare" in verdict.sentence(comparison({}), "Prompt X")


@given(st.floats(-1, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_no_claim_without_an_interval_beside_zero(
    difference: float, below: float, above: float, q: float
) -> None:
    found = estimate(difference, difference - below, difference + above, q)
    text = verdict.sentence(comparison({"em": found}), "Prompt X")
    claims = "gained" in text or "cost" in text
    one_side = difference - below > 0 or difference + above < 0
    assert claims == (one_side and q < 0.05)
    assert ("No detectable difference" in text) == (not one_side)


def test_abstaining_is_judged_by_answerability() -> None:
    more = estimate(0.2, 0.1, 0.3, 0.001)
    assert verdict.effect("abstain_rate", more, 0.95) == "differs"
    assert verdict.effect("abstain_rate", more, 0.95, "unanswerable") == "better"
    assert verdict.effect("abstain_rate", more, 0.95, "answerable") == "worse"


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (wording.points(-0.0004), "0.0"),
        (wording.points(-0.0004, signed=True), "0.0"),
        (wording.points(-0.123, signed=True), "−12.3"),
        (wording.points(0.1, signed=True), "+10.0"),
        (wording.points(None), "–"),
        (wording.count(12345), "12,345"),
        (wording.p_value(0.0009), "< 0.001"),
        (wording.p_value(0.0214), "0.021"),
    ],
)
def test_numbers(shown: str, expected: str) -> None:
    assert shown == expected


@given(st.text(), st.text())
def test_a_prompt_diff_holds_both_prompts(control: str, treatment: str) -> None:
    pieces = prompt_diff(control, treatment)
    assert "".join(text for kind, text in pieces if kind != "added") == control
    assert "".join(text for kind, text in pieces if kind != "removed") == treatment


# The data of the explorer


@pytest.mark.parametrize(
    ("em", "abstain", "responses", "expected"),
    [
        (1.0, 0.0, ["Lyon"], "correct"),
        (0.0, 0.0, ["Paris"], "wrong"),
        (0.0, 1.0, ["I don't know."], "abstained"),
        (0.0, 0.0, ["I can't help with that."], "refused"),
        (0.5, 0.0, ["Lyon", "Paris"], "mixed"),
        (0.0, 0.5, ["Paris", "I don't know."], "mixed"),
        (0.0, 0.0, ["Paris", ""], "mixed"),
        (0.0, 0.0, [" \n"], "empty"),
        (0.0, 0.0, ["...", "The."], "empty"),
        (0.0, 0.0, [None], "failed"),
        (1.0, 0.0, ["Lyon", None], "mixed"),
    ],
)
def test_outcomes(em: float, abstain: float, responses: list[str | None], expected: str) -> None:
    item = make_items(1, "open_book", [])[0]
    samples = [
        [0, text, "stop", 1, 1] if text is not None else [0, "no answer"] for text in responses
    ]
    assert outcome(item, scores_of(em, abstain), samples) == expected
    assert outcome(item, None, [[0, "timeout"]]) == "failed"


@pytest.mark.parametrize(
    ("text", "finish_reason", "expected"),
    [
        ("The.", "stop", "empty"),  # EM is 1 by the official evaluation, but it is not correct
        ("", "length", "truncated"),
        ("", "refused:content_filter", "refused"),
    ],
)
def test_an_unanswerable_item_is_never_correct(
    text: str, finish_reason: str, expected: str
) -> None:
    item = make_items(1, "open_book", [])[0].model_copy(
        update={"is_unanswerable": True, "answers": []}
    )
    assert outcome(item, scores_of(1.0, 0.0), [[0, text, finish_reason, 1, 1]]) == expected


def scores_of(em: float, abstain: float) -> ItemScores:
    zero = {f"{name}_std": 0.0 for name in ("em", "f1", "abstain_rate", "false_answer_rate")}
    return ItemScores(
        item_key="demo|1",
        type="open_book",
        condition="control",
        temp="0.0",
        em=em,
        f1=em,
        abstain_rate=abstain,
        false_answer_rate=0.0,
        **zero,
    )


def test_an_answer_to_an_unknown_item_is_an_error() -> None:
    stray = Prediction(
        custom_id="demo|7|control|0.0|0|open_book",
        dataset="demo",
        item_id="7",
        condition="control",
        temp="0.0",
        sample_index=0,
        type="open_book",
        request_id="r",
        finish_reason="stop",
        response_text="Lyon",
    )
    with pytest.raises(UserError, match=r"'demo\|7' \(open_book\)"):
        explorer_data({}, [stray], [], [])
