"""What a trial's page says of judges and of people's labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..comparisons.judgements import Held, Judgements, JudgeReport
from ..core.wording import counted
from ..stats.agreement import Measured
from ..stats.label_design import LabelPower
from ..stats.prediction_powered import Corrected
from .contrast import Contrast
from .remark import Remark
from .wording import number, points, sentence_case

SPLIT = 0.05
"""Undecided verdicts beyond this share are a warning."""


def held_of(judgements: Judgements | None, contrast: Contrast) -> list[Held]:
    """Return a comparison's ways to decide correctness, the used one first."""
    found = [] if judgements is None else judgements.held
    place = contrast.treatment, contrast.temp, contrast.task.name
    here = [each for each in found if (each.treatment, each.temp, each.type) == place]
    return sorted(here, key=lambda each: not each.decides)


def led_by_labels(held: Sequence[Held]) -> tuple[Held, Corrected] | None:
    """Return the difference that labels correct, where there are labels under both arms."""
    for each in held:
        if each.decides and each.corrected and each.corrected.difference:
            return each, each.corrected.difference
    return None


def labels_sentence(
    held: Held, found: Corrected, confidence: float, power: LabelPower | None = None
) -> str:
    """Say what people's labels make of the difference in correct answers."""
    interval = (
        "no interval, because too few clusters have labels"
        if found.ci_low is None
        else f"{100 * confidence:g}% CI {points(found.ci_low, signed=True)} to "
        f"{points(found.ci_high, signed=True)}"
    )
    text = (
        f"Correct answers differ by {points(found.estimate, signed=True)} points ({interval}), by "
        f"people’s labels on {counted(found.n_labelled, 'item')} and {held.level} on "
        f"{found.n_judged:,}. By the labels alone: "
        f"{points(found.labels_only.estimate, signed=True)}; by {held.level} alone: "
        f"{points(found.judge_only.estimate, signed=True)}."
    )
    if not found.trusted:
        text += " With so few labels the interval may be too narrow."
    needed = [
        f"{n:,} for ±{points(float(half))}" for half, n in held.labels_for_half_width.items() if n
    ]
    if needed:
        text += f" Labelled items needed for a narrower interval: {', '.join(needed)} points."
    if power is not None:
        text += f" {_detectable(power)}"
    return text


def _detectable(power: LabelPower) -> str:
    """Say what the labels can detect, and how many more a smaller difference takes."""
    text = (
        f"With these labels a true difference of {points(power.smallest_detectable)} points would "
        f"be found in {100 * power.power:g}% of runs"
    )
    more = [
        f"{n - power.n_labelled:,} more for {points(float(effect))}"
        for effect, n in power.labels_needed.items()
        if n is not None and n > power.n_labelled
    ]
    if more:
        return f"{text}; items to label for a smaller one: {', '.join(more)} points."
    if power.n_labelled < power.n_items:
        return f"{text}."
    return f"{text}; all items are labelled, so a smaller one takes more items."


def judge_remarks(judgements: Judgements | None) -> Iterator[Remark]:
    """Yield what a reader must know of judges and labels."""
    if judgements is None:
        return
    for held in judgements.doubted:
        told = doubt(held.level, held.kappa, judgements.bar, labelled=held.agreement is not None)
        yield Remark("warning", "judge_bar", f"No verdict is called: {told}")
    for judge in judgements.judges:
        yield from _of_judge(judge)
    if judgements.labels.stale:
        stale = counted(judgements.labels.stale, "label")
        message = f"Not used: {stale} of responses that have changed since."
        yield Remark("warning", "stale_labels", message)
    for held in judgements.held:
        if held.decides:
            yield from _of_used(held)


def _of_judge(judge: JudgeReport) -> Iterator[Remark]:
    total = sum(sum(each.values()) for each in judge.verdicts.values())
    for n, what in ((judge.undecided, "is undecided about"), (judge.failed, "failed on")):
        if n:
            yield Remark(
                "warning" if n > SPLIT * total else "note",
                "judge_undecided",
                f"Judge {judge.name} {what} {n:,} of {counted(total, 'response')}. Where judges "
                "decide correctness, containment decides about these.",
            )
    if judge.same_family:
        yield Remark(
            "warning",
            "same_family",
            f"Judge {judge.name} ({judge.model}) is of one family with "
            f"{', '.join(judge.same_family)}, and may prefer its answers.",
        )


def _of_used(held: Held) -> Iterator[Remark]:
    """Remarks on the errors of what decides correctness."""
    level = sentence_case(held.level)
    errors = held.errors.difference if held.errors else None
    if errors is not None and _excludes_zero(errors):
        yield Remark(
            "warning",
            "judge_errs_by_arm",
            f"{level} errs differently under the arms: it favours "
            f"{'the treatment' if errors.value > 0 else 'the control'} by "
            f"{points(abs(errors.value))} points. Use the difference that labels correct.",
        )
    if held.length is not None and _excludes_zero(held.length):
        longer = "longer" if held.length.value > 0 else "shorter"
        beyond = " beyond what people say" if held.errors else ""
        yield Remark(
            "warning",
            "judge_length",
            f"{level} finds {longer} responses correct more often: "
            f"{points(held.length.value, signed=True)} points per doubling of length{beyond}.",
        )


def doubt(level: str, kappa: float | None, bar: float | None, *, labelled: bool) -> str:
    """Say why what decides correctness is not believed, and what to do."""
    if not labelled:
        return (
            f"judge_bar asks that {level} agrees with people (κ of {bar:g} or more), and "
            "these responses have no labels. Label some (docs/labels.md)."
        )
    measured = "not defined" if kappa is None else number(kappa)
    return (
        f"κ of {level} and people is {measured}, and judge_bar asks for {bar:g}. Improve the "
        "judge’s prompt or take another model."
    )


def said(judge: JudgeReport) -> list[tuple[str, dict[str, int]]]:
    """Return a judge's verdicts by condition, in the order of all that it used."""
    names = sorted({name for each in judge.verdicts.values() for name in each})
    return [
        (condition, {name: each.get(name, 0) for name in names})
        for condition, each in judge.verdicts.items()
    ]


def measured(value: Measured | None, *, share: bool = True) -> str:
    """A measured number with its interval, as a page shows it."""
    if value is None:
        return "–"
    shown = points if share else number
    text = shown(value.value)
    if value.ci_low is None or value.ci_high is None:
        return text
    return f"{text} ({shown(value.ci_low)} to {shown(value.ci_high)})"


def _excludes_zero(value: Measured) -> bool:
    return (value.ci_low or 0) > 0 or (value.ci_high or 0) < 0
