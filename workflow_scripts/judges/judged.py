"""What a judge is asked about: each different response to an item once, blind to its arm.

A judge sees the item and the final answer of a response: no arm, no model, no other response. So
equal responses of two arms get one verdict, and the order of the requests, by digest, says nothing.

In a task that searches, each arm was given passages of its own. A judge whose prompt shows passages
sees those that stood in the prompt of the response, numbered as there. Equal responses with other
passages are then different.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from ..core.records import Item, Prediction
from ..metrics.final_answer import final_answer
from ..metrics.normalisation import is_blank
from ..retrieval.numbered import numbered
from ..tasks.given import Given
from ..tasks.registry import TASKS
from .instruments import Instrument

_DIGITS = 24
"""Hex digits of a digest that name a judged response: equal ones are not to be expected."""

NO_PASSAGES = "(none)"
"""What a judge sees in the place of passages, of an arm that was given none."""

_NOTHING = Given()

Orders = tuple[Mapping[str, str], ...]
_Values = Mapping[str, str]
_ValuesOf = Callable[[Prediction], _Values | None]


class Judged(NamedTuple):
    """What a judge is asked about: a response, or a pair of them.

    ``orders`` makes what the prompt's fields stand for, a pair's in both orders. It is made when it
    is needed, so that memory does not hold the passages of all responses. ``digest`` names it.
    """

    dataset: str
    orders: Callable[[], Orders]
    digest: str


Roles = Mapping[str, int]
"""By custom_id of a judged response, its place in the first order."""


def judged(
    predictions: Iterable[Prediction],
    items: Mapping[str, Item],
    instrument: Instrument,
    given: Given = _NOTHING,
) -> Iterator[tuple[Roles, Judged]]:
    """Yield what a judge is asked about, with the responses that it is about.

    There is nothing to ask where a response is blank or was blocked by the provider, where an item
    lacks what is needed, such as a gold answer, of a judge of undecided responses, where the rules
    decide, and of a pair, where both are the same text, with the same passages if it shows them.

    Args:
        predictions: the responses.
        items: by `Item.key`.
        instrument: what the judge measures.
        given: the passages of the arms that search, if the judge's prompt shows them.

    Raises:
        UserError: an arm that searches has no passages for an item.
    """
    values_of = partial(_values, items=items, instrument=instrument, given=given)
    if not instrument.pairs:
        for row in predictions:
            if (values := values_of(row)) is not None:
                orders = partial(_orders, (row,), values_of)
                yield {row.custom_id: 0}, Judged(row.dataset, orders, _digest(values))
        return
    for pair in _pairs(predictions):
        one, other = map(values_of, pair)
        if one is not None and other is not None and one != other:
            # Their texts decide which is first, so that the order tells nothing of the arms.
            ordered = sorted(((one, pair[0]), (other, pair[1])), key=lambda each: _digest(each[0]))
            (first, row), (second, other_row) = ordered
            orders = partial(_orders, (row, other_row), values_of)
            digest = _digest(_both(first, second, searches=TASKS[row.type].searches)[0])
            yield {row.custom_id: 0, other_row.custom_id: 1}, Judged(row.dataset, orders, digest)


def different(
    predictions: Iterable[Prediction],
    items: Mapping[str, Item],
    instrument: Instrument,
    given: Given = _NOTHING,
) -> list[Judged]:
    """Return what a judge is asked about, each once, in the order of their digests.

    Args and errors as for `judged`.
    """
    found: dict[tuple[str, str], Judged] = {}
    for _, each in judged(predictions, items, instrument, given):
        found.setdefault((each.digest, each.dataset), each)
    return [found[name] for name in sorted(found)]


def asked_again(digest: str, share: float) -> bool:
    """Whether a response is among the share that a judge is asked about twice."""
    return int(digest[:8], 16) < share * 16**8


def _values(
    row: Prediction, items: Mapping[str, Item], instrument: Instrument, given: Given
) -> _Values | None:
    """What the fields of a prompt stand for; ``None`` where there is nothing to ask."""
    response = final_answer(row.response_text)
    if is_blank(response) or row.finish_reason.startswith("refused"):
        return None
    task = TASKS[row.type]
    shown = task.shown(items[row.item_key])
    if task.searches:
        shown = {**shown, "context": numbered(given.passages(row)) or NO_PASSAGES}
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


def _orders(rows: Sequence[Prediction], values_of: _ValuesOf) -> Orders:
    """What the fields stand for in a request about one response, or in two about a pair."""
    values = [found for row in rows if (found := values_of(row)) is not None]
    if len(values) == 1:
        return (values[0],)
    return _both(*values, searches=TASKS[rows[0].type].searches)


def _both(one: _Values, other: _Values, *, searches: bool) -> Orders:
    """A pair in both orders. Arms that search have passages of their own; others share theirs."""
    own = {"response", "context"} if searches else {"response"}
    shared = {name: text for name, text in one.items() if name not in own}

    def ordered(first: _Values, second: _Values) -> _Values:
        found = {**shared, "first": first["response"], "second": second["response"]}
        if searches:
            found |= {"first_context": first["context"], "second_context": second["context"]}
        return found

    return ordered(one, other), ordered(other, one)


def _digest(values: Mapping[str, Any]) -> str:
    text = json.dumps(values, ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
