"""The byte-level BPE tokenizer and the chat layout of the demonstration model.

Every word of the language becomes one token, with and without a leading space; whatever else a
user types is spelled out of smaller pieces.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from tools.demo_model import facts, language, prompts

SYSTEM, USER, ASSISTANT, END = "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"
SPECIAL_TOKENS = (END, SYSTEM, USER, ASSISTANT)
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
LARGEST_VOCABULARY = 8192


def render(system: str, user: str) -> str:
    """Lay out a chat up to where the assistant speaks, exactly as ``CHAT_TEMPLATE`` does."""
    head = f"{SYSTEM}{system}{END}" if system else ""
    return f"{head}{USER}{user}{END}{ASSISTANT}"


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
    """Train the tokenizer on the word list: the same vocabulary at every call."""
    words = sorted({word for text in _texts() for word in re.findall(r"'?[A-Za-z]+", text)})
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=LARGEST_VOCABULARY,
        min_frequency=1,
        special_tokens=[AddedToken(token, special=True) for token in SPECIAL_TOKENS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator((f"{word} {word}" for word in words), trainer=trainer)
    return tokenizer
