"""report.json: what a trial's page says, for programs. The fields stand in docs/report.md."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ..core.records import ErrorRow
from ..costs.records import Audit
from .arms import called
from .contrast import contrasts
from .inputs import Companions, TrialResults
from .overview import Overview
from .provenance import without_folders
from .verdict import sentence, standing
from .wording import STANDING_LABELS

SCHEMA_VERSION = 2


def summary(
    results: TrialResults,
    companions: Companions,
    audit: Audit,
    errors: Sequence[ErrorRow],
    overview: Overview,
) -> dict[str, Any]:
    """The content of report.json."""
    trial, significance = results.trial, results.significance
    return {
        "schema_version": SCHEMA_VERSION,
        "title": trial.title or overview.question,
        "question": overview.question,
        "note": trial.note,
        "trial": without_folders(trial.model_dump(mode="json", exclude={"title", "note"})),
        "facts": overview.facts,
        "verdicts": [
            {
                "treatment": each.treatment,
                "temp": each.temp,
                "temperature": trial.temperature(each.temp) if trial.asks else None,
                "task": each.task.name,
                "standing": standing(each),
                "label": STANDING_LABELS[standing(each)],
                "sentence": sentence(each, called(results.trial, each.treatment)),
                "n_items": each.result.n_items,
                "n_clusters": each.result.meta.n_clusters,
            }
            for each in contrasts(trial, significance, results.metrics)
        ],
        "primary": overview.primary,
        "warnings": [asdict(each) for each in overview.remarks],
        # As significance.json has them; the page shows no other numbers.
        "significance": significance.model_dump(mode="json"),
        "outcomes": [
            {"task": task, "condition": condition, "requests": dict(sorted(counts.items()))}
            for (task, condition), counts in sorted(overview.outcomes.items())
        ],
        "schemas": [asdict(each) for each in overview.schemas],
        "failed_requests": {
            "total": len(errors),
            "by_type": dict(sorted(Counter(error.error_type for error in errors).items())),
        },
        "costs": results.costs.model_dump(mode="json"),
        "local_costs": results.local_costs.model_dump(mode="json"),
        "judgements": None
        if results.judgements is None
        else results.judgements.model_dump(mode="json"),
        "usage": companions.usage.model_dump(mode="json")["results"],
        "retest": None if companions.retest is None else companions.retest.model_dump(mode="json"),
        "audit": audit.model_dump(mode="json"),
        "verification": overview.verification.model_dump(mode="json"),
        "provenance": overview.provenance.model_dump(mode="json"),
    }
