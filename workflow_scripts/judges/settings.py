"""What a config says about a judge."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ..backends.settings import BackendFields
from ..core.block import Block
from ..core.metric import Better
from ..core.prompts import FIELD, read_prompt
from ..core.values import Distinct, LocalPath, NotEmpty, Share
from .instruments import (
    CORRECTNESS,
    INSTRUMENTS,
    PAIR,
    PASSAGES,
    REFUSAL,
    RUBRIC,
    RUBRIC_FIELDS,
    UNDECIDED,
    Instrument,
    only_undecided,
)

Measured = Literal["correct", "supported", "refused", "pair", "rubric"]
Undecided = Literal["answered", "judge"]
"""What becomes of responses of which the rules do not say whether they answer."""
VerdictName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


class MeasurementFields(Block):
    """What a config says of what a judge measures, and by which instructions."""

    measures: Measured = Field(
        "correct",
        description="correct: the answer against the gold answers; supported: by the passage; "
        "refused: whether it answers; pair: which arm’s response is better, in both orders; "
        "rubric: a prompt and verdicts of your own.",
    )
    prompt: LocalPath | None = Field(
        None, description="File of its instructions; absent: prompts/judges/{measures}.md."
    )
    max_new_tokens: int = Field(256, ge=1, description="Its longest reply in tokens.")
    retest: Share = Field(
        0.0, description="Share of the responses that it is asked about twice, such as 0.05."
    )
    verdicts: Distinct[VerdictName] = Field(
        [], description="Of a rubric: the verdicts to choose from."
    )
    counts: VerdictName | None = Field(None, description="Of a rubric: the verdict that counts.")
    better: Better = Field("higher", description="Of a rubric: which direction is better.")
    label: NotEmpty | None = Field(None, description="Of a rubric: what its share is called.")

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if self.measures == RUBRIC:
            if len(self.verdicts) < 2 or self.counts not in self.verdicts:
                raise ValueError(
                    "measures: rubric needs verdicts, two or more, and counts, the one whose share "
                    "is measured"
                )
            if UNDECIDED in self.verdicts:
                raise ValueError(f"every judge may say {UNDECIDED!r}; delete it from verdicts")
        elif self.measures == PAIR.name and self.retest:
            raise ValueError("a pair is asked about twice anyway, in both orders; delete retest")
        elif self.verdicts or self.counts or self.label:
            raise ValueError("verdicts, counts and label belong to measures: rubric")
        return self

    def instrument(self) -> Instrument:
        """Return what it measures."""
        if self.measures != RUBRIC:
            return INSTRUMENTS[self.measures]
        assert self.counts is not None  # noqa: S101 - or the config is refused
        return Instrument(
            name=RUBRIC,
            verdicts=tuple(self.verdicts),
            counted=self.counts,
            fields=RUBRIC_FIELDS,
            prompt="",
            label=self.label or self.counts.replace("_", " "),
            definition=f"Share of responses that the judge finds “{self.counts}”.",
            better=self.better,
            applies=lambda shown: True,
            optional=frozenset({"answers", "context"}),
        )

    @property
    def prompt_file(self) -> Path:
        """The file of its instructions; a ready judge's need not exist."""
        return Path(self.prompt or f"prompts/judges/{self.measures}.md")

    def prompt_text(self) -> str:
        """Return its instructions.

        Raises:
            UserError: the file cannot be read.
        """
        path = self.prompt_file
        return read_prompt(path) if self.prompt or path.is_file() else self.instrument().prompt


class Measurement(MeasurementFields):
    """What a judge measures. ``only_undecided``: where the rules leave open whether it answers."""

    only_undecided: bool = False

    def instrument(self) -> Instrument:
        """Return what it measures."""
        return only_undecided(super().instrument()) if self.only_undecided else super().instrument()


class Judge(MeasurementFields, BackendFields):
    """A model that judges responses, or a file of verdicts made elsewhere."""

    verdicts_file: LocalPath | None = Field(
        None,
        description="A CSV file of verdicts made elsewhere instead of a model; columns as in "
        "docs/labels.md.",
    )

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        asking = {*BackendFields.model_fields, "prompt", "max_new_tokens", "retest"}
        if self.verdicts_file and (extra := sorted(self.model_fields_set & asking)):
            raise ValueError(f"with verdicts_file no model is asked; delete {', '.join(extra)}")
        if self.verdicts_file and self.measures != CORRECTNESS.name:
            raise ValueError(f"a verdicts_file has verdicts of measures: {CORRECTNESS.name} alone")
        if not self.verdicts_file and self.measures == RUBRIC and not self.prompt:
            raise ValueError("measures: rubric needs prompt, the file of your instructions")
        return self

    def fields_of_prompt(self) -> set[str]:
        """Return what its instructions have in braces; errors as in `prompt_text`."""
        return set(FIELD.findall(self.prompt_text()))

    @property
    def shows_passages(self) -> bool:
        """Whether it sees what a response was given to read; errors as in `prompt_text`."""
        return not PASSAGES.isdisjoint(self.fields_of_prompt())

    @property
    def asks(self) -> bool:
        """Whether it is a model that is asked."""
        return self.verdicts_file is None

    def measurement(self, undecided: Undecided) -> Measurement:
        """Return what it measures, without who is asked; ``undecided`` is the config's."""
        return Measurement(
            **self.model_dump(include=set(MeasurementFields.model_fields)),
            only_undecided=undecided == "judge" and self.measures == REFUSAL.name,
        )
