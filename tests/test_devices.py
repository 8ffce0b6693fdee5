"""GPUs and the CPU are shared by jobs of local models."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import REPOSITORY
from test_telemetry import nvml  # noqa: F401 - a fixture

from workflow_scripts.backends.settings import BackendSettings

HOLDER = """
import os, sys, time
from pathlib import Path
from workflow_scripts.answers.devices import leased_gpu
with leased_gpu(Path(sys.argv[1]), os.environ):
    print(os.environ.get("CUDA_VISIBLE_DEVICES"), flush=True)
    sys.stdin.read()
"""


def hold(folder: Path, library: Path | None, **environment: str) -> subprocess.Popen[str]:
    """A process with a lease, which ends when its input does."""
    path = {"LD_LIBRARY_PATH": str(library)} if library else {}
    return subprocess.Popen(
        [sys.executable, "-c", HOLDER, folder],
        cwd=REPOSITORY,
        env={**os.environ, **path, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def leased(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_jobs_that_run_at_once_get_different_gpus(nvml: Path, tmp_path: Path) -> None:  # noqa: F811
    first, second = hold(tmp_path, nvml), hold(tmp_path, nvml)
    one, other = leased(first), leased(second)
    assert one != other
    assert {one[:4], other[:4]} == {"GPU-"}
    third = hold(tmp_path, nvml)
    first.kill()
    assert leased(third) == one
    for process in (first, second, third):
        process.kill()
        process.communicate()


@pytest.mark.parametrize("visible", ["1", "GPU-aaaa"])
def test_only_visible_gpus_are_leased(nvml: Path, tmp_path: Path, visible: str) -> None:  # noqa: F811
    process = hold(tmp_path, nvml, CUDA_VISIBLE_DEVICES=visible)
    assert leased(process) == visible  # the only one: nothing to choose
    process.communicate()
    assert not list(tmp_path.iterdir())


def test_without_a_driver_nothing_is_leased(tmp_path: Path) -> None:
    process = hold(tmp_path, None, CUDA_VISIBLE_DEVICES="")
    assert leased(process) == ""
    process.communicate()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("settings", "resource"),
    [
        ({"local_engine": "llama_cpp", "local_model": "m.gguf"}, "cpu_model"),
        ({"local_engine": "llama_cpp", "local_model": "m.gguf", "n_gpu_layers": -1}, "gpu"),
        ({"local_engine": "ollama", "local_model": "m"}, "gpu"),
        ({"local_engine": "ollama", "local_model": "m", "local_endpoint": "http://there:1"}, None),
        ({"backend": "openai_compatible", "local_endpoint": "http://localhost:8000"}, "gpu"),
        ({"backend": "openai_compatible", "local_endpoint": "http://10.0.0.1:8000"}, None),
        ({"backend": "openai"}, None),
    ],
)
def test_only_models_of_this_machine_take_turns(
    settings: dict[str, object], resource: str | None
) -> None:
    whole = {"backend": "local", "model_id": "m", **settings}
    assert BackendSettings.model_validate(whole).takes_turns_on == resource
