"""Answers in the output of promptfoo: ``promptfoo eval --output results.json``.

Reference: https://www.promptfoo.dev/docs/configuration/outputs and ``EvaluateResult`` in its types.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from ..core.recorded import RecordedAnswer
from .answer_documents import (
    Fields,
    asked_in,
    items_of,
    known_reason,
    read_json_document,
    texts_of,
)
from .answer_formats import AnswerFormat
from .formats import DataFormat
from .source import Source

_GOLD_VARIABLES = ("answers", "answer", "expected", "reference")
_GOLD_ASSERTIONS = {
    "equals",
    "contains",
    "icontains",
    "contains-any",
    "icontains-any",
    "factuality",
}
_PASSAGE = ("context", "passage")


def read_promptfoo(source: Source) -> Iterator[RecordedAnswer]:
    """Yield the answers of all providers and prompts; ``where`` chooses by these labels.

    Repeated answers to the same test are its samples.
    """
    document = Fields(source, "the document", read_json_document(source))
    seen: Counter[tuple[Any, ...]] = Counter()
    for result in document.object("results").objects("results"):
        answer = _answer(result)
        key = (answer.item_id, answer.question, *answer.labels.values())
        yield replace(answer, sample_index=seen[key] or None)
        seen[key] += 1


def _answer(result: Fields) -> RecordedAnswer:
    test, response = result.object("testCase"), result.object("response")
    variables = result.object("vars")
    output, error = response.get("output"), result.get("error")
    usage = response.object("tokenUsage")
    provider, prompt = result.get("provider"), result.object("prompt")
    if isinstance(provider, dict):
        provider = provider.get("label") or provider.get("id")
    named = variables.get("id")
    if output is not None and not isinstance(output, str):  # promptfoo reads answers in JSON
        output = json.dumps(output, ensure_ascii=False)
    answered = isinstance(output, str)
    return RecordedAnswer(
        place=result.place.rpartition(", ")[2],
        item_id=None if named is None else str(named),
        question=_question(variables, prompt),
        answers=_gold(variables, test),
        context=next((variables.get(name) for name in _PASSAGE if variables.get(name)), None),
        response_text=output if answered else None,
        finish_reason=known_reason(response.get("finishReason")),
        prompt_tokens=usage.count("prompt"),
        completion_tokens=usage.count("completion"),
        latency_s=result.seconds("latencyMs", 1e-3),
        error=None if answered else str(error or response.get("error") or "there is no output"),
        labels={"provider": str(provider), "prompt": str(prompt.get("label"))},
    )


def _question(variables: Fields, prompt: Fields) -> str | None:
    """The variable ``question``, else the prompt with all variables filled in."""
    asked = variables.get("question")
    return asked if isinstance(asked, str) else asked_in(prompt.get("raw"))


def _gold(variables: Fields, test: Fields) -> tuple[str, ...] | None:
    """The variable with the expected answer, else what the assertions compare with."""
    for name in _GOLD_VARIABLES:
        if (found := texts_of(variables.get(name))) is not None:
            return found
    compared: list[str] = []
    for each in test.objects("assert") if test.get("assert") else ():
        if each.get("type") in _GOLD_ASSERTIONS:
            compared += texts_of(each.get("value")) or ()
    return tuple(dict.fromkeys(compared)) or None


PROMPTFOO = AnswerFormat(
    name="promptfoo",
    description="the JSON output of promptfoo",
    read=read_promptfoo,
)
PROMPTFOO_ITEMS = DataFormat(
    name="promptfoo",
    description="the tests in the JSON output of promptfoo",
    read=lambda source, task: items_of(PROMPTFOO, source, task),
)
