"""Remembers which parts have failed requests, so that the next run tries these again.

A part's error lines are an ordinary, finished output to Snakemake. To make it run the part once
more, the infer rule has `failed_attempts` as a parameter, and Snakemake re-runs a job whose
parameters changed: each attempt that leaves failures raises the number; one that leaves none
does not, so after it nothing is left to do.
"""

from __future__ import annotations

from pathlib import Path

from ..core.errors import UserError
from ..core.files import read_settings, write_record
from ..core.records import Record


class Failures(Record):
    """How many attempts have left failures, and the requests that failed in the last one."""

    failed_attempts: int
    failed: list[str]


def failures_path(raw_part: Path) -> Path:
    """The file beside a raw part that names its failed requests."""
    return raw_part.with_suffix(".failures.json")


def failed_attempts(raw_part: Path) -> int:
    """How many attempts at a raw part have left failed requests.

    Raises:
        UserError: the file that says so is damaged.
    """
    path = failures_path(raw_part)
    if not path.exists():
        return 0
    try:
        return read_settings(path, Failures).failed_attempts
    except UserError as error:
        raise UserError(
            f"{error}. Delete this file and start again: the part is looked at anew, and only "
            "what has no answer is sent."
        ) from error


def record_failures(raw_part: Path, custom_ids: list[str]) -> None:
    """Record the requests that an attempt at a raw part could not get answered."""
    path = failures_path(raw_part)
    if custom_ids or path.exists():
        attempts = failed_attempts(raw_part) + (1 if custom_ids else 0)
        write_record(path, Failures(failed_attempts=attempts, failed=custom_ids))
