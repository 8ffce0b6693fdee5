"""Files for .eval_results/ of the Hugging Face Hub: its fields, our means."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from conftest import REPOSITORY
from exported_arm import METRICS, TIMES, Arm
from report_files import run_main, write_provenance

from workflow_scripts.config.load import read_config
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import write_csv, write_json, write_jsonl
from workflow_scripts.core.records import ItemScores
from workflow_scripts.datasets.settings import HubBenchmark
from workflow_scripts.export import hub_results as module
from workflow_scripts.export.hub_results import hub_results
from workflow_scripts.export.settings import EvalSettings
from workflow_scripts.rules import stages
from workflow_scripts.rules.experiment import Experiment, Job, wildcards_of
from workflow_scripts.tasks.score_tables import write_metrics

FIELDS = {"dataset", "value", "verifyToken", "date", "source", "notes"}
OF_DATASET = {"id", "task_id", "revision"}
"""Those that https://huggingface.co/docs/hub/eval-results lists."""

BENCHMARK = {"id": "rajpurkar/squad_v2", "task_id": "default", "metric": "em"}


@pytest.fixture
def arm(tmp_path: Path) -> Arm:
    return Arm(tmp_path)


def settings_of(arm: Arm, **changes: Any) -> EvalSettings:
    return EvalSettings(
        **dict(arm.settings),
        deployment_type="unknown",
        model_availability="unknown",
        confidence=0.95,
        benchmarks={"demo": HubBenchmark.model_validate({**BENCHMARK, **changes})},
    )


def entries(arm: Arm, **changes: Any) -> list[dict[str, Any]]:
    items = {item.key: item for item in arm.items}
    return hub_results(settings_of(arm, **changes), items, arm.scores, METRICS, TIMES)


def test_an_entry_has_the_fields_of_the_hub(arm: Arm) -> None:
    (entry,) = entries(arm, revision="5503434ddd753f426f4b38109466949a1217c2bb")
    assert set(entry) <= FIELDS
    assert set(entry["dataset"]) == OF_DATASET
    assert entry["dataset"]["id"] == "rajpurkar/squad_v2"
    assert datetime.fromisoformat(entry["date"]) == TIMES.last
    assert set(entries(arm)[0]["dataset"]) == OF_DATASET - {"revision"}


def test_the_value_is_the_mean_over_items_in_percent(arm: Arm) -> None:
    arm.items = [item.model_copy(update={"cluster_id": item.id}) for item in arm.items]
    (entry,) = entries(arm)
    values = [row.score("em") for row in arm.scores]
    assert entry["value"] == pytest.approx(100 * np.mean(values), abs=1e-4)
    assert "6 items" in entry["notes"]
    assert re.search(r"95% interval \d+\.\d\d to \d+\.\d\d$", entry["notes"])


def test_rows_of_other_arms_do_not_count(arm: Arm) -> None:
    (entry,) = entries(arm)
    other = [row.model_copy(update={"condition": "control", "em": 1.0}) for row in arm.scores]
    arm.scores = [*other, *arm.scores]
    assert entries(arm) == [entry]


def test_a_metric_that_was_not_measured_is_an_error(arm: Arm) -> None:
    with pytest.raises(UserError, match=r"datasets\.demo\.hub: 'accuracy' was not measured"):
        entries(arm, metric="accuracy")


def test_the_command_writes_yaml(arm: Arm) -> None:
    folder = arm.folder
    write_jsonl(folder / "open_book.jsonl", arm.items)
    write_csv(folder / "per_item_scores.csv", ItemScores.with_metrics(METRICS), arm.scores)
    write_metrics(folder / "metrics.json", METRICS)
    write_provenance(folder)
    write_json(folder / "settings.json", settings_of(arm).model_dump(mode="json"))
    names = {
        "--settings": "settings.json",
        "--items": "open_book.jsonl",
        "--scores": "per_item_scores.csv",
        "--provenance": "provenance.json",
        "--output": "demo.yaml",
    }
    run_main(module, [part for key, name in names.items() for part in (key, str(folder / name))])
    (entry,) = yaml.safe_load((folder / "demo.yaml").read_text(encoding="utf-8"))
    assert entry["dataset"] == {"id": "rajpurkar/squad_v2", "task_id": "default"}
    assert isinstance(entry["value"], float)


CONFIG = """\
experiment: mine
backend: local
local_engine: llama_cpp
local_model: resources/models/assay-demo.gguf
datasets:
  one:
    {format: jsonl, path: resources/demo/open_book.jsonl, task: open_book, hub: HUB}
  two: {format: jsonl, path: resources/demo/closed_book.jsonl, task: closed_book}
prompt_sets:
  abstention: {control: control, treatment: treatment}
"""


def read(folder: Path, hub: str) -> Experiment:
    path = folder / "mine.yaml"
    path.write_text(CONFIG.replace("HUB", hub), encoding="utf-8")
    return Experiment(read_config(path))


def test_only_tasks_with_a_benchmark_have_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(REPOSITORY)
    experiment = read(tmp_path, "{id: a/b, task_id: x, metric: em}")
    files = experiment.of_all_arms(experiment.layout.hub_results, experiment.benchmark_tasks())
    assert [Path(each).name for each in files] == [
        "open_book.control.t0.0.yaml",
        "open_book.treatment.t0.0.yaml",
    ]
    names = {"task": "open_book", "condition": "control", "temp": "0.0"}
    job = Job(experiment, {**wildcards_of(experiment.trials[0]), **names})
    settings = stages.evaluation(job)
    assert list(settings.benchmarks) == ["one"]
    assert settings.deployment_type == "self_deployed"
    assert settings.model_availability == "open_weights"


@pytest.mark.parametrize(
    ("hub", "message"),
    [
        ("{id: a, task_id: x, metric: em}", r"line 7: datasets\.one\.hub\.id: "),
        ("{id: a/b, metric: em}", r"line 7: datasets\.one\.hub\.task_id: this key is required"),
        ("{id: a/b, task_id: x, metric: bleu}", r"hub\.metric: no metric 'bleu'; there are"),
    ],
)
def test_a_mistake_is_told_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hub: str, message: str
) -> None:
    monkeypatch.chdir(REPOSITORY)
    with pytest.raises(UserError, match=message):
        read(tmp_path, hub)
