"""Ollama's native API."""

from __future__ import annotations

import json

from .base import Json, ProviderHandler, ProviderServer


class OllamaHandler(ProviderHandler):
    """`/api/version`, `/api/tags` and `/api/chat`, after Ollama's server/routes.go."""

    chat_path = "/api/chat"
    server: OllamaServer

    def error_body(self, status: int, message: str) -> Json:
        return {"error": message}

    def resource(self, path: str) -> tuple[int, Json] | None:
        if path == "/api/version":
            return 200, {"version": "0.12.6"}
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

    def refusal(self, body: Json) -> tuple[int, Json] | None:
        name = body.get("model", "")
        if name not in self.server.models and f"{name}:latest" not in self.server.models:
            return 404, self.error_body(404, f"model '{name}' not found")
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
        words = sum(len(each["content"].split()) for each in body["messages"])
        if words > options.get("num_ctx", 4096) and body.get("truncate") is False:
            return 400, self.error_body(400, "the input length exceeds the context length")
        return None

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
            "message": {"role": "assistant", "content": text},
            "done": True,
            "done_reason": finish,
            "total_duration": 2_000_000,
            "load_duration": 500_000,
            "prompt_eval_duration": 500_000,
            "eval_duration": 1_000_000,
            **({name: n for name, n in counts.items() if n} if self.server.counts_tokens else {}),
        }

    def stream(self, reply: Json) -> tuple[str, list[str]]:
        message = reply["message"]
        common = {"model": reply["model"], "created_at": reply["created_at"]}
        first = {**common, "message": message, "done": False}
        last = {**reply, "message": {**message, "content": ""}}
        return "application/x-ndjson", [json.dumps(each) + "\n" for each in (first, last)]


class OllamaServer(ProviderServer):
    """Ollama with two models."""

    def __init__(self) -> None:
        super().__init__(OllamaHandler)
        self.models = {"tiny:3m": "a" * 64, "other:latest": "b" * 64}
