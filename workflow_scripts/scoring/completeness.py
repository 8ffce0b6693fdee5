"""Whether all that was asked is there to be scored, and nothing else."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from ..core.errors import UserError
from ..core.records import Answer, ErrorRow, Item, Prediction

_NAMED_AT_MOST = 5


def check_complete(
    asked: Iterable[Answer],
    predictions: Iterable[Prediction],
    errors: Iterable[ErrorRow],
    items: Mapping[str, Item],
) -> None:
    """Check that each request has one prediction or one error, and its item is known.

    Args:
        asked: all requests of the trial.
        predictions: the answered requests.
        errors: the failed ones.
        items: by `Item.key`. There may be more of them than are asked.

    Raises:
        UserError: naming what is missing, unknown or there twice.
    """
    requested = {row.custom_id for row in asked}
    found: Counter[str] = Counter()
    used: set[str] = set()
    for row in itertools.chain[Prediction | ErrorRow](predictions, errors):
        found[row.custom_id] += 1
        used.add(row.item_key)
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
            "again from the raw parts."
        )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED_AT_MOST} more" if len(names) > _NAMED_AT_MOST else ""
    return ", ".join(names[:_NAMED_AT_MOST]) + more
