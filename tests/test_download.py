"""Downloads, against a real server on this machine that misbehaves as told."""

import hashlib
import json
import logging
import re
import socket
import subprocess
import sys
import threading
import time
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from workflow_scripts.core.errors import UserError
from workflow_scripts.datasets import download as module
from workflow_scripts.datasets.download import ATTEMPTS, download

BODY = hashlib.shake_128(b"").digest(1_000_000)
SHA256 = hashlib.sha256(BODY).hexdigest()
WAIT_S = 0.01


class Server(ThreadingHTTPServer):
    """Serves ``body`` under every path. The first requests meet the ``faults`` in turn.

    A fault is a status, the arguments of `Handler.answer`, a function to call before serving,
    "hang up" (close without an answer), or "cut N" and "stall N" (after N bytes of the body).
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.body = BODY
        self.etag = '"one"'
        self.ranges = True
        self.faults = []
        self.requests = []  # the headers of each request

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/data/dev.json"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.server.requests.append(dict(self.headers))
        fault = self.server.faults.pop(0) if self.server.faults else None
        if isinstance(fault, int):
            self.answer(fault)
        elif isinstance(fault, dict):
            self.answer(**fault)
        elif callable(fault):
            fault()
            self.serve()
        elif fault == "hang up":
            self.close_connection = True
        else:
            self.serve(fault)

    def answer(self, status, **headers):
        self.send_response(status)
        for name, value in {"Content-Length": "0", **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def serve(self, fault=None):
        body, start = self.server.body, 0
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        unchanged = self.headers.get("If-Range", self.server.etag) == self.server.etag
        if asked and self.server.ranges and unchanged:
            start = int(asked[1])
            if start >= len(body):
                self.answer(416, Content_Range=f"bytes */{len(body)}")
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(body) - start))
        if self.server.etag:
            self.send_header("ETag", self.server.etag)
        self.end_headers()
        if fault is None:
            self.wfile.write(body[start:])
            return
        kind, count = fault.split()
        self.wfile.write(body[start : start + int(count)])
        if kind == "stall":
            time.sleep(0.5)
        self.close_connection = True


@pytest.fixture
def server():
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def output(tmp_path):
    return tmp_path / "downloads" / "dev.json"


def part_of(output):
    return output.with_name("dev.json.part")


def fetch(server, output, sha256=SHA256):
    download(server.url, sha256, output, first_wait_s=WAIT_S)


def test_it_downloads_once(server, output):
    fetch(server, output)
    assert output.read_bytes() == BODY
    assert list(output.parent.iterdir()) == [output]
    fetch(server, output)
    assert len(server.requests) == 1


def test_a_cut_connection_goes_on_where_it_stopped(server, output):
    server.faults = ["cut 400000", "cut 100000"]
    fetch(server, output)
    assert output.read_bytes() == BODY
    assert [request.get("Range") for request in server.requests] == [
        None,
        "bytes=400000-",
        "bytes=500000-",
    ]
    assert [request.get("If-Range") for request in server.requests] == [None, '"one"', '"one"']


def test_a_later_run_goes_on_from_the_part_file(server, output):
    server.faults = ["cut 400000"] + [503] * (ATTEMPTS - 1)
    with pytest.raises(UserError, match="400000 bytes are kept"):
        fetch(server, output)
    assert part_of(output).read_bytes() == BODY[:400_000]
    fetch(server, output)
    assert output.read_bytes() == BODY
    assert server.requests[-1]["Range"] == "bytes=400000-"


def test_a_server_that_ignores_range_starts_again_cleanly(server, output):
    server.ranges = False
    server.faults = ["cut 400000"]
    fetch(server, output)
    assert output.read_bytes() == BODY


def test_a_file_that_changed_between_two_attempts_is_fetched_whole(server, output):
    def change():
        server.body, server.etag = BODY, '"two"'

    server.body = bytes(len(BODY))
    server.faults = ["cut 400000", change]
    fetch(server, output)
    assert output.read_bytes() == BODY
    assert len(server.requests) == 2


def test_a_part_file_of_another_version_is_fetched_again(server, output):
    output.parent.mkdir()
    part_of(output).write_bytes(b"x" * 1000)
    fetch(server, output)
    assert output.read_bytes() == BODY
    assert [request.get("Range") for request in server.requests] == ["bytes=1000-", None]


def test_a_complete_part_file_needs_no_request(server, output):
    output.parent.mkdir()
    part_of(output).write_bytes(BODY)
    fetch(server, output)
    assert output.read_bytes() == BODY
    assert server.requests == []


def test_a_part_file_that_is_too_long_is_fetched_again(server, output):
    output.parent.mkdir()
    part_of(output).write_bytes(BODY + b"more")
    fetch(server, output)
    assert output.read_bytes() == BODY


def test_an_answer_with_another_range_is_not_appended(server, output, caplog):
    output.parent.mkdir()
    part_of(output).write_bytes(BODY[:1000])
    server.faults = [{"status": 206, "Content_Range": "bytes 0-999/1000000"}]
    with caplog.at_level(logging.INFO):
        fetch(server, output)
    assert "another range" in caplog.text
    assert output.read_bytes() == BODY


def test_a_weak_etag_is_not_used_for_if_range(server, output):
    server.etag = 'W/"one"'
    server.faults = ["cut 400000"]
    fetch(server, output)
    assert "If-Range" not in server.requests[1]
    assert output.read_bytes() == BODY


def test_a_server_that_never_answers_is_asked_again(server, output, monkeypatch):
    monkeypatch.setattr(module, "TIMEOUT_S", (5.0, 0.2))
    server.faults = [lambda: time.sleep(0.5)]
    fetch(server, output)
    assert output.read_bytes() == BODY
    assert len(server.requests) == 2


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
def test_a_passing_failure_is_tried_again(server, output, status):
    server.faults = [status, status]
    fetch(server, output)
    assert output.read_bytes() == BODY
    assert len(server.requests) == 3


@pytest.mark.parametrize("as_date", [False, True])
def test_retry_after_is_kept(server, output, as_date):
    # A date has whole seconds, so two seconds ahead are more than one.
    asked = formatdate(time.time() + 2, usegmt=True) if as_date else "1"
    server.faults = [{"status": 429, "Retry_After": asked}]
    began = time.monotonic()
    fetch(server, output)
    assert 0.9 <= time.monotonic() - began < 10


def test_a_lasting_failure_ends_with_advice(server, output):
    server.faults = [500] * 100
    with pytest.raises(UserError) as caught:
        fetch(server, output)
    assert len(server.requests) == ATTEMPTS
    assert "500 Internal Server Error" in str(caught.value)
    assert f"put the file at {output} yourself or set path: instead of url:" in str(caught.value)


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_refusal_is_not_tried_again(server, output, status):
    server.faults = [status]
    with pytest.raises(UserError, match=rf"answers {status} .*check the url"):
        fetch(server, output)
    assert len(server.requests) == 1
    assert not output.exists()


def test_a_wrong_checksum_keeps_nothing_and_shows_both(server, output):
    expected = "0" * 64
    with pytest.raises(UserError) as caught:
        fetch(server, output, expected)
    assert SHA256 in str(caught.value)
    assert expected in str(caught.value)
    assert list(output.parent.iterdir()) == []
    assert len(server.requests) == 1


def test_a_file_that_is_there_is_never_overwritten(server, output):
    output.parent.mkdir()
    output.write_bytes(b"the user's")
    with pytest.raises(UserError, match="Delete the file to download it again"):
        fetch(server, output)
    assert output.read_bytes() == b"the user's"
    assert server.requests == []


def test_a_file_sent_as_encoded_is_kept_as_it_is(server, output):
    """Some servers mark a .gz file as Content-Encoding: gzip; the checksum is of the .gz file."""
    headers = {"Content_Encoding": "gzip", "Content_Length": "0"}
    server.faults = [{"status": 200, **headers}]
    fetch(server, output, hashlib.sha256(b"").hexdigest())
    assert output.read_bytes() == b""


def test_a_connection_closed_without_an_answer_is_tried_again(server, output):
    server.faults = ["hang up"]
    fetch(server, output)
    assert output.read_bytes() == BODY
    assert len(server.requests) == 2


def test_a_server_that_falls_silent_is_asked_again(server, output, monkeypatch):
    monkeypatch.setattr(module, "TIMEOUT_S", (5.0, 0.2))
    server.faults = ["stall 400000"]
    fetch(server, output)
    assert output.read_bytes() == BODY
    begun = int(re.fullmatch(r"bytes=(\d+)-", server.requests[1]["Range"])[1])
    assert 400_000 - module.CHUNK_BYTES <= begun <= 400_000


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_refused_connection_gives_advice_and_no_secrets(tmp_path, monkeypatch, capsys, caplog):
    caplog.set_level(logging.DEBUG, logger="workflow_scripts")
    url = f"http://me:hunter2@127.0.0.1:{free_port()}/dev.json?token=s3cret#frag"
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps({"url": url, "sha256": SHA256}), encoding="utf-8")
    arguments = ["download", "--settings", str(settings), "--output", str(tmp_path / "f")]
    monkeypatch.setattr(sys, "argv", arguments)
    monkeypatch.setattr(module, "LONGEST_WAIT_S", WAIT_S)
    with pytest.raises(SystemExit) as caught:
        module.main()
    said = f"{caught.value.code}\n{caplog.text}"
    assert " refused" in said
    assert "set path: instead of url:" in said
    assert said.count(" failed (") == ATTEMPTS - 1
    for secret in ("me:", "hunter2", "s3cret", "frag"):
        assert secret not in said


def test_credentials_are_sent_but_not_shown(server, output, caplog):
    caplog.set_level(logging.INFO)
    url = server.url.replace("http://", "http://me:hunter2@") + "?token=s3cret"
    download(url, SHA256, output, first_wait_s=WAIT_S)
    assert server.requests[0]["Authorization"].startswith("Basic ")
    assert "hunter2" not in caplog.text
    assert "s3cret" not in caplog.text


@pytest.mark.parametrize("url", ["dev.json", "ftp://a.org/f", "file:///f", "http://", "http://[1"])
def test_other_urls_are_refused(output, url):
    with pytest.raises(UserError, match="url"):
        download(url, SHA256, output)


@pytest.mark.parametrize("sha256", ["", "abc", "x" * 64])
def test_a_sha256_must_be_one(output, sha256):
    with pytest.raises(UserError, match="64 hexadecimal digits"):
        download("http://127.0.0.1/f", sha256, output)


def test_progress_is_logged_in_lines(server, output, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(module, "PROGRESS_INTERVAL_S", 0.0)
    server.faults = ["cut 400000"]
    fetch(server, output)
    lines = [record.getMessage() for record in caplog.records if "B/s" in record.getMessage()]
    assert re.search(r"\b100%\|.*1\.00M/1\.00M", lines[-1])
    assert any("/1.00M" in line and "100%" not in line for line in lines[:-1])
    assert all("\r" not in line and "\n" not in line for line in lines)


def test_the_command_line(server, output, tmp_path):
    settings = tmp_path / "settings.json"
    content = {"url": f"{server.url}?token=s3cret", "sha256": SHA256.upper()}
    settings.write_text(json.dumps(content), encoding="utf-8")
    command = [sys.executable, "-m", "workflow_scripts.datasets.download"]
    command += ["--settings", str(settings), "--output", str(output)]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    assert output.read_bytes() == BODY
    assert "the checksum is right" in done.stderr
    server.faults = [404]
    output.unlink()
    failed = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
    assert failed.returncode == 1
    assert "error: http://127.0.0.1" in failed.stderr
    assert "s3cret" not in done.stderr + failed.stderr
    assert "404 Not Found" in failed.stderr
    assert "Traceback" not in failed.stderr
