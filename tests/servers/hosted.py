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
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlsplit

from . import sdk
from .base import AFTER, Json, ProviderHandler, ProviderServer, with_wrong_types

DAY_S = 86_400

ALONE = "alone"
"""On the bill: a request that was not part of a job."""

PAGE = "page"
"""A fault of a call that is no chat: a gateway's page under status 200."""

OUTPUT_FAULTS = ("twice", "unknown", "missing", "malformed", "shapeless")

_OK = 200

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
        self.most_per_page = 1000  # of a list
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

    custom_id: Any
    body: Json
    status: int = 0
    reply: Json = field(default_factory=dict)


@dataclass(kw_only=True)
class Job:
    """A batch job; ``state`` is in the provider's words.

    ``end`` is how it ended: "completed", "failed", "expired" or "cancelled".
    """

    id: str
    created: float
    rows: list[Row] = field(default_factory=list)
    state: str = ""
    end: str = ""
    cancelling: bool = False
    problem: str = ""
    times: dict[str, float] = field(default_factory=dict)  # when it came into each state
    unseen: int = 0
    unlisted: int = 0

    @property
    def good(self) -> int:
        """How many rows were answered."""
        return sum(row.status == _OK for row in self.rows)

    @property
    def bad(self) -> int:
        """How many rows failed."""
        return sum(row.status not in (0, _OK) for row in self.rows)


class HostedHandler(ProviderHandler):
    """One connection to a hosted provider.

    ``routes`` maps method and pattern of the path to the name of the method that responds; groups
    of the pattern become its arguments.
    """

    provider: ClassVar[str]
    """Whose SDK declares the replies."""
    routes: ClassVar[dict[tuple[str, str], str]]
    life: ClassVar[tuple[str, ...]]
    """The states of a job that goes well."""
    works_in: ClassVar[str]
    """The state in which rows are answered."""
    checks_in: ClassVar[str] = ""
    """The state in which a wrong input makes the job fail."""
    ends: ClassVar[Json]
    """The last states of jobs that do not go well."""
    lives_s: ClassVar[float] = DAY_S
    bills_kept: ClassVar[bool] = False
    """Whether only jobs that keep their answers are billed."""
    unknown_job: ClassVar[str] = "Batch {} was not found."
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

    # Jobs

    def created(self, job: Job) -> Response:
        """Take a new job, in the first state of its life."""
        job.unseen, job.unlisted = self.server.unseen, self.server.unlisted
        self.enter(job, self.life[0])
        self.server.batches[job.id] = job
        return 200, self.shown(job)

    def enter(self, job: Job, state: str) -> None:
        job.state = state
        job.times[state] = self.server.clock

    def found(self, name: str) -> Any:
        """A job; a new one is not seen at first."""
        job = self.server.batches.get(name)
        if job is None or job.unseen > 0:
            if job is not None:
                job.unseen -= 1
            raise Refused(404, self.error_body(404, self.unknown_job.format(name)))
        return job

    def get_batch(self, name: str) -> Response:
        job = self.found(name)
        self.step(job)
        return 200, self.shown(job)

    def shown_batches(self) -> list[Json]:
        """All jobs, newest first; a new one is not listed at first."""
        shown = []
        for job in reversed(self.server.batches.values()):
            if job.unlisted > 0:
                job.unlisted -= 1
            else:
                shown.append(self.shown(job))
        return shown

    def shown(self, job: Any) -> Json:
        """A job as the provider shows it."""
        raise NotImplementedError

    def step(self, job: Job) -> None:
        """One step of a job's life: it is asked for once more."""
        if job.end:
            return
        if self.server.clock >= job.created + self.lives_s:
            self.conclude(job, "expired")
        elif job.cancelling:
            self.conclude(job, "cancelled")
        elif self.waits(job):
            return
        elif job.state == self.checks_in and self.fails(job):
            self.conclude(job, "failed")
        elif job.state != self.works_in or self.process(job):
            following = self.life[self.life.index(job.state) + 1]
            if following == self.life[-1]:
                self.conclude(job, "completed")
            else:
                self.enter(job, following)

    def waits(self, job: Job) -> bool:
        return job.state == self.server.held

    def fails(self, job: Job) -> bool:
        """Whether the input is wrong as a whole."""
        return bool(job.problem)

    def conclude(self, job: Job, end: str) -> None:
        """End a job. What a provider loses that way is not billed."""
        job.end = end
        if self.bills_kept and end not in ("expired", "failed"):
            for row in job.rows:
                if row.status == _OK:
                    self.server.bill(job.id, row.body)
        self.write_results(job)
        self.enter(job, {"completed": self.life[-1], **self.ends}[end])

    def write_results(self, job: Any) -> None:
        """Make the results of a job that ended."""

    def process(self, job: Job) -> bool:
        """Answer as many of a job's rows as one poll is worth; returns whether all are done."""
        waiting = [row for row in job.rows if not row.status]
        for row in waiting[: self.server.rows_per_poll]:
            self.answer_row(job, row)
        return all(row.status for row in job.rows)

    def answer_row(self, job: Job, row: Row) -> None:
        """Answer as if the row were sent alone; the job meets no fault that needs a connection."""
        try:
            body = self.completed(job, row.body)
            if refused := self.refusal(body):
                raise Refused(*refused)
            question = self.question(body)
            fault = self.server.meets(question)
            if fault.isdigit():
                raise Refused(int(fault), self.error_body(int(fault), "this row fails"))
        except Refused as refused_row:
            row.status, row.reply = refused_row.status, dict(refused_row.body)
            return
        row.status, row.reply = _OK, self.made_reply(body, question)
        self.server.record(question, "answered")
        if not self.bills_kept:
            self.server.bill(job.id, body)

    def completed(self, job: Any, body: Json) -> Json:
        """The body that a row would have if it were sent alone."""
        return body

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
    """A provider that checks bodies by itself."""

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


def moment(seconds: float | None) -> Any:
    """A time by RFC 3339, or None."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def page(found: list[Json], start: int, limit: int) -> tuple[list[Json], bool]:
    """One page of a list, and whether more follow."""
    return found[start : start + limit], start + limit < len(found)
