"""Run a plan, and write its charts, what was done, and the page of the analysis."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..core.errors import command
from ..core.files import read_settings, write_json, write_record, write_text
from ..core.logs import log_to
from ..core.records import Record
from ..core.seals import SealWriter, add_seal_argument, seal_beside
from ..plans.profile import Profile
from ..plans.result import Cell, Result, amount
from ..plans.templates import Chosen
from ..plans.tools import TOOLS
from ..report.figures.figure import Figure
from ..report.page import render
from ..verify.files import require_unchanged
from .adapted import Adapted
from .drawing import figure, standalone
from .plan import call, differences
from .reading import read_table
from .running import FEWEST_CHARTS, MOST_CHARTS, Done, run
from .settings import AnalysisSettings, AskedIntent

log = logging.getLogger(__name__)

_MOST_ROWS = 40
_MOST_COLUMNS = 200

INTENT_LABELS = {
    "time_series": "development over time",
    "anomalies": "unusual values",
    "comparison": "comparison of groups",
    "drivers": "what goes together with a measure",
    "general_exploration": "general exploration",
}


class LoggedStep(Record):
    """One step in execution_log.json."""

    id: str
    tool: str
    origin: str
    description: str
    finding: str
    remarks: list[str]
    rows: int
    chart: str | None


class ExecutionLog(Record):
    """execution_log.json: what was run, and which changes to the plan were not made.

    ``undrawn``: steps whose charts the page has no room for.
    """

    steps: list[LoggedStep]
    rejected: list[str]
    dropped: list[str]
    undrawn: list[str]


def page(
    settings: AnalysisSettings,
    profile: Profile,
    intent: AskedIntent,
    chosen: Chosen,
    adapted: Adapted,
    done: Sequence[tuple[Done, Figure | None]],
) -> str:
    """Return the page of an analysis."""
    return render(
        "analysis.html.j2",
        styles=["style.css", "figures.css"],
        scripts=["figures.js"],
        title=settings.title or settings.question,
        settings=settings,
        data=Path(settings.data).name,
        profile=profile,
        shown_columns=profile.columns[:_MOST_COLUMNS],
        intent=intent,
        intent_label=INTENT_LABELS[intent.primary],
        chosen=chosen,
        adapted=adapted,
        differences=differences(chosen.plan, adapted.plan),
        call=call,
        figures=[(each, chart) for each, chart in done if chart],
        tables=[each for each, chart in done if not chart],
        undrawn=[each for each, chart in done if each.result.chart and not chart],
        fewest=FEWEST_CHARTS,
        most=MOST_CHARTS,
        most_rows=_MOST_ROWS,
        cell=_cell,
        is_text=_is_text,
        asked=[
            ("Intent", settings.jobs["intent"], intent),
            ("Changes to the plan", settings.jobs["adapt_plan"], adapted.origin),
            ("Repair of the changes", settings.jobs["repair_plan"], adapted.repair),
        ],
    )


def execution_log(adapted: Adapted, done: Sequence[tuple[Done, Figure | None]]) -> ExecutionLog:
    """Return the log of what was run."""
    return ExecutionLog(
        steps=[
            LoggedStep(
                id=each.step.id,
                tool=each.step.tool,
                origin=each.origin,
                description=each.step.description,
                finding=each.result.finding,
                remarks=list(each.result.remarks),
                rows=len(each.result.rows),
                chart=f"charts/{chart.name}.svg" if chart else None,
            )
            for each, chart in done
        ],
        rejected=[f"{each.change.step_id}: {each.reason}" for each in adapted.repaired],
        dropped=[f"{each.change.step_id}: {each.reason}" for each in adapted.dropped],
        undrawn=[each.step.id for each, chart in done if each.result.chart and not chart],
    )


def tool_calls(done: Sequence[Done]) -> list[dict[str, Any]]:
    """Return each call as it was made, with the parameters' defaults."""
    return [
        {
            "step": each.step.id,
            "tool": each.step.tool,
            "params": TOOLS[each.step.tool].checked(each.step.params),
        }
        for each in done
    ]


def _is_text(result: Result, column: int) -> bool:
    """Whether a column of a step's table has texts, which are aligned to the left."""
    return any(isinstance(row[column], str) for row in result.rows[:_MOST_ROWS])


def _cell(value: Cell) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return amount(value) if isinstance(value, float) else value.replace("T00:00:00", "")


@command
def main() -> None:
    """Write tool_calls.json, execution_log.json, the charts and report.html."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the table, a CSV file")
    parser.add_argument("--profile", type=Path, required=True, help="profile.json")
    parser.add_argument("--intent", type=Path, required=True, help="intent.json")
    parser.add_argument("--plan", type=Path, required=True, help="plan_template.json")
    parser.add_argument("--adapted", type=Path, required=True, help="plan_adapted.json")
    parser.add_argument("--settings", type=Path, required=True, help="AnalysisSettings as JSON")
    parser.add_argument("--tool-calls", type=Path, required=True)
    parser.add_argument("--log", type=Path, required=True, help="execution_log.json")
    parser.add_argument("--charts", type=Path, required=True, help="a folder for SVG files")
    parser.add_argument("--output", type=Path, required=True, help="the page")
    add_seal_argument(parser)
    args = parser.parse_args()

    log_to(None)
    sources = [args.profile, args.intent, args.plan, args.adapted]
    seal = SealWriter(args.seal, sources)
    require_unchanged(sources)
    settings = read_settings(args.settings, AnalysisSettings)
    profile = read_settings(args.profile, Profile)
    chosen = read_settings(args.plan, Chosen)
    adapted = read_settings(args.adapted, Adapted)
    intent = read_settings(args.intent, AskedIntent)
    table, _ = read_table(args.data)
    steps = run(chosen.plan, adapted.plan, profile, table)
    done: list[tuple[Done, Figure | None]] = []
    for each in steps:
        number = sum(chart is not None for _, chart in done) + 1
        done.append((each, figure(number, each) if each.is_drawn else None))
    for old in args.charts.glob("*.svg"):
        old.unlink()
    drawn = {args.charts / f"{chart.name}.svg": chart for _, chart in done if chart is not None}
    for path, chart in drawn.items():
        write_text(path, standalone(chart.svg))
    logged = execution_log(adapted, done)
    for line in logged.dropped:
        log.warning("dropped: %s", line)
    write_json(args.tool_calls, tool_calls(steps))
    write_record(args.log, logged)
    write_text(args.output, page(settings, profile, intent, chosen, adapted, done))
    seal.seal(args.tool_calls, args.log, args.output)
    SealWriter(seal_beside(args.charts / "any.svg", "charts"), sources).seal(*drawn)


if __name__ == "__main__":
    main()
