"""Do the intervals of ratios cover? A simulation study of amounts, beside stats_coverage.py.

Run it from the repository's root: ``python benchmarks/stats_amounts.py``. It makes up amounts of
two arms: log-normal, with a log ratio of each item that is the sum of its cluster's and its own.
Ratios are log-normal; or skewed (both parts exponential); or rare (one cluster in ten and one item
in ten differ, all in one direction). It prints, as Markdown, how often the 95 % intervals cover the
true ratio, and how often the permutation test at 5 % rejects a true ratio of 1.

Numbers in parentheses are of intervals that mark themselves as not to be trusted on most of those
data sets. The others must be at least 0.93 (give or take two standard errors of the simulation), or
the script fails.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from itertools import product

# Many small matrices: threads would only wait for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from workflow_scripts.stats.amounts import LogValues, amount_estimates
from workflow_scripts.stats.settings import Stats

CLUSTERS = (10, 50, 100, 300)
SIZES = ("4 items", "1 to 9 items")
RATIOS = ("log-normal", "skewed", "rare")
METHODS = ("cluster_t", "bca")
LOW = 0.93

SETTINGS = Stats(bootstrap_samples=500, permutation_samples=200)

CONTROL_SPREAD, CLUSTER_SPREAD, ITEM_SPREAD = 1.0, 0.3, 0.3
RARE = 0.1


def effects(ratios: str, n: int, rng: np.random.Generator) -> np.ndarray:
    """Log ratios of ``n`` clusters or items."""
    if ratios == "log-normal":
        return rng.normal(size=n)
    if ratios == "skewed":
        return rng.exponential(size=n) - 1
    return np.where(rng.random(n) < RARE, 1.0, 0.0)


def made_up(ratios: str, sizes: str, n_clusters: int, rng: np.random.Generator) -> LogValues:
    """Logarithms of an amount under both arms."""
    counts = rng.integers(1, 10, size=n_clusters) if sizes == SIZES[1] else np.full(n_clusters, 4)
    clusters = np.repeat(np.arange(n_clusters), counts)
    n = len(clusters)
    control = CONTROL_SPREAD * rng.normal(size=n)
    shared = CLUSTER_SPREAD * effects(ratios, n_clusters, rng)[clusters]
    own = ITEM_SPREAD * effects(ratios, n, rng)
    return LogValues(control, control + shared + own, clusters, 0)


def one_cell(
    ratios: str, sizes: str, n_clusters: int, runs: int
) -> dict[str, list[tuple[bool, bool]]]:
    """By method, of each data set: whether it is trusted, and whether it covers (or rejects)."""
    rng = np.random.default_rng([n_clusters, SIZES.index(sizes), RATIOS.index(ratios)])
    true = math.exp(RARE * (CLUSTER_SPREAD + ITEM_SPREAD)) if ratios == "rare" else 1.0
    found: dict[str, list[tuple[bool, bool]]] = {name: [] for name in (*METHODS, "test")}
    for _ in range(runs):
        estimates, _ = amount_estimates({"x": made_up(ratios, sizes, n_clusters, rng)}, SETTINGS)
        estimate = estimates["x"]
        for method in METHODS:
            interval = estimate.intervals[method]
            covers = interval.low is not None and interval.low <= true <= interval.high
            found[method].append((interval.trusted, covers))
        found["test"].append((True, estimate.permutation_p <= 0.05))
    return found


def rate(records: list[tuple[bool, bool]]) -> tuple[bool, float, int]:
    """Whether most are trusted; the share of hits, of those if they are most; their number."""
    trusted = [hit for is_trusted, hit in records if is_trusted]
    most = len(trusted) > len(records) / 2
    counted = trusted if most else [hit for _, hit in records]
    return most, sum(counted) / len(counted), len(counted)


def main() -> None:
    """Simulate and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=1000, help="data sets per cell")
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()

    plan = list(product(RATIOS, SIZES, CLUSTERS))
    with ProcessPoolExecutor(arguments.processes) as pool:
        columns = (*zip(*plan, strict=True), [arguments.runs] * len(plan))
        cells = dict(zip(plan, pool.map(one_cell, *columns), strict=True))
    misses = []
    print("| | " + " | ".join(f"{n} clusters" for n in CLUSTERS) + " |")
    print("|---" * (len(CLUSTERS) + 1) + "|")
    for method, ratios, sizes in product((*METHODS, "test"), RATIOS, SIZES):
        if (method, ratios) == ("test", "rare"):
            continue  # its ratio is not 1
        row = []
        for n_clusters in CLUSTERS:
            most, hits, counted = rate(cells[ratios, sizes, n_clusters][method])
            row.append(f"{hits:.3f}" if most else f"({hits:.3f})")
            error = 2 * math.sqrt(max(hits * (1 - hits), 0.01) / counted)
            if method != "test" and most and hits < LOW - error:
                misses.append(f"{method}, {ratios}, {sizes}, {n_clusters} clusters: {hits:.3f}")
        print(f"| {method}, {ratios}, {sizes} | " + " | ".join(row) + " |")
    if misses:
        print("\nOutside although trusted:", *misses, sep="\n- ")
        sys.exit(1)


if __name__ == "__main__":
    main()
