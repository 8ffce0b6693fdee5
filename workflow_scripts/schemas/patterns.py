"""Patterns of JSON Schema (ECMA-262) as `regex` understands them, with a time limit.

The dialects differ where it decides verdicts: in Python ``$`` also matches before a last line
break, and ``\\d`` and ``\\w`` match digits and letters of all scripts.
"""

from __future__ import annotations

from functools import lru_cache

import regex

TIME_LIMIT_S = 1.0
"""Seconds of computing time for one text. A pattern that needs more repeats repetitions."""

_SPACE = r"\t-\r \xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"
_SHORTHANDS = {"d": "0-9", "w": "A-Za-z0-9_", "s": _SPACE}
_LETTERS = frozenset("bBfnrtvkpPxu")
"""Letters that mean something behind a backslash, besides the shorthands and ``c``."""

_ESCAPE = regex.compile(
    r"\\(?:u\{(?P<code>[0-9A-Fa-f]{1,6})\}"
    r"|u(?P<high>[dD][89abAB][0-9A-Fa-f]{2})\\u(?P<low>[dD][c-fC-F][0-9A-Fa-f]{2})"
    r"|c(?P<control>[A-Za-z])|k<(?P<name>\w+)>|0(?![0-9])|(?P<other>.))",
    regex.DOTALL,
)


class PatternError(ValueError):
    """A pattern cannot be used; the message says why."""


class SlowPatternError(Exception):
    """A pattern took longer than the limit on a text."""

    def __init__(self, pattern: str) -> None:
        super().__init__(pattern)
        self.pattern = pattern


@lru_cache(maxsize=4096)
def compiled(pattern: str) -> regex.Pattern[str]:
    """Return a pattern of JSON Schema, compiled.

    Raises:
        PatternError: it is no regular expression.
    """
    try:
        return regex.compile(translated(pattern), regex.V1)
    except (regex.error, RecursionError, OverflowError) as error:
        raise PatternError(f"no regular expression of ECMA-262 ({error})") from error


def found(pattern: str, text: str) -> bool:
    """Return whether a pattern matches somewhere in a text.

    Raises:
        PatternError: it is no regular expression.
        SlowPatternError: it takes more than `TIME_LIMIT_S`.
    """
    try:
        return compiled(pattern).search(text, timeout=TIME_LIMIT_S) is not None
    except TimeoutError as error:
        raise SlowPatternError(pattern) from error


def translated(pattern: str, *, end: str = r"\Z") -> str:
    """Return a pattern in the dialect of `regex` (version 1); ``end`` is the end of a text there.

    Raises:
        PatternError: it is no regular expression.
    """
    parts: list[str] = []
    place, in_class = 0, False
    while place < len(pattern):
        character = pattern[place]
        if character == "\\":
            escape = _ESCAPE.match(pattern, place)
            if escape is None:
                raise PatternError("no regular expression of ECMA-262 (a backslash at its end)")
            parts.append(_escape(escape, in_class=in_class))
            place = escape.end()
            continue
        if in_class:
            in_class = character != "]"
            # Version 1 would read them as nested sets and operators on sets.
            parts.append(f"\\{character}" if character in "[&|~" else character)
        elif character == "[":
            in_class = True
            negated = pattern.startswith("^", place + 1)
            parts.append("[^" if negated else "[")
            place += negated
            if pattern.startswith("]", place + 1):
                raise PatternError("an empty set in brackets")
        elif character == "$":
            parts.append(end)
        elif character == ".":
            parts.append(r"[^\n\r\u2028\u2029]")
        elif pattern.startswith(("(?", "*+", "++", "?+", "}+"), place) and not pattern.startswith(
            ("(?:", "(?=", "(?!", "(?<"), place
        ):
            raise PatternError(f"no regular expression of ECMA-262 ({pattern[place : place + 3]})")
        else:
            parts.append(character)
        place += 1
    return "".join(parts)


def _escape(escape: regex.Match[str], *, in_class: bool) -> str:
    """Return an escape in the dialect of `regex`."""
    match escape.lastgroup:
        case "code":
            return _character(int(escape["code"], 16))
        case "low":
            high, low = int(escape["high"], 16), int(escape["low"], 16)
            return _character(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))
        case "control":
            return _character(ord(escape["control"]) % 32)
        case "name":
            return f"(?P={escape['name']})"
        case "other":
            return _letter(escape["other"], in_class=in_class)
    return r"\x00"


def _letter(letter: str, *, in_class: bool) -> str:
    """Return what a letter or sign means behind a backslash."""
    members = _SHORTHANDS.get(letter.lower())
    if members is not None and letter.islower():
        return members if in_class else f"[{members}]"
    if members is not None:
        return f"[^{members}]"
    if letter.isascii() and letter.isalpha() and letter not in _LETTERS:
        raise PatternError(f"no regular expression of ECMA-262 (\\{letter})")
    if letter == "b":
        return r"\x08" if in_class else _BOUNDARY
    return _NO_BOUNDARY if letter == "B" else f"\\{letter}"


_WORD = "[A-Za-z0-9_]"
_BOUNDARY = rf"(?:(?<={_WORD})(?!{_WORD})|(?<!{_WORD})(?={_WORD}))"
_NO_BOUNDARY = rf"(?:(?<={_WORD})(?={_WORD})|(?<!{_WORD})(?!{_WORD}))"


def _character(code: int) -> str:
    if code > 0x10FFFF:
        raise PatternError(f"no regular expression of ECMA-262 (no character {code:x})")
    return f"\\U{code:08x}"
