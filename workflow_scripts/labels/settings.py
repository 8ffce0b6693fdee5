"""What a config says about labels by people, and what the command that draws them takes."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from ..core.block import Block
from ..core.values import Distinct, MetricKey, Share, Temp
from ..tasks.given import ArmRetrieval


class Labelling(Block):
    """Which responses people label: `snakemake label`."""

    items: int = Field(100, ge=1, description="Items to label in each trial, under all its arms.")
    seed: int = Field(0, ge=0, description="Seed of that sample.")
    disagree: Distinct[MetricKey] | None = Field(
        None,
        description="Two ways to decide correctness. Items on which they differ are drawn more "
        "often; []: every item has the same chance. Absent: the first judge and containment, "
        "without a judge exact match and containment.",
    )
    share: Share = Field(0.5, description="Share of the sample that is drawn from these items.")
    temp: Temp | None = Field(
        None, description="Temperature of the responses; absent: the trial's first."
    )

    @model_validator(mode="after")
    def _two_or_none(self) -> Self:
        if self.disagree and len(self.disagree) != 2:
            raise ValueError("disagree needs two metrics, or none: []")
        return self


class LabelledTrial(Block):
    """A trial whose responses are labelled.

    ``name`` is ``backend/model/decoding/prompt_set``. ``arms``: the name of each condition's arm.
    ``retrievals``: of the arms that search. The other values are the paths of its tables, its page
    and its key file.
    """

    name: str
    arms: dict[str, str]
    temp: str
    answers: str
    outcomes: str
    metrics: str
    page: str
    key: str
    retrievals: dict[str, ArmRetrieval] = Field(
        default_factory=dict, exclude_if=lambda arms: not arms
    )


class LabelSettings(Block):
    """What the command that draws samples takes from the config.

    ``experiment`` and the trial's prompt set name the page. ``judges``: by config, the first one
    first. ``output``: the label file that exports become.
    """

    experiment: str
    trials: list[LabelledTrial]
    item_files: list[str]
    labelling: Labelling
    judges: list[str]
    confidence: float
    output: str
