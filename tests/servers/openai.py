"""OpenAI: chat completions, files and batches."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from typing import ClassVar

from . import schemas, sdk
from .base import Answer, Json
from .hosted import DAY_S, HostedHandler, HostedServer, Job, Refused, Response, Row, page
from .openai_compatible import CompatibleHandler

CHAT = "/v1/chat/completions"
ENDPOINTS = (CHAT, "/v1/responses", "/v1/embeddings", "/v1/completions", "/v1/moderations")


@dataclass
class StoredFile:
    """An uploaded file, or one with results."""

    id: str
    name: str
    purpose: str
    content: bytes
    created: int

    def described(self) -> Json:
        expires = self.created + 30 * DAY_S if self.purpose.startswith("batch") else None
        return {
            "id": self.id,
            "object": "file",
            "bytes": len(self.content),
            "created_at": self.created,
            "expires_at": expires,
            "filename": self.name,
            "purpose": self.purpose,
            "status": "processed",
            "status_details": None,
        }


@dataclass(kw_only=True)
class Batch(Job):
    """A batch job."""

    file: StoredFile
    endpoint: str
    metadata: dict[str, str] | None = None
    errors: list[Json] = field(default_factory=list)
    output_file_id: str | None = None
    error_file_id: str | None = None

    def described(self) -> Json:
        states = (*OpenAIHandler.life[1:], *OpenAIHandler.ends, "cancelling")
        return {
            "id": self.id,
            "object": "batch",
            "endpoint": self.endpoint,
            "model": self.rows[0].body.get("model") if self.rows else None,
            "errors": {"object": "list", "data": self.errors} if self.errors else None,
            "input_file_id": self.file.id,
            "completion_window": "24h",
            "status": self.state,
            "output_file_id": self.output_file_id,
            "error_file_id": self.error_file_id,
            "created_at": int(self.created),
            "expires_at": int(self.created) + DAY_S,
            **{f"{state}_at": int(self.times.get(state, 0)) or None for state in states},
            "request_counts": {"total": len(self.rows), "completed": self.good, "failed": self.bad},
            "usage": None,
            "metadata": self.metadata,
        }


class OpenAIHandler(HostedHandler, CompatibleHandler):
    """What the OpenAPI description and the SDK of OpenAI say of the calls that batches need."""

    provider = "openai"
    life = ("validating", "in_progress", "finalizing", "completed")
    works_in = "in_progress"
    checks_in = "validating"
    ends: ClassVar = {each: each for each in ("failed", "expired", "cancelled")}
    unknown_job = "No batch found with id '{}'."
    chat_path = CHAT
    server: OpenAIServer
    routes: ClassVar[dict[tuple[str, str], str]] = {
        ("GET", "/v1/models"): "list_models",
        ("POST", "/v1/files"): "upload",
        ("GET", "/v1/files"): "list_files",
        ("GET", "/v1/files/([^/]+)/content"): "content",
        ("POST", "/v1/batches"): "create_batch",
        ("GET", "/v1/batches"): "list_batches",
        ("GET", "/v1/batches/([^/]+)"): "get_batch",
        ("POST", "/v1/batches/([^/]+)/cancel"): "cancel_batch",
    }

    def unauthorized(self) -> tuple[int, Json] | None:
        if not self.headers.get("Authorization", "").startswith("Bearer "):
            message = "Missing bearer or basic authentication in header"
            return 401, self.error_body(401, message)
        return super(HostedHandler, self).unauthorized()

    def no_route(self, path: str) -> Response:
        message = f"Invalid URL ({self.command} {path})"
        return 404, self.error_body(404, message)

    def misbehave(self, fault: str, reply: Json | bytes) -> None:
        """One fault more: "quota", a 429 that does not pass."""
        if fault == "quota":
            message = "You exceeded your current quota, please check your plan and billing details."
            self.send_json(429, self.error_body(429, message, "insufficient_quota"))
        else:
            super().misbehave(fault, reply)

    # Chat completions

    def refusal(self, body: Json) -> tuple[int, Json] | None:
        if refused := super().refusal(body):
            return refused
        for name in body.keys() - sdk.fields("openai"):
            return 400, self.error_body(400, f"Unrecognized request argument supplied: {name}")
        if problem := sdk.wrong_type("openai", body):
            return 400, self.error_body(400, f"Invalid type for '{problem}'", "invalid_type")
        if len(self.limits(body)[1]) > 4:
            message = "Invalid 'stop': array too long. Expected an array with maximum length 4."
            return 400, self.error_body(400, message, "array_above_max_length")
        if body["model"] in self.server.reasoning_models:
            return self._unsupported(body)
        return None

    def schema_problem(self, schema: Json) -> str | None:
        return schemas.openai(schema)

    def _unsupported(self, body: Json) -> tuple[int, Json] | None:
        """What reasoning models refuse."""
        for name in ("max_tokens", "stop", "logprobs"):
            if body.get(name):
                message = f"Unsupported parameter: '{name}' is not supported with this model."
                return 400, self.error_body(400, message, "unsupported_parameter")
        for name in ("temperature", "top_p"):
            if body.get(name) not in (None, 1):
                message = f"Unsupported value: '{name}' does not support {body[name]} with this "
                message += "model. Only the default (1) value is supported."
                return 400, self.error_body(400, message, "unsupported_value")
        return None

    def limits(self, body: Json) -> tuple[int | None, list[str]]:
        most, stops = super().limits(body)
        return body.get("max_completion_tokens", most), stops

    def reply(self, body: Json, answer: Answer) -> Json:
        return {**super().reply(body, answer), "id": f"chatcmpl-{self.server.numbered()}"}

    # Models and files

    def list_models(self) -> Response:
        models = [self._model(name) for name in self.server.models]
        return 200, {"object": "list", "data": models}

    def _model(self, name: str) -> Json:
        return {"id": name, "object": "model", "created": 1_788_000_000, "owned_by": "system"}

    def upload(self) -> Response:
        fields, name, content = self.sent_form()
        if not name or "purpose" not in fields:
            raise Refused(400, self.error_body(400, "'file' and 'purpose' are required"))
        if fields["purpose"] == "batch" and not name.endswith(".jsonl"):
            message = "Invalid file format for Batch API. Must be .jsonl"
            raise Refused(400, self.error_body(400, message))
        if len(content) > self.server.max_bytes:
            raise Refused(413, self.error_body(413, "The file is too large"))
        return 200, self.server.store(name, fields["purpose"], content).described()

    def list_files(self) -> Response:
        purpose = self.query.get("purpose")
        found = [
            file.described()
            for file in reversed(self.server.files.values())
            if self._lives(file) and purpose in (None, file.purpose)
        ]
        return self._listed(found, 10_000, 10_000)

    def _listed(self, found: list[Json], limit: int, most: int) -> Response:
        limit = int(self.query.get("limit", limit))
        if not 1 <= limit <= most:
            raise Refused(400, self.error_body(400, f"limit must be from 1 to {most}"))
        start = 0
        if "after" in self.query:
            ids = [each["id"] for each in found]
            if self.query["after"] not in ids:
                raise Refused(400, self.error_body(400, "after: no such object"))
            start = ids.index(self.query["after"]) + 1
        data, more = page(found, start, min(limit, self.server.most_per_page))
        return 200, {
            "object": "list",
            "data": data,
            "first_id": data[0]["id"] if data else None,
            "last_id": data[-1]["id"] if data else None,
            "has_more": more,
        }

    def _lives(self, file: StoredFile) -> bool:
        expires = file.described()["expires_at"]
        return expires is None or expires > self.server.clock

    def _file(self, name: str) -> StoredFile:
        file = self.server.files.get(name)
        if file is None or not self._lives(file):
            raise Refused(404, self.error_body(404, f"No such File object: {name}"))
        return file

    def content(self, name: str) -> Response:
        return 200, self._file(name).content

    # Batches

    def create_batch(self) -> Response:
        body = self.sent_json()
        metadata = body.get("metadata")
        if body.get("endpoint") not in ENDPOINTS or body.get("completion_window") != "24h":
            raise Refused(400, self.error_body(400, "endpoint or completion_window is not valid"))
        if metadata and (
            len(metadata) > 16
            or any(len(key) > 64 or len(value) > 512 for key, value in metadata.items())
        ):
            raise Refused(400, self.error_body(400, "metadata has too many or too long entries"))
        file = self.server.files.get(body.get("input_file_id", ""))
        if file is None or not self._lives(file):
            message = f"No such File object: {body.get('input_file_id')}"
            raise Refused(400, self.error_body(400, message))
        if file.purpose != "batch":
            message = f"Invalid file purpose {file.purpose}: it must be 'batch'"
            raise Refused(400, self.error_body(400, message))
        batch = Batch(
            id=f"batch_{self.server.numbered()}",
            created=self.server.clock,
            file=file,
            endpoint=body["endpoint"],
            metadata=metadata,
        )
        return self.created(batch)

    def list_batches(self) -> Response:
        return self._listed(self.shown_batches(), 20, 100)

    def shown(self, job: Batch) -> Json:
        return job.described()

    def cancel_batch(self, name: str) -> Response:
        batch = self.found(name)
        if batch.state not in ("validating", "in_progress"):
            message = f"Cannot cancel a batch with status '{batch.state}'."
            raise Refused(400, self.error_body(400, message))
        batch.cancelling = True
        self.enter(batch, "cancelling")
        return 200, batch.described()

    def fails(self, job: Job) -> bool:
        assert isinstance(job, Batch)
        job.errors = self._problems(job)
        return bool(job.errors)

    def _problems(self, batch: Batch) -> list[Json]:
        """What is wrong with the file; fills the batch's rows."""
        problems: list[Json] = []

        def add(code: str, message: str, line: int | None = None) -> None:
            problems.append({"code": code, "message": message, "param": None, "line": line})

        rows: dict[str, Row] = {}
        models = set()
        texts = batch.file.content.splitlines()
        for number, text in enumerate(texts, start=1):
            try:
                line = json.loads(text)
                name, method, url, body = (
                    line[key] for key in ("custom_id", "method", "url", "body")
                )
            except (ValueError, KeyError, TypeError):
                add("invalid_json_line", "This line is not parseable as valid JSON.", number)
                continue
            if name in rows:
                message = f"The custom_id '{name}' for this request is a duplicate."
                add("duplicate_custom_id", message, number)
            if method != "POST" or url != batch.endpoint:
                message = "The URL provided for this request does not match the batch endpoint."
                add("invalid_url", message, number)
            models.add(body.get("model"))
            rows[name] = Row(name, body)
        if not texts:
            add("empty_file", "The input file is empty.")
        if len(texts) > self.server.max_requests:
            add("too_many_tasks", f"The file has more than {self.server.max_requests} requests.")
        if len(models) > 1:
            add("mismatched_model", "All requests of a batch must have the same model.")
        waiting = sum(
            len(row.body["messages"][-1]["content"].split())
            for each in [*self.server.batches.values()]
            if each.state in ("in_progress", "finalizing")
            for row in each.rows
        )
        here = sum(len(row.body["messages"][-1]["content"].split()) for row in rows.values())
        limit = self.server.enqueued_limit
        if limit is not None and waiting + here > limit:
            message = f"Enqueued token limit reached for {models.pop()} in organization org-1. "
            add("token_limit_exceeded", message + f"Limit: {limit} enqueued tokens.")
        batch.rows = [] if problems else list(rows.values())
        return problems

    def write_results(self, batch: Batch) -> None:
        """Write the files with results, in any order."""
        why = {
            "expired": "This request could not be executed before the completion window expired.",
            "cancelled": "This request was cancelled.",
        }
        done: list[Json] = []
        failed: list[Json] = []
        for row in batch.rows:
            line: Json = {"id": f"batch_req_{self.server.numbered()}", "custom_id": row.custom_id}
            if row.status:
                response = {"status_code": row.status, "request_id": "req_1", "body": row.reply}
                (done if row.status == 200 else failed).append(
                    {**line, "response": response, "error": None}
                )
            else:
                error = {"code": f"batch_{batch.end}", "message": why[batch.end]}
                failed.append({**line, "response": None, "error": error})
        for lines in (done, failed):
            random.Random(batch.id).shuffle(lines)
        if done:
            content = self.written(done)
            batch.output_file_id = self.server.store("output.jsonl", "batch_output", content).id
        if failed:
            content = b"".join(json.dumps(line).encode() + b"\n" for line in failed)
            batch.error_file_id = self.server.store("error.jsonl", "batch_output", content).id


class OpenAIServer(HostedServer):
    """OpenAI with two chat models and a reasoning model."""

    def __init__(self) -> None:
        super().__init__(OpenAIHandler)
        self.models: dict[str, Json] = {"gpt-4o-mini": {}, "gpt-4o": {}, "o4-mini": {}}
        self.reasoning_models = ("o4-mini",)
        self.enforces = True
        self.choice: Json = {}  # replaces fields of each answer's choice
        self.files: dict[str, StoredFile] = {}
        self.max_requests = 50_000
        self.max_bytes = 200_000_000
        self.enqueued_limit: int | None = None  # tokens of all running batches

    def store(self, name: str, purpose: str, content: bytes) -> StoredFile:
        file = StoredFile(
            f"file-{self.numbered()}", name, purpose, content, created=int(self.clock)
        )
        self.files[file.id] = file
        return file
