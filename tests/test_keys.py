"""No key gets out: servers that repeat it wherever they can, in any form, with every backend."""

from __future__ import annotations

import base64
import json
import re
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import tenacity
from backends import BACKENDS, Backend
from fault_matrix import run_part
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from servers.base import running

from workflow_scripts.backends import hosted
from workflow_scripts.backends.http import api_key
from workflow_scripts.backends.mask import MASKED, Mask
from workflow_scripts.core.errors import UserError

KEY = 'sk-Ab/+9"z=Q7'

FORMS: dict[str, Callable[[str], str]] = {
    "as it is": lambda key: key,
    "in a URL": lambda key: quote(key, safe=""),
    "in base64": lambda key: base64.b64encode(key.encode()).decode(),
    "in Basic authentication": lambda key: base64.b64encode(f":{key}".encode()).decode(),
    "in base64 of URLs": lambda key: base64.urlsafe_b64encode(f"ab{key}c".encode()).decode(),
}

STRUCTURE = {
    *("id", "object", "role", "status", "state", "type", "finish_reason", "finishReason", "url"),
    *("stop_reason", "processing_status", "custom_id", "key", "name", "code", "model", "version"),
    *("output_file_id", "error_file_id", "input_file_id", "outputDatasetId", "inputDatasetId"),
    *("filename", "displayName", "digest", "template", "done_reason", "responsesFile", "reason"),
    *("created_at", "expires_at", "ended_at", "createTime", "updateTime", "filenameToSignedUrls"),
    *("assay", "exampleCount", "lifecycle", "details", "sizeBytes", "capabilities"),
    *("requestCount", "successfulRequestCount", "failedRequestCount", "bytes", "endpoint"),
}
"""Fields without which a reply means something else."""

RUNS = {
    "answered": {},
    "rows or requests fail": {"faults": "400"},
    "refused": {"key": "another"},
    "unreadable": {"ending": "NEWLY_INVENTED"},
}


def repeating(value: Any, secret: str, name: str = "") -> Any:
    """The same JSON with a secret at the end of every text but those of its structure."""
    if isinstance(value, dict):
        return {
            each: inner if each in STRUCTURE else repeating(inner, secret, each)
            for each, inner in value.items()
        }
    if isinstance(value, list):
        return [repeating(each, secret, name) for each in value]
    return f"{value} {secret}" if isinstance(value, str) else value


def spoilt(content: bytes, secret: str, *, escaped: bool) -> bytes:
    """JSON, or lines of it, that repeats a secret; anything else is followed by it."""
    lines = []
    for line in content.split(b"\n"):
        try:
            value = json.loads(line)
        except ValueError:
            lines.append(line)
            continue
        error = value.get("error") if isinstance(value, dict) else None
        if isinstance(error, dict):
            value["error"] = {**error, "code": error.get("code"), "hint": secret}
        text = json.dumps(repeating(value, secret))
        if escaped:
            inner = json.dumps(secret)[1:-1]
            text = text.replace(inner, "".join(f"\\u{ord(each):04X}" for each in secret))
        lines.append(text.encode())
    return b"\n".join(lines)


def gives_away(text: str) -> bool:
    """Whether a text holds the key in any form, however deeply its escapes are escaped."""
    plain = re.sub(r"\\+u00([0-9a-fA-F]{2})", lambda found: chr(int(found[1], 16)), text)
    plain = re.sub(r"\\+(.)", r"\1", plain)
    cores = [FORMS[form](KEY)[4:-6] for form in FORMS if "base64" in form or "Basic" in form]
    return any(each in text or each in plain for each in (KEY, quote(KEY, safe=""), *cores))


@pytest.mark.parametrize("escaped", [False, True], ids=["plain", "escaped"])
@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize(
    "backend",
    [pytest.param(each, id=each.name) for each in BACKENDS if each.name != "ollama"],
)
def test_no_key_gets_into_files_logs_or_errors(
    backend: Backend,
    run: str,
    escaped: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The form of the key changes from reply to reply."""
    monkeypatch.setattr(tenacity, "wait_random_exponential", lambda **_: tenacity.wait_none())
    monkeypatch.setattr(tenacity, "wait_exponential", lambda **_: tenacity.wait_none())
    monkeypatch.setattr(hosted, "LISTING_LAG_S", 0.0)
    monkeypatch.setattr(hosted, "UNSEEN_WAITS_S", (0.0, 0.0))
    for name, key in (backend.keys or {"ASSAY_OPENAI_COMPATIBLE_API_KEY": ""}).items():
        monkeypatch.setenv(name, KEY if "KEY" in name else key)
    caplog.set_level("DEBUG")
    told = ""
    with running(backend.server()) as server:
        server.key = RUNS[run].get("key", KEY)
        server.finish = RUNS[run].get("ending")
        fault = RUNS[run].get("faults", "")
        server.faults = lambda question, tries: (
            fault if "uestion" in question and "GET" not in question else ""
        )
        plain_send, sent = server.RequestHandlerClass.send, iter(range(10**6))

        def send(handler: Any, status: int, content: bytes, *rest: Any, **more: Any) -> None:
            forms = list(FORMS.values())
            secret = forms[next(sent) % len(forms)](KEY)
            plain_send(handler, status, spoilt(content, secret, escaped=escaped), *rest, **more)

        monkeypatch.setattr(server.RequestHandlerClass, "send", send)
        try:
            lines = run_part(backend, server, tmp_path, timeout_s=20)
        except UserError as error:
            told = "".join(traceback.format_exception(error))
        else:
            assert len(lines) == 6
        assert next(sent)
    written = {path: path.read_text("utf-8") for path in tmp_path.rglob("*") if path.is_file()}
    assert not [path for path, text in written.items() if gives_away(text)]
    shown = capfd.readouterr()
    assert not any(map(gives_away, (told, caplog.text, shown.out, shown.err)))
    if run != "unreadable" or not backend.is_batch:  # of such rows, nothing is shown
        assert MASKED in "".join([told, caplog.text, *written.values()])


@pytest.mark.parametrize("form", FORMS)
def test_all_forms_of_a_key_are_masked(form: str) -> None:
    mask = Mask([KEY])
    text = f"before {FORMS[form](KEY)} after"
    for shown in (text, json.dumps(text), json.dumps(text).replace("/", "\\/")):
        masked = mask.content(shown.encode()).decode()
        assert not gives_away(masked)
        assert MASKED in masked
        assert "before" in masked
        assert masked.rstrip('"').endswith("after")
        assert not gives_away(mask.message(shown))


@settings(max_examples=30)
@given(
    st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=12, max_size=60),
    st.binary(max_size=4),
    st.binary(max_size=4),
)
def test_keys_in_base64_are_masked_whatever_is_around_them(
    key: str, before: bytes, after: bytes
) -> None:
    assume(not key.isalpha() and not key.isdecimal())
    encoded = base64.b64encode(before + key.encode() + after).decode()
    masked = Mask([key]).message(encoded)
    assert MASKED in masked
    assert len(masked) - len(MASKED) <= len(encoded) - len(key) * 4 // 3 + 4


@pytest.mark.parametrize("key", ["x", "none", "EMPTY", "ollama", "anything", "1234567890"])
def test_a_placeholder_for_a_key_is_no_secret_in_answers(key: str) -> None:
    mask = Mask([key])
    reply = json.dumps({"content": f"{key} is a word", "created": 1234567890}).encode()
    assert mask.content(reply) == reply
    assert key not in mask.message(f"wrong key {key}!").split()[-1]


def test_masked_json_stays_json() -> None:
    for form in FORMS.values():
        reply = json.dumps({form(KEY): [form(KEY), 5, {"content": f'"{form(KEY)}"'}]})
        assert json.loads(Mask([KEY]).content(reply.encode()))


def test_without_a_key_nothing_is_masked() -> None:
    assert Mask([None, ""]).message("a key") == "a key"
    assert Mask([]).content(b"\\u0061%61") == b"\\u0061%61"


def test_the_key_of_this_test_can_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", KEY)
    assert api_key("SOME_KEY") == KEY
