"""Training sequences: one prompt prefix and many separate turns that share it.

A sequence holds a system prompt and a passage once, then as many question-answer turns as fit.
Each turn sees the prefix and itself but no other turn, and its positions continue the prefix: to
the model, every turn looks exactly like the single question it is asked in use, at a fraction of
the cost.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from tokenizers import Tokenizer

from tools.demo_model.tokenizer import END


@dataclass(frozen=True)
class Turn:
    """A prompt's own end, the answer to learn, the answer's loss weight, and the turn's kind."""

    asked: str
    answer: str
    weight: float
    kind: str


@dataclass
class Batch:
    """Token arrays of shape (sequences, length) and what is needed to read them.

    ``segments`` is 0 in the prefix, counts the turns from 1, and is -1 on padding; ``weights`` is
    the loss weight of predicting the *next* token; ``kinds`` maps (sequence, segment) to a label.
    """

    tokens: np.ndarray
    positions: np.ndarray
    segments: np.ndarray
    weights: np.ndarray
    kinds: dict[tuple[int, int], str] = field(default_factory=dict)

    @classmethod
    def empty(cls, sequences: int, length: int) -> Batch:
        """Return a batch of padding."""
        return cls(
            tokens=np.zeros((sequences, length), dtype=np.int64),
            positions=np.zeros((sequences, length), dtype=np.int64),
            segments=np.full((sequences, length), -1, dtype=np.int64),
            weights=np.zeros((sequences, length), dtype=np.float32),
        )

    def fill(self, row: int, tokenizer: Tokenizer, prefix: str, turns: Iterable[Turn]) -> None:
        """Write one sequence: the prefix and as many of the turns as fit behind it."""
        length = self.tokens.shape[1]
        prefix_ids = tokenizer.encode(prefix).ids
        start = len(prefix_ids)
        self.tokens[row, :start] = prefix_ids
        self.positions[row, :start] = np.arange(start)
        self.segments[row, :start] = 0
        end = start
        for segment, turn in enumerate(turns, start=1):
            asked_ids = tokenizer.encode(turn.asked).ids
            answer_ids = tokenizer.encode(f"{turn.answer}{END}").ids
            at, end = end, end + len(asked_ids) + len(answer_ids)
            if end > length:
                break
            self.tokens[row, at:end] = asked_ids + answer_ids
            self.positions[row, at:end] = np.arange(start, start + end - at)
            self.segments[row, at:end] = segment
            self.weights[row, end - len(answer_ids) - 1 : end - 1] = turn.weight
            self.kinds[row, segment] = turn.kind


class Corpus(Protocol):
    """Draws batches for training or for validation."""

    def draw(self, sequences: int, length: int, most_facts: int) -> Batch:
        """Draw a batch of ``sequences`` rows; passages tell of at most ``most_facts`` facts."""
        ...
