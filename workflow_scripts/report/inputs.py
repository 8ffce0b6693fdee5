"""What the report reads from the stages before it, checked when it is read.

The models name only what the report shows; fields that other readers need are ignored here.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pydantic import Field

from ..comparisons.families import RegistrationReport
from ..comparisons.judgements import Judgements
from ..comparisons.sequential import Decision
from ..config.trial import Trial
from ..core.files import read_settings
from ..core.metric import Metric
from ..costs.cost_effectiveness import CostEffectiveness
from ..costs.records import Costs, LocalCosts
from ..costs.usage import UsageComparison
from ..stats.comparison import Comparison
from ..stats.label_design import LabelPower
from ..stats.power import Power
from ..stats.selective import Point, SelectiveDifference
from ..tasks.score_tables import score_columns
from .shown import Shown


class Multiplicity(Shown):
    """How p values were adjusted: the number of tests in each family."""

    method: str
    families: dict[str, int]


class Significance(Shown):
    """significance.json: ``results[treatment][temp][task]``."""

    schema_version: int
    control: str
    multiplicity: Multiplicity | None = None
    registration: RegistrationReport | None = None
    sequential: Decision | None = None
    results: dict[str, dict[str, dict[str, Comparison]]]


class ArmRisk(Shown):
    """The risk-coverage curve of one arm, and where on it the arm is."""

    coverage: float
    risk: float | None
    aurc: float | None
    points: list[Point]


class SelectiveContrast(Shown):
    """The curves of both arms of a contrast, and what differs between them."""

    arms: dict[str, ArmRisk]
    differences: dict[str, SelectiveDifference]


class SelectiveRiskFile(Shown):
    """selective_risk.json: ``results[treatment][temp][task]``."""

    schema_version: int
    results: dict[str, dict[str, dict[str, SelectiveContrast]]]

    def of(self, treatment: str, temp: str, task: str) -> SelectiveContrast | None:
        """One contrast, if the file has it."""
        return self.results.get(treatment, {}).get(temp, {}).get(task)


class PowerFile(Shown):
    """power.json: ``results[treatment][temp][task][metric]``, and so of a declared subgroup.

    ``labels``: the same of correctness, where people's labels correct it.
    """

    schema_version: int
    results: dict[str, dict[str, dict[str, dict[str, Power | None]]]]
    declared: dict[str, dict[str, dict[str, dict[str, Power | None]]]] = Field(default_factory=dict)
    labels: dict[str, dict[str, dict[str, dict[str, LabelPower]]]] = Field(default_factory=dict)

    def of(self, treatment: str, temp: str, task: str) -> dict[str, Power | None]:
        """One contrast by metric; empty if the file does not have it."""
        return self.results.get(treatment, {}).get(temp, {}).get(task, {})

    def labels_of(self, treatment: str, temp: str, task: str) -> LabelPower | None:
        """What the labels on one contrast can detect; ``None`` without labels."""
        found = self.labels.get(treatment, {}).get(temp, {}).get(task, {})
        return next(iter(found.values()), None)

    def declared_of(self, treatment: str, temp: str, task: str) -> dict[str, Power | None]:
        """The primary metric in a declared subgroup; empty without one."""
        return self.declared.get(treatment, {}).get(temp, {}).get(task, {})


class TreatmentCosts(Shown):
    """What a treatment uses more than the control, by resource; ``None`` is unknown."""

    resources: dict[str, CostEffectiveness | None]


class CostEffectivenessFile(Shown):
    """cost_effectiveness.json."""

    schema_version: int
    by_treatment: dict[str, TreatmentCosts]

    @property
    def is_known(self) -> bool:
        """Whether anything is known of what the treatments use."""
        return any(used for each in self.by_treatment.values() for used in each.resources.values())


class UsageFile(Shown):
    """usage.json: ``results[treatment][temp][task]``."""

    results: dict[str, dict[str, dict[str, UsageComparison]]]

    def of(self, treatment: str, temp: str, task: str) -> UsageComparison:
        """One comparison; empty if the file does not have it."""
        return self.results.get(treatment, {}).get(temp, {}).get(task, UsageComparison())


class Companions(Shown):
    """What a trial's own page shows beside `TrialResults`."""

    selective_risk: SelectiveRiskFile
    power: PowerFile
    cost_effectiveness: CostEffectivenessFile
    usage: UsageFile


class TrialResults(Shown):
    """What both pages show of one trial; ``metrics`` are what its answers were scored by."""

    trial: Trial
    metrics: list[Metric]
    significance: Significance
    local_costs: LocalCosts
    costs: Costs
    judgements: Judgements | None = None


def read_results(
    trial: Trial,
    scores: Path,
    significance: Path,
    local_costs: Path,
    costs: Path,
    judgements: Path | None = None,
) -> TrialResults:
    """Read the files that both pages show; of per_item_scores.csv, which metrics it has.

    Where correctness was decided by what does not reach the declared bar, no metric leads, and
    those that would have the verdict's words.
    """
    judged = read_settings(judgements, Judgements) if judgements else None
    metrics = list(score_columns(scores))
    if judged and judged.doubted:
        metrics = [
            replace(metric, leads=0, rose="", fell="") if metric.leads else metric
            for metric in metrics
        ]
    return TrialResults(
        trial=trial,
        metrics=metrics,
        judgements=judged,
        significance=read_settings(significance, Significance),
        local_costs=read_settings(local_costs, LocalCosts),
        costs=read_settings(costs, Costs),
    )


def read_companions(folder: Path) -> Companions:
    """Read the files that a trial's own page shows besides."""
    return Companions(
        selective_risk=read_settings(folder / "selective_risk.json", SelectiveRiskFile),
        power=read_settings(folder / "power.json", PowerFile),
        cost_effectiveness=read_settings(folder / "cost_effectiveness.json", CostEffectivenessFile),
        usage=read_settings(folder / "usage.json", UsageFile),
    )
