"""Columns of a user's file under other names than ours: the key ``columns`` of a config."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from ..core import unique_keys
from .checks import decode
from .source import Source

_ALMOST = 0.8
"""How alike two names are of which one is probably a slip (`difflib`, 0 to 1)."""


class Columns:
    """Gives the columns of a file our names.

    Args:
        source: the file; its ``columns`` say what ours are called there.
        known: our names.

    Raises:
        UserError: ``columns`` has a name that is none of ours.
    """

    def __init__(self, source: Source, known: Collection[str]) -> None:
        self._source = source
        self._theirs = {name: source.columns.get(name, name) for name in known}
        self._unseen = set(source.columns.values())
        for name in source.columns:
            if name not in self._theirs:
                raise source.error("columns", f"{_unknown(name, known)}")

    def ours(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of a row by our names; other columns are left out."""
        if self._unseen:
            self._unseen.difference_update(row)
        theirs = self._theirs.items()
        return {name: row[called] for name, called in theirs if row.get(called) is not None}

    def called(self, name: str) -> str:
        """Return a column of ours as the file calls it."""
        return self._theirs[name]

    def check_found(self, place: str) -> None:
        """Check that each name of ``columns`` occurred.

        Raises:
            UserError: one did not.
        """
        if self._unseen:
            missing = ", ".join(sorted(self._unseen))
            raise self._source.error(place, f"no such column: {missing} (named in 'columns')")

    def check_slips(self, place: str, names: Iterable[str]) -> None:
        """Check that no column of the file has almost one of our names.

        Raises:
            UserError: one has; it would be left out in silence.
        """
        taken = set(self._theirs.values())
        for name in names:
            if name not in taken and name not in self._theirs:
                near = difflib.get_close_matches(name.strip().lower(), taken, n=1, cutoff=_ALMOST)
                if near and near[0] not in names:
                    problem = f"unknown column '{name}'; did you mean '{near[0]}'?"
                    raise self._source.error(place, problem)


def question_id(question: str) -> str:
    """Return an id for an item whose file has none: a digest of its question.

    Unlike a line number it stays the same when lines are added, removed or reordered.
    """
    return f"q-{hashlib.sha256(question.encode()).hexdigest()[:16]}"


def read_objects(source: Source) -> Iterator[tuple[str, dict[str, Any]]]:
    """Read a file of JSON lines; yield each object with its place. A blank line is an error."""
    with source.open() as stream:
        for number, line in enumerate(stream, start=1):
            place = f"line {number}"
            text = decode(source, line, first_line=number)
            try:
                row = unique_keys.parse(text)
            except unique_keys.RepeatedKeyError as error:
                raise source.error(place, str(error)) from error
            except json.JSONDecodeError as error:
                problem = f"not valid JSON ({error.msg}, column {error.colno})"
                if not text.strip():
                    problem = "the line is blank; every line is one record, so delete it"
                raise source.error(place, problem) from error
            if not isinstance(row, dict):
                raise source.error(place, "not a JSON object with columns")
            yield place, row


def _unknown(name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"they are {', '.join(known)}"
    return f"'{name}' is none of Assay's columns; {hint}"
