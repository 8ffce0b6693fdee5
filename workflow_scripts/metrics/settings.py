"""What a config says about how responses are measured; without the code that measures."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from ..core.block import Block
from ..core.metric import Better, Kind, Metric
from ..core.values import LocalPath, NotEmpty, Share


class Unsupported(Block):
    """When an answer counts as not supported by its passage."""

    strategy: Literal["baseline", "overlap", "sentence", "nli"] = Field(
        "overlap",
        description="baseline: the answer does not occur in the passage; "
        "overlap: too few of its tokens do; sentence: no single sentence has the tokens of "
        "question and answer; nli: an entailment model finds it unlikely.",
    )
    threshold: Share = Field(
        0.5,
        description="Least share of tokens that must be in the passage (overlap) or in one "
        "sentence (sentence), or least probability of entailment (nli).",
    )
    min_token_overlap: int = Field(
        1, ge=0, description="Least number of tokens of the answer (overlap, sentence)."
    )
    model: str | None = Field(
        None, description="Folder of the entailment model, in ONNX format (nli)."
    )

    @model_validator(mode="after")
    def _nli_has_a_model(self) -> Self:
        if self.strategy == "nli" and self.model is None:
            raise ValueError(
                "strategy 'nli' needs model, the folder of an entailment model; docs/scoring.md "
                "says how to get one"
            )
        return self

    @property
    def model_files(self) -> list[str]:
        """The files of the entailment model; none with the other strategies."""
        if self.strategy != "nli":
            return []
        return [f"{self.model}/{name}" for name in ("model.onnx", "tokenizer.json", "config.json")]


class OwnMetric(Block):
    """A metric of one's own: a file, and what its numbers mean."""

    file: LocalPath = Field(description="A Python file with def score(item, response) -> float.")
    better: Better = Field(description="Which direction is better.")
    kind: Kind = Field(
        "share",
        description="share: from 0 to 1, compared in percentage points; amount: above 0, compared "
        "as a ratio.",
    )
    label: NotEmpty | None = Field(None, description="Its name for readers; absent: its key.")
    definition: NotEmpty | None = Field(None, description="What it says, for the report.")
    unit: str = Field("", description="Of an amount, such as words.")

    def declaration(self, name: str) -> Metric:
        """Return the metric as all stages know it."""
        return Metric(
            name=name,
            label=self.label or name.replace("_", " "),
            definition=self.definition or f"Your own metric, {self.file}.",
            better=self.better,
            kind=self.kind,
            unit=self.unit,
        )
