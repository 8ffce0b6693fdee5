"""The plan as a page to read: Markdown that is aligned in a terminal too."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from ..backends.ledger import Spent
from ..backends.prices import Quote, dollars
from ..backends.schema import NotEnforced
from ..backends.tokens import BytesCounter
from ..comparisons.planned import PlannedTest
from .plan_records import BudgetRecord, EmbedderRecord, JudgeRecord, ModelRecord, Plan, RowRecord

_HEAD = (
    "Trial", "Arm", "Requests", "Different", "Journaled", "In jobs", "To send",
    "Prompt tokens", "Answer tokens", "Cost", "At most", "Time",
)  # fmt: skip
_TEXT_COLUMNS = 2


def table(plan: Plan) -> str:
    """The whole page."""
    return "\n".join(_lines(plan)) + "\n"


def _lines(plan: Plan) -> Iterator[str]:
    yield f"# Plan of the experiment {plan.experiment}"
    yield ""
    yield f"Made {plan.made_at}. Nothing was sent. Tokens and costs are of what is to be sent."
    yield ""
    rows = [
        [_name(trial.folder), arm, *_cells(row)]
        for trial in plan.trials
        for name, rows_of in (("{}", trial.arms), ("{}, again", trial.again))
        for arm, row in [(name.format(arm), row) for arm, row in rows_of.items()]
    ]
    rows += [
        [
            f"{each.backend}/{each.model}",
            f"{each.task}, questions rewritten",
            *_cells(each),
        ]
        for each in plan.rewrites
    ]
    rows += [[f"analyses/{each.analysis}", "", *_cells(each)] for each in plan.analyses]
    rows += [[f"embedder {each.embedder}", "", *_cells(each.row)] for each in plan.embedders]
    rows.append(["all, each once", "", *_cells(plan.total)])
    yield from _aligned([list(_HEAD), *rows])
    yield ""
    yield from _how_counted()
    for model in plan.models:
        yield f"- {model.backend}, {model.model}: {_price(model)}"
        for parameter, reason in model.not_sent.items():
            own = "not sent (the model’s own)" if parameter == "temperature" else "not sent"
            yield f"    - {parameter} is {own}: {reason}"
        for each in model.schemas_not_enforced:
            named = NotEnforced(each.dataset, each.keyword, each.pointer)
            yield f"    - {named.told(each.schemas)}"
        for note in model.notes:
            yield f"    - {note}"
    if plan.rewrites:
        yield (
            "- questions rewritten: until the model has rewritten them, the passages found for the "
            "questions themselves are counted"
        )
    if plan.analyses:
        yield (
            "- analyses: a third request is sent only if the changes to the plan need repair; of "
            "the requests that are possible, the longest are counted"
        )
    for embedder in plan.embedders:
        yield _embedder(embedder)
        for note in embedder.notes:
            yield f"    - {note}"
    if plan.estimated_parts:
        yield (
            "- A run embeds before it finds passages. Until then, requests with such passages are "
            "estimated, with chunks from all over the corpus. Their answers in the journal, and "
            "requests that are sent again, are not counted"
        )
    for judge in plan.judges:
        yield _judge(judge)
    for note in plan.left_out:
        yield f"- {note}."
    yield from _budget(plan.budget)
    for test in plan.questions:
        yield ""
        yield from textwrap.wrap(_question(test), 100)


def _judge(judge: JudgeRecord) -> str:
    cost = "" if judge.at_most_usd is None else f", {_dollars(judge.at_most_usd)}"
    return (
        f"- judge {judge.judge} ({judge.model}) of {_name(judge.folder)}: at most "
        f"{judge.requests_at_most:,} requests with {judge.prompt_tokens:,} prompt tokens"
        f"{cost}; known when the answers are there, and not in the sums above"
    )


def _embedder(embedder: EmbedderRecord) -> str:
    price, told = embedder.price, "no price"
    if price is not None:
        per_million = price.rates.input_per_million
        told = f"${per_million:g} per million tokens ({_origin(price)})"
    return (
        f"- embedder {embedder.embedder}, {embedder.model}: {embedder.chunks:,} chunks "
        f"and {embedder.questions:,} questions to embed; {told}; tokens "
        f"{BytesCounter.method} (an estimate)"
    )


def _origin(price: Quote) -> str:
    """Where a price comes from, and when it was found."""
    return ", ".join(filter(None, (price.source, price.date)))


def _name(folder: str) -> str:
    """A trial's folder without what all trials share."""
    return "/".join(PurePosixPath(folder).parts[2:])


def _cells(row: RowRecord) -> list[str]:
    return [
        _count(row.requests),
        _count(row.different),
        _count(row.held),
        _count(row.submitted),
        _count(row.to_send),
        _count(row.prompt_tokens),
        _answer_tokens(row),
        _dollars(row.cost_usd),
        _dollars(row.at_most_usd),
        _time(row.seconds),
    ]


def _count(value: int | None) -> str:
    return "?" if value is None else f"{value:,}"


def _answer_tokens(row: RowRecord) -> str:
    """Expected tokens; at most so many where nothing is known of the answers' lengths."""
    expected, most = row.completion_tokens, row.at_most_completion_tokens
    return f"{'≤ ' if expected == most != 0 else ''}{expected:,}"


def _dollars(value: float | None) -> str:
    return "?" if value is None else dollars(value)


def _time(seconds: float | None) -> str:
    """A time in the unit that a person would use; nothing to send takes none."""
    if seconds is None:
        return "?"
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for number, row in enumerate(rows):
        cells = [
            cell.ljust(width) if index < _TEXT_COLUMNS else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield f"| {' | '.join(cells)} |"
        if number == 0:
            rules = [
                "-" * width if index < _TEXT_COLUMNS else "-" * (width - 1) + ":"
                for index, width in enumerate(widths)
            ]
            yield f"| {' | '.join(rules)} |"


def _how_counted() -> Iterator[str]:
    yield from textwrap.wrap(
        "Identical requests are sent once, and the last line counts parts that several trials "
        "share once. “Cost” is expected from journaled answers to the same prompt and task; where "
        "there are none (≤), answers are taken to be as long as max_new_tokens allows. “At most” "
        "takes that for all answers, and for prompts the most tokens that they can have: one for "
        "each byte, until answers have shown how many the model really counts. Requests that are "
        "repeated because a reply was lost cost extra. “Time” comes from journaled answers to "
        "the same prompt and task. Models answer one after the other in the sum; batch jobs take "
        "the time that their provider needs.",
        100,
    )
    yield ""


def _price(model: ModelRecord) -> str:
    counted = f"prompts {model.prompt_tokens_by}"
    if model.prompt_tokens_are_estimates:
        counted += " (an estimate)"
    if model.measured_answers:
        counted += f", corrected by {model.measured_answers:,} journaled answers"
    if model.answers_behind_at_most:
        counted += f"; “At most” by {model.answers_behind_at_most:,} counted prompts"
    price = model.price
    if price is None:
        return f"no price; {counted}"
    rates, off = price.rates, ""
    if not rates.input_per_million and not rates.output_per_million:
        return f"free ({price.source}); {counted}"
    if model.batch:
        off = f", {100 * price.batch_discount:g}% off in batch jobs"
    return (
        f"${rates.input_per_million:g} per million prompt tokens, "
        f"${rates.output_per_million:g} per million answer tokens{off} ({_origin(price)}); "
        f"{counted}"
    )


def _question(test: PlannedTest) -> str:
    """The power of a declared primary question."""
    looks, n = test.looks, test.n_items
    asked = ", ".join(filter(None, (test.task, test.subgroup)))
    said = (
        f"Primary question, {test.primary}, {asked}: {n:,} items, "
        f"{'one look' if looks == 1 else f'{looks} looks'} at a level of {test.alpha:.3g}."
    )
    if test.times_one_look is None or test.expected_share is None:
        return (
            f"{said} Betting bears a look at any moment. For a power of 0.8 it needs about 1.8 to "
            "2.7 times the items of a single look."
        )
    if looks > 1:
        said += (
            f" By alpha spending they take {test.times_one_look:.3f} times the items of one "
            f"look, and {100 * test.expected_share:.0f}% of them on average where the "
            "difference is as large as these."
        )
    if not test.detectable:
        return f"{said} Nobody knows beforehand how much it varies from item to item."
    sizes = [
        f"{100 * float(share):g}%: {'none' if size is None else f'{100 * size:.1f} points'}"
        for share, size in test.detectable.items()
    ]
    return (
        f"{said} Difference found with a power of {test.power:g}, by the share of items on "
        f"which the arms differ: {', '.join(sizes)}. Items count as independent: where they share "
        "passages, multiply by the root of the design effect."
    )


def _budget(budget: BudgetRecord) -> Iterator[str]:
    spent = Spent(budget.paid_usd, budget.under_way_usd, budget.lost_usd)
    if not spent.total_usd and budget.budget_usd is None:
        return
    yield ""
    yield (
        f"So far: {spent.in_words()}. Expected in the end: {_dollars(budget.expected_usd)}"
        + ("." if budget.budget_usd is None else f"; budget: {dollars(budget.budget_usd)}.")
    )
    if budget.is_enough is False:
        yield "The budget is not enough: no request will be sent."
