"""What becomes of a part under each fault, for each backend: the table in docs/backends.md.

Run as ``python tests/fault_matrix.py`` to write the table anew; a test compares it with what
happens.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import tenacity
from answering import request
from backends import BACKENDS, Backend
from conftest import REPOSITORY
from servers.base import AFTER, running

from workflow_scripts.answers import collect, poll, submit
from workflow_scripts.answers.executor import SyncExecutor
from workflow_scripts.answers.settings import InferSettings
from workflow_scripts.backends import hosted
from workflow_scripts.backends.client import make_client
from workflow_scripts.backends.settings import BackendSettings
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import read_jsonl, write_jsonl
from workflow_scripts.core.records import RawLine

PAGE = REPOSITORY / "docs/backends.md"
BEGIN, END = "<!-- fault matrix: begin -->", "<!-- fault matrix: end -->"

_REQUESTS = 6

Faults = Callable[[str, int], str]


def _is_call(question: str) -> bool:
    """Whether it is a call such as "POST /v1/files" or "/api/tags" and not a question."""
    return question.startswith(("GET ", "POST ", "PUT ", "/"))


def _every_first_time(fault: str) -> Faults:
    """Each question and each call of a batch API meets the fault once."""
    return lambda question, tries: "" if tries else fault


def _first_question(fault: str) -> Faults:
    """Each question meets the fault once; calls of batch APIs do not."""
    return lambda question, tries: "" if tries or _is_call(question) else fault


FAULTS: dict[str, tuple[str, str]] = {
    "429 with Retry-After": ("first", "429"),
    "500": ("first", "500"),
    "503": ("first", "503"),
    "connection reset": ("first", "reset"),
    "half a body": ("first", "half"),
    "half of the JSON": ("first", "half JSON"),
    "empty body": ("first", "empty"),
    "wrong types": ("first", "wrong types"),
    "error under status 200": ("first", "error in 200"),
    "HTML of a gateway (502)": ("first", "HTML"),
    "no reply within the time-out": ("first", "slow"),
    "reply lost after the effect": ("first", f"{AFTER}reset"),
    "result twice": ("output", "twice"),
    "result of nobody's request": ("output", "unknown"),
    "result missing": ("output", "missing"),
    "result line cut": ("output", "malformed"),
    "result with wrong types": ("output", "shapeless"),
    "row fails with 500": ("row", "500"),
    "row fails with 400": ("row", "400"),
    "wrong key": ("key", ""),
}


def cell(backend: Backend, fault: str) -> str:
    """What becomes of a part of this backend under a fault, in the table's words."""
    kind, detail = FAULTS[fault]
    if kind in ("output", "row") and not backend.is_batch:
        return "–"
    if kind == "key" and not backend.keys:
        return "–"
    with running(backend.server()) as server, tempfile.TemporaryDirectory() as folder:
        server.retry_after = "0.01"
        if kind == "first":
            server.faults = _every_first_time(detail)
        elif kind == "output":
            server.output_faults = _Once([detail])
        elif kind == "row":
            server.faults = lambda question, tries: (
                detail if "2" in question and not tries and not _is_call(question) else ""
            )
        try:
            lines = run_part(backend, server, Path(folder), timeout_s=2 if detail == "slow" else 60)
        except UserError:
            paid = _times_paid(server)
            return f"stopped and told, {_paid(paid)}" if paid else "told, nothing sent"
        return _in_words(lines, _times_paid(server))


def run_part(backend: Backend, server: Any, folder: Path, timeout_s: float) -> list[RawLine]:
    """Run one part as the rules do."""
    backend_settings = BackendSettings(**backend.settings(server), request_timeout_s=timeout_s)
    settings = InferSettings(backend=backend_settings, max_retries=2)
    asked, raw, journal = folder / "part.jsonl", folder / "raw.jsonl", folder / "journal"
    write_jsonl(asked, [request(number) for number in range(_REQUESTS)])
    if backend.is_batch:
        submitted = asyncio.run(submit.submit(asked, settings, journal))
        completed = asyncio.run(poll.poll(submitted, settings, journal))
        asyncio.run(collect.collect(asked, completed, settings, journal, raw))
    else:
        client = make_client(settings.backend)
        asyncio.run(_checked(client))
        SyncExecutor(make_client(settings.backend), journal, max_retries=2).run_jsonl(asked, raw, 4)
    return list(read_jsonl(raw, RawLine))


async def _checked(client: Any) -> None:
    try:
        await client.check()
    finally:
        await client.close()


def _times_paid(server: Any) -> list[int]:
    """How often each request was paid for."""
    if hasattr(server, "billed"):
        return sorted(server.billed().values())
    return sorted(server.outcomes("answered").values())


def _in_words(lines: list[RawLine], paid: list[int]) -> str:
    failed = sum(line.error is not None for line in lines)
    came = "answered" if not failed else f"{failed} of {len(lines)} an error line"
    return f"{came}, {_paid(paid)}"


def _paid(times: list[int]) -> str:
    return "paid once" if not times or set(times) == {1} else f"paid up to {max(times)} times"


class _Once(list[str]):
    """Faults that only the first file of results meets."""

    def __iter__(self) -> Iterator[str]:
        faults = list(super().__iter__())
        self.clear()
        return iter(faults)


@contextmanager
def _impatient() -> Iterator[None]:
    """Pauses between tries are short, so that the table is made quickly."""
    quick = tenacity.wait_fixed(0.01)
    with (
        mock.patch.object(tenacity, "wait_random_exponential", lambda **_: quick),
        mock.patch.object(hosted, "LISTING_LAG_S", 0.1),  # a test server creates a job at once
    ):
        yield


@contextmanager
def _keys(*, wrong: bool) -> Iterator[None]:
    """The keys of all backends, in the environment."""
    names = {name: key for backend in BACKENDS for name, key in backend.keys.items()}
    keys = {name: "wrong" if wrong and "KEY" in name else key for name, key in names.items()}
    with mock.patch.dict(os.environ, keys):
        yield


def table() -> str:
    """The whole matrix as Markdown. Its cells are made beside each other: they mostly wait."""
    names = [backend.name for backend in BACKENDS]
    rows = []
    for wrong in (False, True):
        with _impatient(), _keys(wrong=wrong), ThreadPoolExecutor(8) as pool:
            for fault, (kind, _) in FAULTS.items():
                if (kind == "key") == wrong:
                    of_row = pool.map(partial(cell, fault=fault), BACKENDS)
                    rows.append((fault, of_row))
    lines = [f"| {fault} | {' | '.join(of_row)} |" for fault, of_row in rows]
    head = [f"| fault | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    return "\n".join([*head, *lines])


def table_in_page() -> str:
    """The matrix as the page has it."""
    return PAGE.read_text(encoding="utf-8").split(BEGIN)[1].split(END)[0].strip()


def main() -> None:
    """Write the table into the page."""
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    after = rest.split(END)[1]
    PAGE.write_text(f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
