"""The plan, and the budget as a user meets it: refused, stopped, gone on with."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest
import yaml
from answering import GREEDY, completion, journaled, request
from conftest import Project, clean_environment, kills
from hypothesis import given
from servers.base import running
from servers.openai_compatible import CompatibleServer
from trial_parts import trial_parts

from workflow_scripts.answers.journal import Journal, journal_folder, request_digest
from workflow_scripts.answers.parts import RETEST
from workflow_scripts.backends.ledger import Ledger, Spent
from workflow_scripts.backends.prices import Quote, Rates
from workflow_scripts.backends.settings import BackendSettings
from workflow_scripts.backends.tokens import BytesCounter
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import write_jsonl
from workflow_scripts.core.records import Completion, Message, Usage
from workflow_scripts.core.seals import SealWriter, seal_beside
from workflow_scripts.costs.budget import check_budget
from workflow_scripts.costs.plan import make_plan
from workflow_scripts.costs.plan_records import Plan, RowRecord, SchemaRecord
from workflow_scripts.costs.plan_settings import (
    PlannedJudge,
    PlannedModel,
    PlannedRewriting,
    PlannedTrial,
    PlanSettings,
)
from workflow_scripts.costs.plan_table import table

IDENTITY = {
    "engine": "openai_compatible",
    "server": "x",
    "endpoint": "/v1/chat/completions",
    "model": "tiny-3m",
    "root": "org/tiny-3m",
}
PRICE = Quote(
    rates=Rates(input_per_million=1.0, output_per_million=10.0), batch_discount=0.5, source="test"
)
PROMPT = BytesCounter().prompt(request().messages)
CERTAIN = 7 + 11 + 2 * 16 + 128
"""Tokens that the prompt of one of the test's first ten requests cannot exceed."""
LONGEST = 8


@pytest.fixture
def server() -> Iterator[CompatibleServer]:
    with running(CompatibleServer()) as served:
        assert isinstance(served, CompatibleServer)
        yield served


def backend(server: CompatibleServer | None, model: str = "tiny-3m") -> BackendSettings:
    return BackendSettings(
        backend="openai_compatible",
        model_id=model,
        local_endpoint=server.url if server else "http://127.0.0.1:9",
    )


def plan_settings(
    folder: Path,
    settings: BackendSettings,
    trials: dict[str, dict[str, list[str]]],
    price: Quote | None = PRICE,
    budget: float | None = None,
) -> PlanSettings:
    """Trials of one model: by folder, the parts of each arm."""
    return PlanSettings(
        experiment="x",
        spending_folder=(folder / "spending").as_posix(),
        budget_usd=budget,
        models=[PlannedModel(backend="b", model="m", settings=settings, quote=price)],
        trials=[
            PlannedTrial(
                folder=f"results/x/b/m/default/{name}",
                asked_of=dict.fromkeys(arms, ("b", "m")),
                parts=trial_parts(folder, "raw", arms),
            )
            for name, arms in trials.items()
        ],
    )


def ask(folder: Path, name: str, numbers: list[int], prompt: str = "control") -> None:
    requests = [request(number, prompt=prompt) for number in numbers]
    write_jsonl(folder / name, requests)


def journal(folder: Path, answers: dict[int, Completion]) -> None:
    with Journal(journal_folder(folder / "journal", IDENTITY)) as written:
        for number, answer in answers.items():
            written.append(request_digest(IDENTITY, request(number)), answer)


def answer(prompt_tokens: int | None, completion_tokens: int | None) -> Completion:
    usage = Usage(prompt_tokens=prompt_tokens, completion_tokens=completion_tokens)
    return completion("four, or so").model_copy(update={"usage": usage})


def arms_of(plan: Plan, trial: int = 0) -> dict[str, RowRecord]:
    return plan.trials[trial].arms


# Numbers


def test_requests_with_rewritten_questions_are_counted_once_they_are_known(
    tmp_path: Path, server: CompatibleServer
) -> None:
    """Until then those planned in their place, although another arm asks the same."""
    ask(tmp_path, "c.p000.jsonl", [0, 1])
    ask(tmp_path, "rewrite.p000.jsonl", [20, 21])
    (tmp_path / "made").mkdir()
    settings = plan_settings(tmp_path, backend(server), {"s": {"control": ["c.p000.jsonl"]}})
    [trial] = settings.trials
    control = trial.parts.arms["control"]
    made = control.model_copy(update={"inputs_folder": (tmp_path / "made").as_posix()})
    trial.parts.arms["treatment"], trial.rewritten["treatment"] = control, made
    other = control.model_copy(update={"inputs_folder": (tmp_path / "other").as_posix()})
    ask(tmp_path / "other", "c.p000.jsonl", [0, 1])
    trial.parts.arms["control"] = other
    trial.asked_of["treatment"] = ("b", "m")
    path = (tmp_path / "rewrite.p000.jsonl").as_posix()
    rewriting = PlannedRewriting(task="rag", asked=("b", "m"), requests=path)
    settings = settings.model_copy(update={"rewrites": [rewriting]})

    def to_send() -> tuple[list[int], int, int]:
        plan = make_plan(settings, tmp_path / "journal")
        assert "until the model has rewritten them" in table(plan)
        of_arms = [arms_of(plan)[each].to_send for each in ("control", "treatment")]
        return of_arms, plan.rewrites[0].to_send, plan.total.to_send

    assert to_send() == ([2, 2], 2, 6)
    journal(tmp_path, dict.fromkeys((0, 1, 20, 21, 31), answer(7, 2)))
    assert to_send() == ([0, 2], 0, 2)  # what is made of them is another request
    seal = SealWriter(seal_beside(tmp_path / "made" / "c", "c"), [tmp_path / "c.p000.jsonl"])
    ask(tmp_path / "made", "c.p000.jsonl", [30, 31])
    seal.seal(tmp_path / "made" / "c.p000.jsonl")
    assert to_send() == ([0, 1], 0, 1)
    ask(tmp_path, "c.p000.jsonl", [0, 1, 2])  # they were made of something else
    assert to_send() == ([0, 3], 0, 3)


def test_requests_sent_again_wait_for_rewritten_questions_too(
    tmp_path: Path, server: CompatibleServer
) -> None:
    part = "c.p000.jsonl"
    for folder, numbers in (("planned", [0, 1]), (f"planned{RETEST}", [1])):
        (tmp_path / folder).mkdir()
        ask(tmp_path / folder, part, numbers)
    settings = plan_settings(tmp_path / "planned", backend(server), {"s": {"control": [part]}})
    [trial] = settings.trials
    planned = trial.parts.arms["control"]
    made = planned.model_copy(update={"inputs_folder": (tmp_path / "made").as_posix()})
    trial.rewritten["control"], trial.again["control"] = made, planned.sent_again()
    journal(tmp_path, {1: answer(7, 2), 31: answer(7, 2)})

    def to_send() -> tuple[int, int]:
        [rows] = make_plan(settings, tmp_path / "journal").trials
        return rows.arms["control"].to_send, rows.again["control"].to_send

    assert to_send() == (2, 1)  # another request has that answer
    for suffix, numbers, stem in (("", [30, 31], "c"), (RETEST, [31], "c.p000")):
        file = tmp_path / f"made{suffix}" / part
        file.parent.mkdir()
        seal = SealWriter(seal_beside(file, stem), [tmp_path / f"planned{suffix}" / part])
        ask(file.parent, part, numbers)
        seal.seal(file)
    assert to_send() == (1, 0)


def test_a_plan_by_hand(tmp_path: Path, server: CompatibleServer) -> None:
    ask(tmp_path, "c.jsonl", [0, 1, 2, 2])  # one question stands there twice
    ask(tmp_path, "t.jsonl", [10, 11], "treatment")
    arms = {"control": ["c.jsonl"], "treatment": ["t.jsonl"]}
    plan = make_plan(plan_settings(tmp_path, backend(server), {"s": arms}), tmp_path / "journal")
    one = (PROMPT * 1.0 + LONGEST * 10.0) / 1e6
    most = (CERTAIN * 1.0 + LONGEST * 10.0) / 1e6
    assert arms_of(plan)["control"].model_dump() == {
        "requests": 4,
        "different": 3,
        "held": 0,
        "submitted": 0,
        "to_send": 3,
        "prompt_tokens": 3 * PROMPT,
        "completion_tokens": 3 * LONGEST,
        "at_most_completion_tokens": 3 * LONGEST,
        "cost_usd": pytest.approx(3 * one, abs=1e-6),
        "at_most_usd": pytest.approx(3 * most, abs=1e-6),
        "seconds": None,
    }
    assert plan.total.to_send == 5
    assert plan.total.cost_usd == pytest.approx(5 * one, abs=1e-6)
    (model,) = plan.models
    assert model.prompt_tokens_by == "estimated as 4 bytes of text a token"
    assert model.prompt_tokens_are_estimates
    assert server.bodies == []  # nothing was asked


def test_a_judge_of_pairs_reads_what_two_responses_were_given(
    tmp_path: Path, server: CompatibleServer
) -> None:
    ask(tmp_path, "c.jsonl", [0, 1])
    ask(tmp_path, "t.jsonl", [10, 11], "treatment")
    arms = {"control": ["c.jsonl"], "treatment": ["t.jsonl"]}
    settings = plan_settings(tmp_path, backend(server), {"s": arms})
    judge = {"asked": ("b", "m"), "text": "x" * 400, "max_new_tokens": 9, "repeats": 1}
    kinds = {"one": False, "two": True}
    settings.trials[0].judges.extend(
        PlannedJudge(name=name, pairs=pairs, **judge) for name, pairs in kinds.items()
    )
    one, two = make_plan(settings, tmp_path / "journal").judges
    assert one.requests_at_most == two.requests_at_most == 4
    instructions = BytesCounter().prompt([Message(role="user", content="x" * 400)])
    assert two.prompt_tokens == 2 * one.prompt_tokens - 4 * instructions


def test_parts_that_trials_share_are_counted_once_in_the_total(
    tmp_path: Path, server: CompatibleServer
) -> None:
    ask(tmp_path, "c.jsonl", [0, 1, 2])
    ask(tmp_path, "t.jsonl", [10, 11], "treatment")
    ask(tmp_path, "p.jsonl", [2, 20], "polite")  # one request is the control's, word for word
    trials = {
        "first": {"control": ["c.jsonl"], "treatment": ["t.jsonl"]},
        "second": {"control": ["c.jsonl"], "treatment": ["p.jsonl"]},
    }
    plan = make_plan(plan_settings(tmp_path, backend(server), trials), tmp_path / "journal")
    assert arms_of(plan, 0)["control"] == arms_of(plan, 1)["control"]
    assert arms_of(plan, 1)["treatment"].requests == 2
    assert arms_of(plan, 1)["treatment"].different == 1
    assert (plan.total.requests, plan.total.to_send) == (7, 6)


def test_the_time_is_by_answers_that_were_timed(tmp_path: Path, server: CompatibleServer) -> None:
    ask(tmp_path, "c.jsonl", [0, 1, 2, 3, 4])
    ask(tmp_path, "t.jsonl", [10], "treatment")
    timed = {"latency_s": 6.0, "at_once": 4}  # an answer every 1.5 seconds
    journal(
        tmp_path,
        {
            0: answer(1, 1).model_copy(update=timed),
            1: answer(1, 1).model_copy(update={"latency_s": 0.5}),
            2: answer(1, 1).model_copy(update={"latency_s": None}),
        },
    )
    arms = {"control": ["c.jsonl"], "treatment": ["t.jsonl"]}
    plan = make_plan(plan_settings(tmp_path, backend(server), {"s": arms}), tmp_path / "journal")
    assert arms_of(plan)["control"].seconds == 2 * (1.5 + 0.5) / 2
    assert arms_of(plan)["treatment"].seconds is plan.total.seconds is None
    times = [line.split("|")[-2].strip() for line in table(plan).splitlines() if "|" in line]
    assert times[2:] == ["2 s", "?", "?"]


def test_what_is_journaled_costs_nothing_and_makes_the_rest_better_known(
    tmp_path: Path, server: CompatibleServer
) -> None:
    ask(tmp_path, "c.jsonl", [0, 1, 2, 3, 4])
    ask(tmp_path, "t.jsonl", [10], "treatment")
    journal(tmp_path, {0: answer(2 * PROMPT, 2), 1: answer(2 * PROMPT, 4)})
    arms = {"control": ["c.jsonl"], "treatment": ["t.jsonl"]}
    plan = make_plan(plan_settings(tmp_path, backend(server), {"s": arms}), tmp_path / "journal")
    control = arms_of(plan)["control"]
    assert (control.held, control.to_send) == (2, 3)
    # its prompts took twice the estimate, its answers 3 tokens on average
    assert control.prompt_tokens == 3 * 2 * PROMPT
    assert control.completion_tokens == 3 * 3
    assert control.at_most_completion_tokens == 3 * LONGEST
    expected = 3 * (2 * PROMPT * 1.0 + 3 * 10.0) / 1e6
    assert control.cost_usd == pytest.approx(expected, abs=1e-6)
    # nothing is known of the other arm
    assert arms_of(plan)["treatment"].completion_tokens == LONGEST
    assert plan.models[0].measured_answers == 2


def test_answers_without_counts_are_measured_by_their_text(
    tmp_path: Path, server: CompatibleServer
) -> None:
    ask(tmp_path, "c.jsonl", [0, 1])
    journal(tmp_path, {0: answer(None, None)})
    found = make_plan(
        plan_settings(tmp_path, backend(server), {"s": {"control": ["c.jsonl"]}}),
        tmp_path / "journal",
    )
    assert found.total.prompt_tokens == PROMPT
    assert found.total.completion_tokens == 3  # "four, or so"


def test_keywords_of_schemas_that_are_not_enforced_are_named(
    tmp_path: Path, server: CompatibleServer
) -> None:
    server.be_llama_server()
    subs = [{"type": "string", "not": {"const": text}} for text in ("x", "y", "y")]
    requests = [
        request(number, decoding=GREEDY.model_copy(update={"json_schema": {
            "type": "object", "properties": {"a": sub}}}))
        for number, sub in enumerate(subs)
    ]  # fmt: skip
    write_jsonl(tmp_path / "c.jsonl", requests)
    settings = plan_settings(tmp_path, backend(server), {"s": {"control": ["c.jsonl"]}})
    plan = make_plan(settings, tmp_path / "journal")
    named = {"dataset": "d", "keyword": "not", "pointer": "/properties/a/not", "schemas": 2}
    assert plan.models[0].schemas_not_enforced == [SchemaRecord(**named)]
    assert "data set d: not at /properties/a is not enforced in 2 schemas" in table(plan)
    remote = {"$ref": "https://example.org/x"}
    refused = GREEDY.model_copy(update={"json_schema": remote})
    write_jsonl(tmp_path / "c.jsonl", [request(0, decoding=refused)])
    (note,) = make_plan(settings, tmp_path / "journal").models[0].notes
    assert "data set d, item 0: its JSON schema cannot be enforced. '$ref' at" in note


def test_a_reply_that_could_not_be_read_is_not_sent_again(
    tmp_path: Path, server: CompatibleServer
) -> None:
    ask(tmp_path, "c.jsonl", [0, 1, 2])
    identity = IDENTITY | {"address": server.url}
    with Journal(journal_folder(tmp_path / "journal", identity)) as written:
        written.keep(request_digest(identity, request(1)), "{}", 0.5)
    arms = {"control": ["c.jsonl"]}
    plan = make_plan(plan_settings(tmp_path, backend(server), {"s": arms}), tmp_path / "journal")
    assert (plan.total.held, plan.total.to_send) == (1, 2)
    assert plan.total.prompt_tokens == 2 * PROMPT


def test_what_is_in_a_batch_job_is_neither_held_nor_sent(
    tmp_path: Path, server: CompatibleServer
) -> None:
    ask(tmp_path, "c.jsonl", [0, 1, 2])
    identity = IDENTITY | {"address": server.url}
    jobs = journal_folder(tmp_path / "journal", identity) / "jobs"
    jobs.mkdir(parents=True)
    for name, number, collected in (("assay-open", 1, False), ("assay-done", 2, True)):
        job = {"name": name, "requests": 1, "intended_at": "x", "collected": collected}
        (jobs / f"{name}.json").write_text(json.dumps(job), encoding="utf-8")
        key = request_digest(identity, request(number))
        (jobs / f"{name}.keys").write_text(f"{key}\n", encoding="utf-8")
    arms = {"control": ["c.jsonl"]}
    plan = make_plan(plan_settings(tmp_path, backend(server), {"s": arms}), tmp_path / "journal")
    total = plan.total
    assert (total.held, total.submitted, total.to_send) == (0, 1, 2)


def test_batch_jobs_are_planned_at_their_discount(tmp_path: Path) -> None:
    ask(tmp_path, "c.jsonl", [0])
    arms = {"s": {"control": ["c.jsonl"]}}

    def cost(batch: bool) -> float:
        settings = BackendSettings(backend="openai", model_id="m", use_batch_api=batch)
        plan = make_plan(plan_settings(tmp_path, settings, arms), tmp_path / "journal")
        return float(plan.total.cost_usd)

    assert cost(batch=True) == pytest.approx(cost(batch=False) / 2, abs=1e-6)


def test_a_server_that_is_down_leaves_what_is_held_unknown(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    ask(tmp_path, "c.jsonl", [0, 1])
    plan = make_plan(
        plan_settings(tmp_path, backend(None), {"s": {"control": ["c.jsonl"]}}),
        tmp_path / "journal",
    )
    assert plan.total.held is None
    assert plan.total.to_send == 2
    (note,) = plan.models[0].notes
    assert note.startswith("what the journal holds cannot be told: http://127.0.0.1:9")
    assert "waiting for it, at most 600 s" not in caplog.text
    assert "| ? |" in table(plan).replace("  ", "")


def test_a_model_without_a_price_costs_null_and_says_so(
    tmp_path: Path, server: CompatibleServer
) -> None:
    ask(tmp_path, "c.jsonl", [0])
    arms = {"s": {"control": ["c.jsonl"]}}
    plan = make_plan(
        plan_settings(tmp_path, backend(server), arms, price=None), tmp_path / "journal"
    )
    assert plan.total.cost_usd is plan.total.at_most_usd is None
    assert plan.budget.expected_usd is None
    assert "no price is known for tiny-3m; add it to the config" in table(plan)


def test_the_table_says_what_the_numbers_are(tmp_path: Path, server: CompatibleServer) -> None:
    ask(tmp_path, "c.jsonl", list(range(5)))
    settings = plan_settings(
        tmp_path, backend(server), {"s": {"control": ["c.jsonl"]}}, budget=0.0001
    )
    text = table(make_plan(settings, tmp_path / "journal"))
    row = next(line for line in text.splitlines() if line.startswith("| b/m/default/s"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells == [
        "b/m/default/s", "control", "5", "5", "0", "0", "5",
        f"{5 * PROMPT}", f"≤ {5 * LONGEST}", "$0.00047", "$0.0013", "?",
    ]  # fmt: skip
    assert "$1 per million prompt tokens, $10 per million answer tokens (test)" in text
    assert "The budget is not enough: no request will be sent." in text
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len({len(line) for line in lines}) == 1


@hypothesis.settings(max_examples=15)
@given(cuts=st.lists(st.integers(1, 4), max_size=4), held=st.sets(st.integers(0, 7)))
def test_the_plan_does_not_depend_on_how_parts_are_cut(
    cuts: list[int], held: set[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    numbers = [0, 1, 2, 3, 3, 4, 5, 6, 7, 0]
    ask(folder, "whole.jsonl", numbers)
    names, start = [], 0
    for size in [*cuts, len(numbers)]:
        names.append(f"p{len(names)}.jsonl")
        ask(folder, names[-1], numbers[start : start + size])
        start += size
    journal(folder, {number: answer(number + 1, number % 3) for number in held})
    with running(CompatibleServer()) as server:
        whole, cut = (
            make_plan(
                plan_settings(folder, backend(server), {"s": {"control": parts}}),
                folder / "journal",
            ).total
            for parts in (["whole.jsonl"], names)
        )
    assert whole == cut
    assert whole.held + whole.to_send == whole.different == 8
    assert whole.held == len(held)


# The gate


def gate(
    budget: float, paid: float, under_way: float, cost: float | None, lost: float = 0.0
) -> str:
    expected = None if cost is None else paid + lost + under_way + cost
    numbers = {
        "budget_usd": budget,
        "paid_usd": paid,
        "lost_usd": lost,
        "under_way_usd": under_way,
        "expected_usd": expected,
        "is_enough": None if expected is None else expected <= budget,
    }
    total = {"to_send": 1200, "cost_usd": cost}
    plan = {"experiment": "x", "made_at": "2026-11-21", "total": total, "budget": numbers}
    return check_budget(Plan.model_validate(plan))


def test_what_fits_is_let_through_and_what_does_not_is_refused() -> None:
    assert gate(5, 1.0, 0.0, 4.0) == "$5.00 expected: $1.00 paid; budget $5.00\n"
    assert gate(5, 1.0, 0.5, 3.25, 0.25).startswith(
        "$5.00 expected: $1.00 paid, up to $0.25 charged for replies that were lost, up to $0.50 "
    )
    with pytest.raises(
        UserError,
        match=r"budget_usd=5 is not enough: the experiment is expected to cost \$5\.10 \(\$1\.00 "
        r"paid, up to \$0\.50 for what is under way .*, \$3\.60 for 1,200 requests",
    ):
        gate(5, 1.0, 0.5, 3.6)
    with pytest.raises(UserError, match="a model has no price"):
        gate(5, 0.0, 0.0, None)


# As users meet it

EXPERIMENT = "paid"
PRICES = {"tiny-3m": {"input_per_million": 1000.0, "output_per_million": 10000.0}}
CONFIG: dict[str, Any] = {
    "experiment": EXPERIMENT,
    "backend": "openai_compatible",
    "model_id": "tiny-3m",
    "limit_items": 20,
    "parts_per_dataset": 2,
    "max_concurrent_requests": 4,
    "pricing": PRICES,
    "datasets": {
        "demo_closed": {
            "format": "jsonl",
            "path": "resources/demo/closed_book.jsonl",
            "task": "closed_book",
        }
    },
    "prompt_sets": {"abstention": {"control": "control", "treatment": "treatment"}},
    "max_new_tokens": {"closed_book": 16},
    "stats": {"bootstrap_samples": 100, "permutation_samples": 100},
}
CONFIG_FILE = ("--configfile", "config/paid.yaml")
RAW_PARTS = [
    f"results/{EXPERIMENT}/openai_compatible/tiny-3m/default/raw/{name}.t0.0.p00{part}.jsonl"
    for name in ("closed_book.control", "closed_book.treatment")
    for part in range(2)
]
PROMPT_TOKENS_AT_MOST = 800
"""Bytes of the demonstration's closed-book prompts under the treatment's system prompt, and what
a chat template may add."""


def write_config(project: Project, server: CompatibleServer, **changes: Any) -> None:
    text = yaml.safe_dump({**CONFIG, "local_endpoint": server.url, **changes})
    (project.root / "config/paid.yaml").write_text(text, encoding="utf-8")


def spent(project: Project) -> Spent:
    return Ledger(project.root / f"results/{EXPERIMENT}/spending").spent()


def answers_of(project: Project) -> list[Completion]:
    return [
        Completion.model_validate(line["completion"])
        for line in journaled(project.root / "results/journal")
    ]


def price_of(answers: list[Completion]) -> float:
    return sum(
        (each.usage.prompt_tokens or 0) * 1e-3 + (each.usage.completion_tokens or 0) * 1e-2
        for each in answers
    )


def test_a_budget_that_is_too_small_for_the_plan_starts_nothing(
    project: Project, server: CompatibleServer
) -> None:
    write_config(project, server, budget_usd=1.0)
    refused = project.snakemake("--cores", "4", *CONFIG_FILE, check=False)
    assert refused.returncode != 0
    message = "error: budget_usd=1 is not enough: the experiment is expected to cost $"
    assert message in refused.stderr
    assert "Traceback" not in refused.stderr
    assert server.bodies == []
    # the plan is there to be read, and is made anew with the budget
    plan = json.loads(project.read(f"results/{EXPERIMENT}/plan.json"))
    assert plan["total"]["to_send"] == 40
    assert "The budget is not enough" in project.read(f"results/{EXPERIMENT}/plan.md")
    write_config(project, server, budget_usd=plan["budget"]["expected_usd"])
    project.snakemake("--cores", "4", *CONFIG_FILE, *RAW_PARTS)
    assert len(server.bodies) == 40


def test_a_run_stops_at_its_budget_and_a_higher_one_goes_on(
    project: Project, server: CompatibleServer
) -> None:
    # A small run first, whose short answers make for a small estimate …
    server.answer = lambda question: "Oslo"
    write_config(project, server, limit_items=5)
    project.snakemake("--cores", "4", *CONFIG_FILE, *RAW_PARTS)
    write_config(project, server)
    shown = project.snakemake("--cores", "4", *CONFIG_FILE, "plan").stdout
    plan = json.loads(project.read(f"results/{EXPERIMENT}/plan.json"))
    assert project.read(f"results/{EXPERIMENT}/plan.md") in shown
    assert (plan["total"]["held"], plan["total"]["to_send"]) == (10, 30)
    assert plan["budget"]["paid_usd"] == pytest.approx(price_of(answers_of(project)))
    # … which the following answers do not keep to. The parts' inputs have changed, too: Snakemake
    # would overlook that where they wait for an `ancient` file that is being made anew.
    server.answer = lambda question: " ".join(["Oslo"] * 16)
    budget = plan["budget"]["expected_usd"]
    write_config(project, server, budget_usd=budget)
    stopped = project.snakemake("--cores", "4", *CONFIG_FILE, *RAW_PARTS, check=False)
    assert stopped.returncode != 0
    assert f"error: budget_usd={budget:g} is reached: $" in stopped.stderr
    assert "raise budget_usd and start again" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert 10 < len(server.bodies) < 40
    assert len(answers_of(project)) == len(server.bodies)  # none was thrown away
    assert spent(project).reserved_usd == 0
    assert spent(project).paid_usd == pytest.approx(price_of(answers_of(project)))
    most = (PROMPT_TOKENS_AT_MOST + 16 * 10) / 1000
    assert budget - most < spent(project).paid_usd <= budget

    costs = f"results/{EXPERIMENT}/openai_compatible/tiny-3m/default/abstention/costs.json"
    write_config(project, server, budget_usd=100.0)
    project.snakemake("--cores", "4", *CONFIG_FILE, costs)
    asked = Counter(json.dumps(body["messages"]) for body in server.bodies)
    assert set(asked.values()) == {1}
    assert len(asked) == 40
    assert spent(project).paid_usd == pytest.approx(price_of(answers_of(project)))
    found = json.loads(project.read(costs))
    assert found["cost_usd"] == pytest.approx(price_of(answers_of(project)))
    assert sum(arm["answers"] for arm in found["by_condition"].values()) == 40

    # A budget decides nothing about answers that are there.
    parts = {part: (project.root / part).stat().st_mtime_ns for part in RAW_PARTS}
    write_config(project, server, budget_usd=200.0)
    project.snakemake("--cores", "4", *CONFIG_FILE, *RAW_PARTS)
    assert "budget $200.00" in project.read(f"results/{EXPERIMENT}/budget.txt")
    assert parts == {part: (project.root / part).stat().st_mtime_ns for part in RAW_PARTS}
    write_config(project, server)
    project.snakemake("--cores", "4", *CONFIG_FILE, *RAW_PARTS)
    assert parts == {part: (project.root / part).stat().st_mtime_ns for part in RAW_PARTS}
    assert len(server.bodies) == 40


def test_batch_jobs_wait_for_the_budget_too(project: Project) -> None:
    options = ("--configfile", "config/fireworks.yaml", "--config")
    plan = project.plan(*options, "budget_usd=5")
    assert (plan["plan"], plan["budget"], plan["submit"]) == (1, 1, 16)
    assert "budget" not in project.plan(*options, "limit_items=20")


def test_a_run_with_a_budget_can_end_after_any_rule(
    project: Project, server: CompatibleServer
) -> None:
    write_config(project, server, budget_usd=100.0)
    assert project.plan(*CONFIG_FILE)["verification"] == 1
    project.snakemake("--cores", "4", *CONFIG_FILE, "--until", "infer")
    assert len(server.bodies) == 40
    assert "budget $100.00" in project.read(f"results/{EXPERIMENT}/budget.txt")
    plan = project.plan(*CONFIG_FILE)
    assert not plan.keys() & {"infer", "budget", "check_backend"}
    assert plan["parse"] == 1


def test_a_budget_needs_a_price(project: Project, server: CompatibleServer) -> None:
    write_config(project, server, budget_usd=1.0, pricing={})
    refused = project.snakemake("-n", *CONFIG_FILE, check=False)
    assert refused.returncode != 0
    assert "paid.yaml, line 2: budget_usd: no price is known for tiny-3m; add it" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize("budget", [None, 100.0])
def test_kills_lose_no_cost(
    project: Project, server: CompatibleServer, budget: float | None
) -> None:
    """``kill -9`` of two processes that answer two parts, again and again, then one run of each."""
    server.latency_s = 0.005
    parts = [f"part{number}" for number in range(2)]
    for number, part in enumerate(parts):
        requests = [request(count) for count in range(number * 1000, number * 1000 + 150)]
        write_jsonl(project.root / f"{part}.jsonl", requests)
    settings = {
        "backend": backend(server).model_dump(mode="json") | {"max_concurrent_requests": 3},
        "max_retries": 2,
        "spending": {
            "folder": f"results/{EXPERIMENT}/spending",
            "engine": "openai_compatible",
            "model": "openai_compatible/tiny-3m",
            "tokenizer": {"path": None, "is_own": False},
            "quote": PRICE.model_dump(mode="json") | {"rates": PRICES["tiny-3m"]},
            "budget_usd": budget,
        },
    }
    (project.root / "settings.json").write_text(json.dumps(settings), encoding="utf-8")

    def start(part: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "workflow_scripts.answers.send", "--requests", f"{part}.jsonl",
             "--settings", "settings.json", "--journal", "results/journal",
             "--output", f"raw/{part}.jsonl"],
            cwd=project.root, env=clean_environment(), stderr=subprocess.DEVNULL,
        )  # fmt: skip

    chance = random.Random(20261121)
    for _ in range(kills(usual=2, search=5)):
        processes = [start(part) for part in parts]
        wanted = len(server.bodies) + chance.randrange(20, 50)
        while len(server.bodies) < wanted:
            time.sleep(0.002)
        for process in processes:
            process.send_signal(getattr(signal, "SIGKILL", signal.SIGTERM))
            process.wait()
        # What was answered is paid, also where the answer was not kept any more.
        assert price_of(answers_of(project)) <= spent(project).paid_usd + 1e-9
    assert len(answers_of(project)) < 300
    assert [start(part).wait() for part in parts] == [0, 0]

    kept, paid = price_of(answers_of(project)), spent(project).paid_usd
    answered = sum(server.outcomes("answered").values())
    assert len(answers_of(project)) == 300
    one = kept / 300
    assert kept - 1e-9 <= paid <= kept + (answered - 300) * 2 * one
    if budget is not None:
        # what was under way at the kills: at most 3 requests of each of 10 killed processes
        assert 0 < spent(project).reserved_usd <= 30 * (CERTAIN + 2 + 8 * 10) / 1000
