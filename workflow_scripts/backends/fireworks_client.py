"""Fireworks: chat completions, one by one or as batch inference jobs at half the price."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import time
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl, quote, urlsplit

import aiohttp
from pydantic import AwareDatetime, Field

from ..core.errors import UserError
from ..core.records import Completion, Decoding, Message, Request
from .capabilities import capabilities
from .chat_completions import answered, batch_answer, chat_body, read_chat, response_format
from .client import BatchIntent, BatchResults, BatchStatus, ListedBatch, RequestError
from .fireworks import KEY_VARIABLE
from .hosted import NOT_FOUND, known_model, no_such_model, read_patiently, read_row
from .http import NO_LIMIT, HttpError, HttpServer, Reply, SparseReply, api_key, first_reply
from .settings import BackendSettings

ACCOUNT_VARIABLE = "FIREWORKS_ACCOUNT_ID"

_ENDPOINT = "https://api.fireworks.ai"
_CHAT = "/inference/v1/chat/completions"
_MODEL_NAME = re.compile(r"accounts/([^/]+)/models/[^/#]+")
_LARGEST_DIRECT_UPLOAD = 150_000_000
_FILE_NAME = "requests.jsonl"
_CONFLICT, _BAD_REQUEST = 409, 400
_READY_WITHIN_S = 600.0
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 10.0
_SHORTEST_SECRET = 8

_OFF: dict[str, Any] = {"top_p": 1.0, "top_k": 0}
"""Fireworks takes what a request leaves open from the model's generation_config.json."""

_STATES: Mapping[str, Literal["ended", "cancelled", "failed", "gone"]] = {
    "COMPLETED": "ended",
    "EXPIRED": "ended",
    "EARLY_STOPPED": "ended",
    "CANCELLED": "cancelled",
    "FAILED": "failed",
    "DELETING": "gone",
    "DELETING_CLEANING_UP": "gone",
    "DELETED": "gone",
    "ARCHIVED": "gone",
}


class _Empty(Reply):
    """A reply of which nothing is needed."""


class _Created(Reply):
    name: str


class _Uploaded(Reply):
    id: str


class _Model(Reply):
    name: str
    takes_batches: bool | None = Field(None, alias="batchInferenceSupported")


class _Models(Reply):
    models: list[_Model] = Field(default_factory=list)
    next_page: str | None = Field(None, alias="nextPageToken")


class _Dataset(Reply):
    state: str


class _SignedUrls(Reply):
    urls: dict[str, str] = Field(alias="filenameToSignedUrls")


class _Status(SparseReply):
    code: str = "OK"
    message: str = ""


class _Progress(SparseReply):
    total: int = Field(0, alias="totalInputRequests")
    processed: int = Field(0, alias="totalProcessedRequests")
    done: int = Field(0, alias="successfullyProcessedRequests")
    failed: int = Field(0, alias="failedRequests")


class _Job(SparseReply):
    """A job. By the SDK's types each field may be absent; without a state it runs."""

    name: str = ""
    state: str = ""
    status: _Status | None = None
    progress: _Progress | None = Field(None, alias="jobProgress")
    output: str = Field("", alias="outputDatasetId")
    waits: bool | None = Field(None, alias="waitingOnCapacity")

    @property
    def word(self) -> str:
        return self.state.removeprefix("JOB_STATE_")


class _ListedJob(_Job):
    created_at: Annotated[AwareDatetime, Field(strict=False, alias="createTime")]


class _Jobs(Reply):
    jobs: list[_ListedJob] = Field(default_factory=list, alias="batchInferenceJobs")
    next_page: str | None = Field(None, alias="nextPageToken")


class FireworksClient:
    """Answers chats with a model on Fireworks.

    Data sets and jobs have ids of our choice, made of their intent; what a killed process has
    made is there under that id. Decoding parameters stand in each row, not in the job.
    """

    max_concurrent = NO_LIMIT
    max_batch_requests = NO_LIMIT
    max_batch_bytes = 500_000_000  # the least of the limits that the documentation has given

    def __init__(self, settings: BackendSettings) -> None:
        self._key = key = api_key(KEY_VARIABLE)
        self._account = os.environ.get(ACCOUNT_VARIABLE, "").strip()
        if settings.runs_batches and not self._account:
            raise UserError(
                f"{ACCOUNT_VARIABLE} is not set; batch jobs need it. Put {ACCOUNT_VARIABLE}=... "
                "with the id of your account (not the e-mail address) into the file .env or the "
                "environment, or set use_batch_api: false."
            )
        self._timeout_s = settings.request_timeout_s
        base = (settings.given_address or _ENDPOINT).rstrip("/").removesuffix("/inference/v1")
        self._server = HttpServer(
            base,
            timeout_s=self._timeout_s,
            headers={"Authorization": f"Bearer {key}"},
            secrets=[key],
        )
        self._model = settings.model
        self._batches = settings.runs_batches

    async def open(self) -> None:
        """Nothing has to be made ready."""

    async def check(self) -> str:
        """See that the key is right, the model exists and, where told, that it takes batches."""
        found = _MODEL_NAME.match(self._model)
        if found is None:
            raise UserError(
                f"model_id {self._model!r} is not the name of a model on Fireworks, such as "
                "accounts/fireworks/models/gpt-oss-120b"
            )
        remedy = f"Is the key in {KEY_VARIABLE} (environment or .env) right?"
        model = await known_model(self._server, f"/v1/{found[0]}", _Model, remedy)
        if model is None:
            raise no_such_model(self._server, found[0], await self._models_of(found[1]))
        if self._batches:
            await first_reply(
                self._server,
                f"{self._of_account}/batchInferenceJobs?pageSize=1",
                _Empty,
                f"Is {ACCOUNT_VARIABLE} the account of the key?",
            )
            if model.takes_batches is False:
                raise UserError(
                    f"{self._model} does not take batch jobs: one would wait forever. Set "
                    "use_batch_api: false, or change model_id."
                )
        return f"{self._server.base_url} offers {self._model}"

    async def _models_of(self, account: str) -> list[str]:
        """The names of an account's models."""
        path = f"/v1/accounts/{account}/models?pageSize=200"
        page = await first_reply(self._server, path, _Models, "")
        names = [model.name for model in page.models]
        while page.next_page:
            following = f"{path}&pageToken={quote(page.next_page, safe='')}"
            page = await first_reply(self._server, following, _Models, "")
            names += [model.name for model in page.models]
        return names

    async def close(self) -> None:
        """Close the connections."""
        await self._server.close()

    def identity(self) -> Mapping[str, str]:
        """Engine, endpoint, model, and how much the model is told to reason.

        Jobs and single requests have the same, so each finds the other's answers.
        """
        always = capabilities("fireworks", self._model).always
        return {"engine": "fireworks", "endpoint": _CHAT, "model": self._model, **always}

    async def generate(self, messages: Sequence[Message], decoding: Decoding) -> Completion:
        """Answer one chat."""
        body = self._body(messages, decoding)
        return await answered("fireworks", self._server, _CHAT, body)

    def read_reply(
        self,
        reply: str,
        messages: Sequence[Message],
        decoding: Decoding,
        latency_s: float | None = None,
    ) -> Completion:
        """Read the answer to a chat from a reply as it came."""
        body = self._body(messages, decoding)
        return read_chat("fireworks", self._server, reply, body, latency_s)

    def _body(self, messages: Sequence[Message], decoding: Decoding) -> dict[str, Any]:
        body = chat_body("fireworks", self._model, messages, decoding)
        return _OFF | body | response_format(self.identity(), decoding)

    @property
    def address(self) -> str:
        """Where the jobs are."""
        return f"{self._server.base_url}{self._of_account}"

    def batch_line(self, key: str, request: Request) -> Mapping[str, Any]:
        """One row of a job's data set. The model is the job's."""
        body = self._body(request.messages, request.decoding)
        return {"custom_id": key, "body": {name: body[name] for name in body if name != "model"}}

    @property
    def _of_account(self) -> str:
        return f"/v1/accounts/{self._account}"

    def _job_path(self, job_id: str) -> str:
        return f"{self._of_account}/batchInferenceJobs/{job_id}"

    def _dataset_path(self, dataset_id: str) -> str:
        return f"{self._of_account}/datasets/{dataset_id}"

    async def find_batch(self, intent: BatchIntent, claimed: Collection[str]) -> str | None:
        """The job with the intent's id."""
        if intent.name in claimed:
            return None
        try:
            await self._server.get(self._job_path(intent.name), _Created)
        except HttpError as error:
            if error.status == NOT_FOUND:
                return None
            raise
        return intent.name

    async def submit_batch(self, intent: BatchIntent, lines: Path) -> str:
        """Upload the lines as a data set and create a job; either may be there already."""
        name = intent.name
        with _already(_CONFLICT):
            told = {"userUploaded": {}, "exampleCount": str(intent.requests)}
            new = {"datasetId": name, "dataset": told}
            await self._server.post(f"{self._of_account}/datasets", new, _Created)
        if not await self._is_ready(name):
            with _already(_BAD_REQUEST, "already uploaded"):
                await self._upload(name, lines)
            await self._wait_until_ready(name)
        job = {
            "model": self._model,
            "inputDatasetId": f"accounts/{self._account}/datasets/{name}",
        }
        with _already(_CONFLICT):
            await self._server.request(
                "POST",
                f"{self._of_account}/batchInferenceJobs",
                _Created,
                params={"batchInferenceJobId": name},
                json=job,
            )
        return name

    async def _is_ready(self, dataset_id: str) -> bool:
        dataset = await self._server.get(self._dataset_path(dataset_id), _Dataset)
        return dataset.state == "READY"

    async def _wait_until_ready(self, dataset_id: str) -> None:
        deadline, pause = time.monotonic() + _READY_WITHIN_S, _FIRST_PAUSE_S
        while not await self._is_ready(dataset_id):
            if time.monotonic() > deadline:
                raise self._server.error(
                    f"data set {dataset_id} is not ready {_READY_WITHIN_S:g} s after its upload",
                    retryable=True,
                )
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    async def _upload(self, dataset_id: str, lines: Path) -> None:
        """Send the file: directly, or where it is too large to a signed URL."""
        path, size = self._dataset_path(dataset_id), lines.stat().st_size
        with lines.open("rb") as stream:
            if size <= _LARGEST_DIRECT_UPLOAD:
                form = aiohttp.FormData()
                form.add_field("file", stream, filename=_FILE_NAME)
                await self._server.request("POST", f"{path}:upload", _Uploaded, data=form)
                return
            sizes = {"filenameToSize": {_FILE_NAME: str(size)}}
            signed = await self._server.post(f"{path}:getUploadEndpoint", sizes, _SignedUrls)
            url = self._signed(signed, _FILE_NAME)
            headers = {
                "Content-Type": "application/octet-stream",
                "x-goog-content-length-range": f"{size},{size}",
            }
            async with self._storage(url) as storage:
                await storage.send("PUT", url, data=stream, headers=headers)
        await self._server.post(f"{path}:validateUpload", {}, _Empty)

    async def batch_status(self, job_id: str) -> BatchStatus:
        """How far the job is. A model that takes no batches leaves it PENDING."""
        job = await read_patiently(lambda: self._server.get(self._job_path(job_id), _Job))
        if job is None:
            return BatchStatus("gone", "not found")
        status, progress = job.status or _Status(), job.progress
        message = "waiting for capacity" if job.waits else ""
        if status.code != "OK":
            message = f"{status.code}: {status.message}"
        return BatchStatus(
            _STATES.get(job.word, "running"),
            job.word,
            done=progress.done if progress else None,
            failed=progress.failed if progress else None,
            # The first is what the data set declared, not what was found in it.
            total=max(progress.total, progress.processed) if progress else None,
            message=message,
        )

    async def batch_results(self, job_id: str) -> BatchResults:
        """The lines of the files in the job's output data set."""
        job = await self._server.get(self._job_path(job_id), _Job)
        counted = job.progress.done + job.progress.failed if job.progress else 0
        expected = None if job.word == "COMPLETED" and not counted else counted
        return BatchResults(expected, self._lines(job))

    def read_result(self, line: bytes) -> tuple[str, Completion | RequestError]:
        """Key and result in one line of either file."""
        return read_row(line, partial(batch_answer, "fireworks"))

    async def list_batches(self) -> AsyncIterator[ListedBatch]:
        """All jobs of the account."""
        path = f"{self._of_account}/batchInferenceJobs"
        params = {"pageSize": "200"}
        while True:
            page = await self._server.get(path, _Jobs, params)
            for job in page.jobs:
                yield ListedBatch(
                    job.name.rsplit("/", 1)[-1],
                    job.word,
                    job.created_at,
                    is_running=job.word not in _STATES,
                    requests=job.progress.total if job.progress else None,
                )
            if not page.next_page:
                return
            params["pageToken"] = page.next_page

    async def cancel_batch(self, job_id: str) -> None:
        """Fireworks can only delete a job, and what it has answered by then with it."""
        await self._server.send("DELETE", self._job_path(job_id))

    async def _lines(self, job: _Job) -> AsyncIterator[bytes]:
        path = self._dataset_path(job.output.rsplit("/", 1)[-1])
        try:
            signed = await self._server.get(f"{path}:getDownloadEndpoint", _SignedUrls)
        except HttpError as error:
            if error.status == NOT_FOUND and job.word != "COMPLETED":
                return  # it ended before it had results
            raise
        for name in signed.urls:  # each signed anew: they hold for ten minutes
            again = await self._server.get(f"{path}:getDownloadEndpoint", _SignedUrls)
            url = self._signed(again, name)
            async with self._storage(url) as storage:
                async for line in storage.lines(url):
                    yield line

    def _signed(self, reply: _SignedUrls, name: str) -> str:
        if name not in reply.urls:
            raise self._server.error(f"there is no signed URL for {name}", retryable=True)
        return reply.urls[name]

    @contextlib.asynccontextmanager
    async def _storage(self, url: str) -> AsyncIterator[HttpServer]:
        """The server of a signed URL, which must not get the key; the signature is as secret.

        The files there may still repeat the key.

        Whatever it refuses may pass with the next signature.
        """
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc}"
        values = dict(parse_qsl(parts.query)).values()
        hidden = [parts.query, *(each for each in values if len(each) >= _SHORTEST_SECRET)]
        storage = HttpServer(origin, timeout_s=self._timeout_s, secrets=[self._key], hidden=hidden)
        try:
            yield storage
        except HttpError as error:
            raise RequestError(str(error), retryable=True, wait_s=error.wait_s) from error
        finally:
            await storage.close()


@contextlib.contextmanager
def _already(status: int, words: str = "") -> Iterator[None]:
    """Pass over the refusal that says that something has been done before."""
    try:
        yield
    except HttpError as error:
        if error.status != status or words not in str(error):
            raise
