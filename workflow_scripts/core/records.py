"""The records that pass between stages, one class each. Every reader validates against them.

Flow: `Item` (prepare) -> `Request` (build) -> `RawLine` (infer) -> `Answer` (parse).
"""

from __future__ import annotations

import builtins
import functools
import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator

from .metric import Metric

TaskName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
"""The name of a task; `workflow_scripts.tasks.registry` says which there are."""

SEPARATOR = "|"
"""Joins the fields of a custom_id, so no field may contain it."""


class Record(BaseModel):
    """Base of all records: unknown fields and silent type conversions are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, defer_build=True)


class ResultFile(BaseModel):
    """Base of what files of results hold: statistics as dataclasses, and no unknown field."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class Question(Record):
    """The part of an item that requests are made from, without its gold answers: a task's base.

    ``cluster_id`` names what makes items dependent (the passage of several questions); items that
    share nothing carry their own id. ``tags`` name further subgroups, such as ``topic: law``.
    """

    id: str = Field(min_length=1, pattern=r"^[^|\r\n]+$")
    dataset: str = Field(min_length=1)
    cluster_id: str = Field(min_length=1)
    tags: dict[str, str] = Field(default_factory=dict, exclude_if=lambda tags: not tags)

    @property
    def key(self) -> str:
        """`dataset|id`: unique within a task, the same under all conditions."""
        return f"{self.dataset}{SEPARATOR}{self.id}"


class Item(Question):
    """One question with what its answers are scored against; each task has a record of its own."""

    def subgroups(self) -> tuple[str, ...]:
        """Return the names of the subgroups that it belongs to, beside its data set."""
        return tuple(f"{name}={value}" for name, value in sorted(self.tags.items()))


Role = Literal["system", "user", "assistant"]
"""Who says a message."""


class Message(Record):
    """One chat message."""

    role: Role
    content: str


Effort = Literal["none", "minimal", "low", "medium", "high", "default"]
"""How much a model thinks before it answers; ``default``: as its provider or server has it."""


class ThinkingBudget(Record):
    """The most tokens that a model may think."""

    budget_tokens: int = Field(ge=1, description="Tokens of thoughts; the answer’s are added.")

    def __str__(self) -> str:
        return f"{self.budget_tokens} tokens"


Reasoning = Effort | ThinkingBudget

_ROOM: Mapping[Effort, int] = {
    "none": 0, "minimal": 1024, "low": 4096, "medium": 8192, "high": 24_576, "default": 8192,
}  # fmt: skip
"""Tokens for thoughts by effort: as Google maps its levels to budgets, with more for ``low``."""


class Decoding(Record):
    """The decoding parameters of a request. ``None`` is off, not the backend's own default.

    ``max_new_tokens`` counts generated tokens; ``seed`` is fixed per request, so that a sampled
    answer does not depend on which requests ran before it. An answer must be JSON that satisfies
    ``json_schema``, where there is one. ``reasoning`` is how much the model thinks before it
    answers; without it as little as it can, within ``max_new_tokens``. With ``logprobs`` the server
    also reports how likely each token was.
    """

    temperature: float = Field(ge=0)
    max_new_tokens: int = Field(ge=1)
    top_p: float | None = Field(default=None, gt=0, le=1)
    top_k: int | None = Field(default=None, ge=1)
    stop: list[str] = []
    seed: int
    json_schema: dict[str, Any] | None = Field(
        # Left out, so that digests of requests without one stay what they always were.
        default=None,
        exclude_if=lambda schema: schema is None,
    )
    reasoning: Reasoning | None = Field(default=None, exclude_if=lambda given: given is None)
    logprobs: bool = Field(default=False, exclude_if=lambda asked: not asked)

    @property
    def room(self) -> int:
        """Tokens for thoughts, beside ``max_new_tokens``."""
        if isinstance(self.reasoning, ThinkingBudget):
            return self.reasoning.budget_tokens
        return _ROOM[self.reasoning] if self.reasoning else 0

    @property
    def most_tokens(self) -> int:
        """The most tokens that are generated, thoughts included."""
        return self.max_new_tokens + self.room


class RequestMeta(Record):
    """What identifies a request; echoed verbatim on its raw line.

    ``prompt`` is the name of the system prompt. It becomes a condition (control or treatment)
    only in a trial, so two prompt sets with the same control share its responses.
    """

    custom_id: str
    dataset: str
    item_id: str
    prompt: str
    temp: str
    sample_index: int = Field(ge=0)
    type: TaskName

    @property
    def item_key(self) -> str:
        """`dataset|id` of the item that is asked."""
        return f"{self.dataset}{SEPARATOR}{self.item_id}"

    def named(self, condition: str) -> str:
        """Return the custom_id that a trial gives the request in the arm of this condition."""
        return custom_id(
            self.dataset, self.item_id, condition, self.temp, self.sample_index, self.type
        )


class Request(RequestMeta):
    """One line of a batch-input part: what is sent for one sample of one item.

    ``retest``: it was sent before, and is sent again to see whether the answer changes.
    """

    messages: list[Message]
    decoding: Decoding
    retest: bool = Field(default=False, exclude_if=lambda again: not again)


class Usage(Record):
    """Token counts as the engine reported them; ``None`` where it did not.

    ``prompt_tokens`` is the whole prompt. Of it, ``cached_tokens`` were read from the provider's
    prompt cache and ``cache_write_tokens`` were put there, which has prices of its own.
    ``thought_tokens`` are those of ``completion_tokens`` that the model thought with.
    ``first_token_s`` is the engine's own time from a request to its first token, in seconds, for
    telemetry; no file of answers has it.
    """

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    thought_tokens: int | None = Field(default=None, exclude_if=lambda count: count is None)
    first_token_s: float | None = Field(None, exclude=True)


Enforced = Literal["exactly", "loosened"]
"""Whether an answer was held to its whole JSON schema, or to all that its backend can enforce."""


class Logprobs(Record):
    """How likely the tokens of an answer were: the sum of their natural log-probabilities."""

    total: float = Field(le=0, allow_inf_nan=False)
    tokens: int = Field(ge=1)

    @property
    def mean(self) -> float:
        """The mean over the tokens."""
        return round(self.total / self.tokens, 6)


class Completion(Record):
    """One answer of a backend.

    ``finish_reason`` is ``stop``, ``length`` (cut at max_new_tokens), or ``refused:`` and the
    backend's own word for why the model or a filter gave no answer. ``latency_s`` is the wall
    time of the request in seconds; ``None`` for the lines of a batch job. ``at_once`` is how many
    requests were in flight when this one was sent, itself included: with more of them a server
    takes longer for each. ``served_by`` is what the server reported about itself (address,
    version, fingerprint, context length). ``thoughts`` is what the model wrote or summed up before
    its answer, if it shows it; nothing scores it. ``logprobs`` is how likely its tokens were, where
    the server reports it. ``reply`` is the server's whole reply as it came, without keys: only the
    journal has it.
    """

    response_text: str
    finish_reason: str = Field(pattern=r"^(stop|length|refused:.+)$")
    request_id: str
    usage: Usage
    latency_s: float | None = Field(default=None, ge=0)
    at_once: int | None = Field(default=None, ge=1)
    served_by: dict[str, str] | None = None
    thoughts: str | None = Field(default=None, exclude_if=lambda text: text is None)
    logprobs: Logprobs | None = Field(default=None, exclude_if=lambda found: found is None)
    reply: str | None = Field(default=None, exclude=True, repr=False)

    def checksum(self, request_digest: str) -> str:
        """Return the checksum of this answer as the answer to one request (64 hex digits).

        It is stored beside the answer in the journal and on its raw line, so an edited answer, or
        one moved to another request, is found.
        """
        answer = json.dumps(
            self.model_dump(exclude_none=True), sort_keys=True, ensure_ascii=False,
            separators=(",", ":"),
        )  # fmt: skip
        return hashlib.sha256(f"{request_digest}\n{answer}".encode()).hexdigest()


ANSWER_FIELDS = tuple(name for name in Completion.model_fields if name != "reply")
"""What files of answers hold of an answer."""

_NEEDED = tuple(name for name, field in Completion.model_fields.items() if field.is_required())
"""What an answer cannot lack."""

NOT_IN_FILE = "NotInFile"
"""The type of the failure of an item that a file of answers does not have."""


class Failure(Record):
    """Why a request has no answer, after all retries."""

    type: str
    message: str


class RawLine(RequestMeta):
    """One line of a raw part: the request's metadata with its `Completion`'s fields or an error.

    ``request_digest`` identifies the answer (`infer.journal.request_digest`), and
    ``answer_checksum`` is the `Completion.checksum`. Lines of versions before 0.2 have neither.
    ``schema_enforced`` is ``None`` where the answer was held to no JSON schema.
    ``not_sent``: the decoding parameters of the request that its model does not take, or not as
    they are.
    """

    request_digest: str | None = None
    answer_checksum: str | None = None
    response_text: str | None = None
    finish_reason: str | None = None
    request_id: str | None = None
    usage: Usage | None = None
    latency_s: float | None = None
    at_once: int | None = None
    served_by: dict[str, str] | None = None
    schema_enforced: Enforced | None = Field(
        # Left out, so that raw parts without schemas stay what they were.
        default=None,
        exclude_if=lambda enforced: enforced is None,
    )
    thoughts: str | None = None
    logprobs: Logprobs | None = Field(
        # Left out, so that raw parts without them stay what they were.
        default=None,
        exclude_if=lambda found: found is None,
    )
    not_sent: list[str] | None = None
    error: Failure | None = None

    def completion(self) -> Completion:
        """Return the answer that the line holds; there is none on a line with an error."""
        return Completion.model_validate({name: getattr(self, name) for name in ANSWER_FIELDS})

    @model_validator(mode="after")
    def _completion_or_error(self) -> Self:
        given = [getattr(self, name) is not None for name in _NEEDED]
        if any(given) if self.error is not None else not all(given):
            raise ValueError("a raw line has either all fields of a completion or an error")
        return self


class TrialRow(Record):
    """What identifies one request of a trial in its tables.

    ``custom_id`` is the one that the other fields make, so a row moved to another arm is refused.
    """

    custom_id: str
    dataset: str
    item_id: str
    condition: str
    temp: str
    sample_index: int
    type: TaskName

    @property
    def item_key(self) -> str:
        """`Item.key` of the item that was asked."""
        return f"{self.dataset}{SEPARATOR}{self.item_id}"

    @model_validator(mode="after")
    def _names_agree(self) -> Self:
        named = custom_id(
            self.dataset, self.item_id, self.condition, self.temp, self.sample_index, self.type
        )
        if self.custom_id != named:
            raise ValueError(
                f"custom_id is {self.custom_id!r}, but the row's other fields say {named!r}; the "
                "file was edited. Delete it and run again to make it again"
            )
        return self


class Answer(TrialRow):
    """One row of answers.csv: a request of a trial with its answer, or why it has none.

    All that later stages need of a trial's raw lines. ``prompt`` names the request's file,
    ``served_by`` is JSON. ``logprob_sum`` and ``logprob_mean`` are over the answer's tokens, where
    the server reports them. A failed request has an ``error_type`` and no ``finish_reason``.
    """

    prompt: str
    request_digest: str | None = None
    request_id: str = ""
    finish_reason: str | None = None
    response_text: str = ""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    thought_tokens: int | None = None
    latency_s: float | None = None
    at_once: int | None = None
    served_by: str = ""
    schema_enforced: Enforced | None = None
    logprob_sum: float | None = None
    logprob_mean: float | None = None
    error_type: str = ""
    error_message: str = ""

    @property
    def failed(self) -> bool:
        """Whether the request has no answer."""
        return self.finish_reason is None

    @property
    def from_batch_job(self) -> bool:
        """Whether the answer came from a batch job: those alone have no wall time of their own."""
        return not self.failed and self.latency_s is None

    @property
    def usage(self) -> Usage:
        """The counts of tokens."""
        return Usage(**{name: getattr(self, name, None) for name in Usage.model_fields})


class Prediction(TrialRow):
    """One row of predictions.csv; the field order is the column order."""

    request_id: str
    finish_reason: str
    response_text: str
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None


def custom_id(
    dataset: str, item_id: str, condition: str, temp: str, sample_index: int, task: str
) -> str:
    """Join the fields that identify one sample: ``dataset|item_id|condition|temp|sample|type``."""
    return SEPARATOR.join((dataset, item_id, condition, temp, str(sample_index), task))


class ErrorRow(TrialRow):
    """One row of errors.csv: a request that has no answer, and why."""

    error_type: str
    error_message: str


Rate = Annotated[float, Field(ge=0, le=1)]
"""A share or a mean of scores."""

Spread = Annotated[float, Field(ge=0, allow_inf_nan=False)]
"""A standard deviation."""


class ItemScores(Record):
    """One row of per_item_scores.csv: an item under one condition, averaged over its samples.

    `with_metrics` adds a column for each metric of the trial's tasks, and behind each its
    ``*_std``, the sample standard deviation over the item's samples (0 for one sample). A metric
    that the row's task does not measure is ``None``.
    """

    item_key: str
    type: TaskName
    condition: str
    temp: str

    @staticmethod
    def with_metrics(metrics: Iterable[Metric]) -> builtins.type[ItemScores]:
        """Return the record with the columns of these metrics."""
        return _item_scores(tuple(metrics))

    def score(self, metric: str) -> float | None:
        """Return the value of a metric; ``None`` where it was not measured."""
        value: float | None = getattr(self, metric, None)
        return value


Outcome = Literal[
    "correct",
    "rightly_abstained",
    "wrong",
    "wrongly_abstained",
    "refused",
    "empty",
    "truncated",
    "failed",
]
"""What became of one request; each task's scorer says when which one applies."""

RIGHT: frozenset[Outcome] = frozenset({"correct", "rightly_abstained"})
"""What counts as right."""


Details = Mapping[str, builtins.type[float] | builtins.type[str]]
"""Further columns of a table: numbers, which may be absent, and texts, which may be empty."""


class SampleOutcome(Record):
    """One row of outcomes.csv: what became of one request, whether it was answered or not.

    `with_columns` adds the sample's value of each metric, and the columns in which the trial's
    tasks say more about it; a failed request has none of them.
    """

    custom_id: str
    item_key: str
    type: TaskName
    condition: str
    temp: str
    sample_index: int
    outcome: Outcome

    @staticmethod
    def with_columns(metrics: Iterable[Metric], details: Details) -> builtins.type[SampleOutcome]:
        """Return the record with a column for each metric, and behind them these details."""
        return _sample_outcome(tuple(metrics), tuple(details.items()))

    def number(self, column: str) -> float | None:
        """Return a number of a further column; ``None`` where it is absent."""
        value: float | None = getattr(self, column, None)
        return value

    def column(self, name: str) -> float | str | None:
        """Return a value of a further column."""
        value: float | str | None = getattr(self, name, None)
        return value


@functools.cache
def _item_scores(metrics: tuple[Metric, ...]) -> type[ItemScores]:
    columns: dict[str, Any] = {}
    for metric in metrics:
        columns[metric.name] = _cell_of(metric)
        columns[f"{metric.name}_std"] = (Spread | None, None)
    return create_model("ItemScores", __base__=ItemScores, **columns)


@functools.cache
def _sample_outcome(
    metrics: tuple[Metric, ...], details: tuple[tuple[str, type[float] | type[str]], ...]
) -> type[SampleOutcome]:
    columns: dict[str, Any] = {metric.name: _cell_of(metric) for metric in metrics}
    for name, kind in details:
        columns[name] = (str, "") if kind is str else (float | None, None)
    return create_model("SampleOutcome", __base__=SampleOutcome, **columns)


def _cell_of(metric: Metric) -> tuple[Any, None]:
    return (Rate | None if metric.kind == "share" else Spread | None, None)
