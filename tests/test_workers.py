"""Parts of one model are answered by one process; each remains a job of its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from answering import demo_settings, request
from conftest import REPOSITORY, clean_environment
from local_backends import Backend
from small_workflow import Workflow

from workflow_scripts.answers.sender import Sender
from workflow_scripts.answers.settings import InferSettings
from workflow_scripts.backends.settings import BackendSettings
from workflow_scripts.core.files import read_jsonl, write_jsonl
from workflow_scripts.core.records import RawLine
from workflow_scripts.rules.workers import HandedOver, Workers

MODEL = REPOSITORY / "resources/models/assay-demo.gguf"

PARTS = """
from workflow_scripts.rules import workers

started = workers.Workers._new

def noted(*arguments):
    worker = started(*arguments)
    print(f"worker {worker.process.pid}", flush=True)
    return worker

workers.Workers._new = noted
workers.install()

rule all:
    input: expand("raw/{part}.jsonl", part=["a", "b", "bad", "c"])

rule infer:
    input: "inputs/{part}.jsonl"
    output: "raw/{part}.jsonl"
    log: "logs/{part}.log"
    benchmark: "benchmarks/{part}.tsv"
    params: settings="settings.json"
    shell:
        "python -m workflow_scripts.answers.send --requests {input}"
        " --settings {params.settings} --journal results/journal"
        " --telemetry  --output {output} 2> {log}"
"""


def write_parts(root: Path, *names: str) -> None:
    settings = InferSettings(backend=demo_settings(MODEL), max_retries=0)
    for each in ("settings.json", "other.json"):
        (root / each).write_text(settings.model_dump_json(), encoding="utf-8")
    for number, name in enumerate(names):
        write_jsonl(root / f"inputs/{name}.jsonl", [request(number)])


def test_one_process_answers_the_parts_of_a_run_and_a_part_fails_alone(tmp_path: Path) -> None:
    workflow = Workflow.of(tmp_path, PARTS)
    write_parts(tmp_path, "a", "b", "c")
    (tmp_path / "inputs/bad.jsonl").write_text("{}\n", encoding="utf-8")
    with workflow.start("--keep-going", "--printshellcmds") as process:
        output, log = process.communicate(timeout=600)
    assert process.returncode == 1, log
    # The failed part ends its process, so the parts behind it get another.
    assert output.count("worker ") in (1, 2), output
    for name in "abc":
        (line,) = read_jsonl(tmp_path / f"raw/{name}.jsonl", RawLine)
        assert line.response_text is not None
        assert f"{name}: 1 requests" in workflow.read(f"logs/{name}.log")
        assert (tmp_path / f"benchmarks/{name}.tsv").exists()
    assert not (tmp_path / "raw/bad.jsonl").exists()
    assert "bad.jsonl, line 1" in workflow.read("logs/bad.log")
    assert "python -m workflow_scripts.answers.send --requests inputs/a.jsonl" in log


@pytest.fixture
def workers() -> Iterator[Workers]:
    made = Workers()
    yield made
    made.close()


def start(workers: Workers, name: str, settings: str = "settings.json") -> HandedOver:
    command = (
        "python -m workflow_scripts.answers.send"
        f" --requests inputs/{name}.jsonl --settings {settings}"
        f" --journal results/journal --telemetry  --output raw/{name}.jsonl 2> {name}.log"
    )
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**clean_environment(), "PYTHONPATH": str(REPOSITORY), "PATH": path}
    job = workers.start(command, env=environment)
    assert isinstance(job, HandedOver)
    return job


def test_one_sender_asks_a_server_for_several_parts(of_openai: Backend, tmp_path: Path) -> None:
    """Each part has an event loop of its own, and requests of one wait for each other."""
    settings = BackendSettings.model_validate(of_openai.settings)
    with Sender(InferSettings(backend=settings, max_retries=0), tmp_path / "journal") as sender:
        for part in range(2):
            requests, raw = tmp_path / f"{part}.jsonl", tmp_path / f"raw-{part}.jsonl"
            write_jsonl(requests, [request(10 * part + number) for number in range(8)])
            sender.answer(requests, raw, None)
            assert all(line.error is None for line in read_jsonl(raw, RawLine))


def test_a_killed_process_is_replaced_and_another_model_takes_its_place(
    workers: Workers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_parts(tmp_path, "a", "b", "c")
    first = start(workers, "a")
    assert first.wait() == 0
    first.kill()
    second = start(workers, "b")
    if second.wait() != 0:  # it was handed over just before the process was gone
        second = start(workers, "b")
        assert second.wait() == 0
    assert second.pid != first.pid
    assert [each.process.pid for each in workers._idle] == [second.pid]
    third = start(workers, "c", "other.json")  # a model is in the way
    assert third.wait() == 0
    assert [each.process.pid for each in workers._idle] == [third.pid]
    workers.close()
    assert not workers._idle
    assert all((tmp_path / f"raw/{name}.jsonl").exists() for name in "abc")


@pytest.mark.parametrize(
    "command",
    [
        "python -m workflow_scripts.answers.send --requests a 2> a.log; true",
        "source activate x; python -m workflow_scripts.answers.send --requests a 2> a.log",
        f"{sys.executable} -c pass",
    ],
)
def test_other_commands_run_as_they_are(
    workers: Workers, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    process = workers.start(command, env=dict(os.environ), shell=True)  # noqa: S604 - as Snakemake
    assert not isinstance(process, HandedOver)
    process.wait()
    assert not workers._idle
