"""The demonstration with a storage provider: jobs read and write copies of files elsewhere."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
from conftest import Project

from workflow_scripts.core.placed import folder_of

COPY = """\
#!{python}
import shutil, sys
source, target = (each for each in sys.argv[1:] if not each.startswith("-"))
shutil.copy2(source, target)
"""
"""The storage provider copies files by rsync. All that it needs of it, for machines without it."""


@pytest.fixture
def rsync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("rsync") is None:
        program = tmp_path / "bin/rsync"
        program.parent.mkdir()
        program.write_text(COPY.format(python=sys.executable), encoding="utf-8")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", os.pathsep.join([str(program.parent), os.environ["PATH"]]))


@pytest.mark.not_on_windows("the storage provider needs rsync")
@pytest.mark.usefixtures("rsync")
def test_the_demonstration_runs_with_a_storage_provider(project: Project) -> None:
    project.replace(
        "config/config.yaml",
        "parts_per_dataset: 2",
        "limit_items: 4\nparts_per_dataset: 1\ndefault_prompt_set: abstention",
    )
    options = ("--default-storage-provider", "fs")
    project.snakemake("--cores", "2", *options)
    command = next(line for line in project.last_log().splitlines() if "scoring.items" in line)
    assert "--predictions .snakemake/storage/fs/results/demo/" in command
    trial = "results/demo/llama_cpp/assay-demo/default/abstention"
    assert project.read(f"{trial}/predictions.csv").count("\n") == 1 + 2 * 2 * 4
    assert "Verified" in project.read(f"{trial}/report.html")
    assert (project.root / "results/report.html").is_file()
    assert not project.plan(*options)


@pytest.mark.parametrize(
    ("settings", "folder"),
    [
        ("results/e/settings/a.json", "."),
        ("copies/results/e/settings/a.json", "copies"),
        ("/copies/results/e/settings/a.json", "/copies"),
        ("settings.json", "."),
        ("results/settings.json", "."),
    ],
)
def test_paths_in_settings_start_beside_the_results(settings: str, folder: str) -> None:
    assert folder_of(Path(settings)) == Path(folder)
