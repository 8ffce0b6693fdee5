"""Servers that speak as OpenAI's chat completions do, such as vLLM."""

from __future__ import annotations

import json

from . import schemas
from .base import Answer, Json, ProviderHandler, ProviderServer, token_logprobs


class CompatibleHandler(ProviderHandler):
    """`/v1/models`, `/v1/chat/completions` and `/health`, with OpenAI's errors."""

    chat_path = "/v1/chat/completions"
    server: CompatibleServer

    def error_body(self, status: int, message: str, code: str | None = None) -> Json:
        kind = "server_error" if status >= 500 else "invalid_request_error"
        return {"error": {"message": message, "type": kind, "param": None, "code": code}}

    def unauthorized(self) -> tuple[int, Json] | None:
        given = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if self.server.key in (None, given):
            return None
        message = f"Incorrect API key provided: {given}." if given else "You need an API key."
        return 401, self.error_body(401, message, "invalid_api_key")

    def resource(self, path: str) -> tuple[int, Json] | None:
        if path == "/health":
            return 200, {"status": "ok"}
        if path != "/v1/models":
            return None
        models = [
            {"id": name, "object": "model", "created": 1_788_000_000, "owned_by": "x", **told}
            for name, told in self.server.models.items()
        ]
        return self.unauthorized() or (200, {"object": "list", "data": models})

    def refusal(self, body: Json) -> tuple[int, Json] | None:
        if denied := self.unauthorized():
            return denied
        name = body.get("model")
        if name not in self.server.models:
            message = f"The model `{name}` does not exist."
            return 404, self.error_body(404, message, "model_not_found")
        schema = self.schema_of(body)
        if schema is not None and (problem := self.schema_problem(schema)):
            message = f"Invalid schema for response_format 'answer': {problem}"
            return 400, self.error_body(400, message)
        if not isinstance(body.get("messages"), list) or not 0 <= body.get("temperature", 1) <= 2:
            return 400, self.error_body(400, "messages or temperature is not valid")
        return None

    def schema_of(self, body: Json) -> Json | None:
        asked: Json = body.get("response_format", {}) if self.server.enforces else {}
        if asked.get("type") == "json_schema":
            schema: Json = asked["json_schema"]["schema"]
            return schema
        return asked.get("schema")

    def schema_problem(self, schema: Json) -> str | None:
        """Why a schema is refused."""
        return schemas.llama_cpp(schema)

    def limits(self, body: Json) -> tuple[int | None, list[str]]:
        stop = body.get("stop") or []
        return body.get("max_tokens"), [stop] if isinstance(stop, str) else stop

    def reply(self, body: Json, answer: Answer) -> Json:
        usage = {
            "prompt_tokens": answer.prompt_tokens,
            "completion_tokens": answer.tokens,
            "total_tokens": answer.prompt_tokens + answer.tokens,
            "prompt_tokens_details": {"cached_tokens": 0},
        }
        message = {"role": "assistant", "content": answer.text, "refusal": None}
        likely = None
        if body.get("logprobs"):
            likely = {"content": token_logprobs(answer.text), "refusal": None}
        choice = {
            "index": 0,
            "message": message,
            "logprobs": likely,
            "finish_reason": answer.finish,
        }
        return {
            "id": f"chatcmpl-{len(self.server.bodies)}",
            "object": "chat.completion",
            "created": 1_788_000_100,
            "model": body["model"],
            "choices": [{**choice, **self.server.choice}],
            **({"usage": usage} if self.server.counts_tokens else {}),
        }

    def stream(self, reply: Json) -> tuple[str, list[str]]:
        choice = reply["choices"][0]
        chunk = {**reply, "object": "chat.completion.chunk"}
        chunk.pop("usage", None)
        parts = [
            {"index": 0, "delta": choice["message"], "finish_reason": None},
            {"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]},
        ]
        events = [json.dumps({**chunk, "choices": [part]}) for part in parts]
        return "text/event-stream", [f"data: {event}\n\n" for event in [*events, "[DONE]"]]


class OwnHandler(CompatibleHandler):
    """What servers of one's own do besides: they tell of themselves, and have a short context."""

    server: CompatibleServer

    def resource(self, path: str) -> tuple[int, Json] | None:
        if path == "/version" and self.server.version is not None:
            return 200, {"version": self.server.version}
        if path == "/props" and self.server.props is not None:
            return 200, self.server.props
        return super().resource(path)

    def refusal(self, body: Json) -> tuple[int, Json] | None:
        if refused := super().refusal(body):
            return refused
        stops, most = self.limits(body)[1], self.server.most_stops
        if most is not None and len(stops) > most:
            return 400, self.error_body(400, f"List should have at most {most} items")
        room = self.room(body)
        if room is not None and room < 1:
            return 400, self.error_body(400, "This model's maximum context length is exceeded")
        return None

    def room(self, body: Json) -> int | None:
        """Tokens that the context has for an answer."""
        length = self.server.models[body["model"]].get("max_model_len")
        words = sum(len(each["content"].split()) for each in body["messages"])
        return None if length is None else length - words

    def limits(self, body: Json) -> tuple[int | None, list[str]]:
        # As vLLM does: what does not fit is lowered in silence.
        asked, stops = super().limits(body)
        return min((n for n in (asked, self.room(body)) if n is not None), default=None), stops

    def reply(self, body: Json, answer: Answer) -> Json:
        return {**super().reply(body, answer), "system_fingerprint": self.server.fingerprint}


class CompatibleServer(ProviderServer):
    """A server such as vLLM with two models; asks for a key where ``key`` is set.

    Of itself it tells nothing but its models, unless it is told to be another's like.
    """

    def __init__(self) -> None:
        super().__init__(OwnHandler)
        self.models: dict[str, Json] = {
            "tiny-3m": {"root": "org/tiny-3m", "max_model_len": 4096},
            "other": {},
        }
        self.key: str | None = None
        self.version: str | None = None
        self.fingerprint: str | None = None
        self.props: Json | None = None
        self.most_stops: int | None = None
        self.enforces = True  # JSON schemas
        self.choice: Json = {}  # replaces fields of each answer's choice

    def be_vllm(self, fingerprint: str = "vllm-0.32.0-305edf5f") -> None:
        """Tell of itself as vLLM 0.32.0 does."""
        self.models["tiny-3m"]["owned_by"] = "vllm"
        self.version, self.fingerprint = "0.32.0", fingerprint
        self.most_stops = 4

    def be_llama_server(self, build: str = "b10488-9db4bdb", template: str = "{{ x }}") -> None:
        """Tell of itself as llama-server does."""
        self.models["tiny-3m"] = {"owned_by": "llamacpp", "meta": {"n_params": 3, "size": 6}}
        self.props = {
            "default_generation_settings": {"n_ctx": 1024, "id": 0},
            "total_slots": 1,
            "model_path": "/models/tiny.gguf",
            "chat_template": template,
            "build_info": build,
        }
