"""What a treatment uses, and what an avoided false answer costs: cost_effectiveness.json.

usage.json and usage_per_item.csv are made beside it.

What an arm used is known as a sum, so both costs and false answers are taken per request over all
tasks and temperatures of the trial. How certain the difference in costs is comes from the requests
that both arms answered: paired by item, with items of a cluster together.
"""

from __future__ import annotations

import argparse
import math
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from ..comparisons.records import FalseAnswers, Significance
from ..comparisons.score_files import read_table
from ..comparisons.settings import StatsSettings
from ..core.errors import UserError, command
from ..core.files import read_csv, read_settings, write_csv, write_record
from ..core.records import Answer, ResultFile
from ..core.seals import SealWriter, add_seal_argument
from ..stats.intervals import mean_difference, t_quantile
from ..stats.pairs import numbered
from ..stats.scores import FloatArray, IntArray, ItemTable
from .records import ArmCosts, ArmTimes, Costs, LocalCosts
from .settings import TrialCostSettings
from .usage import ItemUsage, UsagePerItem, usage

RESOURCES = ("cost_usd", "total_tokens", "total_latency_s")

Place = tuple[str, str]
"""Temperature and task."""

Verdict = Literal[
    "dominates",
    "trade_off",
    "avoids",
    "saves_at_a_loss",
    "dominated",
    "loses",
    "unclear",
]


def per_request(times: ArmTimes, costs: ArmCosts, resource: str) -> float | None:
    """Use of a resource by one request on average; ``None`` is unknown.

    The rewriting of its question is part of it. Batch jobs have no latency of their own.
    """
    used: float | None = getattr(costs if resource == "cost_usd" else times, resource)
    # The cost has it already.
    rewriting = 0.0 if resource == "cost_usd" else costs.rewriting(resource)
    if resource == "total_latency_s" and used == 0:
        return None
    if used is None or rewriting is None or not times.requests:
        return None
    return (used + rewriting) / times.requests


@dataclass(frozen=True)
class CostEffectiveness:
    """A resource against the false answers that it avoids (or saves at).

    ``extra_per_request``: treatment minus control, with its interval; ``None`` ends are unknown.
    ``per_avoided``: extra use for each false answer avoided (the incremental cost-effectiveness
    ratio). Its ends are the most extreme ratios of the ends of the two differences. ``None``
    unless the treatment clearly avoids false answers, because the ratio then has no finite
    interval.

    ``verdict``: dominates (avoids false answers and uses no more), trade_off (avoids them for
    more), avoids (the same, and the interval of the extra use has 0 in it or is unknown);
    saves_at_a_loss (makes more of them for less), dominated (makes more of them and uses no less),
    loses (the same without a clear difference in use); unclear (the interval of the difference in
    false answers has 0 in it).
    """

    extra_per_request: float
    per_avoided: float | None
    per_avoided_low: float | None
    per_avoided_high: float | None
    verdict: Verdict
    extra_low: float | None = None
    extra_high: float | None = None


class TreatmentCosts(ResultFile):
    """What a treatment uses more than the control, by resource; ``None`` is unknown."""

    false_answers: FalseAnswers
    resources: dict[str, CostEffectiveness | None]


class CostEffectivenessFile(ResultFile):
    """cost_effectiveness.json."""

    schema_version: int = 1
    control: str
    by_treatment: dict[str, TreatmentCosts]

    @property
    def is_known(self) -> bool:
        """Whether anything is known about what the treatments use."""
        return any(used for each in self.by_treatment.values() for used in each.resources.values())


def cost_effectiveness(
    extra: float, half_width: float | None, difference: FalseAnswers
) -> CostEffectiveness:
    """Relate the extra use of a resource per request to the difference in false answers.

    ``half_width`` of the interval of ``extra``, ``None`` where it is unknown.
    """
    extra_low = None if half_width is None else extra - half_width
    extra_high = None if half_width is None else extra + half_width
    low, high = difference.ci_low, difference.ci_high

    def without_ratio(verdict: Verdict) -> CostEffectiveness:
        return CostEffectiveness(extra, None, None, None, verdict, extra_low, extra_high)

    if low is None or high is None or low <= 0 <= high:
        return without_ratio("unclear")
    rises = extra_low is not None and extra_low > 0
    falls = extra_high is not None and extra_high < 0
    equal = extra_low == extra_high == 0
    if low > 0:
        return without_ratio(
            "saves_at_a_loss" if falls else "dominated" if rises or equal else "loses"
        )
    ratios = [
        end / -of_answers
        for end in (extra_low, extra_high)
        for of_answers in (low, high)
        if end is not None
    ]
    return CostEffectiveness(
        extra_per_request=extra,
        per_avoided=extra / -difference.difference,
        per_avoided_low=min(ratios, default=None),
        per_avoided_high=max(ratios, default=None),
        verdict="trade_off" if rises else "dominates" if falls or equal else "avoids",
        extra_low=extra_low,
        extra_high=extra_high,
    )


class Uses(NamedTuple):
    """What the items of one arm used in one task: a row of amounts each, NaN is unknown."""

    items: IntArray
    amounts: FloatArray


def uses(rows: Iterable[ItemUsage], table: ItemTable) -> dict[str, dict[Place, Uses]]:
    """Mean use of each of `RESOURCES` by condition and place."""
    found: dict[str, dict[Place, tuple[array[int], array[float]]]] = {}
    for row in rows:
        item = table.index.get(row.item_key)
        if item is not None:
            of_arm = found.setdefault(row.condition, {})
            items, amounts = of_arm.setdefault((row.temp, row.type), (array("q"), array("d")))
            items.append(item)
            used = (row.cost_usd, row.total_tokens, row.latency_s)
            amounts.extend(math.nan if each is None else each for each in used)
    return {
        condition: {
            place: Uses(
                np.frombuffer(items, dtype=np.int64),
                np.frombuffer(amounts).reshape(-1, len(RESOURCES)),
            )
            for place, (items, amounts) in of_arm.items()
        }
        for condition, of_arm in found.items()
    }


def half_widths(
    one: Mapping[Place, Uses],
    other: Mapping[Place, Uses],
    table: ItemTable,
    confidence: float,
) -> list[float | None]:
    """Half the cluster-robust t interval of the paired difference in each of `RESOURCES`.

    ``None`` where an answer does not say what it used, or where there is one cluster only.
    """
    pairs = [_paired(one[place], other[place]) for place in sorted(one.keys() & other.keys())]
    if not any(len(items) for items, _ in pairs):
        return [None] * len(RESOURCES)
    items, differences = (np.concatenate(each) for each in zip(*pairs, strict=True))
    clusters = numbered(table.clusters[items])
    found: list[float | None] = []
    for column in differences.T:
        if np.isnan(column).any():
            found.append(None)
            continue
        mean = mean_difference(column, clusters)
        error = mean.standard_error
        quantile = t_quantile(mean.freedom, (1 + confidence) / 2)
        found.append(None if error is None else quantile * error)
    return found


def _paired(one: Uses, other: Uses) -> Uses:
    """The items that both have, with the differences in what they used."""
    items, left, right = np.intersect1d(
        one.items, other.items, assume_unique=True, return_indices=True
    )
    return Uses(items, other.amounts[right] - one.amounts[left])


@command
def main() -> None:
    """Compare what the arms used, and relate it to their false answers."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--significance", type=Path, required=True, help="significance.json")
    parser.add_argument("--local-costs", type=Path, required=True, help="local_costs.json")
    parser.add_argument("--costs", type=Path, required=True, help="costs.json")
    parser.add_argument(
        "--settings", type=Path, required=True, help="TrialCostSettings as JSON: the prices"
    )
    parser.add_argument("--stats-settings", type=Path, required=True, help="StatsSettings")
    parser.add_argument("--answers", type=Path, required=True, help="answers.csv")
    parser.add_argument("--items", type=Path, required=True, nargs="+", help="item files (JSONL)")
    parser.add_argument("--usage-per-item", type=Path, required=True, help="usage_per_item.csv")
    parser.add_argument("--usage", type=Path, required=True, help="usage.json")
    parser.add_argument("--output", type=Path, required=True, help="cost_effectiveness.json")
    add_seal_argument(parser)
    arguments = parser.parse_args()

    settings = read_settings(arguments.settings, TrialCostSettings)
    read = [arguments.significance, arguments.local_costs, arguments.costs, arguments.answers]
    read += [Path(file) for arm in settings.arms.values() for file in arm.rewriting_files()]
    seal = SealWriter(arguments.seal, [*read, *arguments.items])
    significance = read_settings(arguments.significance, Significance)
    costs = read_settings(arguments.costs, Costs)
    times = read_settings(arguments.local_costs, LocalCosts)
    table = read_table(arguments.items)
    rows = UsagePerItem(read_csv(arguments.answers, Answer), settings)
    stats = read_settings(arguments.stats_settings, StatsSettings).stats
    write_csv(arguments.usage_per_item, ItemUsage, rows)
    write_record(arguments.usage, usage(rows, table, stats))
    used = uses(rows, table)
    by_treatment = {}
    for treatment, difference in significance.false_answers.items():
        for condition in (significance.control, treatment):
            if condition not in times.by_condition:
                raise UserError(f"{arguments.local_costs}: there are no costs of {condition!r}")
        resources = {}
        widths = half_widths(
            used.get(significance.control, {}),
            used.get(treatment, {}),
            table,
            significance.confidence,
        )
        for resource, half_width in zip(RESOURCES, widths, strict=True):
            before, after = (
                per_request(times.of(condition), costs.of(condition), resource)
                for condition in (significance.control, treatment)
            )
            resources[resource] = (
                None
                if before is None or after is None
                else cost_effectiveness(after - before, half_width, difference)
            )
        by_treatment[treatment] = TreatmentCosts(false_answers=difference, resources=resources)
    found = CostEffectivenessFile(control=significance.control, by_treatment=by_treatment)
    write_record(arguments.output, found)
    seal.seal(arguments.output, arguments.usage_per_item, arguments.usage)


if __name__ == "__main__":
    main()
