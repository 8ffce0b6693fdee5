"""The one JSON object of a response, as strictly as RFC 8259 and no reader guessing.

An object may have words or Markdown fences around it. What is left of braces in those words is no
object: one begins with ``{`` and a quoted name, or is ``{}``.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal

from .validation import MAX_DEPTH

Form = Literal["valid", "wrapped", "invalid", "truncated"]
"""What a response is as a whole.

``valid``
    One JSON object and nothing else but white space.
``wrapped``
    One JSON object with other text around it.
``truncated``
    The token limit cut it off before its object was complete.
``invalid``
    Anything else: no object, several, or one that is no JSON.
"""

_BEGINNING = re.compile(r'\{(?=\s*+["}])')
_TOKEN = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[{}\[\]]', re.DOTALL)


@dataclass(frozen=True)
class Reply:
    """A response as JSON.

    Attributes:
        form: what the response is.
        value: the object; ``None`` where there is none that can be read.
        problem: why there is none, for people; empty where there is one.
    """

    form: Form
    value: dict[str, Any] | None = None
    problem: str = ""


class _Unreadable(ValueError):  # noqa: N818 - a signal of this module
    """A response has no object that can be read; the message says why."""


def read_reply(text: str, *, cut_off: bool = False) -> Reply:
    """Read the one object of a response; whatever the text is, this neither raises nor hangs.

    Args:
        text: the response, without its reasoning.
        cut_off: whether the token limit ended it.
    """
    text = text.strip("\ufeff \t\r\n")
    try:
        start, end = _place(text)
        if end is None:
            problem = "no object" if start is None else "the object has no end"
            return Reply("truncated" if cut_off else "invalid", problem=problem)
        value = _parsed(text[start:end])
    except _Unreadable as error:
        return Reply("invalid", problem=str(error))
    return Reply("valid" if end - (start or 0) == len(text) else "wrapped", value)


def _place(text: str) -> tuple[int | None, int | None]:
    """Where the one object of a text begins and ends; ``None`` where it does not."""
    beginning = _BEGINNING.search(text)
    if beginning is None:
        return None, None
    start = beginning.start()
    end = _end_of(text, start)
    if end is None:
        return start, None
    if _BEGINNING.search(text, end):
        raise _Unreadable("several objects")
    if text[:start].rstrip().endswith("[") and text[end:].lstrip().startswith(("]", ",")):
        raise _Unreadable("a list in place of an object")
    return start, end


def _end_of(text: str, start: int) -> int | None:
    """Where the object that begins at ``start`` ends; ``None`` where it does not."""
    depth = 0
    for token in _TOKEN.finditer(text, start):
        if token[0] in "{[":
            depth += 1
            if depth > MAX_DEPTH:
                raise _Unreadable(f"nested more than {MAX_DEPTH} deep")
        elif token[0] in "}]":
            depth -= 1
            if depth == 0:
                return token.end()
    return None


def _parsed(text: str) -> dict[str, Any]:
    try:
        value: dict[str, Any] = json.loads(
            text, object_pairs_hook=_object, parse_constant=_constant, parse_float=_number
        )
    except json.JSONDecodeError as error:
        raise _Unreadable(f"no JSON ({error.msg}, line {error.lineno})") from error
    except _Unreadable:
        raise
    except ValueError as error:  # an integer of thousands of digits
        raise _Unreadable("a number is too large") from error
    if _SURROGATE.search(text) and _has_surrogate(value):
        raise _Unreadable("half of a surrogate pair is no character")
    return value


_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]|[\ud800-\udfff]")


def _has_surrogate(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise _Unreadable(f"the name {twice[:60]!r} is in one object twice")
    return found


def _constant(name: str) -> Any:
    raise _Unreadable(f"{name} is no JSON")


def _number(digits: str) -> float:
    number = float(digits)
    if number in (float("inf"), float("-inf")):
        raise _Unreadable("a number is too large")
    return number
