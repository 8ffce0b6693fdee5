"""Answers in logs of Inspect AI: ``.eval`` (a ZIP archive) and ``.json``.

Reference: https://inspect.aisi.org.uk/eval-logs.html and the models in ``inspect_ai.log``.
"""

from __future__ import annotations

import json
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..core.errors import UserError
from ..core.recorded import RecordedAnswer
from .answer_documents import (
    Fields,
    content_text,
    items_of,
    known_reason,
    last_message,
    read_json_document,
    texts_of,
)
from .answer_formats import AnswerFormat
from .formats import DataFormat
from .source import Source

_ZSTANDARD = 93
"""The method's number in ZIP archives (APPNOTE.TXT, 4.4.5); Inspect AI uses it since 2026."""

_LOCAL_HEADER = struct.Struct("<26xHH")
"""What stands before a member's content: of it, the lengths of its name and of extra fields."""


def read_inspect(source: Source) -> Iterator[RecordedAnswer]:
    """Yield the answers of a log: one for each sample and epoch."""
    for place, sample in _samples(source):
        yield _answer(Fields(source, place, sample))


def _samples(source: Source) -> Iterator[tuple[str, Any]]:
    if not source.path.is_file() or not zipfile.is_zipfile(source.path):
        document = Fields(source, "the log", read_json_document(source))
        for number, sample in enumerate(document.get("samples") or ()):
            yield f"samples[{number}]", sample
        return
    try:
        with zipfile.ZipFile(source.path) as archive:
            names = [each for each in archive.infolist() if _is_sample(each.filename)]
            for member in sorted(names, key=lambda each: _in_order(each.filename)):
                yield member.filename, _member(source, archive, member)
    except (zipfile.BadZipFile, EOFError, OSError) as error:
        raise UserError(f"{source}: the file is damaged or cut off ({error})") from error


def _member(source: Source, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Any:
    try:
        if member.compress_type == _ZSTANDARD:
            content = _unpacked(source.path, member)
        else:
            content = archive.read(member)
        return json.loads(content.decode("utf-8"))
    except NotImplementedError as error:
        raise source.error(
            member.filename,
            f"{error}; convert the log: inspect log convert FILE --to json --output-dir FOLDER",
        ) from error
    except ValueError as error:
        raise source.error(member.filename, f"damaged, or no JSON ({error})") from error


def _unpacked(path: Path, member: zipfile.ZipInfo) -> bytes:
    """Read a member that is compressed with Zstandard, which `zipfile` reads from Python 3.14 on.

    Raises:
        ValueError: it is damaged.
    """
    import pyarrow as pa  # slow to import, and needed for such logs alone

    with path.open("rb") as stream:
        stream.seek(member.header_offset)
        name, extra = _LOCAL_HEADER.unpack(stream.read(_LOCAL_HEADER.size))
        stream.seek(name + extra, 1)
        packed = stream.read(member.compress_size)
    try:
        content: bytes = pa.decompress(packed, member.file_size, "zstd", asbytes=True)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(str(error)) from error
    if zlib.crc32(content) != member.CRC:
        raise ValueError("its checksum does not match")
    return content


def _is_sample(name: str) -> bool:
    return name.startswith("samples/") and name.endswith(".json")


def _in_order(name: str) -> list[str | int]:
    """A key that sorts ``q2`` before ``q10``."""
    pieces = re.split(r"(\d+)", Path(name).stem)
    return [int(each) if number % 2 else each for number, each in enumerate(pieces)]


def _answer(sample: Fields) -> RecordedAnswer:
    output = sample.object("output")
    choices = output.get("choices") or []
    choice = choices[0] if choices and isinstance(choices[0], dict) else {}
    message = choice.get("message") if isinstance(choice.get("message"), dict) else {}
    text = content_text(message.get("content")) if message else None
    error = sample.object("error").get("message") or output.get("error")
    asked = sample.get("input")
    usage, epoch = output.object("usage"), sample.get("epoch")
    number = epoch - 1 if isinstance(epoch, int) and epoch > 0 else 0
    failed = bool(error) or text is None
    return RecordedAnswer(
        place=f"sample {sample.get('id')}, epoch {number + 1}",
        item_id=None if sample.get("id") is None else str(sample.get("id")),
        question=asked if isinstance(asked, str) else last_message(asked, "user"),
        answers=texts_of(sample.get("target")),
        sample_index=number,
        response_text=None if failed else text,
        finish_reason=known_reason(choice.get("stop_reason")),
        prompt_tokens=_prompt_tokens(usage),
        completion_tokens=usage.count("output_tokens"),
        latency_s=output.seconds("time"),
        error=(str(error) if error else "the log has no answer") if failed else None,
        labels={"model": str(output.get("model"))},
    )


def _prompt_tokens(usage: Fields) -> int | None:
    """All tokens of the prompt: Inspect's input tokens leave out those of the provider's cache."""
    sent = usage.count("input_tokens")
    cached = (usage.count("input_tokens_cache_read"), usage.count("input_tokens_cache_write"))
    return None if sent is None else sent + sum(each or 0 for each in cached)


INSPECT = AnswerFormat(
    name="inspect",
    description="a log of Inspect AI",
    read=read_inspect,
    suffixes=(".eval",),
)
INSPECT_ITEMS = DataFormat(
    name="inspect",
    description="the questions in a log of Inspect AI",
    read=lambda source, task: items_of(INSPECT, source, task),
)
