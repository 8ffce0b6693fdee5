"""How often answers change when the same requests are sent again: retest.json of a trial.

A difference between arms that is no larger than this share may be the model's own.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

from ..core.errors import command
from ..core.files import read_jsonl, read_settings, write_record
from ..core.records import RawLine, ResultFile
from ..core.seals import SealWriter, add_seal_argument
from ..stats.shares import counted_share
from .settings import RetestSettings
from .spent import Spent, spent_on, total

SCHEMA_VERSION = 1

_SHOWN_CHANGES = 50
_TEMP = re.compile(r"\.t([0-9.]+)\.p")


class Change(ResultFile):
    """An answer that changed; ``how`` has the finish reasons where these differ."""

    custom_id: str
    condition: str
    first: str
    again: str
    how: str


class Retested(ResultFile):
    """One raw part of requests that were sent again; ``failed`` ones lack one of both answers."""

    condition: str
    backend: str
    model: str
    decoding: str
    file: str
    temp: str
    compared: int
    changed: int
    failed: int
    spent: Spent


class RetestedModel(ResultFile):
    """All of them of one model at one temperature, with Wilson's interval of the share."""

    backend: str
    model: str
    temp: str
    compared: int
    changed: int
    failed: int
    share: float | None
    ci_low: float | None
    ci_high: float | None
    spent: Spent


class Retest(ResultFile):
    """retest.json of a trial; ``changes_left_out``: changes beyond those that are listed."""

    schema_version: int = SCHEMA_VERSION
    confidence: float
    parts: list[Retested]
    models: list[RetestedModel]
    changes: list[Change]
    changes_left_out: int


def retest(settings: RetestSettings) -> Retest:
    """Return how the answers of a trial's arms changed."""
    parts: list[Retested] = []
    changes: list[Change] = []
    for condition, arm in settings.arms.items():
        again = {name: _lines(arm.again.raw_folder, name) for name in arm.again.names}
        wanted = {line.custom_id for lines in again.values() for line in lines}
        first = {
            line.custom_id: line
            for line in arm.first.raw_lines()
            if line.custom_id in wanted and line.error is None
        }
        for name, lines in again.items():
            pairs = [
                (first[line.custom_id], line)
                for line in lines
                if line.error is None and line.custom_id in first
            ]
            found = [change for each in pairs if (change := _change(condition, *each)) is not None]
            changes += found
            parts.append(
                Retested(
                    condition=condition,
                    backend=arm.backend,
                    model=arm.model,
                    decoding=arm.decoding,
                    file=name,
                    temp=_TEMP.findall(name)[-1],
                    compared=len(pairs),
                    changed=len(found),
                    failed=len(lines) - len(pairs),
                    spent=spent_on([f"{arm.again.raw_folder}/{name}"], arm.quote),
                )
            )
    return Retest(
        confidence=settings.confidence,
        parts=parts,
        models=by_model(parts, settings.confidence),
        changes=changes[:_SHOWN_CHANGES],
        changes_left_out=max(0, len(changes) - _SHOWN_CHANGES),
    )


def by_model(parts: Iterable[Retested], confidence: float) -> list[RetestedModel]:
    """Sum parts up by model and temperature; one that arms or trials share counts once."""
    once = {(each.backend, each.model, each.temp, each.decoding, each.file): each for each in parts}
    found = []
    for (backend, model, temp), group in groupby(sorted(once.items()), key=lambda it: it[0][:3]):
        of_model = [each for _, each in group]
        compared = sum(each.compared for each in of_model)
        changed = counted_share(sum(each.changed for each in of_model), compared, confidence)
        spent = [each.spent for each in of_model]
        found.append(
            RetestedModel(
                backend=backend,
                model=model,
                temp=temp,
                compared=compared,
                changed=changed.count,
                failed=sum(each.failed for each in of_model),
                share=changed.share,
                ci_low=changed.ci_low,
                ci_high=changed.ci_high,
                spent=Spent(
                    requests=sum(each.requests for each in spent),
                    prompt_tokens=total([each.prompt_tokens for each in spent]),
                    completion_tokens=total([each.completion_tokens for each in spent]),
                    cost_usd=total([each.cost_usd for each in spent]),
                ),
            )
        )
    return found


def _lines(folder: str, name: str) -> list[RawLine]:
    return list(read_jsonl(Path(folder, name), RawLine))


def _change(condition: str, first: RawLine, again: RawLine) -> Change | None:
    one, other = first.completion(), again.completion()
    ends_alike = one.finish_reason == other.finish_reason
    if ends_alike and one.response_text == other.response_text:
        return None
    return Change(
        custom_id=first.named(condition),
        condition=condition,
        first=one.response_text,
        again=other.response_text,
        how="" if ends_alike else f"{one.finish_reason}, then {other.finish_reason}",
    )


@command
def main() -> None:
    """Compare the answers to requests that were sent twice."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--settings", type=Path, required=True, help="RetestSettings as JSON")
    parser.add_argument("--output", type=Path, required=True, help="retest.json")
    add_seal_argument(parser)
    arguments = parser.parse_args()
    settings = read_settings(arguments.settings, RetestSettings)
    arms = settings.arms.values()
    read = {name for arm in arms for parts in (arm.first, arm.again) for name in parts.raw_files()}
    seal = SealWriter(arguments.seal, sorted(read))
    write_record(arguments.output, retest(settings))
    seal.seal(arguments.output)


if __name__ == "__main__":
    main()
