"""By what an answer counts as correct: the levels, their names and which one is usual."""

from __future__ import annotations

from typing import Literal

Correctness = Literal["exact", "contains", "judge", "labels"]
"""By what an answer counts as correct; docs/scoring.md."""

CORRECTNESS_IN_WORDS: dict[Correctness, str] = {
    "exact": "exact match with a gold answer",
    "contains": "containment of a gold answer",
    "judge": "a judge",
    "labels": "people’s labels",
}


def usual_correctness(evaluation_named: bool) -> Correctness:
    """Return what decides where the config does not say it.

    Args:
        evaluation_named: an official evaluation was asked for by name.
    """
    return "exact" if evaluation_named else "contains"
