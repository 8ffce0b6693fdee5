"""The README's commands work as they stand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import REPOSITORY, Project, clean_environment

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


@pytest.mark.skipif(os.name == "nt", reason="the blocks are for a POSIX shell")
def test_every_block_can_be_pasted(project: Project) -> None:
    assert len(BLOCKS) == 4
    environment = clean_environment()
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]])
    for block in BLOCKS:
        done = subprocess.run(
            ["/bin/sh", "-euc", block], cwd=project.root, env=environment, check=False,
            capture_output=True, text=True, encoding="utf-8", timeout=600,
        )  # fmt: skip
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
    for experiment in ("demo", "brief", "own_data", "local_llamacpp"):
        assert list((project.root / "results" / experiment).rglob("report.html")), experiment


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README)
    missing = [each for each in links if "://" not in each and not (REPOSITORY / each).exists()]
    assert not missing
