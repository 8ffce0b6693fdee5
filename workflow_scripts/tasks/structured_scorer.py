"""The scorer of structured outputs: valid, right, or which fields are not; docs/scoring.md.

An object is read from the answer (`workflow_scripts.schemas.reply`), validated against the schema
of its item (`workflow_scripts.schemas.validation`), and compared with the expected one
(`workflow_scripts.tasks.structured_fields`). `workflow_scripts.tasks.structured` defines the
metrics. Per sample, each is 0 or 1 (those of fields: between them).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from ..core.block import Block
from ..core.errors import UserError
from ..core.records import Outcome
from ..metrics.final_answer import without_reasoning
from ..metrics.normalisation import is_blank
from ..metrics.refusal import refuses
from ..schemas.names import unknown_names
from ..schemas.reading import read_back
from ..schemas.reply import Reply, read_reply
from ..schemas.validation import SchemaError, Validator, read_schema
from .settings import ScoreSettings
from .structured import (
    EXACT,
    FIELD_ACCURACY,
    FIELD_F1,
    SCHEMA_VALID,
    UNKNOWN_NAMES,
    VALID_JSON,
    WRAPPED,
    StructuredItem,
)
from .structured_fields import ABSENT, Compared, Rules, compare
from .task import Difference, Sample, Score, Task

_SHOWN = 100
"""The most fields of an answer that the item viewer lists, and the most unknown names."""

_LONGEST = 500
"""Characters of a value that the item viewer shows."""


class StructuredScorer:
    """Scores objects; prepares each item once."""

    def __init__(self, task: Task, _settings: ScoreSettings, options: Block) -> None:
        self._task = task
        self._options = options
        self._prepared: dict[str, tuple[Validator, Rules]] = {}

    def __call__(self, samples: Sequence[Sample]) -> list[Score]:
        """Score responses; a `UserError` names an item whose schema cannot be checked in time."""
        return [self._score(sample) for sample in samples]

    def completed(self, item: Any, score: Score, value: dict[str, Any]) -> Score:
        """Return a score with what a task adds; ``value``: the object, empty if there is none."""
        return score

    def _score(self, sample: Sample) -> Score:
        item, prediction = sample.item, sample.prediction
        validator, rules = self._of(item)
        text, finish_reason = prediction.response_text, prediction.finish_reason
        reply = self.read(sample)
        fields = compare(item.expected, reply.value, rules) if reply.value is not None else []
        flaw: object = reply.problem
        unknown: list[str] = []
        if reply.value is not None:
            try:
                flaw = validator.flaw(reply.value)
            except SchemaError as error:
                raise UserError(f"item {item.key!r}: schema, {error}") from error
            unknown = unknown_names(item.schema, reply.value) if flaw is not None else []
        valid = reply.value is not None and flaw is None
        accuracy, f1, exact = _shares(fields) if reply.value is not None else (0.0, 0.0, False)
        score = Score(
            outcome=_outcome(text, finish_reason, reply, right=valid and exact),
            metrics={
                SCHEMA_VALID.name: float(valid),
                FIELD_ACCURACY.name: accuracy,
                VALID_JSON.name: float(reply.value is not None),
                EXACT.name: float(exact),
                FIELD_F1.name: f1,
                UNKNOWN_NAMES.name: float(bool(unknown)),
                WRAPPED.name: float(reply.form == "wrapped"),
            },
            details={
                "reply_form": reply.form,
                "reply_flaw": str(flaw or ""),
                "names_outside": json.dumps(unknown[:_SHOWN], ensure_ascii=False)
                if unknown
                else "",
            },
        )
        return self.completed(item, score, reply.value or {})

    def read(self, sample: Sample) -> Reply:
        """Return the object of a response; see `read_answer`."""
        item, prediction = sample.item, sample.prediction
        return read_answer(
            item,
            prediction.response_text,
            prediction.finish_reason,
            enforced=self._task.schema(item, self._options) is not None,
        )

    def _of(self, item: StructuredItem) -> tuple[Validator, Rules]:
        found = self._prepared.get(item.key)
        if found is None:
            found = self._prepared[item.key] = read_schema(item.schema), Rules(item.rules)
        return found


def read_answer(item: Any, text: str, finish_reason: str, *, enforced: bool) -> Reply:
    """Return the object of a response, as an answer to the item's own schema."""
    reply = read_reply(text, cut_off=finish_reason == "length")
    if not enforced or reply.value is None:
        return reply
    return replace(reply, value=read_back(item.schema, reply.value))


def compared(
    item: StructuredItem, response: str, finish_reason: str, *, enforced: bool
) -> Iterator[Difference]:
    """Yield what became of each expected field, and of those that nobody asked for."""
    reply = read_answer(item, without_reasoning(response), finish_reason, enforced=enforced)
    given: Any = {} if reply.value is None else reply.value
    extra = 0
    for field in compare(item.expected, given, Rules(item.rules)):
        extra += field.mark == "extra"
        if extra <= _SHOWN:
            yield Difference(
                place=field.place,
                expected=_text(field.expected),
                given=_text(field.given),
                mark=field.mark,
            )


def _shares(fields: Sequence[Compared]) -> tuple[float, float, bool]:
    """The share of right ones among the expected fields, their F1, and whether all is right."""
    marks = [field.mark for field in fields]
    right, wrong = marks.count("right"), marks.count("wrong")
    missing, extra = marks.count("missing"), marks.count("extra")
    expected, given = right + wrong + missing, right + wrong + extra
    return (
        right / expected if expected else 1.0,
        2 * right / (expected + given) if expected + given else 1.0,
        not (wrong or missing or extra),
    )


def _outcome(text: str, finish_reason: str, reply: Reply, *, right: bool) -> Outcome:
    """What became of a response; of what applies, the first counts."""
    if finish_reason.startswith("refused"):
        return "refused"
    if reply.form == "truncated":
        return "truncated"
    if right:
        return "correct"
    if reply.value is None and is_blank(text):
        return "empty"
    return "refused" if reply.value is None and refuses(text) else "wrong"


def _text(value: Any) -> str | None:
    if value is ABSENT:
        return None
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
