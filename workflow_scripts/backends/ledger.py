"""What an experiment has paid or may have paid, and its budget, which no process passes.

Each sending process, and each batch job, has a small file of its own in the experiment's folder
``spending``, to which it appends its running totals: what is paid for answers, what may have been
charged without an answer, and what is reserved for requests that are under way. Nothing in it is
ever changed, so no writer needs a lock and a kill loses nothing: a request is reserved before it is
sent, and an answer's price is written down before the answer itself. What was under way when a
process was killed stays reserved, because the provider may have charged it.

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

from ..core.block import Block
from ..core.errors import UserError
from ..core.files import AppendedFile
from ..core.records import Completion, Record, Request, Usage
from .bounds import Counted, UpperBound, request_sizes
from .client import RequestError
from .prices import Quote, dollars
from .settings import BackendSettings
from .tokens import Counter, TokenizerFile, counter

_TAIL_BYTES = 4096
_COUNTED_AT_MOST = 1000
"""Answers of one process from which the tokens of a model's prompts are learned."""

_TOLERANCE_USD = 1e-9  # sums of floating-point numbers are off by less
_LOOK_EVERY_S = 0.2
_PATIENCE_S = 60.0
"""How long to wait for what other processes have reserved while nothing changes there."""


class SpendingSettings(Block):
    """Where spending is written down, who is asked, what tokens cost, and what may be paid.

    ``model`` says whose tokens are counted; see `counted_as`.
    """

    folder: str
    engine: str
    model: str
    tokenizer: TokenizerFile
    quote: Quote
    budget_usd: float | None


def counted_as(backend: str, settings: BackendSettings) -> str:
    """Return the name under which the ledger keeps the counts of a model's prompts."""
    return f"{backend}/{settings.model}"


class Embedded(Record):
    """The texts that an embedder made vectors of, and their tokens as the provider counted them."""

    embedder: str
    model: str
    texts: int = 0
    tokens: int = 0


class Entry(Record):
    """One line of a file: its running totals in US dollars; after a ``final`` one none follows.

    ``lost_usd`` is the most that requests without an answer may have cost (a reply that was cut
    off or cannot be read). ``counted`` is what the provider of ``model`` has counted; while a
    batch job is open, only the sizes of its requests are known. ``embedded``: what an embedder got
    for the money, if it is one.
    """

    paid_usd: float
    reserved_usd: float
    lost_usd: float = 0.0
    final: bool = False
    model: str = ""
    counted: Counted = Counted()
    embedded: Embedded | None = None


@dataclass(frozen=True)
class Spent:
    """Sums over files, in US dollars: paid for answers, reserved, and lost without an answer."""

    paid_usd: float = 0.0
    reserved_usd: float = 0.0
    lost_usd: float = 0.0

    @property
    def charged_usd(self) -> float:
        """What is paid or lost: nothing gives it back."""
        return self.paid_usd + self.lost_usd

    @property
    def total_usd(self) -> float:
        """What is paid, and what may be or may still become so."""
        return self.charged_usd + self.reserved_usd

    def in_words(self) -> str:
        """The parts that are not 0."""
        parts = [f"{dollars(self.paid_usd)} paid"]
        if self.lost_usd > _TOLERANCE_USD:
            parts.append(f"up to {dollars(self.lost_usd)} charged for replies that were lost")
        if self.reserved_usd > _TOLERANCE_USD:
            parts.append(
                f"up to {dollars(self.reserved_usd)} for what is under way or was when a process "
                "was killed"
            )
        return ", ".join(parts)


class Ledger:
    """All files of an experiment, read again only where they have grown."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: dict[str, tuple[int, Entry | None]] = {}

    def spent(self) -> Spent:
        """The sum of all files' last totals."""
        return _sum(self._entries())

    def counted(self, model: str) -> Counted:
        """What was counted of a model's prompts."""
        found = (entry.counted for entry in self._entries() if entry.model == model)
        return sum((each for each in found if each.answers), Counted())

    def embedded(self, embedder: str, model: str) -> tuple[Embedded, Spent]:
        """Return what an embedder was sent, and its part of the spending."""
        found = [
            (entry, entry.embedded)
            for entry in self._entries()
            if entry.embedded
            and (entry.embedded.embedder, entry.embedded.model) == (embedder, model)
        ]
        return (
            Embedded(
                embedder=embedder,
                model=model,
                texts=sum(each.texts for _, each in found),
                tokens=sum(each.tokens for _, each in found),
            ),
            _sum(entry for entry, _ in found),
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


def _sum(entries: Iterable[Entry]) -> Spent:
    entries = list(entries)
    return Spent(
        math.fsum(entry.paid_usd for entry in entries),
        math.fsum(entry.reserved_usd for entry in entries),
        math.fsum(entry.lost_usd for entry in entries),
    )


def last_entry(path: Path) -> Entry | None:
    """The newest whole line of a file; a torn one at its end does not count."""
    with path.open("rb") as stream:
        size = path.stat().st_size
        for tail in (_TAIL_BYTES, size):  # the last line may be longer
            stream.seek(max(0, size - tail))
            for line in reversed(stream.read().split(b"\n")[:-1]):
                with contextlib.suppress(ValidationError):
                    return Entry.model_validate_json(line)
    return None


class LedgerFile(AppendedFile):
    """One file of the ledger, to which one process writes."""

    def write(self, entry: Entry) -> None:
        """Append totals.

        Raises:
            UserError: they cannot be written.
        """
        try:
            self.append(entry.model_dump_json(exclude_defaults=True))
        except OSError as error:
            raise UserError(
                f"{self.path}: the ledger of what is paid cannot be written ({error.strerror}), so "
                "nothing more is sent. All answers are kept. Free some space and start again."
            ) from error


class _Spending:
    """What requests cost, and the sum that they are held against."""

    def __init__(self, settings: SpendingSettings, *, batch: bool) -> None:
        self._settings = settings
        self._quote = settings.quote
        self._budget = settings.budget_usd
        self._batch = batch
        self._ledger = Ledger(Path(settings.folder))

    @functools.cached_property
    def _counter(self) -> Counter:
        return counter(self._settings.tokenizer)

    def _bound(self, requests: Iterable[Request]) -> UpperBound:
        bound = UpperBound(
            self._quote, self._counter, engine=self._settings.engine, batch=self._batch
        )
        for request in requests:
            bound.add(request)
        return bound

    def _refusal(self, spent: Spent, usd: float, what: str, counted: Counted) -> UserError:
        remedy = (
            ""
            if counted.answers or self._settings.tokenizer.path is not None
            else " No answer has shown yet how many tokens this model's prompts have, so each byte "
            "counts as one; after a small run (limit_items) less is set aside."
        )
        return UserError(
            f"budget_usd={self._budget:g} is reached: {spent.in_words()}; {what} may cost "
            f"{dollars(usd)}, so nothing more is sent. All answers are kept. To continue, raise "
            f"budget_usd and start again: only requests without an answer are sent.{remedy}"
        )


@dataclass(eq=False)
class Reservation:
    """What is set aside for a request while it is under way."""

    request: Request
    usd: float


class RequestSpending(_Spending):
    """Holds single requests against the budget. Use as a context manager while sending.

    A single prompt may be unlike all that were counted, so it is reserved at the number of tokens
    that it cannot exceed.

    Args:
        settings: the experiment's, for the model that is asked.
        name: of what is sent; part of the file's name.
    """

    def __init__(self, settings: SpendingSettings, name: str) -> None:
        super().__init__(settings, batch=False)
        unique = f"{name}-{time.time_ns()}-{os.getpid()}-{uuid.uuid4().hex[:8]}.jsonl"
        self._file = LedgerFile(self._ledger.folder / unique)
        self._paid = 0.0
        self._lost = 0.0
        self._open: set[Reservation] = set()
        self._counted = Counted()
        self._settled = asyncio.Event()

    @property
    def paid_usd(self) -> float:
        """What this process has paid for answers, in US dollars."""
        return self._paid

    @functools.cached_property
    def _counted_before(self) -> Counted:
        return self._ledger.counted(self._settings.model)

    def most(self, request: Request) -> float:
        """What a request costs at most: all its prompt can be, and the longest answer."""
        beyond = max(self._counted_before.beyond, self._counted.beyond)
        return self._bound([request]).certain_usd(beyond)

    async def reserve(self, request: Request) -> Reservation:
        """Set aside what a request may cost; waits where only what is under way stands against it.

        Returns:
            What was set aside, for `settle`.

        Raises:
            UserError: the budget does not allow it.
        """
        reservation = Reservation(request, self.most(request))
        await self._set_aside(reservation)
        return reservation

    async def again(self, reservation: Reservation, error: RequestError) -> None:
        """Book a try that failed, and set the same aside for the next one.

        Raises:
            UserError: the budget does not allow another try.
        """
        if error.may_be_charged:
            self._open.remove(reservation)
            self._lost += self._cost(reservation, error.usage)
            await self._set_aside(reservation)

    def settle(self, reservation: Reservation, outcome: Completion | RequestError | None) -> None:
        """Write down what a request cost in the end.

        Args:
            reservation: what was set aside for it.
            outcome: its answer, why there is none, or None if it was not sent. An answer without
                counts, and a failure without them for which the provider may charge, cost what
                was set aside.
        """
        self._open.discard(reservation)
        if isinstance(outcome, Completion):
            self._paid += self._cost(reservation, outcome.usage)
            self._count(reservation.request, outcome)
        elif outcome is not None and outcome.may_be_charged:
            self._lost += self._cost(reservation, outcome.usage)
        self._write()
        self._settled.set()

    def _cost(self, reservation: Reservation, usage: Usage | None) -> float:
        cost = None if usage is None else self._quote.usd_of(usage, batch=False)
        return reservation.usd if cost is None else cost

    def _count(self, request: Request, answer: Completion) -> None:
        tokens = answer.usage.prompt_tokens
        if tokens is not None and self._counted.answers < _COUNTED_AT_MOST:
            sizes = request_sizes(self._counter, request)
            self._counted += Counted(answers=1, tokens=tokens, sizes=sizes)

    async def _set_aside(self, reservation: Reservation) -> None:
        usd = reservation.usd
        seen, since = None, time.monotonic()
        while True:
            self._open.add(reservation)
            self._write()
            if self._budget is None:
                return
            spent = self._ledger.spent()
            if spent.total_usd <= self._budget + _TOLERANCE_USD:
                return
            self._open.remove(reservation)
            self._write()
            others = Spent(spent.paid_usd, spent.reserved_usd - usd, spent.lost_usd)
            if others != seen:
                seen, since = others, time.monotonic()
            never = spent.charged_usd + usd > self._budget + _TOLERANCE_USD
            stuck = not self._open and time.monotonic() - since > _PATIENCE_S
            if never or stuck:
                counted = self._counted_before + self._counted
                raise self._refusal(others, usd, "the next request", counted)
            await self._something_settles()

    def _write(self, *, final: bool = False) -> None:
        entry = Entry(
            paid_usd=self._paid,
            reserved_usd=math.fsum(each.usd for each in self._open),
            lost_usd=self._lost,
        )
        if final:  # what was counted is long, and needed only afterwards
            update = {"final": True, "model": self._settings.model, "counted": self._counted}
            entry = entry.model_copy(update=update)
        self._file.write(entry)

    async def _something_settles(self) -> None:
        """Wait until a request of this process has ended, or for a moment."""
        self._settled.clear()
        pause = _LOOK_EVERY_S * random.uniform(0.5, 1.5)  # noqa: S311 - no secret
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._settled.wait(), pause)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file.is_open and not self._open:
            with contextlib.suppress(UserError):  # a full disk was told when it was met
                self._write(final=True)
        self._file.close()


class JobSpending(_Spending):
    """Holds batch jobs against the budget: what one may cost is reserved until it is collected."""

    def __init__(self, settings: SpendingSettings) -> None:
        super().__init__(settings, batch=True)

    def reserve(self, job: str, requests: Iterable[Request]) -> None:
        """Set aside what a job may cost, before the provider hears of it.

        Args:
            job: its name; what is set aside for it already is not made less.
            requests: those of its requests that are known here.

        Raises:
            UserError: the budget does not allow it.
        """
        known = self._entry(job) or Entry(paid_usd=0.0, reserved_usd=0.0)
        counted = self._ledger.counted(self._settings.model)
        bound = self._bound(requests)
        usd, sizes = bound.usd(counted), bound.sizes
        if known.reserved_usd > usd:
            usd, sizes = known.reserved_usd, known.counted.sizes
        self._write(job, reserved_usd=usd, counted=Counted(sizes=sizes))
        if self._budget is None:
            return
        spent = self._ledger.spent()
        if spent.total_usd > self._budget + _TOLERANCE_USD:
            self._write(job)
            others = Spent(spent.paid_usd, spent.reserved_usd - usd, spent.lost_usd)
            raise self._refusal(others, usd, "the next batch job", counted)

    def is_open(self, job: str) -> bool:
        """Whether this experiment pays for a job and has not settled it."""
        entry = self._entry(job)
        return entry is not None and entry.reserved_usd > 0

    def settle(
        self, job: str, requests: int, answers: Iterable[Completion], *, lost: int = 0
    ) -> None:
        """Write down what a job of so many requests has cost: the price of its answers.

        An answer without its engine's counts is taken to have cost what was set aside for it.

        Args:
            job: its name.
            requests: how many it has.
            answers: what came of it.
            lost: requests for which the provider may charge although there is no answer in hand:
                results that cannot be read, or that are gone.
        """
        entry = self._entry(job) or Entry(paid_usd=0.0, reserved_usd=0.0)
        average = entry.reserved_usd / requests if requests else 0.0
        paid, tokens = [], []
        for answer in answers:
            cost = self._quote.usd_of(answer.usage, batch=True)
            paid.append(average if cost is None else cost)
            if answer.usage.prompt_tokens is not None:
                tokens.append(answer.usage.prompt_tokens)
        share = len(tokens) / requests if requests else 0.0
        sizes = {kind: size * share for kind, size in entry.counted.sizes.items()}
        self._write(
            job,
            paid_usd=math.fsum(paid),
            lost_usd=average * lost,
            counted=Counted(answers=len(tokens), tokens=sum(tokens), sizes=sizes),
        )

    def _entry(self, job: str) -> Entry | None:
        path = self._path(job)
        return last_entry(path) if path.exists() else None

    def _write(
        self,
        job: str,
        *,
        paid_usd: float = 0.0,
        reserved_usd: float = 0.0,
        lost_usd: float = 0.0,
        counted: Counted | None = None,
    ) -> None:
        entry = Entry(
            paid_usd=paid_usd,
            reserved_usd=reserved_usd,
            lost_usd=lost_usd,
            model=self._settings.model,
            counted=counted or Counted(),
        )
        with contextlib.closing(LedgerFile(self._path(job))) as file:
            file.write(entry)

    def _path(self, job: str) -> Path:
        return self._ledger.folder / f"{job}.jsonl"


def job_spending(settings: SpendingSettings | None) -> JobSpending | None:
    """Where jobs are written down; nowhere, if what they cost is not known."""
    return None if settings is None else JobSpending(settings)
