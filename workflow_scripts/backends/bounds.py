"""The most that requests can cost: certain at first, then corrected by a provider's real counts.

A tokenizer that works on bytes makes no more tokens than a text has bytes of UTF-8. That is true
for every language and every kind of text, and some four times what English takes. Once a provider
has counted prompts of a model, `Counted.most` gives the largest number of tokens that agrees with
its counts.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

from pydantic import Field, NonNegativeInt

from ..core.records import Record, Request
from .prices import Quote
from .table import BACKENDS
from .tokens import Counter, Kinds, added

_CERTAIN = {"message": 16, "request": 128, "schema": 2}
"""The most tokens of one unit of a kind; of all others, which are bytes or tokens, it is 1. The
chat templates of published models add at most some 5 tokens a message and 80 a request; providers
put a schema into a prompt of their own."""

_MARGIN = 0.02
_SPREAD = 0.3
"""Twice the spread between requests of the tokens that texts of equal sizes have, as a share."""

_MAY_BE_LONGER = 2.0
"""A single prompt is taken for at most so many times as long as the average suggests."""


class Counted(Record):
    """What a provider has counted: the prompt tokens of answers to requests of these sizes."""

    answers: NonNegativeInt = 0
    tokens: NonNegativeInt = 0
    sizes: Kinds = Field(default_factory=dict)

    def __add__(self, other: Counted) -> Counted:
        return Counted(
            answers=self.answers + other.answers,
            tokens=self.tokens + other.tokens,
            sizes=added(self.sizes, other.sizes),
        )

    @property
    def beyond(self) -> float:
        """How many times as many tokens were counted as were thought certain; at least 1."""
        certain = certain_tokens(self.sizes)
        return max(1.0, self.tokens / certain) if certain else 1.0

    def most(self, sizes: Mapping[str, float], requests: int) -> float:
        """Return the most prompt tokens that some requests can have together.

        Each kind of text has an unknown number of tokens per unit. The counts give their weighted
        sum. Of all numbers that agree with it, the worst is taken: kinds that are frequent here
        and were rare there get as many tokens as they can have. Kinds that were never counted get
        that anyway. A margin covers that texts of equal sizes differ.

        Args:
            sizes: of all these requests.
            requests: how many they are; fewer differ more from the average.
        """
        if not self.answers or not requests:
            return certain_tokens(sizes)
        margin = _MARGIN + _SPREAD * math.sqrt(1 / self.answers + 1 / requests)
        left, found = self.tokens * (1 + margin), 0.0

        def frequency(kind: str) -> float:
            before = self.sizes.get(kind, 0)
            return sizes[kind] / before if before else math.inf

        for kind in sorted(sizes, key=frequency, reverse=True):
            before, rate = self.sizes.get(kind, 0), _CERTAIN.get(_name(kind), 1) * self.beyond
            if before:
                rate = min(rate, left / before)
            found += rate * sizes[kind]
            left -= rate * before
        return found


def request_sizes(counter: Counter, request: Request) -> Kinds:
    """Return how much of each kind a request has, apart for each data set.

    Texts of one data set are alike in ways that no kind shows (English and French letters).
    """
    sizes = counter.sizes(request.messages)
    if request.decoding.json_schema is not None:
        sizes["schema"] = len(json.dumps(request.decoding.json_schema).encode())
    return {f"{request.dataset}|{kind}": size for kind, size in sizes.items()}


def certain_tokens(sizes: Mapping[str, float]) -> float:
    """Return the number of tokens that texts of these sizes cannot exceed."""
    return sum(size * _CERTAIN.get(_name(kind), 1) for kind, size in sizes.items())


def _name(kind: str) -> str:
    return kind.rpartition("|")[2]


class UpperBound:
    """The most that some requests of one model can cost, added up one by one.

    Args:
        quote: the price.
        counter: counts the model's tokens, or estimates them.
        engine: who is asked; its declaration says which part of a prompt it may cache.
        batch: whether the requests are sent as a batch job.
    """

    def __init__(self, quote: Quote, counter: Counter, *, engine: str, batch: bool) -> None:
        self._quote = quote
        self._counter = counter
        self._caches_all = BACKENDS[engine].caches_all
        self._batch = batch
        self._each: list[tuple[float, float, int]] = []
        self.sizes: Kinds = {}

    @property
    def requests(self) -> int:
        """The number of requests."""
        return len(self._each)

    def add(self, request: Request) -> None:
        """Add a request."""
        sizes = request_sizes(self._counter, request)
        self.sizes = added(self.sizes, sizes)
        certain = certain_tokens(sizes)
        written = certain
        if not self._caches_all:
            system = [each for each in request.messages if each.role == "system"]
            written = certain_tokens(self._counter.sizes(system)) if system else 0.0
        self._each.append((certain, written, request.decoding.most_tokens))

    def usd(self, counted: Counted) -> float:
        """Return the most that all of them cost together, in US dollars, by what was counted."""
        certain = math.fsum(prompt for prompt, _, _ in self._each)
        share = counted.most(self.sizes, self.requests) / certain if certain else 1.0
        return self._usd(share, max(share, min(counted.beyond, _MAY_BE_LONGER * share)))

    def certain_usd(self, beyond: float) -> float:
        """Return the most that each of them can cost, added up, in US dollars.

        Args:
            beyond: how many times as many tokens as certain were ever counted (`Counted.beyond`).
        """
        return self._usd(beyond, beyond)

    def _usd(self, share: float, longest: float) -> float:
        """The price where prompts have a share of their certain tokens, a single one up to
        ``longest``; answers are as long as they may be."""
        return math.fsum(
            self._quote.most_usd(
                prompt * share,
                completion,
                written=min(prompt * share, written * longest),
                longest_prompt=prompt * longest,
                batch=self._batch,
            )
            for prompt, written, completion in self._each
        )
