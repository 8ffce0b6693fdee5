"""Answers in JSON Lines and CSV with the columns of docs/imported_answers.md."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from ..core.recorded import RecordedAnswer, Verdict
from ..core.values import ItemId, Text
from .answer_documents import our_reason
from .answer_formats import AnswerFormat
from .checks import decode, explain
from .columns import Columns, read_objects
from .source import Source


def _whole(given: object) -> object:
    """A count that a table has as text or, like pandas, with a decimal point."""
    if isinstance(given, str):
        given = float(given) if given.strip().replace(".", "", 1).isdigit() else given
    return int(given) if isinstance(given, float) and given.is_integer() else given


def _number(given: object) -> object:
    try:
        return float(given) if isinstance(given, str) else given
    except ValueError:
        return given


def _text(given: object) -> object:
    """Of a list of texts the first: models that give several rank them."""
    if isinstance(given, list) and given and all(isinstance(each, str) for each in given):
        return given[0]
    return given


def _id(given: object) -> object:
    is_number = isinstance(given, int) and not isinstance(given, bool)
    return str(given) if is_number else given


def _several(given: object) -> object:
    return [given] if isinstance(given, str) else given


Count = Annotated[int, BeforeValidator(_whole), Field(ge=0)]


class AnswerRow(BaseModel):
    """One answer as users write it; the fields are the columns."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    item_id: Annotated[ItemId, BeforeValidator(_id)] | None = None
    response_text: Annotated[str, BeforeValidator(_text)]
    question: Text | None = None
    dataset: str | None = None
    sample_index: Count | None = None
    finish_reason: Annotated[
        str,
        BeforeValidator(our_reason),
        Field(pattern=r"^(stop|length|refused:.+)$"),
    ] = "stop"
    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    latency_s: Annotated[float, BeforeValidator(_number), Field(ge=0)] | None = None
    verdict: Verdict | None = None

    @model_validator(mode="after")
    def _names_an_item(self) -> Self:
        if self.item_id is None and self.question is None:
            raise ValueError("neither item_id nor question says which item was answered")
        return self


_NAMES = tuple(AnswerRow.model_fields)


def read_jsonl_answers(source: Source) -> Iterator[RecordedAnswer]:
    """Yield the answers of a JSON Lines file."""
    columns = Columns(source, _NAMES)
    place, seen = "line 1", frozenset[str]()
    for place, row in read_objects(source):
        if not row.keys() <= seen:  # names that no line before had
            columns.check_slips(place, list(row))
            seen |= row.keys()
        yield _recorded(source, place, columns, row)
    columns.check_found(place)


def read_csv_answers(source: Source) -> Iterator[RecordedAnswer]:
    """Yield the answers of a CSV file; an empty cell counts as not given, but as an answer."""
    columns = Columns(source, _NAMES)
    with source.open() as stream:
        text = decode(source, stream.read())
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    line, header = 1, list[str]()
    answer = columns.called("response_text")
    try:
        for number, cells in enumerate(reader):
            place = f"line {line}"
            line = reader.line_num + 1
            if not number:
                header = cells
                columns.ours(dict.fromkeys(header, ""))
                columns.check_found(place)
                columns.check_slips(place, header)
                continue
            if len(cells) != len(header):
                problem = f"{len(cells)} cells, but the header has {len(header)}"
                raise source.error(place, problem)
            row = {
                name: cell
                for name, cell in zip(header, cells, strict=True)
                if cell or name == answer
            }
            yield _recorded(source, place, columns, row)
    except csv.Error as error:
        raise source.error(f"line {line}", f"not valid CSV ({error})") from error


def _recorded(
    source: Source, place: str, columns: Columns, row: Mapping[str, Any]
) -> RecordedAnswer:
    try:
        found = AnswerRow.model_validate(columns.ours(row))
    except ValidationError as error:
        raise source.error(place, explain(error, _NAMES)) from error
    labels = {name: str(row[name]) for name in source.where if name in row}
    return RecordedAnswer(place=place, labels=labels, **dict(found))


JSONL = AnswerFormat(
    name="jsonl",
    description="JSON Lines, one answer per line",
    read=read_jsonl_answers,
    suffixes=(".jsonl", ".ndjson"),
    has_columns=True,
)
CSV = AnswerFormat(
    name="csv",
    description="a table with commas, its columns named in the first line",
    read=read_csv_answers,
    suffixes=(".csv",),
    has_columns=True,
)
