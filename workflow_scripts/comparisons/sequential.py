"""The command that decides, after each wave of parts, whether the primary question is settled.

It reads the scores of the waves so far, in their order, and writes decision.json. The waves that
are left need not be inferred once it is settled. The error rate stays at the declared alpha: by
spending it over the declared waves (`workflow_scripts.stats.looks`), or by a confidence sequence
that bears a look at any moment (`workflow_scripts.stats.betting`).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydantic import Field

from ..core.block import Block
from ..core.errors import UserError, command
from ..core.files import read_settings, write_record
from ..core.prompts import CONTROL
from ..core.seals import SealWriter, add_seal_argument
from ..stats.betting import confidence_sequence
from ..stats.looks import Looked, Outcome, by_spending
from ..stats.pairs import numbered
from ..stats.scores import BoolArray, FloatArray, Group, IntArray, ItemTable, Scores
from ..stats.settings import Registration, Stopping
from .registration import declaration, digest_of
from .score_files import declared_items, read_scores, read_table
from .settings import StatsSettings, WaveSettings

SCHEMA_VERSION = 2


class SequentialTest(Block):
    """The primary metric in one comparison, after the waves so far or those that it needed.

    ``alpha`` is this comparison's part of the declared one. ``waves``: how many settled it, or
    were looked at. ``estimate`` is the plain mean; ``adjusted_estimate`` is median-unbiased
    although the test may have stopped early. ``ci_low`` to ``ci_high`` and ``p_value`` take all
    looks into account. ``statistic`` and ``boundary``: z at the last look, and what it had to
    reach. ``n_waiting``: scored items of clusters that are not complete yet, or have items
    without an answer; they do not count. ``n_planned``: items of all waves.

    By spending, ``p_value`` and ``adjusted_estimate`` are ``None`` until the test has ended, and
    ``boundary`` where nothing may be spent yet. By betting there are no ``adjusted_estimate``,
    ``statistic`` and ``boundary``.
    """

    treatment: str
    temp: str
    task: str
    alpha: float
    n_items: int
    n_clusters: int
    n_waiting: int
    n_planned: int
    estimate: float
    ci_low: float
    ci_high: float
    p_value: float | None
    outcome: Outcome
    waves: int = 0
    adjusted_estimate: float | None = None
    statistic: float | None = None
    boundary: float | None = None


class Decision(Block):
    """decision.json: ``settled`` once every primary comparison has an outcome.

    ``requests`` were asked in ``waves``; ``requests_planned`` are those of all waves.
    ``subgroup``: the part of the items that decides; all of them if it is ``None``.
    ``stopping``: the procedure; files of earlier versions, which had one only, do not name it.
    """

    schema_version: int
    digest: str
    primary: str
    waves: int
    waves_planned: int
    requests: int
    requests_planned: int
    settled: bool
    stopping: Stopping = "betting"
    comparisons: list[SequentialTest]
    subgroup: str | None = Field(
        # Left out, so that decisions on all items stay what they always were.
        default=None,
        exclude_if=lambda subgroup: subgroup is None,
    )


def decide(
    waves: Sequence[Scores],
    table: ItemTable,
    settings: WaveSettings,
    requests: int,
    requests_planned: int,
) -> Decision:
    """Whether the primary question is settled after ``waves``, given in the order they came in.

    Raises:
        UserError: no primary question is declared, or no comparison answers it.
    """
    stats = settings.stats.stats
    declared, content = stats.registration, declaration(stats)
    if declared is None or content is None:
        raise UserError(
            "stats.registration is not set: early stopping needs a declared primary question"
        )
    places = settings.primary_comparisons()
    if not places:
        raise UserError("the trial has no treatment in the declared task and temperature")
    alpha = declared.alpha / len(places)
    comparisons = [
        _test(waves, table, settings, declared, alpha, treatment, temp, task)
        for treatment, temp, task in places
    ]
    return Decision(
        schema_version=SCHEMA_VERSION,
        digest=digest_of(content),
        primary=declared.primary,
        waves=len(waves),
        waves_planned=settings.waves_planned,
        requests=requests,
        requests_planned=requests_planned,
        settled=all(each.outcome != "undecided" for each in comparisons),
        stopping=declared.stopping,
        comparisons=comparisons,
        subgroup=declared.subgroup,
    )


def _test(
    waves: Sequence[Scores],
    table: ItemTable,
    settings: WaveSettings,
    declared: Registration,
    alpha: float,
    treatment: str,
    temp: str,
    task: str,
) -> SequentialTest:
    members = declared_items(table, settings.stats.stats)
    of_task = _clusters_of(table, settings.stats, task, members)
    asked = np.zeros(len(table.keys), dtype=np.bool_)
    differences = np.full(len(table.keys), np.nan)
    position = np.full(len(of_task), -1)  # of a cluster, in the order in which they were complete
    n_arrived: list[int] = []
    for number, wave in enumerate(waves):
        for group, arm in wave.items():
            if (group.temp, group.type) == (temp, task):
                asked[arm.items] = True
        groups = Group(task, CONTROL, temp), Group(task, treatment, temp)
        _pair(wave, *groups, declared.primary, differences)
        complete = np.bincount(table.clusters, asked & members, len(of_task)) == of_task
        new = np.flatnonzero(complete & (of_task > 0) & (position < 0))
        rng = np.random.default_rng([settings.stats.stats.random_seed, number])
        start = n_arrived[-1] if n_arrived else 0
        position[rng.permutation(new)] = start + np.arange(len(new))
        n_arrived.append(start + len(new))

    paired = ~np.isnan(differences) & members
    places = position[table.clusters]

    def after(n_clusters: int) -> tuple[FloatArray, IntArray]:
        """Differences and clusters of the items of the first so many clusters."""
        counts = paired & (places >= 0) & (places < n_clusters)
        return differences[counts], numbered(places[counts])

    looks = [after(n_clusters) for n_clusters in n_arrived]
    n_planned, n_paired = int(of_task.sum()), int(paired.sum())
    if declared.stopping == "alpha_spending":
        is_last = len(waves) == settings.waves_planned
        found = by_spending(
            looks, n_planned, alpha, declared.direction, declared.margin, is_last=is_last
        )
    else:
        found = _by_betting(looks[-1], len(waves), int(of_task.max(initial=1)), alpha, declared)
    return SequentialTest(
        treatment=treatment,
        temp=temp,
        task=task,
        alpha=alpha,
        n_items=found.n_items,
        n_clusters=found.n_clusters,
        n_waiting=n_paired - len(looks[-1][0]),
        n_planned=n_planned,
        estimate=found.estimate,
        ci_low=found.ci_low,
        ci_high=found.ci_high,
        p_value=found.p_value,
        outcome=found.outcome,
        waves=found.looks,
        adjusted_estimate=found.adjusted_estimate,
        statistic=found.statistic,
        boundary=found.boundary,
    )


def _by_betting(
    items: tuple[FloatArray, IntArray], waves: int, most: int, alpha: float, declared: Registration
) -> Looked:
    """The confidence sequence after all ``items``; ``most``: those of the largest cluster."""
    differences, clusters = items
    found = confidence_sequence(differences, clusters, most, alpha, declared.direction)
    return Looked(
        looks=waves,
        n_items=len(differences),
        n_clusters=int(clusters.max(initial=-1)) + 1,
        outcome=_outcome(found.ci_low, found.ci_high, declared.margin),
        estimate=found.estimate,
        ci_low=found.ci_low,
        ci_high=found.ci_high,
        p_value=found.p_value,
        adjusted_estimate=None,
        statistic=None,
        boundary=None,
    )


def _clusters_of(
    table: ItemTable, settings: StatsSettings, task: str, members: BoolArray
) -> IntArray:
    """By cluster code: how many of ``members`` it has in a task, 0 for clusters of other tasks.

    All that will ever be asked counts, also what no wave has brought yet.
    """
    belongs = np.array(
        [settings.tasks.get(name, task) == task for name in table.dataset_names], dtype=np.bool_
    )
    n_clusters = int(table.clusters.max(initial=-1)) + 1
    counted = belongs[table.datasets] & members
    return np.bincount(table.clusters[counted], minlength=n_clusters).astype(np.int64)


def _pair(
    wave: Scores, control: Group, treatment: Group, metric: str, differences: FloatArray
) -> None:
    """Write down the differences of the items that a wave scored under both conditions."""
    one, other = wave.get(control), wave.get(treatment)
    if one is None or other is None:
        return
    column = [each.name for each in one.metrics].index(metric)
    both, of_one, of_other = np.intersect1d(
        one.items, other.items, assume_unique=True, return_indices=True
    )
    differences[both] = other.scores[of_other, column] - one.scores[of_one, column]


def _outcome(low: float, high: float, margin: float | None) -> Outcome:
    if low > 0:
        return "increase"
    if high < 0:
        return "decrease"
    if margin is not None and -margin < low and high < margin:
        return "equivalent"
    return "undecided"


@command
def main() -> None:
    """Write decision.json from the scores of the waves so far."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument(
        "--scores",
        type=Path,
        required=True,
        nargs="+",
        help="per_item_scores.csv of each wave by itself, in the order of the waves",
    )
    parser.add_argument("--items", type=Path, required=True, nargs="+", help="item files (JSONL)")
    parser.add_argument("--settings", type=Path, required=True, help="WaveSettings as JSON")
    parser.add_argument("--output", type=Path, required=True, help="decision.json")
    add_seal_argument(parser)
    arguments = parser.parse_args()

    settings = read_settings(arguments.settings, WaveSettings)
    requests = settings.planned.input_files()
    seal = SealWriter(arguments.seal, [*arguments.scores, *arguments.items, *requests])
    table = read_table(arguments.items)
    waves = [read_scores([path], table) for path in arguments.scores]
    decision = decide(
        waves,
        table,
        settings,
        requests=settings.asked.count_requests(),
        requests_planned=settings.planned.count_requests(),
    )
    write_record(arguments.output, decision)
    seal.seal(arguments.output)


if __name__ == "__main__":
    main()
