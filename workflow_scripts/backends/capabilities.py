"""Which decoding parameters a backend's models take, and under which names.

What a model does not take is not sent, and the plan (`plan.json`) says so; nothing is dropped in
silence. The rows stand with each backend's declaration, with their sources.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import Field

from ..core.errors import UserError
from ..core.records import Decoding, Reasoning, Record, ThinkingBudget
from .servers import server_of, with_omissions
from .shape import Shape
from .table import BACKENDS

_DEFAULT_TEMPERATURE = 1.0  # of the providers whose rows have ``one_of``

PARAMETERS = ("temperature", "max_new_tokens", "top_p", "top_k", "stop", "seed")

ALWAYS_THINKS = 1024
"""Room for the thoughts of models that decide for themselves how much to think."""

CHAT_COMPLETIONS: Mapping[str, str] = {
    "temperature": "temperature",
    "max_new_tokens": "max_tokens",
    "top_p": "top_p",
    "top_k": "top_k",
    "stop": "stop",
    "seed": "seed",
}
"""The names of OpenAI's chat completions, as other providers and servers have them."""


LOGPROBS: Mapping[str, Any] = {"logprobs": True}
"""How OpenAI's chat completions and Ollama are asked for log-probabilities."""

ANY_EFFORT: Mapping[str, Mapping[str, Any]] = {
    effort: {} for effort in ("none", "minimal", "low", "medium", "high")
}
"""For servers of which only the client knows what a model takes, and how it is told."""


@dataclass(frozen=True)
class Capabilities:
    """One row: the models of a backend whose id matches ``models``.

    ``names`` maps our parameter to the provider's; ``dropped`` maps it to why it is not sent.
    Every parameter stands in exactly one of them. Of the stop texts, the first ``most_stops`` are
    sent, without those of white space alone unless ``blank_stops``; where the client itself
    ``cuts_at_further_stops``, the others end an answer all the same. Of the parameters in
    ``one_of``, only the first that is set goes out, or the other one where the temperature is the
    provider's default anyway.

    ``always`` goes out with every request that has no ``reasoning``: it turns thinking off, or down
    where it cannot be turned off. Models that think all the same need ``thinking_room`` tokens,
    which count towards ``max_new_tokens``.

    ``efforts`` is what goes out for each ``reasoning`` that the models take, and ``budget`` for a
    number of tokens from the first to the last of ``budgets``. ``unsampled`` parameters are not
    taken by a model that thinks. ``new_rules`` is part of the identity: what of a request is sent
    otherwise than by earlier versions. ``logprobs`` is what goes out where log-probabilities are
    asked for; empty where the models report none.
    """

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
    efforts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    budget: Callable[[int], Mapping[str, Any]] | None = None
    budgets: tuple[int, int] = (1, 10**9)
    unsampled: tuple[str, ...] = ()
    new_rules: Mapping[str, str] = field(default_factory=dict)
    logprobs: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if sorted([*self.names, *self.dropped]) != sorted(PARAMETERS):
            raise ValueError(
                f"the row of the models {self.models!r}: each of {', '.join(PARAMETERS)} must be "
                "either in names or in dropped"
            )


_AS_IT_IS = Shape()


def capabilities(engine: str, model: str, shape: Shape = _AS_IT_IS) -> Capabilities:
    """The row of a model, the first of its backend's that matches, with the config's changes."""
    rows = BACKENDS[engine].rows
    row = next(row for row in rows if re.fullmatch(row.models, model, re.DOTALL))
    if not shape.omit and not shape.rename:
        return row
    renamed: dict[str, str] = dict(shape.rename.items())
    names = {ours: renamed.get(name, name) for ours, name in row.names.items()}
    left_out: set[str] = {*shape.omit}
    omitted = dict.fromkeys(names.keys() & left_out, "the config omits it (omit)")
    kept = {ours: theirs for ours, theirs in names.items() if ours not in omitted}
    return replace(row, names=kept, dropped={**row.dropped, **omitted})


def thinking(engine: str, model: str, decoding: Decoding) -> dict[str, Any]:
    """What of a request's body turns thinking on, off, up or down.

    Raises:
        UserError: the model cannot do it.
    """
    row, asked = capabilities(engine, model), decoding.reasoning
    if asked is not None and (problem := _reasoning_problem(row, model, asked)):
        raise UserError(problem)
    return _thinking(row, asked)


def _thinking(row: Capabilities, asked: Reasoning | None) -> dict[str, Any]:
    """The same of a row; nothing for what the models cannot do."""
    if asked is None:
        return dict(row.always)
    if isinstance(asked, ThinkingBudget):
        return dict(row.budget(asked.budget_tokens)) if row.budget else {}
    return dict(row.efforts.get(asked, {}))


def logprobs(engine: str, model: str, decoding: Decoding) -> dict[str, Any]:
    """What of a request's body asks for log-probabilities; nothing where they are not wanted."""
    return dict(capabilities(engine, model).logprobs) if decoding.logprobs else {}


def takes_temperature(
    engine: str, model: str, reasoning: Reasoning | None, shape: Shape = _AS_IT_IS
) -> bool:
    """Whether a model takes a temperature, with this reasoning."""
    row = capabilities(engine, model, shape)
    return "temperature" in row.names and not (
        "temperature" in row.unsampled and _thinks(row, reasoning)
    )


def _thinks(row: Capabilities, reasoning: Reasoning | None) -> bool:
    """Whether a model may be thinking because of ``reasoning``."""
    return reasoning not in (None, "none") and _can_think(row)


def _can_think(row: Capabilities) -> bool:
    return bool(row.efforts.keys() - {"none"} or row.budget or row.thinking_room)


def _reasoning_problem(row: Capabilities, model: str, asked: Reasoning) -> str | None:
    """Why a model cannot do what is asked, and what it can."""
    if asked == "default":
        return None
    if isinstance(asked, ThinkingBudget):
        least, most = row.budgets
        if row.budget is not None and least <= asked.budget_tokens <= most:
            return None
        limits = f" of {least:,} to {most:,}" if row.budget else ""
    elif asked in row.efforts:
        return None
    takes = [*row.efforts, "default", *(["budget_tokens"] if row.budget else [])]
    if isinstance(asked, ThinkingBudget) and row.budget:
        return f"{model} takes budget_tokens{limits}, not {asked.budget_tokens:,}"
    if isinstance(asked, ThinkingBudget):
        asked_for = f"budget_tokens: {asked.budget_tokens}"
    else:
        asked_for = asked
    return f"{model} cannot do reasoning {asked_for}; it takes {', '.join(takes)}"


def parameters(
    engine: str, model: str, decoding: Decoding, shape: Shape = _AS_IT_IS
) -> dict[str, Any]:
    """The decoding parameters as the model's provider names them, without what it does not take.

    Parameters that are off (``None``, no stop texts) are left out.
    """
    names = capabilities(engine, model, shape).names
    values = sent_values(engine, model, decoding, shape)
    return {names[ours]: value for ours, value in values.items()}


def sent_values(
    engine: str, model: str, decoding: Decoding, shape: Shape = _AS_IT_IS
) -> dict[str, Any]:
    """The same by our own names."""
    row = capabilities(engine, model, shape)
    values = _sendable(row, decoding)
    return {ours: values[ours] for ours in row.names if values[ours] not in (None, [])}


def dropped(
    engine: str, model: str, decoding: Decoding, shape: Shape = _AS_IT_IS
) -> dict[str, str]:
    """The parameters that are set but not sent, or not as they are, each with the reason."""
    row = capabilities(engine, model, shape)
    given, sent = decoding.model_dump(), _sendable(row, decoding)
    reasons = {
        name: reason
        for name, reason in row.dropped.items()
        if given[name] not in (None, []) and not (name == "seed" and given["temperature"] == 0)
    }
    if _thinks(row, decoding.reasoning):
        reasons |= {
            name: "this model does not take it while it thinks; it samples at temperature 1"
            for name in row.unsampled
            if name in row.names and given[name] not in (None, [])
        }
    for name in row.one_of:
        if (
            name not in reasons
            and sent[name] is None
            and given[name] not in (None, _DEFAULT_TEMPERATURE)
        ):
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


class Sent(Record):
    """What requests say about decoding. The seed is left out: each request has one of its own.

    ``parameters`` have the provider's names, with what turns thinking off or down. ``not_sent``:
    the parameters that are set but not sent, or not as they are, each with the reason.
    """

    parameters: dict[str, Any]
    not_sent: dict[str, str] = Field(default_factory=dict)


def sent(
    engine: str,
    model: str,
    decoding: Decoding,
    shape: Shape = _AS_IT_IS,
    identity: Mapping[str, str] | None = None,
) -> Sent:
    """Return what a request of a model says about decoding.

    Args:
        engine: the backend.
        model: its name of the model.
        decoding: of the request.
        shape: what the config changes of requests.
        identity: who answers, where it is known. Some servers are sent more or less because of
            what they report about themselves.
    """
    also: Mapping[str, Any] = {}
    if identity is not None:
        shape = with_omissions(shape, server_of(identity))
        told = BACKENDS[engine].also_sent
        also = told(identity, decoding) if told else {}
    row = capabilities(engine, model, shape)
    given = parameters(engine, model, decoding, shape)
    asked = {**_thinking(row, decoding.reasoning), **logprobs(engine, model, decoding)}
    said = {**also, **shape.extra_body, **given, **asked}
    said.pop(row.names.get("seed", ""), None)
    return Sent(parameters=said, not_sent=dropped(engine, model, decoding, shape))


def problems(engine: str, model: str, decoding: Decoding) -> list[str]:
    """What of the decoding the model cannot do, with the remedy; to be told before any job."""
    row = capabilities(engine, model)
    found = []
    if "temperature" in row.names and decoding.temperature > row.highest_temperature:
        found.append(
            f"temperature {decoding.temperature:g} is more than {model} takes: "
            f"{row.highest_temperature:g} at most"
        )
    if decoding.reasoning is not None:
        problem = _reasoning_problem(row, model, decoding.reasoning)
        found += [problem] if problem else []
    elif decoding.max_new_tokens < row.thinking_room:
        found.append(
            f"{model} thinks before it answers, which cannot be turned off, and its thoughts count "
            f"towards max_new_tokens: {decoding.max_new_tokens} leave no room for an answer. Set "
            f"max_new_tokens to {row.thinking_room} or more (only what is used is paid for), or "
            "reasoning, which leaves room for thoughts beside max_new_tokens, or take a model that "
            "can do without thinking"
        )
    if decoding.logprobs and not row.logprobs:
        found.append(f"{model} reports no log-probabilities. Set logprobs: false")
    elif decoding.logprobs and row.unsampled and _thinks(row, decoding.reasoning):
        found.append(
            f"{model} reports no log-probabilities while it thinks. Set logprobs: false, or "
            "reasoning: none"
        )
    return found


def _sendable(row: Capabilities, decoding: Decoding) -> dict[str, Any]:
    """The parameters without values that the model does not take."""
    values = decoding.model_dump()
    values["stop"] = _stops(row, decoding)[: row.most_stops]
    if _can_think(row):
        values["max_new_tokens"] = decoding.most_tokens
    if _thinks(row, decoding.reasoning):
        values |= dict.fromkeys(row.unsampled)
    rivals = [name for name in row.one_of if values[name] is not None]
    if len(rivals) > 1 and values["temperature"] == _DEFAULT_TEMPERATURE:
        rivals.remove("temperature")  # it holds without being sent
        values["temperature"] = None
    for name in rivals[1:]:
        values[name] = None
    return values


def _stops(row: Capabilities, decoding: Decoding) -> list[str]:
    return [text for text in decoding.stop if row.blank_stops or text.strip()]
