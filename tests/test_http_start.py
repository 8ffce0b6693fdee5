"""The clients of local servers: the check at the start, keys, and who answers."""

from __future__ import annotations

import socket
import traceback
from pathlib import Path
from typing import Any

import pytest
from answering import request
from local_backends import DECODING, Backend, chat, ready, run
from servers.ollama import BARE_TEMPLATE

from workflow_scripts.answers.journal import request_digest
from workflow_scripts.backends import http
from workflow_scripts.backends.client import InferenceClient, RequestError
from workflow_scripts.backends.openai_compatible import KEY_VARIABLE
from workflow_scripts.core.errors import UserError


def test_an_unreachable_server_is_told_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "READY_WITHIN_S", 0.0)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    nowhere = Backend(None, {"local_endpoint": url})
    message = r"connection failed \(refused\).*`ollama serve`.*ASSAY_LOCAL_ENDPOINT"
    with ready(), pytest.raises(UserError, match=message) as told:
        nowhere.check(backend="local", local_engine="ollama", local_model="m")
    assert url in str(told.value)
    with ready(), pytest.raises(UserError, match=r"Is the server up.*local_endpoint"):
        nowhere.check(backend="openai_compatible", model_id="m")


def test_what_is_fine_is_said_in_one_line(of_ollama: Backend, of_openai: Backend) -> None:
    assert of_ollama.check() == (
        f"Ollama 0.12.6 at {of_ollama.server.url} has tiny:3m ({'a' * 19})"
    )
    assert of_openai.check() == (
        f"{of_openai.server.url} serves tiny-3m (x, context of 4096 tokens)"
    )
    assert of_openai.check(model_id="other") == f"{of_openai.server.url} serves other (x)"


def test_a_missing_ollama_model_is_told_with_the_nearest(of_ollama: Backend) -> None:
    message = r"installed there: tiny:3m.*Run `ollama pull tiny:7m`"
    with pytest.raises(UserError, match=message):
        of_ollama.check(local_model="tiny:7m")
    of_ollama.server.models = {}
    with pytest.raises(UserError, match="none at all"):
        of_ollama.check()


def test_a_model_that_writes_no_text_is_told(of_ollama: Backend) -> None:
    of_ollama.server.shown = {"capabilities": ["embedding"]}
    with pytest.raises(UserError, match=r"'tiny:3m' does not write text \(it can: embedding\)"):
        of_ollama.check()


@pytest.mark.parametrize(
    ("version", "warned"),
    [("0.11.10", True), ("0.12.6", False), ("0.40.12", False), ("0.0.0", False), ("x", False)],
)
def test_an_ollama_that_cuts_prompts_in_silence_is_told(
    of_ollama: Backend, version: str, warned: bool
) -> None:
    of_ollama.server.version = version
    assert ("cuts prompts" in of_ollama.check()) == warned


def test_an_older_ollama_that_tells_less_of_a_model_will_do(of_ollama: Backend) -> None:
    of_ollama.server.shown = {"capabilities": None, "details": None}
    assert of_ollama.ask().response_text == "to Where is Oslo?"


def test_a_tag_without_a_version_means_the_latest(of_ollama: Backend) -> None:
    assert of_ollama.identity(local_model="other")["model_digest"] == "b" * 64


def test_a_model_that_is_not_served_is_told_with_the_nearest(of_openai: Backend) -> None:
    with pytest.raises(UserError, match=r"does not serve the model 'tiny-7m'.*serves: tiny-3m"):
        of_openai.check(model_id="tiny-7m")


def test_another_kind_of_server_is_told(of_ollama: Backend, of_openai: Backend) -> None:
    with pytest.raises(UserError, match=r"status 404: Not Found \(GET /api/version\)"):
        of_ollama.check(local_endpoint=of_openai.server.url)
    with pytest.raises(UserError, match=r"status 404: Not Found \(GET /v1/models\)"):
        of_openai.check(local_endpoint=of_ollama.server.url)


@pytest.mark.parametrize("fault", ["503", "reset", "half JSON"])
def test_the_check_at_the_start_is_patient(
    backend: Backend, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend.server.faults = lambda question, tries: "" if tries else fault
    assert backend.check()
    monkeypatch.setattr(http, "READY_WITHIN_S", 0.0)
    backend.server.faults = lambda question, tries: fault
    with pytest.raises(UserError):
        backend.check()


@pytest.mark.parametrize("path", ["/v1/models", "/health"])
def test_a_server_that_still_loads_its_model_is_waited_for(
    of_openai: Backend, path: str, monkeypatch: pytest.MonkeyPatch, caplog
) -> None:
    of_openai.server.faults = lambda question, tries: (
        "503" if question == path and tries < 8 else ""
    )
    with caplog.at_level("INFO"):
        assert of_openai.ask().response_text == "to Where is Oslo?"
    assert caplog.text.count("waiting for it, at most 600 s") == 1
    monkeypatch.setattr(http, "READY_WITHIN_S", 0.0)
    of_openai.server.faults = lambda question, tries: "503" if question == path else ""
    with pytest.raises(UserError, match="status 503: service unavailable"):
        of_openai.check()


@pytest.mark.parametrize("fault", ["404", "500", "empty", "HTML", "error in 200"])
def test_a_server_without_a_health_check_counts_as_ready(of_openai: Backend, fault: str) -> None:
    of_openai.server.faults = lambda question, tries: fault if question == "/health" else ""
    assert of_openai.ask().response_text == "to Where is Oslo?"


# Keys

KEY = "sk-right/+1"


def test_a_key_is_sent_and_never_shown(
    of_openai: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog
) -> None:
    server = of_openai.server
    server.key = KEY
    with pytest.raises(UserError, match=rf"status 401: You need an API key.*{KEY_VARIABLE}"):
        of_openai.check()
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    assert of_openai.ask().response_text

    async def turned_away(client: InferenceClient) -> str:
        server.key = "sk-other"  # servers like to repeat the wrong key
        with pytest.raises(RequestError, match=r"Incorrect API key provided: \[key\]") as caught:
            await client.generate(chat("Where is Oslo?"), DECODING)
        return "".join(traceback.format_exception(caught.value))

    with caplog.at_level("DEBUG"):
        told = of_openai.use(turned_away)
        server.key = KEY
        server.faults = lambda question, tries: "401" if question == "Question 1?" else ""
        run(tmp_path, of_openai.client(), [request(1)])
        server.key = "sk-other"
        with pytest.raises(UserError) as caught:
            of_openai.check()
    raw = (tmp_path / "raw.jsonl").read_text("utf-8")
    for text in (told, caplog.text, str(caught.value), raw):
        assert KEY not in text


@pytest.mark.parametrize(
    "raw",
    [
        "HTTP/1.1 sk-right/+1 200\r\n\r\n",
        "HTTP/1.1 200 OK\r\nsk-right/+1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: sk-right/+1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 11\r\n\r\nsk-right/+1",
        "HTTP/1.1 401 sk-right/+1\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 302 Found\r\nLocation: http://x/?k=sk-right%2F%2B1\r\nContent-Length: 0\r\n\r\n",
        'HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n{"id":"sk-right/+1',
        'HTTP/1.1 200 OK\r\nContent-Length: 34\r\n\r\n{"id":1,"choices":["sk-right/+1"]} ',
    ],
)
def test_no_broken_reply_gives_a_key_away(
    of_openai: Backend, monkeypatch: pytest.MonkeyPatch, raw: str, caplog
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)

    def answer(handler: Any) -> None:
        handler.rfile.read(int(handler.headers["Content-Length"]))
        handler.wfile.write(raw.encode())
        handler.close_connection = True

    monkeypatch.setattr(of_openai.server.RequestHandlerClass, "do_POST", answer)
    with caplog.at_level("DEBUG"), pytest.raises(RequestError) as caught:
        of_openai.ask()
    shown = "".join(traceback.format_exception(caught.value)) + caplog.text
    assert "sk-right" not in shown


def test_a_key_in_netrc_does_not_replace_ours(
    of_openai: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("default login somebody password else\n", encoding="utf-8")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    monkeypatch.setattr(http, "_LOOPBACK", ())
    of_openai.server.key = KEY
    assert of_openai.ask().response_text == "to Where is Oslo?"


def test_the_environments_proxy_is_used_except_for_this_machine(
    of_openai: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "READY_WITHIN_S", 0.0)
    monkeypatch.setenv("http_proxy", of_openai.server.url)  # it gets whole URLs, and has no such
    monkeypatch.delenv("no_proxy", raising=False)
    with pytest.raises(UserError, match=r"model\.invalid: status 404"):
        of_openai.check(local_endpoint="http://model.invalid")
    assert of_openai.check()
    monkeypatch.setenv("no_proxy", "model.invalid")
    with pytest.raises(UserError, match=r"model\.invalid: the connection failed"):
        of_openai.check(local_endpoint="http://model.invalid")
    monkeypatch.setenv("http_proxy", "http://user:sk-proxy@127.0.0.1:9")
    with pytest.raises(UserError, match=r"connection failed \(refused\)") as told:
        of_openai.check(local_endpoint="http://other.invalid")
    assert "sk-proxy" not in str(told.value)


def test_a_key_that_can_be_none_is_told(
    of_openai: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "two words")
    with pytest.raises(UserError, match=f"{KEY_VARIABLE} has spaces") as told:
        of_openai.check()
    assert "two words" not in str(told.value)


def test_a_redirect_is_told_and_not_followed(backend: Backend, monkeypatch) -> None:
    def moved(handler: Any) -> None:
        handler.send_response(301)
        handler.send_header("Location", "http://elsewhere.invalid/")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    monkeypatch.setattr(backend.server.RequestHandlerClass, "do_GET", moved)
    with pytest.raises(UserError, match=r"moved to http://elsewhere\.invalid/"):
        backend.check()


# Identity


def test_only_what_decides_the_answer_is_in_the_identity(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend.settings["model_version"] = "1"  # instead of the address, where a server tells nothing
    before = backend.identity()
    monkeypatch.setenv(KEY_VARIABLE, "k")
    same = backend.identity(
        request_timeout_s=3,
        max_concurrent_requests=7,
        local_endpoint=backend.server.url.replace("127.0.0.1", "localhost"),
    )
    assert same == before


def test_a_model_pulled_again_is_another_model(of_ollama: Backend, tmp_path: Path) -> None:
    run(tmp_path, of_ollama.client(), [request(1)])
    run(tmp_path, of_ollama.client(), [request(1)])
    assert of_ollama.server.outcomes("answered").total() == 1
    of_ollama.server.models["tiny:3m"] = "c" * 64
    run(tmp_path, of_ollama.client(), [request(1)])
    assert of_ollama.server.outcomes("answered").total() == 2


@pytest.mark.parametrize(
    "told",
    [
        {"root": "org/tiny-3m-v2"},
        {"root": "org/tiny-3m", "meta": {"size": 5}},
        {"root": "org/tiny-3m", "owned_by": "another server"},
    ],
)
def test_other_weights_behind_a_name_are_another_model(
    of_openai: Backend, told: dict[str, Any]
) -> None:
    before = of_openai.identity()
    of_openai.server.models["tiny-3m"] = told
    assert of_openai.identity() != before


def test_another_model_context_or_endpoint_is_another_identity(
    of_ollama: Backend, of_openai: Backend
) -> None:
    of_ollama.server.models["tiny:copy"] = of_ollama.server.models["tiny:3m"]
    identities = [
        of_ollama.identity(),
        of_ollama.identity(local_model="tiny:copy"),
        of_ollama.identity(n_ctx=65),
        of_openai.identity(),
        of_openai.identity(model_id="other"),
    ]
    of_ollama.server.shown = {"template": BARE_TEMPLATE}
    identities.append(of_ollama.identity())
    of_ollama.server.shown = {"details": {"family": "gptoss"}}
    identities.append(of_ollama.identity())
    assert len({request_digest(each, request(1)) for each in identities}) == len(identities)
