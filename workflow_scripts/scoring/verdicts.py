"""Gather the verdicts on a trial's responses: verdicts.csv, one row per response and judge."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pydantic import Field

from ..answers.imported import match as match_answers
from ..answers.parts import ArmParts
from ..core.block import Block
from ..core.errors import UserError, command
from ..core.files import read_csv, read_settings, write_csv
from ..core.recorded import AnswersFile
from ..core.records import Item, Prediction, Record
from ..core.seals import SealWriter, add_seal_argument
from ..datasets.answer_formats import read_answers
from ..judges.instruments import FAILED, UNDECIDED
from ..judges.judged import judged
from ..judges.replies import verdict_in
from ..judges.settings import Measurement
from ..labels.matching import match
from ..labels.records import read_labels
from ..tasks.given import ArmRetrieval, Given, files_of
from ..tasks.items import each_item

PEOPLE = "people"
"""In the place of a judge's name: a label. No judge is called so."""


class VerdictRow(Record):
    """One row of verdicts.csv: what a judge says of a response.

    ``digest`` names what a model was asked about; equal responses have one. ``again`` is the
    verdict when the judge was asked a second time, empty where it was not; of a pair, what it said
    of the response where that was shown first and where second, such as ``preferred/tie``.
    ``probability``: of a label, the chance with which its item was drawn; empty where all had the
    same.
    """

    custom_id: str
    judge: str
    digest: str
    verdict: str
    again: str = ""
    probability: float | None = None


class AskedJudge(Block):
    """A judge, and its parts about a trial.

    ``retrievals``: of the trial's arms that search, if the judge's prompt shows passages.
    """

    judge: Measurement
    parts: ArmParts
    retrievals: dict[str, ArmRetrieval] = Field(
        default_factory=dict, exclude_if=lambda arms: not arms
    )


class VerdictsSettings(Block):
    """The judges of a trial by name.

    ``asked`` are models; ``files`` are files of verdicts, among them the labels of `PEOPLE`.
    ``trial``: its name; labels of other trials do not count here.
    ``arms``: the name of each condition's arm, which files may use. ``answers``: by condition, the
    file that its answers come from, which may have people's verdicts too.
    """

    asked: dict[str, AskedJudge]
    files: dict[str, str]
    arms: dict[str, str]
    answers: dict[str, AnswersFile]
    trial: str | None = None


def verdicts(
    predictions: Sequence[Prediction],
    by_task: Mapping[str, Sequence[Item]],
    settings: VerdictsSettings,
) -> Iterator[VerdictRow]:
    """Yield the verdicts on responses: of people, then of each judge.

    Args:
        predictions: the trial's responses.
        by_task: the items.
        settings: who judges.

    Raises:
        UserError: a judge was not asked about a response, or a file does not fit.
    """
    matched = {
        name: match(read_labels(Path(file)), predictions, settings.arms, settings.trial).matched
        for name, file in settings.files.items()
    }
    in_answers = _in_answers(by_task, settings.answers)
    items = {item.key: item for of_task in by_task.values() for item in of_task}
    for prediction in predictions:
        for name, of_file in matched.items():
            if (label := of_file.get(prediction.custom_id)) is not None:
                yield VerdictRow(
                    custom_id=prediction.custom_id,
                    judge=name,
                    digest="",
                    verdict=label.verdict or UNDECIDED,
                    probability=label.probability,
                )
        place = prediction.condition, prediction.item_key, prediction.sample_index
        said = in_answers.get(place)
        if said is not None and prediction.custom_id not in matched.get(PEOPLE, {}):
            verdict = UNDECIDED if said == "unsure" else said
            yield VerdictRow(
                custom_id=prediction.custom_id, judge=PEOPLE, digest="", verdict=verdict
            )
    for name, each in settings.asked.items():
        yield from _said(name, each, predictions, items)


def _said(
    name: str, asked: AskedJudge, predictions: Sequence[Prediction], items: Mapping[str, Item]
) -> Iterator[VerdictRow]:
    """Yield what one judge says of responses."""
    instrument, replies = asked.judge.instrument(), _replies(asked)
    for roles, about in judged(predictions, items, instrument, Given(asked.retrievals)):
        found = replies.get((about.dataset, about.digest), {})
        if not set(range(instrument.n_orders)) <= found.keys():
            raw = asked.parts.raw_files()[0]
            raise UserError(
                f"judge {name!r} was not asked about {next(iter(roles))!r}; delete its raw parts "
                f"({raw} …) and run again: the journal makes them again"
            )
        for custom_id, place in roles.items():
            verdict, again = instrument.resolved(found, place)
            yield VerdictRow(
                custom_id=custom_id, judge=name, digest=about.digest, verdict=verdict, again=again
            )


def _in_answers(
    by_task: Mapping[str, Sequence[Item]], files: Mapping[str, AnswersFile]
) -> dict[tuple[str, str, int], str]:
    """By condition, item and sample: people's verdicts in the files that answers come from."""
    found: dict[tuple[str, str, int], str] = {}
    for condition, file in files.items():
        matched = match_answers(read_answers(file), by_task, file)
        for key, answers in matched.answers.items():
            for number, answer in enumerate(answers):
                if answer.verdict is not None:
                    found[condition, key, answer.sample_index or number] = answer.verdict
    return found


def _replies(asked: AskedJudge) -> dict[tuple[str, str], dict[int, str]]:
    """By data set and digest of a judged response, the verdict of each time of asking."""
    names = (*asked.judge.instrument().verdicts, UNDECIDED)
    found: dict[tuple[str, str], dict[int, str]] = {}
    for line in asked.parts.raw_lines():
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
    raw = [path for each in settings.asked.values() for path in each.parts.raw_files()]
    files = [*settings.files.values(), *(file.path for file in settings.answers.values())]
    given = {file for each in settings.asked.values() for file in files_of(each.retrievals)}
    seal = SealWriter(args.seal, [args.predictions, *args.items, *raw, *files, *sorted(given)])
    predictions = list(read_csv(args.predictions, Prediction))
    by_task = {path.stem: list(each_item([path])) for path in args.items}
    rows = verdicts(predictions, by_task, settings)
    write_csv(args.output, VerdictRow, rows)
    seal.seal(args.output)


if __name__ == "__main__":
    main()
