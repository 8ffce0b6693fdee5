"""The text of a document's bytes, whatever its encoding."""

from __future__ import annotations

import codecs

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark is the beginning of this one
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

_TEXT = bytes({7, 8, 9, 10, 12, 13, 27} | set(range(0x20, 0x100)))
"""The bytes of texts, as the program ``file`` has them."""

_MOST_CONTROLS = 0.01
"""The share of other bytes that a text in an unknown encoding may have."""


class BinaryError(ValueError):
    """Bytes that are no text."""


def decode(data: bytes) -> tuple[str, str]:
    """Return the text of some bytes, and their encoding.

    A byte order mark decides; then UTF-8; then what charset-normalizer finds most likely.

    Raises:
        BinaryError: they are no text.
        UnicodeError: they may be a text, but in no encoding that is recognised.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _without_nul(data.decode(encoding)), encoding
    if b"\0" in data:
        raise BinaryError
    try:
        return data.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        if len(data.translate(None, _TEXT)) > _MOST_CONTROLS * len(data):
            raise BinaryError from None
    from charset_normalizer import from_bytes  # slow to import

    best = from_bytes(data).best()
    if best is None:
        raise UnicodeError("its encoding is not recognised")
    return _without_nul(str(best)), best.encoding


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise BinaryError
    return text
