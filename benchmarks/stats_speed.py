"""How fast the statistics are, beside a plain loop of scipy's bootstrap and permutation test.

Run it from the repository's root: ``python benchmarks/stats_speed.py``. It makes scores of
20,000 items in two ways, with 2,000 passages and with every item on its own (the slowest case),
and prints the seconds of a whole comparison with 5,000 bootstrap and 5,000 permutation samples,
seven metrics and four subgroups. Then it times the resampling alone against scipy on the same data
of fewer items. ``--reading`` reads a file of a million score rows. ``--million`` runs the command
itself on files of a million items and both arms.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

# Snakemake's jobs have as many threads as they ask for, which is one.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from scipy import stats

from workflow_scripts.comparisons.score_files import read_scores
from workflow_scripts.comparisons.settings import StatsSettings
from workflow_scripts.core.records import ItemScores
from workflow_scripts.stats.comparison import compare
from workflow_scripts.stats.estimates import estimates, mean_differences
from workflow_scripts.stats.pairs import Pairs
from workflow_scripts.stats.resampling import cluster_sums
from workflow_scripts.stats.scores import Facts, ItemTable
from workflow_scripts.stats.settings import Stats
from workflow_scripts.tasks.question_answering import F1, OPEN_BOOK

SETTINGS = Stats(bootstrap_samples=5000, permutation_samples=5000, tost_margins={"em": 0.02})


def made_up_pairs(n_items: int, n_clusters: int) -> Pairs:
    """Scores where every item differs in F1, and one in three in the other metrics."""
    rng = np.random.default_rng(1)
    control = rng.integers(0, 2, size=(n_items, len(OPEN_BOOK.metrics))).astype(np.float64)
    changed = rng.random(control.shape) < 1 / 3
    treatment = np.where(changed, rng.integers(0, 2, size=control.shape), control)
    f1 = OPEN_BOOK.metrics.index(F1)
    control[:, f1], treatment[:, f1] = rng.random(n_items), rng.random(n_items)
    return Pairs(
        declared=OPEN_BOOK.metrics,
        items=np.arange(n_items),
        control=control,
        treatment=treatment,
        sample_variance=np.zeros_like(control),
        samples_per_item=1,
        clusters=np.arange(n_items) * n_clusters // n_items,
        datasets=np.arange(n_items) % 2,
        dataset_names=("one", "two"),
        subgroups={
            "answerable": np.arange(n_items) % 3 != 0,
            "unanswerable": np.arange(n_items) % 3 == 0,
        },
    )


def plain_scipy(pairs: Pairs) -> None:
    """BCa intervals and permutation p values by scipy, one metric after the other."""

    def ratio(sums: np.ndarray, sizes: np.ndarray, axis: int) -> np.ndarray:
        return np.sum(sums, axis=axis) / np.sum(sizes, axis=axis)

    def mean_difference(one: np.ndarray, other: np.ndarray, axis: int) -> np.ndarray:
        return np.mean(one - other, axis=axis)

    for column in range(len(pairs.metrics)):
        sums = cluster_sums(pairs.differences[:, [column]], pairs.clusters)[:, 0]
        stats.bootstrap(
            (sums, np.bincount(pairs.clusters)),
            ratio,
            paired=True,
            vectorized=True,
            n_resamples=SETTINGS.bootstrap_samples,
            batch=100,
            method="BCa",
        )
        stats.permutation_test(
            (sums, np.zeros_like(sums)),
            mean_difference,
            permutation_type="samples",
            vectorized=True,
            n_resamples=SETTINGS.permutation_samples,
            batch=100,
        )


def compared(pairs: Pairs) -> object:
    """The whole comparison."""
    return compare(pairs, [], "control", "treatment", SETTINGS, {}, OPEN_BOOK.selective_risk)


def seconds(function: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def peak_memory(*, children: bool = False) -> str:
    """The largest memory so far, of this process or of those it waited for."""
    if sys.platform == "win32":
        return "not measured on Windows"
    import resource

    who = resource.RUSAGE_CHILDREN if children else resource.RUSAGE_SELF
    peak = resource.getrusage(who).ru_maxrss
    # Kilobytes, on macOS bytes.
    return f"{peak / (2**30 if sys.platform == 'darwin' else 2**20):.2f} GiB"


def write_files(folder: Path, n_items: int) -> list[str]:
    """Item and score files of ``n_items`` items on passages of ten; the command's arguments."""
    pairs = made_up_pairs(n_items, n_items // 10)
    unanswerable = pairs.subgroups["unanswerable"]
    with (folder / "open_book.jsonl").open("w", encoding="utf-8") as stream:
        for number in range(n_items):
            item = {
                "id": str(number),
                "dataset": pairs.dataset_names[pairs.datasets[number]],
                "question": "Who wrote this?",
                "answers": [] if unanswerable[number] else ["Nobody"],
                "context": "A passage of the usual length has some hundred words. " * 12,
                "is_unanswerable": bool(unanswerable[number]),
                "cluster_id": f"p{number // 10}",
            }
            stream.write(json.dumps(item) + "\n")
    write_scores(folder / "per_item_scores.csv", pairs)
    settings = StatsSettings(stats=SETTINGS).model_dump_json()
    (folder / "settings.json").write_text(settings, encoding="utf-8")
    return [
        *("--scores", str(folder / "per_item_scores.csv")),
        *("--items", str(folder / "open_book.jsonl")),
        *("--settings", str(folder / "settings.json")),
        *("--significance", str(folder / "significance.json")),
        *("--selective-risk", str(folder / "selective_risk.json")),
        *("--power", str(folder / "power.json")),
    ]


def write_scores(path: Path, pairs: Pairs) -> None:
    """Write a per_item_scores.csv with the scores of both arms."""
    columns = list(ItemScores.with_metrics(OPEN_BOOK.metrics).model_fields)
    names = [metric.name for metric in OPEN_BOOK.metrics]
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns)
        for condition, scores in (("control", pairs.control), ("treatment", pairs.treatment)):
            for number in range(pairs.n_items):
                dataset = pairs.dataset_names[pairs.datasets[number]]
                row = dict.fromkeys(columns, 0.0)
                row |= dict(zip(names, scores[number].tolist(), strict=True))
                row |= {
                    "item_key": f"{dataset}|{number}",
                    "type": "open_book",
                    "condition": condition,
                    "temp": "0.0",
                }
                writer.writerow(row.values())


def reading(n_rows: int) -> None:
    """Time the reading of a score file, in this process."""
    pairs = made_up_pairs(n_rows // 2, n_rows // 20)
    names = [pairs.dataset_names[code] for code in pairs.datasets]
    table = ItemTable.of(
        Facts(f"{name}|{number}", name, str(number // 10), ()) for number, name in enumerate(names)
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "per_item_scores.csv"
        write_scores(path, pairs)
        size = path.stat().st_size / 2**20
        del pairs, names
        before, start = peak_memory(), time.process_time()
        taken = seconds(lambda: read_scores([path], table))
        busy = time.process_time() - start
    print(f"reading {n_rows:,} score rows, {size:.0f} MiB: {taken:.1f} s, {busy:.1f} s of CPU time")
    print(f"peak memory: {peak_memory()}, {before} before")


def million(n_items: int) -> None:
    """Time the command on files."""
    with tempfile.TemporaryDirectory() as name:
        arguments = write_files(Path(name), n_items)
        command = [sys.executable, "-m", "workflow_scripts.comparisons.contrasts", *arguments]
        taken = seconds(lambda: subprocess.run(command, check=True))
    print(f"the command on files, {n_items:,} items and two arms: {taken:.0f} s")
    print(f"peak memory: {peak_memory(children=True)}")


def main() -> None:
    """Print the measurements."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--items-beside-scipy", type=int, default=2_000)
    parser.add_argument("--million", action="store_true")
    parser.add_argument("--reading", action="store_true")
    arguments = parser.parse_args()
    if arguments.reading:
        reading(1_000_000)
        return
    if arguments.million:
        million(1_000_000)
        return

    n = arguments.items
    for n_clusters in (n // 10, n):
        pairs = made_up_pairs(n, n_clusters)
        taken = seconds(lambda pairs=pairs: compared(pairs))
        print(f"one comparison, {n:,} items in {n_clusters:,} clusters: {taken:.1f} s")
    print(f"peak memory: {peak_memory()}")

    n = arguments.items_beside_scipy
    pairs = made_up_pairs(n, n // 10)
    means = mean_differences(pairs)
    own = seconds(lambda: estimates(pairs, SETTINGS, means, []))
    plain = seconds(lambda: plain_scipy(pairs))
    print(f"all estimates of {n:,} items in {n // 10:,} clusters, beside scipy's resampling alone:")
    print(f"  Assay {own:.2f} s, plain scipy {plain:.2f} s: {plain / own:.0f} times as long")


if __name__ == "__main__":
    main()
