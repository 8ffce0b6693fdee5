"""The report in words and numbers: what it claims, what it counts, and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_files import amount_estimate

from workflow_scripts.core.metric import Metric
from workflow_scripts.report import verdict, wording
from workflow_scripts.report.contrast import Contrast
from workflow_scripts.report.trial import prompt_diff
from workflow_scripts.stats.comparison import Comparison, Estimate, Meta, Subgroup
from workflow_scripts.stats.equivalence import Equivalence
from workflow_scripts.tasks.question_answering import (
    ABSTENTIONS,
    CORRECT,
    FALSE_ANSWERS,
    OPEN_BOOK,
)

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


def comparison(
    metrics: dict[str, Estimate],
    tost: dict[str, Equivalence] | None = None,
    subgroups: dict[str, Subgroup] | None = None,
) -> Contrast:
    declared = (FALSE_ANSWERS, CORRECT, ABSTENTIONS)
    result = Comparison(
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
        subgroups=subgroups or {},
    )
    shown = tuple(metric for metric in declared if metric.name in metrics)
    return Contrast("treatment", "0.0", OPEN_BOOK, shown, result)


CUT = estimate(-0.18, -0.24, -0.12, 0.0004)
LOSS = estimate(-0.03, -0.055, -0.004, 0.021)
NOTHING = estimate(0.005, -0.02, 0.03, 0.7)
CORRECTED_AWAY = replace(estimate(0.04, 0.002, 0.078, 0.09), permutation_p=0.03)


@pytest.mark.parametrize(
    ("false_answers", "exact_match", "standing", "text"),
    [
        (
            CUT,
            LOSS,
            "trade-off",
            "Prompt X cut false answers by 18.0 points (95% CI 12.0 to 24.0; q < 0.001) and cost "
            "3.0 points of correct answers (95% CI 0.4 to 5.5; q = 0.021).",
        ),
        (
            CUT,
            NOTHING,
            "better",
            "Prompt X cut false answers by 18.0 points (95% CI 12.0 to 24.0; q < 0.001). "
            "No detectable difference in correct answers: between −2.0 and +3.0 points "
            "(95% CI; q = 0.700).",
        ),
        (
            CORRECTED_AWAY,
            LOSS,
            "worse",
            "Prompt X cost 3.0 points of correct answers (95% CI 0.4 to 5.5; q = 0.021). False "
            "answers changed by +4.0 points (95% CI +0.2 to +7.8; q = 0.090): not clear once the "
            "number of tests is taken into account.",
        ),
        (
            NOTHING,
            estimate(0.1, None, None, 1.0),
            "unclear",
            "No detectable difference in false answers: between −2.0 and +3.0 points "
            "(95% CI; q = 0.700). No interval for correct answers: all items belong to one "
            "passage.",
        ),
    ],
)
def test_the_verdict_says_what_the_interval_says(
    false_answers: Estimate, exact_match: Estimate, standing: str, text: str
) -> None:
    result = comparison({"correct": exact_match, "false_answer_rate": false_answers})
    assert verdict.sentence(result, "Prompt X") == text
    assert verdict.standing(result) == standing


def test_the_verdict_names_equivalence_and_abstentions() -> None:
    result = comparison(
        {"correct": NOTHING, "abstain_rate": estimate(0.22, 0.2, 0.24, 0.001)},
        {"correct": Equivalence(margin=0.05, p_value=0.001, equivalent=True, trusted=True)},
    )
    assert verdict.sentence(result, "Prompt X") == (
        "No detectable difference in correct answers: between −2.0 and +3.0 points (95% CI; "
        "q = 0.700); equivalent within ±5.0 points. Its abstention rate rose by 22.0 points "
        "(95% CI 20.0 to 24.0; q = 0.001)."
    )


def test_an_equivalence_test_that_is_not_trusted_is_marked() -> None:
    result = comparison(
        {"correct": NOTHING}, {"correct": Equivalence(margin=0.05, p_value=0.001, equivalent=True)}
    )
    assert verdict.sentence(result, "Prompt X").endswith(
        "equivalent within ±5.0 points (too few items or clusters to rely on)."
    )


def test_the_reason_why_a_difference_is_not_clear_is_the_true_one() -> None:
    # Five items that differ, all one way: the score interval excludes 0, the exact p is 2 / 32.
    unconfirmed = replace(estimate(0.05, 0.001, 0.11, 0.3125), permutation_p=0.0625)
    assert verdict.sentence(comparison({"correct": unconfirmed}), "Prompt X") == (
        "Correct answers changed by +5.0 points (95% CI +0.1 to +11.0; p = 0.062): not clear, "
        "because the permutation test does not confirm it."
    )
    # The reverse: the test alone finds a difference.
    contained = replace(estimate(0.05, -0.001, 0.1, 0.04), permutation_p=0.04)
    assert verdict.sentence(comparison({"correct": contained}), "Prompt X") == (
        "No detectable difference in correct answers: between −0.1 and +10.0 points (95% CI; "
        "q = 0.040); the permutation test alone would find one, so this is not clear."
    )


def test_a_cost_on_answerable_items_is_not_hidden_by_the_total() -> None:
    metrics = {"correct": estimate(0.25, 0.2, 0.3, 0.001), "false_answer_rate": NOTHING}
    result = comparison(metrics, subgroups={"answerable": Subgroup(200, 60, {"correct": LOSS})})
    assert verdict.sentence(result, "Prompt X").startswith(
        "Prompt X gained 25.0 points of correct answers (95% CI 20.0 to 30.0; q = 0.001). "
        "Among the 200 answerable items it cost 3.0 points of correct answers "
        "(95% CI 0.4 to 5.5; q = 0.021)."
    )
    assert verdict.standing(result) == "trade-off"


def test_an_interval_that_is_not_trusted_says_how_it_may_fail() -> None:
    wide = replace(CUT, ci_trusted=False, ci_method="score")
    assert verdict.doubt(wide) == "too wide"
    assert verdict.doubt(replace(CUT, ci_trusted=False, ci_method="cluster_t")) == "too narrow"
    assert verdict.doubt(CUT) == ""


def test_the_verdict_of_nothing() -> None:
    assert "Nothing to compare" in verdict.sentence(comparison({}), "Prompt X")


@given(st.floats(-1, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_no_claim_without_an_interval_beside_zero(
    difference: float, below: float, above: float, q: float
) -> None:
    found = estimate(difference, difference - below, difference + above, q)
    text = verdict.sentence(comparison({"correct": found}), "Prompt X")
    claims = "gained" in text or "cost" in text
    one_side = difference - below > 0 or difference + above < 0
    assert claims == (one_side and q < 0.05)
    assert ("No detectable difference" in text) == (not one_side)


def test_abstaining_is_judged_by_answerability() -> None:
    more = estimate(0.2, 0.1, 0.3, 0.001)
    assert verdict.effect(ABSTENTIONS, more, 0.95) == "differs"
    assert verdict.effect(ABSTENTIONS, more, 0.95, "unanswerable") == "better"
    assert verdict.effect(ABSTENTIONS, more, 0.95, "answerable") == "worse"


# Amounts, which are compared by ratios

TOKENS = Metric(
    name="answer_tokens",
    label="answer tokens",
    definition="Tokens of the answer.",
    better="lower",
    kind="amount",
    leads=1,
    unit="tokens",
)


def amount(ratio: float, low: float | None, high: float | None, q: float | None) -> Contrast:
    found = amount_estimate(ratio, low, high, q_value=q)
    contrast = comparison({"correct": LOSS})
    result = replace(contrast.result, amounts={TOKENS.name: found})
    return replace(contrast, metrics=(TOKENS, *contrast.metrics), result=result)


@pytest.mark.parametrize(
    ("contrast", "standing", "text"),
    [
        (
            amount(0.71, 0.66, 0.77, 0.0004),
            "trade-off",
            "Prompt X changed answer tokens by ×0.71 (95% CI ×0.66 to ×0.77; q < 0.001) and cost "
            "3.0 points of correct answers (95% CI 0.4 to 5.5; q = 0.021).",
        ),
        (
            amount(1.31, 1.01, 1.62, None),
            "worse",
            "Prompt X changed answer tokens by ×1.31 (95% CI ×1.01 to ×1.62) and cost 3.0 points "
            "of correct answers (95% CI 0.4 to 5.5; q = 0.021).",
        ),
        (
            amount(1.02, 0.95, 1.1, 0.4),
            "worse",
            "Prompt X cost 3.0 points of correct answers (95% CI 0.4 to 5.5; q = 0.021). No "
            "detectable difference in answer tokens: between ×0.95 and ×1.10 (95% CI; q = 0.400).",
        ),
        (
            amount(1.08, 1.01, 1.15, 0.09),
            "worse",
            "Prompt X cost 3.0 points of correct answers (95% CI 0.4 to 5.5; q = 0.021). Answer "
            "tokens changed by ×1.08 (95% CI ×1.01 to ×1.15; q = 0.090): not clear once the "
            "number of tests is taken into account.",
        ),
    ],
)
def test_an_amount_is_a_ratio_whose_no_change_is_one(
    contrast: Contrast, standing: str, text: str
) -> None:
    assert verdict.sentence(contrast, "Prompt X") == text
    assert verdict.standing(contrast) == standing


def test_the_declared_words_of_an_amount_take_its_place() -> None:
    words = replace(TOKENS, fell="shortened answers to {ratio}")
    contrast = amount(0.71, 0.66, 0.77, 0.0004)
    said = verdict.sentence(replace(contrast, metrics=(words,)), "Prompt X")
    assert said == "Prompt X shortened answers to ×0.71 (95% CI ×0.66 to ×0.77; q < 0.001)."
    assert verdict.effect(TOKENS, replace(contrast.estimate(TOKENS), ci_low=None), 0.95) == (
        "untested"
    )


def test_a_metric_without_words_of_its_own_has_plain_ones() -> None:
    metric = Metric(name="correct", label="valid {JSON}", definition="", better="higher", leads=1)
    contrast = replace(comparison({"correct": LOSS}), metrics=(metric,))
    assert verdict.sentence(contrast, "Prompt X").startswith(
        "Prompt X lowered valid {JSON} by 3.0 points (95% CI"
    )
    silent = replace(contrast, metrics=(replace(metric, leads=0),))
    assert verdict.sentence(silent, "Prompt X") == ""


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (wording.points(-0.0004), "0.0"),
        (wording.points(-0.0004, signed=True), "0.0"),
        (wording.points(-0.123, signed=True), "−12.3"),
        (wording.points(0.1, signed=True), "+10.0"),
        (wording.points(None), "–"),
        (wording.ratio(0.7143), "×0.71"),
        (wording.ratio(12.5), "×12.50"),
        (wording.ratio(0.00213), "×0.00213"),
        (wording.ratio(0), "×0.00"),
        (wording.ratio(None), "–"),
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
