"""All figures of a trial's report, from the files of the stages before it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ...comparisons.confidences import ConfidenceContrast
from ...comparisons.records import SelectiveContrast, content_of
from ...core.metric import Confidence
from ...core.records import ItemScores, SampleOutcome
from ..contrast import Contrast, contrasts, leading, leading_first, tasks_of
from ..inputs import Companions, TrialResults
from .amounts import amounts_figure
from .confidence import ConfidenceNumbers, confidence_figure, confidence_numbers
from .contrasts import contrasts_figure
from .cost_quality import cost_quality_figure
from .curves import curve_figure
from .discordant import discordant_figure
from .distributions import Spread, distributions_figure
from .dose_response import dose_response_figure
from .figure import Figure
from .further import FIGURES
from .paired import differences, paired_figure
from .power import power_figure
from .reliability import reliability_figure, unstated
from .risk_coverage import risk_coverage_figure
from .subgroups import subgroups_figure
from .telemetry import telemetry_figure


@dataclass(frozen=True)
class ContrastFigures:
    """The figures of one contrast; ``subgroups`` where there are any.

    ``risk_coverage``: by each confidence of the responses, else by which items are answered.
    ``confidences``: the numbers of each.
    ``reliability``: of each confidence.
    ``further``: those that other packages add.
    """

    paired: Figure
    subgroups: Figure | None
    discordant: Figure
    risk_coverage: list[Figure]
    confidences: list[ConfidenceNumbers]
    reliability: list[Figure]
    power: Figure
    further: list[Figure]


@dataclass(frozen=True)
class TrialFigures:
    """The figures of a trial; ``dose_response`` where there are several treatments.

    ``amounts`` and ``telemetry`` where any were measured. ``curves``: by task.
    """

    contrasts: Figure
    amounts: Figure | None
    dose_response: Figure | None
    cost_quality: Figure
    distributions: Figure
    telemetry: Figure | None
    curves: dict[str, list[Figure]]
    by_contrast: list[ContrastFigures]


def trial_figures(
    results: TrialResults,
    companions: Companions,
    names: Mapping[str, str],
    scores: Iterable[ItemScores],
    outcomes: Iterable[SampleOutcome],
    spreads: list[Spread],
) -> TrialFigures:
    """Draw all figures of a trial.

    Args:
        results, companions: what the stages before found.
        names: the arms' names by condition, in the config's order.
        scores: per_item_scores.csv, gone through twice.
        outcomes: outcomes.csv, gone through for each curve.
        spreads: quantiles of times and tokens.
    """
    significance = results.significance
    control = significance.control
    metrics = leading_first(results.metrics)
    shares = [each for each in metrics.values() if each.kind == "share"]
    found = contrasts(results.trial, significance, results.metrics)
    multiplicity = significance.multiplicity
    changes = differences(scores, [each.name for each in shares], control)
    order = {name: position for position, name in enumerate(names)}
    by_contrast = []
    for each in found:
        key = (each.treatment, each.temp, each.task.name)
        arms = (names.get(control, control), names.get(each.treatment, each.treatment))
        power = content_of(companions.power.results, *key)
        declared = content_of(companions.power.declared, *key)
        risk = content_of(companions.selective_risk.results, *key)
        sure = _confidences(each, risk)
        by_contrast.append(
            ContrastFigures(
                paired=paired_figure(each, changes.get(key, {}), arms),
                subgroups=subgroups_figure(each, arms),
                discordant=discordant_figure(each, arms),
                risk_coverage=[
                    confidence_figure(each, of, found_of, names) for of, found_of in sure
                ]
                or [risk_coverage_figure(each, risk, dict(names))],
                confidences=[
                    confidence_numbers(each, of, found_of, names) for of, found_of in sure
                ],
                reliability=[reliability_figure(each, of, found_of, names) for of, found_of in sure]
                or unstated(each),
                power=power_figure(
                    each,
                    power or {},
                    declared or {},
                ),
                further=[
                    drawn for own in FIGURES.values() if (drawn := own.draw(each, arms)) is not None
                ],
            )
        )
    labelled = [
        (label(each, found, names), each)
        for each in sorted(
            found, key=lambda each: (each.task.name, each.temp, order.get(each.treatment, 0))
        )
    ]
    return TrialFigures(
        contrasts=contrasts_figure(shares, labelled, multiplicity.method if multiplicity else None),
        amounts=amounts_figure(metrics.values(), labelled),
        dose_response=dose_response_figure(found, names, control) if len(names) > 2 else None,
        cost_quality=cost_quality_figure(
            leading(shares), names, control, scores, results.local_costs, results.costs
        ),
        distributions=distributions_figure(spreads, names, tasks_of(results.trial), control),
        telemetry=telemetry_figure(results.local_costs.measured, names),
        curves={
            name: [curve_figure(task, curve, outcomes, names) for curve in task.curves]
            for name, task in tasks_of(results.trial).items()
        },
        by_contrast=by_contrast,
    )


def _confidences(
    contrast: Contrast, risk: SelectiveContrast | None
) -> list[tuple[Confidence, ConfidenceContrast]]:
    """What says how sure the responses of a contrast are, the most telling first."""
    found = risk.confidences if risk else {}
    known = contrast.task.confidences
    return [(each, found[each.column]) for each in known if each.column in found]


def label(contrast: Contrast, others: Sequence[Contrast], names: Mapping[str, str]) -> str:
    """A contrast's task, with what else sets it apart from the others of its trial."""
    parts = [contrast.task.label]
    if len({each.temp for each in others}) > 1:
        parts.append(f"temperature {contrast.temp}")
    if len({each.treatment for each in others}) > 1:
        parts.append(names.get(contrast.treatment, contrast.treatment))
    return " · ".join(parts)
