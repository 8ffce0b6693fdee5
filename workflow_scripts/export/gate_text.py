"""What a gate decided, in words: the same for Markdown, JUnit XML and the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from ..comparisons.gate_report import GateReport, Judgement
from ..core.wording import counted
from ..report.judging import doubt
from ..report.wording import among, count, points, ratio, sentence_case
from ..stats.settings import GateDecision
from ..tasks.registry import TASKS

DECISIONS: dict[GateDecision, str] = {
    "passes": "passes",
    "worse": "worse",
    "cannot_tell": "cannot tell",
}


def headline(report: GateReport) -> str:
    """Return the gate's decision in one line."""
    n_of = dict.fromkeys(DECISIONS, 0)
    for each in report.checks:
        n_of[each.decision] += 1
    counts = ", ".join(f"{n} {DECISIONS[decision]}" for decision, n in n_of.items() if n)
    return (
        f"Gate: {DECISIONS[report.decision]} (exit code {report.exit_code}). "
        f"{counted(len(report.checks), 'check')}: {counts}."
    )


def what(check: Judgement) -> str:
    """Return the metric of a check, with the items that it is about."""
    return sentence_case(check.label) + among(check.subgroup)


def where(check: Judgement) -> str:
    """Return the arm and its whole place, by which a check is known in every run."""
    return f"{check.arm} in {check.trial}, {_task(check)}, temperature {check.temperature}"


class Places:
    """Where the checks of one report are: what all have in common, and what sets each apart."""

    def __init__(self, checks: Sequence[Judgement]) -> None:
        values: dict[str, set[str]] = {}
        for check in checks:
            for name, value in _facts(check).items():
                values.setdefault(name, set()).add(value)
        self._varying = {name for name, found in values.items() if len(found) > 1}
        self._common = {
            name: min(found) for name, found in values.items() if name not in self._varying
        }

    def of(self, check: Judgement) -> str:
        """Return the arm of a check with what sets its place apart."""
        facts = [value for name, value in _facts(check).items() if name in self._varying]
        return f"{check.arm} ({', '.join(facts)})" if facts else check.arm

    def common(self) -> str:
        """Return what the places of all checks have in common."""
        return ", ".join(f"{name} {value}" for name, value in self._common.items())


def _facts(check: Judgement) -> dict[str, str]:
    return {
        "backend": check.backend,
        "model": check.model,
        "decoding": check.decoding,
        "prompt set": check.prompt_set,
        "task": _task(check),
        "temperature": check.temperature,
    }


def _task(check: Judgement) -> str:
    return TASKS[check.task].label.lower() if check.task in TASKS else check.task


def change(check: Judgement) -> str:
    """Return the change with its interval, in percentage points or as a ratio."""
    low, high = (_signed(check, each) for each in (check.ci_low, check.ci_high))
    if check.change is None:
        return "–"
    interval = "–" if check.ci_low is None or check.ci_high is None else f"{low}, {high}"
    return f"{_signed(check, check.change)} [{interval}]"


def allowed(check: Judgement) -> str:
    """Return the changes that are allowed: up to the margin, without it."""
    if check.kind == "amount":
        limit = check.margin if check.better == "lower" else 1 / check.margin
    else:
        limit = check.margin if check.better == "lower" else -check.margin
    return f"{'<' if check.better == 'lower' else '>'} {_signed(check, limit)}"


def reason(check: Judgement, power: float) -> str:
    """Return why a check did not pass, in a sentence or two, and what would help."""
    level = f"{100 * check.confidence:g}%"
    if check.decision != "cannot_tell":
        worse = f"All of the {level} interval lies at or beyond the margin."
        return worse if check.decision == "worse" else ""
    if check.doubt is not None:
        return doubt(**dict(check.doubt))
    if check.reason == "stopped_early":
        return (
            "The run in waves ended early, and only the interval of its primary question holds "
            "then. Check that metric, or ask all items without waves."
        )
    if check.reason == "undefined":
        return (
            "The interval is undefined: the items are too few, or all of one cluster."
            if check.n_items
            else "No item has a value under both arms."
        )
    found = (
        f"The {level} interval reaches the margin."
        if check.reason == "reaches_margin"
        else "The interval is not trusted: too few clusters, or too few that differ."
    )
    return f"{found} {_needed(check, power)}"


def _needed(check: Judgement, power: float) -> str:
    if check.items_needed is None:
        return {
            "observed_change": "The change lies at the margin, so no number of items would tell.",
            "enough_clusters": "No item differs between the arms yet, so how many items would be "
            "enough is not known.",
        }.get(check.assumes or "", "How many items would tell is not known.")
    items = f"About {count(check.items_needed)} items{among(check.subgroup)}"
    chance = f"in {100 * power:g}% of runs"
    return {
        "no_change": f"{items} would tell {chance} if there is no true change",
        "observed_change": f"{items} would tell {chance} if the true change is the observed one",
        "enough_clusters": f"{items} would be enough for a trusted interval",
    }[check.assumes or "no_change"] + f"; this run has {count(check.n_items)}."


def _signed(check: Judgement, value: float | None) -> str:
    return ratio(value) if check.kind == "amount" else points(value, signed=True)


def notes(checks: Sequence[Judgement]) -> list[str]:
    """Return what a reader must know of the numbers."""
    levels = sorted({each.confidence for each in checks})
    level = " or ".join(f"{100 * each:g}%" for each in levels)
    one_sided = " or ".join(f"{100 * (1 - each) / 2:g}%" for each in levels)
    found = [
        f"Change: treatment minus control in percentage points [{level} confidence interval]; × is "
        f"a ratio of treatment to control. A check passes if the whole interval is allowed "
        f"(one-sided level {one_sided}), is worse if none of it is, and cannot tell otherwise."
    ]
    n_unpaired = max((each.n_unpaired for each in checks), default=0)
    if n_unpaired:
        found.append(
            f"Up to {counted(n_unpaired, 'item')} of a comparison left out: only one arm has an "
            "answer."
        )
    return found
