"""Show the batch jobs of all configured providers, cancel one, or have what it left sent again."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

from ..backends.client import BatchClient, ListedBatch, RequestError, make_client
from ..backends.ledger import last_entry
from ..backends.prices import dollars
from ..core.block import Block
from ..core.errors import UserError, command
from ..core.files import read_settings
from ..core.locks import locked
from ..core.logs import log_to
from .job_folder import Job, JobFolder, job_folders
from .settings import InferSettings

log = logging.getLogger(__name__)

_HEAD = ("id", "state", "age", "requests", "US$", "job")


class JobsSettings(Block):
    """The models that take batch jobs, by the name that stands in paths."""

    models: dict[str, InferSettings]


@dataclass(frozen=True)
class KnownJob:
    """One job of this results folder, and where it is written down."""

    folder: JobFolder
    job: Job


class Account:
    """One provider's account: its list of jobs, and which of them are known here.

    Args:
        client: of any model at the account; opened.
        settings: that model's.
        journal_root: folder of all journals.
    """

    def __init__(self, client: BatchClient, settings: InferSettings, journal_root: Path) -> None:
        self.client = client
        self.address = client.address
        self._settings = settings
        self.known = [
            KnownJob(folder, job)
            for folder in job_folders(journal_root, client.identity()["engine"])
            for job in folder.jobs()
            if job.address in (None, client.address)
        ]

    async def listed(self) -> list[ListedBatch]:
        """All its jobs.

        Raises:
            UserError: they cannot be listed.
        """
        try:
            return [each async for each in self.client.list_batches()]
        except RequestError as error:
            raise UserError(f"{error}. The jobs cannot be listed now.") from error

    async def rows(self) -> list[tuple[str, ...]]:
        """What matters of its jobs: those that run, are not collected, or are kept back."""
        by_id = {each.job.id: each.job for each in self.known if each.job.id is not None}
        shown = [
            self._row(each, by_id.get(each.id))
            for each in await self.listed()
            if each.is_running or _matters(by_id.get(each.id))
        ]
        seen = {row[0] for row in shown}
        for job in (each.job for each in self.known):
            if _matters(job) and job.id not in seen:
                at = datetime.fromisoformat(job.submitted_at or job.intended_at)
                word = "not submitted yet" if job.id is None else "not listed"
                unlisted = ListedBatch(job.id or "–", word, at, is_running=False)
                shown.append(self._row(unlisted, job))
        return shown

    def _row(self, listed: ListedBatch, job: Job | None) -> tuple[str, ...]:
        requests = job.requests if job is not None else listed.requests
        return (
            listed.id,
            _state(listed, job),
            _age(datetime.now(UTC) - listed.created_at),
            "?" if requests is None else str(requests),
            self._price(job),
            "not of this folder" if job is None else job.name,
        )

    def _price(self, job: Job | None) -> str:
        """What a job has cost, or may cost, if this experiment pays for it."""
        if job is None or self._settings.spending is None:
            return "?"
        path = Path(self._settings.spending.folder) / f"{job.name}.jsonl"
        entry = last_entry(path) if path.exists() else None
        if entry is None:
            return "?"
        reserved = entry.reserved_usd
        return f"at most {dollars(reserved)}" if reserved else dollars(entry.paid_usd)


def _matters(job: Job | None) -> bool:
    return job is not None and (not job.collected or job.keeps_back())


def _state(listed: ListedBatch, job: Job | None) -> str:
    if job is None or not job.keeps_back():
        return listed.word
    notes = [listed.word] if job.held is None else [job.held, "not sent again"]
    return ", ".join(notes + ([f"{len(job.unread)} unreadable"] if job.unread else []))


def _age(age: timedelta) -> str:
    hours = age.total_seconds() / 3600
    if hours < 1:
        return f"{max(0.0, hours * 60):.0f} min"
    return f"{hours:.0f} h" if hours < 48 else f"{hours / 24:.0f} d"


@contextlib.asynccontextmanager
async def accounts(settings: JobsSettings, journal_root: Path) -> AsyncIterator[list[Account]]:
    """The accounts of all configured models, each once."""
    async with contextlib.AsyncExitStack() as stack:
        found: dict[str, Account] = {}
        for of_model in settings.models.values():
            client = cast(BatchClient, make_client(of_model.backend))
            stack.push_async_callback(client.close)
            await client.open()
            if client.address not in found:
                found[client.address] = Account(client, of_model, journal_root)
        yield list(found.values())


async def show(settings: JobsSettings, journal_root: Path) -> list[str]:
    """The table of all jobs that matter, line by line."""
    lines: list[str] = []
    async with accounts(settings, journal_root) as found:
        for account in found:
            rows = await account.rows()
            lines.append(f"{account.address}: {len(rows) or 'no'} jobs to see to")
            if rows:
                lines += _aligned([_HEAD, *rows])
    return lines or ["No configured backend takes batch jobs."]


def _aligned(rows: list[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield ("  " + "  ".join(cells)).rstrip()


async def cancel(job_id: str, settings: JobsSettings, journal_root: Path) -> str:
    """Ask a provider to end a job. Its requests are not sent again by themselves.

    Raises:
        UserError: no account has it, or it cannot be cancelled.
    """
    async with accounts(settings, journal_root) as found:
        for account in found:
            if job_id in [each.id for each in await account.listed()]:
                try:
                    await account.client.cancel_batch(job_id)
                except RequestError as error:
                    raise UserError(f"{job_id} was not cancelled: {error}") from error
                return f"{job_id}: the provider was asked to cancel it"
    raise UserError(f"{job_id}: no such job at the configured providers")


async def resend(name: str, settings: JobsSettings, journal_root: Path) -> str:
    """Let the next run send what a job has left unanswered.

    Args:
        name: the job's id or its name here.
        settings: the configured models.
        journal_root: folder of all journals.

    Raises:
        UserError: there is no such job here, nothing of it is kept back, or it still runs.
    """
    async with accounts(settings, journal_root) as found:
        for account in found:
            for known in account.known:
                job = known.job
                if name not in (job.id, job.name) or job.id is None:
                    continue
                if job.collected and not job.keeps_back():
                    raise UserError(f"{name}: nothing of it is kept back")
                if not job.collected and await _still_runs(account.client, job.id):
                    raise UserError(f"{name} still runs. Wait for it, or cancel it first.")
                with locked(known.folder.file(job.name, "lock")):
                    latest = known.folder.find(job.name) or job
                    known.folder.write(latest.model_copy(update={"resend": True}))
                return f"{name}: the next run sends what has no answer, and pays for it"
    raise UserError(f"{name}: no such job in {journal_root.as_posix()}")


async def _still_runs(client: BatchClient, job_id: str) -> bool:
    try:
        return (await client.batch_status(job_id)).state == "running"
    except RequestError as error:
        raise UserError(f"{job_id}: its state cannot be read: {error}") from error


@command
def main() -> None:
    """Show the batch jobs of all configured providers, cancel one, or have its rest sent again."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--settings", type=Path, required=True)
    parser.add_argument("--journal", type=Path, default=Path("results/journal"))
    parser.add_argument("--log", type=Path, help="file for the messages shown in the terminal")
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--cancel", metavar="ID", help="end this job at its provider")
    action.add_argument("--resend", metavar="ID", help="send what this job has left unanswered")
    args = parser.parse_args()

    log_to(args.log)
    settings = read_settings(args.settings, JobsSettings)
    if args.cancel is not None:
        log.info("%s", asyncio.run(cancel(args.cancel, settings, args.journal)))
    elif args.resend is not None:
        log.info("%s", asyncio.run(resend(args.resend, settings, args.journal)))
    else:
        log.info("%s", "\n".join(asyncio.run(show(settings, args.journal))))
        this = f"python -m workflow_scripts.answers.jobs --settings {args.settings.as_posix()}"
        log.info("\nTo end a job: %s --cancel ID", this)
        log.info("To send what a job has left unanswered: %s --resend ID", this)


if __name__ == "__main__":
    main()
