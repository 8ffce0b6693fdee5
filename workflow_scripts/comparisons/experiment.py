"""The command that compares what significance.json does not: comparisons.json of an experiment.

The treatments of a prompt set with each other, trials with trials, an arm at two temperatures, and
the effect of a treatment in two parts of the items (an interaction). All are paired by item and
take whole clusters as independent, as everywhere. They explore: one family of tests holds them all.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..config.trial import Trial
from ..core.errors import command
from ..core.files import read_settings, write_record
from ..core.prompts import CONTROL
from ..core.seals import SealWriter, add_seal_argument
from ..stats.comparison import margins, subgroup_masks
from ..stats.pairs import Pairs, pair
from ..stats.pairwise import Effect, differences, interactions, tested
from ..stats.scores import ArmScores, BoolArray, Group, ItemTable, Scores
from ..stats.settings import Stats
from ..tasks.score_tables import METRICS_FILE
from .pairings import Comparisons, Declared, Difference, Kind, Pairing, Ratio, Side
from .registration import RegistrationStatus
from .score_files import read_scores, read_table, require_ratios
from .settings import ComparisonsSettings, is_primary

MAX_PAIRS = 435
"""All pairs of 30 trials. Of more, those that differ in one thing come first."""

MAX_SUBGROUPS = 10
"""Of one kind, such as the values of a tag: of more, the largest are compared."""

FACTS = ("backend", "model", "decoding_name", "prompt_set")
"""What trials differ in."""


class Draft(NamedTuple):
    """A comparison before its tests are corrected."""

    kind: Kind
    task: str
    first: Side
    second: Side
    n_items: int
    n_clusters: int
    effects: Sequence[Effect]
    same_answers: bool = False


def chosen_pairs(trials: Sequence[Trial]) -> tuple[list[tuple[int, int]], int]:
    """The pairs to compare, in order of the trials, and how many there are in all.

    Of more than `MAX_PAIRS`, those that differ in fewer things are preferred.
    """
    every = list(itertools.combinations(range(len(trials)), 2))
    ranked = sorted(every, key=lambda pair: _differing(trials[pair[0]], trials[pair[1]]))
    return sorted(ranked[:MAX_PAIRS]), len(every)


def _differing(one: Trial, other: Trial) -> int:
    return sum(getattr(one, name) != getattr(other, name) for name in FACTS)


def arm_pairs(one: Trial, other: Trial) -> list[tuple[str, str]]:
    """Which arms of two trials are compared: those of one name, else each treatment with each."""
    shared = [condition for condition in one.arms if condition in other.arms]
    if len(shared) > 1:
        return [(condition, condition) for condition in shared]
    return [
        (CONTROL, CONTROL),
        *(
            (first, second)
            for first in one.arms
            for second in other.arms
            if CONTROL not in (first, second)
        ),
    ]


def compare_all(
    trials: Sequence[Trial],
    scores: Sequence[Scores],
    table: ItemTable,
    stats: Stats,
    statuses: Sequence[RegistrationStatus | None],
) -> Comparisons:
    """All comparisons of an experiment.

    Args:
        trials: in the order of the pages.
        scores: of each trial.
        table: their items.
        stats: how to test.
        statuses: of each trial, when the primary question was declared, if it was.
    """
    engine = _Engine(trials, scores, table, stats)
    chosen, n_pairs = chosen_pairs(trials)
    drafts = [
        *engine.treatments(),
        *(draft for one, other in chosen for draft in engine.of_trials(one, other)),
        *engine.temperatures(),
        *engine.interactions(),
    ]
    corrected: dict[int, tuple[float, float]] = {}
    families = {}
    for family, is_share in (("shares", True), ("amounts", False)):
        tests = {
            id(effect): effect
            for draft in drafts
            for effect in draft.effects
            if effect.is_share is is_share
        }
        families[family] = len(tests)
        corrected |= dict(zip(tests, tested(list(tests.values()), stats), strict=True))
    return Comparisons(
        confidence=stats.confidence,
        trials=["/".join(getattr(trial, fact) for fact in FACTS) for trial in trials],
        pairs=len(chosen),
        pairs_in_all=n_pairs,
        families=families,
        subgroups_left_out=sorted(engine.left_out),
        comparisons=[_pairing(draft, corrected, stats, statuses) for draft in drafts],
    )


class _Engine:
    """Makes the comparisons of an experiment; each of the same answers is computed once."""

    def __init__(
        self, trials: Sequence[Trial], scores: Sequence[Scores], table: ItemTable, stats: Stats
    ) -> None:
        self._trials, self._scores, self._table, self._stats = trials, scores, table, stats
        declared = stats.registration
        self._wanted = {*margins(stats), *([declared.primary] if declared else [])}
        self._found: dict[object, tuple[tuple[int, int], list[Effect]] | None] = {}
        self.left_out: set[str] = set()

    def treatments(self) -> Iterator[Draft]:
        """The treatments of each trial with each other."""
        for number, trial in enumerate(self._trials):
            named = [condition for condition in trial.arms if condition != CONTROL]
            for (one, other), temp in itertools.product(
                itertools.combinations(named, 2), trial.temps
            ):
                first = Side(trial=number, condition=one, temp=temp)
                yield from self._drafts(
                    "treatments", first, first.model_copy(update={"condition": other})
                )

    def of_trials(self, one: int, other: int) -> Iterator[Draft]:
        """Two trials with each other, at the temperatures that both have."""
        trial, rival = self._trials[one], self._trials[other]
        temps = [temp for temp in trial.temps if temp in rival.temps]
        for temp, (arm, other_arm) in itertools.product(temps, arm_pairs(trial, rival)):
            yield from self._drafts(
                "trials",
                Side(trial=one, condition=arm, temp=temp),
                Side(trial=other, condition=other_arm, temp=temp),
            )

    def temperatures(self) -> Iterator[Draft]:
        """Each arm of each trial at its temperatures; arms that trials share come once."""
        seen = set()
        for number, trial in enumerate(self._trials):
            for condition in trial.arms:
                if (answers := self._answers(number, condition)) in seen:
                    continue
                seen.add(answers)
                for one, other in itertools.combinations(trial.temps, 2):
                    first = Side(trial=number, condition=condition, temp=one)
                    yield from self._drafts(
                        "temperatures", first, first.model_copy(update={"temp": other})
                    )

    def _answers(self, trial: int, condition: str) -> tuple[str, str]:
        """What two arms have in common if and only if they share their answers."""
        arm = self._trials[trial].arms[condition]
        return arm.raw_folder, arm.prompt

    def _drafts(self, kind: Kind, first: Side, second: Side) -> Iterator[Draft]:
        """Two sides compared in each task that both have."""
        one, other = (
            (*self._answers(side.trial, side.condition), side.temp) for side in (first, second)
        )
        for task in self._tasks(first.trial):
            if (task, one, other) not in self._found:
                pairs = self._pairs(task, first, second)
                self._found[task, one, other] = (
                    None
                    if pairs is None
                    else (
                        (pairs.n_items, pairs.n_clusters),
                        list(differences(pairs, self._stats)) if one != other else [],
                    )
                )
            if (found := self._found[task, one, other]) is not None:
                sizes, effects = found
                yield Draft(kind, task, first, second, *sizes, effects, same_answers=one == other)

    def interactions(self) -> Iterator[Draft]:
        """The effect of each treatment in parts of the items that share none."""
        for number, trial in enumerate(self._trials):
            for condition, temp, task in itertools.product(
                trial.arms, trial.temps, self._tasks(number)
            ):
                if condition != CONTROL:
                    of_treatment = Side(trial=number, condition=condition, temp=temp)
                    yield from self._interactions(task, of_treatment)

    def _interactions(self, task: str, treatment: Side) -> Iterator[Draft]:
        control = treatment.model_copy(update={"condition": CONTROL})
        pairs = self._pairs(task, control, treatment)
        if pairs is None:
            return
        for (one, in_one), (other, in_other) in self._complements(pairs):
            effects = list(interactions(pairs, in_one, in_other, self._stats))
            if effects:
                among = in_one | in_other
                yield Draft(
                    "interaction",
                    task,
                    treatment.model_copy(update={"subgroup": one}),
                    treatment.model_copy(update={"subgroup": other}),
                    n_items=int(among.sum()),
                    n_clusters=len(np.unique(pairs.clusters[among])),
                    effects=effects,
                )

    def _complements(
        self, pairs: Pairs
    ) -> Iterator[tuple[tuple[str, BoolArray], tuple[str, BoolArray]]]:
        """Pairs of subgroups of one kind without a common item.

        ``topic=law`` and ``topic=art`` are of one kind, and so are names without a ``=``.
        """
        kinds: dict[str, dict[str, BoolArray]] = {}
        for name, mask in subgroup_masks(pairs):
            kind = name.partition("=")[0] if "=" in name else ""
            kinds.setdefault(kind, {})[name] = mask
        for _, masks in sorted(kinds.items()):
            largest = sorted(masks, key=lambda name: -int(masks[name].sum()))
            self.left_out.update(largest[MAX_SUBGROUPS:])
            for one, other in itertools.combinations(sorted(largest[:MAX_SUBGROUPS]), 2):
                if not (masks[one] & masks[other]).any():
                    yield (one, masks[one]), (other, masks[other])

    def _tasks(self, trial: int) -> list[str]:
        return sorted({group.type for group in self._scores[trial]})

    def _pairs(self, task: str, first: Side, second: Side) -> Pairs | None:
        one, other = (
            self._scores[side.trial].get(Group(task, side.condition, side.temp))
            for side in (first, second)
        )
        if one is None or other is None:
            return None
        names = [name for name in self._shown(one) if name in _measured(other)]
        pairs, _ = pair(_only(one, names), _only(other, names), self._table)
        return pairs if pairs.n_items else None

    def _shown(self, arm: ArmScores) -> list[str]:
        """The metrics of overviews that an arm measured, and those that the config asks about."""
        measured = _measured(arm)
        return [
            each.name
            for each in arm.metrics
            if each.name in measured and (each.in_overviews or each.name in self._wanted)
        ]


def _measured(arm: ArmScores) -> set[str]:
    """The shares that an arm measured, and all its amounts."""
    return {
        metric.name
        for metric, column in zip(arm.metrics, arm.scores.T, strict=True)
        if metric.kind == "amount" or not np.isnan(column).any()
    }


def _only(arm: ArmScores, metrics: Sequence[str]) -> ArmScores:
    names = [metric.name for metric in arm.metrics]
    columns = [names.index(metric) for metric in metrics]
    return ArmScores(
        metrics=tuple(arm.metrics[column] for column in columns),
        items=arm.items,
        scores=arm.scores[:, columns],
        deviations=arm.deviations[:, columns],
    )


def _pairing(
    draft: Draft,
    corrected: Mapping[int, tuple[float, float]],
    stats: Stats,
    statuses: Sequence[RegistrationStatus | None],
) -> Pairing:
    metrics, amounts = {}, {}
    for effect in draft.effects:
        p_value, q_value = corrected[id(effect)]
        shared = {
            "first": effect.first,
            "second": effect.second,
            "ci_low": effect.interval.low,
            "ci_high": effect.interval.high,
            "ci_method": effect.method,
            "ci_trusted": effect.interval.trusted,
            "permutation_p": p_value,
            "q_value": q_value,
            "n_items": effect.n_items,
            "n_clusters": effect.n_clusters,
            "declared": _declared(draft, effect.metric, stats, statuses),
        }
        if not effect.is_share:
            amounts[effect.metric] = Ratio.model_validate({**shared, "ratio": effect.size})
            continue
        margin = {}
        if (found := effect.equivalence) is not None:
            margin = {"margin": found.margin, "margin_p": found.p_value}
            margin |= {"equivalent": found.equivalent, "margin_trusted": found.trusted}
        metrics[effect.metric] = Difference.model_validate(
            {**shared, "difference": effect.size, **margin}
        )
    return Pairing(
        kind=draft.kind,
        task=draft.task,
        first=draft.first,
        second=draft.second,
        n_items=draft.n_items,
        n_clusters=draft.n_clusters,
        same_answers=draft.same_answers,
        metrics=metrics,
        amounts=amounts,
    )


def _declared(
    draft: Draft, metric: str, stats: Stats, statuses: Sequence[RegistrationStatus | None]
) -> Declared | None:
    """When the question was declared, if the comparison is about the declared primary one."""
    sides = draft.first, draft.second
    parts = {side.subgroup for side in sides}
    if not all(
        any(is_primary(stats, metric, draft.task, side.temp, part) for part in parts)
        for side in sides
    ):
        return None
    known = [statuses[side.trial] for side in sides]
    before = [status.before_first_answer if status else None for status in known]
    if False in before:
        return "after"
    return "unknown" if None in before else "before"


@command
def main() -> None:
    """Write comparisons.json from the files in the trials' folders."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--settings", type=Path, required=True, help="ComparisonsSettings as JSON")
    parser.add_argument("--items", type=Path, required=True, nargs="+", help="item files (JSONL)")
    parser.add_argument("--output", type=Path, required=True, help="comparisons.json")
    add_seal_argument(parser)
    arguments = parser.parse_args()

    settings = read_settings(arguments.settings, ComparisonsSettings)
    folders = [Path(trial.folder) for trial in settings.trials]
    names = ["per_item_scores.csv", METRICS_FILE]
    if settings.stats.registration is not None:
        names.append("registration.json")
    read = [folder / name for folder in folders for name in names]
    seal = SealWriter(arguments.seal, [*read, *arguments.items])
    table = read_table(arguments.items)
    scores = [read_scores([folder / "per_item_scores.csv"], table) for folder in folders]
    for each in scores:
        require_ratios(each, table)
    statuses = [
        read_settings(folder / "registration.json", RegistrationStatus)
        if settings.stats.registration
        else None
        for folder in folders
    ]
    found = compare_all(settings.trials, scores, table, settings.stats, statuses)
    write_record(arguments.output, found)
    seal.seal(arguments.output)


if __name__ == "__main__":
    main()
