"""What a judge is asked about: each different response to an item once, blind to its arm.

A judge sees the item and the final answer of a response: no arm, no model, no other response. So
equal responses of two arms get one verdict, and the order of the requests, by digest, says nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from ..core.records import Item, Prediction
from ..metrics.final_answer import final_answer
from ..metrics.normalisation import is_blank
from ..tasks.registry import TASKS
from .instruments import Instrument

_DIGITS = 24
"""Hex digits of a digest that name a judged response: equal ones are not to be expected."""


class Judged(NamedTuple):
    """A response that a judge is asked about.

    ``values`` are what the prompt's fields stand for; ``digest`` names them.
    """

    dataset: str
    values: Mapping[str, str]
    digest: str


def judged(prediction: Prediction, item: Item, instrument: Instrument) -> Judged | None:
    """Return what a judge is asked about a response.

    ``None`` where there is nothing to ask: the response is blank or was blocked by the provider,
    or the item lacks what is needed, such as a gold answer.
    """
    response = final_answer(prediction.response_text)
    shown = TASKS[prediction.type].shown(item)
    if is_blank(response) or prediction.finish_reason.startswith("refused"):
        return None
    if not instrument.applies(shown):
        return None
    values = {
        "question": shown["question"],
        "answers": " | ".join(shown["answers"]),
        "context": shown["context"] or "",
        "response": response,
    }
    used = instrument.fields | instrument.optional
    values = {name: value for name, value in values.items() if name in used}
    return Judged(prediction.dataset, values, _digest(values))


def different(
    predictions: Iterable[Prediction], items: Mapping[str, Item], instrument: Instrument
) -> list[Judged]:
    """Return what a judge is asked about, each once, in the order of their digests."""
    found = {
        (each.dataset, each.digest): each
        for each in _all(predictions, items, instrument)
        if each is not None
    }
    return sorted(found.values(), key=lambda each: (each.digest, each.dataset))


def asked_again(digest: str, share: float) -> bool:
    """Whether a response is among the share that a judge is asked about twice."""
    return int(digest[:8], 16) < share * 16**8


def _all(
    predictions: Iterable[Prediction], items: Mapping[str, Item], instrument: Instrument
) -> Iterator[Judged | None]:
    for prediction in predictions:
        yield judged(prediction, items[prediction.item_key], instrument)


def _digest(values: Mapping[str, Any]) -> str:
    text = json.dumps(values, ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
