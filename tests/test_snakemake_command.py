"""The environment's snakemake command: the command line as people type it."""

from __future__ import annotations

import pytest
from conftest import Project
from hypothesis import given
from hypothesis import strategies as st

from workflow_scripts.snakemake_command import separate_targets


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
        ("-n", "-n"),
        ("", ""),
    ],
)
def test_targets_are_told_from_values(typed: str, handed_over: str) -> None:
    assert separate_targets(typed.split()) == handed_over.split()


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


def test_dag_and_rulegraph_are_clean_graphviz(project: Project) -> None:
    for option in ("--dag", "--rulegraph"):
        graph = project.snakemake(option).stdout
        assert graph.startswith("digraph snakemake_dag {")
        assert graph.rstrip().endswith("}")
