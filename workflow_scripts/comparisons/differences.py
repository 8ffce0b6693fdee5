"""What the requests of two arms differ in, item by item: differences.json.

A trial is about what its arms are declared to differ in. Anything else that differs between their
requests would be measured with it, so it stops the run.
"""

from __future__ import annotations

import argparse
import itertools
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import Field

from ..answers.parts import ArmParts, TrialParts
from ..answers.predictions import RequestMetaOnly
from ..config.trial import INSTRUCTION
from ..core.block import Block
from ..core.errors import UserError, command
from ..core.files import read_settings, write_record
from ..core.prompts import CONTROL
from ..core.records import Decoding, Request
from ..core.seals import SealWriter, add_seal_argument

SCHEMA_VERSION = 1

SCHEMA = "json schema"
"""What options of a task can change beside the instruction: the schema that answers must obey."""


class DifferencesSettings(Block):
    """The parts of a trial, and by treatment what it is declared to differ in from the control.

    ``who``: what of it differs in who is asked, which requests do not tell.
    """

    parts: TrialParts
    declared: dict[str, list[str]]
    who: dict[str, list[str]]


class Difference(Block):
    """What one treatment's requests differ in from the control's.

    ``requests``: how many there are in each arm. ``differing``: by what differs, in how many of
    them. ``declared``: what the config says that they differ in.
    """

    requests: int
    differing: dict[str, int]
    declared: list[str]


class Differences(Block):
    """differences.json: what each treatment differs in from the control."""

    schema_version: int = SCHEMA_VERSION
    treatments: dict[str, Difference] = Field(default_factory=dict)


def differences(settings: DifferencesSettings) -> Differences:
    """Compare each treatment's requests with the control's.

    Raises:
        UserError: they differ in something that is not declared, or ask other items.
    """
    arms = settings.parts.arms
    found = {
        condition: _of_files(arm)
        if arm.answers or arms[CONTROL].answers
        else _difference(condition, arms[CONTROL], arm, settings)
        for condition, arm in arms.items()
        if condition != CONTROL
    }
    return Differences(treatments=found)


def _of_files(treatment: ArmParts) -> Difference:
    """Where answers come from a file, nobody knows more of what was asked."""
    n_requests = sum(1 for _ in treatment.requests(RequestMetaOnly))
    what = "answers"
    return Difference(requests=n_requests, differing={what: n_requests}, declared=[what])


def _difference(
    condition: str, control: ArmParts, treatment: ArmParts, settings: DifferencesSettings
) -> Difference:
    counted: Counter[str] = Counter()
    declared = settings.declared[condition]
    n_requests = 0
    for one, other in _pairs(control, treatment):
        n_requests += 1
        for name in differing(one, other):
            if name not in declared and not (name == SCHEMA and INSTRUCTION in declared):
                raise UserError(
                    f"{other.custom_id!r} of {condition!r} differs from the control's request in "
                    f"its {name}, and the config declares no such difference"
                    f"{': only ' + ', '.join(declared) if declared else ''}. If a file of "
                    f"{treatment.inputs_folder} or {control.inputs_folder} was edited, delete it "
                    "and run again; otherwise the task makes other requests in one of the arms"
                )
            counted[name] += 1
    counted.update(dict.fromkeys(settings.who[condition], n_requests))
    return Difference(requests=n_requests, differing=dict(counted), declared=declared)


def _pairs(control: ArmParts, treatment: ArmParts) -> Iterator[tuple[Request, Request]]:
    pairs = itertools.zip_longest(control.requests(Request), treatment.requests(Request))
    for one, other in pairs:
        if one is None or other is None or _asked(one) != _asked(other):
            raise UserError(
                f"the arms ask other items: {control.inputs_folder} has "
                f"{one.custom_id if one else 'no further request'!r} where "
                f"{treatment.inputs_folder} has "
                f"{other.custom_id if other else 'no further request'!r}. Delete both arms' files "
                "there and run again"
            )
        yield one, other


def _asked(request: Request) -> Mapping[str, object]:
    return request.model_dump(include={"dataset", "item_id", "temp", "sample_index", "type"})


def differing(one: Request, other: Request) -> Iterator[str]:
    """What two requests for one sample differ in, as a reader calls it (see `Arm.asks`)."""
    roles = ("system prompt", "system"), (INSTRUCTION, None)
    for name, role in roles:
        texts = (
            [
                (each.role, each.content)
                for each in request.messages
                if (each.role == "system") == (role == "system")
            ]
            for request in (one, other)
        )
        if next(texts) != next(texts):
            yield name
    for name in Decoding.model_fields:
        if getattr(one.decoding, name) != getattr(other.decoding, name):
            yield name.replace("_", " ")


@command
def main() -> None:
    """Write differences.json of one trial."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--settings", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    add_seal_argument(parser)
    args = parser.parse_args()

    settings = read_settings(args.settings, DifferencesSettings)
    seal = SealWriter(args.seal, settings.parts.input_files())
    write_record(args.output, differences(settings))
    seal.seal(args.output)


if __name__ == "__main__":
    main()
