"""An object compared with the expected one, field by field.

A field is a value that is no object and no list, or an empty one. Lists are compared by position.
Rules change that for the places that they name: see `Rules`.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping
from fractions import Fraction
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from ..metrics.normalisation import normalise
from ..schemas.subschemas import Path, pointer
from ..schemas.validation import identity
from .task import Mark

ANY_POSITION = "*"
"""What stands for every position of a list in the pointer of a rule."""


class Tolerance(BaseModel):
    """A number is right that is at most so far from the expected one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tolerance: float = Field(ge=0, allow_inf_nan=False)


Rule = Literal["ignore", "set", "normalised"] | Tolerance
"""``ignore``: the place does not count. ``set``: the entries of a list count in any order.
``normalised``: case, punctuation, articles, white space and the form of characters do not count."""


class _Absent:
    """The type of `ABSENT`."""

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT = _Absent()
"""In place of a value that an object does not have."""


class Compared(NamedTuple):
    """One field: what was expected there and what was given; one of them may be `ABSENT`."""

    path: Path
    expected: Any
    given: Any
    mark: Mark

    @property
    def place(self) -> str:
        """Its JSON pointer with ``*`` for positions, which is the same for all items."""
        return pointer(ANY_POSITION if isinstance(step, int) else step for step in self.path)


class Rules:
    """How single places are compared.

    Args:
        rules: by JSON pointer. ``*`` is every position of a list.

    Raises:
        ValueError: a pointer does not begin with ``/``.
    """

    def __init__(self, rules: Mapping[str, Rule]) -> None:
        self._rules = {parsed(place): rule for place, rule in rules.items()}

    def at(self, path: Path) -> Rule | None:
        """Return the rule for a place, if there is one."""
        if not self._rules:
            return None
        for steps, rule in self._rules.items():
            if len(steps) == len(path) and all(map(_fits, steps, path)):
                return rule
        return None

    def check(self, expected: Any, names: Iterable[str]) -> None:
        """Refuse rules that could never apply.

        Args:
            expected: the expected object.
            names: the names of the schema's properties.

        Raises:
            ValueError: a rule is for another kind of value, or its place has a wrong name.
        """
        known = set(names)
        for steps, rule in self._rules.items():
            place = pointer(steps)
            found = list(_at(expected, steps))
            last = next((step for step in reversed(steps) if step != ANY_POSITION), "")
            if not found and last not in known and not last.isdigit():
                raise ValueError(
                    f"rules: {place!r} is no place in the expected object, and the schema has no "
                    f"property {last!r}"
                )
            for value in found:
                if not _takes(rule, value):
                    raise ValueError(
                        f"rules: {_name(rule)} at {place!r} does not fit the expected value "
                        f"{value!r}"[:400]
                    )
        for steps, rule in self._rules.items():
            above = (self._rules.get(steps[:length]) for length in range(1, len(steps)))
            if isinstance(rule, Tolerance) and "set" in above:
                raise ValueError(
                    f"rules: no tolerance at {pointer(steps)!r}, because entries of a set are "
                    "right or not; compare the list by position"
                )


def compare(expected: Any, given: Any, rules: Rules) -> list[Compared]:
    """Return what became of each field of two objects, in the order of the expected one."""
    return list(_compared((), expected, given, rules))


def _compared(path: Path, expected: Any, given: Any, rules: Rules) -> Iterator[Compared]:
    rule = rules.at(path)
    if rule == "ignore":
        yield Compared(path, expected, given, "ignored")
    elif rule == "set" and isinstance(expected, list):
        yield from _set(path, expected, given, rules)
    elif _is_branch(expected) and (type(expected) is type(given) or given is ABSENT):
        for step, one, other in _pairs(expected, given):
            yield from _compared((*path, step), one, other, rules)
    elif expected is ABSENT and _is_branch(given):
        for step, _, other in _pairs(type(given)(), given):
            yield from _compared((*path, step), ABSENT, other, rules)
    elif _is_branch(expected):
        yield from _compared(path, expected, ABSENT, rules)
        yield Compared(path, ABSENT, given, "extra")
    else:
        yield Compared(path, expected, given, _mark(expected, given, rule))


def _set(path: Path, expected: list[Any], given: Any, rules: Rules) -> Iterator[Compared]:
    entries = given if isinstance(given, list) else []
    keys = [_key((*path, place), entry, rules) for place, entry in enumerate(entries)]
    left = Counter(keys)
    for place, entry in enumerate(expected):
        key = _key((*path, place), entry, rules)
        found = left[key] > 0
        left[key] -= found
        yield Compared((*path, place), entry, entry if found else ABSENT, _found(found))
    for place, (key, entry) in enumerate(zip(keys, entries, strict=True)):
        if left[key] > 0:
            left[key] -= 1
            yield Compared((*path, place), ABSENT, entry, "extra")
    if given is not ABSENT and not isinstance(given, list):
        yield Compared(path, ABSENT, given, "extra")


def _found(found: bool) -> Mark:
    return "right" if found else "missing"


def _is_branch(value: Any) -> bool:
    """Whether a value consists of others."""
    return isinstance(value, dict | list) and bool(value)


def _pairs(expected: Any, given: Any) -> Iterator[tuple[str | int, Any, Any]]:
    """The values of two objects or lists by name or position; `ABSENT` where one has none."""
    one, other = _steps(expected), _steps(given)
    for step, value in one.items():
        yield step, value, other.get(step, ABSENT)
    for step, value in other.items():
        if step not in one:
            yield step, ABSENT, value


def _steps(value: Any) -> dict[str | int, Any]:
    if isinstance(value, dict):
        return dict(value)
    return dict(enumerate(value)) if isinstance(value, list) else {}


def _mark(expected: Any, given: Any, rule: Rule | None) -> Mark:
    if given is ABSENT:
        return "missing"
    if expected is ABSENT:
        return "extra"
    return "right" if _equal(expected, given, rule) else "wrong"


def _equal(expected: Any, given: Any, rule: Rule | None) -> bool:
    if isinstance(rule, Tolerance) and _is_number(expected) and _is_number(given):
        # As the digits say: 1.1 is 0.1 from 1, which is not so of the floats.
        distance = abs(Fraction(str(expected)) - Fraction(str(given)))
        return distance <= Fraction(str(rule.tolerance))
    if rule == "normalised" and isinstance(expected, str) and isinstance(given, str):
        return _normalised(expected) == _normalised(given)
    return identity(expected) == identity(given)


def _key(path: Path, value: Any, rules: Rules) -> Hashable:
    """What two entries of a set have in common where they are equal by the rules."""
    rule = rules.at(path)
    if rule == "ignore":
        return None
    if isinstance(value, dict):
        inner = ((name, _key((*path, name), each, rules)) for name, each in value.items())
        return ("object", frozenset(inner))
    if isinstance(value, list):
        entries = [_key((*path, place), each, rules) for place, each in enumerate(value)]
        if rule == "set":
            return ("set", frozenset(Counter(entries).items()))
        return ("list", tuple(entries))
    if rule == "normalised" and isinstance(value, str):
        return _normalised(value)
    return identity(value)


def _normalised(text: str) -> Hashable:
    return normalise(unicodedata.normalize("NFKC", text)) or text.strip().casefold()


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _takes(rule: Rule, value: Any) -> bool:
    """Whether a rule can be applied to a value; null is allowed in place of each."""
    if value is None or rule == "ignore":
        return True
    if rule == "set":
        return isinstance(value, list)
    return isinstance(value, str) if rule == "normalised" else _is_number(value)


def _name(rule: Rule) -> str:
    return "tolerance" if isinstance(rule, Tolerance) else rule


def parsed(place: str) -> tuple[str, ...]:
    """Return the steps of a JSON pointer.

    Raises:
        ValueError: it is none, or the whole.
    """
    if not place.startswith("/"):
        raise ValueError(f"rules: {place!r} is no JSON pointer; write /name or /list/*/name")
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in place[1:].split("/"))


def _fits(step: str, taken: str | int) -> bool:
    return step == str(taken) or (step == ANY_POSITION and isinstance(taken, int))


def _at(value: Any, steps: tuple[str, ...]) -> Iterator[Any]:
    """The values at the places that a rule's pointer names."""
    if not steps:
        yield value
        return
    for taken, inner in _steps(value).items():
        if _fits(steps[0], taken):
            yield from _at(inner, steps[1:])
