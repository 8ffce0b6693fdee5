"""Many chats at once in one llama.cpp context: shared prefixes are evaluated once.

Requests wait in the order of their tokens, and the next is the one that shares most with the last:
a walk through the tree of their prefixes. A request that begins like a sequence in the context
takes over that beginning, and evaluates its own rest alone. New sequences enter as others end;
prompts and new tokens share batches (Orca, OSDI 2022; RadixAttention,
https://arxiv.org/abs/2312.07104).
"""

from __future__ import annotations

import bisect
import dataclasses
import itertools
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from .client import RequestError
from .llama_cpp_binding import Generated

Tokens = npt.NDArray[np.int32]


class Continuation(Protocol):
    """The answer to one prompt while it is made."""

    def take(self, row: int) -> int | None:
        """Choose the next token by the logits of a row of the last batch.

        Returns:
            The token, to be evaluated for the next one; None at the end of the answer.

        Raises:
            RequestError: the answer cannot go on.
        """
        ...

    def answer(self) -> Generated:
        """Return the whole answer, without its times."""
        ...

    def close(self) -> None:
        """Give back what choosing its tokens took."""
        ...


class Context(Protocol):
    """A llama.cpp context with several sequences over one cache of keys and values."""

    sequences: int
    """Sequences that it has."""

    cells: int
    """Tokens that its cache holds, over all sequences."""

    batch: int
    """Tokens that are evaluated together at most."""

    most_pairs: int | None
    """Tokens of a prompt times cells in use, up to which a request starts beside others. None: no
    limit, where attention costs nothing for the cells of other sequences."""

    can_share: bool
    """Whether a sequence can be cut and copied at any token: not in recurrent models."""

    def copy(self, source: int, target: int, length: int) -> None:
        """Let the target sequence begin with the first tokens of another."""
        ...

    def cut(self, sequence: int, length: int) -> None:
        """Forget all but the first tokens of a sequence."""
        ...

    def decode(
        self,
        tokens: Tokens,
        positions: Tokens,
        sequences: Tokens,
        wanted: npt.NDArray[np.int8],
    ) -> None:
        """Evaluate tokens; ``wanted`` is 1 where the logits are needed.

        Raises:
            RequestError: llama.cpp gave up.
        """
        ...


@dataclass(eq=False)
class _Job:
    """A request, from its arrival to its answer. ``longest``: of its answer, in tokens."""

    prompt: list[int]
    longest: int
    continuation: Continuation
    future: Future[Generated]


@dataclass(eq=False)
class _Running:
    """A request that has a sequence.

    ``evaluated`` tokens of the sequence are in the cache; ``pending`` ones come next: the rest of
    the prompt, then one token at a time.
    """

    job: _Job
    evaluated: int
    pending: list[int]
    at_once: int
    started: float = field(default_factory=time.perf_counter)
    first_token_s: float = 0.0


@dataclass(eq=False)
class _Sequence:
    """A sequence of the context: its tokens, pending ones included, and the cells for them.

    While it is ``running`` it also has the cells for its longest answer.
    """

    number: int
    tokens: list[int] = field(default_factory=list)
    cells: Tokens = field(default_factory=lambda: np.empty(0, np.int32))
    running: _Running | None = None
    last_used: int = 0

    @property
    def evaluated(self) -> int:
        """Tokens that are in the cache."""
        return len(self.tokens) if self.running is None else self.running.evaluated


class _Share(NamedTuple):
    """How many tokens of a sequence are in the next batch."""

    sequence: _Sequence
    running: _Running
    length: int


class Cells:
    """Which cells of the cache are in use, and by how many sequences.

    llama.cpp places tokens by itself; these numbers stand for its cells, so that a request starts
    only if there is room for its longest answer.
    """

    def __init__(self, count: int) -> None:
        self._users = np.zeros(count, np.int32)

    @property
    def free(self) -> int:
        """Cells that no sequence uses."""
        return int(np.count_nonzero(self._users == 0))

    def take(self, count: int) -> Tokens:
        """Take free cells."""
        found = np.flatnonzero(self._users == 0)[:count].astype(np.int32)
        self.share(found)
        return found

    def share(self, cells: Tokens) -> None:
        """Use cells that another sequence uses."""
        self._users[cells] += 1

    def release(self, cells: Tokens) -> None:
        """Use cells no longer."""
        self._users[cells] -= 1


class Scheduler:
    """Answers prompts in one context, in a thread of its own.

    Args:
        context: where prompts are evaluated; from now on the scheduler's alone.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._sequences = [_Sequence(number) for number in range(context.sequences)]
        self._cells = Cells(context.cells)
        self._waiting: list[_Job] = []
        self._last: list[int] = []
        self._clock = itertools.count(1)
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="llama.cpp", daemon=True)
        self._thread.start()

    def submit(
        self, prompt: Sequence[int], longest: int, continuation: Continuation
    ) -> Future[Generated]:
        """Return the future answer to a prompt, of at most ``longest`` tokens."""
        job = _Job(list(prompt), longest, continuation, Future())
        with self._changed:
            bisect.insort(self._waiting, job, key=_tokens)
            self._changed.notify()
        return job.future

    def close(self) -> None:
        """End the thread. Requests without an answer get none."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while self._has_work():
            try:
                self._step()
            except RequestError as error:
                self._fail_all(error)

    def _has_work(self) -> bool:
        """Wait for a request; False at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._waiting or any(self._running()))
            return not self._closed

    def _running(self) -> Iterator[tuple[_Sequence, _Running]]:
        return ((each, each.running) for each in self._sequences if each.running is not None)

    def _step(self) -> None:
        """Evaluate one batch, and choose a token of each answer in it."""
        with self._changed:
            while self._waiting and self._admit():
                pass
            self._forget_idle()
        shares = self._next_batch()
        rows = list(itertools.accumulate(share.length for share in shares))
        self._evaluate(shares)
        for share, row in zip(shares, rows, strict=True):
            share.running.evaluated += share.length
            del share.running.pending[: share.length]
            if not share.running.pending:
                self._advance(share.sequence, share.running, row - 1)

    def _next_batch(self) -> list[_Share]:
        """One token of each answer, then as much of the prompts as fits."""
        left, shares = self._context.batch, []
        for sequence, running in sorted(self._running(), key=lambda each: len(each[1].pending) > 1):
            count = min(len(running.pending), left)
            if count:
                shares.append(_Share(sequence, running, count))
                left -= count
        return shares

    def _evaluate(self, shares: list[_Share]) -> None:
        tokens: list[int] = []
        positions: list[int] = []
        sequences: list[int] = []
        wanted: list[int] = []
        for sequence, running, length in shares:
            tokens += running.pending[:length]
            positions += range(running.evaluated, running.evaluated + length)
            sequences += [sequence.number] * length
            wanted += [0] * (length - 1) + [int(length == len(running.pending))]
        self._context.decode(
            np.array(tokens, np.int32),
            np.array(positions, np.int32),
            np.array(sequences, np.int32),
            np.array(wanted, np.int8),
        )

    def _advance(self, sequence: _Sequence, running: _Running, row: int) -> None:
        """Choose the next token of an answer, or end it."""
        job, now = running.job, time.perf_counter()
        try:
            token = job.continuation.take(row)
        except RequestError as error:
            self._end(sequence, running)
            job.future.set_exception(error)
            return
        running.first_token_s = running.first_token_s or now - running.started
        if token is not None:
            running.pending.append(token)
            sequence.tokens.append(token)
            return
        answer = dataclasses.replace(
            job.continuation.answer(),
            first_token_s=running.first_token_s,
            seconds=now - running.started,
            at_once=running.at_once,
        )
        self._end(sequence, running)
        job.future.set_result(answer)

    def _end(self, sequence: _Sequence, running: _Running) -> None:
        """Take the sequence from its request; its tokens stay for others."""
        running.job.continuation.close()
        sequence.running = None
        self._cells.release(sequence.cells[running.evaluated :])
        sequence.cells = sequence.cells[: running.evaluated]
        del sequence.tokens[running.evaluated :]

    def _admit(self) -> bool:
        """Give the next waiting request a sequence, if there is one with room for its answer."""
        idle = [each for each in self._sequences if each.running is None]
        if not idle:
            return False
        place = self._next()
        job = self._waiting[place]
        source, shared = self._nearest(job.prompt)
        if source is not None and source.evaluated < shared:
            return False  # what it shares is evaluated in the next batches
        is_alone = len(idle) == len(self._sequences)
        if not is_alone and self._is_crowded(len(job.prompt) - shared):
            return False
        if source in idle:
            target = source
        else:
            target = min(idle, key=lambda each: (bool(each.tokens), each.last_used))
        self._cut(target, shared if source is target else 0)
        needed = len(job.prompt) + job.longest - shared
        while self._cells.free < needed:
            others = [each for each in idle if each.tokens and each not in (source, target)]
            if not others:
                return False
            self._cut(min(others, key=lambda each: each.last_used), 0)
        if source is not None and source is not target:
            self._context.copy(source.number, target.number, shared)
            target.cells = source.cells[:shared]
            self._cells.share(target.cells)
        del self._waiting[place]
        target.cells = np.concatenate([target.cells, self._cells.take(needed)])
        target.tokens = list(job.prompt)
        at_once = len(self._sequences) - len(idle) + 1
        target.running = _Running(job, shared, job.prompt[shared:], at_once)
        target.last_used = next(self._clock)
        self._last = job.prompt
        return True

    def _is_crowded(self, length: int) -> bool:
        """Return whether so many tokens are better evaluated when other answers have ended."""
        most = self._context.most_pairs
        return most is not None and length * (self._context.cells - self._cells.free) > most

    def _next(self) -> int:
        """The place of the waiting request that shares most with the last one.

        It is a neighbour in the order of tokens: the later one, if both share as much.
        """
        later = bisect.bisect_left(self._waiting, self._last, key=_tokens)
        earlier = later - 1
        shared = [
            _shared(self._waiting[place].prompt, self._last)
            if 0 <= place < len(self._waiting)
            else -1
            for place in (earlier, later)
        ]
        return earlier if shared[0] > shared[1] else later % len(self._waiting)

    def _nearest(self, prompt: list[int]) -> tuple[_Sequence | None, int]:
        """The sequence that shares most with a prompt, rather an idle one, and how many tokens.

        The last token of a prompt is always evaluated, for its logits.
        """
        best, most = None, 0
        for each in self._sequences if self._context.can_share else ():
            if each.tokens[:most] != prompt[:most]:
                continue
            shared = most + _shared(each.tokens[most:], prompt[most:])
            is_better = best is None or (best.running is not None and each.running is None)
            if shared > most or (shared == most and most and is_better):
                best, most = each, shared
        return best, most

    def _forget_idle(self) -> None:
        """Forget what idle sequences hold, but the one that the next request begins like.

        llama.cpp computes with all cells up to the last one in use.
        """
        if self._waiting:
            kept, _ = self._nearest(self._waiting[self._next()].prompt)
        else:
            kept = max(self._sequences, key=lambda each: each.last_used)
        for each in self._sequences:
            if each.running is None and each is not kept:
                self._cut(each, 0)

    def _cut(self, sequence: _Sequence, length: int) -> None:
        """Forget all but the first tokens of an idle sequence."""
        if len(sequence.tokens) > length:
            self._context.cut(sequence.number, length)
            self._cells.release(sequence.cells[length:])
            sequence.tokens = sequence.tokens[:length]
            sequence.cells = sequence.cells[:length]

    def _fail_all(self, error: RequestError) -> None:
        """Fail the requests in the context, and go on with an empty one."""
        for sequence, running in list(self._running()):
            self._end(sequence, running)
            running.job.future.set_exception(error)
        for sequence in self._sequences:
            self._context.cut(sequence.number, 0)
            self._cut(sequence, 0)


def _tokens(job: _Job) -> list[int]:
    return job.prompt


def _shared(one: list[int], other: list[int]) -> int:
    """The number of tokens that both begin with, the other's last one aside."""
    least, most = 0, min(len(one), len(other) - 1)
    while least < most:
        middle = (least + most + 1) // 2
        if one[least:middle] == other[least:middle]:
            least = middle
        else:
            most = middle - 1
    return least
