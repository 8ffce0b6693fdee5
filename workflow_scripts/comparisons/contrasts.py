"""The command that compares each treatment with the control: significance.json and its companions.

selective_risk.json has the risk-coverage curves, power.json what the design can detect.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..core.errors import UserError, command
from ..core.files import read_csv, read_settings, write_record
from ..core.prompts import CONTROL
from ..core.records import ErrorRow
from ..core.seals import SealWriter, add_seal_argument
from ..stats.amounts import AmountPower, amount_power
from ..stats.caveats import Caveat
from ..stats.comparison import Contrast, compare
from ..stats.estimates import mean_differences
from ..stats.intervals import cluster_t_interval, mean_difference
from ..stats.label_design import LabelDesign, LabelPower
from ..stats.pairs import numbered, pair
from ..stats.power import Power, power_of
from ..stats.resampling import permutations_for
from ..stats.scores import Group, ItemTable, Scores
from ..stats.settings import Registration, Stats
from ..stats.worst_case import Failures, worst_case
from ..tasks.registry import TASKS
from .confidences import Confidences, read_confidences
from .families import correct, registered, tested_items
from .judgements import Judgements
from .records import (
    ArmRisk,
    ByContrast,
    Content,
    FalseAnswers,
    Multiplicity,
    PowerFile,
    SelectiveContrast,
    SelectiveRiskFile,
    Significance,
)
from .registration import RegistrationStatus
from .score_files import (
    declared_items,
    failures_of,
    read_scores,
    read_table,
    require_ratios,
)
from .sequential import Decision
from .settings import StatsSettings, is_primary

_LEAST_SUBGROUPS = 2
"""As many as questions have, so that a data set without unanswerable ones gets equal p values."""

_STOPPED_EARLY = Caveat(
    "stopped_early",
    "the run ended when its sequential procedure was settled: use the interval and p value of "
    "`sequential`; those for a fixed number of items do not hold then",
)


@dataclass(frozen=True)
class Outputs:
    """The content of the three files."""

    significance: Significance
    selective_risk: SelectiveRiskFile
    power: PowerFile


def analyse(
    scores: Scores,
    table: ItemTable,
    settings: StatsSettings,
    status: RegistrationStatus | None = None,
    decision: Decision | None = None,
    failures: Failures | None = None,
    judgements: Judgements | None = None,
    confidences: Confidences | None = None,
) -> Outputs:
    """All comparisons of treatments with the control.

    Args:
        scores: the scores of all conditions.
        table: their items.
        settings: how to test.
        status: when the primary question was declared, where that is known.
        decision: decision.json of a run in waves, where it was one.
        failures: the requests without an answer.
        judgements: the differences that labels correct, where somebody judges.
        confidences: how sure responses are, where anything says it.

    Raises:
        UserError: there is nothing to compare, or a score that cannot be compared.
    """
    require_ratios(scores, table)
    declared_items(table, settings.stats)
    found = list(_compared(scores, table, settings, failures or {}))
    families = correct(found, settings.stats)
    registration = registered(found, settings.stats, status)
    if decision is not None and decision.settled:
        for each in found:
            each.result.meta.warnings.append(_STOPPED_EARLY)
    return Outputs(
        significance=Significance(
            multiplicity=Multiplicity(families=families),
            registration=registration,
            sequential=decision,
            confidence=settings.stats.confidence,
            false_answers=_false_answers(found, table, settings.stats),
            results=_nested(found, lambda each: each.result),
        ),
        selective_risk=SelectiveRiskFile(
            results=_nested(found, lambda each: _selective_risk(each, confidences, settings.stats))
        ),
        power=PowerFile(
            results=_nested(found, lambda each: _power(each, settings.stats)),
            amounts=_nested(found, lambda each: _amount_power(each, settings.stats)),
            declared=_subgroup_power(found, settings.stats),
            labels=_label_power(found, judgements, settings.stats),
        ),
    )


def _compared(
    scores: Scores, table: ItemTable, settings: StatsSettings, failures: Failures
) -> Iterator[Contrast]:
    """Each treatment against the control, at each temperature and in each task."""
    arms = {group.condition for group in scores}
    if CONTROL not in arms or len(arms) < 2:
        raise UserError(
            f"the scores have the conditions {sorted(arms)}; a comparison needs "
            f"{CONTROL!r} and at least one treatment"
        )
    places = sorted({(group.temp, group.type) for group in scores})
    n_contrasts = len(arms - {CONTROL}) * len(places)
    n_parts = len(table.dataset_names) + max(_LEAST_SUBGROUPS, len(table.subgroups))
    n_metrics = Counter(metric.kind for metric in next(iter(scores.values())).metrics)
    # The largest family that there can be is that of all subgroups.
    most = {
        kind: permutations_for(n_contrasts * n * n_parts, settings.stats)
        for kind, n in n_metrics.items()
    }
    for treatment in sorted(arms - {CONTROL}):
        for temp, task in places:
            groups = Group(task, CONTROL, temp), Group(task, treatment, temp)
            one, other = (scores.get(group) for group in groups)
            if one is None and other is None:
                continue
            try:
                pairs, unpaired = pair(one, other, table, settings.samples_at(temp))
            except ValueError as error:
                raise UserError(str(error)) from error
            roles = TASKS[task].selective_risk
            result, behind = compare(
                pairs, unpaired, CONTROL, treatment, settings.stats, most, roles
            )
            samples = settings.samples_at(temp)
            bounds = worst_case(scores, failures, groups, table, samples, settings.stats.confidence)
            result = replace(result, worst_case=bounds)
            yield Contrast(treatment, temp, task, pairs, result, behind)


def _false_answers(
    contrasts: Sequence[Contrast], table: ItemTable, stats: Stats
) -> dict[str, FalseAnswers]:
    """By treatment: the difference in false answers per request, over all temperatures and tasks.

    Costs are known for whole arms, so what they buy must be counted over whole arms too.
    """
    found: dict[str, FalseAnswers] = {}
    for treatment in sorted({each.treatment for each in contrasts}):
        differences, clusters = [], []
        for each in contrasts:
            pairs = each.pairs
            if each.treatment == treatment and pairs.n_items:
                metric = TASKS[each.task].false_answers
                if metric is None:
                    continue
                of_items = pairs.differences[:, pairs.column(metric)]
                differences.append(np.repeat(of_items, pairs.samples_per_item))
                clusters.append(np.repeat(table.clusters[pairs.items], pairs.samples_per_item))
        if not differences:
            continue
        mean = mean_difference(np.concatenate(differences), numbered(np.concatenate(clusters)))
        interval = cluster_t_interval(mean, stats.confidence).of_shares()
        found[treatment] = FalseAnswers(
            n_requests=mean.n_items,
            difference=mean.mean,
            ci_low=interval.low,
            ci_high=interval.high,
            ci_trusted=interval.trusted,
        )
    return found


def _selective_risk(
    contrast: Contrast, confidences: Confidences | None, stats: Stats
) -> SelectiveContrast:
    """The curves of both arms and what differs between them."""
    result = contrast.result
    groups = (
        Group(contrast.task, CONTROL, contrast.temp),
        Group(contrast.task, contrast.treatment, contrast.temp),
    )
    return SelectiveContrast(
        arms={
            arm: ArmRisk(**vars(risk), points=contrast.behind.curves[arm])
            for arm, risk in result.selective_risk.items()
        },
        differences=result.selective_difference,
        confidences=confidences.of_contrast(groups, contrast.pairs, stats) if confidences else {},
    )


def _power(contrast: Contrast, stats: Stats) -> dict[str, Power | None]:
    """By share: at the declared alpha for a primary metric."""
    found = {}
    for metric, mean in contrast.behind.means.items():
        declared = _declared(contrast, metric, stats)
        effects = _effects(declared, stats)
        found[metric] = power_of(mean, _alpha(declared, stats), stats.power, effects)
    return found


def _amount_power(contrast: Contrast, stats: Stats) -> dict[str, AmountPower | None]:
    """By amount, as in `_power`."""
    found = {}
    for metric, mean in contrast.behind.amounts.items():
        alpha = _alpha(_declared(contrast, metric, stats), stats)
        found[metric] = amount_power(mean, alpha, stats.power)
    return found


def _subgroup_power(
    contrasts: Sequence[Contrast], stats: Stats
) -> ByContrast[dict[str, Power | None]]:
    """By share, for a declared subgroup, if there is one."""
    declared = stats.registration
    if declared is None or declared.subgroup is None:
        return {}

    def of_contrast(contrast: Contrast) -> dict[str, Power | None]:
        place = declared.primary, contrast.task, contrast.temp, declared.subgroup
        tested = tested_items(contrast, declared) if is_primary(stats, *place) else None
        if tested is None or declared.primary not in tested[1].metrics:
            return {}
        mean = mean_differences(tested[1])[declared.primary]
        effects = _effects(declared, stats)
        return {declared.primary: power_of(mean, declared.alpha, stats.power, effects)}

    return _nested(contrasts, of_contrast)


def _label_power(
    contrasts: Sequence[Contrast], judgements: Judgements | None, stats: Stats
) -> ByContrast[dict[str, LabelPower]]:
    """The power of correctness, where labels correct it."""
    held = {
        (each.treatment, each.temp, each.type): each
        for each in (judgements.held if judgements else ())
        if each.decides
    }

    def of_contrast(contrast: Contrast) -> dict[str, LabelPower]:
        metric = TASKS[contrast.task].correctness
        found = held.get((contrast.treatment, contrast.temp, contrast.task))
        corrected = found.corrected.difference if found and found.corrected else None
        design = LabelDesign.measured(corrected) if corrected else None
        if metric is None or corrected is None or design is None:
            return {}
        declared = _declared(contrast, metric, stats)
        alpha = _alpha(declared, stats)
        if stats.power <= alpha:
            return {}
        effects = _effects(declared, stats)
        return {metric: design.label_power(corrected.n_labelled, alpha, stats.power, effects)}

    return _nested(contrasts, of_contrast) if held else {}


def _effects(declared: Registration | None, stats: Stats) -> list[float]:
    """The differences whose size in items or labels is computed."""
    margin = declared.margin if declared else None
    return sorted({*stats.effects, *([margin] if margin else [])})


def _declared(contrast: Contrast, metric: str, stats: Stats) -> Registration | None:
    """The declaration, where the metric is primary in this comparison."""
    primary = is_primary(stats, metric, contrast.task, contrast.temp)
    return stats.registration if primary else None


def _alpha(declared: Registration | None, stats: Stats) -> float:
    return declared.alpha if declared else round(1 - stats.confidence, 9)


def _nested(
    contrasts: Sequence[Contrast], content: Callable[[Contrast], Content]
) -> ByContrast[Content]:
    """``content`` of each comparison."""
    results: ByContrast[Content] = {}
    for each in contrasts:
        by_task = results.setdefault(each.treatment, {}).setdefault(each.temp, {})
        by_task[each.task] = content(each)
    return results


@command
def main() -> None:
    """Parse arguments and write the three files."""
    parser = argparse.ArgumentParser(description="Compare treatments with the control.")
    parser.add_argument("--scores", type=Path, required=True, help="per_item_scores.csv")
    parser.add_argument("--items", type=Path, required=True, nargs="+", help="item files (JSONL)")
    parser.add_argument("--settings", type=Path, required=True, help="StatsSettings as JSON")
    parser.add_argument("--errors", type=Path, nargs="?", help="errors.csv: failed requests")
    parser.add_argument("--outcomes", type=Path, nargs="?", help="outcomes.csv: confidences")
    parser.add_argument("--registration", type=Path, nargs="?", help="registration.json, if any")
    parser.add_argument("--judgements", type=Path, nargs="?", help="judgements.json, if any")
    parser.add_argument("--decision", type=Path, nargs="?", help="decision.json of a run in waves")
    parser.add_argument("--significance", type=Path, required=True, help="significance.json")
    parser.add_argument("--selective-risk", type=Path, required=True, help="selective_risk.json")
    parser.add_argument("--power", type=Path, required=True, help="power.json")
    add_seal_argument(parser)
    arguments = parser.parse_args()

    settings = read_settings(arguments.settings, StatsSettings)
    registration, decision = arguments.registration, arguments.decision
    judgements = arguments.judgements
    outcomes = arguments.outcomes
    optional = (arguments.errors, outcomes, registration, decision, judgements)
    further = [each for each in optional if each is not None]
    seal = SealWriter(arguments.seal, [arguments.scores, *arguments.items, *further])
    table = read_table(arguments.items)
    outputs = analyse(
        read_scores([arguments.scores], table),
        table,
        settings,
        read_settings(registration, RegistrationStatus) if registration else None,
        read_settings(decision, Decision) if decision else None,
        failures_of(read_csv(arguments.errors, ErrorRow), table) if arguments.errors else None,
        read_settings(judgements, Judgements) if judgements else None,
        read_confidences(outcomes, table) if outcomes else None,
    )
    write_record(arguments.significance, outputs.significance)
    write_record(arguments.selective_risk, outputs.selective_risk)
    write_record(arguments.power, outputs.power)
    seal.seal(arguments.significance, arguments.selective_risk, arguments.power)


if __name__ == "__main__":
    main()
