"""What a comparison says, in a plain sentence that claims no more than its interval does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..stats.comparison import Comparison
from ..stats.equivalence import Equivalence
from ..stats.estimates import Estimate
from ..stats.intervals import TRUST
from .inputs import Significance
from .pairwise import Difference
from .wording import METRICS, TASK_NAMES, better_for, p_equation, points, sentence_case

Effect = Literal["better", "worse", "differs", "unclear", "untested"]
"""``differs``: a clear difference that is neither better nor worse by itself."""

Standing = Literal["better", "worse", "trade-off", "unclear"]

STANDING_LABELS: dict[Standing, str] = {
    "better": "Better",
    "worse": "Worse",
    "trade-off": "Trade-off",
    "unclear": "No clear difference",
}

_CLEAR_PHRASES = {
    ("em", True): "gained {points} points of exact match",
    ("em", False): "cost {points} points of exact match",
    ("false_answer_rate", True): "raised false answers by {points} points",
    ("false_answer_rate", False): "cut false answers by {points} points",
}


@dataclass(frozen=True)
class Contrast:
    """One comparison with the names that identify it."""

    treatment: str
    temp: str
    task: str
    result: Comparison

    @property
    def anchor(self) -> str:
        """Its id on the page."""
        return f"contrast-{self.treatment}-{self.temp}-{self.task}"

    @property
    def task_name(self) -> str:
        """The task in words."""
        return TASK_NAMES.get(self.task, self.task)


def contrasts(significance: Significance) -> list[Contrast]:
    """All comparisons, in the order of the file."""
    return [
        Contrast(treatment, temp, task, result)
        for treatment, by_temp in significance.results.items()
        for temp, by_task in by_temp.items()
        for task, result in by_task.items()
    ]


def doubt(estimate: Estimate | Difference) -> str:
    """How the interval may fail on so few data: "too wide" or "too narrow"; else nothing."""
    if estimate.ci_trusted or estimate.ci_method is None:
        return ""
    return TRUST[estimate.ci_method].below


def effect(name: str, estimate: Estimate, confidence: float, subgroup: str | None = None) -> Effect:
    """What an estimate shows.

    A difference is clear when its interval excludes 0 and its q value, where there is one, is
    below one minus the confidence: both must agree.
    """
    if estimate.ci_low is None or estimate.ci_high is None:
        return "untested"
    corrected_away = estimate.q_value is not None and estimate.q_value >= _level(confidence)
    if not estimate.excludes_zero() or corrected_away:
        return "unclear"
    better = better_for(name, subgroup)
    if better == "neither":
        return "differs"
    return "better" if (estimate.difference > 0) == (better == "higher") else "worse"


def standing(comparison: Comparison) -> Standing:
    """The comparison in one word, from exact match and false answers.

    Exact match of the answerable items counts too: a treatment that abstains on everything gains
    on the unanswerable items and must not look like a plain success.
    """
    effects = {
        effect(name, comparison.metrics[name], comparison.meta.confidence)
        for name in ("em", "false_answer_rate")
        if name in comparison.metrics
    }
    if _cost_on_answerable_items(comparison):
        effects.add("worse")
    if {"better", "worse"} <= effects:
        return "trade-off"
    if "better" in effects:
        return "better"
    return "worse" if "worse" in effects else "unclear"


def sentence(comparison: Comparison, treatment: str) -> str:
    """The verdict: what the treatment did to false answers, exact match and abstentions."""
    if comparison.n_items == 0:
        return "Nothing to compare: no item has an answer under both arms."
    confidence = comparison.meta.confidence
    clear: list[str] = []
    others: list[str] = []
    for name in ("false_answer_rate", "em"):
        estimate = comparison.metrics.get(name)
        if estimate is None:
            continue
        if effect(name, estimate, confidence) in ("better", "worse"):
            clear.append(_clear(name, estimate, confidence))
        else:
            others.append(_not_clear(name, estimate, comparison.tost.get(name), confidence))
    abstained = comparison.metrics.get("abstain_rate")
    if abstained is not None and effect("abstain_rate", abstained, confidence) == "differs":
        others.append(_abstained(abstained, confidence))
    cost = _cost_on_answerable_items(comparison)
    if cost:
        others.insert(0, cost)
    if clear:
        return " ".join([f"{treatment} {' and '.join(clear)}.", *others])
    return " ".join(others)


def _cost_on_answerable_items(comparison: Comparison) -> str:
    """What the total of exact match hides: a clear loss on the items that have an answer."""
    answerable = comparison.subgroups.get("answerable")
    estimate = answerable.metrics.get("em") if answerable else None
    confidence = comparison.meta.confidence
    if answerable is None or estimate is None or effect("em", estimate, confidence) != "worse":
        return ""
    if effect("em", comparison.metrics["em"], confidence) == "worse":
        return ""  # the total says so already
    loss = _clear("em", estimate, confidence)
    return f"Among the {answerable.n_items:,} answerable items it {loss}."


def _clear(name: str, estimate: Estimate, confidence: float) -> str:
    low, high, size = _magnitude(estimate)
    phrase = _CLEAR_PHRASES[name, _rises(estimate)].format(points=size)
    return f"{phrase} ({_percent(confidence)} CI {low} to {high}{_q(estimate)})"


def _not_clear(name: str, estimate: Estimate, tost: Equivalence | None, confidence: float) -> str:
    what = METRICS[name].label
    if effect(name, estimate, confidence) == "untested":
        return f"{sentence_case(what)} has no interval: all items belong to one passage."
    low, high = points(estimate.ci_low, signed=True), points(estimate.ci_high, signed=True)
    alpha = _level(confidence)
    if estimate.excludes_zero():
        if estimate.permutation_p < alpha:
            reason, q = "not clear once the number of tests is taken into account", _q(estimate)
        else:
            reason = "not clear, because the permutation test does not confirm it"
            q = f"; {p_equation('p', estimate.permutation_p)}"
        return (
            f"{sentence_case(what)} changed by {points(estimate.difference, signed=True)} points "
            f"({_percent(confidence)} CI {low} to {high}{q}): {reason}."
        )
    text = (
        f"No detectable difference in {what}: between {low} and {high} points "
        f"({_percent(confidence)} CI{_q(estimate)})"
    )
    if estimate.q_value is not None and estimate.q_value < alpha:
        text += "; the permutation test alone would find one, so this is not clear"
    if tost is not None and tost.equivalent:
        text += f"; equivalent within ±{points(tost.margin)} points"
        if not tost.trusted:
            text += " (too few items or clusters to rely on)"
    return text + "."


def _abstained(estimate: Estimate, confidence: float) -> str:
    low, high, size = _magnitude(estimate)
    direction = "rose" if _rises(estimate) else "fell"
    return (
        f"Its abstention rate {direction} by {size} points "
        f"({_percent(confidence)} CI {low} to {high}{_q(estimate)})."
    )


def _rises(estimate: Estimate) -> bool:
    return estimate.difference > 0


def _magnitude(estimate: Estimate) -> tuple[str, str, str]:
    """Interval and size of a clear difference without its sign: the words give the direction."""
    sign = 1 if _rises(estimate) else -1
    low, high = sorted((sign * (estimate.ci_low or 0), sign * (estimate.ci_high or 0)))
    return points(low), points(high), points(abs(estimate.difference))


def _q(estimate: Estimate) -> str:
    return "" if estimate.q_value is None else f"; {p_equation('q', estimate.q_value)}"


def _level(confidence: float) -> float:
    """One minus the confidence: 0.05, not 0.05000000000000004."""
    return round(1 - confidence, 9)


def _percent(confidence: float) -> str:
    return f"{100 * confidence:g}%"
