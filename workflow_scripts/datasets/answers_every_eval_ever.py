"""Answers in instance files of Every Eval Ever: JSON Lines.

Reference: ``instance_level_eval.schema.json`` of https://github.com/evaleval/every_eval_ever.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..core.recorded import RecordedAnswer
from .answer_documents import (
    Fields,
    items_of,
    known_reason,
    last_message,
    numbered,
    texts_of,
)
from .answer_formats import AnswerFormat
from .columns import read_objects
from .formats import DataFormat
from .source import Source


def read_every_eval_ever(source: Source) -> Iterator[RecordedAnswer]:
    """Yield the answers of an instance file.

    A sample stands in the file once for each result that it counts for, always with the same
    output; the first counts. ``where`` chooses by ``model_id`` and ``evaluation_name``. The format
    has no field for a sample's number, for why a response ended and for an item's cluster; Assay's
    exports have them in ``metadata``.
    """
    seen: set[tuple[str | int | None, ...]] = set()
    for place, row in read_objects(source):
        record = Fields(source, place, row)
        labels = {name: record.text(name) for name in ("model_id", "evaluation_name")}
        sample_id, asked = record.text("sample_id"), record.object("input")
        texts, metadata = _responses(record), record.object("metadata")
        sample = _whole(metadata.get("sample_index"))
        key = (*labels.values(), sample_id, sample, *texts)
        if key in seen:
            continue
        seen.add(key)
        usage, performance = record.object("token_usage"), record.object("performance")
        cluster = metadata.get("cluster_id")
        common: dict[str, Any] = {
            "item_id": sample_id,
            "question": asked.text("raw"),
            "answers": texts_of(asked.get("reference")),
            "finish_reason": known_reason(metadata.get("finish_reason")),
            "prompt_tokens": usage.count("input_tokens"),
            "completion_tokens": usage.count("output_tokens"),
            "total_tokens": usage.count("total_tokens"),
            "cached_tokens": usage.count("input_tokens_cache_read"),
            "cache_write_tokens": usage.count("input_tokens_cache_write"),
            "latency_s": performance.seconds("latency_ms", 1e-3),
            "cluster_id": cluster if isinstance(cluster, str) else None,
            "labels": labels,
        }
        for number, text in numbered(texts):
            where = place if number is None else f"{place}, response {number}"
            of_text = sample if number is None else number
            yield RecordedAnswer(place=where, sample_index=of_text, response_text=text, **common)
        if not texts:
            error = str(record.get("error") or "the record has no output")
            yield RecordedAnswer(place=place, error=error, **common)


def _whole(given: Any) -> int | None:
    return int(given) if isinstance(given, str | int) and str(given).isdecimal() else None


def _responses(record: Fields) -> list[str]:
    """The responses of a single turn, else the last one of the conversation."""
    output = record.get("output")
    if output is not None:
        return list(texts_of(record.object("output").get("raw")) or ())
    said = last_message(record.get("messages"), "assistant")
    return [] if said is None else [said]


EVERY_EVAL_EVER = AnswerFormat(
    name="every_eval_ever",
    description="an instance file of Every Eval Ever",
    read=read_every_eval_ever,
)
EVERY_EVAL_EVER_ITEMS = DataFormat(
    name="every_eval_ever",
    description="the samples in an instance file of Every Eval Ever",
    read=lambda source, task: items_of(EVERY_EVAL_EVER, source, task),
)
