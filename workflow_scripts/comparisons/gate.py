"""The decisions of a gate: how each comparison is held against the margins of its checks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ..config.trial import Trial
from ..core.metric import Metric
from ..stats.amounts import AmountEstimate
from ..stats.comparison import Comparison, Subgroup
from ..stats.estimates import Estimate
from ..stats.noninferiority import (
    Evidence,
    Worsening,
    additive,
    decide,
    is_trusted_on_one_side,
    items_to_tell,
)
from ..stats.settings import GateCheck, GateDecision
from ..tasks.registry import TASKS
from .gate_report import Doubt, Judgement, Reason
from .sequential import SequentialTest


@dataclass(frozen=True)
class LookedAt:
    """The primary test of a run in waves, in one comparison."""

    metric: str
    subgroup: str | None
    test: SequentialTest


@dataclass(frozen=True)
class Compared:
    """One comparison of a trial, with the names by which a reader knows it.

    ``arm`` is the name of the treatment, ``metrics`` are the trial's by name. ``doubted``: why
    some of these are not believed.
    """

    trial: Trial
    arm: str
    task: str
    temp: str
    metrics: Mapping[str, Metric]
    result: Comparison
    looked_at: LookedAt | None = None
    doubted: Mapping[str, Doubt] = field(default_factory=dict)


@dataclass(frozen=True)
class _Seen:
    """A change with its interval, and what that rests on."""

    change: float | None
    low: float | None
    high: float | None
    confidence: float
    evidence: Evidence
    trusted: bool


def overall(decisions: Iterable[GateDecision]) -> GateDecision:
    """Return the decision of a gate: ``worse`` if a check is, ``passes`` if all do.

    Without any check nothing was told.
    """
    found = set(decisions)
    if "worse" in found:
        return "worse"
    return "passes" if found == {"passes"} else "cannot_tell"


def concerns(check: GateCheck, compared: Compared) -> bool:
    """Whether a comparison is one that a check is about.

    A comparison without any item is, if it should have the metric: it must not pass in silence.
    """
    places = (
        (check.task, compared.task),
        (check.temp, compared.temp),
        (check.prompt_set, compared.trial.prompt_set),
    )
    if not all(named in (None, name) for named, name in places):
        return False
    if not compared.result.n_items:
        measured = check.metric not in TASKS[compared.task].unmeasured
        return measured and check.metric in compared.metrics
    return _estimate(check, compared.result) is not None


def judge(check: GateCheck, compared: Compared, margin: float, power: float) -> Judgement:
    """Hold a comparison against a check that concerns it.

    Args:
        check: the check.
        compared: the comparison.
        margin: the smallest change for the worse that is too much.
        power: how often a run with the number of items that is asked for would tell.
    """
    metric, result = compared.metrics[check.metric], compared.result
    judgement = Judgement(
        backend=compared.trial.backend,
        model=compared.trial.model,
        decoding=compared.trial.decoding_name,
        prompt_set=compared.trial.prompt_set,
        arm=compared.arm,
        task=compared.task,
        temp=compared.temp,
        temperature=compared.trial.temperature(compared.temp),
        subgroup=check.subgroup,
        metric=metric.name,
        label=metric.label,
        kind=metric.kind,
        better=metric.better_in(check.subgroup),
        margin=margin,
        confidence=result.meta.confidence,
        n_unpaired=result.meta.n_unpaired,
        decision="cannot_tell",
        reason="undefined",
    )
    estimate = _estimate(check, result)
    if estimate is None:
        return judgement
    seen, doubt = _seen(estimate, check, compared), compared.doubted.get(metric.name)
    decided = _decision(judgement, seen, power, stopped=_is_stopped(check, compared))
    if doubt is not None:
        decided = {"reason": "judge_bar", "doubt": doubt}
    return judgement.model_copy(
        update={
            "change": seen.change,
            "ci_low": seen.low,
            "ci_high": seen.high,
            "confidence": round(seen.confidence, 9),
            "n_items": seen.evidence.n_items,
            "n_clusters": seen.evidence.n_clusters,
            **decided,
        }
    )


def _decision(
    judgement: Judgement, seen: _Seen, power: float, *, stopped: bool
) -> dict[str, GateDecision | Reason | Doubt | int | str | None]:
    """The fields of a judgement that say what was decided, and why not."""
    if stopped:
        return {"reason": "stopped_early"}
    if seen.change is None:
        return {}
    kind = judgement.kind
    worsening = Worsening.of(kind, judgement.better, seen.change, seen.low, seen.high)
    limit = additive(kind, judgement.margin)
    decision = decide(worsening, limit, trusted=seen.trusted)
    if decision != "cannot_tell":
        return {"decision": decision, "reason": None}
    if seen.low is None or seen.high is None:
        return {}
    needed = items_to_tell(kind, worsening, limit, seen.evidence, seen.confidence, power)
    return {
        "reason": "reaches_margin" if seen.trusted else "not_trusted",
        "items_needed": needed.n_items,
        "assumes": needed.assumes,
    }


def _is_stopped(check: GateCheck, compared: Compared) -> bool:
    """Whether the run ended early, so that only the interval of its own test still holds."""
    warnings = compared.result.meta.warnings
    early = any(each.code == "stopped_early" for each in warnings)
    return early and _test(check, compared) is None


def _part(check: GateCheck, result: Comparison) -> Comparison | Subgroup | None:
    """The items of a comparison that a check is about."""
    return result if check.subgroup is None else result.subgroups.get(check.subgroup)


def _estimate(check: GateCheck, result: Comparison) -> Estimate | AmountEstimate | None:
    part = _part(check, result)
    if part is None:
        return None
    return part.metrics.get(check.metric) or part.amounts.get(check.metric)


def _test(check: GateCheck, compared: Compared) -> SequentialTest | None:
    """The test of a metric that was looked at after each wave."""
    looked_at = compared.looked_at
    if looked_at is None or (looked_at.metric, looked_at.subgroup) != (
        check.metric,
        check.subgroup,
    ):
        return None
    return looked_at.test


def _seen(estimate: Estimate | AmountEstimate, check: GateCheck, compared: Compared) -> _Seen:
    if isinstance(estimate, AmountEstimate):
        change, naive = estimate.ratio, None
        n_items, n_clusters = estimate.n_items, estimate.n_clusters
    else:
        change, naive = estimate.difference, estimate.naive_standard_error
        n_items, n_clusters = _sizes(check, compared.result)
    evidence = Evidence(
        n_items=n_items,
        n_clusters=n_clusters,
        n_differing=estimate.n_differing or 0,
        method=estimate.ci_method or "cluster_t",
        standard_error=estimate.standard_error,
        naive_standard_error=naive,
        degrees_of_freedom=estimate.degrees_of_freedom,
        design_effect=estimate.design_effect,
    )
    kind = compared.metrics[check.metric].kind
    trusted = estimate.ci_trusted and is_trusted_on_one_side(kind, evidence)
    low, high, confidence = estimate.ci_low, estimate.ci_high, compared.result.meta.confidence
    test = _test(check, compared)
    if test is not None:
        change = test.estimate if test.adjusted_estimate is None else test.adjusted_estimate
        low, high, confidence = test.ci_low, test.ci_high, 1 - test.alpha
    return _Seen(change, low, high, confidence, evidence, trusted)


def _sizes(check: GateCheck, result: Comparison) -> tuple[int, int]:
    part = _part(check, result)
    if isinstance(part, Subgroup):
        return part.n_items, part.n_clusters
    return result.n_items, result.meta.n_clusters
