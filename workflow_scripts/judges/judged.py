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
    """What a judge is asked about: a response, or a pair of them.

    ``orders`` are what the prompt's fields stand for, a pair's in both orders; ``digest`` names it.
    """

    dataset: str
    orders: tuple[Mapping[str, str], ...]
    digest: str


Roles = Mapping[str, int]
"""By custom_id of a judged response, its place in the first order."""


def judged(
    predictions: Iterable[Prediction], items: Mapping[str, Item], instrument: Instrument
) -> Iterator[tuple[Roles, Judged]]:
    """Yield what a judge is asked about, with the responses that it is about.

    There is nothing to ask where a response is blank or was blocked by the provider, where an item
    lacks what is needed, such as a gold answer, of a judge of undecided responses, where the rules
    decide, and of a pair, where both are the same text.
    """
    if not instrument.pairs:
        for row in predictions:
            if (values := _values(row, items, instrument)) is not None:
                response = Judged(row.dataset, (values,), _digest(values))
                yield {row.custom_id: 0}, response
        return
    for pair in _pairs(predictions):
        found = [_values(row, items, instrument) for row in pair]
        one, other = found
        if one is not None and other is not None and one != other:
            yield _pair(pair, (one, other))


def different(
    predictions: Iterable[Prediction], items: Mapping[str, Item], instrument: Instrument
) -> list[Judged]:
    """Return what a judge is asked about, each once, in the order of their digests."""
    found = {
        (each.dataset, each.digest): each for _, each in judged(predictions, items, instrument)
    }
    return sorted(found.values(), key=lambda each: (each.digest, each.dataset))


def asked_again(digest: str, share: float) -> bool:
    """Whether a response is among the share that a judge is asked about twice."""
    return int(digest[:8], 16) < share * 16**8


def _values(
    row: Prediction, items: Mapping[str, Item], instrument: Instrument
) -> dict[str, str] | None:
    """What the fields of a prompt stand for; ``None`` where there is nothing to ask."""
    response = final_answer(row.response_text)
    shown = TASKS[row.type].shown(items[row.item_key])
    if is_blank(response) or row.finish_reason.startswith("refused"):
        return None
    if not instrument.applies(shown):
        return None
    if instrument.only_undecided and not _is_undecided(response):
        return None
    values = {
        "question": shown["question"],
        "answers": " | ".join(shown["answers"]),
        "context": shown["context"] or "",
        "response": response,
    }
    used = instrument.fields | instrument.optional | ({"response"} if instrument.pairs else set())
    return {name: value for name, value in values.items() if name in used}


def _is_undecided(response: str) -> bool:
    """Whether the rules leave open if it answers. Imported lazily: it compiles long patterns."""
    from ..metrics.abstention import AbstentionDetector

    return AbstentionDetector().leaves_open(response)


def _pairs(predictions: Iterable[Prediction]) -> Iterator[tuple[Prediction, Prediction]]:
    """The responses of two arms to one item, sample by sample."""
    waiting: dict[tuple[str, str, str, int], Prediction] = {}
    for row in predictions:
        place = row.type, row.temp, row.item_key, row.sample_index
        if (other := waiting.pop(place, None)) is not None:
            yield other, row
        else:
            waiting[place] = row


def _pair(
    rows: tuple[Prediction, Prediction], values: tuple[dict[str, str], dict[str, str]]
) -> tuple[Roles, Judged]:
    """A pair whose first order its texts decide, so that it tells nothing of the arms."""
    by_text = sorted((0, 1), key=lambda n: _digest(values[n]))
    shared = {name: text for name, text in values[0].items() if name != "response"}
    first, second = (values[n]["response"] for n in by_text)
    orders = (
        {**shared, "first": first, "second": second},
        {**shared, "first": second, "second": first},
    )
    roles = {rows[n].custom_id: place for place, n in enumerate(by_text)}
    return roles, Judged(rows[0].dataset, orders, _digest(orders[0]))


def _digest(values: Mapping[str, Any]) -> str:
    text = json.dumps(values, ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
