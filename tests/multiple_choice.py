"""A task from a package of one's own: multiple choice. docs/extending.md walks through it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from workflow_scripts.core.block import Block
from workflow_scripts.core.metric import Metric
from workflow_scripts.core.records import Item, Question
from workflow_scripts.core.values import ItemId, Text
from workflow_scripts.tasks.task import Sample, Score, Task


class ChoiceQuestion(Question):
    """What is asked."""

    stem: str
    choices: list[str]


class ChoiceItem(ChoiceQuestion, Item):
    """What is asked, and which choice is right."""

    key_letter: str


class ChoiceRow(BaseModel):
    """The columns of a user's file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: ItemId
    stem: Text
    choices: list[Text]
    key_letter: Text
    topic: str = ""


class ChoiceOptions(Block):
    """What a config can set."""

    letters: str = "ABCD"


PICKED = Metric(
    name="picked",
    label="right choices",
    definition="Share of items whose response begins with the letter of the right choice.",
    better="higher",
    binary=True,
    leads=1,
    rose="picked {points} points more right choices",
    fell="picked {points} points fewer right choices",
)
WORDS = Metric(
    name="words",
    label="words",
    definition="Words of a response, and one.",
    better="lower",
    kind="amount",
    unit="words",
)


class MultipleChoice(Task):
    """A stem with choices; the response begins with a letter."""

    name = "multiple_choice"
    label = "Multiple choice"
    definition = "one of several choices is picked"
    item = ChoiceItem
    question = ChoiceQuestion
    row = ChoiceRow
    lists = frozenset({"choices"})
    fields = frozenset({"stem", "choices"})
    template = "{stem}\n\n{choices}\n\nThe letter of the right choice:"
    max_new_tokens = 8
    scored_by = "multiple_choice:ChoiceScorer"
    options = ChoiceOptions
    metrics = (PICKED, WORDS)
    details = {"letter": str}  # noqa: RUF012 - never changed

    def item_fields(self, row: ChoiceRow) -> dict[str, Any]:
        """Each item stands alone."""
        fields = row.model_dump(exclude={"topic"})
        tags = {"topic": row.topic} if row.topic else {}
        return {**fields, "cluster_id": row.id, "tags": tags}

    def values(self, question: ChoiceQuestion, options: ChoiceOptions) -> Mapping[str, str]:
        """The choices, each on a line with its letter."""
        lines = zip(options.letters, question.choices, strict=False)
        return {
            "stem": question.stem,
            "choices": "\n".join(f"{letter}. {text}" for letter, text in lines),
        }

    def shown(self, item: ChoiceItem) -> dict[str, Any]:
        """The stem, and the letter that is right."""
        return {"question": item.stem, "answers": [item.key_letter], "context": None}


class ChoiceScorer:
    """Looks for the letter that a response begins with."""

    def __init__(self, task: Task, settings: Any, options: ChoiceOptions) -> None:
        letters = re.escape(options.letters)
        self._pattern = re.compile(rf"\W*([{letters}])\b", re.IGNORECASE)

    def __call__(self, samples: Sequence[Sample]) -> list[Score]:
        """One score for each response."""
        return [self._score(sample.item, sample.prediction) for sample in samples]

    def _score(self, item: ChoiceItem, prediction: Any) -> Score:
        found = self._pattern.match(prediction.response_text)
        letter = found[1].upper() if found else ""
        right = letter == item.key_letter
        return Score(
            outcome="correct" if right else "wrong",
            metrics={
                "picked": float(right),
                "words": 1.0 + len(prediction.response_text.split()),
            },
            details={"letter": letter},
        )


TASK = MultipleChoice()
