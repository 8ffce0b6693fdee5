"""The README's commands work as they stand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import DEMO_COMMAND, REPOSITORY, Project, clean_environment

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
EXPERIMENTS = ("demo", "brief", "own_data", "local_llamacpp")


@pytest.fixture(scope="module")
def reader(demo_run: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The clone of somebody who pastes one block after the other.

    The first command has been run in it, on fewer items.
    """
    return demo_run.copy_to(tmp_path_factory.mktemp("reader"))


def test_the_demonstration_was_run_as_the_first_command_runs_it() -> None:
    command, _ = BLOCKS[0].split("#", 1)
    assert command.split() == ["snakemake", *DEMO_COMMAND]


@pytest.mark.not_on_windows("the blocks are for a POSIX shell")
@pytest.mark.parametrize(("block", "experiment"), [*zip(BLOCKS, EXPERIMENTS, strict=True)])
def test_every_block_can_be_pasted(reader: Project, block: str, experiment: str) -> None:
    environment = clean_environment()
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]])
    done = subprocess.run(
        ["/bin/sh", "-euc", block], cwd=reader.root, env=environment, check=False,
        capture_output=True, text=True, encoding="utf-8", timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert list((reader.root / "results" / experiment).rglob("report.html"))


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README)
    missing = [each for each in links if "://" not in each and not (REPOSITORY / each).exists()]
    assert not missing
