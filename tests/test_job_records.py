"""The records of how files were made lie with the results, and go where they go."""

from __future__ import annotations

import shutil
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from small_workflow import OLD, Workflow

pytestmark = pytest.mark.workflow

RULES = """
rule all:
    input: "results/b.txt"

rule a:
    input: "in.txt"
    output: "results/a.txt"
    params: NUMBER
    shell: "{UPPER} {input}"

rule b:
    input: "results/a.txt"
    output: "results/b.txt"
    shell: "{UPPER} {input}"
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    workflow = Workflow.of(tmp_path_factory.mktemp("built"), "NUMBER = 1\n" + RULES)
    workflow.write("in.txt", "text", OLD)
    assert workflow.jobs() == Counter("ab")
    return workflow


@pytest.fixture
def made(built: Workflow, tmp_path: Path) -> Workflow:
    return built.copy_to(tmp_path)


def without_snakemakes_own(made: Workflow) -> None:
    shutil.rmtree(made.root / ".snakemake")


def copied_with_new_time_stamps(made: Workflow) -> None:
    results = made.root / "results"
    results.rename(made.root / "before")
    # b first, so that each input is newer than its output
    for name in ("b.txt", "a.txt"):
        (made.root / "results").mkdir(exist_ok=True)
        shutil.copyfile(made.root / "before" / name, made.root / "results" / name)
    shutil.copytree(made.root / "before", results, ignore=lambda *_: ["a.txt", "b.txt"],
                    copy_function=shutil.copyfile, dirs_exist_ok=True)  # fmt: skip
    shutil.rmtree(made.root / ".snakemake")


def sent_as_an_archive(made: Workflow) -> None:
    archive = shutil.make_archive(str(made.root / "sent"), "zip", made.root, "results")
    shutil.rmtree(made.root / "results")
    shutil.rmtree(made.root / ".snakemake")
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(made.root)


@pytest.mark.parametrize(
    "moved", [without_snakemakes_own, copied_with_new_time_stamps, sent_as_an_archive]
)
def test_a_copy_hides_no_change_and_re_runs_nothing_that_is_equal(
    made: Workflow, moved: Callable[[Workflow], None]
) -> None:
    moved(made)
    assert made.is_done()
    made.write("Snakefile", made.read("Snakefile").replace("NUMBER = 1", "NUMBER = 2"))
    assert made.jobs() == Counter("a")
    assert made.is_done()


def test_records_of_older_versions_are_taken_over(made: Workflow) -> None:
    """Which kept them where Snakemake does."""
    for name in ("metadata", "incomplete"):
        shutil.rmtree(made.root / ".snakemake" / name, ignore_errors=True)
        (made.root / "results/job_records" / name).rename(made.root / ".snakemake" / name)
    (made.root / "results/job_records").rmdir()
    made.write("Snakefile", made.read("Snakefile").replace("NUMBER = 1", "NUMBER = 2"))
    assert made.jobs() == Counter("a")
    assert any((made.root / "results/job_records/metadata").iterdir())


def test_records_of_other_results_are_not_mixed_in(made: Workflow) -> None:
    """A folder of results that somebody sent keeps its own."""
    shutil.copytree(made.root / "results/job_records", made.root / ".snakemake",
                    dirs_exist_ok=True)  # fmt: skip
    made.write("Snakefile", made.read("Snakefile").replace("NUMBER = 1", "NUMBER = 2"))
    made.run()
    assert made.is_done()
