"""How long `snakemake -n` takes, beside bare Snakemake with as many simple jobs.

``--quiet`` counts the jobs of each rule and ends; ``--quiet rules`` also goes through all jobs and
their reasons, and prints no job.

Run as ``python benchmarks/plan_speed.py [FOLDER …]``; another folder is another checkout, say the
parent commit's (``git worktree add ../before HEAD~1``). CPU seconds are printed beside those of
the clock: they depend less on what else the machine does.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent
PARTS = (100, 500)
QUIET = (("--quiet",), ("--quiet", "rules"))
ROUNDS = 3

BARE = """
rule all:
    input: expand("out/{{n}}.txt", n=range({jobs}))

rule first:
    output: "first/{{n}}.txt"
    shell: "touch {{output}}"

rule second:
    input: "first/{{n}}.txt"
    output: "out/{{n}}.txt"
    shell: "touch {{output}}"
"""


def planned(folder: Path, quiet: Sequence[str], *command: str) -> tuple[int, float, float]:
    """Plan once; return the number of jobs, the seconds of the clock and the CPU seconds."""
    # Compiled Python is kept, as it is for users.
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": ""}
    cpu, start = os.times(), time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", *command, "-n", *quiet],
        cwd=folder, env=environment, capture_output=True, text=True, encoding="utf-8", check=True,
    )  # fmt: skip
    seconds, after = time.perf_counter() - start, os.times()
    found = re.search(r"^total\s+(\d+)", done.stdout + done.stderr, re.MULTILINE)
    assert found, done.stdout + done.stderr
    user = after.children_user - cpu.children_user
    return int(found[1]), seconds, user + after.children_system - cpu.children_system


def fastest(folder: Path, quiet: Sequence[str], *command: str) -> tuple[int, float, float]:
    """Plan several times and return the shortest times: other work only makes them longer."""
    jobs, seconds, cpu = zip(
        *(planned(folder, quiet, *command) for _ in range(ROUNDS)), strict=True
    )
    return jobs[0], min(seconds), min(cpu)


def main() -> None:
    """Print a table."""
    folders = [REPOSITORY, *map(Path, sys.argv[1:])]
    print(f"{'parts':>5} {'jobs':>6} {'seconds':>8} {'CPU':>6} {'to bare':>8}  what")
    for parts, quiet in product(PARTS, QUIET):
        rows = []
        for folder in folders:
            command = ("workflow_scripts.rules.snakemake_command", "--config")
            times = fastest(folder.resolve(), quiet, *command, f"parts_per_dataset={parts}")
            rows.append((*times, f"{folder.resolve().as_posix()} {' '.join(quiet)}"))
        with tempfile.TemporaryDirectory() as name:
            bare = Path(name)
            snakefile = BARE.format(jobs=rows[0][0] // 2)
            (bare / "Snakefile").write_text(snakefile, encoding="utf-8")
            rows.append((*fastest(bare, quiet, "snakemake"), "bare Snakemake"))
        for jobs, seconds, cpu, what in rows:
            ratio = cpu / rows[-1][2]
            print(f"{parts:5} {jobs:6} {seconds:8.1f} {cpu:6.1f} {ratio:8.1f}  {what}")


if __name__ == "__main__":
    main()
