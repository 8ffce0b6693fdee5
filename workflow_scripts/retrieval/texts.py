"""Documents made from texts."""

from __future__ import annotations

import hashlib

from .records import Document


def document(path: str, text: str, left_out: str | None = None) -> Document:
    """Return one document with its text, or without it if it is left out."""
    if left_out is None and not text.strip():
        left_out = "empty"
    if left_out is not None:
        return Document(path=path, left_out=left_out)
    sha256 = hashlib.sha256(text.encode("utf-8")).hexdigest()
    return Document(path=path, sha256=sha256, length=len(text), text=text)


def passage_path(text: str) -> str:
    """Return the path of a passage that has no name: a digest of its text."""
    return f"passage-{hashlib.sha256(text.encode('utf-8')).hexdigest()[:16]}"
