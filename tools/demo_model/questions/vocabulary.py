"""The words of the demonstration questions and of the prompts around them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tokenizers import Tokenizer

from tools.demo_model.questions import facts, language, prompts
from tools.demo_model.tokenizer import train_tokenizer


def _texts() -> Iterator[str]:
    """Yield every text whose words deserve a token of their own."""
    yield " ".join((*language.FIRST_NAMES, *language.SURNAMES, prompts.ABSTENTION))
    for relation in language.RELATIONS:
        yield " ".join((*relation.statements, *relation.hedged, *relation.questions))
        yield " ".join(relation.values)
    for wordings in (prompts.ROLES, prompts.NEUTRAL, prompts.INSIST, prompts.PERMIT):
        yield " ".join(wordings)
    for wordings in (*prompts.SHIPPED.values(), prompts.OPEN_BOOK_FORMS, prompts.CLOSED_BOOK_FORMS):
        yield " ".join(wordings)
    for questions in facts.QUESTIONS.values():
        yield " ".join(questions)
    for fact in facts.world_facts():
        if fact.taught:
            yield f"{fact.subject} {fact.taught}"


def build_tokenizer() -> Tokenizer:
    """Return the tokenizer, which has each word as a token, with and without a leading space."""
    words = sorted({word for text in _texts() for word in re.findall(r"'?[A-Za-z]+", text)})
    return train_tokenizer(f"{word} {word}" for word in words)
