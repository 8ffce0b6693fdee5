"""What the parts of one model would ask, and what that would cost, before anything is sent.

Prompts are counted, and the journal is read: for what it holds already, and for how long the
answers of an arm have been so far.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from ..answers.job_folder import submitted_keys
from ..answers.journal import Journal, Place, journal_folder, request_digest
from ..answers.parts import RETEST, part_requests
from ..answers.reuse import Answers, Wanted
from ..backends.bounds import UpperBound
from ..backends.capabilities import dropped
from ..backends.client import LocalClient, make_client
from ..backends.http import without_waiting
from ..backends.ledger import Ledger, counted_as
from ..backends.prices import no_price
from ..backends.reuse import Reuse
from ..backends.schema import NotEnforced, not_enforced
from ..backends.settings import BackendSettings
from ..backends.tokens import Counter, counter, tokenizer_of
from ..core.errors import UserError
from ..core.records import Completion, Request
from .plan_records import ModelRecord, RowRecord, SchemaRecord
from .plan_settings import PlannedModel

_SAMPLE = 1000
"""Answers of an arm and task that are read to see how long its answers are."""


@dataclass
class Row:
    """What one part, or the sum of several, would ask; `RowRecord` says what each number is."""

    requests: int = 0
    different: int = 0
    held: int | None = 0
    submitted: int = 0
    to_send: int = 0
    prompt_tokens: float = 0.0
    completion_tokens: float = 0.0
    at_most_completion_tokens: int = 0
    cost_usd: float | None = 0.0
    at_most_usd: float | None = 0.0
    seconds: float | None = 0.0

    def __add__(self, other: Row) -> Row:
        return Row(*(_sum(mine, getattr(other, name)) for name, mine in vars(self).items()))

    def numbers(self) -> dict[str, Any]:
        """The fields of its record: whole tokens, and a ten-thousandth of a cent."""
        whole = ("prompt_tokens", "completion_tokens")
        return {
            name: value if value is None else round(value) if name in whole else round(value, 6)
            for name, value in vars(self).items()
        }

    def recorded(self) -> RowRecord:
        """The row in plan.json."""
        return RowRecord(**self.numbers())


def _sum(one: Any, other: Any) -> Any:
    return None if one is None or other is None else one + other


class Group(NamedTuple):
    """What is alike in the length of its answers: a prompt and a task, in one folder of parts."""

    inputs_folder: str
    prompt: str
    task: str


@dataclass
class Measured:
    """How many tokens the journaled answers of a group took, beside what is counted here."""

    answers: int = 0
    prompt_tokens: int = 0
    counted_prompt_tokens: int = 0
    completion_tokens: int = 0
    timed: int = 0
    seconds: float = 0.0

    def add_time(self, answer: Completion) -> None:
        """Add the time that an answer took its server, shared with the others in flight."""
        if answer.latency_s is not None:
            self.timed += 1
            self.seconds += answer.latency_s / (answer.at_once or 1)

    @property
    def seconds_each(self) -> float | None:
        """Mean time between two answers in seconds, by Little's law; ``None``: none was timed."""
        return self.seconds / self.timed if self.timed else None

    @property
    def per_counted(self) -> float:
        """Real prompt tokens for each one counted."""
        return self.prompt_tokens / self.counted_prompt_tokens if self.counted_prompt_tokens else 1

    @property
    def completion(self) -> float:
        """Mean length of an answer in tokens."""
        return self.completion_tokens / self.answers


@dataclass
class Known:
    """What can be known of a model's answers without asking it."""

    journal: Journal | None = None
    submitted: set[str] = field(default_factory=set)
    note: str | None = None


class ModelPlan:
    """Plans the parts of one model.

    Args:
        model: the model.
        journal_root: folder of all journals.
        planned: digests that are planned already, by identity: another backend's name for the
            same model asks nothing again.
        ledger: what the experiment has paid, and how many tokens its prompts had.
        estimated: requests that are not made yet, in the place of the parts that they belong to.
    """

    def __init__(
        self,
        model: PlannedModel,
        journal_root: Path,
        planned: dict[str, set[str]],
        ledger: Ledger,
        estimated: Mapping[Path, Sequence[Request]] | None = None,
    ) -> None:
        self.model = model
        self._estimated = estimated or {}
        self.dropped: dict[str, str] = {}
        self.not_enforced: Mapping[NotEnforced, int] = {}
        self.measured: dict[Group, Measured] = {}
        self._identity, self._reuse, note = _identity(model.settings)
        self.known = Known(note=note)
        if self._identity is not None:
            self._answers = Answers(journal_root, self._identity, self._reuse)
            folder = journal_folder(journal_root, self._identity)
            self.known = Known(Journal(folder), submitted_keys(folder / "jobs"))
        self._planned = planned.setdefault(
            str(self._identity or (model.backend, model.model)), set()
        )
        self._batch = model.settings.runs_batches
        self.counter: Counter = counter(tokenizer_of(model.settings))
        self._counted = ledger.counted(counted_as(model.backend, model.settings))

    def rows(self, files: Iterable[Path]) -> dict[Path, Row]:
        """What each part would ask; equal requests count for the first part that has one."""
        files = list(files)
        self._read_schemas(files)
        answers, kept = self._held(files)
        self._measure(files, answers)
        return {path: self._row(path, answers.keys() | kept) for path in files}

    def stand_in(self, path: Path) -> Row:
        """What a part would ask in whose place others will be sent, as many and about as long.

        None of them counts as held or as equal to another part's.
        """
        requests = list(self._requests(path))
        different = dict(requests)
        row, bound = self._empty()
        row.requests, row.different = len(requests), len(different)
        for request in different.values():
            self._add(row, request, None)
            if bound is not None:
                bound.add(request)
        if bound is not None:
            row.at_most_usd = bound.usd(self._counted)
        return row

    def _read_schemas(self, files: list[Path]) -> None:
        """Find out what is not enforced of the requests' JSON schemas."""
        if self._identity is None:
            return
        requests = (request for path in files for _, request in self._requests(path))
        try:
            self.not_enforced = not_enforced(self._identity, requests)
        except UserError as error:
            self.known.note = str(error)

    def _held(self, files: list[Path]) -> tuple[dict[str, Place], Collection[str]]:
        """Where the journal holds answers to requests, and to which it keeps unread replies."""
        if self.known.journal is None:
            return {}, ()
        wanted = {
            digest: Wanted.of(request, self._reuse)
            for path in files
            for digest, request in self._requests(path)
        }
        answers = self._answers.find(wanted, claim=False)
        return answers, self.known.journal.kept(wanted.keys() - answers.keys())

    def _measure(self, files: list[Path], held: Mapping[str, Place]) -> None:
        if not held or self.known.journal is None:
            return
        for path in files:
            for digest, request in self._requests(path):
                group = self.measured.setdefault(_group(path, request), Measured())
                if digest not in held or group.answers >= _SAMPLE:
                    continue
                answer = self.known.journal.read(held[digest])
                counted = self.counter.prompt(request.messages)
                usage = answer.usage
                group.answers += 1
                group.add_time(answer)
                group.counted_prompt_tokens += counted
                group.prompt_tokens += _or(usage.prompt_tokens, counted)
                group.completion_tokens += (
                    self.counter.text(answer.response_text)
                    if usage.completion_tokens is None
                    else usage.completion_tokens
                )

    def one_of(self, requests: Sequence[Request]) -> Row:
        """What one of some requests would ask, where it is not known yet which one is sent.

        An answer to any of them counts as held; without one, the longest request is counted.
        """
        identity = self._identity or {}
        wanted = {request_digest(identity, each): Wanted.of(each, self._reuse) for each in requests}
        held: Collection[str] = ()
        if self.known.journal is not None:
            answers = self._answers.find(wanted, claim=False)
            held = answers.keys() | set(self.known.journal.kept(wanted.keys() - answers.keys()))
        row, bound = self._empty()
        row.requests = row.different = 1
        if held:
            row.held = 1
        elif self.known.submitted & wanted.keys():
            row.submitted = 1
        else:
            longest = max(requests, key=lambda each: self.counter.prompt(each.messages))
            self._add(row, longest, None)
            if bound is not None:
                bound.add(longest)
                row.at_most_usd = bound.usd(self._counted)
        return row

    def _empty(self) -> tuple[Row, UpperBound | None]:
        """A row without requests, and the bound of what they cost, if they cost something."""
        row = Row(held=0 if self.known.journal is not None else None)
        quote, bound = self.model.quote, None
        if quote is None:
            row.cost_usd = row.at_most_usd = None
        elif not quote.is_free:
            engine = self.model.settings.engine
            bound = UpperBound(quote, self.counter, engine=engine, batch=self._batch)
        return row, bound

    def _row(self, path: Path, held: Collection[str]) -> Row:
        row, bound = self._empty()
        for digest, request in self._requests(path):
            if not row.requests:
                asked = self.model.settings
                self.dropped |= dropped(asked.engine, asked.model, request.decoding, asked.shape)
            row.requests += 1
            if digest in self._planned:
                continue
            self._planned.add(digest)
            row.different += 1
            if digest in held:
                row.held = (row.held or 0) + 1
            elif digest in self.known.submitted:
                row.submitted += 1
            else:
                self._add(row, request, self.measured.get(_group(path, request)))
                if bound is not None:
                    bound.add(request)
        if bound is not None:
            row.at_most_usd = bound.usd(self._counted)
        return row

    def _add(self, row: Row, request: Request, measured: Measured | None) -> None:
        """Add a request that is to be sent."""
        prompt: float = self.counter.prompt(request.messages)
        completion: float = request.decoding.most_tokens
        longest = request.decoding.most_tokens
        each = None if measured is None or self._batch else measured.seconds_each
        if measured is not None and measured.answers:
            prompt *= measured.per_counted
            completion = measured.completion
        row.to_send += 1
        row.seconds = _sum(row.seconds, each)
        row.prompt_tokens += prompt
        row.completion_tokens += completion
        row.at_most_completion_tokens += longest
        quote = self.model.quote
        if quote is not None and row.cost_usd is not None:
            row.cost_usd += quote.usd(prompt, completion, batch=self._batch)

    def _requests(self, path: Path) -> Iterator[tuple[str, Request]]:
        identity = self._identity or {}
        for request in part_requests(path, Request, self._estimated):
            yield request_digest(identity, request), request

    def recorded(self) -> ModelRecord:
        """The model in plan.json."""
        settings, quote = self.model.settings, self.model.quote
        return ModelRecord(
            backend=self.model.backend,
            model=settings.model,
            batch=self._batch,
            price=quote,
            prompt_tokens_by=self.counter.method,
            prompt_tokens_are_estimates=not self.counter.exact,
            measured_answers=sum(each.answers for each in self.measured.values()),
            answers_behind_at_most=self._counted.answers,
            not_sent=self.dropped,
            schemas_not_enforced=[
                SchemaRecord(**each._asdict(), schemas=schemas)
                for each, schemas in sorted(self.not_enforced.items())
            ],
            notes=[
                note
                for note in (self.known.note, no_price(settings) if quote is None else None)
                if note is not None
            ],
        )


def _group(path: Path, request: Request) -> Group:
    # Answers to requests that are sent again are as long as they were.
    folder = path.parent.as_posix().removesuffix(RETEST)
    return Group(folder, request.prompt, request.type)


def _identity(
    settings: BackendSettings,
) -> tuple[Mapping[str, str] | None, Reuse, str | None]:
    """Who would answer and which journaled answers count, or why that cannot be told now."""

    async def ask() -> tuple[Mapping[str, str], Reuse]:
        client = make_client(settings)
        try:
            if settings.declaration.server is not None:
                await client.check()  # the server tells what is behind the model's name
            reuse = client.reuse() if isinstance(client, LocalClient) else Reuse()
            return client.identity(), reuse
        finally:
            await client.close()

    try:
        with without_waiting():
            return *asyncio.run(ask()), None
    except UserError as error:
        return None, Reuse(), f"what the journal holds cannot be told: {error}"


def _or(value: int | None, otherwise: int) -> int:
    return otherwise if value is None else value
