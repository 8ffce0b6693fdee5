"""Google's Gemini API (Developer API, v1beta and v1): generateContent, batches and files.

A batch takes one step for each time that it is asked for; see `HostedServer`. Requests of a batch
meet `faults` by their question: a status makes the line an error.
"""

from __future__ import annotations

import base64
import hashlib
import json
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from . import schemas, sdk
from .base import Answer, Json, token_logprobs
from .hosted import CheckingHandler, HostedServer, Job, Refused, Response, Row, moment

EXPIRES_AFTER_S = 48 * 3600
FILE_LIMIT = 2 * 1024**3

_V = "/v1(?:beta)?"
_STATUS = {
    400: "INVALID_ARGUMENT",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_RPC_CODES = {400: 3, 404: 5, 429: 8, 499: 1, 500: 13, 503: 14}
_TYPE = "type.googleapis.com/"
_GENERATION = {
    *("temperature", "topP", "topK", "maxOutputTokens", "stopSequences", "seed", "candidateCount"),
    *("responseMimeType", "responseSchema", "responseJsonSchema", "thinkingConfig"),
    "responseLogprobs",
}
_REQUEST = {"model", "contents", "systemInstruction", "generationConfig", "safetySettings"}
_REFUSALS = ("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII")
_LEVELS = ("MINIMAL", "LOW", "MEDIUM", "HIGH")


@dataclass(frozen=True)
class Model:
    """What a model accepts of thinking: budgets from a least one, or levels from a least one."""

    least_budget: int | None = None
    least_level: str | None = None


@dataclass
class File:
    """A file: uploaded, or written by a batch."""

    id: str
    content: bytes
    created: float
    display_name: str = ""
    generated: bool = False
    processing: int = 0  # GETs until it is active


@dataclass
class Upload:
    """A resumable upload that has begun."""

    file: Json
    size: int


@dataclass(kw_only=True)
class Batch(Job):
    """A batch."""

    model: str
    display_name: str
    output: Json | None = None


class GeminiHandler(CheckingHandler):
    """`/v1beta/models`, `/v1beta/batches`, `/v1beta/files` and `/upload/v1beta/files`."""

    provider = "gemini"
    life = ("PENDING", "RUNNING", "SUCCEEDED")
    works_in = checks_in = "RUNNING"
    ends: ClassVar = {each: each.upper() for each in ("failed", "expired", "cancelled")}
    lives_s = EXPIRES_AFTER_S
    bills_kept = True
    routes: ClassVar[dict[tuple[str, str], str]] = {
        ("GET", f"{_V}/models"): "list_models",
        ("GET", f"{_V}/models/([^/:]+)"): "get_model",
        ("POST", f"{_V}/models/([^/:]+):batchGenerateContent"): "create_batch",
        ("GET", f"{_V}/batches"): "list_batches",
        ("GET", f"{_V}/batches/([^/:]+)"): "get_batch",
        ("POST", f"{_V}/batches/([^/:]+):cancel"): "cancel_batch",
        ("POST", f"/upload{_V}/files"): "upload",
        ("GET", f"{_V}/files"): "list_files",
        ("GET", f"{_V}/files/([^/:]+)"): "get_file",
        ("GET", f"(?:/download)?{_V}/files/([^/:]+):download"): "download",
    }
    server: GeminiServer

    # What is the same for all calls

    def error_body(self, status: int, message: str) -> Json:
        kind = _STATUS.get(status, "UNKNOWN")
        error: Json = {"code": status, "message": message, "status": kind}
        if status == 429:
            delay = {"@type": _TYPE + "google.rpc.RetryInfo"}
            error["details"] = [{**delay, "retryDelay": f"{self.server.retry_after}s"}]
        return {"error": error}

    def unauthorized(self) -> Response | None:
        if "upload_id" in self.path:
            return None  # the URL itself is the permission
        given = self.headers.get("x-goog-api-key")
        if not given:
            message = (
                "Method doesn't allow unregistered callers (callers without established identity)."
            )
            return 403, self.error_body(403, message)
        if given != self.server.key:
            body = self.error_body(400, "API key not valid. Please pass a valid API key.")
            info = {"@type": _TYPE + "google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
            body["error"]["details"] = [{**info, "domain": "googleapis.com"}]
            return 400, body
        return None

    def misbehave(self, fault: str, reply: Json | bytes) -> None:
        if fault == "429":  # Google says in the body how long to wait, not in a header
            self.send_json(429, self.error_body(429, "Resource has been exhausted."))
        else:
            super().misbehave(fault, reply)

    def send(
        self,
        status: int,
        content: bytes,
        kind: str,
        extra: dict[str, str] | None = None,
        length: int | None = None,
    ) -> None:
        headers, self.upload_headers = self.upload_headers, {}
        super().send(status, content, kind, headers | (extra or {}), length)

    upload_headers: ClassVar[dict[str, str]] = {}

    # generateContent

    def is_chat(self, path: str) -> bool:
        found = re.fullmatch(f"{_V}/models/([^/:]+):generateContent", path)
        if found:
            self.chat_path, self.model = self.path, found[1]
        return bool(found)

    def check(self, body: Json) -> None:
        """Refuse a request as the real API does."""
        name = self.model

        def refuse(message: str, status: int = 400) -> None:
            raise Refused(status, self.error_body(status, message))

        model = self.server.models.get(name)
        if model is None:
            refuse(
                f"models/{name} is not found for API version v1beta, or is not supported for "
                "generateContent. Call ListModels to see the list of available models.",
                404,
            )
            return
        body = _camel_case(body)
        config = body.get("generationConfig", {})
        for unknown in [*(body.keys() - _REQUEST), *(config.keys() - _GENERATION)]:
            refuse(f'Invalid JSON payload received. Unknown name "{unknown}": Cannot find field.')
        contents = body.get("contents") or []
        if not contents:
            refuse("* GenerateContentRequest.contents: contents is not specified")
        for content in contents:
            if content.get("role", "user") not in ("user", "model"):
                refuse("Please use a valid role: user, model.")
            if not any("text" in part for part in content.get("parts", [])):
                refuse("Unable to submit request because it must have a text parameter.")
        if not 0 <= config.get("temperature", 1) <= 2:
            refuse("* GenerateContentRequest.generation_config.temperature: not in [0.0, 2.0]")
        if not -(2**31) <= config.get("seed", 0) < 2**31:
            refuse("Invalid value at 'generation_config.seed' (TYPE_INT32)")
        if config.get("maxOutputTokens", 1) < 1:
            refuse("max_output_tokens must be positive")
        if len(config.get("stopSequences", [])) > 5:
            refuse("The number of stop sequences must be at most 5")
        self.check_thinking(model, config.get("thinkingConfig", {}), refuse)
        if problem := sdk.wrong_type("gemini", config):
            refuse(f"Invalid value at 'generation_config.{problem}'")
        if config.get("responseLogprobs") and "2.0" not in self.model:
            refuse(f"Logprobs is not enabled for models/{self.model}")
        self.check_schema(config, refuse)

    def check_schema(self, config: Json, refuse: Callable[[str], None]) -> None:
        if (schema := config.get("responseJsonSchema")) is not None:
            if config.get("responseMimeType") != "application/json":
                refuse("responseJsonSchema needs responseMimeType application/json")
            if problem := schemas.gemini(schema):
                refuse(f"* GenerateContentRequest.generation_config.response_json_schema.{problem}")

    def check_thinking(self, model: Model, asked: Json, refuse: Callable[[str], None]) -> None:
        budget, level = asked.get("thinkingBudget"), asked.get("thinkingLevel")
        if budget is not None and level is not None:
            refuse("You can only set only one of thinking budget and thinking level.")
        if level is not None:
            if model.least_level is None:
                refuse("Thinking level is not supported for this model.")
            elif _LEVELS.index(level.upper()) < _LEVELS.index(model.least_level):
                refuse(f"Thinking level {level.upper()} is not supported for this model.")
        if budget is not None:
            if model.least_budget is None and model.least_level is None:
                refuse("Thinking is not enabled for this model.")
            elif 0 <= budget < (model.least_budget or 0):
                refuse(f"Budget {budget} is invalid. This model only works in thinking mode.")

    def question(self, body: Json) -> str:
        return _text(body["contents"][-1])

    def chat(self, body: Json) -> None:
        # What all providers share finds the question where most of them have it.
        super().chat({**body, "messages": [{"content": self.question(body)}]})

    def answered(self, body: Json) -> None:
        super().answered({name: value for name, value in body.items() if name != "messages"})

    def limits(self, body: Json) -> tuple[int | None, list[str]]:
        config = _config(body)
        return config.get("maxOutputTokens", 65_536), config.get("stopSequences", [])

    def schema_of(self, body: Json) -> Json | None:
        schema: Json | None = _config(body).get("responseJsonSchema")
        return schema

    def prompt_tokens(self, body: Json) -> int:
        body = _camel_case(body)
        asked = [body.get("systemInstruction", {}), *body["contents"]]
        return sum(len(_text(content).split()) for content in asked)

    def reply(self, body: Json, answer: Answer) -> Json:
        text, config, prompt_tokens = answer.text, _config(body), answer.prompt_tokens
        finish = {"stop": "STOP", "length": "MAX_TOKENS"}.get(answer.finish, answer.finish)
        number = self.server.numbered()
        common = {"modelVersion": self.model, "responseId": f"response-{number:06d}"}
        if finish.startswith("blocked "):
            return {
                "candidates": None,
                "promptFeedback": {"blockReason": finish.removeprefix("blocked ")},
                "usageMetadata": {
                    "promptTokenCount": prompt_tokens,
                    "totalTokenCount": prompt_tokens,
                },
                **common,
            }
        parts: list[Json] = []
        if text and finish not in _REFUSALS:
            parts = [{"text": text, "thought": False}]
        if answer.thoughts and self.server.shows_thoughts:
            parts.insert(0, {"text": "They ask me.", "thought": True})
        used = answer.tokens if parts else 0
        content = {"role": "model", "parts": parts or None}
        candidate: Json = {
            "content": content,
            "finishReason": finish,
            "index": 0,
            "logprobsResult": None,
        }
        if config.get("responseLogprobs"):
            chosen = [
                {"token": each["token"], "tokenId": number, "logProbability": each["logprob"]}
                for number, each in enumerate(token_logprobs(text), start=1)
            ]
            total = sum(each["logProbability"] for each in chosen)
            candidate |= {
                "avgLogprobs": total / max(len(chosen), 1),
                "logprobsResult": {"chosenCandidates": chosen, "topCandidates": []},
            }
        usage = {
            "promptTokenCount": prompt_tokens,
            "candidatesTokenCount": used,
            "thoughtsTokenCount": answer.thoughts,
            "totalTokenCount": prompt_tokens + used + answer.thoughts,
        }
        return {
            "candidates": [candidate],
            # like all numbers of a message, counts that are 0 are left out
            "usageMetadata": {name: count for name, count in usage.items() if count},
            **common,
        }

    def thoughts(self, body: Json) -> int:
        asked: Json = _config(body).get("thinkingConfig", {})
        model = self.server.models[self.model]
        if model.least_budget is None and model.least_level is None:
            return 0
        if asked.get("thinkingBudget") == 0 or asked.get("thinkingLevel", "").upper() == "MINIMAL":
            return 0
        return self.server.thoughts

    # Models

    def list_models(self) -> Response:
        models = [self.described(name) for name in self.server.models]
        return 200, self.paged("models", models, 50)

    def get_model(self, name: str) -> Response:
        if name not in self.server.models:
            message = f"Model is not found: models/{name} for api version v1beta"
            raise Refused(404, self.error_body(404, message))
        return 200, self.described(name)

    def described(self, name: str) -> Json:
        return {
            "name": f"models/{name}",
            "version": "001",
            "displayName": name.replace("-", " ").title(),
            "inputTokenLimit": 1_048_576,
            "outputTokenLimit": 65_536,
            "supportedGenerationMethods": ["generateContent", "batchGenerateContent"],
        }

    def paged(self, name: str, found: list[Json], default: int) -> Json:
        most = 100 if name == "files" else 1000
        size = min(int(self.query.get("pageSize", default)), most, self.server.most_per_page)
        start = int(self.query.get("pageToken", 0))
        body: Json = {name: found[start : start + size]} if found[start : start + size] else {}
        return body | ({"nextPageToken": str(start + size)} if start + size < len(found) else {})

    # Files

    def upload(self) -> Response:
        """Begin a resumable upload, or take its content."""
        command = self.headers.get("X-Goog-Upload-Command", "")
        if command == "start":
            return self.begin_upload()
        number = self.query.get("upload_id", "")
        upload = self.server.uploads.get(number)
        if upload is None:
            raise Refused(404, self.error_body(404, "Upload not found."))
        if (command, self.headers["X-Goog-Upload-Offset"]) != ("upload, finalize", "0"):
            raise Refused(400, self.error_body(400, "Only uploads in one piece are taken here."))
        if len(self.raw) != upload.size:
            raise Refused(400, self.error_body(400, "The upload is not of the declared size."))
        del self.server.uploads[number]
        file = File(
            id=f"upload{self.server.numbered():06d}",
            content=self.raw,
            created=self.server.clock,
            display_name=upload.file.get("displayName", ""),
            processing=self.server.processing,
        )
        self.server.files[file.id] = file
        self.upload_headers = {"X-Goog-Upload-Status": "final"}
        return 200, {"file": self.shown_file(file)}

    def begin_upload(self) -> Response:
        if self.headers.get("X-Goog-Upload-Protocol") != "resumable":
            raise Refused(400, self.error_body(400, "Upload protocol must be resumable."))
        size = int(self.headers["X-Goog-Upload-Header-Content-Length"])
        if size > self.server.most_file_bytes:
            message = f"Request payload size exceeds the limit: {self.server.most_file_bytes}"
            raise Refused(400, self.error_body(400, message))
        number = f"u{self.server.numbered():06d}"
        file = _camel_case(self.sent_json().get("file", {}))
        self.server.uploads[number] = Upload(file, size)
        url = f"{self.server.url}/upload/v1beta/files?upload_id={number}&upload_protocol=resumable"
        self.upload_headers = {"X-Goog-Upload-URL": url, "X-Goog-Upload-Status": "active"}
        return 200, b""

    def found_file(self, name: str) -> File:
        file = self.server.files.get(name)
        if file is None or self.server.clock > file.created + EXPIRES_AFTER_S:
            message = f"You do not have permission to access the File {name} or it may not exist."
            raise Refused(403, self.error_body(403, message))
        return file

    def get_file(self, name: str) -> Response:
        if len(name) > 40:
            message = "* GetFileRequest.name: File ID cannot be more than 40 characters."
            raise Refused(400, self.error_body(400, message))
        file = self.found_file(name)
        file.processing = max(0, file.processing - 1)
        return 200, self.shown_file(file)

    def list_files(self) -> Response:
        kept = [
            self.shown_file(file)
            for file in reversed(self.server.files.values())
            if not file.generated and self.server.clock <= file.created + EXPIRES_AFTER_S
        ]
        return 200, self.paged("files", kept, 10)

    def download(self, name: str) -> Response:
        file = self.found_file(name)
        if not file.generated or self.query.get("alt") != "media":
            raise Refused(400, self.error_body(400, "Only generated files can be downloaded."))
        return 200, file.content

    def shown_file(self, file: File) -> Json:
        digest = hashlib.sha256(file.content).hexdigest().encode()
        return {
            "name": f"files/{file.id}",
            "displayName": file.display_name,
            "mimeType": "application/jsonl",
            "sizeBytes": str(len(file.content)),
            "createTime": moment(file.created),
            "updateTime": moment(file.created),
            "expirationTime": moment(file.created + EXPIRES_AFTER_S),
            "sha256Hash": base64.b64encode(digest).decode(),
            "uri": f"{self.server.url}/v1beta/files/{file.id}",
            "state": "PROCESSING" if file.processing else "ACTIVE",
            "source": "GENERATED" if file.generated else "UPLOADED",
        }

    # Batches

    def create_batch(self, model: str) -> Response:
        if model not in self.server.models:
            message = f"models/{model} is not found for API version v1beta."
            raise Refused(404, self.error_body(404, message))
        asked = self.sent_json().get("batch", {})
        source = asked.get("inputConfig", asked.get("input_config", {}))
        display_name = _camel_case(asked).get("displayName", "")
        if not display_name:
            message = "* BatchGenerateContentRequest.batch.display_name: must not be empty"
            raise Refused(400, self.error_body(400, message))
        file_name = source.get("fileName", source.get("file_name", ""))
        batch = Batch(
            id="".join(random.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=36)),
            created=self.server.clock,
            model=model,
            display_name=display_name,
        )
        self.read_rows(batch, self.found_file(file_name.removeprefix("files/")))
        return self.created(batch)

    def read_rows(self, batch: Batch, file: File) -> None:
        """Read the input; a line that is no request fails the batch once it runs."""
        if file.processing:
            message = f"The File {file.id} is not in an ACTIVE state and usage is not allowed."
            raise Refused(400, self.error_body(400, message))
        for number, line in enumerate(file.content.splitlines(), start=1):
            try:
                request = json.loads(line)
                batch.rows.append(Row(request.get("key"), dict(request["request"])))
            except (ValueError, KeyError, TypeError, AttributeError):
                batch.problem = f"Failed to parse the input file at line {number}."

    def list_batches(self) -> Response:
        return 200, self.paged("operations", self.shown_batches(), 50)

    def cancel_batch(self, name: str) -> Response:
        self.found(name).cancelling = True
        return 200, {}

    def completed(self, job: Batch, body: Json) -> Json:
        self.model = job.model
        return body

    def result(self, batch: Batch, row: Row) -> Json:
        if row.status == 200:
            return {"response": row.reply}
        if not row.status:
            return {"error": self.problem(batch)}
        error = row.reply["error"]
        code = _RPC_CODES.get(error["code"], 2)
        return {"error": {"code": code, "message": error["message"]}}

    def problem(self, batch: Batch) -> Json | None:
        """Why a batch did not end well."""
        return {
            "expired": {"code": 4, "message": "The batch did not finish within 48 hours."},
            "cancelled": {"code": 1, "message": "The operation was cancelled."},
            "failed": {"code": _RPC_CODES[400], "message": batch.problem},
        }.get(batch.end)

    def write_results(self, batch: Batch) -> None:
        """Answers are kept, except when the batch expired or failed."""
        if batch.end in ("expired", "failed"):
            return
        lines = [{"key": row.custom_id, **self.result(batch, row)} for row in batch.rows]
        random.Random(batch.id).shuffle(lines)
        file = File(f"batch-{batch.id}", self.written(lines), self.server.clock, generated=True)
        self.server.files[file.id] = file
        batch.output = {"responsesFile": f"files/{file.id}"}

    def shown(self, batch: Batch) -> Json:
        ended = batch.times[batch.state] if batch.end else None
        rest = len(batch.rows) - batch.good - batch.bad
        is_cancelled = batch.end == "cancelled"
        stats = {
            "requestCount": len(batch.rows),
            "successfulRequestCount": batch.good,
            "failedRequestCount": batch.bad + (rest if is_cancelled else 0),
            "pendingRequestCount": 0 if is_cancelled else rest,
        }
        metadata: Json = {
            "@type": _TYPE + "google.ai.generativelanguage.v1main.GenerateContentBatch",
            "model": f"models/{batch.model}",
            "displayName": batch.display_name,
            "createTime": moment(batch.created),
            "updateTime": moment(ended or batch.created),
            # numbers of 64 bits are strings, and zeros are left out
            "batchStats": {name: str(count) for name, count in stats.items() if count},
            "state": f"BATCH_STATE_{batch.state}",
            "name": f"batches/{batch.id}",
        }
        body: Json = {"name": f"batches/{batch.id}", "metadata": metadata}
        if ended is None:
            return body
        metadata["endTime"] = moment(ended)
        body["done"] = True
        if batch.output is not None and self.server.shows_output:
            metadata["output"] = batch.output
            kind = _TYPE + "google.ai.generativelanguage.v1main.GenerateContentBatchOutput"
            body["response"] = {"@type": kind, **batch.output}
        if (problem := self.problem(batch)) is not None:
            body["error"] = problem
            body.pop("response", None)
        return body


class GeminiServer(HostedServer):
    """Gemini with a handful of models, of each way of thinking one."""

    def __init__(self) -> None:
        super().__init__(GeminiHandler)
        self.models = {
            "gemini-2.0-flash": Model(),
            "gemini-2.5-flash": Model(least_budget=0),
            "gemini-2.5-pro": Model(least_budget=128),
            "gemini-3-flash-preview": Model(least_level="MINIMAL"),
            "gemini-3.1-pro-preview": Model(least_level="LOW"),
            "gemini-3.8-flash": Model(least_level="LOW"),
        }
        self.files: dict[str, File] = {}
        self.uploads: dict[str, Upload] = {}
        self.most_file_bytes = FILE_LIMIT
        self.processing = 0  # GETs of a new file until it is active
        self.thoughts = 10  # tokens that a thinking model thinks
        self.shows_thoughts = False
        self.shows_output = True  # whether batches that succeeded say where their output is


def _config(body: Json) -> Json:
    """The generationConfig of a request."""
    config: Json = _camel_case(body).get("generationConfig", {})
    return config


def _camel_case(value: Any) -> Any:
    """The same with the official names of fields; the API takes those of Protocol Buffers too."""
    if isinstance(value, dict):
        return {
            re.sub("_([a-z])", lambda found: found[1].upper(), key): _camel_case(each)
            for key, each in value.items()
        }
    return [_camel_case(each) for each in value] if isinstance(value, list) else value


def _text(content: Json) -> str:
    return "".join(part.get("text", "") for part in content.get("parts", []))
