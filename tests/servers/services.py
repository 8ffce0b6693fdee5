"""Services behind `openai_compatible`: one server, and a table of what differs between them.

Each row follows what the service documents: its path, its key, its list of models, the fields that
it takes and how it refuses others, and the shape of its replies and errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from .base import Answer, Json
from .openai_compatible import CompatibleHandler, CompatibleServer

_PLAIN = "model messages temperature top_p stop seed response_format reasoning_effort"
_PENALTIES = "presence_penalty frequency_penalty"
_LLAMA = f"{_PLAIN} {_PENALTIES} max_tokens top_k min_p repeat_penalty"


@dataclass(frozen=True)
class Service:
    """How one service differs from OpenAI.

    ``takes`` are the fields of a request; others get the status ``refuses``, or are ignored where
    it is None. ``models``: its list is an object, a bare array, or missing. ``flat``: errors are no
    object in another. ``message`` and ``choice`` replace fields of the answer.
    """

    path: str
    takes: str
    key: str | None = "Authorization"
    query: Mapping[str, str] = field(default_factory=dict)
    refuses: int | None = 400
    models: str = "object"
    owner: str = "x"
    flat: bool = False
    message: Json = field(default_factory=dict)
    choice: Json = field(default_factory=dict)


_THINKING = [
    {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
    {"type": "text", "text": "to Oslo"},
]

SERVICES = {
    "OpenRouter": Service(
        "/api/v1", f"{_PLAIN} max_tokens top_k min_p provider", choice={"finish_reason": None}
    ),
    "Azure OpenAI": Service(
        "/openai/v1",
        "model messages temperature top_p stop seed response_format max_completion_tokens",
        key="api-key",
        models="missing",
        choice={"content_filter_results": {"hate": {"filtered": False}}},
    ),
    "Azure OpenAI, dated": Service(
        "/openai/deployments/my-deployment",
        "model messages temperature top_p stop seed response_format max_tokens",
        key="api-key",
        query={"api-version": "2024-10-21"},
        models="missing",
    ),
    "Mistral": Service(
        "/v1",
        "model messages temperature top_p top_k stop random_seed response_format max_tokens",
        refuses=422,
        flat=True,
        message={"content": _THINKING},
    ),
    "Groq": Service("/openai/v1", f"{_PLAIN} max_completion_tokens reasoning_format"),
    "DeepSeek": Service(
        "", "model messages temperature top_p stop max_tokens thinking", message={"refusal": None}
    ),
    "Together": Service(
        "/v1",
        f"{_PLAIN} max_tokens top_k min_p repetition_penalty",
        models="array",
        choice={"finish_reason": "eos"},
    ),
    "vLLM": Service(
        "/v1",
        f"{_PLAIN} {_PENALTIES} max_tokens top_k min_p repetition_penalty",
        key=None,
        owner="vllm",
    ),
    "SGLang": Service(
        "/v1",
        f"{_PLAIN} {_PENALTIES} max_tokens top_k min_p repetition_penalty",
        key=None,
        owner="sglang",
        flat=True,
    ),
    "LM Studio": Service("/v1", _LLAMA, key=None, refuses=None),
    "LocalAI": Service("/v1", _LLAMA, key=None, refuses=None, choice={"finish_reason": None}),
    "llama-server": Service("/v1", _LLAMA, key=None, owner="llamacpp"),
    "Amazon Bedrock": Service("/v1", f"{_PLAIN} max_completion_tokens"),
    "Google Vertex AI": Service(
        "/v1/projects/PROJECT/locations/global/endpoints/openapi",
        f"{_PLAIN} max_tokens",
        models="missing",
    ),
}


class ServiceHandler(CompatibleHandler):
    """A service as its row says."""

    server: ServiceServer

    @property
    def chat_path(self) -> str:  # type: ignore[override]
        """The path is compared as it came, so a wrong query is a wrong path."""
        query = dict(parse_qsl(urlsplit(self.path).query))
        is_asked = query == self.server.service.query
        path = f"{self.server.service.path}/chat/completions"
        return self.path if is_asked and urlsplit(self.path).path == path else path

    def error_body(self, status: int, message: str, code: str | None = None) -> Json:
        if self.server.service.flat:
            return {"object": "error", "message": message, "type": "x", "code": status}
        return super().error_body(status, message, code)

    def unauthorized(self) -> tuple[int, Json] | None:
        name = self.server.service.key
        if name is None or self.headers.get(name, "").removeprefix("Bearer ") == self.server.key:
            return None
        return 401, self.error_body(401, f"no key in {name}")

    def resource(self, path: str) -> tuple[int, Json] | None:
        service = self.server.service
        if path != f"{service.path}/models" or service.models == "missing":
            return None
        listed: Any = [
            {"id": name, "object": "model", "owned_by": service.owner}
            for name in self.server.models
        ]
        whole = listed if service.models == "array" else {"object": "list", "data": listed}
        return self.unauthorized() or (200, whole)

    def refusal(self, body: Json) -> tuple[int, Json] | None:
        service = self.server.service
        unknown = sorted(body.keys() - set(service.takes.split()))
        if service.refuses is not None and unknown:
            return service.refuses, self.error_body(service.refuses, f"unknown: {unknown}")
        return super().refusal(body)

    def limits(self, body: Json) -> tuple[int | None, list[str]]:
        most, stops = super().limits(body)
        return body.get("max_completion_tokens", most), stops

    def reply(self, body: Json, answer: Answer) -> Json:
        made = super().reply(body, answer)
        choice = {**made["choices"][0], **self.server.service.choice}
        message = {**choice["message"], **self.server.service.message}
        return {**made, "choices": [{**choice, "message": message}]}


class ServiceServer(CompatibleServer):
    """The server of one service, with one model."""

    def __init__(self, service: Service, model: str, key: str) -> None:
        super().__init__()
        self.RequestHandlerClass = ServiceHandler
        self.service, self.models, self.key = service, {model: {}}, key
