"""JSON that people write: a key that one object has twice is an error.

JSON readers keep the last value and drop the others without a word.
"""

from __future__ import annotations

import json
import re
from typing import Any

_TOKEN = re.compile(r'("(?:[^"\\]|\\.)*")(\s*:)?|[{}]')


class RepeatedKeyError(ValueError):
    """A key that one object has twice.

    Args:
        key: the key.
        line: of its second place in the text, from 1.
    """

    def __init__(self, key: str, line: int) -> None:
        super().__init__(f"the key {key[:80]!r} appears twice in one object; delete one of the two")
        self.key = key
        self.line = line


def parse(text: str) -> Any:
    """Return the value of a text in JSON.

    Raises:
        JSONDecodeError: it is not JSON.
        RepeatedKeyError: an object has a key twice.
    """
    repeated = False

    def as_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal repeated
        found = dict(pairs)
        repeated |= len(found) < len(pairs)
        return found

    value = json.loads(text, object_pairs_hook=as_object)
    if repeated:
        raise _first(text)
    return value


def _first(text: str) -> RepeatedKeyError:
    """The first repeated key of a text that has one."""
    open_objects: list[set[str]] = []
    for token in _TOKEN.finditer(text):
        if token[0] == "{":
            open_objects.append(set())
        elif token[0] == "}":
            open_objects.pop()
        elif token[2] is not None:
            key = json.loads(token[1], strict=False)
            if key in open_objects[-1]:
                return RepeatedKeyError(key, text.count("\n", 0, token.start()) + 1)
            open_objects[-1].add(key)
    raise AssertionError("no key is repeated")
