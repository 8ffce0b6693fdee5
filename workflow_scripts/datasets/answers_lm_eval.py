"""Answers in the samples that lm-evaluation-harness logs (``--log_samples``): JSON Lines.

Reference: ``lm_eval.evaluator`` and https://github.com/EleutherAI/lm-evaluation-harness.
"""

from __future__ import annotations

import ast
import contextlib
from collections.abc import Iterator
from typing import Any

from ..core.recorded import RecordedAnswer
from .answer_documents import Fields, asked_in, items_of, numbered, texts_of
from .answer_formats import AnswerFormat
from .columns import read_objects
from .formats import DataFormat
from .source import Source

_GOLD = ("answers", "answer")
_PASSAGE = ("context", "passage")


def read_lm_eval(source: Source) -> Iterator[RecordedAnswer]:
    """Yield the responses of a samples file as the model gave them, before any filter.

    A document stands in the file once for each filter, always with the same responses; the first
    counts.
    """
    seen: set[str] = set()
    for place, row in read_objects(source):
        sample = Fields(source, place, row)
        doc_id = sample.get("doc_id")
        if not isinstance(doc_id, int):
            raise source.error(place, "doc_id: is missing, or no whole number")
        if str(doc_id) in seen:
            continue
        seen.add(str(doc_id))
        doc = sample.object("doc")
        for number, text in numbered(_responses(source, place, sample)):
            yield RecordedAnswer(
                place=place if number is None else f"{place}, response {number}",
                item_id=str(doc_id),
                question=_question(sample, doc),
                answers=_gold(sample, doc),
                context=next((doc.get(name) for name in _PASSAGE if doc.get(name)), None),
                sample_index=number,
                response_text=text,
            )


def _responses(source: Source, place: str, sample: Fields) -> list[str]:
    """The texts that the model generated: of one request, all of its repeats."""
    responses = sample.get("resps")
    if isinstance(responses, list) and len(responses) == 1 and isinstance(responses[0], list):
        responses = responses[0]
    if not isinstance(responses, list) or not responses:
        raise source.error(place, "resps: is missing or empty; run lm_eval with --log_samples")
    if not all(isinstance(each, str) for each in responses):
        raise source.error(
            place,
            "resps: there is no generated text, as in multiple choice by likelihood; only tasks "
            "of the output type generate_until have answers to score",
        )
    return responses


def _question(sample: Fields, doc: Fields) -> str | None:
    """The question in the document, else the prompt, which is a chat with chat models."""
    asked = doc.get("question")
    if isinstance(asked, str):
        return asked
    first: Any = sample.get("arguments")
    if isinstance(first, dict):
        given = first.get("gen_args_0")
        first = given.get("arg_0") if isinstance(given, dict) else None
    while isinstance(first, list) and first:
        first = first[0]
    return asked_in(first)


def _gold(sample: Fields, doc: Fields) -> tuple[str, ...] | None:
    """Several spellings of the answer where the document has them, else the target."""
    for name in _GOLD:
        value = doc.get(name)
        if isinstance(value, dict):  # SQuAD has "text", TriviaQA "value" and "aliases"
            texts = [value.get("text"), value.get("value"), value.get("aliases")]
            found = [each for text in texts for each in texts_of(text) or ()]
            return tuple(dict.fromkeys(found))
        if isinstance(value, list) and texts_of(value) is not None:
            return texts_of(value)
    return texts_of(_unquoted(sample.get("target")))


def _unquoted(target: Any) -> Any:
    """A target, which lm_eval writes as text whatever it is: ``"['Paris', 'paris']"``."""
    if isinstance(target, str) and target.startswith("["):
        with contextlib.suppress(ValueError, SyntaxError, MemoryError, RecursionError):
            return ast.literal_eval(target)
    return target


LM_EVAL = AnswerFormat(
    name="lm_eval",
    description="samples that lm-evaluation-harness logs (`--log_samples`)",
    read=read_lm_eval,
)
LM_EVAL_ITEMS = DataFormat(
    name="lm_eval",
    description="the documents in samples of lm-evaluation-harness",
    read=lambda source, task: items_of(LM_EVAL, source, task),
)
