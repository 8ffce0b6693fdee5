"""``doctor`` in projects that are really broken: one thing each, and it must be found."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import Project, clean_environment, clone
from servers.base import running
from servers.ollama import OllamaServer
from servers.openai import OpenAIServer

from workflow_scripts.backends.table import BACKENDS
from workflow_scripts.doctor import machine

CONFIG = "config/config.yaml"

OLLAMA = """\
backend: local
local_engine: ollama
local_model: {model}
local_endpoint: {url}
datasets:
  demo_open: {{format: jsonl, path: resources/demo/open_book.jsonl, task: open_book}}
prompt_sets:
  one: {{control: control, treatment: treatment}}
"""

HOSTED = """\
backend: openai
model_id: gpt-4o-mini
local_endpoint: {url}
datasets:
  demo_open: {{format: jsonl, path: resources/demo/open_book.jsonl, task: open_book}}
prompt_sets:
  one: {{control: control, treatment: treatment}}
"""

SECRET = "sk-proj-Ab9zQ7Ab9zQ7Ab9zQ7Ab9zQ7"  # noqa: S105 - of no account


@pytest.fixture
def broken(tmp_path: Path) -> Project:
    """A clone for a test to break; no Snakemake runs in it."""
    return clone(tmp_path / "clone")


def run(project: Project, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command in the project, with no key of the developer's own."""
    keys = {name for each in BACKENDS.values() for name in each.key_variables}
    environment = {name: value for name, value in clean_environment().items() if name not in keys}
    return subprocess.run(
        [sys.executable, "-m", "workflow_scripts.doctor", *arguments],
        cwd=project.root,
        env={**environment, **variables},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=120,
    )


def findings(project: Project, *arguments: str, **variables: str) -> list[dict[str, Any]]:
    """What the command finds, whose exit code must say the same."""
    done = run(project, "--json", *arguments, **variables)
    report = json.loads(done.stdout)
    assert report["schema_version"] == 1
    found: list[dict[str, Any]] = report["findings"]
    assert report["ready"] == all(each["state"] != "to do" for each in found)
    assert done.returncode == (0 if report["ready"] else 1)
    assert not done.stderr
    return found


def to_do(found: list[dict[str, Any]]) -> dict[str, str]:
    """By probe, what stops a run."""
    probes = dict.fromkeys(each["probe"] for each in found if each["state"] == "to do")
    return {
        probe: "\n".join(
            each["what"] for each in found if (each["probe"], each["state"]) == (probe, "to do")
        )
        for probe in probes
    }


def fix_of(found: list[dict[str, Any]], probe: str) -> str:
    (fix,) = {each["fix"] for each in found if each["probe"] == probe and each["state"] == "to do"}
    return str(fix)


def test_a_fresh_clone_is_ready(broken: Project) -> None:
    found = findings(broken)
    assert not to_do(found)
    assert {each["probe"] for each in found} == {
        *("python", "packages", "disk", "write access", "file locks", "snakemake lock"),
        *("compiler", "gpu", "config", "prompts", "data", "keys", "backends"),
    }
    for each in found:
        assert each.keys() == {"probe", "state", "what", "fix"}
        assert each["state"] in {"ok", "note"}
    assert not (broken.root / "results").exists()  # it looks, and leaves nothing behind
    assert not (broken.root / ".snakemake").exists()


def test_the_terminal_shows_the_same_with_the_fix(broken: Project) -> None:
    (broken.root / "resources/demo/open_book.jsonl").unlink()
    done = run(broken)
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert any(line.startswith("ok: python: Python 3.") for line in lines)
    assert any(line.startswith("to do: data: ") for line in lines)
    assert lines[-1] == "to do before a run can start: 1"


def test_a_broken_environment_is_reported_without_its_packages(broken: Project) -> None:
    done = subprocess.run(
        [sys.executable, "-S", "-m", "workflow_scripts.doctor", "--json"],
        cwd=broken.root,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    found = json.loads(done.stdout)["findings"]
    assert done.returncode == 1
    assert "package" in to_do(found)["packages"]
    assert fix_of(found, "packages") in {"make bootstrap", ".\\tasks.ps1 bootstrap"}
    assert "disk" not in to_do(found)


def test_packages_that_are_missing_or_other_than_pinned(broken: Project) -> None:
    broken.replace("requirements.txt", "filelock==", "no-such-package-of-assay==1.0\nfilelock==9")
    found = findings(broken)
    assert to_do(found) == {"packages": "not installed: no-such-package-of-assay"}
    (note,) = [each for each in found if each["probe"] == "packages" and each["state"] == "note"]
    assert "filelock" in note["what"]


def test_results_that_cannot_be_written(broken: Project) -> None:
    (broken.root / "results").write_text("a file in the folder's place", encoding="utf-8")
    found = findings(broken)
    assert set(to_do(found)) == {"write access"}
    assert "results/ cannot be written" in to_do(found)["write access"]


@pytest.mark.not_on_windows("Windows has no such rights")
def test_a_folder_without_the_right_to_write(
    broken: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    (broken.root / "results").symlink_to("/proc" if os.geteuid() == 0 else "/")
    monkeypatch.chdir(broken.root)
    results, _ = machine.write_access()
    assert results.state == "to do"


def test_mistakes_in_the_config_do_not_hide_the_machine(broken: Project) -> None:
    broken.replace(CONFIG, "parts_per_dataset:", "part_per_dataset:")
    found = findings(broken)
    assert set(to_do(found)) == {"config"}
    assert "part_per_dataset" in to_do(found)["config"]
    assert CONFIG in to_do(found)["config"]
    unknown = {each["probe"] for each in found if each["what"].startswith("not examined")}
    assert unknown == {"prompts", "data", "keys", "backends"}


def test_a_config_that_is_not_there(broken: Project) -> None:
    found = findings(broken, "--configfile", "config/mine.yaml")
    assert to_do(found) == {"config": "config/mine.yaml: no such file"}


def test_a_missing_prompt_and_a_missing_data_file(broken: Project) -> None:
    (broken.root / "prompts/system/treatment.txt").unlink()
    (broken.root / "resources/demo/closed_book.jsonl").unlink()
    found = findings(broken)
    assert set(to_do(found)) == {"prompts", "data"}
    assert "treatment.txt" in to_do(found)["prompts"]
    assert "closed_book.jsonl" in to_do(found)["data"]
    assert {"ok"} == {each["state"] for each in found if each["probe"] == "backends"}


def test_an_empty_prompt(broken: Project) -> None:
    (broken.root / "prompts/system/treatment.txt").write_text(" \n", encoding="utf-8")
    assert "the prompt is empty" in to_do(findings(broken))["prompts"]


def test_a_line_of_data_that_cannot_be_read(broken: Project) -> None:
    data = broken.root / "resources/demo/open_book.jsonl"
    lines = data.read_text(encoding="utf-8").splitlines()
    lines[6] = lines[6][:-9]
    data.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert "open_book.jsonl, line 7" in to_do(findings(broken))["data"]


def test_a_model_that_is_cut_off(broken: Project) -> None:
    model = broken.root / "resources/models/assay-demo.gguf"
    model.write_bytes(model.read_bytes()[:1000])
    found = findings(broken)
    assert set(to_do(found)) == {"backends"}
    assert "assay-demo.gguf" in to_do(found)["backends"]


def test_layers_on_a_gpu_that_is_not_there(broken: Project, tmp_path: Path) -> None:
    """With no driver, and with one that does not answer."""
    found = findings(broken, "--config", "n_gpu_layers=-1", PATH=str(Path(sys.executable).parent))
    if sys.platform != "darwin":
        assert "n_gpu_layers puts layers on a GPU" in to_do(found)["gpu"]
    assert {each["state"] for each in findings(broken) if each["probe"] == "gpu"} <= {"note", "ok"}


@pytest.mark.not_on_windows("the stand-in for the driver's tool is a shell script")
def test_a_driver_that_does_not_answer(broken: Project, tmp_path: Path) -> None:
    tool = tmp_path / "nvidia-smi"
    said = "Failed to initialize NVML: Driver/library version mismatch"
    tool.write_text(f"#!/bin/sh\necho '{said}'\nexit 18\n", encoding="utf-8")
    tool.chmod(0o755)
    path = os.pathsep.join([str(tmp_path), os.environ["PATH"]])
    found = findings(broken, "--config", "n_gpu_layers=-1", PATH=path)
    assert said in to_do(found)["gpu"]
    (gpu,) = [each for each in findings(broken, PATH=path) if each["probe"] == "gpu"]
    assert gpu["state"] == "note"


def test_servers_that_are_away_or_lack_the_model(broken: Project) -> None:
    path = broken.root / "config/ollama.yaml"
    with running(OllamaServer()) as server:
        path.write_text(OLLAMA.format(model="no-such:1b", url=server.url), encoding="utf-8")
        found = findings(broken, "--configfile", "config/ollama.yaml")
        assert set(to_do(found)) == {"backends"}
        assert "ollama pull no-such:1b" in to_do(found)["backends"]
    found = findings(broken, "--configfile", "config/ollama.yaml")
    assert set(to_do(found)) == {"backends"}
    assert server.url in to_do(found)["backends"]


def test_no_key_is_ever_shown(broken: Project) -> None:
    """Not one that is right, refused, malformed, or written where it does not belong."""
    path = broken.root / "config/hosted.yaml"
    environment = broken.root / ".env"
    with running(OpenAIServer()) as server:
        path.write_text(HOSTED.format(url=server.url), encoding="utf-8")
        assert set(to_do(findings(broken, "--configfile", "config/hosted.yaml"))) == {"keys"}
        shown = ""
        for line in (f"OPENAI_API_KEY={SECRET}", f"OPENAI_API_KEY='{SECRET} {SECRET}'", SECRET):
            environment.write_text(line + "\n", encoding="utf-8")
            for options in ([], ["--json"]):
                done = run(broken, "--configfile", "config/hosted.yaml", *options)
                shown += done.stdout + done.stderr
        environment.unlink()
        done = run(broken, "--configfile", "config/hosted.yaml", OPENAI_API_KEY=SECRET)
        shown += done.stdout
        address = server.url.replace("://", f"://user:{SECRET}@")
        path.write_text(HOSTED.format(url=address), encoding="utf-8")
        done = run(broken, "--configfile", "config/hosted.yaml")
        shown += done.stdout + done.stderr
    assert "OPENAI_API_KEY is set in .env" in shown
    assert "OPENAI_API_KEY is set in the environment" in shown
    assert "credentials do not belong" in shown
    assert SECRET not in shown


def test_paths_that_windows_cannot_name(broken: Project) -> None:
    assert not list(machine.path_length(Path("C:/projects/assay")))
    (note,) = machine.path_length(Path("C:/" + "folder/" * 20))
    assert note.state == "note"


@pytest.mark.not_on_windows("a process is killed by a signal")
def test_the_lock_of_a_killed_run_is_told_from_that_of_a_living_one(project: Project) -> None:
    (project.root / "Snakefile").write_text(
        f"rule all:\n    output: 'late'\n    shell: '\"{sys.executable}\" -c \"import time;"
        " time.sleep(300)\"'\n",
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "workflow_scripts.rules.snakemake_command"]
    with subprocess.Popen(
        [*command, "--cores", "1", "late"],
        cwd=project.root,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as snakemake:
        try:
            locks = project.root / ".snakemake/locks"
            while not (locks.is_dir() and any(locks.iterdir())):
                assert snakemake.poll() is None
                time.sleep(0.1)
            (alive,) = [each for each in findings(project) if each["probe"] == "snakemake lock"]
        finally:
            os.killpg(snakemake.pid, signal.SIGKILL)
    assert alive["state"] == "note"
    assert str(snakemake.pid) in alive["what"]
    found = findings(project)
    assert set(to_do(found)) == {"snakemake lock"}
    assert fix_of(found, "snakemake lock") == "snakemake --unlock"
    project.snakemake("--unlock")
    assert not to_do(findings(project))


def test_snakemake_doctor_works_where_snakemake_refuses_to_start(project: Project) -> None:
    (project.root / "Snakefile").write_text("no Python at all", encoding="utf-8")
    project.replace(CONFIG, "parts_per_dataset:", "part_per_dataset:")
    done = project.snakemake("--configfile", CONFIG, "doctor", "--json", check=False)
    assert set(to_do(json.loads(done.stdout)["findings"])) == {"config"}
    assert done.returncode == 1


def test_configs_are_laid_over_each_other_as_snakemake_does(broken: Project) -> None:
    (broken.root / "config/more.yaml").write_text("stats: {power: 7.5}\n", encoding="utf-8")
    layers = ("--configfile", CONFIG, "config/more.yaml", "--config", "stats={confidence: 2}")
    mistakes = to_do(findings(broken, *layers))["config"]
    assert "stats.power" in mistakes
    assert "stats.confidence" in mistakes
    found = findings(broken, ASSAY_LOCAL_MODEL="no/such.gguf")
    assert "no/such.gguf" in to_do(found)["config"]
    what = "the environment variable ASSAY_LOCAL_MODEL sets local_model"
    assert what in [each["what"] for each in found]
