"""Tokens and seconds of each item: usage_per_item.csv, and in usage.json the arms compared.

They are compared by ratios, like the amounts that a task measures, but are a family of tests of
their own: that an experiment counts tokens must not change what it says of its answers.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..answers.predictions import answer as row_of
from ..comparisons.records import ByContrast, Multiplicity, content_of
from ..core.errors import UserError
from ..core.prompts import CONTROL
from ..core.records import Answer, Record, ResultFile, TaskName
from ..core.usage import THOUGHTS, USAGE
from ..stats.amounts import AmountEstimate, amount_estimates, log_values
from ..stats.multiplicity import benjamini_hochberg, holm
from ..stats.pairs import pair
from ..stats.resampling import permutations_for
from ..stats.scores import FloatArray, Group, ItemTable, ScoreBuilder, Scores
from ..stats.settings import Stats
from .settings import TrialCostSettings

FAMILY = "usage"


class ItemUsage(Record):
    """One row of usage_per_item.csv: means over the item's answered samples.

    Where the arm's model rewrote the item's question, each sample has an equal part of that.

    ``None``: one of these answers does not say it. Answers of batch jobs have no latency, and
    without a price there is no cost.
    """

    item_key: str
    type: TaskName
    condition: str
    temp: str
    answers: int
    prompt_tokens: float | None = None
    completion_tokens: float | None = None
    total_tokens: float | None = None
    thought_tokens: float | None = None
    latency_s: float | None = None
    cost_usd: float | None = None


_FAMILIES = {FAMILY: USAGE, "thoughts": THOUGHTS}

_ALL = (*USAGE, *THOUGHTS)
_MEANS = [name for name, each in ItemUsage.model_fields.items() if not each.is_required()]


class UsagePerItem:
    """The rows of usage_per_item.csv, in the order of the items' first answers.

    Kept as columns: a record for each row would be many times as large.
    """

    def __init__(self, answers: Iterable[Answer], settings: TrialCostSettings) -> None:
        """Take in all answers of a trial."""
        self._places: list[Group] = []
        self._keys: list[str] = []
        self._counts = array("q")
        self._sums = array("d")
        groups: dict[Group, tuple[Group, dict[str, int]]] = {}
        known: dict[str, str] = {}  # arms share the texts of keys
        for answer in answers:
            if not answer.failed:
                named = Group(answer.type, answer.condition, answer.temp)
                group, rows = groups.setdefault(named, (named, {}))
                key = known.setdefault(answer.item_key, answer.item_key)
                row = rows.setdefault(key, len(self._keys))
                if row == len(self._keys):
                    self._places.append(group)
                    self._keys.append(key)
                    self._counts.append(0)
                    self._sums.extend([0.0] * len(_MEANS))
                self._counts[row] += 1
                self._add(row, _used(answer, settings))
        for condition, arm in settings.arms.items():
            for line in (line for each in arm.rewritings for line in each.parts.raw_lines()):
                found = [
                    rows
                    for group, rows in groups.values()
                    if (group.type, group.condition) == (line.prompt, condition)
                ]
                self._share(found, line.item_key, _used(row_of(condition, line), settings))

    def _share(self, groups: list[dict[str, int]], item: str, used: list[float]) -> None:
        """Give each sample of an item, at all temperatures, an equal part of what was used."""
        rows = [rows[item] for rows in groups if item in rows]
        samples = sum(self._counts[row] for row in rows)
        for row in rows:
            self._add(row, [each * self._counts[row] / samples for each in used])

    def _add(self, row: int, used: list[float]) -> None:
        for place, each in enumerate(used, row * len(_MEANS)):
            self._sums[place] += each

    def __iter__(self) -> Iterator[ItemUsage]:
        width = len(_MEANS)
        for row, (group, key, n) in enumerate(
            zip(self._places, self._keys, self._counts, strict=True)
        ):
            sums = self._sums[row * width : (row + 1) * width]
            means: dict[str, Any] = {
                name: total / n
                for name, total in zip(_MEANS, sums, strict=True)
                if not math.isnan(total)
            }
            yield ItemUsage(item_key=key, **group._asdict(), answers=n, **means)


def _used(answer: Answer, settings: TrialCostSettings) -> list[float]:
    """What an answer used of each of `_MEANS`; NaN is unknown."""
    quote = settings.arms[answer.condition].quote
    usd = None if quote is None else quote.usd_of(answer.usage, batch=answer.from_batch_job)
    used = [*(getattr(answer, name) for name in _MEANS[:-1]), usd]
    return [math.nan if each is None else float(each) for each in used]


@dataclass
class UsageComparison:
    """The ratios of one comparison by name of `USAGE` and `THOUGHTS`, without unmeasured ones.

    ``zeros``: how many items have a mean of 0 under an arm. A ratio cannot have them, so they are
    left out and count as unmeasured.
    """

    ratios: dict[str, AmountEstimate] = field(default_factory=dict)
    zeros: dict[str, int] = field(default_factory=dict)


class UsageFile(ResultFile):
    """usage.json."""

    schema_version: int = 1
    control: str = CONTROL
    confidence: float
    multiplicity: Multiplicity
    results: ByContrast[UsageComparison]

    def of(self, treatment: str, temp: str, task: str) -> UsageComparison:
        """One comparison; empty if the file does not have it."""
        return content_of(self.results, treatment, temp, task) or UsageComparison()


def usage(rows: Iterable[ItemUsage], table: ItemTable, settings: Stats) -> UsageFile:
    """Return the content of usage.json.

    Args:
        rows: usage_per_item.csv.
        table: the items.
        settings: how to test.

    Raises:
        UserError: an item is not in the table.
    """
    found = _compared(_scores(rows, table), table, settings)
    families = {}
    for family, metrics in _FAMILIES.items():
        estimates = [
            each
            for by_temp in found.values()
            for by_task in by_temp.values()
            for comparison in by_task.values()
            for name, each in comparison.ratios.items()
            if name in {metric.name for metric in metrics}
        ]
        p_values = [each.permutation_p for each in estimates]
        for each, p_holm, q_value in zip(
            estimates, holm(p_values), benjamini_hochberg(p_values), strict=True
        ):
            each.family, each.p_holm, each.q_value = family, p_holm, q_value
        if estimates or family == FAMILY:
            families[family] = len(estimates)
    return UsageFile(
        confidence=settings.confidence,
        multiplicity=Multiplicity(families=families),
        results=found,
    )


def _scores(rows: Iterable[ItemUsage], table: ItemTable) -> Scores:
    """The values of `USAGE` and `THOUGHTS` by arm, with their zeros."""
    keys: dict[Group, list[str]] = {}
    numbers: dict[Group, array[float]] = {}
    for row in rows:
        group = Group(row.type, row.condition, row.temp)
        keys.setdefault(group, []).append(row.item_key)
        used = (getattr(row, metric.name) for metric in _ALL)
        values = numbers.setdefault(group, array("d"))
        values.extend(math.nan if each is None else each for each in used)
    builder = ScoreBuilder(table, _ALL)
    try:
        for group, of_group in numbers.items():
            columns = np.frombuffer(of_group).reshape(-1, len(_ALL))
            builder.add(group, table.rows_of(keys[group]), np.hstack([columns, 0 * columns]))
        return builder.scores()
    except ValueError as error:
        raise UserError(str(error)) from error


def _compared(scores: Scores, table: ItemTable, settings: Stats) -> ByContrast[UsageComparison]:
    places = sorted({(group.temp, group.type) for group in scores})
    treatments = sorted({group.condition for group in scores} - {CONTROL})
    most = permutations_for(len(treatments) * len(places) * len(USAGE), settings)
    found: ByContrast[UsageComparison] = {}
    for treatment in treatments:
        for temp, task in places:
            one = scores.get(Group(task, CONTROL, temp))
            other = scores.get(Group(task, treatment, temp))
            if one is None or other is None:
                continue
            pairs, _ = pair(one, other, table)
            zeros = _take_zeros(pairs.amounts)
            ratios, _ = amount_estimates(log_values(pairs), settings, most)
            comparison = UsageComparison(ratios, zeros)
            found.setdefault(treatment, {}).setdefault(temp, {})[task] = comparison
    return found


def _take_zeros(amounts: Mapping[str, FloatArray]) -> dict[str, int]:
    """Make values of 0 unmeasured; return how many items have one, by amount."""
    found = {}
    for name, values in amounts.items():
        zero = values == 0
        values[zero] = np.nan
        if zero.any():
            found[name] = int(zero.any(axis=1).sum())
    return found
