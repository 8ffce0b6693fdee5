"""Answers made elsewhere: the file that holds them, and one answer of it."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import Field

from .block import Block

IMPORTED = "imported"
"""Stands for the backend in the paths of answers from files."""

Verdict = Literal["correct", "incorrect", "not_attempted", "unsure"]
"""What a person said about an answer."""

VERDICTS: tuple[Verdict, ...] = ("correct", "incorrect", "not_attempted", "unsure")


class AnswersFile(Block):
    """A file of answers, and how it is read.

    ``columns``: by our name, the file's name of a column. ``where``: which of the file's answers
    count, by column or label. ``member``: the file inside, if the file is an archive.
    """

    path: str
    format: str
    member: str | None = None
    columns: dict[str, str] = Field(default_factory=dict)
    where: dict[str, str] = Field(default_factory=dict)

    @property
    def shown(self) -> str:
        """Return its path inside the project, or its name: pages show no folders of a machine."""
        return _shown(self.path)


@functools.cache  # once for a file, not once for an answer
def _shown(name: str) -> str:
    path = Path(name)
    return path.name if path.is_absolute() else path.as_posix()


@dataclass(frozen=True, slots=True)
class RecordedAnswer:
    """One answer of a file, or why there is none.

    Attributes:
        place: where in the file it is, such as ``line 7``.
        item_id: the item's id; without one, its question identifies the item.
        dataset: the item's data set, if the file names it.
        question: the question that was answered.
        answers: its gold answers, if the file has them; none for an unanswerable question.
        context: the passage that was given with it.
        sample_index: counts the answers to one item from 0; ``None`` if the file does not.
        response_text: the answer; ``None`` where there is none.
        finish_reason: as in a `Completion`.
        prompt_tokens, completion_tokens: as they were counted elsewhere.
        total_tokens: if the file has it; else it is their sum.
        cached_tokens, cache_write_tokens: of the prompt's, those read from and written to a cache.
        latency_s: wall time in seconds.
        verdict: a person's verdict on the answer.
        error: why there is no answer.
        cluster_id: the item's cluster, if the file names it.
        labels: what tells the answers of one file apart, such as the model.
    """

    place: str
    item_id: str | None = None
    dataset: str | None = None
    question: str | None = None
    answers: tuple[str, ...] | None = None
    context: str | None = None
    sample_index: int | None = None
    response_text: str | None = None
    finish_reason: str = "stop"
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    latency_s: float | None = None
    verdict: Verdict | None = None
    error: str | None = None
    cluster_id: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
