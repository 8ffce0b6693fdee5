"""The pieces of the records' language: words, and the punctuation of JSON."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tokenizers import Tokenizer, pre_tokenizers

from tools.demo_model.questions.language import seeded
from tools.demo_model.structured import prompts, records
from tools.demo_model.tokenizer import train_tokenizer

SAMPLES = 300  # of passages and schemas, which hold every run of punctuation


def _texts() -> Iterator[str]:
    """Yield texts that hold every piece."""
    for kind in records.KINDS:
        yield " ".join(half for halves in kind.halves for half in halves)
    for values in (records.CITIES, records.JOBS, records.LANGUAGES, records.STYLES, records.SIZES):
        yield " ".join(values)
    for colour, shades in records.SHADES.items():
        yield " ".join((colour, *shades))
    for wordings in (prompts.PLAIN, prompts.POLITE_QUESTIONS, prompts.SYSTEM, prompts.TASK):
        yield " ".join(wordings)
    for wordings in (prompts.SCHEMA_LEADS, prompts.PASSAGE_LEADS, prompts.QUESTION_LEADS):
        yield "\n".join(wordings)
    rng = seeded("pieces")
    for _ in range(SAMPLES):
        passage = records.draw_passage(rng, "train", facts=4, others=2, habits=0.5)
        yield passage.text
        parts = records.draw_parts(
            rng, passage.subjects[0], fields=4, unstated=rng.random() < 0.5, restated=0.5
        )
        for rendering in prompts.RENDERINGS:
            yield prompts.render_schema(records.schema_of(parts), rendering)
        yield prompts.WORDS_AROUND + records.answer_of(parts, lambda: rng.random() < 0.5)


def build_tokenizer() -> Tokenizer:
    """Return the tokenizer, which has every word and every run of punctuation as a token.

    Digits stay single: a number is copied digit by digit.
    """
    split = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    words: set[str] = set()
    runs: set[str] = set()
    for text in _texts():
        for _, (start, end) in split.pre_tokenize_str(text):
            piece = text[start:end]
            if re.search(r"[A-Za-z]", piece):
                words.add(piece.strip())
            elif not re.search(r"\d", piece) and len(piece) > 1:
                runs.add(piece)
    return train_tokenizer([*(f"{word} {word}" for word in sorted(words)), *sorted(runs)])
