"""What the answers of a trial cost, by condition: costs.json."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..answers.ledger import Ledger
from ..answers.parts import TrialParts
from ..backends.prices import Quote
from ..backends.tokens import Counter, counter
from ..core.errors import command
from ..core.from_settings import write_from_settings
from ..core.records import Message, RawLine, Request, Usage
from .settings import TrialCostSettings

SCHEMA_VERSION = 1


@dataclass
class Tokens:
    """One kind of tokens: those that the engine counted, and those that were estimated."""

    engine: int = 0
    estimate: int = 0


@dataclass
class ArmCosts:
    """What the answers of one arm took.

    ``answers`` are the different ones: of equal requests one is sent and paid for. Those are told
    by their requests' digests; ``unidentified`` answers, of versions before 0.2, have none and
    count one by one. What requests without an answer may have cost is in the ledger alone.
    """

    requests: int = 0
    answers: int = 0
    unidentified: int = 0
    from_batch_jobs: int = 0
    prompt: Tokens = field(default_factory=Tokens)
    completion: Tokens = field(default_factory=Tokens)
    cached: int | None = None
    usd: list[float] = field(default_factory=list)

    def as_json(self, quote: Quote | None, count: Callable[[], Counter]) -> dict[str, Any]:
        """The arm's block in costs.json."""
        estimated = self.prompt.estimate or self.completion.estimate
        return {
            "requests": self.requests,
            "answers": self.answers,
            "unidentified": self.unidentified,
            "from_batch_jobs": self.from_batch_jobs,
            "prompt_tokens": vars(self.prompt),
            "completion_tokens": vars(self.completion),
            "cached_tokens": self.cached,
            "estimated_by": count().method if estimated else None,
            "cost_usd": None if quote is None else round(math.fsum(self.usd), 10),
        }


class Prompts:
    """The chats of a trial's requests, read only where an engine did not count their tokens."""

    def __init__(self, parts: TrialParts) -> None:
        self._parts = parts
        self._read: dict[str, dict[str, list[Message]]] = {}

    def of(self, condition: str, custom_id: str) -> list[Message]:
        """What was asked under a condition."""
        if condition not in self._read:
            self._read = {  # one arm at a time is held in memory
                condition: {
                    request.custom_id: request.messages
                    for request in self._parts.arms[condition].requests(Request)
                }
            }
        return self._read[condition][custom_id]


def arm_costs(
    condition: str,
    lines: Iterable[RawLine],
    quote: Quote | None,
    prompts: Prompts,
    count: Callable[[], Counter],
) -> ArmCosts:
    """Add up one arm's raw lines.

    A line knows by itself whether it came from a batch job: a journal may hold answers of both
    kinds, whatever the config says now.

    Args:
        condition: the arm.
        lines: its raw lines.
        quote: the price of the model, if one is known.
        prompts: what was asked.
        count: gives a counter for what the engine did not count.
    """
    costs = ArmCosts()
    seen: set[str] = set()
    for line in lines:
        costs.requests += 1
        answer = line.request_digest or line.custom_id
        if line.error is not None or answer in seen:
            continue
        seen.add(answer)
        costs.answers += 1
        costs.unidentified += line.request_digest is None
        costs.from_batch_jobs += line.from_batch_job
        given = line.usage or Usage()
        prompt, completion = given.prompt_tokens, given.completion_tokens
        if prompt is None:
            prompt = count().prompt(prompts.of(condition, line.custom_id))
            costs.prompt.estimate += prompt
        else:
            costs.prompt.engine += prompt
        if completion is None:
            completion = count().text(line.response_text or "")
            costs.completion.estimate += completion
        else:
            costs.completion.engine += completion
        if given.cached_tokens is not None:
            costs.cached = (costs.cached or 0) + given.cached_tokens
        if quote is not None:
            counted = given.model_copy(
                update={"prompt_tokens": prompt, "completion_tokens": completion}
            )
            costs.usd.append(quote.usd_of(counted, batch=line.from_batch_job) or 0.0)
    return costs


def trial_costs(settings: TrialCostSettings) -> dict[str, Any]:
    """The whole of costs.json."""
    quote = settings.quote
    prompts = Prompts(settings.parts)

    @functools.cache
    def count() -> Counter:
        return counter(settings.tokenizer)

    arms = {
        condition: arm_costs(condition, arm.raw_lines(), quote, prompts, count).as_json(
            quote, count
        )
        for condition, arm in settings.parts.arms.items()
    }
    total = None if quote is None else round(sum(arm["cost_usd"] for arm in arms.values()), 10)
    return {
        "schema_version": SCHEMA_VERSION,
        "model": settings.model,
        "price": None if quote is None else quote.model_dump(mode="json"),
        "note": settings.note,
        "by_condition": arms,
        "cost_usd": total,
        "experiment": vars(Ledger(Path(settings.spending_folder)).spent()),
    }


@command
def main() -> None:
    """Write costs.json of one trial."""
    write_from_settings(
        main.__doc__,
        TrialCostSettings,
        trial_costs,
        lambda settings: settings.parts.input_files() + settings.parts.raw_files(),
    )


if __name__ == "__main__":
    main()
