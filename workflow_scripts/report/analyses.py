"""What an experiment's page says of its analyses; the whole page where there is no trial."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from ..config.trial import FrontSettings, ListedAnalysis
from .page import render


def links(analyses: Sequence[ListedAnalysis]) -> list[dict[str, Any]]:
    """Return the analyses, each with the address of its page beside the experiment's."""
    return [
        {**each.model_dump(mode="json"), "link": f"analyses/{quote(each.name)}/report.html"}
        for each in analyses
    ]


def analyses_page(settings: FrontSettings) -> str:
    """Return the page of an experiment that has analyses alone."""
    return render(
        "analyses.html.j2",
        styles=["style.css"],
        scripts=[],
        title=settings.title or "Analyses",
        note=settings.note,
        analyses=links(settings.analyses),
    )


def analyses_summary(settings: FrontSettings, experiment: str, version: int) -> dict[str, Any]:
    """Return the same for programs."""
    return {
        "schema_version": version,
        "experiment": experiment,
        "title": settings.title,
        "note": settings.note,
        "trials": [],
        "analyses": links(settings.analyses),
    }
