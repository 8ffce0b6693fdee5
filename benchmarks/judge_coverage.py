"""Do corrected shares cover the truth? A simulation study of judges and numbers of labels.

Run it from the repository's root: ``python benchmarks/judge_coverage.py``. It makes up items that
two arms answer correctly at known rates, a judge that errs at known rates, and people who label
some items. It prints, as Markdown, how often each 95 % interval of the difference covers the truth,
how many labels the judge was worth, and how wide the interval is. It fails if a trusted interval
covers less than 0.93, give or take three standard errors of the simulation.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

# Many small matrices: threads would only wait for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from scipy.special import ndtri

from workflow_scripts.stats.prediction_powered import Judged, compare_judged

LOW = 0.93
N_ITEMS = 1000
LABELS = (50, 100, 300)
DESIGNS = ("independent", "clusters of 10", "half drawn where a second verdict disagrees")
SHARES = ((0.6, 0.65), (0.93, 0.9))


@dataclass(frozen=True)
class Judge:
    """Sensitivity and specificity, under the control and the treatment."""

    name: str
    sensitivity: tuple[float, float]
    specificity: tuple[float, float]


JUDGES = (
    Judge("always says correct", (1, 1), (0, 0)),
    Judge("throws a coin", (0.5, 0.5), (0.5, 0.5)),
    Judge("fair", (0.8, 0.8), (0.8, 0.8)),
    Judge("good", (0.95, 0.95), (0.93, 0.93)),
    Judge("favours the treatment", (0.95, 0.98), (0.95, 0.7)),
    Judge("perfect", (1, 1), (1, 1)),
)


def made_up(
    design: str, shares: tuple[float, float], judge: Judge, n_labels: int, rng: np.random.Generator
) -> Judged:
    """One data set; dispositions correlate at 0.7 between the arms, at 0.2 within a cluster.

    The second verdict is right on 90 % of the answers, whatever the judge says.
    """
    clusters = np.arange(N_ITEMS) // (10 if design == DESIGNS[1] else 1)
    shared = rng.normal(size=N_ITEMS)[clusters] * 0.2**0.5 + rng.normal(size=N_ITEMS) * 0.5**0.5
    truth, verdicts = [], []
    differing = np.zeros(N_ITEMS, dtype=bool)
    for arm in (0, 1):
        correct = shared + rng.normal(size=N_ITEMS) * 0.3**0.5 < ndtri(shares[arm])
        rate = np.where(correct, judge.sensitivity[arm], 1 - judge.specificity[arm])
        truth.append(correct.astype(float))
        verdicts.append((rng.random(N_ITEMS) < rate).astype(float))
        second = np.where(rng.random(N_ITEMS) < 0.9, correct, ~correct)
        differing |= second != verdicts[arm]
    probability = np.full(N_ITEMS, n_labels / N_ITEMS)
    if design == DESIGNS[2]:
        half = n_labels / 2
        probability = np.where(differing, half / differing.sum(), half / (~differing).sum())
        probability = np.minimum(probability, 1)
    labelled = rng.random(N_ITEMS) < probability
    labels = (np.where(labelled, each, np.nan) for each in truth)
    return Judged(*verdicts, *labels, clusters, probability)


@dataclass(frozen=True)
class Cell:
    """Coverages of the corrected difference, labels alone, the judge and an arm's share.

    ``half_width``: the median of the corrected interval, in points.
    """

    corrected: float
    labels_only: float
    judge_only: float
    arm: float
    effective_labels: float
    half_width: float
    trusted: float

    def __str__(self) -> str:
        shares = (self.corrected, self.labels_only, self.judge_only, self.arm)
        text = " / ".join(f"{share:.3f}" for share in shares)
        return f"{text} ({self.effective_labels:.0f}, ±{self.half_width:.1f})"


def cell(
    design: str, shares: tuple[float, float], judge: Judge, n_labels: int, runs: int, seed: int
) -> Cell:
    """Simulate one cell of the tables."""
    rng = np.random.default_rng([seed, n_labels, DESIGNS.index(design), JUDGES.index(judge)])
    true = shares[1] - shares[0]
    rows = []
    for _ in range(runs):
        found = compare_judged(made_up(design, shares, judge, n_labels, rng), 0.95)
        difference, arm = found.difference, found.treatment
        intervals = (
            (difference, true),
            (difference.labels_only, true),
            (difference.judge_only, true),
            (arm, shares[1]),
        )
        covered = [of.ci_low <= value <= of.ci_high for of, value in intervals]
        half = 50 * (difference.ci_high - difference.ci_low)
        rows.append([*covered, difference.effective_labels, half, difference.trusted])
    table = np.array(rows, dtype=float)
    means = table.mean(axis=0)
    return Cell(*means[:4], *np.median(table[:, 4:6], axis=0), means[6])


def tables(designs: Sequence[str], runs: int, seed: int) -> Iterator[str]:
    """Print the tables; yield the cells that cover too little."""
    least = LOW - 3 * (LOW * (1 - LOW) / runs) ** 0.5
    for design in designs:
        for shares in SHARES:
            print(f"\n## {design}, shares {shares[0]} and {shares[1]}\n")
            print("| judge |", " | ".join(f"{n} labels" for n in LABELS), "|")
            print("|---" * (1 + len(LABELS)) + "|")
            for judge in JUDGES:
                cells = [cell(design, shares, judge, n, runs, seed) for n in LABELS]
                print(f"| {judge.name} |", " | ".join(map(str, cells)), "|", flush=True)
                for n, each in zip(LABELS, cells, strict=True):
                    for share in (each.corrected, each.labels_only, each.arm):
                        if share < least and each.trusted > 0.5:
                            yield f"{design}, {shares}, {judge.name}, {n} labels: {share:.3f}"


def main() -> None:
    """Simulate and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=2000, help="data sets per cell")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--designs", nargs="+", choices=DESIGNS, default=DESIGNS)
    arguments = parser.parse_args()
    print("corrected / labels alone / judge alone / an arm's share")
    print("(effective labels, median half-width of the corrected interval in points)")
    misses = list(tables(arguments.designs, arguments.runs, arguments.seed))
    if misses:
        print("\nToo narrow although trusted:", *misses, sep="\n- ")
        sys.exit(1)


if __name__ == "__main__":
    main()
