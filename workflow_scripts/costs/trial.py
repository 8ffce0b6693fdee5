"""What the answers of a trial took, by condition: costs.json, local_costs.json and audit.json."""

from __future__ import annotations

import argparse
import functools
import itertools
import math
from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path

from ..answers.parts import ArmParts
from ..answers.predictions import answer as row_of
from ..backends.ledger import Ledger
from ..backends.prices import Quote
from ..backends.tokens import Counter, counter
from ..core.errors import command
from ..core.files import read_csv, read_settings, write_record
from ..core.records import Answer, Request
from ..core.seals import SealWriter, add_seal_argument
from .audit import Counters, audit
from .local import TimeTotals
from .records import (
    ArmCosts,
    ArmTimes,
    Costs,
    EmbedderCosts,
    LocalCosts,
    Paid,
    RewritingCosts,
    Tokens,
)
from .settings import ArmCostSettings, PaidEmbedder, TrialCostSettings


@dataclass
class _Tokens:
    engine: int = 0
    estimate: int = 0

    def recorded(self) -> Tokens:
        return Tokens(engine=self.engine, estimate=self.estimate)


@dataclass
class ArmTotals:
    """Running sums over the answers of one arm; `ArmCosts` says what each is."""

    requests: int = 0
    answers: int = 0
    unidentified: int = 0
    from_batch_jobs: int = 0
    prompt: _Tokens = field(default_factory=_Tokens)
    completion: _Tokens = field(default_factory=_Tokens)
    cached: int | None = None
    usd: array[float] = field(default_factory=lambda: array("d"))

    def costs(self, arm: ArmCostSettings, count: Callable[[], Counter]) -> ArmCosts:
        """The arm's block in costs.json."""
        estimated = self.prompt.estimate or self.completion.estimate
        return ArmCosts(
            model=arm.model,
            price=arm.quote,
            note=arm.note,
            requests=self.requests,
            answers=self.answers,
            unidentified=self.unidentified,
            from_batch_jobs=self.from_batch_jobs,
            prompt_tokens=self.prompt.recorded(),
            completion_tokens=self.completion.recorded(),
            cached_tokens=self.cached,
            estimated_by=count().method if estimated else None,
            cost_usd=self.cost_usd(arm.quote),
        )

    def cost_usd(self, quote: Quote | None) -> float | None:
        """What they cost in US dollars; ``None`` without a price."""
        return None if quote is None else round(math.fsum(self.usd), 10)


class PromptTokens:
    """The lengths of an arm's prompts, counted only where an engine did not."""

    def __init__(self, condition: str, parts: ArmParts, count: Callable[[], Counter]) -> None:
        self._condition = condition
        self._parts = parts
        self._count = count

    @functools.cached_property
    def of(self) -> dict[str, int]:
        """Tokens by the custom_id of the trial's row."""
        requests, count = self._parts.requests(Request), self._count()
        return {
            request.named(self._condition): count.prompt(request.messages) for request in requests
        }


def arm_totals(
    answers: Iterable[Answer],
    quote: Quote | None,
    prompts: PromptTokens,
    count: Callable[[], Counter],
) -> ArmTotals:
    """Add up one arm's answers.

    An answer knows by itself whether it came from a batch job: a journal may hold answers of both
    kinds, whatever the config says now.

    Args:
        answers: all requests of the arm.
        quote: the price of the arm's model, if one is known.
        prompts: how long the prompts are.
        count: gives a counter for what the engine did not count.
    """
    costs = ArmTotals()
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
            prompt = prompts.of[answer.custom_id]
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


def rewriting_costs(
    condition: str, arm: ArmCostSettings, count: Callable[[], Counter]
) -> list[RewritingCosts]:
    """Return what the rewriting of an arm's questions took."""
    found = []
    for each in arm.rewritings:
        timed = TimeTotals()
        rows = timed.adding(row_of(condition, line) for line in each.parts.raw_lines())
        totals = arm_totals(rows, arm.quote, PromptTokens(condition, each.parts, count), count)
        found.append(
            RewritingCosts(
                name=each.name,
                requests=totals.requests,
                answers=totals.answers,
                prompt_tokens=totals.prompt.recorded(),
                completion_tokens=totals.completion.recorded(),
                total_latency_s=timed.times([]).total_latency_s,
                cost_usd=totals.cost_usd(arm.quote),
            )
        )
    return found


def imported_totals(answers: Iterable[Answer]) -> ArmTotals:
    """Add up the tokens that a file of answers has.

    Where it has none, they are not estimated: what was asked is not known.
    """
    costs = ArmTotals()
    for answer in answers:
        costs.requests += 1
        if not answer.failed:
            costs.answers += 1
            costs.prompt.engine += answer.prompt_tokens or 0
            costs.completion.engine += answer.completion_tokens or 0
    return costs


def trial_costs(
    settings: TrialCostSettings, answers: Iterable[Answer], counters: Counters = counter
) -> tuple[Costs, LocalCosts]:
    """The whole of costs.json, and of local_costs.json.

    Args:
        settings: what is known of each arm.
        answers: the rows of answers.csv, an arm's rows one after the other.
        counters: gives the counter of a tokenizer.
    """
    money: dict[str, ArmCosts] = {}
    times: dict[str, ArmTimes] = {}
    for condition, of_arm in itertools.groupby(answers, attrgetter("condition")):
        arm = settings.arms[condition]
        count = functools.partial(counters, arm.tokenizer)
        timed = TimeTotals()
        rows = timed.adding(of_arm)
        totals = (
            imported_totals(rows)
            if arm.parts.answers
            else arm_totals(rows, arm.quote, PromptTokens(condition, arm.parts, count), count)
        )
        money[condition] = _with_rewriting(
            totals.costs(arm, count), rewriting_costs(condition, arm, count)
        )
        times[condition] = timed.times(map(Path, arm.telemetry))
    ledger = Ledger(Path(settings.spending_folder))
    costs = Costs(
        by_condition=money,
        embedders=[embedder_costs(each, ledger) for each in settings.embedders],
        experiment=Paid(**vars(ledger.spent())),
    )
    return costs.model_copy(update={"cost_usd": costs.usd_of(money)}), LocalCosts(
        by_condition=times
    )


def _with_rewriting(arm: ArmCosts, rewritings: list[RewritingCosts]) -> ArmCosts:
    if not rewritings:
        return arm
    usd = arm.cost_usd
    if usd is not None:
        usd = round(usd + math.fsum(each.cost_usd or 0.0 for each in rewritings), 10)
    return arm.model_copy(update={"cost_usd": usd, "rewritings": rewritings})


def embedder_costs(embedder: PaidEmbedder, ledger: Ledger) -> EmbedderCosts:
    """Return what an embedder cost, by the ledger; without a price nothing was written down."""
    embedded, spent = ledger.embedded(embedder.embedder, embedder.model)
    is_known = embedder.quote is not None
    return EmbedderCosts(
        embedder=embedder.embedder,
        model=embedder.model,
        price=embedder.quote,
        note=embedder.note,
        texts=embedded.texts,
        tokens=embedded.tokens,
        paid_usd=round(spent.paid_usd, 10) if is_known else None,
        lost_usd=round(spent.lost_usd, 10) if is_known else None,
    )


@command
def main() -> None:
    """Write costs.json, local_costs.json and audit.json of one trial."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    for name in ("--settings", "--answers", "--costs", "--local-costs", "--audit"):
        parser.add_argument(name, type=Path, required=True)
    add_seal_argument(parser)
    arguments = parser.parse_args()
    settings = read_settings(arguments.settings, TrialCostSettings)
    arms = settings.arms.values()
    requests = [file for arm in arms for file in arm.parts.input_files()]
    rewriting = [file for arm in arms for file in arm.rewriting_files()]
    measured = [file for arm in arms for file in arm.telemetry]
    seal = SealWriter(arguments.seal, [arguments.answers, *requests, *rewriting, *measured])
    counters = functools.cache(counter)  # a vocabulary takes a second to read
    costs, local = trial_costs(settings, read_csv(arguments.answers, Answer), counters)
    write_record(arguments.costs, costs)
    write_record(arguments.local_costs, local)
    write_record(arguments.audit, audit(settings, counters))
    seal.seal(arguments.costs, arguments.local_costs, arguments.audit)


if __name__ == "__main__":
    main()
