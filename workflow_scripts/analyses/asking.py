"""What a model is asked for an analysis, and what it said."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from ..core.errors import UserError
from ..core.files import describe, read_jsonl, write_jsonl
from ..core.records import Decoding, Message, RawLine, Record, Request, custom_id
from ..core.seals import SealWriter, seal_beside
from ..metrics.final_answer import final_answer
from ..schemas.reading import read_back
from ..schemas.reply import read_reply
from .settings import MAX_NEW_TOKENS, TEMP, AnalysisSettings, JobName

_SHOWN = 200

Reply = TypeVar("Reply", bound=Record)


class UnusableReplyError(Exception):
    """A model's reply is not what was asked for; the message says what is wrong with it."""


def request(
    settings: AnalysisSettings, job: JobName, messages: Sequence[Message], schema: dict[str, Any]
) -> Request:
    """Return the request for one thing about an analysis."""
    name = settings.name
    return Request(
        custom_id=custom_id("analyses", name, name, TEMP, 0, job),
        dataset="analyses",
        item_id=name,
        prompt=name,
        temp=TEMP,
        sample_index=0,
        type=job,
        messages=list(messages),
        decoding=Decoding(
            temperature=float(TEMP),
            max_new_tokens=MAX_NEW_TOKENS[job],
            seed=0,
            json_schema=schema if settings.enforced else None,
        ),
    )


def described(settings: AnalysisSettings, schema: dict[str, Any]) -> str:
    """Return what the prompt says of the schema: nothing if the backend enforces it."""
    if settings.enforced:
        return ""
    return "The object obeys this JSON Schema:\n\n" + json.dumps(schema, ensure_ascii=False)


def user(text: str) -> Message:
    """Return a message of the user."""
    return Message(role="user", content=text.strip())


def write_requests(path: Path, requests: Sequence[Request], inputs: Sequence[Path]) -> None:
    """Write a batch-input part, which may be empty, and its seal."""
    seal = SealWriter(seal_beside(path, path.stem), inputs)
    write_jsonl(path, requests)
    seal.seal(path)


def read_line(path: Path) -> RawLine | None:
    """Return the answer in a raw part; ``None`` if nothing was asked.

    Raises:
        UserError: the model gave no answer, or the file was edited.
    """
    lines = list(read_jsonl(path, RawLine))
    if not lines:
        return None
    line = lines[0]
    if line.error is not None:
        raise UserError(
            f"{path}: the model gave no answer ({line.error.type}: {line.error.message}). Nothing "
            "is analysed without it. Fix the cause and run again; only this request is sent"
        )
    answer = line.completion()
    if line.answer_checksum != answer.checksum(str(line.request_digest)):
        raise UserError(
            f"{path}: the answer does not have its checksum; the file was edited. Delete it and "
            "run again: the answer is taken from the journal"
        )
    if answer.finish_reason.startswith("refused"):
        raise UserError(
            f"{path}: the model gave no answer ({answer.finish_reason}). Nothing is analysed "
            "without it; change the question, the prompt or the model"
        )
    return line


def parsed(line: RawLine, record: type[Reply], schema: dict[str, Any]) -> Reply:
    """Return what a reply says.

    Args:
        line: the reply.
        record: its fields.
        schema: what was enforced or described.

    Raises:
        UnusableReplyError: it is not one JSON object with these fields.
    """
    text = final_answer(str(line.response_text))
    reply = read_reply(text, cut_off=line.finish_reason == "length")
    if reply.value is None:
        cut = " It was cut off at the token limit." if reply.form == "truncated" else ""
        raise UnusableReplyError(
            f"The reply is not one JSON object: {reply.problem}.{cut} It begins with "
            f"{text[:_SHOWN]!r}"
        )
    value = read_back(schema, reply.value) if line.schema_enforced else reply.value
    try:
        return record.model_validate_json(json.dumps(value))
    except ValidationError as error:
        raise UnusableReplyError(f"The reply does not fit: {describe(error)}") from error
