"""Log-probabilities: asked of those who report them, and read from all shapes in use."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from answering import request, use
from conftest import REPOSITORY, Project
from fireworks.types.chat.completion_create_response import Choice as FireworksChoice
from google.genai.types import GenerateContentResponse
from ollama import ChatResponse
from openai.types.chat import ChatCompletion
from servers.base import running, token_logprobs
from servers.fireworks import FireworksServer
from servers.gemini import GeminiServer, Model
from servers.ollama import OllamaServer
from servers.openai import OpenAIServer
from servers.openai_compatible import CompatibleServer
from test_reasoning import MESSAGES, asked

from workflow_scripts.answers.journal import request_digest
from workflow_scripts.answers.predictions import answer
from workflow_scripts.backends.capabilities import problems, sent
from workflow_scripts.backends.chat_completions import batch_answer, chat_answer
from workflow_scripts.backends.client import make_client
from workflow_scripts.backends.logprobs import Token, of_answer
from workflow_scripts.backends.settings import BackendSettings
from workflow_scripts.config.load import read_config
from workflow_scripts.config.trials import trials
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.records import (
    Completion,
    Decoding,
    Logprobs,
    RawLine,
    RequestMeta,
    ThinkingBudget,
)

PLAIN = Decoding(temperature=0.0, max_new_tokens=8, seed=0)
LIKELY = Decoding(temperature=0.0, max_new_tokens=8, seed=0, logprobs=True)
OF_TEXT = Logprobs(total=-0.875, tokens=2)  # "In Oslo": words of 2 and 5 letters, in eighths


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI", "ANTHROPIC", "GEMINI", "FIREWORKS"):
        monkeypatch.setenv(f"{name}_API_KEY", "key-of-the-test")


@pytest.mark.parametrize(
    ("backend", "server", "model"),
    [
        ("openai", OpenAIServer, "gpt-4o-mini"),
        ("fireworks", FireworksServer, "accounts/fireworks/models/llama-v3p3-70b-instruct"),
        ("gemini", GeminiServer, "gemini-2.0-flash"),
        ("ollama", OllamaServer, "tiny:3m"),
        ("openai_compatible", CompatibleServer, "tiny-3m"),
    ],
)
def test_each_server_is_asked_in_its_own_words_and_read(
    backend: str, server: Any, model: str
) -> None:
    with running(server()) as running_server:
        running_server.answer = lambda question: "In Oslo"
        if backend == "fireworks":
            running_server.models[model] = {}
        if backend == "gemini":
            running_server.models[model] = Model()
        if backend == "ollama":
            running_server.version = "0.12.11"
        plain = asked(backend, running_server, model, PLAIN)
        likely = asked(backend, running_server, model, LIKELY)
        first, second = running_server.bodies[-2:]
    assert plain.logprobs is None
    assert likely.logprobs == OF_TEXT
    told = sent("openai" if backend == "openai_compatible" else backend, model, LIKELY).parameters
    if backend == "gemini":
        first, second = first["generationConfig"], second["generationConfig"]
        assert second == {**first, "responseLogprobs": True}
        assert told["responseLogprobs"] is True
    else:
        assert second == {**first, "logprobs": True}
        assert told["logprobs"] is True
    # What the test server sends is what the SDK's own types allow.
    kinds: dict[str, Any] = {
        "openai": ChatCompletion,
        "openai_compatible": ChatCompletion,
        "gemini": GenerateContentResponse,
        "ollama": ChatResponse,
    }
    if backend in kinds:
        kinds[backend].model_validate_json(likely.reply)


def test_an_old_ollama_reports_none() -> None:
    with running(OllamaServer()) as server, pytest.raises(UserError, match=r"0\.12\.11"):
        settings = BackendSettings(
            backend="local", local_engine="ollama", local_model="tiny:3m",
            local_endpoint=server.url, logprobs=True,
        )  # fmt: skip
        use(make_client(settings), lambda client: client.generate(MESSAGES, LIKELY))


@pytest.mark.parametrize("binding", ["xllamacpp"])
def test_llama_cpp_in_this_process_reports_the_models_own(binding: Any) -> None:
    def settings() -> BackendSettings:
        return BackendSettings(
            backend="local",
            local_engine="llama_cpp",
            local_binding=binding,
            local_model=str(REPOSITORY / "resources/models/assay-demo.gguf"),
        )

    plain = use(make_client(settings()), lambda client: client.generate(MESSAGES, PLAIN))
    likely = use(make_client(settings()), lambda client: client.generate(MESSAGES, LIKELY))
    assert plain.logprobs is None
    assert likely.response_text == plain.response_text
    assert likely.logprobs is not None
    assert 1 <= likely.logprobs.tokens <= likely.usage.completion_tokens
    assert likely.logprobs.total < 0


@pytest.mark.parametrize(
    ("backend", "model", "changes", "told"),
    [
        ("anthropic", "claude-haiku-4-5", {}, "reports no log-probabilities. Set logprobs: false"),
        ("openai", "o4-mini", {"max_new_tokens": 4000}, "reports no log-probabilities. Set"),
        ("openai", "gpt-5.1", {"reasoning": "low"}, "while it thinks"),
        ("openai", "gpt-5.1", {"reasoning": "none"}, ""),
        ("openai", "gpt-5.1", {}, ""),
        ("gemini", "gemini-2.5-flash", {}, "reports no log-probabilities. Set"),
        ("fireworks", "accounts/fireworks/models/gpt-oss-120b",
         {"reasoning": ThinkingBudget(budget_tokens=9)}, ""),
    ],
)  # fmt: skip
def test_who_reports_none_is_told_before_any_request(
    backend: str, model: str, changes: dict[str, Any], told: str
) -> None:
    found = problems(backend, model, LIKELY.model_copy(update=changes))
    about = [each for each in found if "log-prob" in each]
    assert (told in about[0]) if told else not about


def test_only_what_is_sent_changes_the_digest() -> None:
    identity = {"engine": "openai", "model": "gpt-4o"}
    plain = request(1)
    assert "logprobs" not in plain.model_dump_json()
    likely = request(1, decoding=plain.decoding.model_copy(update={"logprobs": True}))
    assert request_digest(identity, plain) != request_digest(identity, likely)


def test_a_backend_has_it_and_paths_name_it(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project.root)
    config = {
        "experiment": "sure",
        "backend": "openai",
        "datasets": {
            "demo_closed": {
                "format": "jsonl", "path": "resources/demo/closed_book.jsonl",
                "task": "closed_book",
            }
        },
        "prompt_sets": {"polite": {"control": "control", "treatment": "polite"}},
        "backends": {
            "one": {"backend": "openai", "model_id": "gpt-4o", "logprobs": True},
            "two": {"backend": "anthropic", "model_id": "claude-haiku-4-5"},
        },
    }  # fmt: skip
    path = project.root / "config/sure.yaml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    made = {each.backend: each for each in trials(read_config(path))}
    assert [made[name].decoding_name for name in ("one", "two")] == ["logprobs", "default"]
    assert made["one"].decoding.request("closed_book", "0.0", 0).logprobs
    config["backends"]["two"]["logprobs"] = True
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    with pytest.raises(UserError, match=r"logprobs: claude-haiku-4-5 reports no log-prob"):
        read_config(path)


# Shapes of replies


def chat(text: str, logprobs: Any, **message: Any) -> dict[str, Any]:
    choice = {
        "message": {"role": "assistant", "content": text, **message},
        "logprobs": logprobs,
        "finish_reason": "stop",
    }
    return {"id": "1", "choices": [choice]}


def content(*tokens: tuple[str, float]) -> dict[str, Any]:
    return {"content": [{"token": token, "logprob": value} for token, value in tokens]}


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (chat("In Oslo", {"content": token_logprobs("In Oslo")}), OF_TEXT),
        # Together, and Fireworks where it is asked for a number of alternatives
        (chat("In Oslo", {"tokens": ["In", " Oslo"], "token_logprobs": [-0.25, -0.625]}), OF_TEXT),
        # the first token of a prompt has none
        (chat("Oslo", {"tokens": ["?", "Oslo"], "token_logprobs": [None, -1]}), Logprobs(
            total=-1.0, tokens=1)),
        # vLLM and llama-server also report thoughts and the end
        (
            chat("Oslo", content(("Oslo?", -9), ("</think>", -9), ("\n", -9), ("Os", -0.5),
                 ("lo", -0.25), ("<|im_end|>", -9)), reasoning="Oslo?"),
            Logprobs(total=-0.75, tokens=2),
        ),
        (chat("Oslo", content(("Paris", -1.0)), reasoning="Hm"), None),
        (chat("Oslo", content(("Os\ufffd", -1.0)),), Logprobs(total=-1.0, tokens=1)),
        # a letter in two tokens
        (
            chat("Å", {"content": [
                {"token": "\\xc3", "logprob": -0.5, "bytes": [0xC3]},
                {"token": "\\x85", "logprob": -0.5, "bytes": [0x85]},
            ]}),
            Logprobs(total=-1.0, tokens=2),
        ),
        (chat("Oslo", content(("Oslo", 1e-7))), Logprobs(total=0.0, tokens=1)),
        (chat("Oslo", content(("Oslo", float("-inf")))), None),
        (chat("", content(("", -1.0))), None),
        (chat("Oslo", None), None),
        (chat("Oslo", {"content": "?"}), None),
        (chat("Oslo", 7), None),
    ],
)  # fmt: skip
def test_shapes(reply: dict[str, Any], expected: Logprobs | None) -> None:
    answer_read = chat_answer("openai", reply, None, None)
    assert answer_read.response_text == reply["choices"][0]["message"]["content"]
    assert answer_read.logprobs == expected


def test_fireworks_newer_shape_is_the_sdks() -> None:
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": "In Oslo"},
        "logprobs": {"content": [
            {**each, "logprob": each["logprob"], "token_id": 5, "text_offset": 0,
             "sampling_logprob": None}
            for each in token_logprobs("In Oslo")
        ]},
        "finish_reason": "stop",
    }  # fmt: skip
    FireworksChoice.model_validate(choice)
    assert chat_answer("fireworks", {"choices": [choice]}, None, None).logprobs == OF_TEXT


def test_results_of_batch_jobs_have_them() -> None:
    body = chat("In Oslo", {"content": token_logprobs("In Oslo")})
    line = {"custom_id": "k", "response": {"status_code": 200, "body": body}, "error": None}
    key, found = batch_answer("openai", json.dumps(line).encode())
    assert isinstance(found, Completion)
    assert (key, found.logprobs) == ("k", OF_TEXT)


@pytest.mark.parametrize(
    ("tokens", "text", "thinks", "expected"),
    [
        ([("4", -1.0), ("<|end4|>", -5.0)], "4", False, -1.0),
        ([("4", -1.0), (" so 4", -2.0)], "4", True, -2.0),
        ([], "4", False, None),
    ],
)
def test_of_several_places_that_of_the_answer_counts(
    tokens: Sequence[tuple[str, float]], text: str, thinks: bool, expected: float | None
) -> None:
    found = of_answer([Token(a.encode(), b) for a, b in tokens], text, thinks=thinks)
    assert (found and found.total) == expected


def test_the_table_of_answers_has_sum_and_mean(tmp_path: Path) -> None:
    meta = request(1).model_dump(include=set(RequestMeta.model_fields))
    line = RawLine.model_validate(
        {
            **meta,
            "response_text": "In Oslo",
            "finish_reason": "stop",
            "request_id": "r",
            "usage": {},
            "logprobs": {"total": -1.0, "tokens": 2},
        }
    )
    row = answer("control", line)
    assert (row.logprob_sum, row.logprob_mean) == (-1.0, -0.5)
    assert math.exp(row.logprob_mean or 0) == pytest.approx(math.sqrt(math.exp(-1.0)))
    assert "logprobs" not in line.model_copy(update={"logprobs": None}).model_dump_json()
