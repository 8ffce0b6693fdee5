"""The words of the notes and of the prompts around them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tokenizers import Tokenizer

from tools.demo_model.cited import notes, prompts
from tools.demo_model.cited.pointing import cited
from tools.demo_model.questions import language
from tools.demo_model.questions.prompts import NEUTRAL, PERMIT, ROLES, SHIPPED
from tools.demo_model.tokenizer import train_tokenizer


def _texts() -> Iterator[str]:
    """Yield every text whose words deserve a token of their own."""
    yield " ".join((*language.FIRST_NAMES, *language.SURNAMES, prompts.ABSTENTION))
    for relation in language.RELATIONS:
        yield " ".join((*relation.statements, *relation.questions, *relation.values))
    for wordings in (ROLES, NEUTRAL, PERMIT, *SHIPPED.values(), prompts.TEMPLATES):
        yield " ".join(wordings)
    yield "notes txt line lines"


def build_tokenizer() -> Tokenizer:
    """Return the tokenizer, which has each word as a token, with and without a leading space.

    A citation is one token as well, so that a small model can learn which passage it names.
    """
    words = sorted({word for text in _texts() for word in re.findall(r"'?[A-Za-z]+", text)})
    numbers = range(1, notes.MOST_PASSAGES + 1)
    citations = [f"[{number}]" for number in numbers] + [cited(number) for number in numbers]
    return train_tokenizer((f"{word} {word}" for word in words), whole=citations)
