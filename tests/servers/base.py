"""What the test servers of all providers share: answers, faults on demand, and a ledger.

They answer at once with words made of the question, keep a ledger of what came of each request,
and misbehave on demand: `ProviderServer.faults` says for each request, by its question and its
number of earlier tries, which fault it meets. A fault is a status code or one of `FAULTS`, and
comes instead of what the request asks for; with "after " before it, it spoils only the reply.

A token is a word. A request counts as answered when its answer was made while the client was
still there; like the real servers, these stop working for a client that is gone.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import socket
import struct
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeVar

from .schemas import obeying

FAULTS = ("reset", "half", "half JSON", "empty", "wrong types", "error in 200", "HTML", "slow")
AFTER = "after "

_REASONS = {429: "Too Many Requests", 500: "Internal Server Error", 503: "Service Unavailable"}

Json = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """What is answered to one request: ``finish`` is "stop", "length", or the provider's word."""

    text: str
    finish: str
    prompt_tokens: int
    thoughts: int = 0  # tokens
    stopped_by: str | None = None

    @property
    def tokens(self) -> int:
        """Generated tokens without thoughts."""
        return len(self.text.split())


class ProviderServer(ThreadingHTTPServer):
    """One provider: answers, faults and the ledger."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, handler: type[ProviderHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.faults: Callable[[str, int], str] = lambda question, tries: ""
        self.answer: Callable[[str], str] = lambda question: "to " + question.split("\n")[-1]
        self.finish: str | None = None  # the provider's word, instead of stop or length
        self.retry_after = "0.05"
        self.gateway_path = ""  # of a gateway before the provider's own paths
        self.counts_tokens = True
        self.latency_s = 0.0
        self.hold_after: int | None = None  # answers after which all further requests wait
        self.ledger: list[tuple[str, str]] = []  # question and outcome, in the order of outcomes
        self.bodies: list[Json] = []
        self.heads: list[Message] = []
        self.heard: list[tuple[float, str]] = []  # when which question came
        self.hangs = threading.Event()  # a request has met the fault "slow"
        self.connections = 0
        self.most_at_once = 0
        self._at_once = 0
        self._tries: Counter[str] = Counter()
        self._begun = 0
        self.lock = threading.RLock()

    def outcomes(self, outcome: str) -> Counter[str]:
        """How often each question had this outcome."""
        with self.lock:
            return Counter(question for question, each in self.ledger if each == outcome)

    def meets(self, question: str) -> str:
        """The fault that a request meets now; counts it as a try."""
        with self.lock:
            tries = self._tries[question]
            self._tries[question] += 1
        return self.faults(question, tries)

    def begin(self) -> Callable[[], bool]:
        """Note that an answer is begun; returns whether it has to wait."""
        with self.lock:
            number = self._begun
            self._begun += 1
        return lambda: self.hold_after is not None and number >= self.hold_after

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        with self.lock:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            yield
        finally:
            with self.lock:
                self._at_once -= 1

    def record(self, question: str, outcome: str) -> None:
        with self.lock:
            self.ledger.append((question, outcome))

    def get_request(self) -> tuple[socket.socket, Any]:
        self.connections += 1
        return super().get_request()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away are part of the tests; anything else is printed."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


AnyServer = TypeVar("AnyServer", bound=ProviderServer)


@contextlib.contextmanager
def running(server: AnyServer) -> Iterator[AnyServer]:
    """Serve in a thread."""
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class ProviderHandler(BaseHTTPRequestHandler):
    """One connection. What differs between providers is left to subclasses."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: ProviderServer

    def error_body(self, status: int, message: str) -> Json:
        raise NotImplementedError

    def resource(self, path: str) -> tuple[int, Json] | None:
        """Status and body of what GET gives, or None where there is nothing."""
        raise NotImplementedError

    def refusal(self, body: Json) -> tuple[int, Json] | None:
        """Status and error of a request that is not answered."""
        raise NotImplementedError

    def reply(self, body: Json, answer: Answer) -> Json:
        raise NotImplementedError

    def prompt_tokens(self, body: Json) -> int:
        return sum(len(each["content"].split()) for each in body["messages"])

    def thoughts(self, body: Json) -> int:
        """Tokens that the model thinks before its answer."""
        return 0

    def stream(self, reply: Json) -> tuple[str, list[str]]:
        """Content type and chunks of a streamed reply."""
        raise NotImplementedError

    chat_path = ""

    def parse_request(self) -> bool:
        is_whole = super().parse_request()
        if is_whole:
            self.path = self.path.removeprefix(self.server.gateway_path)
        return is_whole

    def do_GET(self) -> None:
        fault = self.server.meets(self.path)
        if fault:
            self.misbehave(fault, {"ok": "x"})
            return
        found = self.resource(self.path)
        if found is None:
            self.send(404, b"404 page not found", "text/plain")
        else:
            self.send_json(*found)

    def do_POST(self) -> None:
        raw = self.rfile.read(length := int(self.headers["Content-Length"]))
        if len(raw) < length:  # its client was killed: half a body is no request
            self.close_connection = True
            return
        if self.path != self.chat_path:
            self.send(404, b"404 page not found", "text/plain")
            return
        try:
            body = json.loads(raw)
        except ValueError as error:
            self.send_json(400, self.error_body(400, str(error)))
            return
        with self.server.lock:
            self.server.bodies.append(body)
            self.server.heads.append(self.headers)
        refused = self.refusal(body)
        if refused:
            self.send_json(*refused)
            return
        with self.server.at_work():
            self.chat(body)

    def chat(self, body: Json) -> None:
        question = str(body["messages"][-1]["content"])
        self.server.heard.append((time.monotonic(), question))
        reply = self.made_reply(body, question)
        fault = self.server.meets(question)
        if fault and not fault.startswith(AFTER):
            self.server.record(question, fault)
            self.misbehave(fault, reply)
            return
        must_wait = self.server.begin()
        time.sleep(self.server.latency_s)
        while must_wait() and not self.client_is_gone():
            time.sleep(0.005)
        if self.client_is_gone():
            self.server.record(question, "abandoned")
            self.close_connection = True
            return
        self.server.record(question, "answered")
        self.answered(body)
        if fault:
            self.misbehave(fault.removeprefix(AFTER), reply)
        elif self.wants_stream(body):
            self.send_chunks(*self.stream(reply))
        else:
            self.send_json(200, reply)

    def answered(self, body: Json) -> None:
        """Take note of an answer, for servers that bill."""

    def wants_stream(self, body: Json) -> bool:
        return bool(body.get("stream", False))

    def limits(self, body: Json) -> tuple[int | None, list[str]]:
        """The most tokens of an answer, and what ends it."""
        raise NotImplementedError

    def schema_of(self, body: Json) -> Json | None:
        """The JSON schema that an answer is held to."""
        return None

    def made_reply(self, body: Json, question: str) -> Json:
        most, stops = self.limits(body)
        text = obeying(self.server.answer(question), self.schema_of(body))
        finish, stopped_by = "stop", None
        for stop in stops:
            if stop in text:
                text, stopped_by = text.split(stop)[0], stop
        words, thoughts = text.split(), self.thoughts(body)
        if most is not None and 0 <= most < thoughts + len(words):
            thoughts = min(thoughts, most)
            text, finish, stopped_by = " ".join(words[: most - thoughts]), "length", None
        finish = self.server.finish or finish
        answer = Answer(text, finish, self.prompt_tokens(body), thoughts, stopped_by)
        return self.reply(body, answer)

    def misbehave(self, fault: str, reply: Json | bytes) -> None:
        whole = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
        if fault.isdigit():
            status = int(fault)
            extra = {"Retry-After": self.server.retry_after} if status in (429, 503) else {}
            message = _REASONS.get(status, "refused").lower()
            self.send_json(status, self.error_body(status, message), extra)
        elif fault == "day":
            said = "Rate limit reached on requests per day (RPD): Limit 200, Used 200"
            self.send_json(429, self.error_body(429, said), {"Retry-After": "432"})
        elif fault == "reset":
            linger = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            socket.close(self.connection.detach())
            self.close_connection = True
        elif fault == "half":
            self.send(200, whole[: len(whole) // 2], "application/json", {}, len(whole))
            self.close_connection = True
        elif fault == "half JSON":
            self.send(200, whole[: len(whole) // 2], "application/json")
        elif fault == "empty":
            self.send(200, b"", "application/json")
        elif fault == "wrong types":
            self.send(200, json.dumps(with_wrong_types(reply)).encode(), "application/json")
        elif fault == "error in 200":
            self.send_json(200, self.error_body(500, "something broke half-way"))
        elif fault == "HTML":
            self.send(502, b"<html><body>Bad Gateway</body></html>", "text/html")
        elif fault == "slow":
            self.server.hangs.set()
            while not self.client_is_gone():
                time.sleep(0.005)
            self.close_connection = True
        else:
            raise AssertionError(fault)

    def client_is_gone(self) -> bool:
        readable, _, _ = select.select([self.connection], [], [], 0)
        if not readable:
            return False
        try:
            return self.connection.recv(1, socket.MSG_PEEK) == b""
        except ConnectionError:
            return True

    def send_json(self, status: int, body: Json, extra: dict[str, str] | None = None) -> None:
        self.send(status, json.dumps(body).encode(), "application/json", extra)

    def send(
        self,
        status: int,
        content: bytes,
        kind: str,
        extra: dict[str, str] | None = None,
        length: int | None = None,
    ) -> None:
        self.send_response(status)
        for name, value in (extra or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        self.end_headers()
        self.wfile.write(content)

    def send_chunks(self, kind: str, chunks: list[str]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for chunk in [*chunks, ""]:
            content = chunk.encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(content), content))

    def log_message(self, format: str, *args: Any) -> None:
        """Keep the tests' output clean."""


def token_logprobs(text: str) -> list[Json]:
    """How likely each word was, as OpenAI's interface and Ollama's have it."""
    return [
        {
            "token": token,
            "logprob": -len(token) / 8,
            "bytes": list(token.encode()),
            "top_logprobs": [],
        }
        for token in re.findall(r"\s*\S+", text)
    ]


def with_wrong_types(value: Any) -> Any:
    """The same shape with numbers for texts."""
    if isinstance(value, dict):
        return {key: with_wrong_types(each) for key, each in value.items()}
    if isinstance(value, list):
        return [with_wrong_types(each) for each in value]
    return 5 if isinstance(value, str | bytes) else value
