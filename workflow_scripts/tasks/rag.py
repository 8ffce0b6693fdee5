"""Retrieval: a question with the passages that were found for it, which the answer cites."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from ..core.block import Block
from ..core.records import Details, Question
from ..core.values import ItemId, Text
from ..retrieval.numbered import numbered
from ..retrieval.records import Passage
from ..retrieval.relevant import Relevant
from ..retrieval.settings import RELEVANT, REWRITE, Search, Searching
from .question_answering import AnsweredQuestion, AnsweringTask, default_cluster
from .rag_metrics import (
    BY_GOLD_PASSAGE,
    CITED,
    GOLD_PASSAGE,
    N_FOUND,
    N_GOLD,
    N_LEFT_OUT,
    RECALL_BY_K,
    RETRIEVAL,
)


def _readable(text: str) -> str:
    Relevant.read(text)
    return text


GoldPassage = Annotated[Text, AfterValidator(_readable)]
"""A chunk's id, a path, or a path with lines, as `Relevant.read` takes them."""


def _is_a_name(value: object) -> object:
    """Refuse a name that is none, in one sentence."""
    if isinstance(value, str) and value not in ("none", "relevant"):
        raise ValueError(
            f"{value!r} is no retrieval; write none, relevant, or "
            "{corpus: …, chunking: …, embedder: …}"
        )
    return value


def _kind(value: object) -> str:
    return "name" if isinstance(value, str) else "search"


_Named = Annotated[Literal["none", "relevant"], Tag("name")]
_Searched = Annotated[Search, Tag("search")]


class RagOptions(Block):
    """What a config can set; an arm as well."""

    retrieval: Annotated[
        Annotated[_Named | _Searched, Discriminator(_kind)], BeforeValidator(_is_a_name)
    ] = Field(
        "none",
        description="Where passages come from: a search; `relevant`, the gold passages; `none`, "
        "no passages.",
    )
    query: Literal["last", "rewrite"] = Field(
        "last",
        description="What is searched for: `last`, the question; `rewrite`, a search text that the "
        "arm's own model makes of it.",
    )

    @field_validator("query")
    @classmethod
    def _rewrites_for_a_search(cls, query: str, given: ValidationInfo) -> str:
        search = given.data.get("retrieval")
        if query == REWRITE and search is not None:
            name = search if isinstance(search, str) else search.embedder
            if name in ("none", RELEVANT):
                raise ValueError(
                    f"{REWRITE} needs a search, but retrieval is {name}; write last, or retrieval: "
                    "{corpus: …, chunking: …, embedder: …}"
                )
        return query


class RagQuestion(Question):
    """A question; ``passages`` are those that its prompt is given, best first."""

    question: str = Field(min_length=1)
    passages: tuple[Passage, ...] = Field(default=(), exclude_if=lambda found: not found)


class RagItem(RagQuestion, AnsweredQuestion):
    """A question with its gold answers and its gold passages.

    ``answers`` are short; an item may have a ``reference`` text instead. ``relevant`` names gold
    passages. An unanswerable item may have some, but no answer.
    """

    answers: list[str] = Field(default_factory=list)
    reference: str | None = Field(default=None, exclude_if=lambda text: text is None)
    relevant: list[str] = Field(default_factory=list)
    context: None = Field(default=None, exclude=True)

    @model_validator(mode="after")
    def _answers_match_the_flag(self) -> Self:
        if self.is_unanswerable and self.gold:
            raise ValueError("is_unanswerable is true, but there are answers or a reference")
        if not self.is_unanswerable and not any(text.strip() for text in self.gold):
            raise ValueError("answers and reference are empty, but is_unanswerable is false")
        return self

    @property
    def gold(self) -> list[str]:
        """Its answers; without any, its reference."""
        return self.answers or [text for text in (self.reference,) if text is not None]


class RagRow(BaseModel):
    """One item as users write it; the fields are the columns. See docs/data.md."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: ItemId
    question: Text
    answers: list[Text] = []
    reference: Text | None = None
    relevant: list[GoldPassage] = []
    is_unanswerable: bool = False
    cluster_id: Text | None = None
    dataset: str | None = None


class Rag(AnsweringTask):
    """The passages stand in the prompt, numbered; scores: docs/scoring.md."""

    name = "rag"
    label = "Retrieval"
    definition = "the question is asked with passages that were found for it"
    item = RagItem
    question = RagQuestion
    row = RagRow
    lists = frozenset({"answers", "relevant"})
    fields = frozenset({"question", "passages"})
    optional = frozenset({"passages"})
    template = (
        "Answer the question in a few words.\n\n"
        "Answer from these passages alone, and cite those that you use by their numbers, such as "
        "[2]. If they do not answer the question, say that you do not know.\n{passages}\n\n"
        "Question: {question}"
    )
    max_new_tokens = 64
    scored_by = "workflow_scripts.tasks.rag_scorer:RagScorer"
    options = RagOptions
    metrics = (*AnsweringTask.metrics, *RETRIEVAL)
    details: ClassVar[Details] = {
        **AnsweringTask.details,
        GOLD_PASSAGE: str,
        CITED: str,
        N_GOLD: float,
        N_FOUND: float,
        N_LEFT_OUT: float,
    }
    curves = (RECALL_BY_K,)
    split = BY_GOLD_PASSAGE
    searches = True
    has_passage = True
    context_label = "Passages given with the responses to this question"

    def item_fields(self, row: RagRow) -> dict[str, Any]:
        """Return the fields of an item; items with the same gold passages are one cluster."""
        relevant = list(dict.fromkeys(row.relevant))
        return {
            "id": row.id,
            "question": row.question,
            "answers": list(dict.fromkeys(row.answers)),
            "reference": row.reference,
            "relevant": relevant,
            "is_unanswerable": row.is_unanswerable,
            "cluster_id": row.cluster_id
            or default_cluster(row.id, "\n".join(sorted(relevant)) or None),
        }

    def search(self, options: RagOptions) -> Searching | None:
        """Return how its passages are found."""
        return None if options.retrieval == "none" else options.retrieval

    def search_text(self, question: RagQuestion) -> str:
        """Return the question."""
        return question.question

    def relevant(self, item: RagItem) -> Sequence[str]:
        """Return the names of its gold passages."""
        return item.relevant

    def with_passages(self, question: RagQuestion, passages: Sequence[Passage]) -> RagQuestion:
        """Return a question with its passages."""
        return question.model_copy(update={"passages": tuple(passages)})

    def in_prompt(self, passages: Sequence[Passage], options: RagOptions) -> list[Passage]:
        """Return the given passages, the best one first or last."""
        given = [each for each in passages if each.given]
        search = options.retrieval
        last = isinstance(search, Search) and search.order == "best_last"
        return given[::-1] if last else given

    def values(self, question: RagQuestion, options: RagOptions) -> Mapping[str, str]:
        """Return the question and its passages, numbered, each with path and lines."""
        passages = self.in_prompt(question.passages, options)
        return {"question": question.question, "passages": numbered(passages)}

    def shown(self, item: RagItem) -> dict[str, Any]:
        """Return the question and its gold answers; passages are shown by arm."""
        return {
            "question": item.question,
            "answers": list(dict.fromkeys(item.gold)),
            "context": None,
        }


RAG = Rag()
