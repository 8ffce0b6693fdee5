"""The commands of the README and of the tutorial work word by word."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import (
    DEMO_COMMAND,
    REPOSITORY,
    NewClone,
    Project,
    clean_environment,
    find_program,
)
from labelling import export

TRIAL = "results/tutorial/llama_cpp/assay-demo/default/abstention"
MADE = {
    "README.md": (
        "results/demo/report.html",
        "results/brief/report.html",
        "results/own_data/report.html",
        "results/local_llamacpp/report.html",
    ),
    "docs/tutorial.md": (
        "data/questions.csv",
        "prompts/system/new.txt",
        "config/tutorial.yaml",
        "results/tutorial/plan.md",
        "results/tutorial/report.html",
        f"{TRIAL}/labels/page.html",
        "labels/tutorial.csv",
        "results/tutorial/gate.md",
    ),
}
"""Pages whose blocks are pasted one after the other, and a file that each block makes."""


def text_of(page: str) -> str:
    return (REPOSITORY / page).read_text(encoding="utf-8")


def blocks() -> Iterator[tuple[str, str, str, str]]:
    """Each block with its page, the output that the page shows right after it, and its file."""
    pattern = r"^```sh\n(.*?)^```$(?:\n\n^```\n(.*?)^```$)?"
    for page, made in MADE.items():
        found = re.findall(pattern, text_of(page), re.MULTILINE | re.DOTALL)
        for (block, output), file in zip(found, made, strict=True):
            yield page, block, output, file


@pytest.fixture(scope="module")
def readers(
    demo_run: Project, new_clone: NewClone, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Project]:
    """For each page the clone of somebody who pastes one block after the other.

    In that of README.md the first command has been run, on fewer items.
    """
    own = {page: new_clone(tmp_path_factory.mktemp("reader")) for page in MADE if "/" in page}
    return {"README.md": demo_run.copy_to(tmp_path_factory.mktemp("reader")), **own}


def test_the_demonstration_was_run_as_the_first_command_runs_it() -> None:
    command, _ = next(block for _, block, _, _ in blocks()).split("#", 1)
    assert command.split() == ["snakemake", *DEMO_COMMAND]


@pytest.mark.not_on_windows("the blocks are for a POSIX shell")
@pytest.mark.parametrize(("page", "block", "output", "made"), [*blocks()])
def test_every_block_can_be_pasted(
    readers: dict[str, Project], page: str, block: str, output: str, made: str
) -> None:
    reader = readers[page]
    if "labels.collect" in block:  # what the page asks people to do before
        export(reader.root / TRIAL, reader.root / "labels")
    environment = clean_environment()
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]])
    done = subprocess.run(
        ["/bin/sh", "-euc", block], cwd=reader.root, env=environment, check=False,
        capture_output=True, text=True, encoding="utf-8", timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert (reader.root / made).is_file()
    for line in output.splitlines():
        assert line.split("…")[0] in done.stdout


@pytest.mark.not_on_windows("the blocks are for a POSIX shell")
def test_all_samples_of_a_sampled_temperature_are_kept(readers: dict[str, Project]) -> None:
    """In the ready experiment, which the last block of README.md runs on 20 items per data set."""
    folder = "results/local_llamacpp/llama_cpp/assay-demo/default/abstention"
    reader = readers["README.md"]
    significance = json.loads(reader.read(f"{folder}/significance.json"))
    assert list(significance["results"]["treatment"]) == ["0.0", "0.7"]
    # 40 items × 2 arms × (1 greedy answer + 3 sampled ones)
    assert reader.read(f"{folder}/predictions.csv").count("llama_cpp-") == 40 * 2 * 4


def test_the_tutorial_quotes_its_page(readers: dict[str, Project]) -> None:
    """Runs after its blocks."""
    report = json.loads(readers["docs/tutorial.md"].read(f"{TRIAL}/report.json"))
    (verdict,) = report["verdicts"]
    lines = re.findall(r"^> (.*)$", text_of("docs/tutorial.md"), re.MULTILINE)
    quoted = " ".join(lines).removeprefix(f"**{verdict['label']}.** ")
    assert verdict["sentence"].startswith(quoted)


@pytest.mark.parametrize("page", MADE)
def test_links_lead_somewhere(page: str) -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text_of(page))
    folder = (REPOSITORY / page).parent
    missing = [each for each in links if "://" not in each and not (folder / each).exists()]
    assert not missing


@pytest.mark.not_on_windows("bash completes what is typed")
def test_the_tab_key_completes_targets_and_options(project: Project) -> None:
    """By the README's lines, in bash."""
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```bash\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    words = re.sub(r"^complete -o default -W (.*) snakemake$", r"words=\1", block, flags=re.DOTALL)
    asked = (
        'compgen -W "$words" -- stage_; compgen -W "$words" -- --unl; compgen -W "$words" -- doc'
    )
    done = subprocess.run(
        [find_program("bash"), "-c", f"set -eu\n{words}\n{asked}\n{block}\ncomplete -p snakemake"],
        cwd=project.root,
        env={
            **clean_environment(),
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        },
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
    )
    offered = done.stdout.splitlines()
    stages = [
        "stage_build",
        "stage_data",
        "stage_eval",
        "stage_parse",
        "stage_score",
        "stage_stats",
    ]
    assert offered[:8] == [*stages, "--unlock", "doctor"]
    assert "(" not in done.stdout
