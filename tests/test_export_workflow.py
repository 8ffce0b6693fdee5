"""`snakemake exports` makes all exports of all trials, and makes anew what a change concerns."""

from __future__ import annotations

import json
import zipfile
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from conftest import Project

from workflow_scripts.core.files import read_csv
from workflow_scripts.core.records import Prediction

FOLDER = "results/demo/llama_cpp/assay-demo/default"
LOGS = [
    f"{task}.{condition}.t0.0.eval"
    for task in ("closed_book", "open_book")
    for condition in ("control", "treatment")
]


@pytest.fixture(scope="module")
def exported(demo_run: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A finished run of 40 items per data set, with its exports."""
    project = demo_run.copy_to(tmp_path_factory.mktemp("exported"))
    project.snakemake("--cores", "2", "exports")
    return project


def test_all_trials_have_all_exports(exported: Project) -> None:
    names = ["table.md", "table.tex", "predictions.parquet", "per_item_scores.parquet"]
    names.append("ro-crate.zip")
    for prompt_set in ("abstention", "placebo"):
        folder = exported.root / FOLDER / prompt_set
        for name in [*names, *(f"inspect/{log}" for log in LOGS)]:
            assert (folder / name).stat().st_size > 0, name
        for log in LOGS:
            arm = folder / "every_eval_ever" / log.removesuffix(".eval")
            assert len(list((arm / "data/demo/llama_cpp/assay-demo").iterdir())) == 2, log
        rows = list(read_csv(folder / "predictions.csv", Prediction))
        written = pq.read_table(folder / "predictions.parquet").to_pylist()
        assert written == [row.model_dump() for row in rows]
    overall = exported.read("results/demo/table.md")
    assert all(
        f"| {prompt_set}, Open book, prompt “{prompt}”, temperature 0.0 (n = 40) |" in overall
        for prompt_set, prompt in (("abstention", "treatment"), ("placebo", "polite"))
    )
    assert r"\begin{tabular}" in exported.read("results/demo/table.tex")


def test_the_logs_have_the_results_of_significance_json(exported: Project) -> None:
    significance = json.loads(exported.read(f"{FOLDER}/abstention/significance.json"))
    for log in LOGS:
        task, condition, _ = log.split(".", 2)
        with zipfile.ZipFile(exported.root / FOLDER / "abstention/inspect" / log) as archive:
            header = json.loads(archive.read("header.json"))
            assert len(archive.namelist()) == 40 + 2
        metrics = significance["results"]["treatment"]["0.0"][task]["metrics"]
        means = {
            each["name"]: each["metrics"]["mean"]["value"] for each in header["results"]["scores"]
        }
        arm = f"{condition}_mean"
        assert means["em"] == pytest.approx(metrics["em"][arm])
        assert means["false_answer"] == pytest.approx(metrics["false_answer_rate"][arm])


def test_exports_are_not_made_twice_and_follow_what_changes(
    exported: Project, tmp_path: Path
) -> None:
    assert exported.plan("exports") == Counter()
    assert not any("table" in rule or rule == "parquet" for rule in exported.plan())
    project = exported.copy_to(tmp_path / "copy")
    text = project.read("workflow_scripts/export/latex.py").replace("smallskip", "medskip")
    (project.root / "workflow_scripts/export/latex.py").write_text(text, encoding="utf-8")
    assert project.plan("exports") == Counter(table=2, table_of_all_trials=1, exports=1)
