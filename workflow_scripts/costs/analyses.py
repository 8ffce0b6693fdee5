"""What the analyses of an experiment would ask: two requests each, or three with a repair."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from ..core.files import read_jsonl
from ..core.records import Request
from .plan_rows import ModelPlan, Row
from .plan_settings import PlannedAnalysis


def analysis_row(plan: ModelPlan, analysis: PlannedAnalysis) -> Row:
    """Return what one analysis would ask.

    The first reply decides which of the possible second requests is sent, and the second whether a
    third one is. Until then the longest are counted.
    """
    first, repair = Path(analysis.first), Path(analysis.repair)
    row = plan.rows([first])[first]
    possible: dict[str, list[Request]] = defaultdict(list)
    for request in read_jsonl(Path(analysis.possible), Request):
        possible[request.type].append(request)
    for requests in possible.values():
        following = plan.one_of(requests)
        if requests[0].type == analysis.repair_type and repair.is_file() and not row.to_send:
            following = plan.rows([repair])[repair]
        row += following
    return row
