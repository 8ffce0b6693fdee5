"""Figures that other packages add to each comparison of a trial's page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ...core.registry import Registry
from ..contrast import Contrast
from .figure import Figure


@dataclass(frozen=True)
class ContrastFigure:
    """A figure of one comparison: ``draw`` takes it with the names of control and treatment.

    It gives ``None`` where there is nothing to show.
    """

    name: str
    draw: Callable[[Contrast, tuple[str, str]], Figure | None]


FIGURES: Registry[ContrastFigure] = Registry("figure", "assay.figures", {})
"""The figures that are drawn besides those of `collection`, by name."""
