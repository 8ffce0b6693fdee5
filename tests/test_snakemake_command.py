"""The environment's snakemake command: the command line as people type it."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from conftest import REPOSITORY, Project
from hypothesis import given
from hypothesis import strategies as st

from workflow_scripts.core.errors import UserError
from workflow_scripts.rules.snakemake_command import (
    check_overrides,
    config_files,
    force_targets,
    separate_targets,
)


@pytest.mark.parametrize(
    ("typed", "handed_over"),
    [
        (
            "--cores 8 --resources gpu=1 results/report.html",
            "--cores 8 --resources gpu=1 -- results/report.html",
        ),
        (
            "results/report.html --cores 8 --resources gpu=1",
            "results/report.html --cores 8 --resources gpu=1",
        ),
        (
            "--resources gpu=1 mem_mb=10 a b --cores 2 -n",
            "--resources gpu=1 mem_mb=10 --cores 2 -n -- a b",
        ),
        ("--config limit_items=3 all", "--config limit_items=3 -- all"),
        ("--resources gpu=1 -- all", "--resources gpu=1 -- all"),
        ("--resources=gpu=1 all", "--resources=gpu=1 all"),
        ("--dag results/report.html", "--dag -- results/report.html"),
        ("--rulegraph mermaid-js all", "--rulegraph mermaid-js -- all"),
        ("-q rules reason all -n", "-q rules reason all -n"),
        ("-q results/report.html", "-q -- results/report.html"),
        ("--configfile a.yaml b.yml all", "--configfile a.yaml b.yml -- all"),
        ("--configfile my.conf all", "--configfile my.conf -- all"),
        ("--configfile a.yaml results/x/plan.json", "--configfile a.yaml -- results/x/plan.json"),
        ("--configfile=a.yaml all", "--configfile=a.yaml all"),
        ("--config limit_items", "--config limit_items"),
        ("-n", "-n"),
        ("", ""),
    ],
)
def test_targets_are_told_from_values(typed: str, handed_over: str) -> None:
    assert separate_targets(typed.split()) == handed_over.split()


@pytest.mark.parametrize(
    ("typed", "files"),
    [
        ("--configfile a.yaml b.yml all", ["a.yaml", "b.yml"]),
        ("--configfile my.conf all", ["my.conf"]),
        ("--configfile=a.yaml all", ["a.yaml"]),
        ("all --configfiles a.yaml --cores 2", ["a.yaml"]),
        ("--configfile a.yaml -n all", ["a.yaml"]),
    ],
)
def test_targets_are_no_config_files(typed: str, files: list[str]) -> None:
    arguments = separate_targets(typed.split())
    assert [path.as_posix() for path in config_files(arguments)] == files


@pytest.mark.parametrize(
    ("entry", "advice"),
    [
        ("stats.confidence=0.9", '"stats={confidence: 0.9}"'),
        ("sweep.max_new_tokens.open_book=9", '"sweep={max_new_tokens: {open_book: 9}}"'),
        ("limit_items", "expected KEY=VALUE"),
        ("=3", "'' is no key"),
    ],
)
@pytest.mark.parametrize("option", ["--config {}", "-C {}", "--config={}"])
def test_an_override_that_snakemake_cannot_read_is_refused(
    entry: str, advice: str, option: str
) -> None:
    with pytest.raises(UserError, match=re.escape(advice)):
        check_overrides(separate_targets(option.format(entry).split()))


@pytest.mark.parametrize(
    ("typed", "handed_over"),
    [
        ("plan", "plan --forcerun plan plan_embeddings"),
        ("-n plan --cores 1", "-n plan --cores 1 --forcerun plan plan_embeddings"),
        ("--cores 1 -- plan", "--cores 1 --forcerun plan plan_embeddings -- plan"),
        ("gate", "gate --forcerun gate"),
        ("--cores 1 -- gate plan", "--cores 1 --forcerun plan plan_embeddings gate -- gate plan"),
        ("--until plan", "--until plan"),
        ("-R build -- plan", "-R build -- plan"),
        ("results/report.html", "results/report.html"),
    ],
)
def test_plan_and_gate_are_forced_where_they_are_targets(typed: str, handed_over: str) -> None:
    assert force_targets(typed.split()) == handed_over.split()


@given(st.lists(st.sampled_from(["--resources", "--cores", "8", "gpu=1", "target", "-n", "--"])))
def test_no_argument_is_lost_or_made_up(arguments: list[str]) -> None:
    kept = separate_targets(arguments)
    if "--" in arguments:
        assert kept == arguments
    else:
        assert sorted(each for each in kept if each != "--") == sorted(arguments)


def test_the_command_works_word_for_word(project: Project) -> None:
    typed = "--cores 8 --resources gpu=1 results/report.html"
    plan = project.plan(*typed.split())
    assert plan["infer"] == 12
    assert plan["front_page"] == 1


def test_local_models_take_turns(project: Project) -> None:
    """On the CPU; also when the command line replaces the profile's resources."""
    folder = "results/demo/llama_cpp/assay-demo/default/raw"
    parts = [f"{folder}/open_book.control.t0.0.p00{number}.jsonl" for number in range(2)]
    options = ("--cores", "4", "--config", "limit_items=4", "--forcerun", "infer")
    for limits, at_once in (("", 1), ("mem_mb=100000", 1), ("gpu=2", 1), ("cpu_model=2", 2)):
        resources = ["--resources", limits] if limits else []
        project.snakemake(*options, *resources, "--", *parts)
        assert most_at_once(project) == at_once, limits


def most_at_once(project: Project) -> int:
    """How many of the two jobs that ask a model ran at once in the last run."""
    running = most = 0
    asked = set()
    for line in project.last_log().splitlines():
        if started := re.match(r"Job (\d+): Ask", line):
            asked.add(started[1])
            running += 1
            most = max(most, running)
        elif (finished := re.match(r"Finished jobid: (\d+)", line)) and finished[1] in asked:
            running -= 1
    assert len(asked) == 2  # ready at the same time: one job makes their requests
    return most


def test_a_limit_that_limits_nothing_is_refused(project: Project) -> None:
    failed = project.snakemake("-n", "--resources", "gpu=0", check=False)
    assert failed.returncode != 0
    assert "gpu=0 would not keep local models from running" in failed.stderr


def test_dag_and_rulegraph_are_clean_graphviz(project: Project) -> None:
    for option in ("--dag", "--rulegraph"):
        graph = project.snakemake(option).stdout
        assert graph.startswith("digraph snakemake_dag {")
        assert graph.rstrip().endswith("}")


def test_no_call_of_snakemake_imports_scipy() -> None:
    """It would add some 0.3 s to each."""
    files = [REPOSITORY / "Snakefile", *(REPOSITORY / "rules").glob("*.smk")]
    texts = [path.read_text(encoding="utf-8") for path in files]
    imports = [
        line
        for text in texts
        for line in re.findall(r"^from workflow_scripts[\w.]* import [\w ,]+$", text, re.MULTILINE)
    ]
    assert len(imports) > 5
    code = "\n".join([*imports, "import sys", "sys.exit('scipy' in sys.modules)"])
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=False).returncode == 0
