"""Bad judges are exposed by the numbers of judgements.json and by what the report says of them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from compared import analysed
from hypothesis import given, settings
from hypothesis import strategies as st
from judging import ARMS, RUBRIC, item, label, response, said
from question_records import Item
from report_files import QUICK, write_trial
from scipy.stats import norm
from statsmodels.stats.inter_rater import cohens_kappa
from test_report_verdict import CUT, LOSS, comparison

from workflow_scripts.comparisons.judgements import (
    Held,
    Judgements,
    JudgementSettings,
    judgements,
)
from workflow_scripts.comparisons.registration import RegistrationStatus, declaration, digest_of
from workflow_scripts.comparisons.settings import AskedModel, StatsSettings
from workflow_scripts.config.trial import Trial
from workflow_scripts.core.files import read_settings, write_csv, write_json
from workflow_scripts.core.records import Prediction
from workflow_scripts.export.gate import doubted
from workflow_scripts.judges.instruments import UNDECIDED
from workflow_scripts.judges.settings import Measurement
from workflow_scripts.labels.records import Label, response_digest
from workflow_scripts.metrics.correctness import Correctness
from workflow_scripts.metrics.settings import Unsupported
from workflow_scripts.report.inputs import TrialResults, read_results
from workflow_scripts.report.judging import held_of, judge_remarks, labels_sentence, led_by_labels
from workflow_scripts.report.overview import primary_sentences
from workflow_scripts.report.verdict import sentence, standing
from workflow_scripts.scoring.items import TrialScorer
from workflow_scripts.scoring.judged import Verdicts
from workflow_scripts.scoring.settings import TrialScoreSettings
from workflow_scripts.scoring.verdicts import FAILED, VerdictRow
from workflow_scripts.stats.label_design import LabelPower
from workflow_scripts.stats.settings import Stats
from workflow_scripts.tasks.registry import TASKS

NOW = datetime(2026, 11, 20, tzinfo=UTC)

N_ITEMS = 400
N_LABELLED = 150

CORRECT = {"control": 0.65, "treatment": 0.45}
"""Share of correct responses by arm: the treatment is worse, so a judge that likes it is wrong."""


@dataclass(frozen=True)
class Truth:
    """A response with what people would say of it."""

    row: Prediction
    item: Item
    is_correct: bool

    @property
    def arm(self) -> str:
        return self.row.condition

    @property
    def length(self) -> int:
        return len(self.row.response_text)


def truths(n: int = N_ITEMS, seed: int = 5) -> list[Truth]:
    """Responses of both arms, of lengths that have nothing to do with whether they are correct."""
    draw = random.Random(seed)
    found = []
    for number in range(n):
        for arm in ARMS:
            text = f"It is {number} " + "x" * draw.choice([10, 20, 40, 80])
            row = response(number, arm, text)
            found.append(Truth(row, item(number, context="x"), draw.random() < CORRECT[arm]))
    return found


Judge = Callable[[Truth, random.Random], bool]


def by_label(is_correct: bool) -> Literal["correct", "incorrect"]:
    return "correct" if is_correct else "incorrect"


def held(
    known: Sequence[Truth],
    rows: Sequence[VerdictRow],
    judges: dict[str, Measurement] | None = None,
    level: Correctness = "judge",
    **changes: Any,
) -> Judgements:
    """judgements.json of these verdicts, by way of the real scores."""
    judges = {"grader": Measurement()} if judges is None else judges
    predictions = [each.row for each in known]
    items = {each.item.key: each.item for each in known}
    scoring = TrialScoreSettings(
        unsupported=Unsupported(), abstention_phrases=[], correctness={"d": level}, judges=judges
    )
    scorer = TrialScorer(["open_book"], items, scoring, Verdicts(judges, rows))
    outcomes = list(scorer.outcomes(predictions, []))
    asked = JudgementSettings(
        **{
            "judges": judges,
            "asked": dict.fromkeys(judges, AskedModel(model="large", raw=[], quote=None)),
            "judged_models": dict.fromkeys(ARMS, "small"),
            "labels": None,
            "arms": ARMS,
            "bar": None,
            "confidence": 0.95,
            **changes,
        }
    )
    return judgements(predictions, outcomes, scorer.metrics, rows, items, asked)


def labels_of(known: Sequence[Truth], n: int = N_LABELLED) -> list[VerdictRow]:
    """People's labels on the first items, under both arms."""
    return [label(each.row, by_label(each.is_correct)) for each in known[: 2 * n]]


def judged_by(
    judge: Judge,
    *,
    labelled: int = N_LABELLED,
    known: Sequence[Truth] | None = None,
    **changes: Any,
) -> Judgements:
    draw, known = random.Random(8), known or truths()
    rows = [said(each.row, "grader", by_label(judge(each, draw))) for each in known]
    return held(known, [*rows, *labels_of(known, labelled)], **changes)


def used(found: Judgements) -> Held:
    """What decides correctness."""
    (one,) = [each for each in found.held if each.decides]
    return one


def remarks(found: Judgements) -> dict[str, str]:
    return {each.code: each.message for each in judge_remarks(found)}


def excludes_zero(value: Any) -> bool:
    return value is not None and (value.ci_low > 0 or value.ci_high < 0)


# Judges


def fair(each: Truth, draw: random.Random) -> bool:
    """Wrong about one incorrect response in ten, and as often the other way round."""
    share = CORRECT[each.arm]
    error = 0.1 * (1 - share) / share if each.is_correct else 0.1
    return each.is_correct != (draw.random() < error)


def always_correct(each: Truth, draw: random.Random) -> bool:
    return True


def prefers_longer(each: Truth, draw: random.Random) -> bool:
    """Finds the longer half of the responses correct, and half of the others if they are."""
    return each.length > 40 or fair(each, draw)


def likes_the_treatment(each: Truth, draw: random.Random) -> bool:
    """Wrong about most incorrect responses of the treatment, and of nothing else."""
    return each.is_correct or (each.arm == "treatment" and draw.random() < 0.7)


def is_a_coin(each: Truth, draw: random.Random) -> bool:
    return draw.random() < 0.5


def test_a_fair_judge_is_believed_and_nothing_is_said_against_it() -> None:
    found = judged_by(fair, bar=0.6)
    one = used(found)
    assert (one.metric, one.level, one.believed) == ("grader", "judge grader", True)
    assert one.n_items == N_ITEMS
    assert one.agreement is not None
    expected = np.mean([1 - 0.2 * (1 - share) for share in CORRECT.values()])
    assert one.agreement.agreement.value == pytest.approx(expected, abs=0.04)
    assert one.agreement.kappa is not None
    assert one.agreement.kappa.value == pytest.approx(0.8, abs=0.08)
    assert found.doubted == []
    assert remarks(found) == {}


def test_a_judge_that_always_says_correct_is_exposed() -> None:
    found = judged_by(always_correct, bar=0.6)
    one = used(found)
    assert one.agreement is not None
    assert one.agreement.kappa is not None
    assert one.agreement.specificity is not None
    assert one.agreement.specificity.value == 0
    assert one.agreement.kappa.value == pytest.approx(0)
    assert one.agreement.verdict_share.value == pytest.approx(1)
    assert one.agreement.verdict_share.value - one.agreement.label_share.value > 0.3
    assert (one.believed, found.doubted) == (False, [one])
    assert remarks(found)["judge_bar"].startswith(
        "No verdict is called: κ of judge grader and people is 0.00, and judge_bar asks for 0.6"
    )
    # It sees no difference where people see one, so its errors differ between the arms.
    assert "Judge grader errs differently" in remarks(found)["judge_errs_by_arm"]


@pytest.mark.parametrize("labelled", [N_LABELLED, 0])
def test_a_judge_that_prefers_longer_responses_is_exposed(labelled: int) -> None:
    """Also without labels, because correctness does not depend on length here."""
    found = judged_by(prefers_longer, labelled=labelled)
    slope = used(found).length
    assert slope is not None
    assert excludes_zero(slope)
    assert slope.value > 0
    said_of_it = remarks(found)["judge_length"]
    assert "Judge grader finds longer responses correct more often: +" in said_of_it
    assert ("beyond what people say" in said_of_it) == bool(labelled)


@pytest.mark.parametrize("judge", [fair, always_correct, likes_the_treatment, is_a_coin])
def test_a_judge_that_does_not_look_at_length_is_not_accused_of_it(judge: Judge) -> None:
    assert "judge_length" not in remarks(judged_by(judge))


def test_length_is_that_of_the_final_answer_which_is_what_a_judge_sees() -> None:
    def with_reasoning(each: Truth) -> Truth:
        text = f"<think>{'x' * (10 * 4 ** (int(each.row.item_id) % 3))}</think>Lyon"
        return replace(each, row=each.row.model_copy(update={"response_text": text}))

    found = judged_by(fair, known=[with_reasoning(each) for each in truths(20)])
    assert used(found).length is None  # all final answers are equally long


def test_a_judge_that_is_wrong_more_often_for_one_arm_is_exposed() -> None:
    found = judged_by(likes_the_treatment)
    errors = used(found).errors
    assert errors is not None
    assert errors.control is not None
    assert errors.treatment is not None
    assert errors.difference is not None
    assert errors.control.value == 0
    assert errors.treatment.value == pytest.approx(0.7 * (1 - CORRECT["treatment"]), abs=0.1)
    assert excludes_zero(errors.difference)
    assert "it favours the treatment by " in remarks(found)["judge_errs_by_arm"]


def test_labels_give_the_difference_the_sign_that_people_give_it() -> None:
    """The judge alone has the wrong one, and an interval that excludes the truth."""
    known = truths()
    by_arm = {arm: [each.is_correct for each in known if each.arm == arm] for arm in ARMS}
    truth = float(np.mean(by_arm["treatment"]) - np.mean(by_arm["control"]))
    assert truth < -0.1
    corrected = used(judged_by(likes_the_treatment)).corrected
    assert corrected is not None
    difference = corrected.difference
    assert difference is not None
    assert difference.judge_only.ci_low is not None
    assert difference.judge_only.ci_low > 0
    assert difference.ci_low is not None
    assert difference.ci_high is not None
    assert difference.ci_low < truth < difference.ci_high < 0
    assert (difference.n_labelled, difference.n_judged) == (N_LABELLED, N_ITEMS)


def test_the_page_says_all_three_differences() -> None:
    found = judged_by(likes_the_treatment)
    led = led_by_labels(found.held)
    assert led is not None
    text = labels_sentence(*led, found.confidence)
    assert f"by people’s labels on {N_LABELLED} items and judge grader on {N_ITEMS}" in text
    assert "By the labels alone: −" in text
    assert "by judge grader alone: +" in text


def test_a_coin_has_no_agreement_beyond_chance() -> None:
    one = used(judged_by(is_a_coin, bar=0.6))
    assert one.agreement is not None
    assert one.agreement.kappa is not None
    assert one.agreement.kappa.ci_low is not None
    assert one.agreement.kappa.ci_low < 0.05
    assert one.believed is False


# Panels


def panel_of(*judges: Judge, **changes: Any) -> Judgements:
    draw, known = random.Random(9), truths()
    named = {f"judge_{number}": judge for number, judge in enumerate(judges)}
    rows = [
        said(each.row, name, by_label(judge(each, draw)))
        for each in known
        for name, judge in named.items()
    ]
    return held(known, [*rows, *labels_of(known)], dict.fromkeys(named, Measurement()), **changes)


def kappa(one: Held) -> float:
    assert one.agreement is not None
    assert one.agreement.kappa is not None
    return one.agreement.kappa.value


def test_a_panel_outvotes_a_bad_judge_and_is_what_the_bar_applies_to() -> None:
    found = panel_of(always_correct, fair, fair, bar=0.6)
    panel = used(found)
    assert (panel.metric, panel.level, panel.believed) == ("panel", "the panel", True)
    by_name = {each.metric: each for each in found.held}
    assert kappa(by_name["judge_0"]) == pytest.approx(0)
    assert kappa(panel) > 0.6
    assert found.doubted == []
    # The bad judge adds a vote for "correct": the panel errs where both fair ones would have to.
    assert panel.agreement is not None
    assert panel.agreement.error.value > 0


def test_the_agreement_of_the_judges_is_that_of_their_verdicts() -> None:
    """Against the coincidence matrix of Krippendorff (2011) for two judges, by hand."""
    known = truths(3)
    pairs = [
        ("correct", "correct"), ("correct", "incorrect"), ("incorrect", "incorrect"),
        ("incorrect", "incorrect"), ("correct", UNDECIDED), (FAILED, "correct"),
    ]  # fmt: skip
    judges = {"one": Measurement(), "two": Measurement()}
    rows = [
        said(each.row, name, verdict)
        for each, of_both in zip(known, pairs, strict=True)
        for name, verdict in zip(judges, of_both, strict=True)
    ]
    panel = held(known, rows, judges).panel
    # 4 responses have two verdicts, 3 of them "correct" and 5 "incorrect"; 1 pair disagrees.
    assert panel is not None
    assert panel.value == pytest.approx(1 - (8 - 1) * 2 * 1 / (2 * 3 * 5))
    assert panel.n_items == 4


def test_a_tie_of_the_panel_is_decided_by_containment() -> None:
    known = truths(20)
    judges = {"one": Measurement(), "two": Measurement()}
    rows = [
        said(each.row, name, verdict)
        for each in known
        for name, verdict in zip(judges, ("correct", "incorrect"), strict=True)
    ]
    found = held(known, [*rows, *labels_of(known, 20)], judges)
    agreement = used(found).agreement
    assert agreement is not None
    assert agreement.verdict_share.value == 0  # no response holds its gold answer


def test_one_judge_is_no_panel() -> None:
    found = judged_by(fair)
    assert found.panel is None
    assert "panel" not in {each.metric for each in found.held}


# Labels


def test_without_labels_a_bar_cannot_be_met_and_the_report_says_so() -> None:
    found = judged_by(fair, labelled=0, bar=0.6)
    one = used(found)
    assert (one.agreement, one.errors, one.corrected, one.believed) == (None, None, None, None)
    assert found.doubted == [one]
    assert found.labels.responses == 0
    message = remarks(found)["judge_bar"]
    assert message.startswith("No verdict is called: judge_bar asks that judge grader agrees")
    assert "these responses have no labels. Label some (docs/labels.md)." in message


def test_without_a_bar_nothing_is_withheld() -> None:
    found = judged_by(always_correct)
    assert (used(found).believed, found.doubted) == (None, [])
    assert "judge_bar" not in remarks(found)


def test_the_bar_applies_to_containment_where_that_decides() -> None:
    found = judged_by(fair, bar=0.6, level="contains")
    one = used(found)
    assert (one.metric, one.believed) == ("contains_gold", False)  # no response holds its gold
    assert found.doubted == [one]


def test_labels_without_a_judge_correct_containment() -> None:
    """Where there is no label, containment decides; so the labels are held against it."""
    known = truths()
    found = held(known, labels_of(known), {}, level="labels")
    one = used(found)
    assert (one.metric, found.judges) == ("contains_gold", [])
    led = led_by_labels(found.held)
    assert led is not None
    assert led[1].estimate < 0


def test_a_label_that_is_unsure_counts_as_none() -> None:
    known = truths(20)
    rows = [said(each.row, "grader", "correct") for each in known]
    rows += [label(each.row, UNDECIDED) for each in known[:4]]
    rows += labels_of(known, 20)[4:10]
    found = held(known, rows)
    assert (found.labels.responses, found.labels.undecided) == (10, 4)
    agreement = used(found).agreement
    assert agreement is not None
    assert agreement.agreement.n_items == 6


def test_labels_of_responses_that_have_changed_are_counted(tmp_path: Path) -> None:
    known = truths(20)
    rows = [said(each.row, "grader", "correct") for each in known]
    path = tmp_path / "labels.csv"
    digests = [response_digest(each.row.response_text) for each in known[:3]]
    digests[1] = response_digest("what it said before")
    placed = [
        Label(
            dataset="d", item_id=each.row.item_id, arm=ARMS[each.arm], verdict="correct",
            response_sha256=digest,
        )
        for each, digest in zip(known, digests, strict=False)
    ]  # fmt: skip
    write_csv(path, Label, placed)
    rows += [label(known[number].row, "correct") for number in (0, 2)]
    found = held(known, rows, labels=str(path))
    assert (found.labels.responses, found.labels.stale) == (2, 1)
    assert remarks(found)["stale_labels"] == (
        "Not used: 1 label of responses that have changed since."
    )


def test_labels_are_asked_for_while_they_would_narrow_the_interval() -> None:
    """Arms that differ on one item in ten: even labels on all items leave ±3 points."""
    all_of = truths()
    pairs = zip(all_of[::2], all_of[1::2], strict=True)
    known = [
        each
        for number, (one, other) in enumerate(pairs)
        for each in (one, replace(other, is_correct=one.is_correct != (number % 10 == 0)))
    ]
    found = judged_by(fair, labelled=60, known=known)
    needed = used(found).labels_for_half_width
    assert needed["0.02"] is None
    assert needed["0.05"] is not None
    assert 60 < needed["0.05"] < N_ITEMS
    led = led_by_labels(found.held)
    assert led is not None
    text = labels_sentence(*led, found.confidence)
    assert f"narrower interval: {needed['0.05']} for ±5.0 points." in text


def test_power_json_says_how_many_labels_more_would_do() -> None:
    known, draw = truths(), random.Random(8)
    rows = [said(each.row, "grader", by_label(fair(each, draw))) for each in known]
    rows += labels_of(known)
    found = held(known, rows)
    items = {each.item.key: each.item for each in known}
    scoring = TrialScoreSettings(
        unsupported=Unsupported(), abstention_phrases=[], correctness={"d": "judge"},
        judges={"grader": Measurement()},
    )  # fmt: skip
    scorer = TrialScorer(["open_book"], items, scoring, Verdicts(scoring.judges, rows))
    list(scorer.outcomes([each.row for each in known], []))
    stats = Stats(**QUICK, effects=[0.01, 0.12], power=0.8)
    power = analysed(
        scorer.averaged(), items.values(), StatsSettings(stats=stats), judgements=found
    ).power["labels"]["treatment"]["0.0"]["open_book"]["correct"]
    corrected = used(found).corrected
    assert corrected is not None
    assert corrected.difference is not None
    error, fixed = corrected.difference.standard_error, corrected.difference.fixed_variance
    assert error is not None
    assert fixed is not None
    assert (power["n_labelled"], power["n_items"]) == (N_LABELLED, N_ITEMS)
    # A z test of 80 % power; the t test of so many labels needs a little more.
    wanted = norm.ppf(0.975) + norm.ppf(0.8)
    assert power["smallest_detectable"] == pytest.approx(wanted * error, rel=0.02)
    falling = corrected.difference.label_variance
    assert falling is not None
    needed = falling / ((0.12 / wanted) ** 2 - fixed)
    assert power["labels_needed"] == {"0.01": None, "0.12": pytest.approx(needed, rel=0.05)}
    led = led_by_labels(found.held)
    assert led is not None
    text = labels_sentence(*led, found.confidence, LabelPower(**power))
    more = power["labels_needed"]["0.12"] - N_LABELLED
    assert f"items to label for a smaller one: {more} more for 12.0 points." in text


def test_what_decides_counts_undecided_verdicts_as_the_metric_does() -> None:
    """The judge leaves every third response undecided, and containment decides about it."""
    known = [
        replace(each, row=each.row.model_copy(update={"response_text": each.item.answers[0]}))
        if each.arm == "treatment"
        else each
        for each in truths(60)
    ]
    rows = [
        said(each.row, "grader", UNDECIDED if number % 3 == 0 else "incorrect")
        for number, each in enumerate(known)
    ]
    found = held(known, [*rows, *labels_of(known, 20)])
    corrected = used(found).corrected
    assert corrected is not None
    assert corrected.difference is not None
    contained = sum(number % 3 == 0 for number, each in enumerate(known) if each.arm == "treatment")
    assert corrected.difference.judge_only.estimate == pytest.approx(contained / 60)


def test_the_agreement_of_people_is_that_of_their_labels(tmp_path: Path) -> None:
    known = truths(40)
    chance = random.Random(3)
    verdicts = ("correct", "incorrect", "not_attempted", "unsure")
    given = {name: [chance.choice(verdicts) for _ in known] for name in ("ann", "ben", "cleo")}
    placed = [
        Label(
            dataset="d", item_id=each.row.item_id, arm=ARMS[each.arm], verdict=verdict,
            annotator=name,
        )
        for name, labels in given.items()
        for number, (each, verdict) in enumerate(zip(known, labels, strict=True))
        if name != "cleo" or number < 30
    ]  # fmt: skip
    placed += [
        Label(
            dataset="d", item_id=known[0].row.item_id, arm=ARMS[known[0].arm], verdict="correct",
            annotator="adjudicated",
        )
    ]  # fmt: skip
    path = tmp_path / "labels.csv"
    write_csv(path, Label, placed)
    rows = [said(each.row, "grader", "correct") for each in known]
    people = held(known, rows, labels=str(path)).people
    assert people is not None
    assert people.annotators == ["ann", "ben", "cleo"]
    assert people.alpha is not None
    assert -0.3 < people.alpha.value < 0.3
    assert [(each.first, each.second) for each in people.pairs] == [
        ("ann", "ben"), ("ann", "cleo"), ("ben", "cleo"),
    ]  # fmt: skip
    for pair in people.pairs:
        n = 30 if "cleo" in (pair.first, pair.second) else len(known)
        both = [
            (one == "correct", other == "correct")
            for one, other in zip(given[pair.first][:n], given[pair.second][:n], strict=True)
            if "unsure" not in (one, other)
        ]
        counts = [[both.count((a, b)) for b in (True, False)] for a in (True, False)]
        assert pair.kappa is not None
        assert pair.kappa.value == pytest.approx(cohens_kappa(counts).kappa)
        assert pair.agreement.value == pytest.approx((counts[0][0] + counts[1][1]) / len(both))
    alone = [each for each in placed if each.annotator == "ann"]
    write_csv(path, Label, alone)
    assert held(known, rows, labels=str(path)).people is None


# What a judge said


def test_verdicts_are_counted_by_arm() -> None:
    known = truths(3)
    verdicts = ["correct", "incorrect", "correct", UNDECIDED, "not_attempted", FAILED]
    pairs = zip(known, verdicts, strict=True)
    (judge,) = held(known, [said(each.row, "grader", text) for each, text in pairs]).judges
    assert judge.verdicts == {
        "control": {"correct": 2, "not_attempted": 1},
        "treatment": {"incorrect": 1, UNDECIDED: 1, FAILED: 1},
    }
    assert (judge.undecided, judge.failed, judge.again) == (1, 1, None)


def test_the_report_says_how_many_responses_are_undecided() -> None:
    known = truths(50)
    rows = [said(each.row, "grader", UNDECIDED if each.length == 90 else "x") for each in known]
    rows[:2] = [said(known[0].row, "grader", FAILED), said(known[1].row, "grader", UNDECIDED)]
    found = held(known, rows)
    messages = [each.message for each in judge_remarks(found) if each.code == "judge_undecided"]
    assert messages[0].startswith("Judge grader is undecided about 1 of 100 responses.")
    assert messages[1].startswith("Judge grader failed on 1 of 100 responses.")


def test_a_judge_asked_twice_is_held_against_itself_once_for_each_response() -> None:
    known = truths(10)
    rows = [
        said(each.row, "grader", "correct", again=by_label(number >= 4))
        for number, each in enumerate(known)
    ]
    # Another row about a response that was asked about before: equal responses have one digest.
    rows[-1] = rows[-1].model_copy(update={"digest": rows[0].digest, "again": "incorrect"})
    (judge,) = held(known, rows).judges
    assert judge.again is not None
    assert judge.again.value == pytest.approx(1 - 4 / 19)
    assert judge.again.n_items == 19


@pytest.mark.parametrize(
    ("model", "judged", "same"),
    [
        ("gpt-5-mini", "gpt-4.1", ["gpt-4.1"]),
        ("accounts/x/models/Qwen3-8B", "qwen2.5:7b", ["qwen2.5:7b"]),
        ("claude-haiku-4-5", "gpt-4.1", []),
        ("my-own", "my-own-2", []),
    ],
)
def test_a_judge_of_the_same_family_is_named(model: str, judged: str, same: list[str]) -> None:
    found = judged_by(
        fair,
        known=truths(4),
        asked={"grader": AskedModel(model=model, raw=[], quote=None)},
        judged_models=dict.fromkeys(ARMS, judged),
    )
    assert found.judges[0].same_family == same
    assert ("same_family" in remarks(found)) == bool(same)


def test_a_judge_of_something_else_decides_nothing() -> None:
    known = truths(20)
    rows = [said(each.row, "tone", "kind") for each in known]
    found = held(known, [*rows, *labels_of(known, 10)], {"tone": RUBRIC}, level="contains")
    assert [each.name for each in found.judges] == ["tone"]
    assert {each.metric for each in found.held} == {"em", "contains_gold"}


# Files and pages

VERDICTS = st.sampled_from(["correct", "incorrect", "not_attempted", UNDECIDED, FAILED, "else", ""])
LABELS = st.sampled_from([None, "correct", "incorrect", "not_attempted", UNDECIDED])


@settings(max_examples=60)
@given(
    st.lists(st.tuples(VERDICTS, VERDICTS, LABELS), min_size=1, max_size=12),
    st.one_of(st.none(), st.floats(0, 1)),
    st.booleans(),
)
def test_whatever_the_verdicts_the_file_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory,
    given_verdicts: list[tuple[str, str, str | None]],
    bar: float | None,
    chances: bool,
) -> None:
    known = truths(12)[: len(given_verdicts)]
    rows = []
    for number, (each, (verdict, again, people)) in enumerate(
        zip(known, given_verdicts, strict=True)
    ):
        if verdict:
            rows.append(said(each.row, "grader", verdict, again=again))
        if people:
            chance = 1 / (1 + number // 2) if chances else None
            rows.append(label(each.row, people, probability=chance))
    found = held(known, rows, bar=bar)
    path = tmp_path_factory.mktemp("judged") / "judgements.json"
    write_json(path, found.model_dump(mode="json"))
    assert read_settings(path, Judgements) == found
    assert all(each.message for each in judge_remarks(found))


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Trial:
    return write_trial(tmp_path_factory.mktemp("trial"))


def read_by_pages(trial: Trial, folder: Path, found: Judgements) -> TrialResults:
    """A trial whose correctness was decided so, as the pages read it."""
    write_json(folder / "judgements.json", found.model_dump(mode="json"))
    of = Path(trial.folder)
    return read_results(
        trial,
        of / "per_item_scores.csv",
        of / "significance.json",
        of / "local_costs.json",
        of / "costs.json",
        folder / "judgements.json",
    )


def test_below_the_bar_the_page_calls_no_verdict(trial: Trial, tmp_path: Path) -> None:
    contrast = comparison({"false_answer_rate": CUT, "correct": LOSS})
    assert standing(contrast) == "trade-off"
    found = read_by_pages(trial, tmp_path, judged_by(always_correct, bar=0.6))
    metrics = {each.name: each for each in found.metrics}
    doubted = replace(contrast, metrics=tuple(metrics[each.name] for each in contrast.metrics))
    assert standing(doubted) == "withheld"
    assert sentence(doubted, "Prompt X") == ""  # the remark says why


def test_below_the_bar_a_declared_question_is_not_decided_either(tmp_path: Path) -> None:
    block = {"registration": {"primary": "false_answer_rate", "direction": "decrease"}}
    content = declaration(Stats.model_validate({**QUICK, **block}))
    assert content is not None
    status = RegistrationStatus(
        digest=digest_of(content), declared_at=NOW, first_answer_at=NOW, evidence="a.jsonl",
        before_first_answer=True,
    )  # fmt: skip
    declared = write_trial(tmp_path / "trial", n=20, stats=block, declared=status)
    for judge, bar, called in ((fair, None, True), (always_correct, 0.6, False)):
        sentences = primary_sentences(read_by_pages(declared, tmp_path, judged_by(judge, bar=bar)))
        assert sentences
        for text in sentences:
            assert ("confirmed" in text) == called
            assert (": no verdict is called, " in text) != called


@pytest.mark.parametrize(("judge", "bar"), [(fair, 0.6), (always_correct, None)])
def test_at_the_bar_or_without_one_the_page_calls_its_verdict(
    trial: Trial, tmp_path: Path, judge: Judge, bar: float | None
) -> None:
    results = read_by_pages(trial, tmp_path, judged_by(judge, bar=bar))
    assert [each.name for each in results.metrics if each.leads]


def test_the_way_that_was_used_comes_first() -> None:
    found = judged_by(fair)
    contrast = comparison({"correct": LOSS})
    assert held_of(found, contrast)[0].metric == "grader"
    assert len(held_of(found, contrast)) == 3
    assert held_of(found, replace(contrast, temp="1.0")) == []
    assert held_of(None, contrast) == []


def test_a_gate_does_not_believe_a_judge_under_the_bar() -> None:
    """Nor what rests on it: correct and false answers; exact match is what it is."""
    metrics = {each.name: each for each in TASKS["closed_book"].metrics}

    def names(found: Judgements) -> set[str]:
        one = used(found)
        return set(doubted(found, (one.treatment, one.temp, one.type), metrics))

    rest = {"grader", "correct", "false_answer_rate"}
    assert names(judged_by(fair, labelled=0, bar=0.5)) == rest
    assert names(judged_by(always_correct, bar=0.5)) == rest
    assert names(judged_by(fair, bar=0.5)) == set()
    assert names(judged_by(always_correct)) == set()
    found = judged_by(fair, bar=0.99)
    one = used(found)
    told = doubted(found, (one.treatment, one.temp, one.type), metrics)["correct"]
    assert (told.labelled, told.bar, told.level) == (True, 0.99, one.level)
    assert told.kappa is not None
    assert 0.5 < told.kappa < 0.99
