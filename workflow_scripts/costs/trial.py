"""What the answers of a trial took, by condition: costs.json, local_costs.json and audit.json."""

from __future__ import annotations

import argparse
import functools
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Any

from ..answers.ledger import Ledger
from ..answers.parts import ArmParts
from ..backends.prices import Quote
from ..backends.tokens import Counter, counter
from ..core.errors import command
from ..core.files import read_csv, read_settings, write_json
from ..core.records import Answer, Message, Request
from ..core.seals import SealWriter, add_seal_argument
from .audit import Counters, audit
from .local import local_costs
from .settings import TrialCostSettings

SCHEMA_VERSION = 2


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
        """What costs.json says of the arm's answers."""
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
    """The chats of an arm's requests, read only where an engine did not count their tokens."""

    def __init__(self, condition: str, parts: ArmParts) -> None:
        self._condition = condition
        self._parts = parts

    @functools.cached_property
    def of(self) -> dict[str, list[Message]]:
        """What was asked, by the custom_id of the trial's row."""
        requests = self._parts.requests(Request)
        return {request.named(self._condition): request.messages for request in requests}


def arm_costs(
    answers: Iterable[Answer], quote: Quote | None, prompts: Prompts, count: Callable[[], Counter]
) -> ArmCosts:
    """Add up one arm's answers.

    An answer knows by itself whether it came from a batch job: a journal may hold answers of both
    kinds, whatever the config says now.

    Args:
        answers: all requests of the arm.
        quote: the price of the arm's model, if one is known.
        prompts: what was asked.
        count: gives a counter for what the engine did not count.
    """
    costs = ArmCosts()
    seen: set[str] = set()
    for answer in answers:
        costs.requests += 1
        identity = answer.request_digest or answer.custom_id
        if answer.failed or identity in seen:
            continue
        seen.add(identity)
        costs.answers += 1
        costs.unidentified += answer.request_digest is None
        costs.from_batch_jobs += answer.from_batch_job
        prompt, completion = answer.prompt_tokens, answer.completion_tokens
        if prompt is None:
            prompt = count().prompt(prompts.of[answer.custom_id])
            costs.prompt.estimate += prompt
        else:
            costs.prompt.engine += prompt
        if completion is None:
            completion = count().text(answer.response_text)
            costs.completion.estimate += completion
        else:
            costs.completion.engine += completion
        if answer.cached_tokens is not None:
            costs.cached = (costs.cached or 0) + answer.cached_tokens
        if quote is not None:
            counted = answer.usage.model_copy(
                update={"prompt_tokens": prompt, "completion_tokens": completion}
            )
            costs.usd.append(quote.usd_of(counted, batch=answer.from_batch_job) or 0.0)
    return costs


def imported_costs(answers: Iterable[Answer]) -> ArmCosts:
    """Add up the tokens that a file of answers has.

    Where it has none, they are not estimated: what was asked is not known.
    """
    costs = ArmCosts()
    for answer in answers:
        costs.requests += 1
        if not answer.failed:
            costs.answers += 1
            costs.prompt.engine += answer.prompt_tokens or 0
            costs.completion.engine += answer.completion_tokens or 0
    return costs


def trial_costs(
    settings: TrialCostSettings, answers: Iterable[Answer], counters: Counters = counter
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The whole of costs.json, and of local_costs.json.

    Args:
        settings: what is known of each arm.
        answers: the rows of answers.csv, an arm's rows one after the other.
        counters: gives the counter of a tokenizer.
    """
    money, local = {}, {}
    for condition, of_arm in itertools.groupby(answers, attrgetter("condition")):
        rows: Sequence[Answer] = list(of_arm)
        arm = settings.arms[condition]
        count = functools.partial(counters, arm.tokenizer)
        costs = (
            imported_costs(rows)
            if arm.parts.answers
            else arm_costs(rows, arm.quote, Prompts(condition, arm.parts), count)
        )
        money[condition] = {
            "model": arm.model,
            "price": None if arm.quote is None else arm.quote.model_dump(mode="json"),
            "note": arm.note,
            **costs.as_json(arm.quote, count),
        }
        local[condition] = local_costs(rows)
    paid = [arm["cost_usd"] for arm in money.values()]
    return {
        "schema_version": SCHEMA_VERSION,
        "by_condition": money,
        "cost_usd": None if None in paid else round(sum(paid), 10),
        "experiment": vars(Ledger(Path(settings.spending_folder)).spent()),
    }, {"schema_version": 1, "by_condition": local}


@command
def main() -> None:
    """Write costs.json, local_costs.json and audit.json of one trial."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    for name in ("--settings", "--answers", "--costs", "--local-costs", "--audit"):
        parser.add_argument(name, type=Path, required=True)
    add_seal_argument(parser)
    arguments = parser.parse_args()
    settings = read_settings(arguments.settings, TrialCostSettings)
    requests = [file for arm in settings.arms.values() for file in arm.parts.input_files()]
    seal = SealWriter(arguments.seal, [arguments.answers, *requests])
    counters = functools.cache(counter)  # a vocabulary takes a second to read
    costs, local = trial_costs(settings, read_csv(arguments.answers, Answer), counters)
    write_json(arguments.costs, costs)
    write_json(arguments.local_costs, local)
    write_json(arguments.audit, audit(settings, counters))
    seal.seal(arguments.costs, arguments.local_costs, arguments.audit)


if __name__ == "__main__":
    main()
