"""Requests that are sent a second time: drawn, sent, compared, planned, shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from answering import IDENTITY, Scripted, completion, journaled, request, run
from conftest import Project
from scipy.stats import binomtest

from workflow_scripts.answers.journal import request_digest
from workflow_scripts.answers.parts import RETEST, ArmParts, TrialParts
from workflow_scripts.backends.prices import Quote, Rates
from workflow_scripts.backends.reuse import Reuse
from workflow_scripts.backends.settings import BackendSettings
from workflow_scripts.comparisons.retest import by_model, retest
from workflow_scripts.comparisons.settings import RetestedArm, RetestSettings
from workflow_scripts.core.files import write_jsonl
from workflow_scripts.core.records import (
    ANSWER_FIELDS,
    Completion,
    Failure,
    RawLine,
    Request,
    RequestMeta,
)
from workflow_scripts.costs.plan import make_plan
from workflow_scripts.costs.plan_settings import PlannedModel, PlannedTrial, PlanSettings
from workflow_scripts.costs.plan_table import table
from workflow_scripts.requests.retest import drawn

PART = "closed_book.control.t0.0.p000.jsonl"


def written(folder: Path, numbers: range) -> Path:
    write_jsonl(folder / PART, [request(number) for number in numbers])
    return folder / PART


# Drawing


def test_a_random_share_is_drawn_the_same_each_time(tmp_path: Path) -> None:
    parts = [written(tmp_path, range(200))]
    some = list(drawn(parts, 0.1, seed=1))
    assert len(some) == 20
    assert all(each.retest for each in some)
    assert some == list(drawn(parts, 0.1, seed=1))
    assert some != list(drawn(parts, 0.1, seed=2))
    numbers = [int(each.item_id) for each in some]
    assert numbers == sorted(numbers)
    assert set(numbers) < {int(each.item_id) for each in drawn(parts, 0.2, seed=1)}


def test_at_least_one_is_drawn_where_there_are_any(tmp_path: Path) -> None:
    assert len(list(drawn([written(tmp_path, range(3))], 0.02, seed=0))) == 1
    assert list(drawn([written(tmp_path, range(0))], 0.02, seed=0)) == []


# Sending


def test_its_answer_is_never_taken_for_the_first_one_nor_asked_for_twice(tmp_path: Path) -> None:
    first = request()
    again = first.model_copy(update={"retest": True})
    assert request_digest(IDENTITY, first) != request_digest(IDENTITY, again)
    assert "retest" not in first.model_dump()
    client = Scripted()
    for requests in ([first], [again], [again], [first]):
        (line,) = run(tmp_path, client, requests)
        assert line.request_digest == request_digest(IDENTITY, requests[0])
    assert len(client.asked) == len(journaled(tmp_path)) == 2


class Own(Scripted):
    """A user's own model."""

    context_length = None

    def reuse(self) -> Reuse:
        return Reuse()


@pytest.mark.parametrize(("client", "at_once"), [(Own(), 1), (Scripted(), 4)])
def test_a_model_of_the_user_is_asked_again_one_by_one(
    client: Scripted, at_once: int, tmp_path: Path
) -> None:
    first = [request(number) for number in range(8)]
    run(tmp_path, client, first, max_concurrent=4)
    assert client.most_at_once == 4
    client.most_at_once = 0
    again = [each.model_copy(update={"retest": True}) for each in first]
    run(tmp_path, client, again, max_concurrent=4)
    assert client.most_at_once == at_once


# Comparing


def line(of: Request, answer: Completion | None) -> RawLine:
    meta = of.model_dump(include=set(RequestMeta.model_fields))
    if answer is None:
        return RawLine(**meta, error=Failure(type="RequestError", message="busy"))
    digest = request_digest(IDENTITY, of)
    given = {name: getattr(answer, name) for name in ANSWER_FIELDS}
    return RawLine(**meta, request_digest=digest, **given)


def arm(folder: Path, price: float) -> RetestedArm:
    """Six answers, of which five were asked for again: one other text, one other end, one error."""
    first = ArmParts(inputs_folder="x/default", raw_folder=f"{folder}/default/raw", names=[PART])
    again = first.sent_again()
    assert (again.inputs_folder, again.names) == (f"x/default{RETEST}", [PART])
    assert again.raw_folder == f"{folder}/default{RETEST}/raw"
    cut = completion("Oslo").model_copy(update={"finish_reason": "length"})
    second = [completion("Oslo"), completion("Bergen"), cut, None, completion("Oslo")]
    firsts = [completion("Oslo"), *[completion("Oslo")] * 3, None, completion("Oslo")]
    for parts, answers in ((first, firsts), (again, second)):
        path = Path(parts.raw_files()[0])
        path.parent.mkdir(parents=True)
        lines = [line(request(number), answer) for number, answer in enumerate(answers)]
        write_jsonl(path, lines)
    rates = Rates(input_per_million=price, output_per_million=0)
    quote = Quote(rates=rates, batch_discount=0, source="test")
    named = {"backend": "b", "model": "m", "decoding": "default"}
    return RetestedArm(**named, first=first, again=again, quote=quote)


def test_what_changed_by_hand(tmp_path: Path) -> None:
    found = retest(RetestSettings(arms={"treatment": arm(tmp_path, price=1e6)}, confidence=0.9))
    (model,) = found.models
    assert (model.compared, model.changed, model.failed) == (3, 2, 2)
    wilson = binomtest(2, 3).proportion_ci(0.9, method="wilson")
    assert (model.share, model.ci_low, model.ci_high) == (2 / 3, wilson.low, wilson.high)
    assert [(each.first, each.again, each.how) for each in found.changes] == [
        ("Oslo", "Bergen", ""),
        ("Oslo", "Oslo", "stop, then length"),
    ]
    assert found.changes[0].custom_id == "d|1|treatment|0.0|0|closed_book"
    assert (model.spent.requests, model.spent.prompt_tokens, model.spent.cost_usd) == (4, 12, 12.0)


def test_a_part_that_arms_share_counts_once(tmp_path: Path) -> None:
    shared = arm(tmp_path, price=0)
    found = retest(RetestSettings(arms={"control": shared, "treatment": shared}, confidence=0.95))
    assert len(found.parts) == 2
    assert [each.compared for each in found.models] == [3]
    elsewhere = [each.model_copy(update={"temp": "0.7"}) for each in found.parts]
    models = by_model([*found.parts, *elsewhere], 0.95)
    assert [(each.temp, each.compared) for each in models] == [("0.0", 3), ("0.7", 3)]


# Planning


def test_the_plan_counts_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "key-of-the-test")
    first = ArmParts(inputs_folder=f"{tmp_path}/default", raw_folder="x/raw", names=[PART])
    again = first.sent_again()
    write_jsonl(Path(first.input_files()[0]), [request(number) for number in range(50)])
    write_jsonl(Path(again.input_files()[0]), drawn([Path(first.input_files()[0])], 0.1, seed=0))
    model = BackendSettings(backend="openai", model_id="gpt-4o-mini")
    plan = make_plan(
        PlanSettings(
            experiment="x",
            spending_folder=f"{tmp_path}/spending",
            budget_usd=None,
            models=[PlannedModel(backend="b", model="m", settings=model, quote=None)],
            trials=[
                PlannedTrial(
                    folder="results/x/b/m/default/t",
                    asked_of={"control": ("b", "m")},
                    parts=TrialParts(arms={"control": first}),
                    again={"control": again},
                )
            ],
        ),
        tmp_path / "journal",
    )
    (trial,) = plan.trials
    sent = [rows["control"].to_send for rows in (trial.arms, trial.again)]
    assert (sent, plan.total.to_send) == ([50, 5], 55)
    assert "| control, again |" in table(plan)


# The whole


def test_a_finished_run_is_asked_again_in_part(demo_run: Project, tmp_path: Path) -> None:
    project = demo_run.copy_to(tmp_path / "copy")
    project.replace(
        "config/config.yaml",
        "prompt_sets:",
        "retest: 0.1\ndefault_prompt_set: abstention\nprompt_sets:",
    )
    before = len(journaled(project.root / "results/journal"))
    project.snakemake("results/report.html", "--cores", "2")
    assert len(journaled(project.root / "results/journal")) == before + 16
    (model,) = json.loads(project.read("results/demo/report.json"))["retest"]
    assert (model["compared"], model["changed"], model["failed"]) == (16, 0, 0)
    folder = "results/demo/llama_cpp/assay-demo/default/abstention"
    assert json.loads(project.read(f"{folder}/verification.json"))["answers"]["in_journal"] == 176
    assert not project.plan("results/report.html")
    (raw,) = project.root.glob(f"results/demo/*/*/default{RETEST}/raw/open_book.control.*.jsonl")
    raw.write_text(raw.read_text("utf-8").replace('"response_text":"', '"response_text":"x'))
    verified = project.run(
        "-m", "workflow_scripts.verify.results", "--results", "results", check=False
    )
    assert verified.returncode == 1
    assert f"{raw.name}, line 1" in verified.stderr
