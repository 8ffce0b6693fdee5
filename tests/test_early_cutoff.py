"""A job whose inputs come out equal does not run, and no other job is left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from small_workflow import OLD, Workflow, incomplete_marker

pytestmark = pytest.mark.workflow

CHAIN = """
rule all:
    input: "results/d.txt", "results/e.txt"

rule a:
    input: "in.txt"
    output: "results/a.txt"
    shell: "{UPPER} {input}"

rule b:
    input: "results/a.txt", "side.txt"
    output: "results/b.txt"
    params: number=NUMBER
    shell: "{UPPER} {input}"

rule c:
    input: "results/b.txt"
    output: "results/c.txt", "results/c2.txt"
    shell: "python upper.py {output[0]} {input} && python upper.py {output[1]} {input}"

rule d:
    input: "results/c.txt"
    output: "results/d.txt"
    shell: "{UPPER} {input}"

rule e:
    input: "results/c2.txt", "results/a.txt"
    output: "results/e.txt"
    shell: "{UPPER} {input}"
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    made = Workflow.of(tmp_path_factory.mktemp("chain"), "NUMBER = 1\n" + CHAIN)
    made.write("in.txt", "text", OLD)
    made.write("side.txt", "side", OLD)
    assert made.jobs() == Counter("abcde")
    assert made.is_done()
    return made


@pytest.fixture
def chain(built: Workflow, tmp_path: Path) -> Workflow:
    made = built.copy_to(tmp_path)
    made.write("in.txt", "Text")  # rule a runs, and makes what it made before
    return made


def change_a_param(chain: Workflow) -> None:
    chain.write("Snakefile", chain.read("Snakefile").replace("NUMBER = 1", "NUMBER = 2"))


@pytest.mark.parametrize(
    ("change", "options", "runs"),
    [
        (lambda chain: None, (), "a"),
        (lambda chain: chain.write("in.txt", "other"), (), "abcde"),
        (lambda chain: chain.write("side.txt", "Side"), (), "ab"),
        (lambda chain: chain.write("side.txt", "other", OLD), (), "abcde"),
        (lambda chain: chain.write("results/b.txt", "edited"), (), "acde"),
        (change_a_param, (), "ab"),
        (lambda chain: (chain.root / "results/c2.txt").unlink(), (), "ac"),
        (lambda chain: (chain.root / "results/d.txt").unlink(), (), "ad"),
        (lambda chain: None, ("--forcerun", "c"), "ac"),
        (lambda chain: None, ("--force", "results/d.txt"), "ad"),
        (lambda chain: None, ("--forceall",), "abcde"),
        (lambda chain: None, ("--until", "b"), "a"),
    ],
)
def test_exactly_the_jobs_with_other_inputs_run(
    chain: Workflow, change: Callable[[Workflow], None], options: tuple[str, ...], runs: str
) -> None:
    change(chain)
    assert chain.jobs(*options) == Counter(runs)
    assert chain.is_done()


def test_the_log_names_the_jobs_that_did_not_run_and_counts_them_as_done(chain: Workflow) -> None:
    log = chain.run()
    assert "Not run, because all inputs came out equal: b × 1, c × 1, d × 1, e × 1" in log
    assert "6 of 6 steps (100%) done" in log


def test_a_dry_run_lists_all_jobs_that_may_run(chain: Workflow) -> None:
    listed = chain.run("-n")
    assert all(f"rule {name}:" in listed for name in "abcde")


def test_touched_outputs_are_recorded_for_all_jobs(chain: Workflow) -> None:
    chain.run("--touch")
    assert chain.is_done()


def test_an_incomplete_output_is_made_again(chain: Workflow) -> None:
    marker = chain.root / incomplete_marker("results/c.txt")
    marker.write_text("{}", encoding="utf-8")
    assert chain.jobs("--rerun-incomplete") == Counter("ac")
    assert not marker.exists()


def test_a_job_without_a_record_runs(chain: Workflow) -> None:
    chain.run("--cleanup-metadata", "results/c2.txt")
    assert chain.jobs() == Counter("ac")


CHECKPOINT = """
def behind(wildcards):
    name = open(checkpoints.choose.get().output[0]).read().strip().lower()
    return f"results/{name}.txt"

rule all:
    input: "results/last.txt"

rule first:
    input: "in.txt"
    output: "results/first.txt"
    shell: "{UPPER} {input}"

checkpoint choose:
    input: "results/first.txt"
    output: "results/chosen.txt"
    shell: "{UPPER} {input}"

rule one:
    input: "results/first.txt"
    output: "results/one.txt"
    shell: "{UPPER} {input}"

rule two:
    input: "results/first.txt"
    output: "results/two.txt"
    shell: "{UPPER} {input}"

rule last:
    input: behind
    output: "results/last.txt"
    shell: "{UPPER} {input}"
"""


def test_a_run_that_was_interrupted_at_a_checkpoint_goes_on(tmp_path: Path) -> None:
    workflow = Workflow.of(tmp_path, CHECKPOINT)
    workflow.write("in.txt", "one", OLD)
    workflow.run("results/chosen.txt")
    (tmp_path / incomplete_marker("results/chosen.txt")).write_text("{}", encoding="utf-8")
    assert workflow.jobs("--rerun-incomplete") == Counter(["choose", "one", "last"])
    assert workflow.is_done()


def test_the_jobs_behind_a_checkpoint_follow_it(tmp_path: Path) -> None:
    workflow = Workflow.of(tmp_path, CHECKPOINT)
    workflow.write("in.txt", "one", OLD)
    assert workflow.jobs() == Counter(["first", "choose", "one", "last"])
    workflow.write("in.txt", "One")
    assert workflow.jobs() == Counter(["first"])
    assert workflow.is_done()
    workflow.write("in.txt", "two")
    assert workflow.jobs() == Counter(["first", "choose", "two", "last"])
    assert workflow.is_done()
