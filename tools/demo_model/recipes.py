"""The models that can be made: the language and the training text of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from tokenizers import Tokenizer

from tools.demo_model.batches import Corpus
from tools.demo_model.cited import corpus as cited
from tools.demo_model.cited import vocabulary as note_words
from tools.demo_model.cited.pointing import start_pointing
from tools.demo_model.model import DemoModel
from tools.demo_model.questions import corpus as questions
from tools.demo_model.questions import vocabulary as question_words
from tools.demo_model.structured import corpus as structured
from tools.demo_model.structured import vocabulary as record_words


class CorpusMaker(Protocol):
    """Makes the stream of batches of one seed."""

    def __call__(self, tokenizer: Tokenizer, seed: int, *, validation: bool = False) -> Corpus:
        """Return the batches for training, or those for validation."""
        ...


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One model.

    Attributes:
        title: its name in the file.
        description: a sentence about it in the file.
        tokenizer: makes its tokenizer.
        context: the longest sequence in tokens that llama.cpp accepts.
        architecture: its name in llama.cpp.
    """

    title: str
    description: str
    tokenizer: Callable[[], Tokenizer]
    context: int
    architecture: Literal["llama", "llama-embed"] = "llama"


@dataclass(frozen=True, kw_only=True)
class AnswerRecipe(Recipe):
    """A model that answers.

    Attributes:
        corpus: makes its training text.
        most_facts: facts in the longest passages of training.
        start: writes further first weights.
    """

    corpus: CorpusMaker
    most_facts: int
    start: Callable[[DemoModel, Tokenizer], None] | None = None


ANSWERS = {
    "assay-demo": AnswerRecipe(
        title="Assay demo",
        description="A tiny model that demonstrates the Assay pipeline; of no other use.",
        tokenizer=question_words.build_tokenizer,
        corpus=questions.Corpus,
        most_facts=6,
        context=2048,
    ),
    "assay-structured": AnswerRecipe(
        title="Assay structured",
        description="A tiny model that fills in records as JSON; it demonstrates Assay only.",
        tokenizer=record_words.build_tokenizer,
        corpus=structured.Corpus,
        most_facts=structured.MOST_FACTS,
        context=8192,  # the prompts of analyses are long; training needs 320
    ),
    "assay-cited": AnswerRecipe(
        title="Assay cited",
        description="A tiny model that answers from numbered passages; it demonstrates Assay only.",
        tokenizer=note_words.build_tokenizer,
        corpus=cited.Corpus,
        most_facts=cited.MOST_LINES,
        context=2048,
        start=start_pointing,
    ),
}

ENCODERS = {
    "assay-encoder": Recipe(
        title="Assay encoder",
        description="A tiny encoder of notes and questions; it demonstrates Assay only.",
        tokenizer=note_words.build_tokenizer,  # so that chunks are those of assay-cited
        context=128,
        architecture="llama-embed",
    ),
}

RECIPES: Mapping[str, Recipe] = {**ANSWERS, **ENCODERS}
