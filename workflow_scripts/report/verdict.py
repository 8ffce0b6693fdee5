"""What a comparison says, in a plain sentence that claims no more than its interval does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from ..comparisons.pairings import Difference, Ratio
from ..core.metric import Metric
from ..stats.amounts import AmountEstimate
from ..stats.equivalence import Equivalence
from ..stats.intervals import TRUST
from .contrast import AnyEstimate, Contrast, leading
from .wording import Standing, p_equation, points, ratio, sentence_case

Effect = Literal["better", "worse", "differs", "unclear", "untested"]
"""``differs``: a clear difference that is neither better nor worse by itself."""


Shown = AnyEstimate | Difference | Ratio
"""What pages show of a metric in a comparison: a difference, or a ratio."""


def doubt(estimate: Shown) -> str:
    """How the interval may fail on so few data: "too wide" or "too narrow"; else nothing."""
    if estimate.ci_trusted:
        return ""
    if isinstance(estimate, AmountEstimate | Ratio):
        return "too narrow"
    return "" if estimate.ci_method is None else TRUST[estimate.ci_method].below


def effect(
    metric: Metric, estimate: Shown, confidence: float, subgroup: str | None = None
) -> Effect:
    """What an estimate shows.

    A difference is clear when its interval excludes 0 (a ratio: 1) and its q value, where there is
    one, is below one minus the confidence: both must agree.
    """
    if estimate.ci_low is None or estimate.ci_high is None:
        return "untested"
    corrected_away = estimate.q_value is not None and estimate.q_value >= _level(confidence)
    if not _excludes_no_change(estimate) or corrected_away:
        return "unclear"
    better = metric.better_in(subgroup)
    if better == "neither":
        return "differs"
    return "better" if _rises(estimate) == (better == "higher") else "worse"


def findings(
    contrast: Contrast, metrics: Iterable[Metric]
) -> list[tuple[Metric, AnyEstimate, Effect]]:
    """Return some metrics of a comparison with their estimates and what these show."""
    confidence = contrast.result.meta.confidence
    return [
        (metric, estimate, effect(metric, estimate, confidence))
        for metric in metrics
        for estimate in [contrast.estimate(metric)]
    ]


def standing(contrast: Contrast) -> Standing:
    """The comparison in one word, from the metrics that lead.

    A loss that the number over all items hides counts too (`Metric.must_hold_in`): a treatment
    that never answers gains where there is no answer, and must not look like a plain success.
    """
    if contrast.metrics and not leading(contrast.metrics):
        return "withheld"
    effects = {found for _, _, found in findings(contrast, leading(contrast.metrics))}
    if any(_hidden_losses(contrast)):
        effects.add("worse")
    if {"better", "worse"} <= effects:
        return "trade-off"
    if "better" in effects:
        return "better"
    return "worse" if "worse" in effects else "unclear"


def sentence(contrast: Contrast, treatment: str) -> str:
    """The verdict: what the treatment did to the metrics that lead, and to others that say so."""
    result = contrast.result
    if result.n_items == 0:
        return "Nothing to compare: no item has an answer under both arms."
    confidence = result.meta.confidence
    clear: list[str] = []
    others: list[str] = []
    for metric, estimate, found in findings(contrast, contrast.metrics):
        is_clear = found in ("better", "worse", "differs")
        if metric.leads and is_clear:
            clear.append(_clear(metric, estimate, confidence))
        elif metric.leads:
            tost = result.tost.get(metric.name)
            others.append(_not_clear(metric, estimate, tost, confidence))
        elif is_clear and _declared_words(metric, estimate):
            others.append(f"{_clear(metric, estimate, confidence)}.")
    others = [*_hidden_losses(contrast), *others]
    if clear:
        return " ".join([f"{treatment} {' and '.join(clear)}.", *others])
    return " ".join(others)


def _hidden_losses(contrast: Contrast) -> Iterator[str]:
    """What the numbers over all items hide: clear losses on the items that must not lose."""
    result, confidence = contrast.result, contrast.result.meta.confidence
    for metric in leading(contrast.shares):
        part = result.subgroups.get(metric.must_hold_in)
        estimate = part.metrics.get(metric.name) if part else None
        if (
            part is not None
            and estimate is not None
            and effect(metric, estimate, confidence, metric.must_hold_in) == "worse"
            and effect(metric, result.metrics[metric.name], confidence) != "worse"
        ):
            loss = _clear(metric, estimate, confidence)
            yield f"Among the {part.n_items:,} {metric.must_hold_in} items it {loss}."


def _clear(metric: Metric, estimate: AnyEstimate, confidence: float) -> str:
    low, high, size = _magnitude(estimate)
    words = _declared_words(metric, estimate)
    if not words and metric.kind == "amount":
        words = f"changed {metric.label} by {{ratio}}"
    elif not words:
        words = f"{'raised' if _rises(estimate) else 'lowered'} {metric.label} by {{points}} points"
    phrase = words.replace("{points}", size).replace("{ratio}", size)
    return f"{phrase} ({_percent(confidence)} CI {low} to {high}{_q(estimate)})"


def _declared_words(metric: Metric, estimate: AnyEstimate) -> str:
    return metric.rose if _rises(estimate) else metric.fell


def _not_clear(
    metric: Metric, estimate: AnyEstimate, tost: Equivalence | None, confidence: float
) -> str:
    what = metric.label
    if effect(metric, estimate, confidence) == "untested":
        return f"No interval for {what}: all items belong to one passage."
    low, high = _change(estimate, estimate.ci_low), _change(estimate, estimate.ci_high)
    unit = "" if isinstance(estimate, AmountEstimate) else " points"
    alpha = _level(confidence)
    if _excludes_no_change(estimate):
        if estimate.permutation_p < alpha:
            reason, q = "not clear once the number of tests is taken into account", _q(estimate)
        else:
            reason = "not clear, because the permutation test does not confirm it"
            q = f"; {p_equation('p', estimate.permutation_p)}"
        return (
            f"{sentence_case(what)} changed by {_change(estimate, _value(estimate))}{unit} "
            f"({_percent(confidence)} CI {low} to {high}{q}): {reason}."
        )
    text = (
        f"No detectable difference in {what}: between {low} and {high}{unit} "
        f"({_percent(confidence)} CI{_q(estimate)})"
    )
    if estimate.q_value is not None and estimate.q_value < alpha:
        text += "; the permutation test alone would find one, so this is not clear"
    if tost is not None and tost.equivalent:
        text += f"; equivalent within ±{points(tost.margin)} points"
        if not tost.trusted:
            text += " (too few items or clusters to rely on)"
    return text + "."


def _value(estimate: Shown) -> float | None:
    if isinstance(estimate, AmountEstimate | Ratio):
        return estimate.ratio
    return estimate.difference


def _no_change(estimate: Shown) -> float:
    return 1.0 if isinstance(estimate, AmountEstimate | Ratio) else 0.0


def _excludes_no_change(estimate: Shown) -> bool:
    low, high, none = estimate.ci_low, estimate.ci_high, _no_change(estimate)
    return low is not None and high is not None and (low > none or high < none)


def _rises(estimate: Shown) -> bool:
    none = _no_change(estimate)
    value = _value(estimate)
    return (none if value is None else value) > none


def _change(estimate: AnyEstimate, value: float | None) -> str:
    """A difference or a ratio, or an end of its interval."""
    return ratio(value) if isinstance(estimate, AmountEstimate) else points(value, signed=True)


def _magnitude(estimate: AnyEstimate) -> tuple[str, str, str]:
    """Interval and size of a clear change: a difference without its sign, which the words give."""
    if isinstance(estimate, AmountEstimate):
        return ratio(estimate.ci_low), ratio(estimate.ci_high), ratio(estimate.ratio)
    sign = 1 if _rises(estimate) else -1
    low, high = sorted((sign * (estimate.ci_low or 0), sign * (estimate.ci_high or 0)))
    return points(low), points(high), points(abs(estimate.difference))


def _q(estimate: AnyEstimate) -> str:
    return "" if estimate.q_value is None else f"; {p_equation('q', estimate.q_value)}"


def _level(confidence: float) -> float:
    """One minus the confidence: 0.05, not 0.05000000000000004."""
    return round(1 - confidence, 9)


def _percent(confidence: float) -> str:
    return f"{100 * confidence:g}%"
