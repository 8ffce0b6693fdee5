"""Which decoding parameters each backend's models take, and under which names.

What a model does not take is not sent, and the plan (`plan.json`) says so; nothing is dropped in
silence. Sources: the providers' API references and SDKs, named at each row.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..core.records import Decoding

_DEFAULT_TEMPERATURE = 1.0  # of the providers whose rows have ``one_of``

PARAMETERS = ("temperature", "max_new_tokens", "top_p", "top_k", "stop", "seed")


@dataclass(frozen=True)
class Capabilities:
    """One row: the models of an engine whose id matches ``models``.

    ``names`` maps our parameter to the provider's; ``dropped`` maps it to why it is not sent.
    Every parameter stands in exactly one of them. Of the stop texts, the first ``most_stops`` are
    sent, without those of white space alone unless ``blank_stops``; where the client itself
    ``cuts_at_further_stops``, the others end an answer all the same. Of the parameters in
    ``one_of``, only the first that is set goes out, or the other one where the temperature is the
    provider's default anyway.

    ``always`` goes out with every request: it turns thinking off, or down where it cannot be
    turned off. Models that think all the same need ``thinking_room`` tokens, which count towards
    ``max_new_tokens``.
    """

    engine: str
    models: str
    names: Mapping[str, str]
    dropped: Mapping[str, str] = field(default_factory=dict)
    most_stops: int | None = None
    cuts_at_further_stops: bool = False
    blank_stops: bool = True
    one_of: tuple[str, ...] = ()
    highest_temperature: float = 2.0
    always: Mapping[str, Any] = field(default_factory=dict)
    thinking_room: int = 0

    def __post_init__(self) -> None:
        told = [*self.names, *self.dropped]
        # A row that is wrong is our mistake, and no test can be run before it is mended.
        assert sorted(told) == sorted(PARAMETERS), (self.engine, self.models)  # noqa: S101


_CHAT_COMPLETIONS = {
    "temperature": "temperature",
    "max_new_tokens": "max_tokens",
    "top_p": "top_p",
    "top_k": "top_k",
    "stop": "stop",
    "seed": "seed",
}

_OPENAI = {
    "temperature": "temperature",
    "max_new_tokens": "max_completion_tokens",
    "top_p": "top_p",
    "stop": "stop",
    "seed": "seed",
}
_NO_TOP_K = {"top_k": "OpenAI has no such parameter"}
_NO_STOPS = {"stop": "OpenAI's reasoning models take no stop texts"}
_UNSAMPLED = dict.fromkeys(
    ("temperature", "top_p"), "this model takes no sampling parameters; it samples at temperature 1"
)

_ANTHROPIC = {
    "temperature": "temperature",
    "max_new_tokens": "max_tokens",
    "top_p": "top_p",
    "top_k": "top_k",
    "stop": "stop_sequences",
}
_ANTHROPIC_UNSAMPLED = {"max_new_tokens": "max_tokens", "stop": "stop_sequences"}
_NO_SEED = {"seed": "Anthropic's API has no seed"}
_ANTHROPIC_DROPPED = _NO_SEED | dict.fromkeys(
    ("temperature", "top_p", "top_k"),
    "this model takes no sampling parameters; it samples at temperature 1",
)

_GEMINI = {
    "temperature": "temperature",
    "max_new_tokens": "maxOutputTokens",
    "top_p": "topP",
    "top_k": "topK",
    "stop": "stopSequences",
    "seed": "seed",
}
_GEMINI_UNSAMPLED = {
    name: _GEMINI[name] for name in PARAMETERS if name not in ("temperature", "top_p", "top_k")
}
_GEMINI_DROPPED = dict.fromkeys(
    ("temperature", "top_p", "top_k"),
    "this model ignores sampling parameters, which are deprecated; it samples at temperature 1",
)


def _claude(models: str, *, sampled: bool = False, **more: Any) -> Capabilities:
    return Capabilities(
        "anthropic",
        models,
        _ANTHROPIC if sampled else _ANTHROPIC_UNSAMPLED,
        _NO_SEED if sampled else _ANTHROPIC_DROPPED,
        blank_stops=False,
        highest_temperature=1.0,
        **more,
    )


def _gemini(
    models: str, *, sampled: bool = True, thinking: Mapping[str, Any] | None = None, room: int = 0
) -> Capabilities:
    return Capabilities(
        "gemini",
        models,
        _GEMINI if sampled else _GEMINI_UNSAMPLED,
        {} if sampled else _GEMINI_DROPPED,
        always={"thinkingConfig": thinking} if thinking else {},
        thinking_room=room,
        most_stops=5,
    )


_ALWAYS_THINKS = 1024
"""Room for the thoughts of models that decide for themselves how much to think."""


def _reasoning(
    models: str, effort: str | None = None, *, sampled: bool = False, room: int = 0
) -> Capabilities:
    refused = _NO_STOPS if sampled else {**_NO_STOPS, **_UNSAMPLED}
    return Capabilities(
        "openai",
        models,
        {name: theirs for name, theirs in _OPENAI.items() if name not in refused},
        {**_NO_TOP_K, **refused},
        always={"reasoning_effort": effort} if effort else {},
        thinking_room=room,
    )


def _fireworks(models: str, effort: str | None = None, *, room: int = 0) -> Capabilities:
    return Capabilities(
        "fireworks",
        models,
        _CHAT_COMPLETIONS,
        most_stops=4,
        always={"reasoning_effort": effort} if effort else {},
        thinking_room=room,
    )


TABLE = (
    Capabilities(
        "ollama",
        ".*",
        {**_CHAT_COMPLETIONS, "max_new_tokens": "num_predict"},
    ),
    # vLLM takes 4 stop texts (VLLM_MAX_STOP_STRINGS), as OpenAI, OpenRouter, Groq and others do.
    Capabilities(
        "openai_compatible", ".*", _CHAT_COMPLETIONS, most_stops=4, cuts_at_further_stops=True
    ),
    # developers.openai.com/api/docs: the pages of the models (their reasoning efforts), "Parameter
    # compatibility" in the guides to GPT-5.1, 5.2, 5.4 and 6 (sampling); openai 3.52 (the rest).
    Capabilities("openai", "gpt-5-chat-latest", _OPENAI, _NO_TOP_K, most_stops=4),
    _reasoning(r"gpt-5\.[124](-mini|-nano)?(-\d{4}.*)?", "none", sampled=True),
    _reasoning(r"gpt-(5\.5|5\.6(-\w+)?|6-(sol|luna))(-\d{4}.*)?", "none"),
    _reasoning(r"gpt-5(-mini|-nano)?(-\d{4}.*)?", "minimal", room=256),
    _reasoning(r"gpt-6.*|(ft:)?o\d.*", "low", room=_ALWAYS_THINKS),
    _reasoning(r"gpt-([5-9]|\d\d).*", room=_ALWAYS_THINKS),  # and what comes next
    Capabilities("openai", ".*", _OPENAI, _NO_TOP_K, most_stops=4),
    # fireworks-ai 1.2.28, completion_create_params: "reasoning_effort", "stop", "top_k".
    _fireworks(r".*/(gpt-oss|minimax-m2).*", "low", room=_ALWAYS_THINKS),
    _fireworks(r".*/(qwen3-\d+b(-a\d+b)?|deepseek-v3p[12]|glm-4p[567](-air)?)", "none"),
    _fireworks(r".*/(deepseek-r1|.*thinking).*", room=_ALWAYS_THINKS),
    _fireworks(".*"),
    Capabilities("llama_cpp", ".*", {name: name for name in PARAMETERS}),
    # platform.claude.com/docs: migration guides of each model, and "Thinking"; API versions.
    _claude(
        r"claude-(sonnet-5|opus-5|haiku-5-5)(-\d{8})?", always={"thinking": {"type": "disabled"}}
    ),
    _claude(r"claude-sonnet-5-5(-\d{8})?", always={"thinking": {"type": "between_tools"}}),
    _claude(r"claude-opus-4-[78](-\d{8})?"),
    _claude(
        r"claude-(opus-4-[156]|sonnet-4-[56]|haiku-4-5)(-\d{8})?",
        sampled=True,
        one_of=("temperature", "top_p"),
    ),
    _claude(r"claude-([123][-.].*|instant.*|(opus|sonnet)-4-(0|\d{8}))", sampled=True),
    _claude(".*", thinking_room=_ALWAYS_THINKS),  # Opus 5.5, Fable, Mythos, and what comes next
    # ai.google.dev/gemini-api/docs: "Thinking", and what is new in each model since 3.5.
    _gemini(r"gemini-2\.5-flash.*", thinking={"thinkingBudget": 0}),
    _gemini(r"gemini-2\.5-pro.*", thinking={"thinkingBudget": 128}, room=256),
    _gemini(r"(gemini-(1|2\.0)|gemma|learnlm).*"),
    _gemini(r"gemini-3(\.1)?-pro.*", thinking={"thinkingLevel": "LOW"}, room=_ALWAYS_THINKS),
    _gemini(
        r"gemini-3(\.1)?-flash.*|gemini-3\.5-flash(?!-lite).*",
        thinking={"thinkingLevel": "MINIMAL"},
    ),
    _gemini(
        r"gemini-3\.(5-flash-lite|6-flash).*",
        sampled=False,
        thinking={"thinkingLevel": "MINIMAL"},
    ),
    _gemini(".*", sampled=False, thinking={"thinkingLevel": "LOW"}, room=_ALWAYS_THINKS),
)
"""The first row that matches an engine and a model holds."""


def capabilities(engine: str, model: str) -> Capabilities:
    """The row of a model."""
    return next(
        row for row in TABLE if row.engine == engine and re.fullmatch(row.models, model, re.DOTALL)
    )


def parameters(engine: str, model: str, decoding: Decoding) -> dict[str, Any]:
    """The decoding parameters as the model's provider names them, without what it does not take.

    Parameters that are off (``None``, no stop texts) are left out.
    """
    row = capabilities(engine, model)
    values = _sendable(row, decoding)
    return {
        theirs: values[ours] for ours, theirs in row.names.items() if values[ours] not in (None, [])
    }


def dropped(engine: str, model: str, decoding: Decoding) -> dict[str, str]:
    """The parameters that are set but not sent, or not as they are, each with the reason."""
    row = capabilities(engine, model)
    given, sent = decoding.model_dump(), _sendable(row, decoding)
    reasons = {
        name: reason
        for name, reason in row.dropped.items()
        if given[name] not in (None, []) and not (name == "seed" and given["temperature"] == 0)
    }
    for name in row.one_of:
        if sent[name] is None and given[name] not in (None, _DEFAULT_TEMPERATURE):
            reasons[name] = f"this model takes only one of {' and '.join(row.one_of)}"
    if "stop" in row.names:
        stops, told = _stops(row, decoding), []
        if len(stops) < len(decoding.stop):
            told.append("texts of white space alone are not sent; this provider refuses them")
        if len(sent["stop"]) < len(stops):
            rest = "at others Assay cuts" if row.cuts_at_further_stops else "more are not taken"
            told.append(f"only the first {row.most_stops} texts are sent; {rest}")
        if told:
            reasons["stop"] = "; ".join(told)
    return reasons


def problems(engine: str, model: str, decoding: Decoding) -> list[str]:
    """What of the decoding the model cannot do, with the remedy; to be told before any job."""
    row = capabilities(engine, model)
    found = []
    if "temperature" in row.names and decoding.temperature > row.highest_temperature:
        found.append(
            f"temperature {decoding.temperature:g} is more than {model} takes: "
            f"{row.highest_temperature:g} at most"
        )
    if decoding.max_new_tokens < row.thinking_room:
        found.append(
            f"{model} thinks before it answers, which cannot be turned off, and its thoughts count "
            f"towards max_new_tokens: {decoding.max_new_tokens} leave no room for an answer. Set "
            f"max_new_tokens to {row.thinking_room} or more (only what is used is paid for), or "
            "take a model that can do without thinking"
        )
    return found


def _sendable(row: Capabilities, decoding: Decoding) -> dict[str, Any]:
    """The parameters without values that the model does not take."""
    values = decoding.model_dump()
    values["stop"] = _stops(row, decoding)[: row.most_stops]
    rivals = [name for name in row.one_of if values[name] is not None]
    if len(rivals) > 1 and values["temperature"] == _DEFAULT_TEMPERATURE:
        rivals.remove("temperature")  # it holds without being sent
        values["temperature"] = None
    for name in rivals[1:]:
        values[name] = None
    return values


def _stops(row: Capabilities, decoding: Decoding) -> list[str]:
    return [text for text in decoding.stop if row.blank_stops or text.strip()]
