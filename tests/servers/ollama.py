"""Ollama's native API."""

from __future__ import annotations

import json

from . import schemas
from .base import Json, ProviderHandler, ProviderServer, token_logprobs

CHAT_TEMPLATE = "{{ range .Messages }}<|{{ .Role }}|>{{ .Content }}{{ end }}<|assistant|>"
BARE_TEMPLATE = "{{ .Prompt }}"

_ENDPOINTS = ("/api/chat", "/api/generate")


class OllamaHandler(ProviderHandler):
    """`/api/{version,tags,show,chat,generate}`, after Ollama's server/routes.go."""

    server: OllamaServer

    def error_body(self, status: int, message: str) -> Json:
        return {"error": message}

    def resource(self, path: str) -> tuple[int, Json] | None:
        if path == "/api/version":
            return 200, {"version": self.server.version}
        if path != "/api/tags":
            return None
        models = [
            {
                "name": name,
                "model": name,
                "modified_at": "2026-11-21T09:00:00.000000000Z",
                "size": 3_000_000,
                "digest": digest,
                "details": {"format": "gguf", "family": "llama", "parameter_size": "3M"},
            }
            for name, digest in self.server.models.items()
        ]
        return 200, {"models": models}

    def do_POST(self) -> None:  # noqa: N802 - the name that http.server calls
        if self.path == "/api/show":
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            refused = self.unknown(asked["model"])
            self.send_json(*(refused or (200, {**_SHOWN, **self.server.shown})))
            return
        self.chat_path = self.path if self.path in _ENDPOINTS else ""
        super().do_POST()

    def unknown(self, name: str) -> tuple[int, Json] | None:
        if name in self.server.models or f"{name}:latest" in self.server.models:
            return None
        return 404, self.error_body(404, f"model '{name}' not found")

    def refusal(self, body: Json) -> tuple[int, Json] | None:
        if refused := self.unknown(body.get("model", "")):
            return refused
        if body.get("think") and "thinking" not in {**_SHOWN, **self.server.shown}["capabilities"]:
            return 400, self.error_body(400, f'"{body["model"]}" does not support thinking')
        schema = self.schema_of(body)
        if schema is not None and (problem := schemas.llama_cpp(schema)):
            return 400, self.error_body(400, problem)
        options = body.get("options", {})
        for key, kind in {
            "num_predict": int,
            "num_ctx": int,
            "top_k": int,
            "seed": int,
            "temperature": (int, float),
            "top_p": (int, float),
            "stop": list,
        }.items():
            if key in options and not isinstance(options[key], kind):
                return 500, self.error_body(500, f'option "{key}" must be of another type')
        words = sum(len(each["content"].split()) for each in _messages(body))
        if words > options.get("num_ctx", 4096) and body.get("truncate") is False:
            return 400, self.error_body(400, "the input length exceeds the context length")
        return None

    def schema_of(self, body: Json) -> Json | None:
        schema = body.get("format")
        return schema if isinstance(schema, dict) else None

    def chat(self, body: Json) -> None:
        super().chat({**body, "messages": _messages(body)})

    def limits(self, body: Json) -> tuple[int | None, list[str]]:
        options = body.get("options", {})
        most = options.get("num_predict", -1)
        return (None if most < 0 else most), options.get("stop", [])

    def wants_stream(self, body: Json) -> bool:
        return bool(body.get("stream", True))

    def reply(self, body: Json, text: str, finish: str, prompt_tokens: int) -> Json:
        counts = {"prompt_eval_count": prompt_tokens, "eval_count": len(text.split())}
        return {
            "model": body["model"],
            "created_at": "2026-11-21T09:00:00.000000000Z",
            **_answer(body, text),
            "done": True,
            "done_reason": finish,
            "total_duration": 2_000_000,
            "load_duration": 500_000,
            "prompt_eval_duration": 500_000,
            "eval_duration": 1_000_000,
            **({name: n for name, n in counts.items() if n} if self.server.counts_tokens else {}),
            **({"logprobs": token_logprobs(text)} if body.get("logprobs") else {}),
        }

    def stream(self, reply: Json) -> tuple[str, list[str]]:
        common = {"model": reply["model"], "created_at": reply["created_at"], "done": False}
        if "message" in reply:
            first = {**common, "message": reply["message"]}
            last = {**reply, "message": {**reply["message"], "content": ""}}
        else:
            first = {**common, "response": reply["response"]}
            last = {**reply, "response": ""}
        return "application/x-ndjson", [json.dumps(each) + "\n" for each in (first, last)]


_SHOWN = {
    "modelfile": '# Modelfile generated by "ollama show"\n\nFROM /models/sha256-aaaa\n',
    "parameters": "temperature                    0.7",
    "template": CHAT_TEMPLATE,
    "details": {"format": "gguf", "family": "llama", "parameter_size": "3M"},
    "model_info": {"general.architecture": "llama"},
    "capabilities": ["completion", "tools"],
}


def _messages(body: Json) -> list[Json]:
    """What is asked, as messages."""
    if "messages" in body:
        return list(body["messages"])
    system = [{"role": "system", "content": body["system"]}] if body.get("system") else []
    return [*system, {"role": "user", "content": body["prompt"]}]


def _answer(body: Json, text: str) -> Json:
    if "prompt" in body:
        return {"response": text}
    return {"message": {"role": "assistant", "content": text}}


class OllamaServer(ProviderServer):
    """Ollama with two models, of both of which it tells the same."""

    def __init__(self) -> None:
        super().__init__(OllamaHandler)
        self.version = "0.12.6"
        self.models = {"tiny:3m": "a" * 64, "other:latest": "b" * 64}
        self.shown: Json = {}  # replaces fields of what /api/show tells
