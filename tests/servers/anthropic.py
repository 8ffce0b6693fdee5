"""Anthropic: Messages and Message Batches.

A batch takes one step for each time that it is asked for; see `HostedServer`. Rows of a batch
meet `faults` by their question: a status makes the row `errored`.
"""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, ClassVar

from . import schemas, sdk
from .base import Answer, Json
from .hosted import CheckingHandler, HostedServer, Job, Refused, Response, Row, moment, page

ARCHIVED_AFTER_S = 29 * 24 * 3600
OLD_VERSION = "2023-06-01"
NEW_VERSION = "2026-10-21"  # has no sampling parameters at all

_CUSTOM_ID = "^[a-zA-Z0-9_-]{1,64}$"
_ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_SAMPLING = {"temperature", "top_p", "top_k"}
_NOT_ANSWERED = {"cancelled": "canceled", "expired": "expired"}


@dataclass(frozen=True)
class Claude:
    """What one model accepts: sampling parameters (any, one, none) and types of thinking."""

    sampling: str = "any"
    thinking: tuple[str, ...] = ()
    thinks: bool = False  # where the request does not say
    efforts: tuple[str, ...] = ("low", "medium", "high", "max", "xhigh")


class AnthropicHandler(CheckingHandler):
    """`/v1/messages`, `/v1/messages/batches` and `/v1/models`."""

    provider = "anthropic"
    life = ("in_progress", "ended")
    works_in = "in_progress"
    ends: ClassVar = dict.fromkeys(("expired", "cancelled"), "ended")
    chat_path = "/v1/messages"
    routes: ClassVar[dict[tuple[str, str], str]] = {
        ("GET", "/v1/models"): "list_models",
        ("GET", "/v1/models/([^/]+)"): "get_model",
        ("POST", "/v1/messages/batches"): "create_batch",
        ("GET", "/v1/messages/batches"): "list_batches",
        ("GET", "/v1/messages/batches/([^/]+)"): "get_batch",
        ("POST", "/v1/messages/batches/([^/]+)/cancel"): "cancel_batch",
        ("GET", "/v1/messages/batches/([^/]+)/results"): "results",
    }
    server: AnthropicServer

    # What is the same for all calls

    def error_body(self, status: int, message: str) -> Json:
        kind = _ERROR_TYPES.get(status, "api_error")
        error = {"type": kind, "message": message}
        return {"type": "error", "error": error, "request_id": "req_of_the_test"}

    def unauthorized(self) -> Response | None:
        bearer = self.headers.get("Authorization", "").removeprefix("Bearer ")
        given = self.headers.get("x-api-key", bearer)
        if not given:
            return 401, self.error_body(401, "x-api-key header is required")
        if given != self.server.key:
            return 401, self.error_body(401, "invalid x-api-key")
        if self.headers.get("anthropic-version") not in (OLD_VERSION, NEW_VERSION):
            return 400, self.error_body(400, "anthropic-version: header is required")
        return None

    def no_route(self, path: str) -> Response:
        return 404, self.error_body(404, "Not Found")

    def send(
        self,
        status: int,
        content: bytes,
        kind: str,
        extra: dict[str, str] | None = None,
        length: int | None = None,
    ) -> None:
        headers = {"request-id": "req_of_the_test"}
        if status == 404:
            headers["x-should-retry"] = "false"
        if self.path == self.chat_path:
            headers["anthropic-ratelimit-requests-remaining"] = "3999"
            headers["anthropic-ratelimit-requests-reset"] = moment(self.server.clock)
        super().send(status, content, kind, headers | (extra or {}), length)

    def date_time_string(self, timestamp: float | None = None) -> str:
        """The Date header, by the server's own clock."""
        return super().date_time_string(int(timestamp or self.server.clock))

    # Messages

    def check(self, body: Json) -> None:
        """Refuse parameters as the real API does."""

        def refuse(message: str, status: int = 400) -> None:
            raise Refused(status, self.error_body(status, message))

        for name in ("model", "max_tokens", "messages"):
            if name not in body:
                refuse(f"{name}: Field required")
        new = self.headers["anthropic-version"] == NEW_VERSION
        for name in body.keys() - sdk.fields("anthropic") - (set() if new else _SAMPLING):
            refuse(f"{name}: Extra inputs are not permitted")
        if body["model"] not in self.server.models:
            refuse(f"model: {body['model']}", 404)
        model = self.server.models[body["model"]]
        if not isinstance(body["max_tokens"], int) or body["max_tokens"] < 1:
            refuse("max_tokens: Input should be greater than or equal to 1")
        if not body["messages"]:
            refuse("messages: at least one message is required")
        for message in body["messages"]:
            if message["role"] not in ("user", "assistant"):
                refuse(f'messages: Unexpected role "{message["role"]}".')
            if not _text(message["content"]).strip():
                refuse("messages: text content blocks must contain non-whitespace text")
        if "system" in body and not _text(body["system"]):
            refuse("system: text content blocks must be non-empty")
        if problem := sdk.wrong_type("anthropic", body):
            refuse(problem)
        self.check_decoding(model, body, refuse)
        if (schema := self.schema_of(body)) and (problem := schemas.anthropic(schema)):
            refuse(f"output_config.format.schema: {problem}")

    def schema_of(self, body: Json) -> Json | None:
        asked: Json = body.get("output_config", {}).get("format", {})
        return asked.get("schema")

    def check_decoding(self, model: Claude, body: Json, refuse: Callable[[str], None]) -> None:
        sampling = sorted(_SAMPLING & body.keys())
        if not 0 <= body.get("temperature", 1) <= 1:
            refuse("temperature: Input should be less than or equal to 1")
        if model.sampling == "none" and sampling:
            refuse(f"`{sampling[0]}` is deprecated for this model.")
        if model.sampling == "one" and {"temperature", "top_p"} <= body.keys():
            refuse(
                "`temperature` and `top_p` cannot both be specified for this model. "
                "Please use only one."
            )
        for stop in body.get("stop_sequences", []):
            if not stop.strip():
                refuse("stop_sequences: each stop sequence must contain non-whitespace")
        kind = body.get("thinking", {}).get("type")
        if kind is not None and kind not in model.thinking:
            refuse(f'"thinking.type.{kind}" is not supported for this model.')

    def question(self, body: Json) -> str:
        return _text(body["messages"][-1]["content"])

    def limits(self, body: Json) -> tuple[int | None, list[str]]:
        return int(body["max_tokens"]), body.get("stop_sequences", [])

    def reply(self, body: Json, answer: Answer) -> Json:
        words = {"length": "max_tokens", "stop": "end_turn"}
        stop_reason = words.get(answer.finish, answer.finish)
        if answer.stopped_by is not None and answer.finish == "stop":
            stop_reason = "stop_sequence"
        content: list[Json] = [{"type": "text", "text": answer.text}] if answer.text else []
        if answer.thoughts:
            content.insert(0, {"type": "thinking", "thinking": "", "signature": "signed"})
        if stop_reason == "tool_use":
            content = [{"type": "tool_use", "id": "toolu_1", "name": "search", "input": {}}]
        return {
            "id": f"msg_{self.server.numbered():06d}",
            "type": "message",
            "role": "assistant",
            "model": body["model"],
            "content": content,
            "stop_reason": stop_reason,
            "stop_sequence": answer.stopped_by,
            "usage": {
                **self.input_usage(body),
                "output_tokens": answer.tokens + answer.thoughts,
                "output_tokens_details": {"thinking_tokens": answer.thoughts},
                "service_tier": "standard",
            },
        }

    def thoughts(self, body: Json) -> int:
        default = "adaptive" if self.server.models[body["model"]].thinks else "disabled"
        thinks = body.get("thinking", {}).get("type", default) in ("adaptive", "enabled")
        return self.server.thoughts if thinks else 0

    def prompt_tokens(self, body: Json) -> int:
        return sum(len(_text(message["content"]).split()) for message in body["messages"])

    def input_usage(self, body: Json) -> Json:
        """Counts of prompt tokens; a system prompt that is marked and long enough is cached."""
        system = body.get("system", "")
        asked = self.prompt_tokens(body)
        length = len(_text(system).split())
        marks = [block["cache_control"] for block in system if "cache_control" in block]
        written = read = 0
        if isinstance(system, list) and marks and length >= self.server.least_cached:
            key = (body["model"], _text(system))
            with self.server.lock:
                known = key in self.server.cached
                self.server.cached.add(key)
            written, read, length = (0, length, 0) if known else (length, 0, 0)
        ttl = marks[0].get("ttl", "5m") if marks else "5m"
        return {
            "input_tokens": asked + length,
            "cache_creation_input_tokens": written,
            "cache_read_input_tokens": read,
            "cache_creation": {
                f"ephemeral_{each}_input_tokens": written if each == ttl else 0
                for each in ("5m", "1h")
            },
        }

    # Models

    def list_models(self) -> Response:
        models = [self.described(name) for name in self.server.models]
        return 200, self.paged(models)

    def get_model(self, name: str) -> Response:
        if name not in self.server.models:
            raise Refused(404, self.error_body(404, f"model: {name}"))
        return 200, self.described(name)

    def described(self, name: str) -> Json:
        model = self.server.models[name]

        def supported(have: Collection[str], *words: str) -> Json:
            return {word: {"supported": word in have} for word in words}

        efforts = supported(model.efforts, "low", "medium", "high", "max", "xhigh")
        types = supported(model.thinking, "adaptive", "between_tools", "disabled", "enabled")
        told = {
            "type": "model",
            "id": name,
            "display_name": name.replace("-", " ").title(),
            "lifecycle": "active",
            "capabilities": {
                "thinking": {"supported": len(model.thinking) > 1, "types": types},
                "effort": {"supported": bool(model.efforts), **efforts},
            },
        }
        described: Json = sdk.whole(sdk.named("anthropic.types:ModelInfo"), told)
        return described

    # Batches

    def create_batch(self) -> Response:
        asked = self.sent_json().get("requests")

        def refuse(message: str, status: int = 400) -> None:
            raise Refused(status, self.error_body(status, message))

        if not isinstance(asked, list) or not asked:
            refuse("requests: List should have at least 1 item after validation, not 0")
        if len(asked) > self.server.most_requests or len(self.raw) > self.server.most_bytes:
            refuse("Request exceeds the maximum size", 413)
        for number, request in enumerate(asked):
            if not re.fullmatch(_CUSTOM_ID, str(request.get("custom_id", ""))):
                refuse(f"requests.{number}.custom_id: String should match pattern '{_CUSTOM_ID}'")
            if not isinstance(request.get("params"), dict):
                refuse(f"requests.{number}.params: Field required")
        if any(times > 1 for times in Counter(each["custom_id"] for each in asked).values()):
            refuse("requests: custom_id must be unique within the batch")
        batch = Job(
            id=f"msgbatch_{self.server.numbered():06d}",
            created=self.server.clock,
            rows=[Row(each["custom_id"], each["params"]) for each in asked],
        )
        return self.created(batch)

    def list_batches(self) -> Response:
        return 200, self.paged(self.shown_batches())

    def paged(self, found: list[Json]) -> Json:
        limit = int(self.query.get("limit", 20))
        if not 1 <= limit <= 1000:
            raise Refused(400, self.error_body(400, "limit: Input should be between 1 and 1000"))
        start = 0
        if "after_id" in self.query:
            ids = [each["id"] for each in found]
            if self.query["after_id"] not in ids:
                raise Refused(400, self.error_body(400, "after_id: no such object"))
            start = ids.index(self.query["after_id"]) + 1
        chosen, more = page(found, start, min(limit, self.server.most_per_page))
        return {
            "data": chosen,
            "has_more": more,
            "first_id": chosen[0]["id"] if chosen else None,
            "last_id": chosen[-1]["id"] if chosen else None,
        }

    def cancel_batch(self, name: str) -> Response:
        batch = self.found(name)
        if batch.end:
            raise Refused(400, self.error_body(400, f"Batch {name} has already ended."))
        batch.cancelling = True
        batch.times["cancelling"] = self.server.clock
        return 200, self.shown(batch)

    def results(self, name: str) -> Response:
        batch = self.found(name)
        if not batch.end:
            raise Refused(404, self.error_body(404, f"Batch {name} has no results yet."))
        if self.server.clock > batch.created + ARCHIVED_AFTER_S:
            raise Refused(404, self.error_body(404, f"The results of batch {name} are archived."))
        lines = [
            {"custom_id": row.custom_id, "result": self.result(batch, row)} for row in batch.rows
        ]
        random.Random(batch.id).shuffle(lines)
        return 200, self.written(lines)

    def result(self, batch: Job, row: Row) -> Json:
        """What became of a row; processing checks the parameters, not creation."""
        if not row.status:
            return {"type": _NOT_ANSWERED[batch.end]}
        if row.status != 200:
            return {"type": "errored", "error": {**row.reply, "request_id": None}}
        usage = {**row.reply["usage"], "service_tier": "batch"}
        return {"type": "succeeded", "message": {**row.reply, "usage": usage}}

    def completed(self, job: Job, body: Json) -> Json:
        if "stream" in body:
            raise Refused(400, self.error_body(400, "stream: not supported in batches"))
        return body

    def shown(self, batch: Job) -> Json:
        rest = len(batch.rows) - batch.good - batch.bad
        counts = dict.fromkeys(("processing", "succeeded", "errored", "canceled", "expired"), 0)
        counts["processing"] = 0 if batch.end else len(batch.rows)
        if batch.end:
            counts |= {"succeeded": batch.good, "errored": batch.bad}
            counts |= {_NOT_ANSWERED[batch.end]: rest} if rest else {}
        status = "canceling" if batch.cancelling else "in_progress"
        archived = batch.created + ARCHIVED_AFTER_S
        own_url = f"{self.server.url}/v1/messages/batches/{batch.id}/results"
        cancelled = batch.times.get("cancelling", self.server.clock) if batch.cancelling else None
        return {
            "id": batch.id,
            "type": "message_batch",
            "processing_status": "ended" if batch.end else status,
            "request_counts": counts,
            "created_at": moment(batch.created),
            "expires_at": moment(batch.created + self.lives_s),
            "ended_at": moment(batch.times.get("ended")),
            "archived_at": moment(archived) if self.server.clock > archived else None,
            "cancel_initiated_at": moment(cancelled),
            "results_url": own_url if batch.end else None,
        }


class AnthropicServer(HostedServer):
    """Anthropic with a handful of models, of each kind of sampling and thinking one."""

    def __init__(self) -> None:
        super().__init__(AnthropicHandler)
        self.models = {
            "claude-haiku-4-5": Claude("one", ("disabled", "enabled")),
            "claude-3-haiku-20240307": Claude(),
            "claude-opus-4-8": Claude("none", ("adaptive",)),
            "claude-sonnet-5": Claude("none", ("adaptive", "disabled"), thinks=True),
            "claude-sonnet-5-5": Claude("none", ("adaptive", "between_tools"), thinks=True),
            "claude-haiku-5-5": Claude("none", ("adaptive", "disabled"), thinks=True),
            "claude-opus-5-5": Claude("none", ("adaptive",), thinks=True),
        }
        self.most_requests = 100_000
        self.most_bytes = 256_000_000
        self.thoughts = 10  # tokens that a thinking model thinks
        self.least_cached = 1024  # tokens
        self.cached: set[tuple[str, str]] = set()

    def billed(self) -> Counter[str]:
        """How long a prompt is to be cached makes no other request of it."""
        with self.lock:
            return Counter(
                json.dumps({**body, "model": None, "system": _text(body.get("system", ""))})
                for _, body in self.bills
            )


def _text(content: Any) -> str:
    """The text of a content that may be a string or blocks."""
    return content if isinstance(content, str) else "".join(block["text"] for block in content)
