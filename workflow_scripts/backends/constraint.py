"""Hold the answers of a model in this process to JSON schemas, token by token.

A `Constraint` belongs to one sequence and knows nothing of the loop that decodes it.
"""

from __future__ import annotations

import functools

import numpy as np
from llguidance import LLMatcher, LLTokenizer
from numpy.typing import NDArray

from ..schemas.dialect import Schema
from ..schemas.llguidance import grammar
from .client import RequestError

_MOST_COMPILED = 256
"""Schemas that stay compiled: some 100 kB each."""


class Constraint:
    """One sequence, held to a schema. Made by `Grammars.begin`."""

    def __init__(self, matcher: LLMatcher) -> None:
        self._matcher = matcher

    def mask(self, logits: NDArray[np.float32]) -> None:
        """Set the logits of tokens that must not come next to minus infinity.

        An end-of-generation token may come next only where the value is complete.

        Args:
            logits: one for each token of the vocabulary.
        """
        bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        allowed = np.unpackbits(bits, count=len(logits), bitorder="little")
        np.copyto(logits, -np.inf, where=allowed == 0)

    def accept(self, token: int) -> None:
        """Take the token that came next.

        Raises:
            RequestError: the schema does not allow it, or has become too complex.
        """
        if not self._matcher.consume_token(token):
            raise _error(self._matcher.get_error())

    @property
    def is_complete(self) -> bool:
        """Whether the sequence obeys the schema as it is."""
        return self._matcher.is_accepting()

    @property
    def is_done(self) -> bool:
        """Whether the sequence obeys the schema, and nothing may follow."""
        return self._matcher.is_stopped() and not self._matcher.is_error()


class Grammars:
    """The schemas of one vocabulary; each is compiled once.

    Args:
        tokenizer: of the vocabulary.
    """

    def __init__(self, tokenizer: LLTokenizer) -> None:
        self._tokenizer = tokenizer
        self._compiled = functools.lru_cache(_MOST_COMPILED)(self._compile)

    def begin(self, schema: Schema) -> Constraint:
        """Return the constraint of a new sequence.

        Args:
            schema: as `schemas.llguidance` translates it.

        Raises:
            RequestError: it is too complex.
        """
        return Constraint(self._compiled(grammar(schema)).deep_copy())

    def _compile(self, text: str) -> LLMatcher:
        matcher = LLMatcher(self._tokenizer, text, log_level=0)
        if matcher.is_error():
            raise _error(matcher.get_error())
        return matcher


def _error(message: str) -> RequestError:
    first_line = message.partition("\n")[0]
    return RequestError(
        f"llama.cpp: the answer cannot be held to its JSON schema ({first_line})", retryable=False
    )
