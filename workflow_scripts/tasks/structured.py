"""Structured outputs: the answer is a JSON object that obeys a schema."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator

from ..core import unique_keys
from ..core.block import Block
from ..core.errors import UserError
from ..core.files import read_json
from ..core.metric import Metric
from ..core.records import Details, Item, Question
from ..core.values import ItemId, Text
from ..schemas.subschemas import subschemas
from ..schemas.validation import MAX_DEPTH, SchemaError, depth_of, read_schema
from .question_answering import default_cluster
from .structured_fields import Rule, Rules
from .task import Task

BESIDE = ".schema.json"
"""How the names of files end that a data set may name as schemas."""

Asking = Literal["enforced", "described", "both", "off"]
"""How a request says that its answer must obey the schema: while the answer is decoded, in the
prompt, both, or not at all."""


def _from_text(value: object) -> object:
    """Read the JSON of a cell; a value that is no text stays as it is."""
    if not isinstance(value, str):
        return value
    try:
        return unique_keys.parse(value)
    except json.JSONDecodeError as error:
        raise ValueError(f"not valid JSON ({error.msg}, column {error.colno})") from error


def _from_text_or_file(value: object, info: ValidationInfo) -> object:
    """Read a schema from a cell, or from the file of this name beside the data."""
    if not isinstance(value, str) or value.lstrip().startswith("{"):
        return _from_text(value)
    folder = (info.context or {}).get("beside")
    if not value.endswith(BESIDE) or Path(value).name != value:
        raise ValueError(f"write the schema itself, or the name of a file beside, NAME{BESIDE}")
    if folder is None:
        raise ValueError("an archive or a download has no file beside it; write the schema itself")
    try:
        return _read(folder / value)
    except UserError as error:
        raise ValueError(str(error)) from error


@lru_cache(maxsize=1024)
def _read(path: Path) -> Any:
    return read_json(path)


JsonObject = Annotated[dict[str, Any], BeforeValidator(_from_text)]

with warnings.catch_warnings():
    # Fields called like methods of pydantic's first version, which nobody calls here.
    warnings.filterwarnings("ignore", message="Field name .* shadows an attribute")

    class StructuredOptions(Block):
        """What a config can set; an arm as well."""

        json: Asking = "described"  # type: ignore[assignment]

        @field_validator("*", mode="before")
        @classmethod
        def _is_no_switch(cls, value: object, _info: ValidationInfo) -> object:
            """YAML reads off as false."""
            return "off" if value is False else value

    class StructuredQuestion(Question):
        """What is asked, and the schema of the answer."""

        question: str = Field(min_length=1)
        context: str | None = None
        schema: dict[str, Any]  # type: ignore[assignment]

    class StructuredItem(StructuredQuestion, Item):
        """What is asked, with the expected object and the rules by which it is compared."""

        expected: dict[str, Any]
        rules: dict[str, Rule] = Field(default_factory=dict, exclude_if=lambda rules: not rules)

    class StructuredRow(BaseModel):
        """One item as users write it; the fields are the columns. See docs/data.md."""

        model_config = ConfigDict(extra="forbid", frozen=True)

        id: ItemId
        question: Text
        schema: Annotated[dict[str, Any], BeforeValidator(_from_text_or_file)]  # type: ignore[assignment]
        expected: JsonObject
        context: Text | None = None
        rules: Annotated[dict[str, Rule], BeforeValidator(_from_text)] = Field(default_factory=dict)
        cluster_id: Text | None = None
        dataset: str | None = None


SCHEMA_VALID = Metric(
    name="schema_valid",
    label="schema-valid answers",
    definition="Share of items whose answer is one JSON object that obeys the item’s schema, "
    "formats included; text around the object does not count.",
    better="higher",
    binary=True,
    leads=1,
    rose="gained {points} points of schema-valid answers",
    fell="cost {points} points of schema-valid answers",
)
FIELD_ACCURACY = Metric(
    name="field_accuracy",
    label="right fields",
    definition="Share of an item’s expected fields that its answer has right; 0 where no object "
    "can be read.",
    better="higher",
    leads=2,
    rose="gained {points} points of right fields",
    fell="cost {points} points of right fields",
)
VALID_JSON = Metric(
    name="valid_json",
    label="valid JSON",
    definition="Share of items from whose answer one JSON object can be read.",
    better="higher",
    binary=True,
)
EXACT = Metric(
    name="exact",
    label="exact objects",
    definition="Share of items whose answer has all expected fields right and no other field.",
    better="higher",
    binary=True,
)
FIELD_F1 = Metric(
    name="field_f1",
    label="field F1",
    definition="Harmonic mean of the share of the expected fields that are right and the share of "
    "the given fields that are, 0 to 100: fields that nobody asked for count against it.",
    better="higher",
)
UNKNOWN_NAMES = Metric(
    name="unknown_names",
    label="unknown names",
    definition="Share of items whose answer has a text outside of the list (enum) that the schema "
    "allows there, such as a column that does not exist.",
    better="lower",
    binary=True,
    gained="new",
    lost="avoided",
)
WRAPPED = Metric(
    name="wrapped",
    label="wrapped answers",
    definition="Share of items whose answer has other text around its object, such as a Markdown "
    "fence. The object counts all the same.",
    better="lower",
    binary=True,
    gained="new",
    lost="avoided",
)


class Structured(Task):
    """A question, perhaps about a text, that an object answers; the scores: docs/scoring.md."""

    name = "structured"
    label = "Structured outputs"
    definition = "the answer is a JSON object that obeys a schema"
    asks_about = "schema validity and right fields"
    item: ClassVar[type[Item]] = StructuredItem
    question: ClassVar[type[Question]] = StructuredQuestion
    row: ClassVar[type[BaseModel]] = StructuredRow
    objects = frozenset({"expected"})
    beside = f"*{BESIDE}"
    fields = frozenset({"question", "context", "schema"})
    optional = frozenset({"context", "schema"})
    template = (
        "Answer with one JSON object and nothing else.\n\nThe object must obey this JSON Schema:\n"
        "{schema}\n\nText: {context}\n\nQuestion: {question}"
    )
    max_new_tokens = 512
    scored_by = "workflow_scripts.tasks.structured_scorer:StructuredScorer"
    compared_by = "workflow_scripts.tasks.structured_scorer:compared"
    options = StructuredOptions
    metrics: ClassVar[tuple[Metric, ...]] = (
        SCHEMA_VALID,
        FIELD_ACCURACY,
        VALID_JSON,
        EXACT,
        FIELD_F1,
        UNKNOWN_NAMES,
        WRAPPED,
    )
    details: ClassVar[Details] = {"reply_form": str, "reply_flaw": str, "names_outside": str}
    scored_whole = True
    answers_label = "Expected"
    context_label = "Text"

    def item_fields(self, row: Any) -> dict[str, Any]:
        """Return the fields of an item, whose schema and expected object are checked."""
        cluster = row.cluster_id or default_cluster(row.id, row.context)
        return checked_fields(
            row, row.context, row.schema, row.expected, row.rules, cluster_id=cluster
        )

    def values(self, question: Any, options: Any) -> Mapping[str, str]:
        """Return the question, its text, and the schema where the prompt describes it."""
        described = options.json in ("described", "both")
        schema = self.reply_schema(question, options)
        return {
            "question": question.question,
            "context": question.context or "",
            "schema": json.dumps(schema, ensure_ascii=False) if described else "",
        }

    def schema(self, question: Any, options: Any) -> dict[str, Any] | None:
        """Return the schema of the answer where it is enforced."""
        enforced = options.json in ("enforced", "both")
        return self.reply_schema(question, options) if enforced else None

    def reply_schema(self, question: Any, options: Any) -> dict[str, Any]:
        """Return the schema that is described or enforced: that of the item."""
        schema: dict[str, Any] = question.schema
        return schema

    def shown(self, item: Any) -> dict[str, Any]:
        """Return the question, the expected object and the text."""
        return {
            "question": item.question,
            "answers": [json.dumps(item.expected, ensure_ascii=False)],
            "context": item.context,
        }


def checked_fields(
    row: Any,
    context: str | None,
    schema: dict[str, Any],
    expected: dict[str, Any],
    rules: Mapping[str, Rule],
    *,
    cluster_id: str,
) -> dict[str, Any]:
    """Return the fields of an item, made from a row with an id and a question.

    Raises:
        ValueError: as in `check`.
    """
    check(schema, expected, rules)
    return {
        "id": row.id,
        "question": row.question,
        "context": context,
        "schema": schema,
        "expected": expected,
        "rules": rules,
        "cluster_id": cluster_id,
    }


def check(schema: dict[str, Any], expected: dict[str, Any], rules: Mapping[str, Rule]) -> None:
    """Check what answers are validated against and compared with.

    Raises:
        ValueError: the schema is none, the expected object breaks it, or a rule does not fit; the
            message has the JSON pointer.
    """
    try:
        json.dumps([schema, expected], allow_nan=False)
    except ValueError as error:
        raise ValueError("NaN and Infinity are no JSON") from error
    if depth_of(expected, MAX_DEPTH) > MAX_DEPTH:
        raise ValueError(f"expected: nested more than {MAX_DEPTH} deep")
    try:
        flaw = read_schema(schema).flaw(expected)
    except SchemaError as error:
        raise ValueError(f"schema, {error}") from error
    if flaw is not None:
        raise ValueError(f"expected breaks the schema at {flaw}")
    names = {name for _, each in subschemas(schema) for name in _properties(each)}
    Rules(rules).check(expected, names)


def _properties(schema: Any) -> Mapping[str, Any]:
    found: Mapping[str, Any] = schema.get("properties", {}) if isinstance(schema, dict) else {}
    return found


STRUCTURED = Structured()
