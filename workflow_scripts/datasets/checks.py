"""What every format shares: checked text, items with their place, and errors that name it."""

from __future__ import annotations

import codecs
import difflib
import logging
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from ..core import unique_keys
from ..core.control_tokens import CONTROL_TEXT
from ..core.errors import UserError
from ..core.records import Item
from ..tasks.task import Task
from .source import Source

Model = TypeVar("Model", bound=BaseModel)

Located = tuple[str, Item]
"""An item with the place it was read from: ``line 7`` or ``data[3].paragraphs[2].qas[1]``."""

log = logging.getLogger(__name__)

_PROBLEMS_SHOWN = 3


class PublicRecord(BaseModel):
    """Base of the records of published formats: their further fields are no concern of ours."""

    model_config = ConfigDict(extra="ignore", frozen=True)


def make_item(source: Source, place: str, task: Task, **fields: Any) -> Item:
    """An item of ``source`` for a task; an error names file, place and field."""
    try:
        return task.item(dataset=source.dataset, **fields)
    except ValidationError as error:
        raise source.error(place, explain(error)) from error


def warn_of_control_tokens(source: Source, task: Task, items: Iterable[Item]) -> None:
    """Name the items that put the text of a well-known control token into a prompt."""
    found = []
    for item in items:
        for field, text in task.values(task.questions_of(item), task.options()).items():
            token = CONTROL_TEXT.search(text)
            if token is not None:
                found.append(f"item {item.id!r} ({field}: {token[0]})")
    if found:
        more = len(found) - _PROBLEMS_SHOWN
        log.warning(
            "%s: %s%s. Many chat models read such text as the marker of a turn, so an item may "
            "end its own turn. In-process llama.cpp takes it as text, a server may not. Remove it "
            "from the items if you can.",
            source, ", ".join(found[:_PROBLEMS_SHOWN]), f" and {more} more" if more > 0 else "",
        )  # fmt: skip


def distinct(texts: Iterable[str]) -> list[str]:
    """The texts without repetitions, in their order."""
    return list(dict.fromkeys(texts))


def read_document(source: Source, model: type[Model]) -> Model:
    """Read a file that is one JSON document; an error names the file and the path in it."""
    with source.open() as stream:
        data = stream.read().removeprefix(codecs.BOM_UTF8)
    try:
        return model.model_validate_json(data, strict=True)
    except ValidationError as error:
        decode(source, data)  # "not UTF-8, line 7" says more than pydantic does
        raise UserError(f"{source}: {explain(error)}") from error


def read_lines(source: Source, model: type[Model]) -> Iterator[tuple[str, Model]]:
    """Read a file of JSON lines; yield each record with its place. A blank line is an error."""
    with source.open() as stream:
        for number, line in enumerate(stream, start=1):
            text = decode(source, line, first_line=number)
            if not text.strip():
                raise source.error(
                    f"line {number}", "the line is blank; every line is one item, so delete it"
                )
            try:
                row = model.model_validate_json(text, strict=True, context=source.context)
                unique_keys.parse(text)
            except unique_keys.RepeatedKeyError as error:
                raise source.error(f"line {number}", str(error)) from error
            except ValidationError as error:
                problem = explain(error, model.model_fields).replace(
                    "at line 1 column", "at column"
                )
                raise source.error(f"line {number}", problem) from error
            yield f"line {number}", row


def decode(source: Source, data: bytes, first_line: int = 1) -> str:
    """Decode UTF-8, with or without a byte order mark; an error names the line."""
    try:
        return data.decode("utf-8-sig" if first_line == 1 else "utf-8")
    except UnicodeDecodeError as error:
        line = first_line + error.object.count(b"\n", 0, error.start)
        raise source.error(
            f"line {line}",
            f"byte 0x{error.object[error.start]:02x} is not UTF-8 ({error.reason}); "
            "save the file with the encoding UTF-8",
        ) from error


def explain(error: ValidationError, known_columns: Iterable[str] = ()) -> str:
    """A pydantic error in words; the first few problems and how many more there are."""
    details = error.errors(include_url=False, include_input=False)
    problems = [
        unknown_column(str(detail["loc"][-1]), known_columns)
        if detail["type"] == "extra_forbidden"
        else _problem(detail["loc"], detail["msg"])
        for detail in details[:_PROBLEMS_SHOWN]
    ]
    if len(details) > _PROBLEMS_SHOWN:
        problems.append(f"and {len(details) - _PROBLEMS_SHOWN} more such problems")
    return "; ".join(problems)


def unknown_column(name: str, known: Iterable[str]) -> str:
    """Say that a column is unknown and which known one is the nearest."""
    columns = list(known)
    near = difflib.get_close_matches(name.strip().lower(), columns, n=1)
    advice = f"did you mean '{near[0]}'?" if near else f"the columns are {', '.join(columns)}"
    return f"unknown column '{name}'; {advice}"


def _problem(loc: tuple[int | str, ...], message: str) -> str:
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in loc)
    message = "is missing" if message == "Field required" else message
    message = message.removeprefix("Value error, ")
    return f"{path.lstrip('.')}: {message}" if path else message
