"""Takes a key out of everything that a server sends, before anything reads it.

Servers repeat keys: in errors, in rows of batch results, in the text of an answer. So the bytes
are masked where they arrive (`http.HttpServer`), and nothing behind that place can give a key away.
"""

from __future__ import annotations

import base64
import functools
import json
import re
from collections.abc import Iterable
from urllib.parse import quote

MASKED = "[key]"
"""Stands in place of a key."""

_SHORTEST, _SHORTEST_UNMIXED = 8, 20
_SHORTEST_CORE = 6


class Mask:
    """Replaces secrets in bytes and in texts by `MASKED`.

    A secret is found as it is, and with any of its characters escaped as in URLs, in JSON or both;
    also in base64 (of the secret alone or among other bytes, as in ``Authorization: Basic``).

    Placeholders such as ``none``, ``EMPTY`` or ``ollama``, for servers that want no key, are
    ordinary words: shorter than eight characters, or shorter than twenty and letters or digits
    alone. They are taken out of messages, but answers keep them.

    Args:
        secrets: keys; None where there is none.
        words: what else must not stand in messages.
    """

    def __init__(self, secrets: Iterable[str | None], words: Iterable[str] = ()) -> None:
        given = {secret for secret in secrets if secret}
        forms = {form for secret in given if _is_secret(secret) for form in _forms(secret)}
        self._forms = sorted(forms, key=len, reverse=True)
        characters = set("".join(self._forms))
        escapes = ["%", "\\u00", *("\\" + each for each in '/"\\' if each in characters)]
        self._marks = [mark.encode() for mark in (*self._forms, *escapes)] if forms else []
        shown = {form for each in (*given, *words) for form in (each, quote(each, safe="")) if each}
        either = "|".join(map(re.escape, sorted(shown, key=len, reverse=True)))
        self._words = re.compile(rf"(?<!\w)(?:{either})(?!\w)") if shown else None

    @functools.cached_property
    def _pattern(self) -> re.Pattern[bytes]:
        firsts = {form[0] for form in self._forms} | {"\\", "%"}
        first = "".join(map(re.escape, sorted(firsts)))  # passes over all else quickly
        return re.compile(f"(?=[{first}])(?:{'|'.join(map(_escaped, self._forms))})".encode())

    def content(self, content: bytes) -> bytes:
        """Return what a server sent, without the secrets. JSON stays JSON."""
        # Nearly all that arrives holds neither a secret nor an escape that could hide one.
        for mark in self._marks:
            if mark in content:
                return self._pattern.sub(MASKED.encode(), content)
        return content

    def message(self, text: str) -> str:
        """Return words for the user, without the secrets."""
        text = self.content(text.encode("utf-8", errors="replace")).decode("utf-8")
        return self._words.sub(MASKED, text) if self._words else text


def _is_secret(secret: str) -> bool:
    """Whether a key is one, and no placeholder that answers may hold as a word or a number."""
    is_mixed = not secret.isalpha() and not secret.isdecimal()
    return len(secret) >= (_SHORTEST if is_mixed else _SHORTEST_UNMIXED)


def _forms(secret: str) -> list[str]:
    """Return the texts as which a secret may appear, before any escaping; the longest first."""
    encoded = {
        core
        for characters in (b"+/", b"-_")
        for offset in range(3)
        if len(core := _base64_core(secret, offset, characters)) >= _SHORTEST_CORE
    }
    return sorted({secret, *encoded}, key=len, reverse=True)


def _escaped(text: str) -> str:
    """Return a regular expression for a text of which any character may be escaped.

    As in URLs, as in JSON, or as in JSON after it was escaped as in URLs.
    """
    return "".join(f"(?:{_in_json(each)}|{_in_url(each)})" for each in text)


def _in_json(character: str) -> str:
    escapes = {character, json.dumps(character)[1:-1], *(["\\/"] if character == "/" else [])}
    forms = [re.escape(form) for form in sorted(escapes, key=len, reverse=True)]
    return f"(?:{'|'.join(forms)}|(?i:\\\\u00{ord(character):02x}))"


def _in_url(character: str) -> str:
    digits = f"{ord(character):02x}"
    hexadecimal = (f"(?:{_in_json(each)}|{_in_json(each.upper())})" for each in digits)
    return _in_json("%") + "".join(hexadecimal)


def _base64_core(secret: str, offset: int, characters: bytes) -> str:
    """Return what base64 makes of a secret that begins at an offset, whatever is around it."""
    padded = b"\0" * offset + secret.encode()
    whole = len(padded) // 3 * 4 + (0, 1, 2)[len(padded) % 3]  # without bits of other bytes
    encoded = base64.b64encode(padded, characters).decode("ascii")
    return encoded[(0, 2, 3)[offset] : whole]
