"""The same experiment on every backend: same rows and columns, each request paid for once.

Twelve reports say on their first screens what the servers were sent.
"""

from __future__ import annotations

import csv
import html
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fault_matrix
import pytest
import yaml
from backends import BACKENDS, KEY, Backend, documented_services
from conftest import NewClone, Project, clean_environment
from servers.base import running
from servers.services import SERVICES, ServiceServer

from workflow_scripts.backends.settings import header_variable

EXPERIMENT = "parity"
DECODING = {"top_p": 0.9, "top_k": 20}
TEMP = 0.7
CONFIG: dict[str, Any] = {
    **DECODING,
    "temps": [TEMP],
    "experiment": EXPERIMENT,
    "limit_items": 6,
    "datasets": {
        "demo_open": {
            "format": "jsonl",
            "path": "resources/demo/open_book.jsonl",
            "task": "open_book",
        }
    },
    "prompt_sets": {"abstention": {"control": "control", "treatment": "treatment"}},
    "stats": {"bootstrap_samples": 100, "permutation_samples": 100},
}
EMBEDDED = {
    "backend": "local",
    "local_engine": "llama_cpp",
    "local_model": "resources/models/assay-demo.gguf",
    "n_ctx": 1024,
}
MODELS: dict[str, dict[str, Any]] = {
    "openai-sync": {"model_id": "o4-mini", "reasoning": "low"},
    "anthropic-sync": {"model_id": "claude-opus-4-8", "reasoning": "medium"},
    "gemini-sync": {"model_id": "gemini-3.8-flash", "reasoning": "high"},
    "fireworks-sync": {"reasoning": "none"},
}
"""Models that take no temperature, or think; in place of those that batches are asked of."""

ASKED = ("OpenRouter", "Azure OpenAI", "Mistral", "Groq", "DeepSeek", "llama-server")
"""Services behind `openai_compatible`, by their headings in docs/servers.md."""

REQUESTS = 12
KEYS = {name: key for backend in BACKENDS for name, key in backend.keys.items()}
KEYS |= {
    header_variable(value): KEY
    for name in ASKED
    for value in documented_services()[name].get("headers", {}).values()
}

Rows = tuple[list[str], list[tuple[str, ...]]]


def named(backend: Backend) -> str:
    """Its name in the config."""
    return backend.name.replace(" ", "-")


@dataclass(frozen=True)
class Run:
    """One run of the experiment on several backends."""

    project: Project
    servers: dict[str, Any]
    done: subprocess.CompletedProcess[str]

    def file(self, backend: str, name: str) -> Path:
        """A file of the one trial of a backend."""
        folder = self.project.root / "results" / EXPERIMENT / backend
        (path,) = folder.glob(f"*/*/abstention/{name}")
        return path

    def rows(self, backend: str) -> Rows:
        """Columns of predictions.csv, and of each row what does not depend on the backend."""
        shared = ("custom_id", "dataset", "item_id", "condition", "temp", "sample_index", "type")
        with self.file(backend, "predictions.csv").open(encoding="utf-8", newline="") as stream:
            reader = csv.DictReader(stream)
            found = sorted(tuple(row[name] for name in shared) for row in reader)
            return list(reader.fieldnames or []), found

    def paid(self, backend: str) -> list[int]:
        """How often each request was paid for; a local server bills all that it hears."""
        server = self.servers[backend]
        if hasattr(server, "billed"):
            return list(server.billed().values())
        return list(Counter(json.dumps(body, sort_keys=True) for body in server.bodies).values())

    def first_screen(self, backend: str) -> dict[str, str]:
        """The facts at the top of the page of a backend's trial."""
        page = self.file(backend, "report.html").read_text(encoding="utf-8")
        facts = re.search(r'<dl class="facts">(.*?)</dl>', page, re.DOTALL)
        assert facts is not None
        found = re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", facts[1], re.DOTALL)
        return {name: html.unescape(text) for name, text in found}

    def again(self, *targets: str) -> subprocess.CompletedProcess[str]:
        """Run to these files."""
        return snakemake(self.project, "--", *targets)


def snakemake(project: Project, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "workflow_scripts.rules.snakemake_command", "--cores", "2",
         "--configfile", "config/parity.yaml", *options],
        cwd=project.root, env=clean_environment() | KEYS, capture_output=True, text=True,
        encoding="utf-8", check=False, timeout=600,
    )  # fmt: skip


def run_of(project: Project, servers: dict[str, Any], *, is_batch: bool) -> Run:
    """Run the experiment to its tables of answers and costs; what follows knows no backend."""
    backends = [each for each in BACKENDS if each.is_batch == is_batch]
    config = {named(each): each.settings(servers[named(each)]) for each in backends}
    if not is_batch:
        config = {name: {**each, **MODELS.get(name, {})} for name, each in config.items()}
        config |= {name_of(name): block_at(name, servers[name_of(name)]) for name in ASKED}
    asked = {name: servers[name] for name in config}
    others = {} if is_batch else {"embedded": EMBEDDED}
    text = yaml.safe_dump({**CONFIG, "backends": {**config, **others}})
    (project.root / "config/parity.yaml").write_text(text, encoding="utf-8")
    run = Run(project, asked, snakemake(project, "--until", "costs"))
    if not is_batch and run.done.returncode == 0:
        write_pages(project)
    return run


STAGES = (
    "differences", "items", "sensitivity", "contrasts", "cost_effectiveness", "provenance", "trial"
)  # fmt: skip
"""The modules behind `costs`, in the order in which data flow."""

BY_HAND = """\
import runpy, shlex, sys
for line in sys.stdin:
    sys.argv = shlex.split(line)
    try:
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if end.code:
            raise
"""


def write_pages(project: Project) -> None:
    """Run what Snakemake would run to the pages of all trials, in one process to save time."""
    planned = snakemake(project, "-n", "--printshellcmds", "--until", "trial_report").stdout
    commands = re.findall(r"^Shell command: python -m (.+?) 2> ", planned, re.MULTILINE)
    commands.sort(key=lambda command: STAGES.index(command.split()[0].rpartition(".")[2]))
    subprocess.run(
        [sys.executable, "-c", BY_HAND],
        cwd=project.root, env=clean_environment(), input="\n".join(commands), text=True,
        encoding="utf-8", check=True, timeout=600,
    )  # fmt: skip


def name_of(service: str) -> str:
    """The name of a service in the config."""
    return service.replace(" ", "-")


def block_at(service: str, server: ServiceServer) -> dict[str, Any]:
    """The documented settings of a service, at its test server."""
    return {**documented_services()[service], "base_url": server.url + server.service.path}


@pytest.fixture(scope="module")
def runs(
    new_clone: NewClone, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[bool, Run]]:
    """A run of all backends with batch jobs, and one of all others and the embedded model.

    Two runs, because what a provider answered in one way is not sent in the other.
    """
    with ExitStack() as stack:
        made: dict[str, Any] = {named(each): each.server() for each in BACKENDS}
        for name in ASKED:
            model = documented_services()[name]["model_id"]
            made[name_of(name)] = ServiceServer(SERVICES[name], model, KEY)
        servers = {name: stack.enter_context(running(server)) for name, server in made.items()}
        yield {
            is_batch: run_of(
                new_clone(tmp_path_factory.mktemp("parity")), servers, is_batch=is_batch
            )
            for is_batch in (True, False)
        }


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda backend: backend.name)
def test_every_backend_gives_the_same_rows(backend: Backend, runs: dict[bool, Run]) -> None:
    run = runs[backend.is_batch]
    assert run.rows(named(backend)) == runs[False].rows("embedded"), run.done.stderr
    assert run.file(named(backend), "costs.json").stat().st_size > 0
    assert run.paid(named(backend)) == [1] * REQUESTS


@pytest.mark.parametrize("is_batch", [True, False], ids=["batch", "sync"])
def test_a_second_run_sends_nothing_and_no_file_has_a_key(
    is_batch: bool, runs: dict[bool, Run]
) -> None:
    run = runs[is_batch]
    assert run.done.returncode == 0, run.done.stderr
    tables = [
        run.file(each, name) for each in run.servers for name in ("answers.csv", "costs.json")
    ]
    targets = [path.relative_to(run.project.root).as_posix() for path in tables]
    logs = run.done.stdout + run.done.stderr
    assert "Nothing to be done" in run.again(*targets).stderr
    assert all(run.paid(each) == [1] * REQUESTS for each in run.servers)
    assert KEY not in logs
    for path in (run.project.root / "results").rglob("*"):
        assert path.is_dir() or KEY.encode() not in path.read_bytes(), path


def leaves(body: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The innermost fields of a request, without what is asked and how it comes back."""
    for name, value in body.items():
        if name in ("model", "messages", "contents", "system", "systemInstruction"):
            continue
        if name in ("stream", "truncate", "shift", "seed", "random_seed"):
            continue
        if isinstance(value, dict):
            yield from leaves(value)
        else:
            yield name, value


@pytest.mark.parametrize(
    "backend", [*(named(each) for each in BACKENDS if not each.is_batch), *map(name_of, ASKED)]
)
def test_the_first_screen_says_what_the_server_received(
    backend: str, runs: dict[bool, Run]
) -> None:
    run = runs[False]
    assert run.done.returncode == 0, run.done.stderr
    facts, bodies = run.first_screen(backend), run.servers[backend].bodies
    sent = {text.rpartition(" ")[::2] for text in facts["Sent"].split(", ")}
    for body in bodies:
        received = dict(leaves(body))
        assert {
            (name, f"{value:g}" if isinstance(value, float) else str(value))
            for name, value in received.items()
        } == sent
        missing = {
            ours
            for ours, names in {
                "temperature": ("temperature",), "top_p": ("top_p", "topP"),
                "top_k": ("top_k", "topK"), "seed": ("seed", "random_seed"),
            }.items()
            if not {*received, *body, *body.get("options", {}), *body.get("generationConfig", {})}
            & set(names)
        }  # fmt: skip
        assert missing == set(facts.get("Not sent", "").split(", ")) - {""}
        temperature = received.get("temperature")
        assert temperature in (None, TEMP)
        assert facts["Temperature"] == ("the model’s own" if temperature is None else str(TEMP))
    assert len(bodies) == REQUESTS


def test_the_first_screen_of_a_model_in_this_process_says_the_decoding(
    runs: dict[bool, Run],
) -> None:
    facts = runs[False].first_screen("embedded")
    said = facts["Sent"].split(", ")
    assert {f"temperature {TEMP}", "top_p 0.9", "top_k 20"} < {*said}
    assert ("Not sent" in facts, facts["Temperature"]) == (False, str(TEMP))


@pytest.mark.slow
def test_the_fault_matrix_in_the_docs_is_what_happens() -> None:
    measured = fault_matrix.table().splitlines()
    documented = fault_matrix.table_in_page().splitlines()
    assert measured == documented, "run python tests/fault_matrix.py, and read what changed"
    stopped = {row.split("|")[1].strip() for row in measured if "stopped" in row}
    assert stopped == {"result missing", "result line cut"}  # too few results: nothing is resent
