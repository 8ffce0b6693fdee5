"""How long answers made elsewhere take to the front page, and which stages take it.

Run it as ``python benchmarks/import_speed.py [--items 50000] [--checkout FOLDER] [--keep FOLDER]``.
It makes up questions and a file of answers for each of two arms, and runs the whole workflow in a
folder of its own, on two cores. It prints the seconds of the clock, the CPU seconds, the largest
memory of a process, and the CPU seconds of each rule as Snakemake measured them. Another checkout
can be measured for comparison. The CPU seconds depend less on what else the machine does.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parent.parent
_PARTS = ("Snakefile", "rules", "workflow_scripts", "config", "prompts", "profiles", "docs",
          "resources", "envs", "requirements.txt")  # fmt: skip
_WORDS = """
    river city king treaty mountain empire school team album battle north war church bridge music
    dance water stone 1904 1876 Paris Lyon Oslo Ada Lovelace Vienna
"""

_CONFIG = """\
experiment: import_speed
datasets:
  made_up: {format: jsonl, path: data/questions.jsonl, task: closed_book}
arms:
  old: {answers: data/old.jsonl}
  new: {answers: data/new.jsonl}
prompt_sets:
  versions: {control: old, treatment: new}
"""


def write_files(folder: Path, n_items: int) -> None:
    """Write questions, and two files of answers, half of them right."""
    draw = random.Random(1)
    folder.mkdir()

    def words(most: int) -> str:
        return " ".join(draw.choices(_WORDS.split(), k=draw.randint(1, most)))

    questions: list[dict[str, Any]] = []
    answers: dict[str, list[dict[str, Any]]] = {"old": [], "new": []}
    for number in range(n_items):
        gold = words(3)
        question = f"Question {number}: what of the {words(6)}?"
        questions.append({"id": str(number), "question": question, "answers": [gold, words(2)]})
        for of_arm in answers.values():
            said = gold if draw.random() < 0.5 else words(3)
            text = draw.choice(
                ["{}", "It was {}.", "The answer is {}, of the {}.", "I don't know."]
            )
            given = {"item_id": str(number), "response_text": text.format(said, words(8))}
            of_arm.append({**given, "prompt_tokens": 20, "completion_tokens": len(said.split())})
    for name, rows in {"questions": questions, **answers}.items():
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")


def cpu_by_rule(results: Path) -> dict[str, float]:
    """Return the CPU seconds of each rule from Snakemake's benchmark files, the most first."""
    found: defaultdict[str, float] = defaultdict(float)
    for path in results.rglob("benchmarks/**/*.tsv"):
        with path.open(encoding="utf-8", newline="") as stream:
            for row in csv.DictReader(stream, delimiter="\t"):
                rule = path.relative_to(results).parts[
                    path.relative_to(results).parts.index("benchmarks") + 1
                ]
                found[rule.removesuffix(".tsv")] += float(row["cpu_time"])
    return dict(sorted(found.items(), key=lambda each: -each[1]))


def measure(folder: Path, checkout: Path, n_items: int) -> None:
    """Run the workflow in a folder, and print what it took."""
    for part in _PARTS:
        source = checkout / part
        copy = shutil.copytree if source.is_dir() else shutil.copy2
        copy(source, folder / part)
    (folder / "config/import_speed.yaml").write_text(_CONFIG, encoding="utf-8")
    write_files(folder / "data", n_items)
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    command = ("workflow_scripts.rules.snakemake_command", "--cores", "2")
    config = ("--configfile", "config/import_speed.yaml", "--", "results/report.html")
    before, start = os.times(), time.perf_counter()
    with (folder / "log.txt").open("w", encoding="utf-8") as log:
        subprocess.run(
            [sys.executable, "-m", *command, *config],
            cwd=folder, env=environment, stdout=log, stderr=log, check=True,
        )  # fmt: skip
    seconds, after = time.perf_counter() - start, os.times()
    user = after.children_user - before.children_user
    cpu = user + after.children_system - before.children_system
    print(f"{2 * n_items:,} answers: {seconds:.0f} s, {cpu:.0f} CPU s{_memory()}")
    for rule, used in cpu_by_rule(folder / "results").items():
        print(f"{used:8.1f}  {rule}")


def _memory() -> str:
    """The largest memory of a process that has ended; Windows does not count it."""
    with contextlib.suppress(ImportError):
        import resource

        kilobytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        return f", {kilobytes / 1e6:.2f} GB"
    return ""


def main() -> None:
    """Measure one checkout."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--items", type=int, default=50_000)
    parser.add_argument("--checkout", type=Path, default=REPOSITORY)
    parser.add_argument("--keep", type=Path, help="run in this new folder, and leave it there")
    given = parser.parse_args()
    if given.keep is not None:
        given.keep.mkdir(parents=True)
        measure(given.keep.resolve(), given.checkout.resolve(), given.items)
        return
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), given.checkout.resolve(), given.items)


if __name__ == "__main__":
    main()
