"""The confidences of a trial's responses: which are there, and what is compared of two arms."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from report_files import write_trial

from workflow_scripts.comparisons.confidences import Confidences, read_confidences
from workflow_scripts.comparisons.contrasts import analyse
from workflow_scripts.comparisons.records import SelectiveRiskFile, content_of
from workflow_scripts.comparisons.score_files import read_scores, read_table
from workflow_scripts.comparisons.settings import StatsSettings
from workflow_scripts.core.files import read_settings
from workflow_scripts.core.records import Answer
from workflow_scripts.scoring.items import noting
from workflow_scripts.stats.settings import Stats
from workflow_scripts.tasks.registry import TASKS
from workflow_scripts.tasks.score_tables import read_outcomes


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trial whose server reports log-probabilities."""
    folder = tmp_path_factory.mktemp("likely")
    write_trial(folder, n=30, likely=True)
    return folder


def test_the_file_has_both_arms_and_what_differs(trial: Path) -> None:
    risk = read_settings(trial / "selective_risk.json", SelectiveRiskFile)
    contrast = content_of(risk.results, "treatment", "0.0", "open_book")
    assert contrast is not None
    (column,) = contrast.confidences
    assert column == "token_probability"
    found = contrast.confidences[column]
    rows = [
        row
        for row in read_outcomes(trial / "outcomes.csv")
        if row.type == "open_book" and row.outcome != "failed"
    ]
    failed = {row.item_key for row in rows if row.condition == "control"} - {
        row.item_key for row in rows if row.condition == "treatment"
    }
    paired = [row for row in rows if row.item_key not in failed]
    for arm, each in found.arms.items():
        of_arm = [row for row in paired if row.condition == arm]
        right = [row.number("correct") for row in of_arm]
        assert (each.n, each.without) == (len(of_arm), 0)
        assert each.share_right == pytest.approx(sum(filter(None, right)) / len(right))
    assert set(found.differences) == {"aurc", "excess_aurc", "auroc", "brier_score"}
    aurc = found.differences["aurc"]
    arms = found.arms
    assert aurc.difference == pytest.approx(arms["treatment"].aurc - arms["control"].aurc)
    # What was there before is there still, and nothing else.
    assert set(contrast.arms) == {"control", "treatment"}


def test_without_a_confidence_the_file_is_what_it_was(tmp_path: Path) -> None:
    write_trial(tmp_path, n=10)
    table = read_table(sorted(tmp_path.glob("*_book.jsonl")))
    assert read_confidences(tmp_path / "outcomes.csv", table) is None
    written = json.loads((tmp_path / "selective_risk.json").read_text("utf-8"))
    of_task = written["results"]["treatment"]["0.0"]["open_book"]
    assert set(of_task) == {"arms", "differences"}


def test_an_arm_without_a_confidence_stands_alone(trial: Path) -> None:
    table = read_table(sorted(trial.glob("*_book.jsonl")))
    rows = [
        row.model_copy(update={"token_probability": None}) if row.condition == "control" else row
        for row in read_outcomes(trial / "outcomes.csv")
    ]
    outputs = analyse(
        read_scores([trial / "per_item_scores.csv"], table),
        table,
        StatsSettings(stats=Stats(bootstrap_samples=100)),
        confidences=Confidences(rows, table),
    )
    contrast = content_of(outputs.selective_risk.results, "treatment", "0.0", "open_book")
    assert contrast is not None
    found = contrast.confidences["token_probability"]
    assert list(found.arms) == ["treatment"]
    assert not found.differences


def test_each_task_says_what_is_right() -> None:
    for name, task in TASKS.items():
        names = {metric.name for metric in task.metrics if metric.binary}
        assert task.right is None or task.right in names, name
    assert TASKS["open_book"].right == "correct"


def test_token_probabilities_are_noted_in_passing(trial: Path) -> None:
    row = Answer(
        custom_id="d|1|control|0.0|0|closed_book", dataset="d", item_id="1", condition="control",
        temp="0.0", sample_index=0, type="closed_book", prompt="control", finish_reason="stop",
        logprob_sum=-1.4, logprob_mean=-0.7,
    )  # fmt: skip
    silent = row.model_copy(update={"custom_id": "x", "logprob_sum": None, "logprob_mean": None})
    likely: dict[str, float] = {}
    assert list(noting([row, silent], likely)) == [row, silent]
    assert likely == {row.custom_id: pytest.approx(0.496585)}
