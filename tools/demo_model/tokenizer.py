"""The byte-level BPE tokenizers and the chat layout of the demonstration models.

Every piece of a model's language becomes one token; whatever else a user types is spelled out of
smaller pieces.
"""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

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


def train_tokenizer(pieces: Iterable[str], whole: Iterable[str] = ()) -> Tokenizer:
    """Return a tokenizer with a token for each of the pieces: the same vocabulary at every call.

    A piece is a word, with or without a leading space, or a run of punctuation. ``whole`` has
    further texts that are one token each, whatever stands around them.
    """
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
    tokenizer.train_from_iterator(pieces, trainer=trainer)
    tokenizer.add_tokens([AddedToken(text, normalized=False) for text in whole])
    return tokenizer
