"""Snakemake runs the whole workflow on the embedded model, and re-runs exactly what it must."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections import Counter
from pathlib import Path

import pytest
from answering import journaled
from conftest import Project
from small_workflow import OLD, incomplete_marker, jobs_in

TRIAL = "results/demo/llama_cpp/assay-demo/default/abstention"
RAW = "results/demo/llama_cpp/assay-demo/default/raw"
AFTER_SCORE = Counter(
    score=2,
    unsupported_sensitivity=2,
    stats=2,
    cost_effectiveness=2,
    verification=2,
    trial_report=2,
    comparisons=1,
    front_page=1,
    index=1,
)
SCORES = [
    f"{folder}/per_item_scores.csv" for folder in (TRIAL, TRIAL.replace("abstention", "placebo"))
]


@pytest.fixture
def copy(demo_run: Project, tmp_path: Path) -> Project:
    """The finished run, to be changed."""
    return demo_run.copy_to(tmp_path / "copy")


def with_one_trial(project: Project) -> None:
    """Leave out the placebo."""
    project.replace(
        "config/config.yaml", "prompt_sets:", "default_prompt_set: abstention\nprompt_sets:"
    )


def journaled_digests(project: Project) -> list[str]:
    """The digests of all answers that were ever computed, in no order."""
    return [line["digest"] for line in journaled(project.root / "results/journal")]


def test_every_artifact_is_there(demo_run: Project) -> None:
    for name in (
        "answers.csv",
        "predictions.csv",
        "errors.csv",
        "per_item_scores.csv",
        "outcomes.csv",
        "unsupported_sensitivity.json",
        "significance.json",
        "selective_risk.json",
        "power.json",
        "local_costs.json",
        "costs.json",
        "cost_effectiveness.json",
        "usage.json",
        "usage_per_item.csv",
        "audit.json",
        "provenance.json",
        "report.html",
        "report.json",
    ):
        assert (demo_run.root / TRIAL / name).stat().st_size > 0, name
    compared = json.loads(demo_run.read("results/demo/comparisons.json"))
    assert {each["kind"] for each in compared["comparisons"]} == {"trials", "interaction"}
    # 3 prompts share 2 × 40 items; the control is asked once for both prompt sets
    assert len(journaled_digests(demo_run)) == 240
    assert demo_run.read(f"{TRIAL}/predictions.csv").count("\n") >= 161


def test_the_demonstration_moves_every_metric(demo_run: Project) -> None:
    significance = json.loads(demo_run.read(f"{TRIAL}/significance.json"))
    metrics = significance["results"]["treatment"]["0.0"]["open_book"]["metrics"]
    assert "unsupported_rate" in metrics
    assert all(abs(each["difference"]) > 0.1 for each in metrics.values())


def test_provenance_has_the_commands_that_snakemake_runs(copy: Project) -> None:
    found = json.loads(copy.read(f"{TRIAL}/provenance.json"))
    printed = " ".join(copy.snakemake("-n", "-p", "--forceall").stdout.split())
    for step in found["steps"]:
        assert step["command"] in printed, step["rule"]
        assert all((copy.root / name).is_file() for name in step["files"])
    for file in found["files"]:
        content = (copy.root / file["path"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == file["sha256"], file["path"]
    again = copy.snakemake("-n", found["steps"][-1]["files"][0], *found["options"].split())
    assert "Nothing to be done" in again.stdout + again.stderr


def test_a_dry_run_writes_no_settings(project: Project) -> None:
    assert project.plan()["settings"] == 1
    written = {path.name for path in (project.root / "results").rglob("*") if path.is_file()}
    assert written == {"config.json"}


def test_a_changed_scoring_setting_re_runs_scoring_onward_and_adds_its_settings(
    copy: Project,
) -> None:
    folder = copy.root / "results/demo/settings"
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    plan = copy.plan("--config", "abstention_phrases=['I pass']")
    assert plan == Counter(settings=1) + AFTER_SCORE
    copy.snakemake(*SCORES, "--cores", "2", "--config", "abstention_phrases=['I pass']")
    after = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert before.items() < after.items()
    assert copy.plan() == AFTER_SCORE


def test_edited_settings_are_refused(copy: Project) -> None:
    (path,) = (copy.root / "results/demo/settings").glob("score-*.json")
    path.write_text("{}", encoding="utf-8")
    refused = copy.snakemake("-n", check=False)
    assert refused.returncode != 0
    assert f"error: results/demo/settings/{path.name}: this file was edited" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_the_linter_misses_nothing_but_environments(project: Project) -> None:
    """Which come from requirements.txt: Snakemake knows conda environments alone."""
    done = project.snakemake("--lint", check=False)
    lints = re.findall(r"^ +\* (.+):$", done.stdout + done.stderr, re.MULTILINE)
    assert set(lints) == {"Specify a conda environment or container for each rule."}


def test_what_decides_nothing_re_runs_nothing(copy: Project) -> None:
    """Touched files, comments, docstrings, texts of help, and settings that decide no answer."""
    for path in copy.root.rglob("*"):
        if path.is_file() and "results" not in path.parts and ".snakemake" not in path.parts:
            os.utime(path)
    for path in (copy.root / "workflow_scripts").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        for start in ('"""', 'description="', 'help="'):
            text = text.replace(start, f"{start}Indeed, ", 1)
        path.write_text("# A remark.\n" + text, encoding="utf-8")
    options = ("--config", "n_threads=1", "max_retries=7", "request_timeout_s=5")
    assert "Nothing to be done" in copy.snakemake("--cores", "2", *options).stderr


def test_an_edited_treatment_re_runs_its_inference_and_what_follows(copy: Project) -> None:
    copy.replace("prompts/system/treatment.txt", "careful", "very careful")
    assert copy.plan() == Counter(
        build=2, infer=4, differences=1, parse=1, score=1, unsupported_sensitivity=1, stats=1,
        costs=1, cost_effectiveness=1, verification=1, trial_report=1, comparisons=1, front_page=1,
        index=1, settings=1,
    )  # fmt: skip
    before = set(journaled_digests(copy))
    copy.snakemake("--cores", "2", f"{TRIAL}/predictions.csv")
    asked = journaled_digests(copy)
    assert len(asked) == len(set(asked)) == len(before) + 80
    assert not copy.plan().keys() & {"build", "infer", "parse"}


def test_an_edited_scorer_re_runs_scoring_onward_and_sends_nothing(copy: Project) -> None:
    path = "workflow_scripts/metrics/text.py"
    (copy.root / path).write_text(copy.read(path) + "\nEDITED = True\n", encoding="utf-8")
    assert copy.plan() == AFTER_SCORE
    before = journaled_digests(copy)
    copy.snakemake("--cores", "2", *SCORES)
    assert journaled_digests(copy) == before


def test_files_that_older_ones_replaced_are_noticed(copy: Project) -> None:
    """As by ``mv``, ``cp -p``, ``rsync -a`` or ``unzip``: date and size tell nothing."""
    before = Counter[str]()
    for path, old, new, rules in (
        # The lengths of prompts are measured with the model's tokenizer.
        ("resources/models/assay-demo.gguf", "GGUF", "GGUX", {"infer": 12, "costs": 2}),
        # The instruction is in the requests of 3 prompts, the prompt in those of 2 tasks.
        ("prompts/tasks/open_book.txt", "Question", "question", {"build": 3}),
        ("prompts/system/treatment.txt", "careful", "hopeful", {"build": 4}),
        ("resources/demo/open_book.jsonl", "Leeds", "Paris", {"items": 1}),
    ):
        file = copy.root / path
        content = file.read_bytes()
        assert old.encode() in content
        other = file.with_name("other")
        other.write_bytes(content.replace(old.encode(), new.encode()))
        os.utime(other, (OLD, OLD))
        other.replace(file)
        found = copy.plan()
        assert {rule: found[rule] for rule in rules} == rules
        assert any(before[rule] != found[rule] for rule in rules)
        before = found


def run_jobs(copy: Project) -> Counter[str]:
    """Run the project and count the jobs of each rule that were run; then all must be done."""
    copy.snakemake("--cores", "2")
    jobs = jobs_in(copy.last_log())
    assert copy.plan() == Counter()
    return jobs


def edit_question(copy: Project, *, in_sample: bool, edit: dict[str, object]) -> None:
    """Change one line of the data set of open_book."""
    asked = copy.read("results/demo/items/open_book.jsonl").splitlines()
    ids = {json.loads(line)["id"] for line in asked}
    path = copy.root / "resources/demo/open_book.jsonl"
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    wanted = (each for each in records if (each["id"] in ids) == in_sample and each.get("answers"))
    next(wanted).update(edit)
    text = "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in records)
    path.write_text(text, encoding="utf-8")


def test_a_changed_gold_answer_is_scored_and_asks_nothing(copy: Project) -> None:
    edit_question(copy, in_sample=True, edit={"answers": ["something else"]})
    jobs = run_jobs(copy)
    assert jobs == Counter(items=1) + AFTER_SCORE
    assert "something else" in copy.read("results/demo/items/open_book.jsonl")
    assert "something else" not in copy.read("results/demo/questions/open_book.jsonl")


def test_a_line_outside_the_sample_prepares_the_items_alone(copy: Project) -> None:
    edit_question(copy, in_sample=False, edit={"question": "Which other one?"})
    assert run_jobs(copy) == Counter(items=1)


def test_requests_that_come_out_equal_are_not_sent(copy: Project) -> None:
    path = "workflow_scripts/requests/parts.py"
    (copy.root / path).write_text(copy.read(path) + "\nEDITED = True\n", encoding="utf-8")
    assert run_jobs(copy) == Counter(build=6)


def test_results_that_were_copied_are_as_good_as_the_first(copy: Project) -> None:
    shutil.rmtree(copy.root / ".snakemake")
    (copy.root / "results").rename(copy.root / "before")
    shutil.copytree(copy.root / "before", copy.root / "results", copy_function=shutil.copyfile)
    assert copy.plan() == Counter()
    path = "workflow_scripts/comparisons/contrasts.py"
    (copy.root / path).write_text(copy.read(path) + "\nEDITED = True\n", encoding="utf-8")
    assert copy.plan()["stats"] == 2


def interrupt_at_the_check(copy: Project) -> None:
    """What a kill leaves that comes while a first run looks at the backend."""
    check = "results/demo/llama_cpp/assay-demo/check.txt"
    text = copy.read(check)
    shutil.rmtree(copy.root / "results/demo/llama_cpp")
    (copy.root / "results/report.html").unlink()
    (copy.root / check).parent.mkdir(parents=True)
    (copy.root / check).write_text(text, encoding="utf-8")
    (copy.root / incomplete_marker(check)).write_text("{}", encoding="utf-8")


def test_a_run_that_was_interrupted_at_the_check_goes_on(copy: Project) -> None:
    with_one_trial(copy)
    interrupt_at_the_check(copy)
    copy.snakemake("--cores", "2")
    assert (copy.root / "results/report.html").is_file()
    assert copy.plan() == Counter()


def test_a_run_without_its_target_fails_and_names_it(copy: Project) -> None:
    copy.replace("rules/infer.smk", "checked=LAYOUT.check", "checked=ancient(LAYOUT.check)")
    interrupt_at_the_check(copy)
    ended = copy.snakemake("--cores", "2", "results/report.html", check=False)
    assert "(100%) done" in copy.last_log()
    assert "error: results/report.html was not made" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.returncode == 1


ONLY_REQUIREMENTS = """
import pkgutil
import sys
from importlib.machinery import PathFinder
from importlib.metadata import packages_distributions

def name(text):
    return text.strip().lower().replace("_", "-").replace(".", "-")

pins = open({requirements!r}, encoding="utf-8")
installed = {{name(line.split("==")[0]) for line in pins}} | {{"assay-workflow"}}
missing = {{
    module for module, packages in packages_distributions().items()
    if not installed & {{name(each) for each in packages}}
}}

class Installed(PathFinder):
    @classmethod
    def find_spec(cls, fullname, path=None, target=None):
        if fullname.partition(".")[0] not in missing:
            return super().find_spec(fullname, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Installed

# Snakemake looks for its plugins by their names.
all_modules = pkgutil.iter_modules
pkgutil.iter_modules = lambda *arguments: (
    each for each in all_modules(*arguments) if each.name not in missing
)
"""
"""A sitecustomize.py: packages that only the tests need are not there."""


def test_commands_need_no_more_than_the_requirements(
    copy: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = ONLY_REQUIREMENTS.format(requirements=str(copy.root / "requirements.txt"))
    (tmp_path / "sitecustomize.py").write_text(text, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert copy.run("-c", "import hypothesis", check=False).returncode != 0
    copy.snakemake("--report", "report.zip")
    assert (copy.root / "report.zip").stat().st_size > 0
    # One of each kind of `snakemake exports`.
    names = ("predictions.parquet", "table.md", "inspect/closed_book.control.t0.0.eval")
    copy.snakemake("--cores", "2", *(f"{TRIAL}/{name}" for name in names))
    assert all((copy.root / TRIAL / name).stat().st_size > 0 for name in names)


def test_the_plan_is_counted_and_shown_each_time(copy: Project) -> None:
    for _ in range(2):
        shown = copy.snakemake("--cores", "1", "plan").stdout
        assert copy.read("results/demo/plan.md") in shown


def test_a_deleted_raw_part_is_made_again_without_inference(copy: Project) -> None:
    part = f"{RAW}/open_book.control.t0.0.p001.jsonl"
    text = copy.read(part)
    (copy.root / part).unlink()
    before = journaled_digests(copy)
    copy.snakemake("--cores", "2")
    assert copy.read(part) == text
    assert journaled_digests(copy) == before


def test_every_file_from_the_items_on_is_made_again_if_it_is_gone(copy: Project) -> None:
    (copy.root / "results/demo/inputs/default/open_book.polite.t0.0.p001.jsonl").unlink()
    assert copy.plan()["build"] == 1
    (copy.root / "results/demo/items/closed_book.jsonl").unlink()
    assert copy.plan()["items"] == 1


def test_parts_cut_anew_send_nothing(copy: Project) -> None:
    copy.replace("config/config.yaml", "parts_per_dataset: 2", "parts_per_dataset: 3")
    before = journaled_digests(copy)
    predictions = copy.read(f"{TRIAL}/predictions.csv").splitlines()
    copy.snakemake("--cores", "2", f"{TRIAL}/predictions.csv")
    assert journaled_digests(copy) == before
    assert sorted(copy.read(f"{TRIAL}/predictions.csv").splitlines()) == sorted(predictions)


def test_failed_requests_are_counted_and_asked_alone_once_they_can_be_answered(
    copy: Project,
) -> None:
    # One question that does not fit into the context fails; all others are answered.
    source = copy.root / "resources/demo/closed_book.jsonl"
    lines = source.read_text(encoding="utf-8").splitlines()[:40]
    record = json.loads(lines[0])
    long = json.dumps({**record, "id": "too-long", "question": "Which " * 400 + "?"})
    source.write_text("\n".join([long, *lines]) + "\n", encoding="utf-8")
    copy.replace("config/config.yaml", "limit_items: 40", "limit_items: 41")
    copy.replace("config/config.yaml", "parts_per_dataset: 2\n", "")
    copy.replace("config/config.yaml", "n_ctx: 1024", "n_ctx: 300")
    with_one_trial(copy)
    tables = (f"{TRIAL}/errors.csv", f"{TRIAL}/local_costs.json")
    copy.snakemake("--cores", "2", *tables)

    errors = copy.read(f"{TRIAL}/errors.csv").splitlines()
    assert [row.split(",")[2] for row in errors[1:]] == ["too-long", "too-long"]
    assert "too-long" not in copy.read(f"{TRIAL}/predictions.csv")
    costs = json.loads(copy.read(f"{TRIAL}/local_costs.json"))["by_condition"]
    assert costs["control"]["failed"] == costs["treatment"]["failed"] == 1
    assert "do not fit into n_ctx=300" in errors[1]

    # Each run tries them again; that the settings are the same says nothing about a server.
    before = journaled_digests(copy)
    assert copy.plan()["infer"] == 2

    # Once they can be answered they are, and then nothing is left to do.
    copy.replace("config/config.yaml", "n_ctx: 300", "n_ctx: 1024")
    copy.snakemake("--cores", "2", *tables)
    logs = (copy.root / "results/demo/logs/infer").rglob("*.log")
    told = [path.read_text(encoding="utf-8") for path in logs]
    assert sum("41 requests, 40 answered before, 1 to send" in each for each in told) == 2
    assert copy.plan(*tables) == Counter()
    assert len(copy.read(f"{TRIAL}/errors.csv").splitlines()) == 1
    assert len(journaled_digests(copy)) == len(before) + 2


def test_too_many_failures_stop_the_trial_with_the_reason(copy: Project) -> None:
    shutil.rmtree(copy.root / "results/journal")
    copy.replace("config/config.yaml", "n_ctx: 1024", "n_ctx: 140")  # too short for some
    failed = copy.snakemake("--cores", "2", f"{TRIAL}/predictions.csv", check=False)
    assert failed.returncode != 0
    assert "more than max_failure_share=0.05 allows" in failed.stderr
    assert "do not fit into n_ctx=140" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_another_name_for_a_backend_asks_nothing_again(copy: Project) -> None:
    copy.replace("config/config.yaml", "prompt_sets:", "backends: {embedded: {}}\nprompt_sets:")
    before = journaled_digests(copy)
    predictions = f"{TRIAL.replace('llama_cpp', 'embedded')}/predictions.csv"
    copy.snakemake("--cores", "2", predictions)
    assert copy.read(predictions) == copy.read(f"{TRIAL}/predictions.csv")
    assert journaled_digests(copy) == before


def test_each_part_of_each_prompt_is_one_inference_job(project: Project) -> None:
    plan = project.plan("--config", "parts_per_dataset=125", "default_prompt_set=abstention")
    assert plan["infer"] == 500
