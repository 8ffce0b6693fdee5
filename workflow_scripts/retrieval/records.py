"""What passes between the stages of retrieval.

Flow: `Document` (ingest) -> `Chunk` (chunk) -> `Retrieval` (retrieve) -> the prompt (build).
"""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from ..core.records import Record


class Document(Record):
    """One file of a corpus: its text, or why it was left out.

    ``path`` is relative to the corpus, with ``/``. ``sha256`` is that of the text in UTF-8, and
    ``length`` counts its characters.
    """

    path: str = Field(min_length=1)
    sha256: str = ""
    length: int = Field(default=0, ge=0)
    text: str = ""
    left_out: str | None = Field(default=None, exclude_if=lambda reason: reason is None)


class Chunk(Record):
    """A piece of one document.

    ``text`` is ``document.text[start:end]``. Lines count from 1, both included. ``id`` is
    ``path:start-end``.
    """

    id: str = Field(min_length=1)
    path: str
    first_line: int = Field(ge=1)
    last_line: int = Field(ge=1)
    start: int = Field(ge=0)
    end: int = Field(ge=0)
    tokens: int = Field(ge=0)
    text: str

    @model_validator(mode="after")
    def _has_text(self) -> Self:
        if self.end - self.start != len(self.text) or not self.text:
            raise ValueError("start and end do not fit the text")
        return self


class Passage(Record):
    """A chunk that was found for an item.

    ``rank`` counts from 1, best first. ``given``: it went into the prompt; otherwise it did not
    fit.
    """

    id: str = Field(min_length=1)
    path: str
    first_line: int
    last_line: int
    rank: int = Field(ge=1)
    score: float | None = None
    tokens: int = Field(ge=0)
    text: str
    given: bool = True


class SearchText(Record):
    """What a model made of a question, to be searched for.

    ``not_used``: why the reply is no search text; then ``text`` is empty.
    """

    dataset: str
    item_id: str
    text: str
    not_used: str | None = Field(default=None, exclude_if=lambda reason: reason is None)


class Retrieval(Record):
    """What was found for one item, best first. ``query`` is the text that was searched for.

    ``not_rewritten``: why that is the question, where a model was to rewrite it.
    """

    dataset: str
    item_id: str
    query: str
    not_rewritten: str | None = Field(default=None, exclude_if=lambda reason: reason is None)
    passages: tuple[Passage, ...]
