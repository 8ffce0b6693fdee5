"""What the report reads from the stages before it, checked when it is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

from ..comparisons.judgements import Judgements
from ..comparisons.records import PowerFile, SelectiveRiskFile, Significance
from ..comparisons.retest import Retest
from ..config.trial import Trial
from ..core.files import read_settings
from ..core.metric import Metric
from ..costs.cost_effectiveness import CostEffectivenessFile
from ..costs.records import Costs, LocalCosts
from ..costs.usage import UsageFile
from ..tasks.score_tables import score_columns

Row = TypeVar("Row")


@dataclass(frozen=True)
class Rows(Iterable[Row], Generic[Row]):
    """The rows of a table, read from its file each time: they need no memory."""

    read: Callable[[], Iterator[Row]]

    def __iter__(self) -> Iterator[Row]:
        return self.read()


@dataclass(frozen=True)
class Companions:
    """What a trial's own page shows beside `TrialResults`."""

    selective_risk: SelectiveRiskFile
    power: PowerFile
    cost_effectiveness: CostEffectivenessFile
    usage: UsageFile
    retest: Retest | None = None


@dataclass(frozen=True)
class TrialResults:
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


def read_companions(folder: Path, retest: Path | None = None) -> Companions:
    """Read the files that a trial's own page shows besides."""
    return Companions(
        selective_risk=read_settings(folder / "selective_risk.json", SelectiveRiskFile),
        power=read_settings(folder / "power.json", PowerFile),
        cost_effectiveness=read_settings(folder / "cost_effectiveness.json", CostEffectivenessFile),
        usage=read_settings(folder / "usage.json", UsageFile),
        retest=read_settings(retest, Retest) if retest else None,
    )
