"""What the test servers of hosted providers share: a key, routes, jobs, a clock and bills.

A job takes one step each time it is asked for, so tests need no waiting; `HostedServer.clock`
decides what has expired. Every request that was answered, in a job or alone, is on the bill.
"""

from __future__ import annotations

import email.parser
import email.policy
import itertools
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlsplit

from . import sdk
from .base import AFTER, Json, ProviderHandler, ProviderServer, with_wrong_types

ALONE = "alone"
"""On the bill: a request that was not part of a job."""

PAGE = "page"
"""A fault of a call that is no chat: a gateway's page under status 200."""

OUTPUT_FAULTS = ("twice", "unknown", "missing", "malformed", "shapeless")

Response = tuple[int, Json | bytes]


class Refused(Exception):  # noqa: N818 (it is a response)
    """A request that gets an error instead of what it asks for."""

    def __init__(self, status: int, body: Json | bytes) -> None:
        super().__init__(status)
        self.status = status
        self.body = body


class HostedServer(ProviderServer):
    """A provider that wants a key, takes jobs and bills.

    Besides questions, `faults` is asked about all other requests, as "METHOD /path".
    """

    def __init__(self, handler: type[HostedHandler]) -> None:
        super().__init__(handler)
        sdk.get_ready(handler.provider)
        self.key = "key-of-the-test"
        self.is_whole = True  # replies have all optional fields
        self.ahead = 0.0  # seconds that the server's clock is ahead of this machine's
        self.held: str | None = None  # a state in which jobs stay
        self.rows_per_poll: int | None = None  # None: all
        self.output_faults: tuple[str, ...] = ()
        self.batches: dict[str, Any] = {}
        self.calls: list[str] = []  # all but chats, in order, as "METHOD /path"
        self.bills: list[tuple[str, Json]] = []  # job (or `ALONE`) and body
        self.unseen = 0  # GETs of a new job that do not find it yet
        self.unlisted = 0  # lists that a new job is not in yet
        self._numbers = itertools.count(1)

    @property
    def clock(self) -> float:
        return time.time() + self.ahead

    @clock.setter
    def clock(self, now: float) -> None:
        self.ahead = now - time.time()

    def numbered(self) -> int:
        """A number that was not given before."""
        return next(self._numbers)

    def bill(self, job: str, body: Json) -> None:
        with self.lock:
            self.bills.append((job, body))

    def billed(self) -> Counter[str]:
        """How often each request was billed, by its body without the model."""
        with self.lock:
            return Counter(
                json.dumps({**body, "model": None}, sort_keys=True) for _, body in self.bills
            )

    def called(self, call: str) -> int:
        """How often "METHOD /path" came in."""
        with self.lock:
            return self.calls.count(call)


@dataclass
class Row:
    """One request of a job; ``status`` is 0 until it was processed."""

    custom_id: str
    body: Json
    status: int = 0
    reply: Json = field(default_factory=dict)


class HostedHandler(ProviderHandler):
    """One connection to a hosted provider.

    ``routes`` maps method and pattern of the path to the name of the method that responds; groups
    of the pattern become its arguments.
    """

    provider: ClassVar[str]
    """Whose SDK declares the replies."""
    routes: ClassVar[dict[tuple[str, str], str]]
    server: HostedServer

    def unauthorized(self) -> tuple[int, Json] | None:
        raise NotImplementedError

    def authorize(self, path: str) -> None:
        """Refuse a request without the key."""
        refused = self.unauthorized()
        if refused:
            raise Refused(*refused)

    def is_chat(self, path: str) -> bool:
        return path == self.chat_path

    def question(self, body: Json) -> str:
        return str(body["messages"][-1]["content"])

    def answered(self, body: Json) -> None:
        self.server.bill(ALONE, body)

    def made_reply(self, body: Json, question: str) -> Json:
        """An answer, with all that the SDK says may stand beside it."""
        reply = super().made_reply(body, question)
        return sdk.whole_reply(self.provider, reply) if self.server.is_whole else reply

    def post(self) -> None:
        if self.is_chat(urlsplit(self.path).path):
            super().do_POST()
        else:
            self.dispatch()

    def dispatch(self) -> None:
        """Respond as the routes say, unless a fault comes in between."""
        url = urlsplit(self.path)
        self.query = dict(parse_qsl(url.query))
        self.raw = self.rfile.read(length := int(self.headers.get("Content-Length") or 0))
        if len(self.raw) < length:  # its client was killed: half a body is no request
            self.close_connection = True
            return
        call = f"{self.command} {url.path}"
        with self.server.lock:
            self.server.calls.append(call)
        fault = self.server.meets(call)
        if fault == PAGE:
            self.send(200, b"<html>\n<body>Please log in</body>\n</html>\n", "text/html")
            return
        if fault and not fault.startswith(AFTER):
            self.misbehave(fault, {"ok": "x"})
            return
        try:
            with self.server.lock:
                self.authorize(url.path)
                status, body = self.respond(url.path)
        except Refused as refused:
            status, body = refused.status, refused.body
        if fault:
            self.misbehave(fault.removeprefix(AFTER), body)
        elif isinstance(body, bytes):
            self.send(status, body, "application/octet-stream")
        else:
            self.send_json(status, body)

    do_GET = do_PUT = do_DELETE = dispatch  # noqa: N815 - the names that http.server calls
    do_POST = post  # noqa: N815 - the names that http.server calls

    def respond(self, path: str) -> Response:
        for (method, pattern), name in self.routes.items():
            found = re.fullmatch(pattern, path)
            if found and method == self.command:
                response: Response = getattr(self, name)(*found.groups())
                return response
        return self.no_route(path)

    def no_route(self, path: str) -> Response:
        return 404, b"404 page not found"

    def sent_json(self) -> Json:
        """The body of the request."""
        try:
            body = json.loads(self.raw or b"{}")
        except ValueError as error:
            raise Refused(400, self.error_body(400, f"not JSON: {error}")) from error
        if not isinstance(body, dict):
            raise Refused(400, self.error_body(400, "not a JSON object"))
        return body

    def sent_form(self) -> tuple[dict[str, str], str, bytes]:
        """The fields of a multipart body, and name and content of its file."""
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        parser = email.parser.BytesParser(policy=email.policy.HTTP)
        fields, name, content = {}, "", b""
        for part in parser.parsebytes(head + self.raw).iter_parts():
            key = str(part.get_param("name", header="content-disposition"))
            value = part.get_payload(decode=True)
            assert isinstance(value, bytes)
            if key == "file":
                name, content = part.get_filename() or "", value
            else:
                fields[key] = value.decode()
        return fields, name, content

    def meet(self, question: str) -> None:
        """Refuse a job's row if it is to fail; it has no connection that could break."""
        fault = self.server.meets(question)
        if fault.isdigit():
            raise Refused(int(fault), self.error_body(int(fault), "this row fails"))

    def process(self, job: str, rows: Iterable[Row], completed: Callable[[Json], Json]) -> bool:
        """Answer as many of a job's rows as one poll is worth; returns whether all are done.

        ``completed`` makes the body that a row would have if it were sent alone.
        """
        waiting = [row for row in rows if not row.status]
        for row in waiting[: self.server.rows_per_poll]:
            body = completed(row.body)
            question = self.question(body)
            try:
                self.meet(question)
                refused = self.refusal(body)
            except Refused as fails:
                refused = fails.status, dict(fails.body)
            if refused:
                row.status, row.reply = refused
                self.server.record(question, str(row.status))
            else:
                row.status, row.reply = 200, self.made_reply(body, question)
                self.server.record(question, "answered")
                self.server.bill(job, body)
        return all(row.status for row in rows)

    def written(self, lines: list[Json]) -> bytes:
        """The file of these lines, with the output faults that the test wants."""
        faults = self.server.output_faults if lines else ()
        texts = [json.dumps(line) for line in lines]
        for fault in faults:
            if fault == "twice":
                texts.append(json.dumps(lines[0]))
            elif fault == "unknown":
                texts.append(
                    json.dumps(lines[0] | dict.fromkeys(("custom_id", "key"), "nobody-asked"))
                )
            elif fault == "missing":
                texts.pop()
            elif fault == "malformed":
                texts[-1] = texts[-1][: len(texts[-1]) // 2]
            elif fault == "shapeless":
                named = {key: lines[-1][key] for key in ("custom_id", "key") if key in lines[-1]}
                texts[-1] = json.dumps({**with_wrong_types(lines[-1]), **named})
            else:
                raise AssertionError(fault)
        return "".join(text + "\n" for text in texts).encode()


class CheckingHandler(HostedHandler):
    """A provider that checks bodies by itself, and whose machines learn late of a new batch."""

    def check(self, body: Json) -> None:
        """Refuse what the real API refuses in a body."""
        raise NotImplementedError

    def refusal(self, body: Json) -> tuple[int, Json] | None:
        refused = self.unauthorized()
        if refused:
            return refused
        try:
            self.check(body)
        except Refused as problem:
            return problem.status, dict(problem.body)
        return None

    def found(self, name: str) -> Any:
        """A batch; a new one is not seen at first."""
        batch = self.server.batches.get(name)
        if batch is None or batch.unseen > 0:
            if batch is not None:
                batch.unseen -= 1
            raise Refused(404, self.error_body(404, f"Batch {name} was not found."))
        return batch

    def get_batch(self, name: str) -> Response:
        batch = self.found(name)
        self.advance(batch)
        return 200, self.shown(batch)

    def shown_batches(self) -> list[Json]:
        """All batches, newest first; a new one is not listed at first."""
        shown = []
        for batch in reversed(self.server.batches.values()):
            if batch.unlisted > 0:
                batch.unlisted -= 1
            else:
                shown.append(self.shown(batch))
        return shown

    def advance(self, batch: Any) -> None:
        """One step of a batch."""
        raise NotImplementedError

    def shown(self, batch: Any) -> Json:
        """A batch as the provider shows it."""
        raise NotImplementedError


def moment(seconds: float | None) -> Any:
    """A time by RFC 3339, or None."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def page(found: list[Json], start: int, limit: int) -> tuple[list[Json], bool]:
    """One page of a list, and whether more follow."""
    return found[start : start + limit], start + limit < len(found)
