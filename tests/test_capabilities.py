"""What each model of a hosted provider is sent, by the tables in the providers' declarations."""

from __future__ import annotations

from typing import Any

import pytest
from hosted_contract import SAMPLED, request

from workflow_scripts.backends.capabilities import capabilities, dropped, parameters, problems
from workflow_scripts.core.records import Decoding

SAMPLING = {"temperature", "top_p", "top_k"}
NAMES = {
    "openai": {"max_new_tokens": "max_completion_tokens"},
    "fireworks": {"max_new_tokens": "max_tokens"},
    "anthropic": {"max_new_tokens": "max_tokens", "stop": "stop_sequences"},
    "gemini": {
        **{"max_new_tokens": "maxOutputTokens", "stop": "stopSequences"},
        **{"top_p": "topP", "top_k": "topK"},
    },
}
"""The providers' names of parameters that have another one than ours."""


ALWAYS = {
    **{"openai": "reasoning_effort", "fireworks": "reasoning_effort"},
    **{"anthropic": "thinking", "gemini": "thinkingConfig"},
}
"""What turns thinking down or off, where it is always sent."""

TABLE = {
    "openai": [
        ("gpt-4o-mini-2024-07-18 gpt-4.1-nano chatgpt-4o-latest", {"top_k"}, None, 0),
        ("ft:gpt-4o-mini-2024-07-18:acme::abc", {"top_k"}, None, 0),
        ("gpt-5-chat-latest gpt-5.3-chat-latest", {"top_k"}, None, 0),
        ("o1 o4-mini-2025-04-16", {*SAMPLING, "stop"}, "low", 1024),
        ("ft:o4-mini-2025-04-16:acme::abc", {*SAMPLING, "stop"}, "low", 1024),
        ("gpt-5 gpt-5-nano-2025-08-07", {*SAMPLING, "stop"}, "minimal", 256),
        ("gpt-5.1-2025-11-13 gpt-5.4-mini", {"top_k", "stop"}, "none", 0),
        ("gpt-5.6-luna gpt-6-sol", {"top_k", "stop"}, "none", 0),
        ("gpt-5.5-2026-04-23", {*SAMPLING, "stop"}, "none", 0),
        ("gpt-5.6-sol gpt-5.6-terra", {*SAMPLING, "stop"}, "none", 0),
        ("gpt-6-astra gpt-6.1-terra", {*SAMPLING, "stop"}, "low", 1024),
        ("gpt-5.2-chat-latest gpt-5.2-pro gpt-7", {*SAMPLING, "stop"}, None, 1024),
    ],
    "anthropic": [
        ("claude-3-haiku-20240307 claude-sonnet-4-20250514", {"seed"}, None, 0),
        ("claude-opus-4-1-20250805 claude-sonnet-4-5", {"seed", "top_p"}, None, 0),
        ("claude-haiku-4-5-20251001 claude-opus-4-6", {"seed", "top_p"}, None, 0),
        ("claude-opus-4-7 claude-opus-4-8", {"seed", *SAMPLING}, None, 0),
        ("claude-sonnet-5 claude-opus-5", {"seed", *SAMPLING}, {"type": "disabled"}, 0),
        ("claude-haiku-5-5", {"seed", *SAMPLING}, {"type": "disabled"}, 0),
        ("claude-sonnet-5-5", {"seed", *SAMPLING}, {"type": "between_tools"}, 0),
        ("claude-opus-5-5 claude-fable-5-1 claude-opus-9", {"seed", *SAMPLING}, None, 1024),
    ],
    "gemini": [
        ("gemini-2.0-flash gemini-1.5-pro gemma-3-27b-it", set(), None, 0),
        ("gemini-2.5-flash gemini-2.5-flash-lite", set(), {"thinkingBudget": 0}, 0),
        ("gemini-2.5-pro", set(), {"thinkingBudget": 128}, 256),
        ("gemini-3-flash-preview gemini-3.1-flash-lite", set(), {"thinkingLevel": "MINIMAL"}, 0),
        ("gemini-3.5-flash", set(), {"thinkingLevel": "MINIMAL"}, 0),
        ("gemini-3-pro-preview gemini-3.1-pro-preview", set(), {"thinkingLevel": "LOW"}, 1024),
        ("gemini-3.5-flash-lite gemini-3.6-flash", SAMPLING, {"thinkingLevel": "MINIMAL"}, 0),
        ("gemini-3.8-flash gemini-flash-latest", SAMPLING, {"thinkingLevel": "LOW"}, 1024),
    ],
    "fireworks": [
        ("gpt-oss-20b minimax-m2p1", set(), "low", 1024),
        ("qwen3-8b qwen3-235b-a22b deepseek-v3p2 glm-4p5-air", set(), "none", 0),
        ("qwen3-235b-a22b-instruct-2507 llama-v3p3-70b-instruct", set(), None, 0),
        ("qwen3-235b-a22b-thinking-2507 deepseek-r1-0528 kimi-k2-thinking", set(), None, 1024),
    ],
}
"""For models: parameters that they do not take, their `ALWAYS`, and their room for thoughts."""


@pytest.mark.parametrize(
    ("provider", "model", "missing", "always", "room"),
    [
        (provider, model, missing, always, room)
        for provider, rows in TABLE.items()
        for models, missing, always, room in rows
        for model in models.split()
    ],
)
def test_what_a_model_is_sent(
    provider: str, model: str, missing: set[str], always: Any, room: int
) -> None:
    if provider == "fireworks":
        model = f"accounts/fireworks/models/{model}"
    asked = {"max_new_tokens": 2048, **SAMPLED}
    sent = parameters(provider, model, Decoding(**asked))
    assert sent.keys() == {NAMES[provider].get(name, name) for name in asked.keys() - missing}
    cut = {"stop"} if provider == "anthropic" else set()  # "\n" alone
    assert dropped(provider, model, Decoding(**asked)).keys() == missing | cut
    row = capabilities(provider, model)
    assert row.always == ({} if always is None else {ALWAYS[provider]: always})
    assert row.thinking_room == room
    short = request(1, max_new_tokens=max(room, 2) - 1).decoding
    assert bool(problems(provider, model, short)) == bool(room)
    assert problems(provider, model, request(1, max_new_tokens=max(room, 1)).decoding) == []


@pytest.mark.parametrize(
    ("provider", "model", "most", "reason"),
    [
        ("openai", "gpt-4o", 4, "only the first 4"),
        ("gemini", "gemini-2.5-flash", 5, "only the first 5"),
        ("fireworks", "accounts/fireworks/models/qwen3-8b", 4, "only the first 4"),
        ("anthropic", "claude-haiku-4-5", 6, "white space"),
    ],
)
def test_stop_texts_that_are_not_sent(provider: str, model: str, most: int, reason: str) -> None:
    asked = request(1, stop=[*"abcdef", "\n"]).decoding
    name = NAMES[provider].get("stop", "stop")
    assert parameters(provider, model, asked)[name] == list("abcdef"[:most])
    assert reason in dropped(provider, model, asked)["stop"]


def test_of_temperature_and_top_p_the_one_that_matters_is_sent() -> None:
    cold, hot = (request(0, **SAMPLED | {"temperature": each}).decoding for each in (0.7, 1.0))
    told = dropped("anthropic", "claude-haiku-4-5", cold)
    assert "one of temperature and top_p" in told["top_p"]
    assert parameters("anthropic", "claude-haiku-4-5", hot)["top_p"] == 0.9
    assert not dropped("anthropic", "claude-haiku-4-5", hot).keys() & {"top_p", "temperature"}


def test_what_a_model_cannot_do_is_known_before_any_job() -> None:
    hot = request(0, temperature=1.5, max_new_tokens=32).decoding
    (problem,) = problems("anthropic", "claude-haiku-4-5", hot)
    assert problem == "temperature 1.5 is more than claude-haiku-4-5 takes: 1 at most"
    (problem,) = problems("anthropic", "claude-opus-5-5", hot)  # it takes no temperature at all
    assert "32 leave no room for an answer. Set max_new_tokens to 1024 or more" in problem
