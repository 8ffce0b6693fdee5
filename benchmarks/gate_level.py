"""How often does the gate pass a change that is worse by exactly its margin?

Run it from the repository's root: ``python benchmarks/gate_level.py``. A 95 % interval promises
2.5 % of runs. Independent items with the score interval are enumerated exactly. Clusters of five
items with the t interval are simulated: each has its own shares of items that get better and
worse, around those of the design. It prints, as Markdown, the median and the highest share of
passes over all designs. It fails if a share is above 0.05.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from itertools import product

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from scipy import special

from workflow_scripts.stats.intervals import cluster_t_interval, mean_difference, t_quantile
from workflow_scripts.stats.noninferiority import (
    Evidence,
    Worsening,
    decide,
    is_trusted_on_one_side,
)

CONFIDENCE = 0.95
DIFFERING = (0.02, 0.05, 0.1, 0.2, 0.4)
MARGINS = (0.01, 0.02, 0.05, 0.1)
ITEMS = (30, 50, 100, 200, 400, 800)
CLUSTERS = (30, 60, 200)
CONCENTRATIONS = (2.0, 20.0)
"""Of the clusters' shares around those of the design: alike within clusters, and nearly not."""
SIZE = 5
HIGH = 0.05


def of_independent_items(n: int, differing: float, margin: float) -> float:
    """The exact share of data sets whose score interval excludes the margin, at the margin."""
    worse, better = np.meshgrid(np.arange(n + 1), np.arange(n + 1))
    possible = worse + better <= n
    worse, better = worse[possible], better[possible]
    same = n - worse - better
    logarithm = special.gammaln(n + 1) - sum(
        special.gammaln(each + 1) for each in (worse, better, same)
    )
    logarithm += special.xlogy(worse, (differing + margin) / 2)
    logarithm += special.xlogy(better, (differing - margin) / 2)
    logarithm += special.xlogy(same, 1 - differing)
    linear = -worse - better + (2 * n - worse + better) * margin
    root = np.sqrt(np.maximum(linear**2 + 8 * n * better * margin * (1 - margin), 0))
    variance = n * (2 * (root - linear) / (4 * n) + margin * (1 - margin))
    z = (worse - better - n * margin) / np.sqrt(variance)
    return float(np.exp(logarithm)[z < -t_quantile(None, (1 + CONFIDENCE) / 2)].sum())


def of_clusters(n: int, differing: float, margin: float, concentration: float, runs: int) -> float:
    """The share of simulated runs that the gate passes."""
    rng = np.random.default_rng([n, round(1000 * differing), round(1000 * margin)])
    shares = np.array([(differing + margin) / 2, (differing - margin) / 2, 1 - differing])
    passed = 0
    for _ in range(runs):
        own = rng.dirichlet(concentration * np.maximum(shares, 1e-9), size=n)
        drawn = rng.random((n, SIZE))
        worse = drawn < own[:, :1]
        better = ~worse & (drawn < own[:, :1] + own[:, 1:2])
        differences = (worse.astype(float) - better).ravel()
        mean = mean_difference(differences, np.repeat(np.arange(n), SIZE))
        interval = cluster_t_interval(mean, CONFIDENCE)
        evidence = Evidence(
            n_items=mean.n_items,
            n_clusters=mean.n_clusters,
            n_differing=mean.n_differing,
            method="cluster_t",
            standard_error=mean.standard_error,
            naive_standard_error=mean.naive_standard_error,
            degrees_of_freedom=mean.freedom,
            design_effect=mean.design_effect,
        )
        trusted = interval.trusted and is_trusted_on_one_side("share", evidence)
        seen = Worsening(mean.mean, interval.low, interval.high)
        passed += decide(seen, margin, trusted=trusted) == "passes"
    return passed / runs


def designs() -> Iterator[tuple[float, float]]:
    """Shares of items that differ, with the margins that they allow."""
    return ((share, margin) for share, margin in product(DIFFERING, MARGINS) if share >= margin)


def main() -> None:
    """Print both rows; fail if a share is too high."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--runs", type=int, default=2000, help="simulated runs of a design")
    runs = parser.parse_args().runs
    exact = [of_independent_items(n, *design) for n, design in product(ITEMS, designs())]
    drawn = [
        of_clusters(n, *design, concentration, runs)
        for n, design, concentration in product(CLUSTERS, designs(), CONCENTRATIONS)
    ]
    print("| interval | designs | median | highest |", "|---|--:|--:|--:|", sep="\n")
    for name, found in (("score, independent items", exact), ("t, clusters", drawn)):
        print(f"| {name} | {len(found)} | {np.median(found):.3f} | {max(found):.3f} |")
    if max(*exact, *drawn) > HIGH:
        sys.exit(f"a share is above {HIGH}")


if __name__ == "__main__":
    main()
