"""The client of OpenAI-compatible servers against real ones."""

from __future__ import annotations

import csv
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from conftest import REPOSITORY, Project
from local_backends import (
    Backend,
    chat,
    ollama_settings,
)
from servers.base import running
from servers.ollama import OllamaServer

from workflow_scripts.backends.client import InferenceClient, RequestError
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import read_csv
from workflow_scripts.core.records import Decoding, Prediction
from workflow_scripts.schemas.reply import read_reply
from workflow_scripts.schemas.validation import read_schema

_LLAMA_SERVER = """
import sys, threading, xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.port = sys.argv[1], int(sys.argv[2])
params.n_ctx, params.n_parallel = 1024, 1
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
server = xllamacpp.Server(params)
threading.Event().wait()
"""


def start_llama_cpp_server(model: Path, port: int) -> tuple[list[str], str]:
    """The command of llama-cpp-python's server, and the name of the model there."""
    options = {
        "model": model,
        "model_alias": "demo",
        "port": port,
        "n_ctx": 1024,
        "n_threads": 1,
        "n_threads_batch": 1,
    }
    arguments = [str(each) for name, value in options.items() for each in (f"--{name}", value)]
    return ["-m", "llama_cpp.server", *arguments], "demo"


def start_llama_server(model: Path, port: int) -> tuple[list[str], str]:
    """The command of llama.cpp's own server, and the name of the model there."""
    return ["-c", _LLAMA_SERVER, str(model), str(port)], str(model)


INSIDE = {"backend": "local", "local_engine": "llama_cpp", "n_ctx": 1024, "n_threads": 1}
REAL_SERVERS = {"llama_cpp.server": start_llama_cpp_server, "llama-server": start_llama_server}


@contextmanager
def serving(name: str, model: Path, log: Path) -> Iterator[Backend]:
    """Run a real server."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command, model_id = REAL_SERVERS[name](model, port)
    with log.open("w") as stream:
        process = subprocess.Popen([sys.executable, *command], stdout=stream, stderr=stream)
        url = f"http://127.0.0.1:{port}"
        try:
            deadline = time.monotonic() + 60
            while process.poll() is None and time.monotonic() < deadline:
                try:
                    requests.get(f"{url}/v1/models", timeout=1)
                    break
                except requests.RequestException:
                    time.sleep(0.1)
            assert process.poll() is None, log.read_text()
            settings = {"backend": "openai_compatible", "local_endpoint": url}
            yield Backend(None, {**settings, "model_id": model_id})
        finally:
            process.kill()
            process.wait()


@pytest.fixture(scope="module", params=REAL_SERVERS)
def real(
    request: pytest.FixtureRequest, demo_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Backend]:
    """A real server with the embedded model."""
    log = tmp_path_factory.mktemp("server") / "log.txt"
    with serving(request.param, demo_model, log) as backend:
        yield backend


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_real_server_answers_as_the_model_in_the_process_does(
    real: Backend,
    temperature: float,
    demo_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nearly so where it is sampled: another build of llama.cpp rounds differently."""
    monkeypatch.chdir(tmp_path)  # model checksums are remembered below results/
    inside = Backend(None, {"local_model": str(demo_model), **INSIDE})
    asked = [
        (question_of(json.loads(line), task), seed)
        for task in ("open_book", "closed_book")
        for seed, line in enumerate(
            (REPOSITORY / f"resources/demo/{task}.jsonl").read_text("utf-8").splitlines()[:15]
        )
    ]

    async def answers(client: InferenceClient) -> list[tuple[str, str]]:
        found = [
            await client.generate(
                chat(question), Decoding(temperature=temperature, max_new_tokens=16, seed=seed)
            )
            for question, seed in asked
        ]
        return [(answer.response_text, answer.finish_reason) for answer in found]

    here, there = inside.use(answers), real.use(answers)
    assert len(set(here)) > 5
    different = [pair for pair in zip(here, there, strict=True) if pair[0] != pair[1]]
    assert len(different) <= (2 if temperature else 0), different


def test_real_engines_hold_the_same_fifty_answers_to_their_schemas(
    real: Backend, demo_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    inside = Backend(None, {"local_model": str(demo_model), **INSIDE})
    items = [
        json.loads(line)
        for line in (REPOSITORY / "resources/demo/closed_book.jsonl")
        .read_text(encoding="utf-8")
        .splitlines()[:50]
    ]

    async def answers(client: InferenceClient) -> list[str]:
        found = []
        for number, item in enumerate(items):
            names = [each["answers"][0] for each in items[number : number + 5] if each["answers"]]
            schema = {
                "type": "object",
                "properties": {
                    "answer": {"enum": [*dict.fromkeys(names), "unknown"]},
                    "sure": {"type": "boolean"},
                    "words": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 2},
                },
                "required": ["answer", "sure", "words"],
                "additionalProperties": False,
            }
            decoding = Decoding(temperature=0.0, max_new_tokens=300, seed=0, json_schema=schema)
            answer = await client.generate(chat(question_of(item, "closed_book")), decoding)
            reply = read_reply(answer.response_text)
            assert (answer.finish_reason, reply.form) == ("stop", "valid"), answer
            assert read_schema(schema).flaw(reply.value) is None
            found.append(answer.response_text)
        return found

    for there in (inside, real):
        assert len(set(there.use(answers))) > 3


def question_of(item: dict[str, Any], task: str) -> str:
    template = (REPOSITORY / f"prompts/tasks/{task}.txt").read_text(encoding="utf-8").strip()
    return template.replace("{context}", item.get("context") or "").replace(
        "{question}", item["question"]
    )


def test_what_a_real_server_refuses_is_told(real: Backend) -> None:
    message = r"status 400: .*(maximum context length|exceeds the available context size)"
    with pytest.raises(RequestError, match=message) as caught:
        real.ask("word " * 2000)
    assert not caught.value.retryable
    with pytest.raises(UserError, match=r"does not serve.*it serves: "):
        real.check(model_id="assay")


def test_a_real_server_counts_tokens(real: Backend) -> None:
    usage = real.ask("What is the capital of France?").usage
    assert usage.prompt_tokens and usage.completion_tokens
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


# The whole workflow


def test_one_experiment_runs_here_on_real_servers_and_on_ollama(
    project: Project, demo_model: Path, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        of_ollama = stack.enter_context(running(OllamaServer()))
        served = {
            f"real{number}": stack.enter_context(serving(name, demo_model, tmp_path / name))
            for number, name in enumerate(REAL_SERVERS)
        }
        backends = {
            "here": {},
            "ollama": ollama_settings(of_ollama) | {"n_ctx": 1024},
            **{name: backend.settings for name, backend in served.items()},
        }
        project.snakemake(
            "--cores", "2", "--until", "parse",
            "--config", "limit_items=6", "parts_per_dataset=1", "default_prompt_set=abstention",
            f"backends={json.dumps(backends)}",
        )  # fmt: skip
    found = {}
    for backend in backends:
        (path,) = (project.root / f"results/demo/{backend}").rglob("predictions.csv")
        found[backend] = sorted(read_csv(path, Prediction), key=lambda row: row.custom_id)
        with path.open(encoding="utf-8", newline="") as stream:
            assert next(csv.reader(stream)) == list(Prediction.model_fields)
    ids = [row.custom_id for row in found["here"]]
    assert all([row.custom_id for row in rows] == ids for rows in found.values())
    assert all(row.total_tokens for rows in found.values() for row in rows)
    answers = {
        name: [(row.response_text, row.finish_reason) for row in rows]
        for name, rows in found.items()
    }
    assert answers["here"] == answers["real0"] == answers["real1"]
    assert of_ollama.outcomes("answered").total() == len(ids) == 2 * 2 * 6
