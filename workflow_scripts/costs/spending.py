"""What an experiment has paid, and its budget, which no process passes.

Each sending process, and each batch job, has a small file of its own in the experiment's folder
``spending``, to which it appends its running totals: what is paid, and what is reserved for
requests that are under way. Nothing in it is ever changed, so no writer needs a lock and a kill
loses nothing: an answer's price is written down before the answer itself. What was under way when
a process was killed stays reserved, because the provider may have charged it.

A process writes its reservation down before it looks at the sum over all files. Of two that
reserve at the same time at least one therefore sees both, and the budget holds without a lock.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import math
import os
import random
import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydantic import ValidationError

from ..errors import UserError
from ..files import AppendedFile
from ..records import Completion, Record, Request, Usage
from .prices import dollars
from .settings import SpendingSettings
from .tokens import Counter, counter

_TAIL_BYTES = 4096
_TOLERANCE_USD = 1e-9  # sums of floating-point numbers are off by less
_LOOK_EVERY_S = 0.2
_PATIENCE_S = 60.0
"""How long to wait for what other processes have reserved while nothing changes there."""


class Entry(Record):
    """One line of a file: its running totals in US dollars; after a ``final`` one none follows."""

    paid_usd: float
    reserved_usd: float
    final: bool = False


@dataclass(frozen=True)
class Spent:
    """Sums over files, in US dollars."""

    paid_usd: float = 0.0
    reserved_usd: float = 0.0

    @property
    def total_usd(self) -> float:
        """What is paid, and what may still become so."""
        return self.paid_usd + self.reserved_usd


class Ledger:
    """All files of an experiment, read again only where they have grown."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: dict[str, tuple[int, Entry | None]] = {}

    def spent(self) -> Spent:
        """The sum of all files' last totals."""
        entries = list(self._entries())
        return Spent(
            math.fsum(entry.paid_usd for entry in entries),
            math.fsum(entry.reserved_usd for entry in entries),
        )

    def _entries(self) -> Iterator[Entry]:
        if not self.folder.is_dir():
            return
        with os.scandir(self.folder) as files:
            for file in files:
                size, entry = self._known.get(file.name, (-1, None))
                if not file.name.endswith(".jsonl") or (entry is not None and entry.final):
                    pass
                elif size != (grown := os.stat(file.path).st_size):  # noqa: PTH116 - faster
                    entry = last_entry(Path(file.path))
                    self._known[file.name] = grown, entry
                if entry is not None:
                    yield entry


def last_entry(path: Path) -> Entry | None:
    """The newest whole line of a file; a torn one at its end does not count."""
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - _TAIL_BYTES))
        lines = stream.read().split(b"\n")[:-1]
    for line in reversed(lines):
        with contextlib.suppress(ValidationError):
            return Entry.model_validate_json(line)
    return None


class _File(AppendedFile):
    """One file of the ledger, to which one process writes."""

    def write(self, paid_usd: float, reserved_usd: float, *, final: bool = False) -> None:
        entry = Entry(paid_usd=paid_usd, reserved_usd=reserved_usd, final=final)
        try:
            self.append(entry.model_dump_json(exclude_defaults=True))
        except OSError as error:
            raise UserError(
                f"{self.path}: what was paid cannot be written down ({error.strerror}), so "
                "nothing more is sent. Free some space and start again."
            ) from error


class _Spending:
    """What requests cost, and the sum that they are held against."""

    def __init__(self, settings: SpendingSettings, *, batch: bool) -> None:
        self._quote = settings.quote
        self._budget = settings.budget_usd
        self._batch = batch
        self._tokenizer = settings.tokenizer
        self._ledger = Ledger(Path(settings.folder))

    @functools.cached_property
    def _counter(self) -> Counter:
        return counter(self._tokenizer)

    def most(self, request: Request) -> float:
        """What a request may cost: its prompt's tokens as counted here, and the longest answer."""
        prompt = self._counter.prompt(request.messages)
        return self._quote.usd(prompt, request.decoding.max_new_tokens, batch=self._batch)

    def _refusal(self, spent: Spent, usd: float, what: str) -> UserError:
        reserved = (
            f" and up to {dollars(spent.reserved_usd)} more by what is under way or was when a "
            "process was killed"
            if spent.reserved_usd > _TOLERANCE_USD
            else ""
        )
        return UserError(
            f"budget_usd={self._budget:g} is reached: {dollars(spent.paid_usd)} are paid{reserved},"
            f" and {what} may cost {dollars(usd)}, so nothing more is sent. All answers are kept. "
            "To go on, raise budget_usd and start again: only what has no answer is sent."
        )


class RequestSpending(_Spending):
    """Holds single requests against the budget. Use as a context manager while sending.

    Args:
        settings: the experiment's, for the model that is asked.
        name: of what is sent; part of the file's name.
    """

    def __init__(self, settings: SpendingSettings, name: str) -> None:
        super().__init__(settings, batch=False)
        unique = f"{name}-{time.time_ns()}-{os.getpid()}-{uuid.uuid4().hex[:8]}.jsonl"
        self._file = _File(self._ledger.folder / unique)
        self._paid = 0.0
        self._reserved = 0.0
        self._under_way = 0
        self._settled = asyncio.Event()

    async def reserve(self, request: Request) -> float:
        """Set aside what a request may cost; waits where only what is under way stands against it.

        Returns:
            What was set aside, for `settle`.

        Raises:
            UserError: the budget does not allow it.
        """
        if self._budget is None:
            return 0.0
        usd = self.most(request)
        seen, since = None, time.monotonic()
        while True:
            self._file.write(self._paid, self._reserved + usd)
            spent = self._ledger.spent()
            if spent.total_usd <= self._budget + _TOLERANCE_USD:
                self._reserved += usd
                self._under_way += 1
                return usd
            self._file.write(self._paid, self._reserved)
            others = Spent(spent.paid_usd, spent.reserved_usd - usd)
            if others != seen:
                seen, since = others, time.monotonic()
            never = spent.paid_usd + usd > self._budget + _TOLERANCE_USD
            stuck = not self._under_way and time.monotonic() - since > _PATIENCE_S
            if never or stuck:
                raise self._refusal(others, usd, "the next request")
            await self._something_settles()

    def settle(self, reserved: float, request: Request, completion: Completion | None) -> None:
        """Write down what a request cost in the end: nothing, where no answer came."""
        if completion is not None:
            self._paid += self._cost(request, completion)
        if self._budget is not None:
            self._under_way -= 1
            self._reserved = max(0.0, self._reserved - reserved) if self._under_way else 0.0
        elif completion is None:
            return
        self._file.write(self._paid, self._reserved)
        self._settled.set()

    def may_be_charged(self, request: Request, usage: Usage | None) -> None:
        """Write down a try without an answer that the provider may charge all the same.

        Its price is that of the tokens it reported, or else the most that it may cost.
        """
        cost = None if usage is None else self._quote.usd_of(usage, batch=False)
        self._paid += self.most(request) if cost is None else cost
        self._file.write(self._paid, self._reserved)

    def _cost(self, request: Request, completion: Completion) -> float:
        cost = self._quote.usd_of(completion.usage, batch=False)
        if cost is not None:
            return cost
        estimate = Usage(
            prompt_tokens=self._counter.prompt(request.messages),
            completion_tokens=self._counter.text(completion.response_text),
        )
        return self._quote.usd_of(estimate, batch=False) or 0.0

    async def _something_settles(self) -> None:
        """Wait until a request of this process has ended, or for a moment."""
        self._settled.clear()
        pause = _LOOK_EVERY_S * random.uniform(0.5, 1.5)  # noqa: S311 - no secret
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._settled.wait(), pause)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file.is_open and not self._under_way:
            with contextlib.suppress(UserError):  # a full disk was told when it was met
                self._file.write(self._paid, 0.0, final=True)
        self._file.close()


class JobSpending(_Spending):
    """Holds batch jobs against the budget: what one may cost is reserved until it is collected."""

    def __init__(self, settings: SpendingSettings) -> None:
        super().__init__(settings, batch=True)

    def reserve(self, job: str, requests: Iterable[Request], *, allowed: bool = False) -> None:
        """Set aside what a job may cost, before the provider hears of it.

        Args:
            job: its name; what is set aside for it already is not made less.
            requests: those of its requests that are known here.
            allowed: it was let through before, so it is not refused now.

        Raises:
            UserError: the budget does not allow it.
        """
        known = self._entry(job)
        usd = max(math.fsum(map(self.most, requests)), known.reserved_usd if known else 0.0)
        self._write(job, 0.0, usd)
        if self._budget is None or allowed:
            return
        spent = self._ledger.spent()
        if spent.total_usd > self._budget + _TOLERANCE_USD:
            self._write(job, 0.0, 0.0)
            others = Spent(spent.paid_usd, spent.reserved_usd - usd)
            raise self._refusal(others, usd, "the next batch job")

    def is_open(self, job: str) -> bool:
        """Whether this experiment pays for a job and has not settled it."""
        entry = self._entry(job)
        return entry is not None and entry.reserved_usd > 0

    def settle(
        self, job: str, requests: int, answers: Iterable[Completion], *, lost: int = 0
    ) -> None:
        """Write down what a job of so many requests has cost: the price of its answers.

        An answer without its engine's counts is taken to have cost what was set aside for it, and
        so are ``lost`` requests: their results cannot be read, or are gone.
        """
        entry = self._entry(job)
        average = entry.reserved_usd / requests if entry is not None and requests else 0.0
        costs = (self._quote.usd_of(answer.usage, batch=True) for answer in answers)
        paid = math.fsum(average if cost is None else cost for cost in costs)
        self._write(job, paid + average * lost, 0.0)

    def _entry(self, job: str) -> Entry | None:
        path = self._path(job)
        return last_entry(path) if path.exists() else None

    def _write(self, job: str, paid_usd: float, reserved_usd: float) -> None:
        with contextlib.closing(_File(self._path(job))) as file:
            file.write(paid_usd, reserved_usd)

    def _path(self, job: str) -> Path:
        return self._ledger.folder / f"{job}.jsonl"


def job_spending(settings: SpendingSettings | None) -> JobSpending | None:
    """Where jobs are written down; nowhere, if what they cost is not known."""
    return None if settings is None else JobSpending(settings)
