"""Telemetry: sampling this machine, faithful NVML, sums checked by hand, and the whole run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import REPOSITORY, Project

from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import read_settings
from workflow_scripts.core.records import Usage
from workflow_scripts.costs.records import LocalCosts
from workflow_scripts.telemetry.records import Attempt, read_attempts
from workflow_scripts.telemetry.sampler import Sampler
from workflow_scripts.telemetry.summary import Latency, summarise

MACHINE = {"started_at": "2026-11-30T12:00:00.000+00:00", "cores": 4, "memory_mb": 16000.0}

SAMPLING = """
import sys, time
from pathlib import Path
from workflow_scripts.core.logs import log_to
from workflow_scripts.core.records import Usage
from workflow_scripts.telemetry.sampler import Sampler
log_to(None)
path = Path(sys.argv[1])
with Sampler(path, True) as sampler:
    sampler.count(Usage(prompt_tokens=10, completion_tokens=4))
    while path.read_bytes().count(b"\\n") < 5:
        time.sleep(0.05)
"""


@pytest.fixture(scope="module")
def nvml(program: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a driver library with two GPUs, compiled from ``servers/nvml.c``."""
    folder = tmp_path_factory.mktemp("nvml")
    source = Path(__file__).parent / "servers" / "nvml.c"
    target = folder / "libnvidia-ml.so.1"
    subprocess.run([program("cc"), "-shared", "-fPIC", "-o", target, source], check=True)
    return folder


def sampled(path: Path, **environment: str) -> tuple[list[Attempt], str]:
    """What another process measures with the library; and its log."""
    done = subprocess.run(
        [sys.executable, "-c", SAMPLING, path],
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return list(read_attempts(path)), done.stderr


def test_gpus_are_measured_through_the_driver_library(nvml: Path, tmp_path: Path) -> None:
    [attempt], log = sampled(tmp_path / "t.jsonl", LD_LIBRARY_PATH=str(nvml))
    assert [gpu.name for gpu in attempt.machine.gpus] == ["Test GPU A", "Test GPU B"]
    assert log == ""
    for sample in attempt.samples:
        first, second = sample.gpus
        assert (first.utilisation_percent, first.memory_mb, first.power_w) == (80, 4000, 150)
        assert (first.temperature_c, first.clock_mhz) == (61, 1800)
        assert (second.memory_mb, second.power_w) == (5000, None)
    found = summarise([tmp_path / "t.jsonl"])
    assert found is not None
    assert found.energy_wh == pytest.approx(150 * found.measured_s / 3600, abs=2e-6)
    assert found.tokens_per_joule == round(4 / (found.energy_wh * 3600), 3)


@pytest.mark.parametrize(("visible", "seen"), [("1", [1]), ("GPU-aaaa", [0]), ("0,1", [0, 1])])
def test_gpus_that_the_process_may_not_use_are_left_out(
    nvml: Path, tmp_path: Path, visible: str, seen: list[int]
) -> None:
    environment = {"LD_LIBRARY_PATH": str(nvml), "CUDA_VISIBLE_DEVICES": visible}
    [attempt], _ = sampled(tmp_path / "t.jsonl", **environment)
    assert [gpu.index for gpu in attempt.machine.gpus] == seen
    assert {gpu.index for sample in attempt.samples for gpu in sample.gpus} == set(seen)


def test_memory_of_the_own_process_is_told_from_others(nvml: Path, tmp_path: Path) -> None:
    [attempt], _ = sampled(tmp_path / "t.jsonl", LD_LIBRARY_PATH=str(nvml), NVML_PID="1")
    assert {gpu.process_memory_mb for gpu in attempt.samples[0].gpus} == {None}
    code = SAMPLING.replace(
        "import sys, time", "import os, sys, time; os.environ['NVML_PID'] = str(os.getpid())"
    )
    environment = {**os.environ, "LD_LIBRARY_PATH": str(nvml)}
    subprocess.run(
        [sys.executable, "-c", code, tmp_path / "own.jsonl"],
        cwd=REPOSITORY, env=environment, check=True,
    )  # fmt: skip
    [own] = read_attempts(tmp_path / "own.jsonl")
    assert [gpu.process_memory_mb for gpu in own.samples[0].gpus] == [1234, None]


def test_a_driver_that_fails_half_way_is_said_once_and_the_rest_is_measured(
    nvml: Path, tmp_path: Path
) -> None:
    environment = {"LD_LIBRARY_PATH": str(nvml), "NVML_FAILS_AFTER": "2"}
    [attempt], log = sampled(tmp_path / "t.jsonl", **environment)
    assert [len(sample.gpus) for sample in attempt.samples[:3]] == [2, 2, 0]
    assert log.count("no longer answers (GPU is lost)") == 1
    found = summarise([tmp_path / "t.jsonl"])
    assert found is not None
    assert found.notes == ["the NVIDIA driver no longer answers (GPU is lost)"]
    assert found.gpus[0].utilisation_percent is not None


def test_without_a_gpu_it_says_so_once(tmp_path: Path) -> None:
    empty = tmp_path / "no-library"
    empty.mkdir()
    [attempt], log = sampled(tmp_path / "t.jsonl", CUDA_VISIBLE_DEVICES="")
    assert attempt.machine.gpus == []
    assert attempt.machine.note
    assert log.count("telemetry:") == 1


def test_attempts_follow_each_other_and_a_torn_line_spoils_none(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    with Sampler(path, True) as sampler:
        sampler.count(Usage(prompt_tokens=7, completion_tokens=3))
    with path.open("a", encoding="utf-8") as stream:
        stream.write('{"at_s":1.0,"answ')
    with Sampler(path, True) as sampler:
        sampler.count(Usage(prompt_tokens=5, completion_tokens=2, first_token_s=0.5))
    attempts = list(read_attempts(path))
    assert [each.samples[-1].answers for each in attempts] == [1, 1]
    found = summarise([path])
    assert found is not None
    assert (found.attempts, found.prompt_tokens, found.completion_tokens) == (2, 12, 5)
    assert found.first_token_s == Latency(mean=0.5, p50=0.5, p95=0.5)


def test_a_model_elsewhere_is_not_measured(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    with Sampler(tmp_path / "t.jsonl", False) as sampler:
        sampler.count(Usage(prompt_tokens=7, completion_tokens=3))
        assert set(threading.enumerate()) <= before
    assert (tmp_path / "t.jsonl").read_bytes() == b""
    assert summarise([tmp_path / "t.jsonl"]) is None


def test_sums_are_those_of_a_hand_made_file(tmp_path: Path) -> None:
    def sample(
        at: float, answers: int, tokens: int, cpu: float, watts: float, *first_token_s: float
    ) -> dict[str, object]:
        counts = {"answers": answers, "prompt_tokens": 0, "completion_tokens": tokens}
        use = {"cpu_percent": cpu, "machine_cpu_percent": cpu, "resident_mb": 10 * at}
        gpu = {"index": 0, "power_w": watts}
        return {
            "at_s": at,
            **counts,
            **use,
            "machine_memory_mb": 1.0,
            "gpus": [gpu],
            "first_token_s": first_token_s,
        }

    gpus = [{"index": 0, "name": "G", "memory_mb": 1.0}]
    lines = [
        {**MACHINE, "gpus": gpus},
        sample(1.0, 1, 10, 100.0, 100.0, 0.5),
        sample(4.0, 2, 40, 50.0, 200.0),
        {**MACHINE, "gpus": gpus},
        sample(2.0, 1, 20, 25.0, 300.0, 0.25, 0.75),
        {**MACHINE, "gpus": gpus},  # an attempt that found all answers in the journal
        sample(9.0, 0, 0, 0.0, 50.0),
    ]
    path = tmp_path / "t.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    found = summarise([path])
    assert found is not None
    # 1 s at 100 %, 3 s at 50 %, 2 s at 25 %; joules 100 + 600 + 600; 60 tokens in 6 s.
    assert (found.cpu_percent.mean, found.cpu_percent.peak) == (50.0, 100.0)
    assert (found.measured_s, found.answers, found.tokens_per_s) == (6.0, 3, 10.0)
    assert found.energy_wh == round(1300 / 3600, 6)
    assert found.tokens_per_joule == round(60 / 1300, 3)
    assert found.resident_mb.peak == 40.0
    assert found.first_token_s == Latency(mean=0.5, p50=0.5, p95=0.725)
    assert found.curves.at_s == [2.0, 4.0, 6.0]
    assert found.curves.tokens_per_s == [10.0, 10.0, 10.0]
    assert found.curves.gpu_power_w == [100.0, 200.0, 300.0]


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"id": 1}\n', encoding="utf-8")
    with pytest.raises(UserError, match="not a telemetry file"):
        list(read_attempts(path))


CONFIG = """\
experiment: measured
backend: local
local_engine: llama_cpp
local_model: resources/models/assay-demo.gguf
n_ctx: 1024
n_threads: 1
datasets:
  demo_open: {format: jsonl, path: resources/demo/open_book.jsonl, task: open_book}
limit_items: 12
prompt_sets:
  abstention: {control: control, treatment: treatment}
"""


def test_a_run_is_measured_and_turning_it_on_asks_nothing(project: Project) -> None:
    config = project.root / "config" / "measured.yaml"
    folder = project.root / "results/measured/llama_cpp/assay-demo/default"
    page = "results/report.html"
    config.write_text(CONFIG + "telemetry: true\n", encoding="utf-8")
    project.snakemake(page, "--cores", "2", "--configfile", str(config))
    costs = read_settings(folder / "abstention/local_costs.json", LocalCosts)
    assert {name: of.answers for name, of in costs.measured.items()} == {
        "control": 12,
        "treatment": 12,
    }
    assert all(of.first_token_s for of in costs.measured.values())
    text = (folder / "abstention/report.html").read_text(encoding="utf-8")
    assert "The machine while it answered" in text
    assert "Time to first token" in text
    measured = {path.name: path.read_bytes() for path in (folder / "telemetry").iterdir()}

    # All answers are in the journal: what was measured stays.
    raw = sorted((folder / "raw").glob("*.jsonl"))
    for path in raw:
        path.unlink()
    targets = [path.relative_to(project.root).as_posix() for path in raw]
    project.snakemake(*targets, page, "--cores", "2", "--configfile", str(config))
    for name, before in measured.items():
        again = (folder / "telemetry" / name).read_bytes()
        assert again.startswith(before)
        assert again != before
    costs_again = read_settings(folder / "abstention/local_costs.json", LocalCosts)
    assert costs_again.measured == costs.measured

    config.write_text(CONFIG, encoding="utf-8")
    assert project.plan(*targets, page, "--configfile", str(config))["infer"] == 0
