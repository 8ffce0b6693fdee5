"""Question answering: a question with its passage in the prompt, or alone."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..core.block import Block
from ..core.metric import Metric, SelectiveRoles
from ..core.records import Details, Item, Question
from ..core.values import ItemId, Text
from .task import Task


class QuestionToAnswer(Question):
    """A question, in open book with the passage that it is asked about."""

    question: str = Field(min_length=1)
    context: str | None = None


class AnsweredQuestion(QuestionToAnswer, Item):
    """A question with its gold answers. Unanswerable ones have none, all others have some."""

    answers: list[str]
    is_unanswerable: bool = False

    @model_validator(mode="after")
    def _answers_match_the_flag(self) -> Self:
        if self.is_unanswerable and self.answers:
            raise ValueError("is_unanswerable is true but answers is not empty")
        if not self.is_unanswerable and not any(answer.strip() for answer in self.answers):
            raise ValueError("answers is empty but is_unanswerable is false")
        return self

    @property
    def gold(self) -> list[str]:
        """The texts that a right answer is compared with; none if there is no answer."""
        return self.answers

    def subgroups(self) -> tuple[str, ...]:
        """Return whether it has an answer, and its tags."""
        kind = UNANSWERABLE if self.is_unanswerable else ANSWERABLE
        return (kind, *super().subgroups())


class QuestionRow(BaseModel):
    """One item as users write it; the fields are the columns. See docs/data.md."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: ItemId
    question: Text
    answers: list[Text]
    context: Text | None = None
    is_unanswerable: bool = False
    cluster_id: Text | None = None
    dataset: str | None = None


ANSWERABLE, UNANSWERABLE = "answerable", "unanswerable"

CORRECT = Metric(
    name="correct",
    label="correct answers",
    definition="Share of items that are answered correctly, and unanswerable items on which the "
    "model abstains.",
    better="higher",
    binary=True,
    leads=2,
    rose="gained {points} points of correct answers",
    fell="cost {points} points of correct answers",
    must_hold_in=ANSWERABLE,
)
EXACT_MATCH = Metric(
    name="em",
    label="exact match",
    definition="Share of items whose answer equals a gold answer after lower-casing and dropping "
    "punctuation and articles: it measures form. An unanswerable item counts when the model "
    "abstains.",
    better="higher",
    binary=True,
    level="exact match",
)
CONTAINS = Metric(
    name="contains_gold",
    label="containment",
    definition="Share of items with a gold answer in the response, as whole words and not denied. "
    "An unanswerable item counts when the model abstains.",
    better="higher",
    binary=True,
    level="containment",
)
F1 = Metric(
    name="f1",
    label="F1",
    definition="Token overlap (harmonic mean of precision and recall) with the closest gold "
    "answer, 0 to 100. An unanswerable item scores 100 when the model abstains, else 0.",
    better="higher",
)
ABSTENTIONS = Metric(
    name="abstain_rate",
    label="abstentions",
    definition="Share of items on which the model says that it does not know: right on "
    "unanswerable items, a loss on answerable ones. A blank response is neither abstention nor "
    "answer.",
    better="neither",
    binary=True,
    gained="new",
    lost="given up",
    rose="Its abstention rate rose by {points} points",
    fell="Its abstention rate fell by {points} points",
    subgroup_better=((UNANSWERABLE, "higher"), (ANSWERABLE, "lower")),
)
FALSE_ANSWERS = Metric(
    name="false_answer_rate",
    label="false answers",
    definition="Share of items that the model answered although the answer is wrong or the item "
    "has none: the measure of hallucination. Correctness is decided as for correct answers.",
    better="lower",
    binary=True,
    leads=1,
    gained="new",
    lost="avoided",
    rose="raised false answers by {points} points",
    fell="cut false answers by {points} points",
)
UNSUPPORTED = Metric(
    name="unsupported_rate",
    label="unsupported answers",
    definition="Share of items with an answer that the passages in the prompt do not support, "
    "measured by the config’s unsupported.strategy.",
    better="lower",
)


class AnsweringTask(Task):
    """A task whose responses are right, wrong, abstentions or refusals: docs/scoring.md."""

    lists = frozenset({"answers"})
    asks_about = "accuracy and hallucination"
    metrics: ClassVar[tuple[Metric, ...]] = (
        EXACT_MATCH,
        F1,
        ABSTENTIONS,
        FALSE_ANSWERS,
        UNSUPPORTED,
        CORRECT,
        CONTAINS,
    )
    subgroups = (ANSWERABLE, UNANSWERABLE)
    details: ClassVar[Details] = {
        "answer_extracted": str,
        "em_extracted": float,
        "f1_extracted": float,
        "support": float,
        "left_open": float,
    }
    extracted = "answer_extracted"
    undecided = "left_open"
    scored_by = "workflow_scripts.tasks.question_scorer:QuestionScorer"
    selective_risk = SelectiveRoles("correct", "false_answer_rate", UNANSWERABLE)
    false_answers = "false_answer_rate"
    correctness = "correct"
    no_answers = "none, the question cannot be answered"


class QuestionAnswering(AnsweringTask):
    """What both ways of asking have in common."""

    item = AnsweredQuestion
    question = QuestionToAnswer
    row = QuestionRow

    def item_fields(self, row: QuestionRow) -> dict[str, Any]:
        """Return the fields of an item; without a cluster's name, those of a passage are one."""
        if self.has_passage and row.context is None:
            raise ValueError(
                f"item '{row.id}' has no context, but {self.name} puts the passage into the "
                "prompt; add it in column 'context' or set the data set's task to closed_book"
            )
        context = row.context if self.has_passage else None
        return {
            "id": row.id,
            "question": row.question,
            "answers": list(dict.fromkeys(row.answers)),
            "context": context,
            "is_unanswerable": row.is_unanswerable,
            "cluster_id": row.cluster_id or default_cluster(row.id, context),
        }

    def values(self, question: QuestionToAnswer, options: Block) -> Mapping[str, str]:
        """Return the question and its passage."""
        return {"question": question.question, "context": question.context or ""}

    def shown(self, item: AnsweredQuestion) -> dict[str, Any]:
        """Return question, gold answers and passage."""
        return {
            "question": item.question,
            "answers": list(dict.fromkeys(item.answers)),
            "context": item.context if self.has_passage else None,
        }


class OpenBook(QuestionAnswering):
    """The passage stands in the prompt."""

    name = "open_book"
    label = "Open book"
    definition = "the question is asked together with its passage"
    fields = frozenset({"context", "question"})
    template = (
        "Answer the question from the passage in a few words.\n\nPassage: {context}\n\n"
        "Question: {question}"
    )
    has_passage = True


class ClosedBook(QuestionAnswering):
    """The question is asked alone."""

    name = "closed_book"
    label = "Closed book"
    definition = "the question is asked alone"
    fields = frozenset({"question"})
    template = "Answer the question in a few words.\n\nQuestion: {question}"
    unmeasured = frozenset({"unsupported_rate"})


OPEN_BOOK = OpenBook()
CLOSED_BOOK = ClosedBook()


def default_cluster(item_id: str, context: str | None) -> str:
    """Return the cluster of an item: its passage, or itself without one."""
    if context is None:
        return item_id
    return f"context-{hashlib.sha256(context.encode()).hexdigest()[:16]}"
