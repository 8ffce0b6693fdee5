"""The scheduler against a context that keeps books: answers, shared prefixes and room."""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections.abc import Sequence

import hypothesis.strategies as st
import pytest
from hypothesis import example, given

from workflow_scripts.backends.client import RequestError
from workflow_scripts.backends.llama_cpp_binding import Generated
from workflow_scripts.backends.llama_cpp_scheduler import Scheduler, Tokens

END = 0


def next_token(before: Sequence[int]) -> int:
    """A model: each whole sequence has one next token, and one in six ends the answer."""
    return hashlib.sha256(bytes(before)).digest()[0] % 6


def answer_alone(prompt: list[int], longest: int) -> tuple[str, str]:
    made: list[int] = []
    while len(made) < longest:
        token = next_token(prompt + made)
        if token == END:
            return str(made), "stop"
        made.append(token)
    return str(made), "length"


class BookKeeping:
    """A context that knows which cell holds which token of which sequence."""

    def __init__(
        self,
        sequences: int,
        cells: int,
        batch: int,
        *,
        can_share: bool = True,
        most_pairs: int | None = None,
    ) -> None:
        self.sequences, self.cells, self.batch, self.can_share = sequences, cells, batch, can_share
        self.most_pairs = most_pairs
        self.held: list[list[tuple[int, int]]] = [[] for _ in range(sequences)]  # (cell, token)
        self.rows: list[list[int]] = []
        self.evaluated = 0
        self.is_broken = False
        self.is_asked, self.may_begin = threading.Event(), threading.Event()
        self._names = itertools.count()

    def copy(self, source: int, target: int, length: int) -> None:
        assert not self.held[target]
        assert len(self.held[source]) >= length
        self.held[target] = self.held[source][:length]

    def cut(self, sequence: int, length: int) -> None:
        assert self.can_share or length == 0
        del self.held[sequence][length:]

    def decode(self, tokens: Tokens, positions: Tokens, sequences: Tokens, wanted: Tokens) -> None:
        self.is_asked.set()
        self.may_begin.wait(60)
        assert 0 < len(tokens) <= self.batch
        if self.is_broken:
            self.is_broken = False
            raise RequestError("broken", retryable=True)
        self.rows = []
        for token, position, sequence in zip(tokens, positions, sequences, strict=True):
            held = self.held[sequence]
            assert len(held) == position
            held.append((next(self._names), int(token)))
            self.rows.append([each for _, each in held])
        self.evaluated += len(tokens)
        used = {cell for held in self.held for cell, _ in held}
        assert len(used) <= self.cells
        assert [row for row, is_wanted in enumerate(wanted) if is_wanted] or len(tokens)


class Answering:
    """Takes the one next token of a sequence."""

    def __init__(self, context: BookKeeping, longest: int) -> None:
        self._context, self._longest = context, longest
        self._made: list[int] = []
        self._reason = "stop"
        self.is_closed = False

    def take(self, row: int) -> int | None:
        token = next_token(self._context.rows[row])
        if token == END:
            return None
        self._made.append(token)
        if len(self._made) < self._longest:
            return token
        self._reason = "length"
        return None

    def answer(self) -> Generated:
        assert not self.is_closed
        return Generated(str(self._made), self._reason, len(self._made))  # type: ignore[arg-type]

    def close(self) -> None:
        assert not self.is_closed
        self.is_closed = True


def answers(context: BookKeeping, requests: list[tuple[list[int], int]]) -> list[Generated]:
    """The answers to prompts with their longest lengths, all of which wait at the beginning."""
    scheduler = Scheduler(context)
    futures = [
        scheduler.submit(prompt, longest, Answering(context, longest))
        for prompt, longest in requests
    ]
    context.may_begin.set()
    try:
        return [future.result(60) for future in futures]
    finally:
        scheduler.close()


PROMPTS = st.lists(
    st.tuples(st.lists(st.integers(1, 3), min_size=1, max_size=12), st.integers(1, 6)),
    min_size=1,
    max_size=24,
)


@given(
    requests=PROMPTS,
    sequences=st.integers(1, 5),
    spare=st.integers(0, 40),
    batch=st.integers(5, 20),
    can_share=st.booleans(),
    most_pairs=st.none() | st.integers(1, 60),
)
@example(requests=[([1, 2], 3)] * 3, sequences=2, spare=0, batch=5, can_share=True, most_pairs=None)
def test_each_answer_is_the_one_that_its_prompt_has_alone(
    requests: list[tuple[list[int], int]],
    sequences: int,
    spare: int,
    batch: int,
    can_share: bool,
    most_pairs: int | None,
) -> None:
    longest = max(len(prompt) + most for prompt, most in requests)
    context = BookKeeping(
        sequences, longest + spare, batch, can_share=can_share, most_pairs=most_pairs
    )
    found = answers(context, requests)
    assert [(a.text, a.finish_reason) for a in found] == [answer_alone(*r) for r in requests]
    assert all(1 <= each.at_once <= sequences for each in found)


@given(requests=PROMPTS, sequences=st.integers(1, 5))
def test_each_different_prefix_is_evaluated_once(
    requests: list[tuple[list[int], int]], sequences: int
) -> None:
    """With room for all, whichever comes first; a prompt's last token may be needed again."""
    context = BookKeeping(sequences, 1000, 20)
    found = answers(context, requests)
    prompts = sorted(prompt for prompt, _ in requests)
    prefixes = {tuple(prompt[:end]) for prompt in prompts for end in range(1, len(prompt) + 1)}
    # A prompt that is the beginning of another one, or the same.
    again = sum(
        prompt == other[: len(prompt)] for prompt, other in itertools.pairwise([*prompts, []])
    )
    made = sum(max(0, each.tokens - (each.finish_reason == "length")) for each in found)
    assert context.evaluated <= len(prefixes) + again + made


def test_the_next_prompt_is_the_one_that_shares_most_with_the_last() -> None:
    """Also if it comes earlier in the order of tokens."""
    context = BookKeeping(1, 100, 20)
    scheduler = Scheduler(context)
    futures = []
    for prompt in ([1, 1, 2], [2, 2, 2], [1, 1, 1]):
        futures.append(scheduler.submit(prompt, 1, Answering(context, 1)))
        assert context.is_asked.wait(60)
    context.may_begin.set()
    for future in futures:
        future.result(60)
    scheduler.close()
    assert context.evaluated == 7


def test_a_batch_that_fails_fails_its_requests_alone() -> None:
    context = BookKeeping(2, 100, 20)
    scheduler = Scheduler(context)
    context.is_broken = True
    broken = scheduler.submit([1, 2, 3], 4, Answering(context, 4))
    context.may_begin.set()
    with pytest.raises(RequestError, match="broken"):
        broken.result(60)
    later = scheduler.submit([1, 2, 3], 4, Answering(context, 4))
    assert (later.result(60).text, later.result().finish_reason) == answer_alone([1, 2, 3], 4)
    scheduler.close()
