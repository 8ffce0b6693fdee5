"""What readers of other tools' files of answers share."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from ..core.records import Item
from ..tasks.task import Task
from .answer_formats import AnswerFormat
from .checks import Located, decode, explain, make_item
from .columns import question_id
from .source import Source

_SAME_REASON = {
    "eos": "stop", "end_turn": "stop", "stop_sequence": "stop", "complete": "stop",
    "endoftext": "stop", "unknown": "stop", "tool_calls": "stop", "max_tokens": "length",
    "max_output_tokens": "length", "model_length": "length",
    "content_filter": "refused:content_filter", "refusal": "refused:refusal",
    "safety": "refused:safety",
}  # fmt: skip
"""Finish reasons of providers and tools, in our words."""


def our_reason(given: object) -> object:
    """Return a finish reason in our words: ``stop``, ``length`` or ``refused: …``."""
    if not isinstance(given, str):
        return given
    return _SAME_REASON.get(given.lower(), given.lower() if given.isupper() else given)


def known_reason(given: object) -> str:
    """Return a tool's finish reason in our words; ``stop`` where it says nothing of it."""
    found = our_reason(given)
    known = isinstance(found, str) and (found == "length" or found.startswith("refused:"))
    return str(found) if known else "stop"


def read_json_document(source: Source) -> Any:
    """Read a file that is one JSON document; an error names file and line."""
    with source.open() as stream:
        text = decode(source, stream.read())
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise source.error(f"line {error.lineno}", f"not valid JSON ({error.msg})") from error


class Fields:
    """A JSON object of a file, whose fields are looked up with errors that name the place.

    Args:
        source: the file.
        place: where in it the object is.
        value: the object.

    Raises:
        UserError: it is none.
    """

    def __init__(self, source: Source, place: str, value: Any) -> None:
        self._source = source
        self.place = place
        if not isinstance(value, dict):
            raise source.error(place, f"expected a JSON object, found {_kind(value)}")
        self._value: Mapping[str, Any] = value

    def get(self, name: str) -> Any:
        """Return a field; ``None`` where it is missing."""
        return self._value.get(name)

    def text(self, name: str) -> str:
        """Return a field that has to be a text."""
        value = self._required(name)
        if not isinstance(value, str):
            raise self._source.error(self.place, f"{name}: expected a text, found {_kind(value)}")
        return value

    def objects(self, name: str) -> Iterator[Fields]:
        """Yield the objects of a field that has to be a list."""
        value = self._required(name)
        if not isinstance(value, list):
            raise self._source.error(self.place, f"{name}: expected a list, found {_kind(value)}")
        where = f"{self.place}, {name}" if self.place else name
        for number, each in enumerate(value):
            yield Fields(self._source, f"{where}[{number}]", each)

    def object(self, name: str) -> Fields:
        """Return a field that has to be an object; an empty one where it is missing or null."""
        value = self._value.get(name)
        return Fields(self._source, f"{self.place}, {name}", {} if value is None else value)

    def count(self, name: str) -> int | None:
        """Return a count of tokens; ``None`` where there is none."""
        value = self.seconds(name)
        return int(value) if value is not None and value == int(value) else None

    def seconds(self, name: str, per_unit: float = 1) -> float | None:
        """Return a duration; ``None`` where there is none."""
        value = self._value.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        return value * per_unit if 0 <= value < math.inf else None

    def _required(self, name: str) -> Any:
        if name not in self._value:
            raise self._source.error(self.place, f"{name}: is missing")
        return self._value[name]


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", type(None): "null"}
    return names.get(type(value), repr(value))


def texts_of(value: Any) -> tuple[str, ...] | None:
    """Return gold answers that are a text or a list of texts; ``None`` for anything else."""
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return tuple(dict.fromkeys(value))
    return None


def content_text(content: Any) -> str | None:
    """Return the text of a chat message: its content, or the parts of it that are text."""
    if isinstance(content, list):
        parts = (each for each in content if isinstance(each, dict) and each.get("type") == "text")
        return "".join(str(each.get("text", "")) for each in parts)
    return content if isinstance(content, str) else None


def last_message(messages: Any, role: str) -> str | None:
    """Return the text of the last chat message of a role."""
    if not isinstance(messages, list):
        return None
    found = (each for each in reversed(messages) if isinstance(each, dict))
    return next(
        (content_text(each.get("content")) for each in found if each.get("role") == role), None
    )


def asked_in(prompt: Any) -> str | None:
    """Return the question in a prompt: the last user message where the prompt is a chat as JSON."""
    if not isinstance(prompt, str):
        return None
    if prompt.lstrip().startswith("["):
        with contextlib.suppress(ValueError):
            return last_message(json.loads(prompt), "user") or prompt
    return prompt


def items_of(answers: AnswerFormat, source: Source, task: Task) -> Iterator[Located]:
    """Yield the items that the answers of a file belong to, each once.

    Raises:
        UserError: a record has no question or no gold answers, or contradicts an earlier one.
    """
    seen: dict[str, tuple[str, Item]] = {}
    for answer in answers.read(source):
        if answer.question is None or answer.answers is None:
            what = "question" if answer.question is None else "gold answers"
            raise source.error(
                answer.place,
                f"there are no {what} in this file; name another data set, and use this file as an "
                "arm's answers",
            )
        values: dict[str, Any] = {
            "id": answer.item_id or question_id(answer.question),
            "question": answer.question,
            "answers": [each for each in answer.answers if each.strip()],
        }
        if answer.context is not None:
            values["context"] = answer.context
        if not values["answers"]:
            values["is_unanswerable"] = True
        if answer.cluster_id is not None:
            values["cluster_id"] = answer.cluster_id
        item = _item(source, answer.place, values, task)
        if item.id not in seen:
            seen[item.id] = answer.place, item
            yield answer.place, item
        elif seen[item.id][1] != item:
            problem = f"the id '{item.id}' is another item's, at {seen[item.id][0]}"
            raise source.error(answer.place, problem)


def _item(source: Source, place: str, values: Mapping[str, Any], task: Task) -> Item:
    try:
        row = task.row.model_validate(values)
        fields = task.item_fields(row)
    except ValidationError as error:
        raise source.error(place, explain(error, task.row.model_fields)) from error
    except ValueError as error:
        raise source.error(place, str(error)) from error
    return make_item(source, place, task, **fields)


def numbered(texts: Iterable[str]) -> Iterator[tuple[int | None, str]]:
    """Number several texts; a single one has no number."""
    several = list(texts)
    for number, text in enumerate(several):
        yield (number if len(several) > 1 else None), text
