"""plan.json, one class for its writer and its readers."""

from __future__ import annotations

from pydantic import Field

from ..backends.prices import Quote
from ..comparisons.planned import PlannedTest
from ..core.records import Record
from .records import EmbedderPlan


class RowRecord(Record):
    """What one part, or the sum of several, would ask.

    ``different`` leaves equal requests out, which are sent once; those are ``held`` by the journal
    (an answer, or a reply that could not be read; ``None``: whose answers count is not known),
    ``submitted`` in batch jobs that are not collected yet, or ``to_send``. Tokens and cost are of
    what is to be sent: ``completion_tokens`` and ``cost_usd`` are expected, ``at_most_*`` hold if
    every answer is as long as it may be, and ``at_most_usd`` also if prompts have as many tokens as
    they can (`backends.bounds`). Costs are in US dollars, ``None`` where no price is known;
    ``seconds`` are ``None`` where no answer was timed.
    """

    requests: int = 0
    different: int = 0
    held: int | None = 0
    submitted: int = 0
    to_send: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    at_most_completion_tokens: int = 0
    cost_usd: float | None = 0.0
    at_most_usd: float | None = 0.0
    seconds: float | None = 0.0


class SchemaRecord(Record):
    """A keyword that is not enforced of a data set's JSON schemas, and how many of them have it."""

    dataset: str
    keyword: str
    pointer: str
    schemas: int


class ModelRecord(Record):
    """A model that is asked, and how its tokens and costs were counted.

    ``measured_answers``: journaled answers that correct the lengths. ``answers_behind_at_most``:
    those whose prompts the provider counted. ``not_sent``: parameters that the model does not take,
    each with the reason.
    """

    backend: str
    model: str
    batch: bool
    price: Quote | None
    prompt_tokens_by: str
    prompt_tokens_are_estimates: bool
    measured_answers: int
    answers_behind_at_most: int
    not_sent: dict[str, str]
    schemas_not_enforced: list[SchemaRecord]
    notes: list[str]


class TrialRecord(Record):
    """The rows of a trial by condition; ``again``: requests that are sent a second time."""

    folder: str
    arms: dict[str, RowRecord]
    again: dict[str, RowRecord]


class RewritingRecord(RowRecord):
    """The requests by which one model rewrites the questions of a task."""

    backend: str
    model: str
    task: str


class AnalysisRecord(RowRecord):
    """The requests of an analysis."""

    analysis: str


class EmbedderRecord(EmbedderPlan):
    """What an embedder is still to embed, and the same as a row."""

    row: RowRecord


class JudgeRecord(Record):
    """What a judge of a trial can be asked at most, and what that can cost."""

    folder: str
    judge: str
    model: str
    requests_at_most: int
    prompt_tokens: int
    at_most_completion_tokens: int
    at_most_usd: float | None


class BudgetRecord(Record):
    """What is paid, lost, under way and to come, beside the budget; in US dollars.

    ``expected_usd`` is what all will have cost. ``is_enough``: ``None`` without a budget or a cost.
    """

    budget_usd: float | None
    paid_usd: float
    lost_usd: float
    under_way_usd: float
    expected_usd: float | None
    is_enough: bool | None


class Plan(Record):
    """plan.json. ``total`` counts parts that trials share once; judges are not in it.

    ``estimated_parts``: requests whose passages are not found yet. ``left_out``: settings of the
    config that send what others send.
    """

    schema_version: int = 1
    experiment: str
    made_at: str
    models: list[ModelRecord] = Field(default_factory=list)
    trials: list[TrialRecord] = Field(default_factory=list)
    rewrites: list[RewritingRecord] = Field(default_factory=list)
    analyses: list[AnalysisRecord] = Field(default_factory=list)
    embedders: list[EmbedderRecord] = Field(default_factory=list)
    estimated_parts: list[str] = Field(default_factory=list)
    judges: list[JudgeRecord] = Field(default_factory=list)
    total: RowRecord
    left_out: list[str] = Field(default_factory=list)
    questions: list[PlannedTest] = Field(default_factory=list)
    budget: BudgetRecord
