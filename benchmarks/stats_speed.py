"""How fast the statistics are, beside a plain loop of scipy's bootstrap and permutation test.

Run it from the repository's root: ``python benchmarks/stats_speed.py``. It makes scores of
20,000 items in two ways, with 2,000 passages and with every item on its own (the slowest case),
and prints the seconds of a whole comparison with the default settings (2,000 bootstrap and 5,000
permutation samples, five metrics, subgroups). Then it times the resampling alone against scipy
on the same data of fewer items.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

import numpy as np
from scipy import stats

from workflow_scripts.config.schema import Stats
from workflow_scripts.stats.comparison import compare
from workflow_scripts.stats.pairs import METRICS, Pairs
from workflow_scripts.stats.resampling import (
    bootstrap_means,
    cluster_sums,
    percentile_interval,
    sign_flip_p,
)

SETTINGS = Stats(tost_margins={"em": 0.02})


def made_up_pairs(n_items: int, n_clusters: int) -> Pairs:
    """Scores where every item differs in F1, and one in three in the other metrics."""
    rng = np.random.default_rng(1)
    control = rng.integers(0, 2, size=(n_items, len(METRICS))).astype(np.float64)
    changed = rng.random(control.shape) < 1 / 3
    treatment = np.where(changed, rng.integers(0, 2, size=control.shape), control)
    f1 = METRICS.index("f1")
    control[:, f1], treatment[:, f1] = rng.random(n_items), rng.random(n_items)
    return Pairs(
        metrics=METRICS,
        control=control,
        treatment=treatment,
        clusters=np.arange(n_items) * n_clusters // n_items,
        datasets=np.where(np.arange(n_items) % 2, "one", "two"),
        unanswerable=np.arange(n_items) % 3 == 0,
    )


def ours(pairs: Pairs) -> None:
    """Cluster and item intervals and permutation p values of all metrics."""
    for clusters in (pairs.clusters, np.arange(pairs.n_items)):
        percentile_interval(
            bootstrap_means(
                pairs.differences, clusters, SETTINGS.bootstrap_samples, np.random.default_rng(0)
            ),
            SETTINGS.confidence,
        )
    sign_flip_p(
        pairs.differences, pairs.clusters, SETTINGS.permutation_samples, np.random.default_rng(0)
    )


def plain_scipy(pairs: Pairs) -> None:
    """The same numbers by scipy, one metric after the other."""

    def ratio(sums: np.ndarray, sizes: np.ndarray, axis: int) -> np.ndarray:
        return np.sum(sums, axis=axis) / np.sum(sizes, axis=axis)

    def mean_difference(one: np.ndarray, other: np.ndarray, axis: int) -> np.ndarray:
        return np.mean(one - other, axis=axis)

    for column in range(len(pairs.metrics)):
        differences = pairs.differences[:, [column]]
        for clusters in (pairs.clusters, np.arange(pairs.n_items)):
            stats.bootstrap(
                (cluster_sums(differences, clusters)[:, 0], np.bincount(clusters)),
                ratio,
                paired=True,
                vectorized=True,
                n_resamples=SETTINGS.bootstrap_samples,
                batch=100,
                method="percentile",
            )
        sums = cluster_sums(differences, pairs.clusters)[:, 0]
        stats.permutation_test(
            (sums, np.zeros_like(sums)),
            mean_difference,
            permutation_type="samples",
            vectorized=True,
            n_resamples=SETTINGS.permutation_samples,
            batch=100,
        )


def seconds(function: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def main() -> None:
    """Print the measurements."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--items-beside-scipy", type=int, default=2_000)
    arguments = parser.parse_args()

    n = arguments.items
    for n_clusters in (n // 10, n):
        pairs = made_up_pairs(n, n_clusters)
        taken = seconds(lambda pairs=pairs: compare(pairs, [], "control", "treatment", SETTINGS))
        print(f"one comparison, {n:,} items in {n_clusters:,} clusters: {taken:.1f} s")
    if sys.platform != "win32":
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        # Kilobytes, on macOS bytes.
        print(f"peak memory: {peak / (2**30 if sys.platform == 'darwin' else 2**20):.2f} GiB")

    n = arguments.items_beside_scipy
    pairs = made_up_pairs(n, n // 10)
    own, plain = seconds(lambda: ours(pairs)), seconds(lambda: plain_scipy(pairs))
    print(f"resampling alone, {n:,} items in {n // 10:,} clusters:")
    print(f"  Assay {own:.2f} s, plain scipy {plain:.2f} s: {plain / own:.0f} times as long")


if __name__ == "__main__":
    main()
