"""Gather the raw parts of a trial into predictions.csv and errors.csv."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..core.errors import UserError, command
from ..core.files import read_settings, write_csv
from ..core.records import ErrorRow, Prediction, RawLine, RequestMeta, custom_id
from ..core.seals import SealWriter, add_seal_argument
from .parts import ParseSettings, TrialParts

_NAMED_AT_MOST = 5
_ANSWER = ("request_id", "finish_reason", "response_text")
_USAGE = {"prompt_tokens", "completion_tokens", "total_tokens"}


def check_complete(parts: TrialParts) -> None:
    """Check that the raw parts answer exactly the requests, each once.

    Raises:
        UserError: naming duplicated, missing and unknown ids.
    """
    asked = set(_asked(parts))
    answered: set[tuple[str, str]] = set()
    for condition, line in parts.raw_lines():
        key = (condition, line.custom_id)
        if key in answered:
            raise UserError(f"{parts.answers_at}: custom_id {line.custom_id!r} occurs twice")
        answered.add(key)
    for problem, keys in (
        ("have no raw line", asked - answered),
        ("were never asked", answered - asked),
    ):
        if keys:
            raise UserError(
                f"{parts.answers_at}: {len(keys)} requests {problem}: "
                f"{_some(sorted(each for _, each in keys))}. "
                "Delete the raw part they belong to; it is made again from the journal."
            )


def _asked(parts: TrialParts) -> Iterator[tuple[str, str]]:
    for condition, arm in parts.arms.items():
        for request in arm.requests(RequestMetaOnly):
            yield condition, request.custom_id


def check_failures(settings: ParseSettings) -> None:
    """Check that not too many of a trial's requests failed.

    Raises:
        UserError: how many did, and the most frequent reason.
    """
    reasons: Counter[str] = Counter()
    asked = 0
    for _, line in settings.parts.raw_lines():
        asked += 1
        if line.error is not None:
            reasons[line.error.message] += 1
    failed = reasons.total()
    if failed > settings.max_failure_share * asked:
        ((reason, _),) = reasons.most_common(1)
        raise UserError(
            f"{settings.parts.answers_at}: {failed} of {asked} requests failed, more than "
            f"max_failure_share={settings.max_failure_share:g} allows. Most often: {reason}. "
            "Mend the cause and start again: only failed requests are sent; or raise "
            "max_failure_share."
        )


class RequestMetaOnly(RequestMeta):
    """A request's metadata, read from its line without building messages and parameters."""

    model_config = RequestMeta.model_config | {"extra": "ignore"}


def predictions(parts: TrialParts) -> Iterator[Prediction]:
    """One row for each answered request of the trial, under the condition its prompt stands for."""
    for condition, line in parts.raw_lines():
        if line.error is None:
            answer = {name: getattr(line, name) for name in _ANSWER}
            usage = line.usage.model_dump(include=_USAGE) if line.usage else {}
            yield Prediction(**_identity(condition, line), **answer, **usage)


def errors(parts: TrialParts) -> Iterator[ErrorRow]:
    """One row for each request of the trial that has no answer."""
    for condition, line in parts.raw_lines():
        if line.error is not None:
            yield ErrorRow(
                **_identity(condition, line),
                error_type=line.error.type,
                error_message=line.error.message,
            )


def _identity(condition: str, line: RawLine) -> dict[str, Any]:
    copied = line.model_dump(include={"dataset", "item_id", "temp", "sample_index", "type"})
    named = custom_id(
        line.dataset, line.item_id, condition, line.temp, line.sample_index, line.type
    )
    return {"custom_id": named, "condition": condition, **copied}


def _some(ids: list[str]) -> str:
    more = f" and {len(ids) - _NAMED_AT_MOST} more" if len(ids) > _NAMED_AT_MOST else ""
    return ", ".join(ids[:_NAMED_AT_MOST]) + more


@command
def main() -> None:
    """Write predictions.csv and errors.csv of one trial."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--settings", type=Path, required=True)
    parser.add_argument("--predictions", type=Path, required=True)
    parser.add_argument("--errors", type=Path, required=True)
    add_seal_argument(parser)
    args = parser.parse_args()

    settings = read_settings(args.settings, ParseSettings)
    parts = settings.parts
    seal = SealWriter(args.seal, parts.input_files() + parts.raw_files())
    check_complete(parts)
    check_failures(settings)
    write_csv(args.predictions, Prediction, predictions(parts))
    write_csv(args.errors, ErrorRow, errors(parts))
    seal.seal(args.predictions, args.errors)


if __name__ == "__main__":
    main()
