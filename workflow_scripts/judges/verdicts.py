"""Gather the verdicts on a trial's responses: verdicts.csv, one row per response and judge."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ..core.block import Block
from ..core.errors import UserError, command
from ..core.files import read_csv, read_jsonl, read_settings, write_csv
from ..core.records import Item, Prediction, RawLine, Record
from ..core.seals import SealWriter, add_seal_argument
from ..labels.matching import match
from ..labels.records import read_labels
from ..tasks.items import read_items
from .instruments import UNDECIDED
from .judged import judged
from .replies import verdict_in
from .settings import Measurement

PEOPLE = "people"
"""In the place of a judge's name: a label. No judge is called so."""

FAILED = "failed"
"""In the place of a verdict where the judge's request failed."""


class VerdictRow(Record):
    """One row of verdicts.csv: what a judge says of a response.

    ``digest`` names what a model was asked about; equal responses have one. ``again`` is the
    verdict when the judge was asked a second time; empty where it was not.
    """

    custom_id: str
    judge: str
    digest: str
    verdict: str
    again: str = ""


class AskedJudge(Block):
    """A judge with its raw parts about a trial."""

    judge: Measurement
    raw: list[str]


class VerdictsSettings(Block):
    """The judges of a trial by name.

    ``asked`` are models; ``files`` are files of verdicts, among them the labels of `PEOPLE`.
    ``arms``: the name of each condition's arm, which files may use.
    """

    asked: dict[str, AskedJudge]
    files: dict[str, str]
    arms: dict[str, str]


def verdicts(
    predictions: Sequence[Prediction], items: Mapping[str, Item], settings: VerdictsSettings
) -> Iterator[VerdictRow]:
    """Yield the verdicts on responses, those of a response together.

    Raises:
        UserError: a judge was not asked about a response, or a file does not fit.
    """
    replies = {name: _replies(each) for name, each in settings.asked.items()}
    matched = {
        name: match(read_labels(Path(file)), predictions, settings.arms).matched
        for name, file in settings.files.items()
    }
    for prediction in predictions:
        for name, of_file in matched.items():
            if (label := of_file.get(prediction.custom_id)) is not None:
                yield VerdictRow(
                    custom_id=prediction.custom_id,
                    judge=name,
                    digest="",
                    verdict=label.verdict or UNDECIDED,
                )
        for name, each in settings.asked.items():
            response = judged(prediction, items[prediction.item_key], each.judge.instrument())
            if response is None:
                continue
            of_response = replies[name].get((response.dataset, response.digest), {})
            if 0 not in of_response:
                raise UserError(
                    f"judge {name!r} was not asked about {prediction.custom_id!r}; delete its raw "
                    f"parts ({', '.join(each.raw[:1])} …) and run again: they are made again from "
                    "the journal"
                )
            yield VerdictRow(
                custom_id=prediction.custom_id,
                judge=name,
                digest=response.digest,
                verdict=of_response[0],
                again=of_response.get(1, ""),
            )


def _replies(asked: AskedJudge) -> dict[tuple[str, str], dict[int, str]]:
    """By data set and digest of a judged response, the verdict of each time of asking."""
    names = (*asked.judge.instrument().verdicts, UNDECIDED)
    found: dict[tuple[str, str], dict[int, str]] = {}
    for path in asked.raw:
        for line in read_jsonl(Path(path), RawLine):
            verdict = FAILED if line.error else verdict_in(line.response_text or "", names)
            found.setdefault((line.dataset, line.item_id), {})[line.sample_index] = verdict
    return found


@command
def main() -> None:
    """Write verdicts.csv of one trial."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--predictions", type=Path, required=True, help="predictions.csv")
    parser.add_argument("--items", type=Path, required=True, nargs="+", help="item files (JSONL)")
    parser.add_argument("--settings", type=Path, required=True, help="VerdictsSettings as JSON")
    parser.add_argument("--output", type=Path, required=True, help="verdicts.csv")
    add_seal_argument(parser)
    args = parser.parse_args()

    settings = read_settings(args.settings, VerdictsSettings)
    raw = [path for each in settings.asked.values() for path in each.raw]
    seal = SealWriter(args.seal, [args.predictions, *args.items, *raw, *settings.files.values()])
    predictions = list(read_csv(args.predictions, Prediction))
    rows = verdicts(predictions, read_items(args.items), settings)
    write_csv(args.output, VerdictRow, rows)
    seal.seal(args.output)


if __name__ == "__main__":
    main()
