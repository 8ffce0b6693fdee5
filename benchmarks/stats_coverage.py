"""Do the intervals cover, and do the tests keep their level? A simulation study.

Run it from the repository's root: ``python benchmarks/stats_coverage.py``. It makes up answers of
two arms with known rates (correct, wrong or abstained; independent items, and clusters of 10 that
depend on each other and react alike), compares the arms with the code that writes
significance.json, and prints how often each 95 % interval covers the truth and how often each test
at 5 % rejects a true null hypothesis, as Markdown.

A number in parentheses is of a method that marks itself as not to be trusted on most of those
data sets. The others are coverages over the data sets on which the method does not; they must be
at least 0.93 (give or take two standard errors of the simulation), or the script fails.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

# Many small matrices: threads would only wait for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from scipy import stats

from workflow_scripts.stats.betting import Bets, confidence_sequence
from workflow_scripts.stats.comparison import Comparison, compare
from workflow_scripts.stats.interaction import interaction, interaction_sums
from workflow_scripts.stats.intervals import cluster_t_interval
from workflow_scripts.stats.looks import by_spending
from workflow_scripts.stats.pairs import Pairs
from workflow_scripts.stats.resampling import sign_flip_p_of_many, units_of
from workflow_scripts.stats.selective import Answers
from workflow_scripts.stats.settings import Stats
from workflow_scripts.tasks.question_answering import (
    ABSTENTIONS,
    EXACT_MATCH,
    F1,
    FALSE_ANSWERS,
    OPEN_BOOK,
)

SIZES = (15, 50, 200, 2000)
DESIGNS = ("independent", "clusters of 10", "clusters of 1 to 19")
LOW = 0.93

SETTINGS = Stats(bootstrap_samples=1000, permutation_samples=1000)
METRICS = (EXACT_MATCH, F1, ABSTENTIONS, FALSE_ANSWERS)
ROLES = OPEN_BOOK.selective_risk

# Shares of an answer's disposition: what arms and items of a cluster share, what items of a
# cluster share under one arm only (this makes their differences depend), and the item's own.
CLUSTER, REACTION, ITEM = 0.15, 0.2, 0.45


@dataclass(frozen=True)
class Scenario:
    """Rates of correct and wrong answers of the control and the treatment; the rest abstains."""

    name: str
    control: tuple[float, float]
    treatment: tuple[float, float]


SCENARIOS = (
    Scenario("no effect", (0.6, 0.3), (0.6, 0.3)),
    Scenario("common", (0.6, 0.3), (0.65, 0.2)),
    Scenario("large", (0.4, 0.55), (0.7, 0.1)),
    Scenario("rare", (0.9, 0.06), (0.87, 0.02)),
)


def clusters_of(design: str, n: int, rng: np.random.Generator) -> np.ndarray:
    """Each item's cluster."""
    if design == "independent":
        return np.arange(n)
    if design == "clusters of 10":
        return np.arange(n) // 10
    sizes = rng.integers(1, 20, size=n)
    return np.repeat(np.arange(n), sizes)[:n]


def outcomes(
    scenario: Scenario, clusters: np.ndarray, rng: np.random.Generator
) -> list[tuple[np.ndarray, np.ndarray]]:
    """For both arms, which items are answered right, and which wrong."""
    n, n_clusters = len(clusters), int(clusters.max()) + 1
    shared = math.sqrt(CLUSTER) * rng.normal(size=n_clusters)[clusters]
    item = math.sqrt(ITEM) * rng.normal(size=n)
    found = []
    for correct, wrong in (scenario.control, scenario.treatment):
        reaction = math.sqrt(REACTION) * rng.normal(size=n_clusters)[clusters]
        own = math.sqrt(1 - CLUSTER - REACTION - ITEM) * rng.normal(size=n)
        disposition = stats.norm.cdf(shared + reaction + item + own)
        found.append((disposition < correct, disposition > 1 - wrong))
    return found


def made_up(scenario: Scenario, design: str, n: int, rng: np.random.Generator) -> Pairs:
    """Scores of both arms on ``n`` items."""
    clusters = clusters_of(design, n, rng)
    columns = []
    for correct, wrong in outcomes(scenario, clusters, rng):
        partly = wrong * (rng.random(n) < 0.5) * 0.8 * rng.random(n)
        columns.append(np.stack([correct, correct + partly, ~correct & ~wrong, wrong], axis=1))
    return Pairs(
        declared=METRICS,
        items=np.arange(n),
        control=columns[0].astype(np.float64),
        treatment=columns[1].astype(np.float64),
        sample_variance=np.zeros((n, len(METRICS))),
        samples_per_item=1,
        clusters=clusters,
        datasets=np.zeros(n, dtype=np.int64),
        dataset_names=("one",),
        subgroups={},
    )


@lru_cache
def truth(scenario: Scenario) -> dict[str, float]:
    """What the intervals should cover."""
    (c, w), (c2, w2) = scenario.control, scenario.treatment
    means = {"em": c2 - c, "f1": c2 - c + 0.2 * (w2 - w), "false_answer_rate": w2 - w}
    means["abstain_rate"] = c - c2 + w - w2

    def selective(correct: float, wrong: float) -> tuple[float, float, float]:
        n = 1000
        em = np.zeros(n)
        em[: round(correct * n)] = 1
        false_answer = np.zeros(n)
        false_answer[n - round(wrong * n) :] = 1
        found = Answers(em, false_answer, np.zeros(n, dtype=bool)).summary([])
        return found.coverage, found.risk or 0.0, found.aurc or 0.0

    before, after = selective(c, w), selective(c2, w2)
    names = ("coverage", "risk", "aurc")
    arms = {name: a - b for name, a, b in zip(names, after, before, strict=True)}
    rng = np.random.default_rng(0)
    (one, _), (other, _) = outcomes(scenario, np.arange(4_000_000), rng)
    return {**means, **arms, "odds_ratio": (other & ~one).sum() / (one & ~other).sum()}


Record = tuple[str, bool, bool]
"""A method, whether it is trusted on this data set, and whether it covers (or rejects)."""


def intervals(result: Comparison, scenario: Scenario) -> Iterator[Record]:
    """All intervals of one comparison."""
    true = truth(scenario)

    def covers(low: float | None, high: float | None, value: float) -> bool:
        return low is not None and low <= value and (high is None or value <= high)

    for metric, estimate in result.metrics.items():
        value = true[metric]
        shown = covers(estimate.ci_low, estimate.ci_high, value)
        yield f"headline, {metric}", estimate.ci_trusted, shown
        if metric not in ("em", "f1"):
            continue
        for method, interval in estimate.intervals.items():
            if (method, metric) == ("score", "f1"):
                continue  # a few data sets have no partly right answer
            yield (
                f"{method}, {metric}",
                interval.trusted,
                covers(interval.low, interval.high, value),
            )
        naive = covers(estimate.naive_ci_low, estimate.naive_ci_high, value)
        independent = result.meta.n_clusters == result.n_items
        yield f"naive, {metric}", independent and estimate.intervals["cluster_t"].trusted, naive
    test = result.mcnemar["em"]
    if test.odds_ratio_low is not None:
        ratio = covers(test.odds_ratio_low, test.odds_ratio_high, true["odds_ratio"])
        yield "mcnemar odds ratio, em", test.odds_ratio_trusted, ratio
    for name, difference in result.selective_difference.items():
        interval = difference.interval
        yield f"selective {name}", interval.trusted, covers(interval.low, interval.high, true[name])


def tests(result: Comparison) -> Iterator[Record]:
    """Whether tests at 5 % reject, where there is no effect."""
    independent = result.meta.n_clusters == result.n_items
    estimate, mcnemar = result.metrics["em"], result.mcnemar["em"]
    yield "permutation_p, em", True, estimate.permutation_p <= 0.05
    yield "permutation_p, f1", True, result.metrics["f1"].permutation_p <= 0.05
    yield "wilcoxon_p, f1", independent, (result.metrics["f1"].wilcoxon_p or 1) <= 0.05
    yield "mcnemar exact, em", independent, mcnemar.p_value <= 0.05
    yield "mcnemar mid-p, em", independent, mcnemar.mid_p <= 0.05


def boundary(scenario: Scenario, pairs: Pairs) -> Iterator[Record]:
    """Whether equivalence is claimed where the difference is exactly the margin."""
    margins = {metric: abs(truth(scenario)[metric]) for metric in ("em", "f1")}
    settings = SETTINGS.model_copy(update={"tost_margins": margins, "bootstrap_samples": 100})
    result, _ = compare(pairs, [], "control", "treatment", settings, {}, ROLES)
    for metric, found in result.tost.items():
        yield f"tost ({found.method}), {metric}", found.trusted, bool(found.equivalent)


def one_cell(scenario: Scenario, design: str, n: int, runs: int, seed: int) -> list[Record]:
    """All records of ``runs`` data sets."""
    rng = np.random.default_rng([seed, n, DESIGNS.index(design), SCENARIOS.index(scenario)])
    found: list[Record] = []
    for _ in range(runs):
        pairs = made_up(scenario, design, n, rng)
        result, _ = compare(pairs, [], "control", "treatment", SETTINGS, {}, ROLES)
        found += intervals(result, scenario)
        if scenario.name == "no effect":
            found += [(f"test: {name}", *rest) for name, *rest in tests(result)]
        elif scenario.name == "common":
            found += [(f"test: {name}", *rest) for name, *rest in boundary(scenario, pairs)]
    return found


def summary(records: list[Record]) -> dict[str, tuple[float, float, int]]:
    """By method: the share that is trusted, and the share of hits, of those if they are most."""
    by_method: dict[str, list[tuple[bool, bool]]] = defaultdict(list)
    for method, trusted, hit in records:
        by_method[method].append((trusted, hit))
    found = {}
    for method, all_of_it in by_method.items():
        trusted = [hit for is_trusted, hit in all_of_it if is_trusted]
        share = len(trusted) / len(all_of_it)
        counted = trusted if share > 0.5 else [hit for _, hit in all_of_it]
        found[method] = (share, sum(counted) / len(counted), len(counted))
    return found


def table(
    title: str,
    cells: dict[tuple[str, int], dict[str, tuple[float, float, int]]],
    prefix: str,
    fits: Callable[[float, float], bool],
) -> list[str]:
    """Print one table; the cells that are trusted and do not fit."""
    columns = list(cells)
    methods = dict.fromkeys(
        method
        for cell in cells.values()
        for method in cell
        if method.startswith("test: ") == bool(prefix)
    )
    print(f"\n### {title}\n")
    print("| method | " + " | ".join(f"{name}, n = {n:,}" for name, n in columns) + " |")
    print("|---" * (len(columns) + 1) + "|")
    misses = []
    for method in methods:
        row = []
        for column in columns:
            if method not in cells[column]:
                row.append("")
                continue
            share, hits, counted = cells[column][method]
            if share <= 0.5:
                row.append(f"({hits:.3f})")
                continue
            row.append(f"{hits:.3f}")
            if not fits(hits, 2 * math.sqrt(max(hits * (1 - hits), 0.01) / counted)):
                misses.append(f"{title}: {method}, {column[0]}, n = {column[1]}: {hits:.3f}")
        print(f"| {method.removeprefix(prefix)} | " + " | ".join(row) + " |")
    return misses


def overview(
    design: str, cells: dict[tuple[str, int], dict[str, tuple[float, float, int]]]
) -> None:
    """Print the range of coverages by method and size, over scenarios and metrics."""
    by_method: dict[str, dict[tuple[int, bool], list[float]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for (_, n), cell in cells.items():
        for method, (share, hits, _) in cell.items():
            if not method.startswith("test: "):
                by_method[method.split(",")[0]][n, share > 0.5].append(hits)
    print(f"\n### {design[0].upper()}{design[1:]}\n")
    print("| interval | " + " | ".join(f"n = {n:,}" for n in SIZES) + " |")
    print("|---" * (len(SIZES) + 1) + "|")
    for method, of_method in by_method.items():
        row = []
        for n in SIZES:
            ranges = [
                _range(of_method[n, trusted], trusted=trusted)
                for trusted in (True, False)
                if of_method[n, trusted]
            ]
            row.append(" ".join(ranges))
        print(f"| {method} | " + " | ".join(row) + " |")


def _range(values: list[float], *, trusted: bool) -> str:
    low, high = f"{min(values):.3f}", f"{max(values):.3f}"
    text = low if low == high else f"{low}–{high}"
    return text if trusted else f"({text})"


def interactions(runs: int) -> list[str]:
    """Coverage, and rejections at 5 %, where an effect is the same in two parts of the items."""
    sizes = SIZES[1:]
    print("\n### Interaction of exact match with a part of 30 % of the items\n")
    print("| design | rates | " + " | ".join(f"n = {n:,}" for n in sizes) + " |")
    print("|---" * (len(sizes) + 2) + "|")
    misses = []
    for design in DESIGNS:
        for scenario in SCENARIOS:
            row = []
            for n in sizes:
                rng = np.random.default_rng([10, DESIGNS.index(design), SCENARIOS.index(scenario)])
                records, tests = [], []
                for _ in range(runs):
                    pairs = made_up(scenario, design, n, rng)
                    second = rng.random(n) < 0.3
                    values = pairs.differences[:, pairs.column("em")]
                    found = interaction(values, pairs.clusters, second)
                    if found is not None:
                        interval = cluster_t_interval(found, 0.95)
                        records.append((interval.trusted, interval.low <= 0 <= interval.high))
                        tests.append(units_of(interaction_sums(values, pairs.clusters, second), 1))
                covered = [hit for trusted, hit in records if trusted]
                most = len(covered) > len(records) / 2
                coverage = float(np.mean(covered if most else [hit for _, hit in records]))
                p_values = sign_flip_p_of_many(tests, 1000, rng, 1000)
                rejected = float(np.mean(np.array(p_values) <= 0.05))
                row.append(f"{coverage:.3f}" if most else f"({coverage:.3f})")
                row[-1] += f", {rejected:.3f}"
                error = 2 * math.sqrt(0.05 * 0.95 / len(records))
                if most and (coverage < LOW - error or rejected > 0.06 + error):
                    misses.append(f"interaction: {design}, {scenario.name}, n = {n}: {row[-1]}")
            print(f"| {design} | {scenario.name} | " + " | ".join(row) + " |", flush=True)
    return misses


def sequences(runs: int) -> list[str]:
    """How often a confidence sequence ever leaves the truth, looking after each cluster."""
    rng = np.random.default_rng(8)
    print("\n### Confidence sequence: runs that ever rule out the truth, one look a cluster\n")
    print("| design | no effect | common | large | rare |")
    print("|---|---|---|---|---|")
    misses = []
    for design in DESIGNS:
        row = []
        for scenario in SCENARIOS:
            value, wrong = truth(scenario)["em"], 0
            for _ in range(runs):
                pairs = made_up(scenario, design, 1000, rng)
                totals = np.bincount(pairs.clusters, pairs.differences[:, 0])
                sizes = np.bincount(pairs.clusters).astype(np.float64)
                bets = Bets.on(totals, sizes, 10 if design == "clusters of 10" else 19, 0.025)
                if design == "independent":
                    bets = Bets.on(totals, sizes, 1, 0.025)
                wealth = max(
                    bets.log_wealth(value, rising=rising).max() for rising in (True, False)
                )
                wrong += wealth >= math.log(40)
            row.append(f"{wrong / runs:.3f}")
            if wrong / runs > 0.05 + 2 * math.sqrt(0.05 * 0.95 / runs):
                misses.append(f"sequence: {design}, {scenario.name}: {wrong / runs:.3f}")
        print(f"| {design} | " + " | ".join(row) + " |")
    return misses


def waves(runs: int) -> list[str]:
    """Five looks at exact match by alpha spending, beside one look at the end and betting."""
    print("\n### Five waves of exact match at 5 %, n = 1,000\n")
    print(
        "| design | rates | spending | one look | betting | coverage | bias of the plain mean "
        "| of the adjusted estimate | adjusted above the truth | items |"
    )
    print("|---" * 10 + "|")
    misses = []
    for design in DESIGNS:
        for scenario in SCENARIOS:
            rng = np.random.default_rng([9, DESIGNS.index(design), SCENARIOS.index(scenario)])
            true = truth(scenario)["em"]
            rows = [one_trial(scenario, design, true, rng) for _ in range(runs)]
            spending, once, betting, covered, plain, adjusted, above, items = np.mean(rows, axis=0)
            print(
                f"| {design} | {scenario.name} | {spending:.3f} | {once:.3f} | {betting:.3f} | "
                f"{covered:.3f} | {100 * plain:+.2f} | {100 * adjusted:+.2f} | {above:.3f} | "
                f"{items:.2f} |"
            )
            error = 2 * math.sqrt(0.05 * 0.95 / runs)
            if covered < LOW - error or (true == 0 and spending > 0.06 + error):
                misses.append(f"waves: {design}, {scenario.name}: {spending:.3f}, {covered:.3f}")
    return misses


def one_trial(
    scenario: Scenario, design: str, true: float, rng: np.random.Generator
) -> list[float]:
    """What `waves` counts of one trial; biases are differences from the truth."""
    pairs = made_up(scenario, design, 1000, rng)
    differences = pairs.differences[:, pairs.column("em")]
    looks = []
    for number in range(1, 6):
        among = pairs.clusters < pairs.n_clusters * number // 5
        looks.append((differences[among], pairs.clusters[among]))
    found = by_spending(looks, pairs.n_items, 0.05, "either", None, is_last=True)
    once = by_spending(looks[-1:], pairs.n_items, 0.05, "either", None, is_last=True)
    most = int(np.bincount(pairs.clusters).max())
    bets = [confidence_sequence(*look, most, 0.05) for look in looks]
    return [
        found.outcome != "undecided",
        once.outcome != "undecided",
        any(each.ci_low > 0 or each.ci_high < 0 for each in bets),
        found.ci_low <= true <= found.ci_high,
        found.estimate - true,
        (found.adjusted_estimate or 0.0) - true,
        (found.adjusted_estimate or 0.0) > true,
        found.n_items / pairs.n_items,
    ]


def main() -> None:
    """Simulate and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=1000, help="data sets per cell")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()

    plan = [
        (scenario, design, n, arguments.runs if n < 2000 else arguments.runs // 2, arguments.seed)
        for design in DESIGNS
        for scenario in SCENARIOS
        for n in SIZES
    ]
    with ProcessPoolExecutor(arguments.processes) as pool:
        records = dict(
            zip(
                [(scenario.name, design, n) for scenario, design, n, *_ in plan],
                pool.map(one_cell, *zip(*plan, strict=True)),
                strict=True,
            )
        )
    misses = []
    for design in DESIGNS:
        for scenario in SCENARIOS:
            cells = {(scenario.name, n): summary(records[scenario.name, design, n]) for n in SIZES}
            misses += table(
                f"Coverage of 95 % intervals: {design}, {scenario.name}",
                cells,
                "",
                lambda hits, error: hits >= LOW - error,
            )
        cells = {
            (name, n): summary(records[name, design, n])
            for name in ("no effect", "common")
            for n in SIZES
        }
        misses += table(
            f"Rejections of a true null hypothesis at 5 %: {design}",
            cells,
            "test: ",
            lambda hits, error: hits <= 0.05 + 0.01 + error,
        )
    print("\n## Ranges over scenarios and metrics")
    for design in DESIGNS:
        cells = {
            (scenario.name, n): summary(records[scenario.name, design, n])
            for scenario in SCENARIOS
            for n in SIZES
        }
        overview(design, cells)
    misses += interactions(arguments.runs)
    misses += sequences(arguments.runs)
    misses += waves(arguments.runs)
    if misses:
        print("\nOutside although trusted:", *misses, sep="\n- ")
        sys.exit(1)


if __name__ == "__main__":
    main()
