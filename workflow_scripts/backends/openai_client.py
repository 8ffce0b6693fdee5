"""OpenAI: chat completions, one by one or as batch jobs at half the price."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Literal

import aiohttp

from ..core.errors import UserError
from ..core.records import Completion, Decoding, Message, Request
from .capabilities import capabilities
from .chat_completions import answered, batch_answer, chat_body, read_chat, response_format
from .client import BatchIntent, BatchResults, BatchStatus, ListedBatch, RequestError
from .hosted import NOT_FOUND, in_late_list, no_such_model, read_patiently, read_row
from .http import NO_LIMIT, HttpError, HttpServer, Reply, api_key, first_reply
from .openai import KEY_VARIABLE
from .settings import BackendSettings

ENDPOINT = "https://api.openai.com"
_ORGANIZATION = {
    "OPENAI_ORG_ID": "OpenAI-Organization",
    "OPENAI_PROJECT_ID": "OpenAI-Project",
}  # whose budget is used, where a key belongs to several; the variables of OpenAI's own SDK
_CHAT = "/v1/chat/completions"
_FILES = "/v1/files"
_BATCHES = "/v1/batches"
_MODELS = "/v1/models"
_LABEL = "assay"
_CLOCKS_DIFFER_BY = timedelta(hours=1)
_EVER = datetime(2020, 1, 1, tzinfo=UTC)  # before there were batch jobs
_PAGE = "100"
_FORBIDDEN = 403
_NAMED_PROBLEMS = 5
_QUEUE_FULL = "token_limit_exceeded"

_STATES: Mapping[str, Literal["ended", "cancelled", "failed"]] = {
    "completed": "ended",
    "expired": "ended",
    "cancelled": "cancelled",
    "failed": "failed",
}


class _Model(Reply):
    id: str


class _Models(Reply):
    data: list[_Model]


class _Counts(Reply):
    completed: int
    failed: int
    total: int


class _Stored(Reply):
    """A file or a batch in a list, and what tells whose it is."""

    id: str
    created_at: int
    filename: str | None = None
    bytes: int | None = None
    input_file_id: str | None = None
    metadata: dict[str, str] | None = None
    status: str = ""
    request_counts: _Counts | None = None


class _Page(Reply):
    data: list[_Stored]
    has_more: bool = False


class _Created(Reply):
    id: str


class _Problem(Reply):
    code: str | None = None
    message: str | None = None
    line: int | None = None


class _Problems(Reply):
    data: list[_Problem] | None = None


class _Batch(Reply):
    status: str
    errors: _Problems | None = None
    request_counts: _Counts | None = None
    output_file_id: str | None = None
    error_file_id: str | None = None


def openai_server(settings: BackendSettings) -> HttpServer:
    """Return OpenAI, or a gateway that speaks the same, with the key.

    Raises:
        UserError: there is no key.
    """
    key = api_key(KEY_VARIABLE)
    base = (settings.given_address or ENDPOINT).rstrip("/").removesuffix("/v1")
    return HttpServer(
        base.rstrip("/"),
        timeout_s=settings.request_timeout_s,
        headers={
            "Authorization": f"Bearer {key}",
            **{
                header: os.environ[variable]
                for variable, header in _ORGANIZATION.items()
                if os.environ.get(variable)
            },
        },
        secrets=[key],
    )


class OpenAIClient:
    """Answers chats with a model of OpenAI, or of a gateway that speaks the same.

    Neither uploads nor jobs have ids of our choice. So that a process which follows a killed one
    finds what that one has made, files carry their intent in their name and jobs in their
    metadata.
    """

    max_concurrent = NO_LIMIT
    max_batch_requests = 50_000
    max_batch_bytes = 200_000_000

    def __init__(self, settings: BackendSettings) -> None:
        self._server = openai_server(settings)
        self._model = settings.model

    async def open(self) -> None:
        """Nothing has to be made ready."""

    async def check(self) -> str:
        """See that the key is right and the model is among those it may use."""
        remedy = f"Is the key in {KEY_VARIABLE} (environment or .env) right?"
        try:
            served = await first_reply(self._server, _MODELS, _Models, remedy)
        except UserError as error:
            cause = error.__cause__
            if isinstance(cause, HttpError) and cause.status in (_FORBIDDEN, NOT_FOUND):
                return f"not checked: {cause}"  # a key or a gateway that only answers
            raise
        ids = [model.id for model in served.data]
        if self._model not in ids:
            raise no_such_model(self._server, self._model, ids)
        return f"{self._server.base_url} offers {self._model}"

    async def close(self) -> None:
        """Close the connections."""
        await self._server.close()

    def identity(self) -> Mapping[str, str]:
        """Engine, endpoint, model, and how much the model is told to reason.

        Jobs and single requests have the same, so each finds the other's answers.
        """
        row = capabilities("openai", self._model)
        named = {"engine": "openai", "endpoint": _CHAT, "model": self._model}
        return {**named, **row.always, **row.new_rules}

    async def generate(self, messages: Sequence[Message], decoding: Decoding) -> Completion:
        """Answer one chat."""
        body = self._body(messages, decoding)
        return await answered("openai", self._server, _CHAT, body)

    def read_reply(
        self,
        reply: str,
        messages: Sequence[Message],
        decoding: Decoding,
        latency_s: float | None = None,
    ) -> Completion:
        """Read the answer to a chat from a reply as it came."""
        body = self._body(messages, decoding)
        return read_chat("openai", self._server, reply, body, latency_s)

    def _body(self, messages: Sequence[Message], decoding: Decoding) -> dict[str, Any]:
        body = chat_body("openai", self._model, messages, decoding)
        return body | response_format(self.identity(), decoding)

    @property
    def address(self) -> str:
        """Where the jobs are."""
        return self._server.base_url

    def batch_line(self, key: str, request: Request) -> Mapping[str, Any]:
        """One line of a job's input file."""
        body = self._body(request.messages, request.decoding)
        return {"custom_id": key, "method": "POST", "url": _CHAT, "body": body}

    async def find_batch(self, intent: BatchIntent, claimed: Collection[str]) -> str | None:
        """The job with the intent's name among those that were created since."""

        async def labelled() -> str | None:
            async for batch in self._listed(_BATCHES, intent.at):
                if (batch.metadata or {}).get(_LABEL) == intent.name and batch.id not in claimed:
                    return batch.id
            return None

        return await in_late_list(labelled)

    async def submit_batch(self, intent: BatchIntent, lines: Path) -> str:
        """Upload the lines and create a job.

        A file that was uploaded for this intent before is used again, and so is the job if there
        is one with that file.
        """
        name, size = f"{intent.name}.jsonl", lines.stat().st_size
        async for file in self._listed(_FILES, intent.at, purpose="batch", order="desc"):
            if file.filename == name and file.bytes == size:
                async for batch in self._listed(_BATCHES, intent.at):
                    if batch.input_file_id == file.id:
                        return batch.id
                return await self._created(intent, file.id)
        with lines.open("rb") as stream:
            form = aiohttp.FormData({"purpose": "batch"})
            form.add_field("file", stream, filename=name, content_type="application/jsonl")
            uploaded = await self._server.request("POST", _FILES, _Created, data=form)
        return await self._created(intent, uploaded.id)

    async def _created(self, intent: BatchIntent, file_id: str) -> str:
        job = {
            "input_file_id": file_id,
            "endpoint": _CHAT,
            "completion_window": "24h",
            "metadata": {_LABEL: intent.name},
        }
        return (await self._server.post(_BATCHES, job, _Created)).id

    async def _listed(self, path: str, since: datetime, **params: str) -> AsyncIterator[_Stored]:
        """Files or batches, the newest first, page by page back to a time."""
        oldest = (since - _CLOCKS_DIFFER_BY).timestamp()
        params["limit"] = _PAGE
        while True:
            page = await self._server.get(path, _Page, params)
            for each in page.data:
                yield each
            if not page.has_more or all(each.created_at < oldest for each in page.data):
                return
            params["after"] = page.data[-1].id

    async def batch_status(self, job_id: str) -> BatchStatus:
        """How far the job is."""
        batch = await read_patiently(lambda: self._server.get(f"{_BATCHES}/{job_id}", _Batch))
        if batch is None:
            return BatchStatus("gone", "not found")
        problems = (batch.errors and batch.errors.data) or []
        counts = batch.request_counts
        return BatchStatus(
            _STATES.get(batch.status, "running"),
            batch.status,
            done=counts.completed if counts else None,
            failed=counts.failed if counts else None,
            total=counts.total if counts else None,
            message="; ".join(_described(each) for each in problems[:_NAMED_PROBLEMS]),
            queue_full=any(each.code == _QUEUE_FULL for each in problems),
        )

    async def batch_results(self, job_id: str) -> BatchResults:
        """The lines of the output file and of the error file.

        Of a job that was not completed, requests that were never executed may have none.
        """
        batch = await self._server.get(f"{_BATCHES}/{job_id}", _Batch)
        counts, is_complete = batch.request_counts, batch.status == "completed"
        if counts is None:
            expected = None if is_complete else 0
        else:
            expected = counts.total if is_complete else counts.completed + counts.failed
        return BatchResults(expected, self._lines(batch))

    def read_result(self, line: bytes) -> tuple[str, Completion | RequestError]:
        """Key and result in one line of either file."""
        return read_row(line, partial(batch_answer, "openai"))

    async def list_batches(self) -> AsyncIterator[ListedBatch]:
        """All jobs of the project, newest first."""
        async for each in self._listed(_BATCHES, _EVER):
            yield ListedBatch(
                each.id,
                each.status,
                datetime.fromtimestamp(each.created_at, UTC),
                is_running=each.status not in _STATES,
                requests=each.request_counts.total if each.request_counts else None,
            )

    async def cancel_batch(self, job_id: str) -> None:
        """It takes up to ten minutes; what is answered by then is paid and kept."""
        await self._server.send("POST", f"{_BATCHES}/{job_id}/cancel")

    async def _lines(self, batch: _Batch) -> AsyncIterator[bytes]:
        for file_id in (batch.output_file_id, batch.error_file_id):
            if file_id is not None:
                async for line in self._server.lines(f"{_FILES}/{file_id}/content"):
                    yield line


def _described(problem: _Problem) -> str:
    where = f" (line {problem.line})" if problem.line is not None else ""
    return f"{problem.code}: {problem.message}{where}"
