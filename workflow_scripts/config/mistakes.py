"""What is wrong with a config, in words: where it is written, which key, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ..core.yaml_file import line_of
from .schema import Config

Location = tuple[str | int, ...]
"""The steps to a key: names of blocks and keys, and indices of list entries."""

Problem = tuple[Location, str]
"""The location of a key, and what is wrong with it."""

_MORE_KEYS_THAN_THIS_ARE_NOT_LISTED = 12

_PLAIN_WORDS = {
    "missing": "this key is required",
    "model_type": "expected a block of keys with values",
    "dict_type": "expected a block of keys with values",
    "list_type": "expected a list",
    "string_type": "expected text; put a number in quotes",
    "too_short": "at least one is needed",
}
"""pydantic's kinds of errors whose own words are about Python."""


class Sources:
    """Where a config comes from: finds the file and line of a key.

    Args:
        files: in the order in which each overrides those before it.
        overrides: what the command line said.
        variables: environment variables that replaced keys, by key.
    """

    def __init__(
        self, files: Sequence[Path], overrides: Mapping[str, Any], variables: Mapping[str, str]
    ) -> None:
        self.files = files
        self.overrides = overrides
        self.variables = variables

    def message(self, location: Sequence[str | int], problem: str) -> str:
        """One line: where, which key, what."""
        key = ".".join(str(step) for step in location if step != "[key]")
        return f"{self._where(location)}: {key + ': ' if key else ''}{problem}"

    def _where(self, location: Sequence[str | int]) -> str:
        """``file, line N`` of the key at ``location``; of what is nearest to it if it is absent."""
        key = str(location[0]) if location else ""
        if key in self.variables:
            return f"environment variable {self.variables[key]}"
        deepest, place = 0, ", ".join(str(_relative(path)) for path in self.files) or "config"
        for path in self.files:
            depth, line = line_of(path, location)
            if depth and depth >= deepest:
                deepest, place = depth, f"{_relative(path)}, line {line}"
        if key in self.overrides and _depth(self.overrides, location) >= deepest:
            place = "command line (--config)"
        return place


def explain(error: ValidationError, sources: Sources) -> str:
    """All that the schema finds wrong, a line each."""
    problems: dict[Location, list[str]] = {}
    for detail in error.errors():
        location, _ = _in_schema(detail["loc"])
        problems.setdefault(location, []).append(_problem(detail))
    return "\n".join(
        sources.message(location, " or ".join(each)) for location, each in problems.items()
    )


def _problem(detail: ErrorDetails) -> str:
    location, kind, given = detail["loc"], detail["type"], detail["input"]
    if kind == "extra_forbidden":
        _, block = _in_schema(location[:-1])
        return _unknown_key(str(location[-1]), list(block.model_fields))
    problem = _PLAIN_WORDS.get(kind, detail["msg"].removeprefix("Value error, "))
    if given is None:
        return f"{problem} (it is empty)"
    # Blocks and lists are too long to repeat, and addresses may hold secrets.
    scalar = isinstance(given, str | int | float)
    if scalar and "://" not in str(given) and repr(given) not in problem:
        return f"{problem} (it is {given!r})"
    return problem


def _unknown_key(name: str, known: list[str]) -> str:
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {nearest[0]!r}? " if nearest else ""
    if len(known) > _MORE_KEYS_THAN_THIS_ARE_NOT_LISTED:
        return f"unknown key; {hint}All keys are described in docs/config.md"
    return f"unknown key; {hint}Known keys here: {', '.join(known)}"


def _in_schema(location: Location) -> tuple[Location, Any]:
    """The steps of pydantic's ``location`` that are keys or indices, and the type they lead to.

    The others are pydantic's names for the members of a union.
    """
    steps: list[str | int] = []
    expected: Any = Config
    for step in location:
        if isinstance(expected, type) and issubclass(expected, BaseModel):
            field = expected.model_fields.get(str(step))
            expected = field.annotation if field else None
        elif get_origin(expected) in (dict, list):
            expected = get_args(expected)[-1]
        elif step != "[key]":
            continue
        expected = _without_none(expected)
        steps.append(step)
    return tuple(steps), expected


def _without_none(annotation: Any) -> Any:
    """What an annotation is about, without metadata and without ``| None``."""
    if get_origin(annotation) is Annotated:
        return _without_none(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        members = [each for each in get_args(annotation) if each is not NoneType]
        return _without_none(members[0]) if len(members) == 1 else annotation
    return annotation


def there_are(name: str, known: Collection[str]) -> str:
    """What could have been meant by a name, and which names there are."""
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"; did you mean {nearest[0]!r}?" if nearest else ";"
    return f"{hint} there are {list(known)}"


def _relative(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _depth(values: Any, location: Sequence[str | int]) -> int:
    """How many steps of ``location`` lead to something in ``values``."""
    for depth, step in enumerate(location):
        if isinstance(values, Mapping) and step in values:
            values = values[step]
        elif isinstance(values, list) and step in range(len(values)):
            values = values[int(step)]
        else:
            return depth
    return len(location)
