"""The clients of local servers: what they send, and what they read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from answering import request
from local_backends import Backend, chat, run
from servers.ollama import BARE_TEMPLATE

from workflow_scripts.backends.client import RequestError
from workflow_scripts.core.records import Decoding

# What is sent

ALL_SET = Decoding(temperature=0.7, max_new_tokens=9, top_p=0.9, top_k=20, stop=["\n"], seed=42)

NO_PENALTIES = {"presence_penalty": 0.0, "frequency_penalty": 0.0}

PROBE = [{"role": "user", "content": "."}]
"""Asked of vLLM, which reports its settings only beside an answer."""


def test_ollama_is_asked_with_all_parameters_mapped(of_ollama: Backend) -> None:
    of_ollama.ask(decoding=ALL_SET)
    assert of_ollama.server.bodies == [
        {
            "model": "tiny:3m",
            "messages": [message.model_dump() for message in chat("Where is Oslo?")],
            "stream": False,
            "truncate": False,
            "shift": False,
            "think": False,
            "options": {
                "temperature": 0.7,
                "num_predict": 9,
                "num_ctx": 64,
                "top_p": 0.9,
                "top_k": 20,
                "stop": ["\n"],
                "seed": 42,
                "min_p": 0.0,
                "repeat_penalty": 1.0,
                "presence_penalty": 0.0,
                "frequency_penalty": 0.0,
            },
        }
    ]


def test_parameters_that_are_absent_are_off_in_ollama(of_ollama: Backend) -> None:
    of_ollama.ask()
    options = of_ollama.server.bodies[0]["options"]
    assert (options["top_p"], options["top_k"]) == (1.0, 0)
    assert "stop" not in options


@pytest.mark.parametrize(
    ("shown", "endpoint"),
    [
        ({}, "/api/chat"),
        ({"template": "{{ if .System }}{{ .System }}{{ end }}{{ .Prompt }}"}, "/api/chat"),
        ({"template": BARE_TEMPLATE, "modelfile": "FROM x\nRENDERER qwen3.5\n"}, "/api/chat"),
        ({"template": BARE_TEMPLATE, "renderer": "qwen3.5"}, "/api/chat"),
        ({"template": BARE_TEMPLATE, "template_source": "gguf_chat_template"}, "/api/chat"),
        ({"template": BARE_TEMPLATE, "template_source": "go_template"}, "/api/generate"),
        ({"template": BARE_TEMPLATE}, "/api/generate"),
        ({"template": "[INST] {{ .Prompt }} [/INST]"}, "/api/generate"),
    ],
)
def test_no_model_of_ollama_loses_its_system_prompt(
    of_ollama: Backend, shown: dict[str, Any], endpoint: str
) -> None:
    of_ollama.server.shown = shown
    answer = of_ollama.ask()
    assert answer.response_text == "to Where is Oslo?"
    assert of_ollama.identity()["endpoint"] == endpoint
    (body,) = of_ollama.server.bodies
    if endpoint == "/api/generate":
        assert body["prompt"] == "Answer.\n\nWhere is Oslo?"
        assert "as one text" in of_ollama.check()
    else:
        assert body["messages"] == [each.model_dump() for each in chat("Where is Oslo?")]


@pytest.mark.parametrize(
    ("shown", "think"),
    [
        ({"capabilities": ["completion"]}, False),
        ({"capabilities": ["completion", "thinking"]}, False),
        ({"capabilities": ["completion", "thinking"], "details": {"family": "gptoss"}}, "low"),
        (
            {
                "capabilities": ["completion", "thinking"],
                "thinking": {"values": [False, True], "default": True},
            },
            False,
        ),
        (
            {
                "capabilities": ["completion", "thinking"],
                "thinking": {"values": ["low", "high"], "default": "high"},
            },
            "low",
        ),
    ],
)
def test_models_of_ollama_think_as_little_as_they_can(
    of_ollama: Backend, shown: dict[str, Any], think: bool | str
) -> None:
    of_ollama.server.shown = shown
    of_ollama.ask()
    assert of_ollama.server.bodies[0]["think"] == think
    assert ("always thinks first" in of_ollama.check()) == bool(think)


@pytest.mark.parametrize(
    ("owner", "off"),
    [
        (None, {}),
        ("somebody", {}),
        ("llamacpp", {"top_k": 0, "min_p": 0.0, "repeat_penalty": 1.0, **NO_PENALTIES}),
        ("me", {"top_k": 0, "min_p": 0.0, "repeat_penalty": 1.0, **NO_PENALTIES}),
        ("vllm", {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0, **NO_PENALTIES}),
        ("sglang", {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0, **NO_PENALTIES}),
    ],
)
def test_an_openai_compatible_server_is_asked_with_all_parameters(
    of_openai: Backend, owner: str | None, off: dict[str, Any]
) -> None:
    of_openai.server.models["tiny-3m"]["owned_by"] = owner
    of_openai.ask(decoding=ALL_SET)
    of_openai.ask()
    common = {
        "model": "tiny-3m",
        "messages": [message.model_dump() for message in chat("Where is Oslo?")],
    }
    asked = [body for body in of_openai.server.bodies if body["messages"] != PROBE]
    assert asked == [
        {
            **common,
            **off,
            "max_tokens": 9,
            "temperature": 0.7,
            "top_p": 0.9,
            "top_k": 20,
            "stop": ["\n"],
            "seed": 42,
        },
        {**common, **off, "max_tokens": 8, "temperature": 0.0, "top_p": 1.0, "seed": 0},
    ]


@pytest.mark.parametrize("ending", ["", "/", "/v1", "/v1/"])
def test_the_address_may_end_as_users_write_it(of_openai: Backend, ending: str) -> None:
    answer = of_openai.ask(local_endpoint=of_openai.server.url + ending)
    assert answer.response_text == "to Where is Oslo?"


def test_a_connection_is_kept_per_request_in_flight(backend: Backend, tmp_path: Path) -> None:
    backend.server.latency_s = 0.005
    run(tmp_path, backend.client(), [request(number) for number in range(60)], max_concurrent=3)
    assert 1 < backend.server.most_at_once <= 3
    assert backend.server.connections <= 3


# What is read


def test_an_answer_is_read_whole(backend: Backend) -> None:
    backend.server.latency_s = 0.05
    backend.server.answer = lambda question: "  Zürich 東京\n"
    answer = backend.ask()
    assert answer.response_text == "  Zürich 東京\n"
    assert answer.finish_reason == "stop"
    used = answer.usage
    assert (used.prompt_tokens, used.completion_tokens, used.total_tokens) == (4, 2, 6)
    assert answer.latency_s is not None
    assert 0.05 <= answer.latency_s < 5
    assert answer.request_id


def test_what_the_server_does_not_count_stays_blank(backend: Backend) -> None:
    backend.server.counts_tokens = False
    assert set(backend.ask().usage.model_dump().values()) == {None}


def test_a_cut_answer_says_so(backend: Backend) -> None:
    backend.server.answer = lambda question: "a b c d e f g h i"
    answer = backend.ask()
    assert (answer.response_text, answer.finish_reason) == ("a b c d e f g h", "length")


def test_an_empty_answer_is_an_answer(backend: Backend, tmp_path: Path) -> None:
    backend.server.answer = lambda question: ""
    (line,) = run(tmp_path, backend.client(), [request(1)])
    assert line.error is None
    assert (line.response_text, line.finish_reason) == ("", "stop")


@pytest.mark.parametrize(
    ("choice", "text", "finish"),
    [
        (
            {"finish_reason": "content_filter", "message": {"content": None}},
            "",
            "refused:content_filter",
        ),
        ({"message": {"content": None, "refusal": "I can't."}}, "I can't.", "refused:refusal"),
        # A model that thinks, cut before its answer; vLLM sends it like this.
        (
            {"finish_reason": "length", "message": {"content": None, "reasoning_content": "Hm"}},
            "",
            "length",
        ),
    ],
)
def test_filtered_refused_and_cut_answers_keep_their_reason(
    of_openai: Backend, choice: dict[str, Any], text: str, finish: str
) -> None:
    of_openai.server.choice = choice
    answer = of_openai.ask()
    assert (answer.response_text, answer.finish_reason) == (text, finish)


@pytest.mark.parametrize("word", ["error", "abort", "insufficient_system_resource"])
def test_a_servers_own_failure_is_worth_another_try(of_openai: Backend, word: str) -> None:
    of_openai.server.choice = {"finish_reason": word}
    with pytest.raises(RequestError, match=word) as caught:
        of_openai.ask()
    assert (caught.value.retryable, caught.value.may_be_charged) == (True, True)


def test_loading_a_model_of_ollama_is_no_answer(of_ollama: Backend) -> None:
    of_ollama.server.finish = "load"
    with pytest.raises(RequestError, match="load") as caught:
        of_ollama.ask()
    assert caught.value.retryable
