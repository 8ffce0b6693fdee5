"""Whether all that was asked is there to be scored, and nothing else."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from ..answers.parts import TrialParts
from ..answers.predictions import RequestMetaOnly
from ..core.errors import UserError
from ..core.records import SEPARATOR, ErrorRow, Item, Prediction, custom_id

_NAMED_AT_MOST = 5


def item_key(row: Prediction | ErrorRow) -> str:
    """`Item.key` of the item that a prediction or an error is about."""
    return f"{row.dataset}{SEPARATOR}{row.item_id}"


def asked(parts: TrialParts) -> Iterator[str]:
    """The custom_id of each request of a trial."""
    for condition, arm in parts.arms.items():
        for request in arm.requests(RequestMetaOnly):
            yield custom_id(
                request.dataset,
                request.item_id,
                condition,
                request.temp,
                request.sample_index,
                request.type,
            )


def check_complete(
    requests: Iterable[str],
    predictions: Iterable[Prediction],
    errors: Iterable[ErrorRow],
    items: Mapping[str, Item],
) -> None:
    """Check that each request has one prediction or one error, and its item is known.

    Args:
        requests: the custom_id of each request, see `asked`.
        predictions: the answered requests.
        errors: the failed ones.
        items: by `Item.key`. There may be more of them than are asked.

    Raises:
        UserError: naming what is missing, unknown or there twice.
    """
    requested = set(requests)
    found: Counter[str] = Counter()
    used: set[str] = set()
    for row in itertools.chain[Prediction | ErrorRow](predictions, errors):
        found[row.custom_id] += 1
        used.add(item_key(row))
    problems = [
        f"{len(names)} {what}: {_some(sorted(names))}"
        for what, names in (
            ("requests have neither a prediction nor an error", requested - found.keys()),
            ("predictions or errors were never asked for", found.keys() - requested),
            (
                "requests have more than one prediction or error",
                {name for name, times in found.items() if times > 1},
            ),
            ("items were asked but are not in the item files", used - items.keys()),
        )
        if names
    ]
    if problems:
        raise UserError(
            "\n".join(problems)
            + "\nScores of a part of the experiment would be compared as if they were the whole. "
            "Delete predictions.csv and errors.csv of this trial and run again: they are made "
            "anew from the answers that are stored."
        )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED_AT_MOST} more" if len(names) > _NAMED_AT_MOST else ""
    return ", ".join(names[:_NAMED_AT_MOST]) + more
