"""Whether all that was asked is there to be scored, and nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from ..errors import UserError
from ..files import read_jsonl
from ..parse.parts import TrialParts
from ..parse.predictions import RequestMetaOnly
from ..records import SEPARATOR, ErrorRow, Item, Prediction, custom_id

_NAMED_AT_MOST = 5


def item_key(row: Prediction | ErrorRow) -> str:
    """`Item.key` of the item that a prediction or an error is about."""
    return f"{row.dataset}{SEPARATOR}{row.item_id}"


def asked(parts: TrialParts) -> Iterator[tuple[str, str]]:
    """The custom_id and the item key of each request of a trial."""
    for condition, names in parts.arms.items():
        for name in names:
            for request in read_jsonl(Path(parts.inputs_folder) / name, RequestMetaOnly):
                dataset, item_id = request.dataset, request.item_id
                yield (
                    custom_id(
                        dataset,
                        item_id,
                        condition,
                        request.temp,
                        request.sample_index,
                        request.type,
                    ),
                    f"{dataset}{SEPARATOR}{item_id}",
                )


def check_complete(
    requests: Iterable[tuple[str, str]],
    predictions: Sequence[Prediction],
    errors: Sequence[ErrorRow],
    items: Mapping[str, Item],
) -> None:
    """Check that each request has one prediction or one error, and each item its requests.

    Args:
        requests: custom_id and item key of each request, see `asked`.
        predictions: the answered requests.
        errors: the failed ones.
        items: what was to be asked, by `Item.key`.

    Raises:
        UserError: naming what is missing, unknown or there twice.
    """
    item_of = dict(requests)
    rows = Counter(row.custom_id for row in (*predictions, *errors))
    used = {item_key(row) for row in (*predictions, *errors)}
    problems = [
        f"{len(names)} {what}: {_some(sorted(names))}"
        for what, names in (
            ("requests have neither a prediction nor an error", item_of.keys() - rows.keys()),
            ("predictions or errors were never asked for", rows.keys() - item_of.keys()),
            (
                "requests have more than one prediction or error",
                {name for name, times in rows.items() if times > 1},
            ),
            ("items were asked but are not in the item files", used - items.keys()),
            ("items of the item files were never asked", items.keys() - set(item_of.values())),
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
