"""The passages on a labelling page.

Which passages a response was given can tell its arm: one arm has three, another ten, a third none.
So each response to an item has the passages of all arms beside it, in the order of their places in
the documents. Those that the response cites are marked.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from ..core.records import Answer
from ..metrics.citations import cited_numbers
from ..metrics.final_answer import final_answer
from ..retrieval.numbered import place
from ..retrieval.records import Passage
from ..tasks.given import Given


@dataclass(frozen=True)
class ShownPassage:
    """A passage as the page shows it; ``cited``: the numbers by which the response cites it."""

    place: str
    text: str
    cited: list[int]


def pooled(
    of_item: Iterable[Answer], of_response: Iterable[Answer], given: Given
) -> list[ShownPassage]:
    """Return the passages that any arm was given for an item.

    Args:
        of_item: the responses of all arms.
        of_response: those with the text that is labelled.
        given: the passages of the arms.

    Raises:
        UserError: an arm that searches has no passages for the item.
    """
    found = {_key(each): each for answer in of_item for each in given.passages(answer)}
    cited: dict[_Key, set[int]] = defaultdict(set)
    for answer in of_response:
        prompt = given.passages(answer)
        for number in cited_numbers(final_answer(answer.response_text)):
            if 1 <= number <= len(prompt):
                cited[_key(prompt[number - 1])].add(number)
    return [
        ShownPassage(place(found[key]), found[key].text, sorted(cited[key]))
        for key in sorted(found)
    ]


_Key = tuple[str, int, int, str]


def _key(passage: Passage) -> _Key:
    return passage.path, passage.first_line, passage.last_line, passage.text
