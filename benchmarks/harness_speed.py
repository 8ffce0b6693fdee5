"""How fast a part is answered beside Inspect AI, on the same chats and the same server.

Run it from the repository's root: ``python benchmarks/harness_speed.py PYTHON [--items N]``, where
PYTHON is that of an environment with ``inspect-ai`` and ``openai``. A server in another process
answers at once. Both send with 64 requests at once, each in a process of its own, and write their
own logs: Assay the journal and the raw part, Inspect its ``.eval``. Printed are wall time and CPU
seconds, without loading the libraries; a busy machine changes the latter little.
"""

from __future__ import annotations

import argparse
import multiprocessing as mp
import subprocess
import time
from multiprocessing.connection import Connection
from typing import NamedTuple

import http_throughput
from http_throughput import part


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


def inspect(python: str, url: str, items: int) -> Times:
    """Answer the chats by Inspect AI."""
    command = [python, "-c", INSPECT, url, str(items)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
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
    parser.add_argument("python", help="of an environment with inspect-ai")
    parser.add_argument("--items", type=int, default=2000)
    args = parser.parse_args()
    context = mp.get_context("spawn")
    ours, theirs = context.Pipe()
    server = context.Process(target=serve_at_once, args=(theirs,), daemon=True)
    server.start()
    url = ours.recv()
    part(url, 10)  # loads the libraries
    found = {"assay": assay(url, args.items), "inspect": inspect(args.python, url, args.items)}
    server.kill()
    print(f"{args.items:,} items    clock        CPU  clock and CPU by assay's")
    ours_took = found["assay"]
    for name, took in found.items():
        ratios = f"{took.clock / ours_took.clock:.1f}  {took.cpu / ours_took.cpu:.1f}"
        print(f"{name:<8} {took.clock:>8.1f} s {took.cpu:>8.1f} s  {ratios}")


if __name__ == "__main__":
    main()
