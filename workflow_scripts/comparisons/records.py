"""significance.json, selective_risk.json and power.json: one class each, to write and to read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

from pydantic import Field

from ..core.prompts import CONTROL
from ..core.records import ResultFile
from ..stats.amounts import AmountPower
from ..stats.comparison import Comparison
from ..stats.label_design import LabelPower
from ..stats.power import Power
from ..stats.selective import Point, SelectiveDifference, SelectiveRisk
from .confidences import ConfidenceContrast
from .families import RegistrationReport
from .sequential import Decision

Content = TypeVar("Content")

ByContrast = dict[str, dict[str, dict[str, Content]]]
"""A content for each comparison with the control: by treatment, temperature and task."""


def content_of(
    contrasts: ByContrast[Content], treatment: str, temp: str, task: str
) -> Content | None:
    """Return the content for one comparison, if there is one."""
    return contrasts.get(treatment, {}).get(temp, {}).get(task)


class Multiplicity(ResultFile):
    """How p values were adjusted: the number of tests in each family."""

    method: str = "Benjamini-Hochberg"
    p_value: str = "permutation_p"
    families: dict[str, int]


class FalseAnswers(ResultFile):
    """The difference in false answers per request, treatment minus control."""

    n_requests: int
    difference: float
    ci_low: float | None
    ci_high: float | None
    ci_trusted: bool


class Significance(ResultFile):
    """significance.json. ``false_answers`` are by treatment, over all temperatures and tasks."""

    schema_version: int = 2
    control: str = CONTROL
    multiplicity: Multiplicity
    registration: RegistrationReport | None
    sequential: Decision | None
    confidence: float
    false_answers: dict[str, FalseAnswers]
    results: ByContrast[Comparison]


@dataclass(frozen=True)
class ArmRisk(SelectiveRisk):
    """The risk-coverage curve of one arm, and where on it the arm is."""

    points: list[Point] = field(default_factory=list)


class SelectiveContrast(ResultFile):
    """The curves of both arms of a comparison, and what differs between them.

    ``confidences``: the same by how sure single responses are, by column of outcomes.csv, the most
    telling first.
    """

    arms: dict[str, ArmRisk]
    differences: dict[str, SelectiveDifference]
    confidences: dict[str, ConfidenceContrast] = Field(
        default_factory=dict, exclude_if=lambda found: not found
    )


class SelectiveRiskFile(ResultFile):
    """selective_risk.json."""

    schema_version: int = 2
    control: str = CONTROL
    results: ByContrast[SelectiveContrast]


class PowerFile(ResultFile):
    """power.json, by metric; ``None`` without variation.

    ``amounts``: by amount. ``declared``: as ``results``, for a declared subgroup. ``labels``: for
    correctness, where people's labels correct it.
    """

    schema_version: int = 2
    control: str = CONTROL
    results: ByContrast[dict[str, Power | None]]
    amounts: ByContrast[dict[str, AmountPower | None]]
    declared: ByContrast[dict[str, Power | None]] = Field({}, exclude_if=lambda found: not found)
    labels: ByContrast[dict[str, LabelPower]] = Field({}, exclude_if=lambda found: not found)
