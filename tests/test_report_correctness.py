"""By what answers count as correct: from the config to the first screen of a page."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY
from pydantic import ValidationError
from question_records import Item
from report_files import make_report, write_trial
from test_report_figures import contrast, estimate

from workflow_scripts.config.checks import unknown_names
from workflow_scripts.config.schema import Config
from workflow_scripts.core.files import write_json
from workflow_scripts.metrics.settings import Unsupported
from workflow_scripts.report.contrast import Contrast
from workflow_scripts.report.correctness import decided_by, disagreements
from workflow_scripts.rules import stages
from workflow_scripts.rules.experiment import Experiment, Job, wildcards_of
from workflow_scripts.scoring.items import TrialScorer
from workflow_scripts.stats.estimates import Estimate
from workflow_scripts.tasks.question_answering import CONTAINS, CORRECT, EXACT_MATCH, F1
from workflow_scripts.tasks.settings import ScoreSettings

WORDS = "containment of a gold answer"
METRICS = (EXACT_MATCH, F1, replace(CORRECT, decided_by=WORDS), CONTAINS)
GAIN = estimate(0.05, 0.01, 0.09)


def compared(**estimates: Estimate) -> Contrast:
    """A contrast whose correctness is decided by containment."""
    return replace(contrast(metrics=estimates), metrics=METRICS)


# Levels that contradict each other


@pytest.mark.parametrize(
    ("correct", "em"),
    [
        (GAIN, estimate(-0.02, -0.05, 0.01)),  # another direction, the first one clear
        (estimate(0.02, -0.01, 0.05), estimate(-0.05, -0.09, -0.01)),  # the second one clear
        (GAIN, estimate(0.21, 0.17, 0.25)),  # one direction, but nothing in common
        (estimate(0.0, -0.02, 0.02), estimate(0.3, 0.25, 0.35)),
        (GAIN, estimate(-0.02, None, None)),  # an interval is missing, the other one is clear
        (estimate(0.2, 0.1, 0.3), estimate(-0.1, -0.2, None)),
    ],
)
def test_levels_that_disagree_get_a_sentence(correct: Estimate, em: Estimate) -> None:
    for used, other in ((correct, em), (em, correct)):
        (message,) = disagreements(compared(correct=used, em=other, contains_gold=used))
        assert message.startswith("Exact match changed by ")


@pytest.mark.parametrize(
    ("correct", "em"),
    [
        (GAIN, GAIN),
        (GAIN, estimate(0.13, 0.09, 0.17)),  # the intervals touch
        (GAIN, estimate(0.0, -0.02, 0.02)),  # nothing found is no contradiction
        (estimate(0.02, -0.02, 0.06), estimate(-0.02, -0.06, 0.02)),  # neither is clear
        (estimate(0.02, None, None), estimate(-0.02, None, None)),
        (estimate(0.02, None, None), estimate(0.9, 0.8, 1.0)),  # one direction, one interval
    ],
)
def test_levels_that_agree_say_nothing(correct: Estimate, em: Estimate) -> None:
    for used, other in ((correct, em), (em, correct)):
        assert [*disagreements(compared(correct=used, em=other, contains_gold=used))] == []


def test_the_sentence_has_both_numbers_and_what_was_used() -> None:
    (message,) = disagreements(compared(correct=GAIN, em=estimate(-0.121, -0.16, -0.08)))
    assert message.startswith(
        "Exact match changed by −12.1 points, correct answers (decided by containment of a gold "
        "answer) by +5.0: "
    )


def test_each_level_that_disagrees_is_named() -> None:
    away = estimate(-0.3, -0.4, -0.2)
    found = [*disagreements(compared(correct=GAIN, em=away, contains_gold=away))]
    assert [each.split(" changed")[0] for each in found] == ["Exact match", "Containment"]


def test_only_levels_are_compared_and_only_with_what_was_used() -> None:
    away = estimate(-0.3, -0.4, -0.2)
    assert [*disagreements(compared(correct=GAIN, f1=away))] == []
    assert [*disagreements(compared(em=GAIN, contains_gold=away))] == []
    undecided = replace(compared(correct=GAIN, em=away), metrics=(EXACT_MATCH, CORRECT))
    assert [*disagreements(undecided)] == []


def test_what_decides_is_that_of_the_first_metric_that_says_so() -> None:
    assert decided_by(METRICS) == WORDS
    assert decided_by([EXACT_MATCH, CORRECT]) is None


# On the page


def test_the_first_screen_says_what_decides_and_warns_where_levels_disagree(tmp_path: Path) -> None:
    write_trial(tmp_path, n=40, tasks=("closed_book",))

    def reported() -> dict[str, Any]:
        make_report(tmp_path)
        found: dict[str, Any] = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
        return found

    before = reported()
    assert before["facts"]["Correct"] == "decided by containment of a gold answer"
    assert "Correct" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert not [each for each in before["warnings"] if each["code"] == "correctness"]

    path = tmp_path / "significance.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    metrics = content["results"]["treatment"]["0.0"]["closed_book"]["metrics"]
    metrics["correct"].update(difference=0.2, ci_low=0.1, ci_high=0.3)
    metrics["contains_gold"].update(difference=0.2, ci_low=0.1, ci_high=0.3)
    metrics["em"].update(difference=-0.2, ci_low=-0.3, ci_high=-0.1)
    write_json(path, content)
    (warning,) = [each for each in reported()["warnings"] if each["code"] == "correctness"]
    assert warning["level"] == "warning"
    assert warning["message"].startswith("Closed book: Exact match changed by −20.0 points")


# From the config

RULES = {"unsupported": Unsupported(), "abstention_phrases": []}


def item(dataset: str) -> Item:
    return Item(id="1", dataset=dataset, question="?", answers=["x"], cluster_id="1")


@pytest.mark.parametrize(
    ("levels", "words"),
    [
        ({}, WORDS),
        ({"a": "exact", "b": "exact"}, "exact match with a gold answer"),
        ({"b": "exact"}, f"{WORDS} (a), exact match with a gold answer (b)"),
        ({"a": "judge", "b": "contains"}, f"a judge (a), {WORDS} (b)"),
        ({"a": "labels", "b": "labels", "c": "exact"}, "people’s labels"),
    ],
)
def test_what_decides_is_said_in_words_with_data_sets_where_it_differs(
    levels: dict[str, Any], words: str
) -> None:
    settings = ScoreSettings(**RULES, correctness=levels)
    assert settings.decided_by(["b", "a"]) == words
    items = {each.key: each for each in map(item, ("a", "b"))}
    decided = {
        metric.name: metric.decided_by
        for metric in TrialScorer(["closed_book"], items, settings).metrics
    }
    assert decided == {**dict.fromkeys(decided, ""), "correct": words}


def config_of(datasets: dict[str, dict[str, str]], **keys: Any) -> Config:
    shared = {"format": "jsonl", "path": "x.jsonl", "task": "closed_book"}
    return Config.model_validate(
        {
            "datasets": {name: {**shared, **spec} for name, spec in datasets.items()},
            "prompt_sets": {"set": {"control": "control", "treatment": "treatment"}},
            "model_id": "some",
            **keys,
        }
    )


def score_settings(datasets: dict[str, dict[str, str]], **keys: Any) -> ScoreSettings:
    """What scoring gets from a config."""
    experiment = Experiment(config_of(datasets, **keys))
    return stages.score(Job(experiment, wildcards_of(experiment.trials[0])))


OWN: dict[str, str] = {}
NQ = {"format": "nq_open"}
NAMED = {"evaluation": "triviaqa"}


@pytest.mark.parametrize(
    ("datasets", "keys", "expected"),
    [
        # The evaluation of a format is no wish to be decided by it.
        ({"a": OWN, "b": NQ}, {}, {"a": "contains", "b": "contains"}),
        ({"a": NAMED, "b": OWN}, {}, {"a": "exact", "b": "contains"}),
        ({"a": NAMED, "b": OWN}, {"correctness": "contains"}, {"a": "contains", "b": "contains"}),
        ({"a": OWN, "b": OWN}, {"correctness": "exact"}, {"a": "exact", "b": "exact"}),
        (
            {"a": {"correctness": "labels"}, "b": {**NAMED, "correctness": "judge"}, "c": OWN},
            {"correctness": "exact"},
            {"a": "labels", "b": "judge", "c": "exact"},
        ),
    ],
)
def test_the_data_set_wins_over_the_config_and_that_over_the_defaults(
    datasets: dict[str, dict[str, str]],
    keys: dict[str, Any],
    expected: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(REPOSITORY)
    settings = score_settings(datasets, **keys)
    assert {name: settings.correctness_of(name) for name in datasets} == expected


def test_a_named_evaluation_replaces_that_of_the_format(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    settings = score_settings({"a": OWN, "b": NQ, "c": NAMED, "d": {**NQ, **NAMED}})
    assert settings.evaluations == {"b": "nq_open", "c": "triviaqa", "d": "triviaqa"}


@pytest.mark.parametrize(
    ("datasets", "keys", "place"),
    [
        ({"a": OWN}, {"correctness": "bleu"}, "correctness"),
        ({"a": {"correctness": "bleu"}}, {}, r"datasets\.a\.correctness"),
    ],
)
def test_a_level_that_does_not_exist_is_refused(
    datasets: dict[str, dict[str, str]], keys: dict[str, Any], place: str
) -> None:
    with pytest.raises(ValidationError, match=rf"(?m)^{place}$"):
        score_settings(datasets, **keys)


def test_an_evaluation_that_does_not_exist_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    config = config_of({"a": {"evaluation": "squad"}, "b": {"evaluation": "nq_open"}})
    ((where, problem),) = unknown_names(config)
    assert where == ("datasets", "a", "evaluation")
    assert problem.startswith("no evaluation 'squad'; did you mean 'squad_v2'?")
