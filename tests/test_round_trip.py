"""Every Eval Ever: what a real run exported becomes arms and questions, and is exported again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import REPOSITORY, Project
from jsonschema import Draft7Validator

ORIGINAL = "results/demo/llama_cpp/assay-demo/default/abstention"
IMPORTED = "results/again/imported/answers/default/abstention"
ARMS = ("control", "treatment")

NAMES = {"evaluation_id", "model_id", "evaluation_timestamp", "retrieved_timestamp"}
"""Of whom, when and in which experiment: another evaluation of the same answers."""

OF_THE_REQUEST = {
    "request_id", "request_digest", "served_by", "decoding", "at_once",
}  # fmt: skip
"""Metadata of what was sent, which a file of answers does not say. ``request_id`` is the line."""


def exported(project: Project, trial: str, arm: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The aggregate and the instances of an arm, after a check of their form."""
    folder = project.root / trial / f"every_eval_ever/closed_book.{arm}.t0.0/data"
    (samples,) = folder.rglob("*_samples.jsonl")
    aggregate = json.loads(
        samples.with_name(samples.name.replace("_samples.jsonl", ".json")).read_text("utf-8")
    )
    instances = [json.loads(line) for line in samples.read_text("utf-8").splitlines()]
    for name, each in (("eval", [aggregate]), ("instance_level_eval", instances)):
        path = REPOSITORY / f"tests/vendor/every_eval_ever/{name}.schema.json"
        validator = Draft7Validator(json.loads(path.read_text("utf-8")))
        for record in each:
            validator.validate(record)
    return aggregate, instances


def said_of_answers(instance: dict[str, Any]) -> dict[str, Any]:
    """An instance without what names the evaluation and what was sent."""
    kept = {name: value for name, value in instance.items() if name not in NAMES}
    kept["input"] = {name: kept["input"][name] for name in ("raw", "reference")}
    kept["metadata"] = {k: v for k, v in kept["metadata"].items() if k not in OF_THE_REQUEST}
    return kept


@pytest.fixture(scope="module")
def both(demo_run: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A real run of 40 questions with its exports, and a run whose arms are these exports."""
    project = demo_run.copy_to(tmp_path_factory.mktemp("round_trip"))
    targets = [f"every_eval_ever/closed_book.{arm}.t0.0" for arm in ARMS]
    project.snakemake("--cores", "2", "--", *(f"{ORIGINAL}/{each}" for each in targets))
    (project.root / "data").mkdir()
    for arm in ARMS:
        (samples,) = (project.root / ORIGINAL / targets[ARMS.index(arm)]).rglob("*_samples.jsonl")
        shutil.copy(samples, project.root / f"data/{arm}.jsonl")
    answers = {arm: {"answers": f"data/{arm}.jsonl", "format": "every_eval_ever"} for arm in ARMS}
    questions = {"format": "every_eval_ever", "path": "data/control.jsonl", "task": "closed_book"}
    config = {
        "experiment": "again",
        "datasets": {"demo_closed": questions},
        "arms": answers,
        "prompt_sets": {"abstention": dict(zip(ARMS, ARMS, strict=True))},
    }
    (project.root / "config/again.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    project.snakemake(
        *("--cores", "2", "--configfile", "config/again.yaml", "--"),
        *(f"{IMPORTED}/{each}" for each in targets),
    )
    return project


@pytest.mark.parametrize("arm", ARMS)
def test_export_import_and_export_again_is_the_identity(both: Project, arm: str) -> None:
    first, instances = exported(both, ORIGINAL, arm)
    second, again = exported(both, IMPORTED, arm)
    assert len(instances) > 40
    assert [said_of_answers(each) for each in again] == [
        said_of_answers(each) for each in instances
    ]
    for one, other in zip(first["evaluation_results"], second["evaluation_results"], strict=True):
        assert {**one, "generation_config": None} == {**other, "generation_config": None}
    assert second["eval_library"] == first["eval_library"]
    assert second["model_info"]["id"] == f"imported/{arm}"
    lines = Path(both.root / f"data/{arm}.jsonl").read_text("utf-8").splitlines()
    for instance in again:
        number = int(instance["metadata"]["request_id"].removeprefix("line "))
        assert json.loads(lines[number - 1])["sample_id"] == instance["sample_id"]
