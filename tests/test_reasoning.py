"""Reasoning as an axis: what each provider is told, what it cannot do, and what comes back."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Project
from servers.anthropic import AnthropicServer, Claude
from servers.base import running
from servers.fireworks import FireworksServer
from servers.gemini import GeminiServer, Model
from servers.ollama import OllamaServer
from servers.openai import OpenAIServer
from servers.openai_compatible import CompatibleServer

from workflow_scripts.answers.journal import request_digest
from workflow_scripts.backends.capabilities import capabilities, problems, sent
from workflow_scripts.backends.chat_completions import batch_answer, chat_answer, split_thoughts
from workflow_scripts.backends.client import RequestError, make_client
from workflow_scripts.backends.gemini_client import GeminiServer as GeminiApi
from workflow_scripts.backends.gemini_client import _answer as gemini_answer
from workflow_scripts.backends.gguf_chat import check_reasoning
from workflow_scripts.backends.gguf_file import GgufFile
from workflow_scripts.backends.llama_cpp_binding import Generated
from workflow_scripts.backends.llama_cpp_client import LlamaCppClient
from workflow_scripts.backends.settings import BackendSettings
from workflow_scripts.config.load import read_config
from workflow_scripts.config.trials import left_out, trials
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import read_csv, read_jsonl
from workflow_scripts.core.records import (
    Answer,
    Completion,
    Decoding,
    Message,
    RawLine,
    Reasoning,
    Request,
    ThinkingBudget,
)

KEYS = {
    "OPENAI_API_KEY": "key-of-the-test",
    "ANTHROPIC_API_KEY": "key-of-the-test",
    "GEMINI_API_KEY": "key-of-the-test",
    "FIREWORKS_API_KEY": "key-of-the-test",
}
ANY_TYPE = ("adaptive", "between_tools", "disabled", "enabled")
MODELS: Mapping[str, Any] = {
    "anthropic": Claude(thinking=ANY_TYPE),
    "gemini": Model(least_budget=0, least_level="MINIMAL"),
}
"""What servers know of models that are not theirs: they take anything."""
SERVERS: Mapping[str, Callable[[], Any]] = {
    "openai": OpenAIServer,
    "anthropic": AnthropicServer,
    "gemini": GeminiServer,
    "fireworks": FireworksServer,
}
FIREWORKS = "accounts/fireworks/models/"
THINKS = {"type": "adaptive", "display": "summarized"}
MESSAGES = [Message(role="user", content="Where is Oslo?")]


def decoding(reasoning: Reasoning | None, **changes: Any) -> Decoding:
    given = {"temperature": 0.5, "max_new_tokens": 8, "seed": 1, **changes}
    return Decoding(**given, reasoning=reasoning)


def budget(tokens: int) -> ThinkingBudget:
    return ThinkingBudget(budget_tokens=tokens)


def level(name: str) -> dict[str, Any]:
    return {"thinkingConfig": {"thinkingLevel": name, "includeThoughts": True}}


def of_tokens(tokens: int) -> dict[str, Any]:
    return {"thinkingConfig": {"thinkingBudget": tokens, "includeThoughts": True}}


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, key in KEYS.items():
        monkeypatch.setenv(name, key)


def asked(backend: str, server: Any, model: str, how: Decoding) -> Completion:
    """The answer of a server to one request."""
    local = backend == "ollama"
    settings = BackendSettings(
        backend="local" if local else backend,
        local_engine="ollama" if local else None,
        local_model=model if local else None,
        model_id=None if local else model,
        local_endpoint=server.url,
        use_batch_api=False,
    )

    async def answer() -> Completion:
        client = make_client(settings)
        try:
            await client.open()
            return await client.generate(MESSAGES, how)
        finally:
            await client.close()

    return asyncio.run(answer())


EFFORT = "reasoning_effort"


@pytest.mark.parametrize(
    ("backend", "model", "reasoning", "said"),
    [
        ("openai", "gpt-4o", "none", {}),
        ("openai", "gpt-4o", "default", {}),
        ("openai", "o4-mini", "high", {EFFORT: "high"}),
        ("openai", "gpt-5", "minimal", {EFFORT: "minimal"}),
        ("openai", "gpt-5.1", "none", {EFFORT: "none"}),
        ("openai", "gpt-5.1", "medium", {EFFORT: "medium"}),
        ("openai", "gpt-5.6-luna", "low", {EFFORT: "low"}),
        ("openai", "gpt-6-astra", "default", {}),
        ("anthropic", "claude-3-5-haiku-latest", "none", {}),
        ("anthropic", "claude-haiku-4-5", "none", {}),
        ("anthropic", "claude-haiku-4-5", budget(2048),
         {"thinking": {"type": "enabled", "budget_tokens": 2048}}),
        ("anthropic", "claude-sonnet-4-6", "low",
         {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}),
        ("anthropic", "claude-opus-4-8", "high",
         {"thinking": THINKS, "output_config": {"effort": "high"}}),
        ("anthropic", "claude-sonnet-5", "none", {"thinking": {"type": "disabled"}}),
        ("anthropic", "claude-sonnet-5-5", "none", {"thinking": {"type": "between_tools"}}),
        ("anthropic", "claude-fable-5-2", "medium",
         {"thinking": THINKS, "output_config": {"effort": "medium"}}),
        ("anthropic", "claude-fable-5-2", "default", {}),
        ("gemini", "gemini-2.5-flash", "none", {"thinkingConfig": {"thinkingBudget": 0}}),
        ("gemini", "gemini-2.5-flash", "medium", of_tokens(8192)),
        ("gemini", "gemini-2.5-pro", budget(500), of_tokens(500)),
        ("gemini", "gemini-3.1-pro", "medium", level("MEDIUM")),
        ("gemini", "gemini-3.6-flash", "minimal", level("MINIMAL")),
        ("gemini", "gemini-3.8-flash", "low", level("LOW")),
        ("gemini", "gemma-4-31b-it", "high", level("HIGH")),
        ("gemini", "gemini-2.0-flash", "none", {}),
        ("gemini", "gemini-3.8-flash", "default", {}),
        ("fireworks", FIREWORKS + "gpt-oss-120b", "high", {EFFORT: "high"}),
        ("fireworks", FIREWORKS + "qwen3-8b", budget(900), {EFFORT: 900}),
        ("fireworks", FIREWORKS + "glm-5p1", "medium", {EFFORT: "medium"}),
        ("fireworks", FIREWORKS + "deepseek-v4", "none", {EFFORT: "none"}),
        ("fireworks", FIREWORKS + "llama-v3p3-70b-instruct", "none", {}),
    ],
)  # fmt: skip
def test_what_a_provider_is_told(
    backend: str, model: str, reasoning: Reasoning, said: dict[str, Any]
) -> None:
    how = decoding(reasoning, stop=["."] if backend != "openai" else [])
    assert problems(backend, model, how) == []
    with running(SERVERS[backend]()) as server:
        server.models.setdefault(model, MODELS.get(backend, {}))
        asked(backend, server, model, how)
    (body,) = server.bodies
    told = body["generationConfig"] if backend == "gemini" else body
    plain = {"openai": "gpt-4.1", "anthropic": "claude-3-haiku", "gemini": "gemini-1.5-pro"}
    untold = capabilities(backend, plain.get(backend, "x")).names.values()
    more = {"model", "messages", "max_completion_tokens", "top_p", "top_k", *untold}
    assert {name: told[name] for name in told if name not in more | {"contents"}} == said
    longest = told[capabilities(backend, model).names["max_new_tokens"]]
    thinks = bool(said) and reasoning != "none"
    if reasoning != "default":
        assert longest == (8 + how.room if thinks else 8)
    assert sent(backend, model, how).parameters.items() <= told.items()


@pytest.mark.parametrize(
    ("backend", "model", "reasoning", "takes"),
    [
        ("openai", "gpt-4o", "low", "none, default"),
        ("openai", "gpt-6-astra", "none", "low, medium, high, default"),
        ("openai", "gpt-5", budget(100), "minimal, low, medium, high, default"),
        ("anthropic", "claude-opus-5-5", "none", "low, medium, high, default"),
        ("anthropic", "claude-haiku-4-5", "low", "none, default, budget_tokens"),
        ("anthropic", "claude-haiku-4-5", budget(100), "budget_tokens of 1,024 to 128,000"),
        ("gemini", "gemini-2.5-pro", "none", "minimal, low, medium, high, default, budget_tokens"),
        ("gemini", "gemini-3.6-flash", "none", "minimal, low, medium, high, default"),
        ("gemini", "gemma-4-31b-it", "low", "minimal, high, default"),
        ("fireworks", FIREWORKS + "glm-5p3", "none", "low, high, default"),
        ("fireworks", FIREWORKS + "kimi-k2-thinking", "low", "default"),
        ("ollama", "qwen3:8b", budget(100), "none, minimal, low, medium, high, default"),
    ],
)
def test_what_a_model_cannot_do_is_refused(
    backend: str, model: str, reasoning: Reasoning, takes: str
) -> None:
    (problem,) = problems(backend, model, decoding(reasoning, max_new_tokens=4000))
    assert f"takes {takes}" in problem


def test_a_temperature_is_not_sent_to_a_model_that_thinks() -> None:
    for backend, model in (("openai", "gpt-5.1"), ("anthropic", "claude-opus-4-6")):
        silent = sent(backend, model, decoding("none"))
        thinking = sent(backend, model, decoding("high"))
        assert silent.parameters["temperature"] == 0.5
        assert "temperature" not in thinking.parameters
        assert "while it thinks" in thinking.not_sent["temperature"]


def test_without_the_key_requests_and_digests_are_what_they_were() -> None:
    how = decoding(None, temperature=0.0)
    request = Request(
        custom_id="d|1|p|0.0|0|closed_book", dataset="d", item_id="1", prompt="p", temp="0.0",
        sample_index=0, type="closed_book", messages=MESSAGES, decoding=how,
    )  # fmt: skip
    assert "reasoning" not in how.model_dump()
    identity = {"engine": "openai", "endpoint": "/v1/chat/completions", "model": "gpt-4o"}
    # Computed by the version before there was a key.
    assert request_digest(identity, request) == (
        "e81cc50b0623bc696d6a0633a107e43071567888f24a6c93552df65c36887bfc"
    )
    assert sent("gemini", "gemini-3.8-flash", how).parameters == {
        "maxOutputTokens": 8,
        "thinkingConfig": {"thinkingLevel": "LOW"},
    }


# What comes back


def test_thoughts_are_kept_beside_the_answer_and_counted() -> None:
    reply = {
        "id": "1",
        "choices": [
            {
                "message": {"content": "Oslo", "reasoning_content": "Norway?"},
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 5,
            "completion_tokens": 9,
            "completion_tokens_details": {"reasoning_tokens": 7},
        },
    }
    answer = chat_answer("fireworks", reply, "", None)
    assert (answer.response_text, answer.thoughts) == ("Oslo", "Norway?")
    assert (answer.usage.completion_tokens, answer.usage.thought_tokens) == (9, 7)
    del reply["choices"][0]["message"]["reasoning_content"]  # type: ignore[index]
    silent = chat_answer("fireworks", reply, "", None)
    assert "thoughts" not in json.loads(silent.model_dump_json())
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]},
        {"type": "text", "text": "Oslo"},
    ]
    reply["choices"][0]["message"]["content"] = parts  # type: ignore[index]
    assert chat_answer("openai_compatible", reply, "", None).thoughts == "Hm."


@pytest.mark.parametrize(
    ("text", "thoughts", "answer"),
    [
        ("<think>\nHm.\n</think>\n\nOslo", "Hm.", "Oslo"),
        ("Hm.</think>Oslo", "Hm.", "Oslo"),
        ("<think>Hm", "Hm", ""),
        ("Oslo", None, "Oslo"),
    ],
)
def test_thoughts_in_tags(text: str, thoughts: str | None, answer: str) -> None:
    assert split_thoughts(text) == (thoughts, answer)


# Servers of one's own


@pytest.mark.parametrize(
    ("owner", "reasoning", "said"),
    [
        ("vllm", "none", {EFFORT: "none", "chat_template_kwargs": {"enable_thinking": False}}),
        ("llamacpp", budget(64),
         {"reasoning_budget_tokens": 64, "chat_template_kwargs": {"enable_thinking": True}}),
        ("someone", "high", {EFFORT: "high"}),
    ],
)  # fmt: skip
def test_what_a_server_of_ones_own_is_told(
    owner: str, reasoning: Reasoning, said: dict[str, Any]
) -> None:
    with running(CompatibleServer()) as server:
        server.models = {"tiny": {"owned_by": owner}}
        server.answer = lambda question: "<think>Hm.</think>Oslo"
        answer = asked("openai_compatible", server, "tiny", decoding(reasoning))
    body = server.bodies[-1]
    assert {name: body[name] for name in said} == said
    assert body["max_tokens"] == 8 + decoding(reasoning).room
    assert (answer.response_text, answer.thoughts) == ("Oslo", "Hm.")


def test_an_unknown_server_takes_no_budget() -> None:
    with running(CompatibleServer()) as server, pytest.raises(UserError, match="budget_tokens"):
        server.models = {"tiny": {"owned_by": "someone"}}
        asked("openai_compatible", server, "tiny", decoding(budget(64)))


@pytest.mark.parametrize(
    ("shown", "reasoning", "think"),
    [
        ({"capabilities": ["completion", "thinking"]}, "none", False),
        ({"capabilities": ["completion", "thinking"]}, "default", "absent"),
        ({"capabilities": ["completion"]}, "none", False),
        ({"details": {"family": "gptoss"}, "capabilities": ["completion", "thinking"]}, "low",
         "low"),
        ({"details": {"family": "gptoss"}, "capabilities": ["completion", "thinking"]}, "none",
         "takes low, medium, high, default"),
        ({"capabilities": ["completion", "thinking"]}, "high", "takes none, default"),
        ({"capabilities": ["completion"]}, "high", "takes none, default"),
    ],
)  # fmt: skip
def test_what_ollama_is_told(shown: dict[str, Any], reasoning: Reasoning, think: Any) -> None:
    with running(OllamaServer()) as server:
        server.shown, server.models = shown, {"tiny:latest": "sha256:1"}
        if isinstance(think, str) and think.startswith("takes"):
            with pytest.raises(UserError, match=think):
                asked("ollama", server, "tiny", decoding(reasoning))
            return
        asked("ollama", server, "tiny", decoding(reasoning))
    body = server.bodies[-1]
    assert body.get("think", "absent") == think
    assert body["options"]["num_predict"] == 8 + decoding(reasoning).room


# In this process


class _Model:
    """A model that thinks, and answers after the end of its thoughts."""

    def __init__(self, thoughts: str) -> None:
        self.thoughts = thoughts
        self.asked: list[Decoding] = []

    def tokenize(self, text: str, *, special: bool) -> list[int]:
        return list(text.encode())

    def submit(self, prompt: list[int], decoding: Decoding) -> Future[Generated]:
        self.asked.append(decoding)
        thought = "</think>" in bytes(prompt).decode()
        made: Future[Generated] = Future()
        made.set_result(Generated("Oslo" if thought else self.thoughts, "stop", 1, seconds=1.5))
        return made


@pytest.mark.parametrize(("thoughts", "kept"), [("<think>Hm.", "Hm."), ("Oslo", None)])
def test_llama_cpp_thinks_within_its_budget_and_answers_within_max_new_tokens(
    monkeypatch: pytest.MonkeyPatch, thoughts: str, kept: str | None
) -> None:
    template = "user:{{ messages[0].content }}{% if enable_thinking %}!{% endif %}"
    file = GgufFile(
        Path("x.gguf"), {"tokenizer.chat_template": template, "tokenizer.ggml.tokens": []}
    )
    model = _Model(thoughts)
    client = LlamaCppClient(
        BackendSettings(backend="local", local_engine="llama_cpp", local_model="x.gguf")
    )
    for name, value in {
        "_file": file, "_loaded": model, "_served_by": {}, "_model_digest": "d"
    }.items():  # fmt: skip
        monkeypatch.setattr(LlamaCppClient, name, value, raising=False)
    client._loaded = model
    answer = asyncio.run(client.generate(MESSAGES, decoding(budget(50), stop=["."])))
    assert (answer.response_text, answer.thoughts) == ("Oslo", kept)
    first, second = model.asked
    assert (first.max_new_tokens, first.stop) == (50, ["</think>"])
    assert (second.max_new_tokens, second.stop) == (8, ["."])
    used = len(f"{thoughts}</think>\n\n") if kept else None
    assert answer.usage.thought_tokens == used
    assert answer.latency_s == (3.0 if kept else 1.5)
    with pytest.raises(UserError, match="takes none, default, budget_tokens"):
        check_reasoning(file, "low")
    check_reasoning(file, "none")


# What each list of the contracts names


def test_gemini_s_lasting_errors_end_the_run() -> None:
    server = GeminiApi("http://x", timeout_s=1)
    violation = {"quotaId": "GenerateRequestsPerDayPerProjectPerModel"}
    used_up = {"error": {"status": "RESOURCE_EXHAUSTED", "details": [{"violations": [violation]}]}}
    with pytest.raises(UserError, match="quota of a day"):
        server.judge(429, used_up)
    no_tier = {"error": {"status": "FAILED_PRECONDITION", "message": "User location"}}
    with pytest.raises(UserError, match="User location"):
        server.judge(400, no_tier)
    minute = {"error": {"details": [{"violations": [{"quotaId": "PerMinute"}]}]}}
    assert server.judge(429, minute) == {}


def test_gemini_that_stops_before_the_first_token_is_asked_again() -> None:
    empty = {
        "candidates": [
            {"finishReason": "STOP", "content": {"parts": [{"text": "Hm", "thought": True}]}}
        ],
        "usageMetadata": {"promptTokenCount": 3, "thoughtsTokenCount": 5},
    }
    with pytest.raises(RequestError, match="before its first token") as caught:
        gemini_answer(empty, None, "")
    assert caught.value.retryable
    empty["usageMetadata"]["candidatesTokenCount"] = 1  # type: ignore[call-overload]
    answer = gemini_answer(empty, None, "")
    assert (answer.thoughts, answer.usage.thought_tokens) == ("Hm", 5)
    assert answer.usage.completion_tokens == 6


def test_openai_s_error_of_a_limit_that_thoughts_used_up_is_a_cut_off_answer() -> None:
    said = "Could not finish the message because max_tokens or model output limit was reached. P"
    body = {"error": {"message": said, "type": "invalid_request_error"}}
    line = {"custom_id": "a", "response": {"status_code": 400, "body": body}, "error": None}
    _, answer = batch_answer("openai", json.dumps(line).encode())
    assert isinstance(answer, Completion)
    assert (answer.response_text, answer.finish_reason) == ("", "length")


@pytest.mark.parametrize(
    ("model", "always", "room"),
    [
        ("deepseek-v4", "none", 0), ("glm-5p2", "none", 0), ("kimi-k3", "none", 0),
        ("qwen3p7-plus", "none", 0), ("minimax-m3", "none", 0), ("glm-5p3-flash", "low", 1024),
    ],
)  # fmt: skip
def test_fireworks_models_that_think_by_default_are_told_not_to(
    model: str, always: str, room: int
) -> None:
    row = capabilities("fireworks", FIREWORKS + model)
    assert (row.always[EFFORT], row.thinking_room) == (always, room)


def test_a_temperature_goes_out_where_it_is_taken_and_old_answers_do_not_count() -> None:
    for model in ("gpt-5.6-luna", "gpt-6-luna", "gpt-5.3-chat-latest"):
        assert sent("openai", model, decoding(None)).parameters["temperature"] == 0.5
        assert capabilities("openai", model).new_rules
    assert capabilities("gemini", "gemma-4-31b-it").always == {
        "thinkingConfig": {"thinkingLevel": "MINIMAL"}
    }


def test_what_anthropic_says_of_a_model_counts_before_any_job() -> None:
    async def check(server: Any, reasonings: list[Reasoning]) -> None:
        settings = BackendSettings(
            backend="anthropic", model_id="claude-sonnet-5", local_endpoint=server.url,
            reasonings=reasonings,
        )  # fmt: skip
        await make_client(settings).check()

    with running(AnthropicServer()) as server:
        asyncio.run(check(server, ["low", "high"]))
        server.models["claude-sonnet-5"] = Claude("none", ("adaptive",), thinks=True)
        with pytest.raises(UserError, match="refuses thinking of type disabled"):
            asyncio.run(check(server, []))
        types = ("adaptive", "disabled")
        server.models["claude-sonnet-5"] = Claude("none", types, thinks=True, efforts=("low",))
        asyncio.run(check(server, ["low", "none"]))
        with pytest.raises(UserError, match="refuses effort high, which reasoning high needs"):
            asyncio.run(check(server, ["low", "high"]))


# The axis

CONFIG: dict[str, Any] = {
    "experiment": "axis",
    "backend": "openai_compatible",
    "local_endpoint": "http://127.0.0.1:1",
    "model_id": "tiny-3m",
    "datasets": {
        "demo_closed": {
            "format": "jsonl", "path": "resources/demo/closed_book.jsonl", "task": "closed_book",
        }
    },
    "limit_items": 3,
    "max_failure_share": 0,
    "arms": {"deep": {"system": "control", "reasoning": "low"}},
    "prompt_sets": {"depth": {"control": "control", "treatment": "deep"}},
}  # fmt: skip


def written(project: Project, **changes: Any) -> Path:
    path = project.root / "config/axis.yaml"
    path.write_text(yaml.safe_dump({**CONFIG, **changes}), encoding="utf-8")
    return path


def test_backends_sweeps_and_arms_have_it(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project.root)
    one = {"backend": "openai", "model_id": "gpt-5.1", "reasoning": "medium"}
    two = {"backend": "anthropic", "model_id": "claude-haiku-4-5"}
    config = read_config(
        written(
            project,
            backends={"one": one, "two": two},
            arms={
                "deep": {
                    "system": "control",
                    "reasoning": {"budget_tokens": 2000},
                    "backend": "two",
                }
            },
        )
    )
    made = {each.backend: each for each in trials(config)}
    assert made["one"].decoding_name == "reasoning_medium"
    assert made["one"].arms["treatment"].decoding_name == "reasoning_2000_tokens"
    assert made["two"].arms["control"].decoding.reasoning is None
    swept = read_config(
        written(
            project, backend="openai", model_id="gpt-5.1", local_endpoint=None,
            sweep={"reasoning": ["none", "high"]},
        )
    )  # fmt: skip
    names = [each.decoding_name for each in trials(swept)]
    assert names == ["reasoning_none", "reasoning_high"]
    assert not left_out(swept)
    same = {"deep": {"system": "control", "reasoning": "none"}}
    with pytest.raises(UserError, match="nothing that is sent differs"):
        read_config(written(project, backend="openai", model_id="gpt-5.1", arms=same))
    with pytest.raises(
        UserError, match=r"line \d+: arms.deep.reasoning: gpt-4o cannot do reasoning low"
    ):
        read_config(written(project, backend="openai", model_id="gpt-4o"))


def test_an_edited_arm_backend_or_sweep_is_asked_alone(project: Project) -> None:
    def run(**changes: Any) -> Counter[tuple[str, str | None]]:
        """What the server hears of a run with the changed config, by model and effort."""
        edited = {"backends": {"one": one, "two": two}, **changes}
        written(project, local_endpoint=server.url, **edited)
        before = len(server.bodies)
        project.snakemake("--cores", "2", "--configfile", "config/axis.yaml", "--until", "parse")
        return Counter((body["model"], body.get(EFFORT)) for body in server.bodies[before:])

    one, two = {"model_id": "tiny-3m"}, {"model_id": "other"}
    arms = {"deep": {"system": "control", "reasoning": "medium"}}

    message = {"role": "assistant", "content": "Oslo", "reasoning_content": "Norway?"}
    with running(CompatibleServer()) as server:
        server.choice = {"message": message}
        server.models["tiny-3m"]["max_model_len"] = 65_536
        assert run() == {
            (model, effort): 3 for model in ("tiny-3m", "other") for effort in (None, "low")
        }
        assert run(arms=arms) == {("tiny-3m", "medium"): 3, ("other", "medium"): 3}
        one["reasoning"] = "high"
        assert run(arms=arms) == {("tiny-3m", "high"): 3}
        del one["reasoning"]
        sweep = {"reasoning": ["high", "minimal"]}  # of `one`, "high" was answered
        assert run(arms=arms, sweep=sweep) == {
            ("tiny-3m", "minimal"): 3, ("other", "high"): 3, ("other", "minimal"): 3
        }  # fmt: skip
    (raw,) = project.root.glob("results/axis/*/tiny-3m/reasoning_medium/raw/*.jsonl")
    assert {line.thoughts for line in read_jsonl(raw, RawLine)} == {"Norway?"}
    (rows,) = project.root.glob("results/axis/*/tiny-3m/default/depth/answers.csv")
    assert {row.response_text for row in read_csv(rows, Answer)} == {"Oslo"}
