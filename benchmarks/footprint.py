"""How much memory each job of a run takes, and how many bytes a request takes on disk.

Run it from the repository's root: ``python benchmarks/footprint.py [--requests N N]``. A server in
another process answers at once, with a word. Half the requests are sent with each of two prompts,
from nothing to the front page. A job's memory is the most that its process ever held, as the
operating system counts it. With two numbers of requests, the last column is the line through
both, drawn on to a million requests: an extrapolation, not a measurement. A page holds at most
50,000 responses, so the line of `report.trial` is far too steep unless both numbers are above that.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing as mp
import tempfile
import time
import zlib
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import http_throughput
from run_speed import REPOSITORY, Checkout

MILLION = 1_000_000

WATCH = """
import atexit, os, resource, sys

def told():
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    name = sys.orig_argv[sys.orig_argv.index("-m") + 1] if "-m" in sys.orig_argv else ""
    with open(os.environ["FOOTPRINT"], "a", encoding="utf-8") as stream:
        stream.write(f"{name} {peak / (1e6 if sys.platform == 'darwin' else 1e3)}\\n")

atexit.register(told)
"""
"""Runs in each Python process at its start: a ``sitecustomize``."""

CONFIG: dict[str, Any] = {
    "experiment": "footprint",
    "backend": "openai_compatible",
    "model_id": http_throughput.MODEL,
    "datasets": {"made": {"format": "jsonl", "path": "made.jsonl", "task": "closed_book"}},
    "prompt_sets": {"abstention": {"control": "control", "treatment": "treatment"}},
}


class Footprint:
    """What a run of some requests took: MB by module, and bytes by kind of file."""

    def __init__(self, url: str, requests: int, folder: Path) -> None:
        self.requests = requests
        checkout = Checkout(REPOSITORY, folder / "checkout")
        watch, log = folder / "watch", folder / "peaks.txt"
        watch.mkdir()
        (watch / "sitecustomize.py").write_text(WATCH, encoding="utf-8")
        with (checkout.root / "made.jsonl").open("w", encoding="utf-8") as stream:
            for number in range(requests // 2):
                item = {
                    "id": f"question-{number:07}",
                    "question": f"Is {number} a number that somebody likes?",
                    "answers": ["yes"],
                    "is_unanswerable": False,
                    "cluster_id": f"question-{number:07}",
                }
                stream.write(json.dumps(item) + "\n")
        config = checkout.root / "config" / "footprint.json"
        config.write_text(json.dumps({**CONFIG, "local_endpoint": url}), encoding="utf-8")
        started = time.perf_counter()
        checkout.run("--configfile", "config/footprint.json", path=watch, FOOTPRINT=str(log))
        self.seconds = time.perf_counter() - started
        self.peaks: dict[str, float] = {}
        for line in log.read_text(encoding="utf-8").splitlines():
            name, _, peak = line.rpartition(" ")
            if name.startswith("workflow_scripts."):
                short = name.removeprefix("workflow_scripts.")
                self.peaks[short] = max(self.peaks.get(short, 0), float(peak))
        self.bytes: Counter[str] = Counter()
        for path in (checkout.root / "results").rglob("*"):
            if path.is_file():
                self.bytes[kind_of(path.relative_to(checkout.root / "results"))] += (
                    path.stat().st_size
                )


def kind_of(path: Path) -> str:
    """What a file of results is called in the table: its folder of parts, or its name."""
    for folder in ("journal", "inputs", "raw", "questions", "items", "settings", "job_records"):
        if folder in path.parts[:-1]:
            return f"{folder}/{path.name if path.name == 'lines' else '*'}"
    return f"seals/{path.name}" if path.parent.name == "seals" else path.name


def serve(ready: Connection) -> None:
    """A server without latency that says yes to half the chats and no to the others."""
    http_throughput.LATENCY_S = 0.0
    http_throughput.answer = lambda chat: "yes" if zlib.crc32(str(chat).encode()) % 2 else "no"
    http_throughput.serve(ready)


def table(title: str, runs: list[dict[str, float]], sizes: list[int], least: float) -> None:
    """Print rows by the last column; those below ``least`` in all runs are left out."""
    print(f"\n{title:44}", *(f"{size:>10,}" for size in sizes), end="")
    extrapolated = len(sizes) > 1 and least == 0
    print(f" {'slope':>9} {'at 1 M':>10}" if extrapolated else "")
    for name in sorted(runs[-1], key=lambda name: -runs[-1][name]):
        values = [run.get(name, 0.0) for run in runs]
        if max(values) < least:
            continue
        print(f"{name:44}", *(f"{value:10.1f}" for value in values), end="")
        if extrapolated:
            slope = (values[-1] - values[0]) / (sizes[-1] - sizes[0])
            print(
                f" {1000 * slope:9.2f} {values[-1] + slope * (MILLION - sizes[-1]):10.0f}", end=""
            )
        print()


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description="Memory by job, and bytes by file")
    parser.add_argument("--requests", type=int, nargs="+", default=[20_000, 50_000])
    args = parser.parse_args()
    context = mp.get_context("spawn")
    here, there = context.Pipe()
    server = context.Process(target=serve, args=(there,), daemon=True)
    server.start()
    url = here.recv()
    runs = []
    try:
        for requests in args.requests:
            with tempfile.TemporaryDirectory() as name:
                runs.append(Footprint(url, requests, Path(name)))
                print(f"{requests:,} requests: {runs[-1].seconds:.0f} s", flush=True)
    finally:
        server.kill()
    sizes = [run.requests for run in runs]
    table("peak memory, MB (slope: kB a request)", [run.peaks for run in runs], sizes, 0)
    each = [
        {
            name: size / run.requests
            for name, size in (*run.bytes.items(), ("all", run.bytes.total()))
        }
        for run in runs
    ]
    table("bytes on disk a request", each, sizes, 1)


if __name__ == "__main__":
    main()
