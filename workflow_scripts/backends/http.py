"""JSON over HTTP, as all clients of servers need it: pooled, checked, and with errors sorted.

What may pass (a connection that breaks, a busy server, half a reply) becomes a `RequestError`
that is retried; what would fail again (any other refusal) becomes one that is not.

Built on aiohttp: with 64 requests in flight it takes less than half the CPU time of requests in
threads (benchmarks/http_throughput.py), and a single event loop makes the number in flight easy to
change while a part runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import hashlib
import json
import logging
import math
import os
import re
import ssl
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import tenacity
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    WrapValidator,
    model_validator,
)
from pydantic_core import from_json
from yarl import URL

from ..core.errors import UserError
from ..core.files import describe
from ..core.records import Completion, Usage
from .client import NoAnswerError, RequestError, UnreadableReplyError
from .mask import Mask

log = logging.getLogger(__name__)

NO_LIMIT = sys.maxsize
"""``max_concurrent`` of a client whose server queues what it cannot answer at once."""

LONGEST_WAIT_S = 120.0
"""A server that asks for more is asked again after this long."""

READY_WITHIN_S = 600.0
"""How long a server may be away, or take to load its model."""

_CONNECT_TIMEOUT_S = 10.0
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_MAY_PASS = frozenset({408, 409, 429})  # and all from 500 on; the list of OpenAI's own client
_OVERLOADED = frozenset({429, 503, 529})
_MAY_BE_CHARGED = frozenset({408, 502, 504, 520, 522, 524})
"""Somebody between us and the model gave up waiting; the model may have answered."""

_UNPAID = ("insufficient_quota", "credit_balance_exhausted")  # OpenAI sends these as 429
_TOO_MANY = 429
A_DAY = re.compile(r"\b(per|a)[ -]day\b|\bdaily\b|\b(RPD|TPD)\b", re.IGNORECASE)
"""Quotas of a day, as messages name them: OpenAI and Groq (RPD, TPD), OpenRouter (per-day)."""

_NOT_READY = 503
_BAD_GATEWAY = 502  # the server behind it is away
_GATEWAY_TIMEOUT = 504
_FIRST_TRIES = 3
_FIRST_SERVER_ERROR = 500
_FIRST_NOT_OK = 400
_LONGEST_MESSAGE = 500
_MOST_TOKENS = 10**9  # more than any context holds
_LEFT = "x-ratelimit-remaining-"
_GO_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|h|m|s)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class Reply(BaseModel):
    """Base of the replies that clients read: unknown fields are passed over, types are strict."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


class SparseReply(Reply):
    """Base of the replies in which null says that a field is absent."""

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, data: Any) -> Any:
        if isinstance(data, dict):
            return {name: value for name, value in data.items() if value is not None}
        return data


def _tokens(value: object) -> int | None:
    """Return a number of tokens as servers write it (12, 12.0, "12"), or None for anything else."""
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        value = float(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_TOKENS:
        return value
    return None


Count = Annotated[int | None, BeforeValidator(_tokens)]
"""A number of tokens, where the server reports it and it can be one."""


def _or_none(value: Any, validate: Callable[[Any], Any]) -> Any:
    try:
        return validate(value)
    except ValidationError:
        return None


OrNone = WrapValidator(_or_none)
"""Marks a field that an answer can do without: one that cannot be read counts as absent."""

Text = Annotated[str | None, OrNone]
"""A text, where there is one."""

Duration = Annotated[Annotated[float, Field(ge=0, allow_inf_nan=False)] | None, OrNone]
"""A length of time, where the server reports it."""


class Counted(Reply):
    """Base of the replies that report how many tokens a request took."""

    def counts(self) -> Usage:
        """Return the counts as our record."""
        raise NotImplementedError


AnyReply = TypeVar("AnyReply", bound=Reply)
Anything = TypeVar("Anything")


class HttpError(RequestError):
    """A request that a server did not answer; ``status`` is None where there was no response.

    ``code`` is the server's own word for the error, where it has one.
    """

    def __init__(
        self, message: str, *, status: int | None = None, code: str | None = None, **traits: Any
    ) -> None:
        super().__init__(message, **traits)
        self.status = status
        self.code = code


class HttpServer:
    """One server that takes and gives JSON. Belongs to the event loop that uses it first.

    When the server asks to be left alone (Retry-After, or a rate limit that is used up), all
    further requests wait until that time has passed.

    Args:
        base_url: what comes before the paths, without a slash at its end.
        timeout_s: longest silence of the server while it works on a request.
        headers: sent with every request.
        secrets: the keys that are among the headers. All that the server sends is rid of them
            before it is read.
        hidden: what else must not stand in messages.
        query: added to every address after ``?``.
    """

    def __init__(
        self,
        base_url: str,
        *,
        timeout_s: float,
        headers: Mapping[str, str] | None = None,
        secrets: Iterable[str | None] = (),
        hidden: Iterable[str] = (),
        query: Mapping[str, str] | None = None,
    ) -> None:
        self.base_url = base_url
        self._timeout_s = timeout_s
        self._headers = dict(headers or {})
        self._query = dict(query or {})
        self._mask = Mask(secrets, hidden)
        self._session: aiohttp.ClientSession | None = None
        self._quiet_until = 0.0

    async def get(
        self, path: str, reply: type[AnyReply], params: Mapping[str, str] | None = None
    ) -> AnyReply:
        """Read a resource."""
        return await self.request("GET", path, reply, params=params)

    async def post(self, path: str, body: Any, reply: type[AnyReply]) -> AnyReply:
        """Send JSON and read what comes back.

        Raises:
            HttpError: nothing does, or it is not a whole and valid ``reply``.
        """
        return await self.request("POST", path, reply, json=body)

    async def ask(self, path: str, body: Any) -> str:
        """Send a request that costs something, and return the reply as it came.

        Bytes that are no UTF-8 become replacement characters: a damaged letter is no reason to
        lose an answer.

        Raises:
            HttpError: no whole reply with a status of success.
        """
        async with self.response("POST", path, json=body) as response:
            content = await response.read()
        return self._mask.content(content).decode("utf-8", errors="replace")

    def answer(
        self, reply: str, read: Callable[[Any], Completion], latency_s: float | None
    ) -> Completion:
        """Return the answer in a reply that `ask` returned, with that reply.

        Args:
            reply: the reply as it came.
            read: makes an answer of the JSON in it; raises ValueError where it cannot.
            latency_s: wall time of the request in seconds.

        Raises:
            UnreadableReplyError: the reply is whole, but no answer can be read from it.
            HttpError: it is cut off, or an error.
        """
        try:
            data = read_json(reply)
        except ValueError as error:
            if is_cut_off(error):
                raise self._cut_off(error, may_be_charged=True) from None
            said = self._said(f"the reply is not JSON ({error})")
            raise UnreadableReplyError(said, reply, latency_s=latency_s) from None
        usage = None
        try:
            return read(data).model_copy(update={"reply": reply})
        except ValidationError as error:
            problem = f"the reply is malformed: {describe(error)}"
        except NoAnswerError as error:
            problem, usage = str(error), error.usage
        if error_in(data):
            raise self._error_of(data)
        said = self._said(problem)
        raise UnreadableReplyError(said, reply, usage=usage, latency_s=latency_s)

    async def request(
        self, method: str, path: str, reply: type[AnyReply], **options: Any
    ) -> AnyReply:
        """Any other exchange; ``options`` are those of aiohttp (data, params, headers …)."""
        async with self.response(method, path, **options) as response:
            content = await response.read()
        return self._checked(self._mask.content(content), reply)

    async def send(self, method: str, path: str, **options: Any) -> None:
        """An exchange of which only the success matters."""
        async with self.response(method, path, **options) as response:
            await response.read()

    async def lines(self, path: str, **options: Any) -> AsyncIterator[bytes]:
        """The lines of a resource of any size, as they arrive.

        Raises:
            HttpError: it broke off; what was yielded before is whole.
        """
        async with self.response("GET", path, **options) as response:
            rest = b""
            async for chunk in response.content.iter_any():
                *whole, rest = (rest + chunk).split(b"\n")
                for line in whole:
                    yield self._mask.content(line)
            if rest:
                yield self._mask.content(rest)

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def error(self, message: str, **traits: Any) -> HttpError:
        """Return an error whose message names the server and does not give away the key.

        Raise it without its cause: what aiohttp quotes of a reply may hold the key.
        """
        return HttpError(self._said(message), **traits)

    def _said(self, message: str) -> str:
        return f"{self.base_url}: {self._mask.message(message)[:_LONGEST_MESSAGE]}"

    def judge(self, status: int, body: Any) -> dict[str, Any]:
        """Traits of an `HttpError` that only this provider's error bodies tell; for subclasses."""
        return {}

    @asynccontextmanager
    async def response(
        self, method: str, path: str, **options: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A response with status 2xx. ``path`` may be a whole URL, which is left as it is."""
        while (wait_s := self._quiet_until - time.monotonic()) > 0:
            await asyncio.sleep(wait_s)
        whole = path.startswith(("http://", "https://"))
        url = URL(path, encoded=True) if whole else URL(self.base_url + path) % self._query
        try:
            async with self._opened().request(
                method, url, allow_redirects=False, **options
            ) as response:
                self._be_quiet(max(_retry_after(response.headers), _until_reset(response.headers)))
                if response.status >= _FIRST_NOT_OK or response.status // 100 == 3:
                    raise self._refusal(response, await response.read())
                yield response
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self.error(self._why(error), **_traits_of_trouble(error)) from None

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),
                timeout=aiohttp.ClientTimeout(
                    total=None, connect=_CONNECT_TIMEOUT_S, sock_read=self._timeout_s
                ),
                headers=self._headers,
                proxy=_proxy(self.base_url),
            )
        return self._session

    def _be_quiet(self, wait_s: float) -> None:
        until = time.monotonic() + min(wait_s, LONGEST_WAIT_S)
        self._quiet_until = max(self._quiet_until, until)

    def _checked(self, content: bytes, reply: type[AnyReply]) -> AnyReply:
        try:
            data = read_json(content)
        except ValueError as error:
            raise self._cut_off(error, may_be_charged=True) from None
        if error_in(data) and "error" not in reply.model_fields:
            raise self._error_of(data)
        try:
            return reply.model_validate(data)
        except ValidationError as error:
            problem = f"the reply is malformed: {describe(error)}"
            raise self.error(problem, retryable=True, may_be_charged=True) from None

    def _cut_off(self, error: ValueError, **traits: Any) -> HttpError:
        return self.error(f"the reply is not whole JSON ({error})", retryable=True, **traits)

    def _error_of(self, data: Any) -> HttpError:
        """Return the error that a reply with a status of success is; its code may say more."""
        error = error_in(data)
        code = error.get("code") if isinstance(error, dict) else None
        traits: dict[str, Any] = {"retryable": True}
        if isinstance(code, int) and code >= _FIRST_NOT_OK:
            traits = {**traits_of(code, data), **self.judge(code, data)}
        return self.error(message_in(data), **traits)

    def _refusal(self, response: aiohttp.ClientResponse, content: bytes) -> HttpError:
        """Return the error that a response reports.

        Raises:
            UserError: no other request would be answered today either.
        """
        status = response.status
        if status < _FIRST_NOT_OK:
            where = response.headers.get("Location", "?")
            return self.error(f"status {status}: moved to {where}", retryable=False, status=status)
        try:
            data = read_json(self._mask.content(content))
            if isinstance(data, list) and len(data) == 1:
                data = data[0]  # Google's errors, at times
            said = message_in(data)
        except ValueError:
            data, said = None, response.reason or "no reason given"
        if status == _TOO_MANY and A_DAY.search(said):
            raise UserError(
                f"{self._said(said)}. The quota of a day is used up, so nothing more is sent. "
                "Answers so far are kept. Run again when it is renewed, or ask the provider for a "
                "higher one."
            )
        traits: dict[str, Any] = traits_of(status, data)
        advice = response.headers.get("x-should-retry")
        if advice in ("true", "false"):
            traits["retryable"] = advice == "true"
        traits = {"wait_s": _retry_after(response.headers), **traits, **self.judge(status, data)}
        self._be_quiet(traits["wait_s"])
        code = error_code(data)
        return self.error(f"status {status}: {said}", **traits, status=status, code=code)

    def _why(self, error: BaseException) -> str:
        """The cause in one line."""
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            return f"no connection within {_CONNECT_TIMEOUT_S:g} s"
        if isinstance(error, TimeoutError):
            return f"no reply within {self._timeout_s:g} s"
        cause: object = error or type(error).__name__
        if isinstance(error, aiohttp.ClientSSLError):
            cause = f"TLS: {error}"
        elif isinstance(error, aiohttp.ClientConnectorError):
            refused = isinstance(error.os_error, ConnectionRefusedError)
            cause = "refused" if refused else error.os_error
        return f"the connection failed ({cause})"


_waits: ContextVar[bool] = ContextVar("waits", default=True)


@contextmanager
def without_waiting() -> Iterator[None]:
    """Report a server that is away at once, in commands whose user can start it."""
    token = _waits.set(False)
    try:
        yield
    finally:
        _waits.reset(token)


async def first_reply(
    server: HttpServer,
    path: str,
    reply: type[AnyReply],
    remedy: str,
    *,
    method: str = "GET",
    **options: Any,
) -> AnyReply:
    """Read a resource at start-up, with two more tries where the failure may pass.

    A server that is away or not ready yet (503) is waited for; the log says so once.

    Raises:
        UserError: the server does not answer; the message ends with ``remedy``.
    """
    request = partial(server.request, method, path, reply, **options)
    try:
        return await _patiently(request, is_away, remedy)
    except HttpError as error:
        waited = ""
        if is_away(error) and _waits.get():
            waited = f" It was waited for {READY_WITHIN_S:g} s."
        raise UserError(f"{error} ({method} {path}).{waited} {remedy}") from error


async def until_ready(server: HttpServer, path: str) -> None:
    """Wait while a server says by its health check that it is not ready (503).

    A server that has no such resource counts as ready.

    Raises:
        UserError: it took too long.
    """
    try:
        await _patiently(partial(server.send, "GET", path), _is_loading)
    except HttpError as error:
        if _is_loading(error):
            raise UserError(f"{error}. It was waited for {READY_WITHIN_S:g} s.") from error


async def _patiently(
    call: Callable[[], Awaitable[Anything]],
    waits_for: Callable[[HttpError], bool],
    remedy: str = "",
) -> Anything:
    """Try again: twice what may pass, and for a while the errors that are waited for."""
    tries_left, told = _FIRST_TRIES, False

    def is_enough(state: tenacity.RetryCallState) -> bool:
        nonlocal tries_left
        if _waits.get() and waits_for(_error_of(state)):
            return (state.seconds_since_start or 0) > READY_WITHIN_S
        tries_left -= 1
        return tries_left <= 0

    def tell(state: tenacity.RetryCallState) -> None:
        nonlocal told
        error = _error_of(state)
        if _waits.get() and waits_for(error) and not told:
            told = True
            log.info("%s; waiting for it, at most %g s. %s", error, READY_WITHIN_S, remedy)

    retry = tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception(lambda e: isinstance(e, HttpError) and e.retryable),
        stop=is_enough,
        wait=tenacity.wait_exponential(multiplier=0.25, max=5),
        before_sleep=tell,
        reraise=True,
    )
    answer: Anything = await retry(call)
    return answer


def _error_of(state: tenacity.RetryCallState) -> HttpError:
    error = state.outcome and state.outcome.exception()
    assert isinstance(error, HttpError)  # noqa: S101 - nothing else is tried again
    return error


def _is_loading(error: HttpError) -> bool:
    return error.status == _NOT_READY


def is_away(error: HttpError) -> bool:
    """Return whether there is no server at the moment, or it has not loaded its model."""
    return error.away or _is_loading(error)


def api_key(variable: str, *others: str) -> str:
    """The key in an environment variable, or in the first of others that is set.

    The config loader adds those of the file `.env`.

    Raises:
        UserError: there is none, or it cannot be one.
    """
    for name in (variable, *others):
        key = os.environ.get(name, "").strip()
        if key:
            variable = name
            break
    else:
        raise UserError(
            f"{variable} is not set. Put {variable}=... into the file .env or the environment."
        )
    if not key.isascii() or not key.isprintable() or " " in key:
        raise UserError(f"{variable} has spaces or other characters that no key has.")
    return key


def read_whole(reply: type[AnyReply], data: Any, used: type[Counted]) -> AnyReply:
    """Return what a server sent as ``reply``.

    Args:
        reply: what it should be.
        data: what was sent.
        used: reads the counts alone, where the rest cannot be read.

    Raises:
        NoAnswerError: it is something else; with the counts, where there are any.
    """
    try:
        return reply.model_validate(data)
    except ValidationError as error:
        problem = f"the reply is malformed: {describe(error)}"
    try:
        counts = used.model_validate(data).counts()
    except ValidationError:
        counts = None
    raise NoAnswerError(problem, counts)


def read_json(content: bytes | str) -> Any:
    """Return the value that JSON holds.

    Half a character (a lone surrogate), which could not be written into any file, becomes a
    replacement character.

    Raises:
        ValueError: it is not JSON, or not UTF-8.
    """
    try:
        return from_json(content)
    except ValueError:
        with contextlib.suppress(ValueError, RecursionError):
            text = json.dumps(json.loads(content), ensure_ascii=False)
            return from_json(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
        raise


def is_cut_off(error: ValueError) -> bool:
    """Whether `read_json` failed because the JSON has no end, as a broken connection leaves it."""
    return str(error).startswith("EOF while parsing")


def error_in(data: Any) -> Any:
    """Return the error that a reply reports, whatever its status; something false without one."""
    if isinstance(data, list) and len(data) == 1:
        data = data[0]
    return data.get("error") if isinstance(data, dict) else None


def error_code(data: Any) -> str | None:
    """Return the word by which an error's body names it, where it has one."""
    error = error_in(data)
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, str) else None


def content_id(prefix: str, *asked: object) -> str:
    """A request id made of what was asked, for servers that give none: the same in every run."""
    text = json.dumps(asked, sort_keys=True, ensure_ascii=False)
    return f"{prefix}-{hashlib.sha256(text.encode('utf-8')).hexdigest()[:16]}"


def _proxy(url: str) -> str | None:
    """The environment's proxy (HTTP_PROXY, HTTPS_PROXY, NO_PROXY; the system's on Windows, macOS).

    aiohttp's ``trust_env`` would also look for keys in .netrc, and fail over our own.
    """
    parts = urlsplit(url)
    if parts.hostname in _LOOPBACK or proxy_bypass(parts.netloc):
        return None
    return getproxies().get(parts.scheme)


def _traits_of_trouble(error: BaseException) -> dict[str, bool]:
    """What a failed exchange means for the request: the traits of a `RequestError`.

    All but a wrong address or certificate may pass.
    """
    if isinstance(error, aiohttp.ClientSSLError | ssl.SSLError | aiohttp.InvalidURL):
        return {"retryable": False, "sent": False}
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return {"retryable": True, "sent": False}
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
        return {"retryable": True, "sent": False, "away": True}
    if isinstance(error, TimeoutError):
        return {"retryable": True, "timed_out": True, "may_be_charged": True}
    cut_off = isinstance(error, OSError | aiohttp.ServerDisconnectedError)
    return {"retryable": True, "away": cut_off, "may_be_charged": True}


def traits_of(status: int, data: Any = None) -> dict[str, Any]:
    """What a refusal means for the request: the traits of a `RequestError`.

    Args:
        status: of the response, or of one line of a batch job's results.
        data: the body that came with it.
    """
    error = data.get("error") if isinstance(data, dict) else None
    unpaid = isinstance(error, dict) and (error.get("code") in _UNPAID)
    return {
        "retryable": (status in _MAY_PASS or status >= _FIRST_SERVER_ERROR) and not unpaid,
        "overloaded": status in _OVERLOADED and not unpaid,
        "may_be_charged": status in _MAY_BE_CHARGED,
        "timed_out": status == _GATEWAY_TIMEOUT,
        "away": status == _BAD_GATEWAY,
    }


def message_in(data: Any) -> str:
    """What a server says about an error, in any of the shapes in use."""
    if isinstance(data, list) and len(data) == 1:
        return message_in(data[0])
    if isinstance(data, dict):
        for key in ("error", "message", "detail"):
            if data.get(key):
                return message_in(data[key])
    return data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)


def _retry_after(headers: Mapping[str, str]) -> float:
    """Seconds to wait, from ``retry-after-ms`` or Retry-After (RFC 9110, 10.2.3); 0 if unsaid."""
    milliseconds, given = headers.get("retry-after-ms"), headers.get("Retry-After", "")
    if not milliseconds and not given:
        return 0.0
    try:
        seconds = float(milliseconds) / 1000 if milliseconds else float(given)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(given).timestamp() - time.time()
        except ValueError:
            return 0.0
    return max(0.0, seconds) if math.isfinite(seconds) else 0.0


def _until_reset(headers: Mapping[str, str]) -> float:
    """Seconds until a used-up limit is full again, by ``x-ratelimit-*``.

    OpenAI and Groq call the limits ``requests`` and ``tokens``, and write durations. Cerebras calls
    them ``requests-day`` and ``tokens-minute``, and writes seconds. Others send no times.
    """
    longest = 0.0
    for name, left in headers.items():
        what = name.lower().removeprefix(_LEFT)
        if left != "0" or what == name.lower():
            continue
        reset = headers.get(f"x-ratelimit-reset-{what}", "")
        if reset.replace(".", "", 1).isdecimal():
            longest = max(longest, float(reset))
        found = _GO_DURATION.findall(reset)
        longest = max(longest, sum(float(n) * _SECONDS[unit] for n, unit in found))
    return longest
