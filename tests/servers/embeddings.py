"""Vectors by OpenAI's `/v1/embeddings` and Ollama's `/api/embed`.

After openai 3.52 (`EmbeddingCreateParams`, `CreateEmbeddingResponse`), Ollama's
`EmbedHandler`, and what both refuse. A token is a word. Each text of the ledger was embedded.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from typing import Any

import numpy as np

from .base import Json, ProviderHandler, ProviderServer

MODEL = "small-embedder"
WIDTH = 8
READS = 16
"""Tokens of a text."""

_KNOWN = {"model", "input", "dimensions", "encoding_format", "user"}


def vector_of(text: str, width: int = WIDTH) -> list[float]:
    """The vector of a text: any will do that differs from those of others."""
    digest = hashlib.sha256(text.encode()).digest()
    values = [byte - 127.5 for byte in digest[:width]]
    length = math.sqrt(sum(each * each for each in values))
    return [each / length for each in values]


class EmbeddingHandler(ProviderHandler):
    """Both interfaces; each has its paths."""

    server: EmbeddingServer

    def error_body(self, status: int, message: str) -> Json:
        if self.path.startswith("/api/"):
            return {"error": message}
        kind = "server_error" if status >= 500 else "invalid_request_error"
        return {"error": {"message": message, "type": kind, "param": None, "code": None}}

    def do_GET(self) -> None:  # noqa: N802 - the name that http.server calls
        if self.path == "/api/version":
            self.send_json(200, {"version": self.server.version})
        elif self.path == "/api/tags":
            models = [{"name": f"{MODEL}:latest", "digest": self.server.digest, "size": 9}]
            models[0].update(self.server.tag)
            self.send_json(200, {"models": models})
        elif self.denied():
            pass
        elif self.path == "/v1/models":
            self.send_json(200, {"object": "list", "data": [self.model()]})
        elif self.path == f"/v1/models/{MODEL}":
            self.send_json(200, self.model())
        else:
            self.send_json(404, self.error_body(404, f"Invalid URL (GET {self.path})"))

    def model(self) -> Json:
        told = {"id": MODEL, "object": "model", "created": 1_788_000_000, "owned_by": "x"}
        return {**told, **self.server.told}

    def denied(self) -> bool:
        given = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if self.server.key in (None, given):
            return False
        self.send_json(401, self.error_body(401, f"Incorrect API key provided: {given}."))
        return True

    def do_POST(self) -> None:  # noqa: N802 - as above
        raw = self.rfile.read(length := int(self.headers["Content-Length"]))
        if len(raw) < length:  # its client was killed: half a body is no request
            self.close_connection = True
            return
        body = json.loads(raw)
        if self.path == "/api/show":
            self.send_json(200, {**_SHOWN, **self.server.shown})
            return
        if self.path not in ("/v1/embeddings", "/api/embed"):
            self.send(404, b"404 page not found", "text/plain")
            return
        if self.path.startswith("/v1/") and self.denied():
            return
        with self.server.lock:
            self.server.bodies.append(body)
        texts = body.get("input", [])
        texts = [texts] if isinstance(texts, str) else texts
        if problem := self.problem(body, texts):
            self.send_json(400, self.error_body(400, problem))
            return
        reply = self.embedded(body, texts)
        fault = self.server.meets(texts[0]) if texts else ""
        if fault:
            self.misbehave(fault, reply)
            return
        for text in texts:
            self.server.record(text, "answered")
        self.send_json(200, reply)

    def misbehave(self, fault: str, reply: Json | bytes) -> None:
        """Two faults more: a vector is missing, or one stands there twice."""
        if fault in ("fewer", "twice"):
            assert isinstance(reply, dict)
            vectors = reply["data" if "data" in reply else "embeddings"]
            vectors[-1:] = [vectors[0]] * (2 if "embeddings" in reply else 1)
            if fault == "fewer":
                vectors[:] = vectors[:1]
            self.send_json(200, reply)
        else:
            super().misbehave(fault, reply)

    def problem(self, body: Json, texts: list[str]) -> str | None:
        if body.get("model") not in (MODEL, f"{MODEL}:latest"):
            return f'model "{body.get("model")}" not found, try pulling it first'
        limit = self.server.reads
        longest = max((len(text.split()) for text in texts), default=0)
        if self.path == "/api/embed":
            limit = min(limit, body.get("options", {}).get("num_ctx", limit))
            too_long = longest > limit and body.get("truncate", True) is False
            return "the input length exceeds the context length" if too_long else None
        if unknown := body.keys() - _KNOWN:
            return f"Unrecognized request argument supplied: {min(unknown)}"
        if not 0 < len(texts) <= 2048 or "" in texts:
            return "'$.input' is invalid. Please check the API reference."
        if longest > limit and not self.server.cuts:
            return (
                f"This model's maximum context length is {limit} tokens, however you requested "
                f"{longest} tokens. Please reduce your prompt."
            )
        return None

    def embedded(self, body: Json, texts: list[str]) -> Json:
        width = body.get("dimensions") or self.server.width
        cut = [" ".join(text.split(" ")[: self.server.reads]) for text in texts]
        vectors: list[Any] = [self.server.vector(text, width) for text in cut]
        tokens = sum(len(text.split()) for text in cut)
        if self.path == "/api/embed":
            return {
                "model": body["model"],
                "embeddings": vectors,
                "total_duration": 14_143_917,
                "load_duration": 1_019_500,
                "prompt_eval_count": tokens,
            }
        if body.get("encoding_format") == "base64":
            vectors = [
                base64.b64encode(np.array(each, "<f4").tobytes()).decode() for each in vectors
            ]
        data = [
            {"object": "embedding", "index": index, "embedding": each}
            for index, each in enumerate(vectors)
        ]
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        data.reverse()  # the index says where they belong
        return {"object": "list", "data": data, "model": MODEL, "usage": usage}


class EmbeddingServer(ProviderServer):
    """A server with one model; asks for a key where ``key`` is set."""

    def __init__(self) -> None:
        super().__init__(EmbeddingHandler)
        self.key: str | None = None
        self.digest, self.version = "a" * 64, "0.33.0"  # of Ollama
        self.width = WIDTH
        self.reads = READS
        self.cuts = False  # longer texts, in silence
        self.vector = vector_of
        self.told: Json = {}
        self.tag: Json = {}
        self.shown: Json = {}


_SHOWN: Json = {
    "capabilities": ["embedding"],
    "details": {"family": "bert"},
    "model_info": {"general.architecture": "bert", "bert.context_length": READS},
}
