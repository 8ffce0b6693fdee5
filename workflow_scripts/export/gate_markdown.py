"""gate.md: what a reviewer of a pull request reads; names in it are text and never markup."""

from __future__ import annotations

from ..comparisons.gate_report import GateReport, Judgement
from ..report.wording import count
from .gate_text import DECISIONS, Places, allowed, change, headline, notes, reason, what
from .markdown import escape

_ORDER = ("worse", "cannot_tell", "passes")


def gate_markdown(report: GateReport) -> str:
    """Return the whole file: the decision, a row for each check, why checks did not pass, notes."""
    lines = [f"**{escape(headline(report))}**", ""]
    if report.title:
        lines += [escape(report.title), ""]
    lines += [
        "| Decision | Metric | Arm | Change | Allowed | Items |",
        "|---|---|---|--:|--:|--:|",
    ]
    places = Places(report.checks)
    checks = sorted(report.checks, key=lambda each: _ORDER.index(each.decision))
    lines += [f"| {' | '.join(escape(cell) for cell in _cells(each, places))} |" for each in checks]
    reasons = [
        f"- {escape(f'{what(each)}, {places.of(each)}: {reason(each, report.power)}')}"
        for each in checks
        if each.decision != "passes"
    ]
    if reasons:
        lines += ["", *reasons]
    for note in (f"All checks: {places.common()}.", *notes(checks)):
        lines += ["", escape(note)]
    return "\n".join(lines) + "\n"


def _cells(check: Judgement, places: Places) -> tuple[str, ...]:
    return (
        DECISIONS[check.decision],
        what(check),
        places.of(check),
        change(check),
        allowed(check),
        count(check.n_items),
    )
