"""Download a file once, resuming where an earlier attempt was cut off, and check its checksum.

    python -m workflow_scripts.datasets.download --settings settings.json --output FILE

The bytes go to ``FILE.part``; the file gets its name only when the checksum is right. No message
repeats the user, password or query of the URL, which may be secrets; for the same reason the URL
comes in a file and not on the command line, which Snakemake shows and logs.
"""

from __future__ import annotations

import argparse
import logging
import os
import re
import time
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

import requests
import tenacity
import urllib3
from tqdm import tqdm

from ..core.errors import UserError, command
from ..core.files import read_settings, sha256_of
from ..core.logs import log_to
from .settings import Download

LOG = logging.getLogger(__name__)

ATTEMPTS = 5
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 60.0
TIMEOUT_S = (10.0, 60.0)  # to connect; between two bytes
CHUNK_BYTES = 1 << 16
PROGRESS_INTERVAL_S = 2.0


def download(url: str, sha256: str, output: Path, first_wait_s: float = FIRST_WAIT_S) -> None:
    """Make ``output`` the file at ``url``, whose SHA-256 (hex digits) is ``sha256``.

    An ``output`` that is there already is checked and never overwritten. Connection errors, 429
    and 5xx are tried again after ``first_wait_s`` seconds, then twice as long each time.
    """
    shown = without_secrets(url)
    if not re.match(r"https?://[^/?#]", url, re.IGNORECASE):
        raise UserError(f"{shown}: not a url that begins with http:// or https://")
    sha256 = sha256.lower()
    if not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise UserError(f"sha256 '{sha256}': a SHA-256 has 64 hexadecimal digits")

    if output.exists():
        if (found := sha256_of(output)) != sha256:
            raise UserError(
                f"{output} has the sha256\n  {found}, but the config expects\n  {sha256}.\n"
                "Delete the file to download it again, or correct the sha256."
            )
        LOG.info("%s is there already, with the right checksum", output)
        return

    part = output.with_name(f"{output.name}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    found = sha256_of(part) if part.exists() else ""
    if found != sha256:
        transfer = _Transfer(url, part)
        found = _complete(transfer, output, first_wait_s)
        if found != sha256 and transfer.resumed:
            LOG.info("%s does not fit together; downloading all of it again", part)
            part.unlink()
            found = _complete(_Transfer(url, part), output, first_wait_s)
    if found != sha256:
        size = part.stat().st_size
        part.unlink()
        raise UserError(
            f"{shown}: what was downloaded ({size} bytes) has the sha256\n"
            f"  {found}, but the config expects\n  {sha256}.\n"
            "Nothing was kept. Compare with the checksum that the publisher states: correct "
            "sha256 in the config if the file has a new version; otherwise do not trust the source."
        )
    part.replace(output)
    LOG.info("%s: done, the checksum is right", output)


def without_secrets(url: str) -> str:
    """The URL without user, password, query and fragment."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "the url"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


class _TryAgainError(Exception):
    """A failure that may pass; ``wait_s`` is how long the server asks to wait."""

    def __init__(self, reason: str, wait_s: float = 0.0) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


class _Transfer:
    """The attempts to fetch one URL into one part file.

    ``resumed`` tells whether the file was put together from several responses, so that a wrong
    checksum may mean that the file at the URL changed in between.
    """

    def __init__(self, url: str, part: Path) -> None:
        self.url = url
        self.part = part
        self.resumed = False
        self._etag: str | None = None

    def attempt(self) -> None:
        """Fetch what is missing."""
        have = self.part.stat().st_size if self.part.exists() else 0
        # A server that packs on the fly would count ranges in packed bytes.
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
            if self._etag is not None:
                headers["If-Range"] = self._etag
        try:
            with requests.get(
                self.url, headers=headers, stream=True, timeout=TIMEOUT_S
            ) as response:
                self._check(response, have)
                self._save(response, have)
        # Reading the raw stream raises urllib3's errors, everything before it those of requests.
        except (requests.ConnectionError, requests.Timeout, urllib3.exceptions.HTTPError) as error:
            raise _TryAgainError(_innermost_cause(error)) from error
        except requests.RequestException as error:
            raise UserError(
                f"{without_secrets(self.url)}: {type(error).__name__}; "
                "check the url of the data set in the config"
            ) from error

    def _check(self, response: requests.Response, have: int) -> None:
        status = response.status_code
        if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            self.part.unlink(missing_ok=True)
            raise _TryAgainError("the part file is longer than the file at the url")
        if status == HTTPStatus.PARTIAL_CONTENT:
            if not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
                self.part.unlink(missing_ok=True)
                raise _TryAgainError("the server sent another range than the one asked for")
        elif status in (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS) or status >= 500:
            raise _TryAgainError(f"the server answers {_status(status)}", _retry_after_s(response))
        elif status != HTTPStatus.OK:
            raise UserError(
                f"{without_secrets(self.url)}: the server answers {_status(status)}; "
                "check the url of the data set in the config"
            )

    def _save(self, response: requests.Response, have: int) -> None:
        etag = response.headers.get("ETag")
        # A weak ETag does not promise equal bytes, so it must not stand in If-Range.
        self._etag = None if etag is None or etag.startswith("W/") else etag
        partial = response.status_code == HTTPStatus.PARTIAL_CONTENT
        self.resumed = partial
        start = have if partial else 0
        length = response.headers.get("Content-Length", "")
        progress = _Progress(start, start + int(length) if length.isdecimal() else 0)
        with self.part.open("ab" if partial else "wb") as stream:
            # Not decoded: some servers call a .gz file "Content-Encoding: gzip", and the checksum
            # is that of the file as it is.
            for chunk in response.raw.stream(CHUNK_BYTES, decode_content=False):
                self._write(stream, chunk)
                progress.add(len(chunk))
            stream.flush()
            os.fsync(stream.fileno())
        progress.log()

    def _write(self, stream: BinaryIO, chunk: bytes) -> None:
        try:
            stream.write(chunk)
        except OSError as error:
            raise UserError(f"{self.part}: cannot be written ({error.strerror})") from error


class _Progress:
    """Logs a line every few seconds: logs of jobs are files, where a moving bar is noise.

    ``start`` and ``total`` count bytes; a total of 0 is unknown.
    """

    def __init__(self, start: int, total: int) -> None:
        self._start, self._bytes, self._total = start, start, total
        self._began = self._logged = time.monotonic()

    def add(self, count: int) -> None:
        """Count ``count`` bytes; log when it is time."""
        self._bytes += count
        if time.monotonic() - self._logged >= PROGRESS_INTERVAL_S:
            self.log()

    def log(self) -> None:
        """Log how far the download is."""
        self._logged = time.monotonic()
        LOG.info(
            tqdm.format_meter(
                self._bytes,
                self._total,
                self._logged - self._began,
                ncols=80,
                ascii=True,
                unit="B",
                unit_scale=True,
                initial=self._start,
            )
        )


def _complete(transfer: _Transfer, output: Path, first_wait_s: float) -> str:
    """Repeat the attempts until the part file is complete; return its SHA-256."""
    backoff = tenacity.wait_exponential(multiplier=first_wait_s, max=LONGEST_WAIT_S)

    def wait_s(state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked_s = error.wait_s if isinstance(error, _TryAgainError) else 0.0
        return max(backoff(state), min(asked_s, LONGEST_WAIT_S))

    def say(state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        LOG.info(
            "attempt %d of %d failed (%s); next in %.1f s",
            state.attempt_number,
            ATTEMPTS,
            error,
            state.upcoming_sleep,
        )

    LOG.info("downloading %s", without_secrets(transfer.url))
    try:
        tenacity.Retrying(
            stop=tenacity.stop_after_attempt(ATTEMPTS),
            wait=wait_s,
            retry=tenacity.retry_if_exception_type(_TryAgainError),
            before_sleep=say,
            reraise=True,
        )(transfer.attempt)
    except _TryAgainError as error:
        kept = transfer.part.stat().st_size if transfer.part.exists() else 0
        raise UserError(
            f"{without_secrets(transfer.url)}: cannot be downloaded "
            f"({error}; {ATTEMPTS} attempts). "
            + (f"{kept} bytes are kept: run again to go on from there. " if kept else "")
            + f"If this machine is offline, put the file at {output} yourself "
            "or set path: instead of url: in the config."
        ) from error
    return sha256_of(transfer.part)


def _status(code: int) -> str:
    try:
        return f"{code} {HTTPStatus(code).phrase}"
    except ValueError:
        return str(code)


def _retry_after_s(response: requests.Response) -> float:
    """The header Retry-After in seconds: a number or a date (RFC 9110, 10.2.3)."""
    text = response.headers.get("Retry-After", "")
    if text.isdecimal():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return 0.0


def _innermost_cause(error: BaseException) -> str:
    """What really happened. The outer messages, of requests, repeat the URL with its secrets."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return str(error.strerror if isinstance(error, OSError) and error.strerror else error)


@command
def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Download a file once and check it.")
    parser.add_argument("--settings", type=Path, required=True, help="JSON file: url and sha256.")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    log_to(None)
    settings = read_settings(arguments.settings, Download)
    download(settings.url, settings.sha256, arguments.output)


if __name__ == "__main__":
    main()
