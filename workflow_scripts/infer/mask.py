"""Takes a key out of everything that a server sends, before anything reads it.

Servers repeat keys: in errors, in rows of batch results, in the text of an answer. So the bytes
are masked where they arrive (`http.HttpServer`), and nothing behind that place can give a key away.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from urllib.parse import quote

MASKED = "[key]"
"""Stands in place of a key."""

_SHORTEST = 8
_SHORTEST_CORE = 6


class Mask:
    """Replaces secrets in bytes and in texts by `MASKED`.

    A secret is found as it is, and with any of its characters escaped as in URLs or in JSON; also
    in base64 (of the secret alone or among other bytes, as in ``Authorization: Basic``).

    Placeholders such as ``none``, ``EMPTY`` or ``ollama``, for servers that want no key, are
    ordinary words: shorter than eight characters, or letters or digits alone. They are taken out
    of messages, but answers keep them.
    """

    def __init__(self, secrets: Iterable[str | None]) -> None:
        given = sorted({secret for secret in secrets if secret}, key=len, reverse=True)
        forms = [form for secret in given if _is_secret(secret) for form in _forms(secret)]
        self._plain = [form.encode() for form in forms]
        self._pattern = re.compile("|".join(map(_escaped, forms)).encode())
        words = {quote(each, safe="") for each in given} | set(given)
        either = "|".join(map(re.escape, sorted(words, key=len, reverse=True)))
        self._words = re.compile(rf"(?<!\w)(?:{either})(?!\w)") if words else None

    def content(self, content: bytes) -> bytes:
        """Return what a server sent, without the secrets. JSON stays JSON."""
        # Nearly all that arrives holds no secret; the search for escaped ones takes longest.
        escapes = b"\\" in content or b"%" in content
        if self._plain and (escapes or any(form in content for form in self._plain)):
            return self._pattern.sub(MASKED.encode(), content)
        return content

    def message(self, text: str) -> str:
        """Return words for the user, without the secrets."""
        text = self.content(text.encode("utf-8", errors="replace")).decode("utf-8")
        return self._words.sub(MASKED, text) if self._words else text


def _is_secret(secret: str) -> bool:
    """Whether a key is one, and no placeholder that answers may hold as a word or a number."""
    return len(secret) >= _SHORTEST and not secret.isalpha() and not secret.isdecimal()


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
    """Return a regular expression for a text of which any character may be escaped."""
    return "".join(_character(each) for each in text)


def _character(character: str) -> str:
    plain = {character, json.dumps(character)[1:-1], "\\" + character if character == "/" else ""}
    number = f"{ord(character):02x}"
    forms = [re.escape(form) for form in sorted(plain - {""}, key=len, reverse=True)]
    return f"(?:{'|'.join(forms)}|(?i:%{number}|\\\\u00{number}))"


def _base64_core(secret: str, offset: int, characters: bytes) -> str:
    """Return what base64 makes of a secret that begins at an offset, whatever is around it."""
    padded = b"\0" * offset + secret.encode()
    whole = len(padded) // 3 * 4 + (0, 1, 2)[len(padded) % 3]  # without bits of other bytes
    encoded = base64.b64encode(padded, characters).decode("ascii")
    return encoded[(0, 2, 3)[offset] : whole]
