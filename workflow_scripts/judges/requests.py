"""Write what a judge is asked about a trial's responses as batch-input parts.

They are requests like all others: sent, journaled, resumed and paid for in the same way.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pydantic import Field

from ..core.block import Block
from ..core.errors import command
from ..core.files import read_csv, read_settings, write_jsonl
from ..core.prompts import FIELD, without_fields
from ..core.records import Decoding, Message, Prediction, Reasoning, Request, custom_id
from ..core.seals import SealWriter, seal_beside
from ..tasks.given import ArmRetrieval, Given, files_of
from ..tasks.items import read_items
from .instruments import UNDECIDED, Instrument
from .judged import Judged, asked_again, different
from .settings import Measurement

TEMP = "0.0"
"""Judges are asked at temperature 0."""


class JudgeSettings(Block):
    """A judge, and what its requests about one trial have in common.

    ``name``: the judge's. ``trial``: the name that the requests carry in the place of a prompt's.
    ``text``: the judge's instructions. ``enforced``: the backend holds replies to the schema.
    ``reasoning``: how much it thinks. ``retrievals``: of the trial's arms that search, if ``text``
    shows passages.
    """

    name: str
    judge: Measurement
    trial: str
    text: str
    enforced: bool
    parts: list[str]
    reasoning: Reasoning | None = Field(None, exclude_if=lambda given: given is None)
    retrievals: dict[str, ArmRetrieval] = Field(
        default_factory=dict, exclude_if=lambda arms: not arms
    )


def requests(responses: Sequence[Judged], settings: JudgeSettings) -> Iterator[Request]:
    """Yield what the judge is asked about some responses, some of them twice."""
    instrument = settings.judge.instrument()
    for each in responses:
        again = asked_again(each.digest, settings.judge.retest)
        orders = each.orders()
        for sample, values in enumerate(orders * 2 if again else orders):
            content = _filled(settings.text, values, instrument)
            yield Request(
                custom_id=custom_id(
                    each.dataset, each.digest, settings.trial, TEMP, sample, settings.name
                ),
                dataset=each.dataset,
                item_id=each.digest,
                prompt=settings.trial,
                temp=TEMP,
                sample_index=sample,
                type=settings.name,
                messages=[Message(role="user", content=content)],
                decoding=Decoding(
                    temperature=float(TEMP),
                    max_new_tokens=settings.judge.max_new_tokens,
                    seed=sample,
                    reasoning=settings.reasoning,
                    json_schema=_schema(instrument) if settings.enforced else None,
                ),
            )


def cut(responses: Sequence[Judged], parts: int) -> list[Sequence[Judged]]:
    """Cut responses into contiguous slices; with fewer of them than parts, some are empty."""
    bounds = [number * len(responses) // parts for number in range(parts + 1)]
    return [responses[start:stop] for start, stop in itertools.pairwise(bounds)]


def _filled(text: str, values: Mapping[str, str], instrument: Instrument) -> str:
    """The instructions with their fields filled in, in one pass: braces in a response stay.

    The paragraph of an optional field that the task does not have is left out.
    """
    text = without_fields(text, instrument.optional - values.keys())
    names = ", ".join(f'"{name}"' for name in (*instrument.verdicts, UNDECIDED))
    filled = {**values, "verdicts": names}
    return FIELD.sub(lambda found: filled.get(found[1], found[0]), text)


def _schema(instrument: Instrument) -> dict[str, object]:
    return {
        "type": "object",
        "properties": {"verdict": {"enum": [*instrument.verdicts, UNDECIDED]}},
        "required": ["verdict"],
        "additionalProperties": False,
    }


@command
def main() -> None:
    """Write one file per part: ``OUTPUT_STEM.p000.jsonl`` and so on."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--predictions", type=Path, required=True, help="predictions.csv")
    parser.add_argument("--items", type=Path, required=True, nargs="+", help="item files (JSONL)")
    parser.add_argument("--settings", type=Path, required=True, help="JudgeSettings as JSON")
    parser.add_argument("--output-stem", required=True)
    args = parser.parse_args()

    settings = read_settings(args.settings, JudgeSettings)
    stem = Path(args.output_stem)
    read = [args.predictions, *args.items, *files_of(settings.retrievals)]
    seal = SealWriter(seal_beside(stem, stem.name), read)
    responses = different(
        read_csv(args.predictions, Prediction),
        read_items(args.items),
        settings.judge.instrument(),
        Given(settings.retrievals),
    )
    outputs = [Path(f"{args.output_stem}.p{part}.jsonl") for part in settings.parts]
    for output, of_part in zip(outputs, cut(responses, len(outputs)), strict=True):
        write_jsonl(output, requests(of_part, settings))
    seal.seal(*outputs)


if __name__ == "__main__":
    main()
