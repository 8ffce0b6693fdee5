"""A part that goes through its three commands against a test server, and kills at exact calls."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workflow_scripts.answers.batch import Completed, Submitted
from workflow_scripts.answers.collect import collect
from workflow_scripts.answers.poll import poll
from workflow_scripts.answers.settings import InferSettings
from workflow_scripts.answers.submit import submit
from workflow_scripts.core.files import read_jsonl, write_jsonl
from workflow_scripts.core.records import RawLine, Request


@dataclass(frozen=True)
class Kill:
    """The call in which a process is killed: its number from the start, or "METHOD /path"."""

    call: int | str
    after: bool

    @property
    def fault(self) -> str:
        return "after slow" if self.after else "slow"


@dataclass
class BatchPart:
    """One part's three commands, which go on where the last one was killed."""

    server: Any
    settings: InferSettings
    journal: Path
    asked: Path
    requests: list[Request]
    submitted: Submitted | None = None
    completed: Completed | None = None

    def __post_init__(self) -> None:
        write_jsonl(self.asked, self.requests)

    @property
    def raw(self) -> Path:
        return self.asked.with_suffix(".raw")

    @property
    def answers(self) -> list[str | None]:
        """What the server answers."""
        return [f"to {each.messages[-1].content}" for each in self.requests]

    async def run(self) -> None:
        """Run what is left of the three commands."""
        if self.submitted is None:
            self.submitted = await submit(self.asked, self.settings, self.journal)
        if self.completed is None:
            self.completed = await poll(self.submitted, self.settings, self.journal)
        await collect(self.asked, self.completed, self.settings, self.journal, self.raw)

    def start_again(self) -> None:
        """Run all three, as the next start does for a part with failures."""
        self.submitted = self.completed = None
        asyncio.run(self.run())

    def run_until(self, kill: Kill) -> None:
        """Run, and be killed in a call; one that makes fewer calls comes to its end."""
        calls = itertools.count()

        def faults(asked: str, _: int) -> str:
            is_call = asked.startswith(("GET ", "POST ", "PUT ", "DELETE "))
            hit = is_call and kill.call in (next(calls), asked)
            return kill.fault if hit else ""

        self.server.hangs.clear()
        self.server.faults = faults
        asyncio.run(_cut_off(self.run(), self.server.hangs.is_set))
        self.server.faults = lambda *_: ""

    def lines(self) -> list[RawLine]:
        return list(read_jsonl(self.raw, RawLine))

    def texts(self) -> list[str | None]:
        return [line.response_text for line in self.lines()]


def jobs_at(server: Any) -> int:
    """How many jobs were created; one that nobody asks for again is on no bill of a test server."""
    return len(server.batches)


async def _cut_off(work: Coroutine[Any, Any, None], hangs: Callable[[], bool]) -> None:
    task = asyncio.ensure_future(work)
    while not task.done() and not hangs():
        await asyncio.sleep(0.001)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
