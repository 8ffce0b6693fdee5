"""The settings files of stages: named after their content, and compared or not."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import REPOSITORY
from small_workflow import OLD, Workflow

from workflow_scripts.config.load import read_config
from workflow_scripts.config.schema import Config
from workflow_scripts.core.errors import UserError
from workflow_scripts.rules import stages
from workflow_scripts.rules.experiment import Experiment, Job, one_of, wildcards_of
from workflow_scripts.rules.settings_files import SettingsFiles
from workflow_scripts.stats.settings import Stats


def test_the_same_settings_have_one_file_and_others_another(tmp_path: Path) -> None:
    files = SettingsFiles(tmp_path.as_posix())
    one, again = files.path("stats", Stats()), files.path("stats", Stats())
    other = files.path("stats", Stats(confidence=0.9))
    assert one == again != other
    assert re.fullmatch(r"stats-[0-9a-f]{12}\.json", Path(one).name)
    assert json.loads(files.text(other))["confidence"] == 0.9
    assert files.missing() == sorted([one, other])
    assert not list(tmp_path.iterdir())  # to plan writes nothing
    Path(one).write_text(files.text(one), encoding="utf-8")
    assert files.missing() == [other]


def test_an_edited_file_is_refused(tmp_path: Path) -> None:
    files = SettingsFiles(tmp_path.as_posix())
    path = Path(files.path("stats", Stats()))
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(UserError, match=f"{path.name}: this file was edited. Delete it"):
        files.missing()


def test_untracked_settings_are_written_when_a_run_starts(tmp_path: Path) -> None:
    files = SettingsFiles(tmp_path.as_posix())
    before = files.untracked("stats", Stats())
    assert not Path(before).exists()
    files.start()
    after = files.untracked("stats", Stats(confidence=0.9))
    for path in (before, after):
        assert Path(path).read_text(encoding="utf-8") == files.text(path)
    assert files.missing() == []


@pytest.mark.parametrize("waves", [None, 2])
def test_every_job_has_settings_of_its_own(waves: int | None, monkeypatch: Any) -> None:
    monkeypatch.chdir(REPOSITORY)
    values = yaml.safe_load(Path("config/config.yaml").read_text(encoding="utf-8"))
    if waves:
        question = {"primary": "em", "direction": "increase", "margin": 0.1, "waves": waves}
        values["stats"] = {**values.get("stats", {}), "registration": question}
    experiment = Experiment(Config.model_validate(values))
    made = Counter(stage for stage, _ in stages.jobs_of(experiment))
    assert made["prepare"] == 2  # tasks
    assert made["trial"] == 2
    assert made["parse"] == 2 * (2 * waves if waves else 1)  # waves so far, and each alone
    assert made["inspect_log"] == 2 * 2 * 2 * (waves or 1)  # tasks × arms × trials
    for stage, job in stages.jobs_of(experiment):
        settings = stages.settings_of(stage, job)
        text = settings.model_dump_json()
        assert type(settings).model_validate_json(text) == settings


def test_settings_hold_the_parts_of_the_waves_that_are_read(monkeypatch: Any) -> None:
    monkeypatch.chdir(REPOSITORY)
    experiment = Experiment(read_config(Path("config/config.yaml")))
    names = wildcards_of(experiment.trials[0])
    first = stages.parse(Job(experiment, names, slice(0, 0))).parts
    assert first.raw_files() == []
    assert len(stages.parse(Job(experiment, names)).parts.raw_files()) == 2 * 2 * 2


@pytest.mark.parametrize("name", ["a", "a.b", "x|y"])
def test_no_name_stands_for_another(name: str) -> None:
    assert re.fullmatch(one_of([name]), name)
    assert not re.fullmatch(one_of([name]), "axb")
    assert not re.fullmatch(one_of([]), name)


PARAMS = """
rule all:
    input: "results/a.txt"

rule a:
    input: "in.txt"
    output: "results/a.txt"
    params:
        compared=lambda wildcards: {"number": COMPARED},
        derived=lambda wildcards, threads: NOT_COMPARED,
        of_output=lambda wildcards, output: NOT_COMPARED,
    shell: "{UPPER} {input}"
"""


def test_params_that_take_threads_or_output_are_not_compared(tmp_path: Path) -> None:
    """Snakemake's documentation does not promise it, and the rules rely on it."""
    workflow = Workflow.of(tmp_path, "COMPARED, NOT_COMPARED = 1, 1\n" + PARAMS)
    workflow.write("in.txt", "text", OLD)
    workflow.run()
    text = workflow.read("Snakefile")
    workflow.write("Snakefile", text.replace("NOT_COMPARED = 1, 1", "NOT_COMPARED = 1, 2"))
    assert workflow.is_done()
    workflow.write("Snakefile", text.replace("NOT_COMPARED = 1, 1", "NOT_COMPARED = 2, 1"))
    assert workflow.jobs() == Counter("a")
