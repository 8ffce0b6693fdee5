"""What the report reads from the stages before it, checked when it is read.

The models name only what the report shows; fields that other readers need are ignored here.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

from pydantic import Field, field_validator

from ..comparisons.families import RegistrationReport
from ..comparisons.judgements import Judgements
from ..comparisons.sequential import Decision
from ..config.trial import Trial
from ..core.files import read_settings
from ..core.metric import Metric
from ..costs.cost_effectiveness import CostEffectiveness
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


class Latency(Shown):
    """Wall time per request in seconds."""

    mean: float | None = None
    p50: float | None = None
    p95: float | None = None


class ArmTimes(Shown):
    """Tokens and times of one arm. ``None`` is unknown: no answer, or no count of tokens."""

    requests: int = 0
    failed: int = 0
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    latency_s: Latency = Latency()
    requests_at_once: float | None = None
    truncated: int = 0
    total_latency_s: float | None = None

    @field_validator("latency_s", mode="before")
    @classmethod
    def _no_answer_no_latency(cls, latency: object) -> object:
        return {} if latency is None else latency

    @property
    def tokens_per_request(self) -> float | None:
        """Prompt and completion tokens of one request on average."""
        if self.total_tokens is None or not self.requests:
            return None
        return self.total_tokens / self.requests


class LocalCosts(Shown):
    """local_costs.json."""

    schema_version: int
    by_condition: dict[str, ArmTimes]

    def of(self, condition: str) -> ArmTimes:
        """One arm; nothing is known of one that is not in the file."""
        return self.by_condition.get(condition, ArmTimes())

    @property
    def at_once(self) -> float | None:
        """The most requests of an arm that were in flight together, on average; if more than 1."""
        arms = self.by_condition.values()
        most = max((arm.requests_at_once or 0 for arm in arms), default=0)
        return most if most > 1 else None


class Tokens(Shown):
    """Tokens of one kind: those that the engine counted, and those that were estimated."""

    engine: int = 0
    estimate: int = 0

    @property
    def total(self) -> int:
        """Both together."""
        return self.engine + self.estimate


class Rates(Shown):
    """US dollars per million tokens."""

    input_per_million: float
    output_per_million: float


class Price(Shown):
    """The price of a model, with its origin."""

    rates: Rates
    batch_discount: float
    source: str
    date: str | None

    @property
    def is_free(self) -> bool:
        """Whether the model costs nothing."""
        return not self.rates.input_per_million and not self.rates.output_per_million


class ArmCosts(Shown):
    """What the answers of one arm cost; without a price ``None``, and the note says why."""

    model: str = ""
    price: Price | None = None
    note: str | None = None
    prompt_tokens: Tokens = Tokens()
    completion_tokens: Tokens = Tokens()
    cached_tokens: int | None = None
    estimated_by: str | None = None
    from_batch_jobs: int = 0
    cost_usd: float | None = None


class Ledger(Shown):
    """What the whole experiment has paid or may have paid when costs.json was made, in US$."""

    paid_usd: float = 0.0
    lost_usd: float = 0.0
    reserved_usd: float = 0.0


class Costs(Shown):
    """costs.json."""

    schema_version: int
    by_condition: dict[str, ArmCosts]
    experiment: Ledger = Ledger()

    def of(self, condition: str) -> ArmCosts:
        """One arm; nothing is known of one that is not in the file."""
        return self.by_condition.get(condition, ArmCosts())

    @property
    def prices(self) -> list[tuple[ArmCosts, list[str]]]:
        """Each price once: an arm that pays it, and the conditions of all that do."""
        found: dict[tuple[str, Price | None, str | None], tuple[ArmCosts, list[str]]] = {}
        for condition, arm in self.by_condition.items():
            found.setdefault((arm.model, arm.price, arm.note), (arm, []))[1].append(condition)
        return list(found.values())

    @property
    def is_free(self) -> bool:
        """Whether all arms cost nothing."""
        return all(arm.price and arm.price.is_free for arm in self.by_condition.values())

    @property
    def estimated_by(self) -> set[str]:
        """How tokens were estimated that the engine did not count."""
        return {arm.estimated_by for arm in self.by_condition.values() if arm.estimated_by}


class PromptTokens(Shown):
    """Lengths of the prompts of one arm, in tokens."""

    mean: float | None = None
    p50: float | None = None
    p95: float | None = None
    max: float | None = None


class ArmAudit(Shown):
    """Lengths of one arm's system prompt and whole prompts, in tokens."""

    system_tokens: int | None = None
    prompt_tokens: PromptTokens = PromptTokens()


class ArmContext(Shown):
    """What measured the prompts of one arm, and how many of them did not fit its context."""

    tokenizer: str | None = None
    n_ctx: int | None = None
    exceeds_context: int | None = None


class Audit(Shown):
    """audit.json: ``prompts[task][condition]``; nothing is known without a tokenizer."""

    schema_version: int
    arms: dict[str, ArmContext]
    prompts: dict[str, dict[str, ArmAudit]]

    @property
    def contexts(self) -> list[ArmContext]:
        """Each tokenizer with its context, and all prompts of its arms that did not fit."""
        found: Counter[tuple[str, int | None]] = Counter()
        for arm in self.arms.values():
            if arm.tokenizer is not None:
                found[arm.tokenizer, arm.n_ctx] += arm.exceeds_context or 0
        return [
            ArmContext(tokenizer=tokenizer, n_ctx=n_ctx, exceeds_context=count)
            for (tokenizer, n_ctx), count in found.items()
        ]


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
