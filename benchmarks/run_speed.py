"""How long a run takes beside its answers: wall clock, CPU seconds and jobs.

Run as ``python benchmarks/run_speed.py [FOLDER …]``; another folder is another checkout, say the
parent commit's (``git worktree add ../before HEAD~1``). Each runs in a copy of its own, in turn:

- demo: the demonstration from its raw parts, all answered, to the front page;
- server: 200 requests to a server in another process, from nothing to the front page.

The best of three is printed, since a machine may be busy with something else too. CPU seconds are
those of Snakemake and of all jobs, without the server's.
"""

from __future__ import annotations

import json
import multiprocessing as mp
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

REPOSITORY = Path(__file__).parent.parent
sys.path.insert(0, str(REPOSITORY / "tests"))

from servers.base import running  # noqa: E402 - the tests' helpers lie in a folder
from servers.openai_compatible import CompatibleServer  # noqa: E402

ROUNDS = 3
CORES = "2"
COPIED = ("Snakefile", "config", "docs", "profiles", "prompts", "resources", "rules")

ON_A_SERVER = {
    "experiment": "server",
    "backend": "openai_compatible",
    "model_id": "tiny-3m",
    "datasets": {
        "demo_closed": {
            "format": "jsonl",
            "path": "resources/demo/closed_book.jsonl",
            "task": "closed_book",
        }
    },
    "limit_items": 100,
    "prompt_sets": {"abstention": {"control": "control", "treatment": "treatment"}},
}
"""100 questions under two prompts."""


class Times(NamedTuple):
    """What a run took, in seconds, and how many jobs it had."""

    clock: float
    cpu: float
    jobs: int


class Checkout:
    """A copy of a checkout to run in, without results."""

    def __init__(self, folder: Path, copy: Path) -> None:
        self.folder = folder.resolve()
        self.root = copy
        copy.mkdir()
        for name in (*COPIED, "workflow_scripts"):
            source = self.folder / name
            if source.is_dir():
                shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, copy / name)

    def run(self, *arguments: str, path: Path | None = None, **further: str) -> Times:
        """Run Snakemake, with further variables, and one folder more in which Python looks."""
        paths = os.pathsep.join(str(each) for each in (path, self.root) if each)
        # Compiled Python is kept, as it is for users.
        environment = {
            **os.environ,
            "PYTHONPATH": paths,
            "PYTHONDONTWRITEBYTECODE": "",
            **further,
        }
        before, start = os.times(), time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "workflow_scripts.rules.snakemake_command",
             "--cores", CORES, *arguments],
            cwd=self.root, env=environment, capture_output=True, text=True, encoding="utf-8",
            check=False,
        )  # fmt: skip
        clock, after = time.perf_counter() - start, os.times()
        output = done.stdout + done.stderr
        assert done.returncode == 0, output
        user = after.children_user - before.children_user
        # Checkouts before the calm terminal print Snakemake's table.
        found = re.search(r"^(?:total\s+(\d+)|(\d+) jobs to run)", output, re.MULTILINE)
        jobs = int(found[1] or found[2]) if found else 0
        return Times(clock, user + after.children_system - before.children_system, jobs)


def from_raw_parts(checkout: Checkout) -> Callable[[], Times]:
    """Answer the demonstration; return what makes the rest of it."""
    results, answered = checkout.root / "results", checkout.root / "answered"
    checkout.run("--until", "infer")
    results.rename(answered)

    def run() -> Times:
        shutil.rmtree(results, ignore_errors=True)
        shutil.copytree(answered, results)
        return checkout.run()

    return run


def from_nothing(checkout: Checkout, url: str) -> Callable[[], Times]:
    """Return what asks a server and writes all pages."""
    config = checkout.root / "config" / "server.json"
    config.write_text(json.dumps({**ON_A_SERVER, "local_endpoint": url}), encoding="utf-8")

    def run() -> Times:
        shutil.rmtree(checkout.root / "results", ignore_errors=True)
        return checkout.run("--configfile", "config/server.json")

    return run


def serve(ready: Connection) -> None:
    """The server, until its process is ended."""
    with running(CompatibleServer()) as server:
        ready.send(server.url)
        ready.recv()


def compare(name: str, runs: dict[str, Callable[[], Times]]) -> None:
    """Print the best of some rounds of each; one before them compiles Python."""
    found: dict[str, list[Times]] = {folder: [] for folder in runs}
    for number in range(ROUNDS + 1):
        for folder, run in runs.items():
            times = run()
            if number:
                found[folder].append(times)
    for folder, rounds in found.items():
        clock, cpu, jobs = min(r.clock for r in rounds), min(r.cpu for r in rounds), rounds[0].jobs
        print(f"{name:7} {jobs:5} {clock:8.1f} {cpu:6.1f}  {folder}", flush=True)


def main() -> None:
    """Print a table."""
    here, there = mp.Pipe()
    server = mp.Process(target=serve, args=(there,))
    server.start()
    url = here.recv()
    try:
        with tempfile.TemporaryDirectory() as name:
            checkouts = [
                Checkout(folder, Path(name) / str(number))
                for number, folder in enumerate([REPOSITORY, *map(Path, sys.argv[1:])])
            ]
            print(f"{'run':7} {'jobs':>5} {'seconds':>8} {'CPU':>6}  what")
            compare("demo", {str(each.folder): from_raw_parts(each) for each in checkouts})
            compare("server", {str(each.folder): from_nothing(each, url) for each in checkouts})
    finally:
        here.send("end")
        server.join()


if __name__ == "__main__":
    main()
