"""What a config says about the comparisons."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import (
    Field,
    model_validator,
)

from ..core.block import Block
from ..core.records import TaskName
from ..core.values import (
    Distinct,
    Share,
    Temp,
)

MetricName = str
"""A column of per_item_scores.csv; the checks of a config know which there are."""

Stopping = Literal["alpha_spending", "betting"]
"""How a run in waves may stop early: see `workflow_scripts.stats.looks` and ``betting``."""

GateDecision = Literal["passes", "worse", "cannot_tell"]

Assumption = Literal["no_change", "observed_change", "enough_clusters"]
"""What a number of items assumes of the true change: that there is none, or that it is the observed
one. ``enough_clusters``: it is what an interval needs to keep its level, whatever the change."""


class Registration(Block):
    """The primary question, declared before the first answer; a changed one is a new one.

    A run records when it first saw the declaration, and the report says whether that was before
    the trial's first answer.
    """

    primary: MetricName = Field(description="The metric that decides; docs/scoring.md lists them.")
    direction: Literal["increase", "decrease", "either"] = Field(
        "either", description="Which change is expected; one of a direction is tested one-sided."
    )
    alpha: float = Field(0.05, gt=0, lt=0.5, description="Level of the primary family's tests.")
    margin: float | None = Field(
        None,
        gt=0,
        description="The largest difference that counts as none, for the primary metric.",
    )
    secondary: list[MetricName] = Field(
        [], description="Metrics of the secondary family; the others are exploratory."
    )
    task: TaskName | None = Field(None, description="The task that decides; absent: each of them.")
    temp: Temp | None = Field(
        None, description="The temperature that decides; absent: each of them."
    )
    subgroup: str | None = Field(
        None,
        description="The part of the items that decides, by its name in significance.json, such as "
        "`topic=law`; absent: all items.",
        exclude_if=lambda subgroup: subgroup is None,  # other declarations keep their digest
    )
    stopping: Stopping = Field(
        "alpha_spending",
        description="How waves decide: `alpha_spending` looks after each declared wave, and "
        "needs about the items of a single look; `betting` bears a look at any moment, and needs "
        "about twice as many.",
    )
    waves: int | None = Field(
        None,
        ge=2,
        description="Ask in so many waves, and no more once the primary question is settled; "
        "absent: ask everything.",
    )

    @model_validator(mode="after")
    def _one_family_each(self) -> Self:
        if self.primary in self.secondary:
            raise ValueError(f"secondary: {self.primary!r} is the primary metric already")
        return self


class Stats(Block):
    """How differences between the arms are tested."""

    bootstrap_samples: int = Field(2000, ge=100, description="Resamples behind an interval.")
    permutation_samples: int = Field(5000, ge=100, description="Sign flips behind a p value.")
    random_seed: int = Field(20260101, ge=0, description="Seed of both.")
    confidence: float = Field(
        0.95,
        gt=0.5,
        lt=1,
        description="Level of all intervals; q values are held against 1 minus it.",
    )
    risk_thresholds: Distinct[Share] = Field([0.05, 0.1, 0.2], description="For selective risk.")
    tost_alpha: float = Field(0.05, gt=0, lt=0.5, description="Level of equivalence tests.")
    tost_margins: dict[MetricName, Annotated[float, Field(gt=0, lt=1)]] = Field(
        {}, description="By metric: the largest difference that counts as none, as a share."
    )
    power: float = Field(0.8, gt=0.05, lt=1, description="Power of the smallest detectable effect.")
    effects: list[Annotated[float, Field(gt=0, le=1)]] = Field(
        [0.01, 0.02, 0.05, 0.1],
        description="Differences for which power.json says how many items they need.",
    )
    registration: Registration | None = Field(
        None, description="The primary question, declared before the first answer."
    )


class GateCheck(Block):
    """One metric that must not get worse, and by how much it may; see docs/gate.md."""

    metric: MetricName = Field(description="The metric; docs/scoring.md lists them.")
    margin: float | None = Field(
        None,
        gt=0,
        description="The smallest change for the worse that is too much: a share, such as 0.02 "
        "for 2 percentage points; for an amount a ratio above 1, such as 1.1. Absent: that in "
        "`stats.tost_margins`.",
    )
    task: TaskName | None = Field(None, description="The task to check; absent: each of them.")
    temp: Temp | None = Field(None, description="The temperature; absent: each of them.")
    prompt_set: str | None = Field(
        None, description="The prompt set whose treatments are checked; absent: each of them."
    )
    subgroup: str | None = Field(
        None,
        description="The part of the items, by its name in significance.json, such as "
        "`topic=law`; absent: all items.",
    )
