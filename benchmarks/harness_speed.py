"""How fast a part is answered beside Inspect AI and promptfoo: the same chats and the same server.

Run it from the repository's root: ``python benchmarks/harness_speed.py [--items N]
[--folder FOLDER]``. It needs npm. The others are set up in FOLDER, which is kept, else in a
temporary one; promptfoo takes 1.6 GB. A server in another process answers at once. All send with 64
requests at once, each in a process of its own, and write their own logs: Assay the journal and the
raw part, Inspect its ``.eval``, promptfoo its database. Printed are wall time and CPU seconds,
without loading the libraries; a busy machine changes the latter little.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing as mp
import os
import shutil
import subprocess
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import http_throughput
from http_throughput import AT_ONCE, MODEL, chats, part
from real_servers import make_environment, python_in

INSPECT_PACKAGES = ("inspect-ai==0.3.285", "openai==3.57.0")
NPM_PACKAGES = ("promptfoo@0.123.1", "node@22.23.3")
"""promptfoo, and the Node that it needs."""


class Times(NamedTuple):
    """What all items took, in seconds."""

    clock: float
    cpu: float


def serve_at_once(ready: Connection) -> None:
    """The server of `http_throughput`, without its latency."""
    http_throughput.LATENCY_S = 0.0
    http_throughput.serve(ready)


INSPECT = """
import sys, tempfile, time
from inspect_ai import Task, eval
from inspect_ai.dataset import Sample
from inspect_ai.model import ChatMessageSystem, ChatMessageUser, get_model
from inspect_ai.solver import generate

sys.path.insert(0, "benchmarks")
from http_throughput import AT_ONCE, MODEL, chats

url, items = sys.argv[1], int(sys.argv[2])
samples = [
    Sample(
        id=number,
        input=[
            ChatMessageSystem(content=system["content"]),
            ChatMessageUser(content=user["content"]),
        ],
    )
    for number, (system, user) in enumerate(chats(items))
]
model = get_model(f"openai/{MODEL}", base_url=f"{url}/v1", api_key="none", responses_api=False)
clock, cpu = time.perf_counter(), time.process_time()
with tempfile.TemporaryDirectory() as folder:
    (log,) = eval(
        Task(dataset=samples, solver=generate()), model=model, max_connections=AT_ONCE,
        max_samples=AT_ONCE, max_tokens=16, temperature=0.0, log_dir=folder, display="none",
    )
assert log.status == "success", log.error
print(time.perf_counter() - clock, time.process_time() - cpu)
"""


def inspect(folder: Path, url: str, items: int) -> Times:
    """Answer the chats by Inspect AI."""
    environment = folder / "inspect"
    make_environment(environment, INSPECT_PACKAGES)
    return printed([python_in(environment), "-c", INSPECT, url, str(items)])


PROMPTFOO = """
import { readFileSync } from "node:fs";
import { evaluate } from "promptfoo";

const { suite, atOnce } = JSON.parse(readFileSync(process.argv[2], "utf8"));
const clock = performance.now(), cpu = process.cpuUsage();
const options = { maxConcurrency: atOnce, cache: false, showProgressBar: false };
const done = await evaluate(suite, options);
const { user, system } = process.cpuUsage(cpu);
const seconds = (performance.now() - clock) / 1e3;
const { stats } = await done.toEvaluateSummary();
if (stats.successes !== suite.tests.length) throw new Error(JSON.stringify(stats));
console.log(`${seconds} ${(user + system) / 1e6}`);
process.exit(0);
"""

QUIET = {
    "PROMPTFOO_DISABLE_TELEMETRY": "1",
    "PROMPTFOO_DISABLE_UPDATE": "1",
    "PROMPTFOO_DISABLE_REMOTE_GENERATION": "1",
    "PROMPTFOO_DISABLE_SHARING": "1",
    "PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD": "1",
}
"""What stops promptfoo from reporting use, looking for updates and loading a browser."""


def promptfoo(folder: Path, url: str, items: int) -> Times:
    """Answer them by promptfoo."""
    home = folder / "promptfoo"
    npm = shutil.which("npm")
    assert npm, "npm is not installed"
    if not (home / "node_modules/promptfoo").exists():
        home.mkdir(parents=True, exist_ok=True)
        command = [npm, "install", "--no-audit", "--no-fund", "--prefix", str(home), *NPM_PACKAGES]
        subprocess.run(command, check=True, env=os.environ | QUIET, stdout=subprocess.DEVNULL)
    roles = ("system", "user")
    suite = {
        "prompts": [json.dumps([{"role": role, "content": f"{{{{{role}}}}}"} for role in roles])],
        "providers": [
            {
                "id": f"openai:chat:{MODEL}",
                "config": {
                    "apiBaseUrl": f"{url}/v1",
                    "apiKey": "none",
                    "max_tokens": 16,
                    "temperature": 0,
                },
            }
        ],
        "tests": [
            {"vars": {each["role"]: each["content"] for each in chat}} for chat in chats(items)
        ],
        "writeLatestResults": True,
    }
    script, given = home / "run.mjs", home / "suite.json"
    script.write_text(PROMPTFOO, encoding="utf-8")
    given.write_text(json.dumps({"suite": suite, "atOnce": AT_ONCE}), encoding="utf-8")
    node = home / "node_modules/node/bin" / ("node.exe" if os.name == "nt" else "node")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as own:
        return printed([str(node), str(script), str(given)], PROMPTFOO_CONFIG_DIR=own)


def printed(command: list[str], **variables: str) -> Times:
    """Run a command; return the times that it prints at the end."""
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=True, env=os.environ | QUIET | variables
    )
    clock, cpu = map(float, done.stdout.split()[-2:])
    return Times(clock, cpu)


def assay(url: str, items: int) -> Times:
    """Answer them by Assay."""
    clock, cpu = time.perf_counter(), time.process_time()
    part(url, items)
    return Times(time.perf_counter() - clock, time.process_time() - cpu)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description="A part beside other harnesses")
    parser.add_argument("--items", type=int, default=2000)
    parser.add_argument("--folder", type=Path, help="where to set up, and what to keep")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        measure((args.folder or Path(temporary)).resolve(), args.items)


def measure(folder: Path, items: int) -> None:
    """Answer in turn, and print a line for each."""
    context = mp.get_context("spawn")
    ours, theirs = context.Pipe()
    server = context.Process(target=serve_at_once, args=(theirs,), daemon=True)
    server.start()
    url = ours.recv()
    part(url, 10)  # loads the libraries
    found = {
        "assay": assay(url, items),
        "inspect": inspect(folder, url, items),
        "promptfoo": promptfoo(folder, url, items),
    }
    server.kill()
    print(f"{items:,} items    clock        CPU  clock and CPU by assay's")
    ours_took = found["assay"]
    for name, took in found.items():
        ratios = f"{took.clock / ours_took.clock:.1f}  {took.cpu / ours_took.cpu:.1f}"
        print(f"{name:<9} {took.clock:>8.1f} s {took.cpu:>8.1f} s  {ratios}")


if __name__ == "__main__":
    main()
