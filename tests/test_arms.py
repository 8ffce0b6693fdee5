"""Arms that differ in more than the system prompt: what is asked, of whom, and what is refused."""

from __future__ import annotations

import csv
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from conftest import NewClone, Project, clean_environment, kills
from multiple_choice import ChoiceItem
from servers.base import running
from servers.openai_compatible import CompatibleServer
from trial_parts import trial_parts

from workflow_scripts.comparisons.differences import DifferencesSettings, differences, differing
from workflow_scripts.config.load import read_config
from workflow_scripts.config.models import models
from workflow_scripts.config.trial import Trial
from workflow_scripts.config.trials import trials
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import write_jsonl
from workflow_scripts.core.records import Decoding, Message, Prediction, Request
from workflow_scripts.metrics.settings import Unsupported
from workflow_scripts.report.arms import question
from workflow_scripts.rules.experiment import Experiment
from workflow_scripts.scoring.items import TrialScorer
from workflow_scripts.tasks.registry import TASKS
from workflow_scripts.tasks.settings import ScoreSettings

N_ITEMS = 24

CONFIG: dict[str, Any] = {
    "experiment": "arms",
    "backends": {
        "one": {"local_endpoint": "http://127.0.0.1:1", "model_id": "small"},
        "two": {"local_endpoint": "http://127.0.0.1:2", "model_id": "large"},
    },
    "backend": "openai_compatible",
    "sweep": {},
    "datasets": {
        "demo_closed": {
            "format": "jsonl",
            "path": "resources/demo/closed_book.jsonl",
            "task": "closed_book",
        }
    },
    "limit_items": N_ITEMS,
    "arms": {"big": {"system": "control", "backend": "two"}},
    "prompt_sets": {"size": {"control": "control", "treatment": "big"}},
    "stats": {"bootstrap_samples": 100, "permutation_samples": 100},
}


def written(project: Project, **changes: Any) -> Path:
    path = project.root / "config/arms.yaml"
    path.write_text(yaml.safe_dump({**CONFIG, **changes}, sort_keys=False), encoding="utf-8")
    return path


def made(project: Project, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> list[Trial]:
    """The trials of a config with these changes."""
    monkeypatch.chdir(project.root)
    return trials(read_config(written(project, **changes)))


def said(project: Project, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> str:
    """What a config with these changes is refused for."""
    with pytest.raises(UserError) as refused:
        made(project, monkeypatch, **changes)
    return str(refused.value)


ONE_BACKEND = {"sweep": {}, "backends": {"one": CONFIG["backends"]["one"]}}


# What an arm is


def test_an_arm_on_another_model_shares_the_requests_of_its_prompt(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial, _ = made(
        project,
        monkeypatch,
        prompt_sets={"size": {"control": "control", "treatment": "brief"}},
        arms={"brief": {"system": "treatment", "backend": "two"}},
    )
    control, brief = trial.arms.values()
    assert (control.backend, control.model, control.prompt) == ("one", "small", "control")
    assert (brief.backend, brief.model) == ("two", "large")
    assert (brief.name, brief.prompt) == ("brief", "treatment")
    assert brief.inputs_folder == control.inputs_folder == "results/arms/inputs/default"
    assert brief.raw_folder == "results/arms/two/large/default/raw"
    assert brief.differing(control) == ["system prompt", "backend", "model"]


def test_an_arm_with_a_template_has_requests_of_its_own(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project.root / "prompts/short.txt").write_text("Q: {question}\n", encoding="utf-8")
    trial, _ = made(
        project,
        monkeypatch,
        arms={"short": {"system": "control", "template": "prompts/short.txt"}},
        prompt_sets={"wording": {"control": "control", "treatment": "short"}},
    )
    control, short = trial.arms.values()
    assert short.prompt == "short"
    assert short.raw_folder == control.raw_folder
    assert short.differing(control) == ["instruction"]
    assert short.templates["demo_closed"].file == "prompts/short.txt"


def test_an_arm_with_other_decoding_lies_where_a_sweep_of_it_would(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    arms = {"wide": {"system": "control", "decoding": {"top_p": 0.9}}}
    prompt_sets = {"nucleus": {"control": "control", "treatment": "wide"}}
    (trial,) = made(project, monkeypatch, **ONE_BACKEND, arms=arms, prompt_sets=prompt_sets)
    wide = trial.arms["treatment"]
    swept = made(project, monkeypatch, **{**ONE_BACKEND, "sweep": {"top_p": [0.9]}}, arms={},
                 prompt_sets={"p": {"control": "control", "treatment": "treatment"}})  # fmt: skip
    (elsewhere,) = (each.arms["control"] for each in swept)
    assert wide.prompt == elsewhere.prompt
    assert wide.raw_folder == elsewhere.raw_folder
    assert wide.inputs_folder == elsewhere.inputs_folder
    assert wide.decoding == elsewhere.decoding
    assert question(trial) == (
        "Does “wide” (top p 0.9 instead of off) change accuracy and hallucination compared with "
        "“control”?"
    )


def test_the_models_of_arms_are_asked_and_are_no_trials_of_their_own(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    arms = {"big": {"system": "control", "model": "huge"}}
    changes: dict[str, Any] = {**ONE_BACKEND, "arms": arms}
    assert [trial.model for trial in made(project, monkeypatch, **changes)] == ["small"]
    assert list(models(read_config(written(project, **changes)))) == [
        ("one", "small"),
        ("one", "huge"),
    ]


def test_where_an_arm_asks_what_its_control_asks_there_is_no_trial(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    (trial,) = made(project, monkeypatch)
    assert (trial.backend, trial.arms["treatment"].backend) == ("one", "two")
    sets = {"size": {"control": "control", "treatment": ["big", "polite"]}}
    first, second = made(project, monkeypatch, prompt_sets=sets)
    assert list(first.arms) == ["control", "big", "polite"]
    assert list(second.arms) == ["control", "polite"]


# What is refused


@pytest.mark.parametrize(
    ("arm", "problem"),
    [
        ({"modell": "x"}, "arms.big.modell: neither a key of an arm nor an option of the tasks in "
         "use; did you mean 'model'?"),
        ({"backend": "too"}, "arms.big.backend: no backend 'too'; did you mean 'two'?"),
        ({"template": "prompts/none.txt"}, "the template's file 'prompts/none.txt' does not exist"),
        ({"template": "prompts/system/control.txt"}, "task closed_book needs each of {question}"),
        ({"decoding": {"top_p": 2}}, "arms.big.decoding.top_p"),
        ({}, "prompt_sets.size.treatment: 'big' asks what the control 'control' asks, of the "
         "same model: nothing that is sent differs"),
    ],
    ids=["option", "backend", "no file", "fields", "decoding", "equal"],
)  # fmt: skip
def test_an_arm_that_cannot_be_is_refused_with_its_line(
    project: Project, monkeypatch: pytest.MonkeyPatch, arm: dict[str, Any], problem: str
) -> None:
    told = said(project, monkeypatch, arms={"big": {"system": "control", **arm}})
    assert problem in told
    assert "config/arms.yaml, line " in told


def test_an_arm_may_not_have_the_name_of_a_prompt(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = said(
        project,
        monkeypatch,
        arms={
            "big": {"system": "control", "backend": "two"},
            "control": {"system": "control", "backend": "two"},
        },
    )
    assert "a system prompt is called 'control' too; rename the arm" in told


# What the requests differ in


def request(number: int, prompt: str, **changes: Any) -> Request:
    system, user = changes.pop("system", "s"), changes.pop("user", f"question {number}")
    return Request(
        custom_id=f"d|{number}|{prompt}|0.0|0|closed_book",
        dataset="d", item_id=str(number), prompt=prompt, temp="0.0", sample_index=0,
        type="closed_book",
        messages=[Message(role="system", content=system), Message(role="user", content=user)],
        decoding=Decoding(**{"temperature": 0.0, "max_new_tokens": 8, "seed": 0, **changes}),
    )  # fmt: skip


def compared(folder: Path, other: list[Request], declared: list[str]) -> dict[str, int]:
    write_jsonl(folder / "control.jsonl", [request(n, "control") for n in range(3)])
    write_jsonl(folder / "other.jsonl", other)
    parts = trial_parts(
        folder, folder, {"control": ["control.jsonl"], "treatment": ["other.jsonl"]}
    )
    settings = DifferencesSettings(
        parts=parts, declared={"treatment": declared}, who={"treatment": ["model"]}
    )
    return differences(settings).treatments["treatment"].differing


def test_differences_are_counted_request_by_request(tmp_path: Path) -> None:
    other = [
        request(0, "o", system="t"),
        request(1, "o", system="t", top_p=0.5),
        request(2, "o", system="t", user="else"),
    ]
    found = compared(tmp_path, other, ["system prompt", "top p", "instruction"])
    assert found == {"system prompt": 3, "top p": 1, "instruction": 1, "model": 3}


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"system": "t"}, "system prompt"),
        ({"user": "else"}, "instruction"),
        ({"max_new_tokens": 9}, "max new tokens"),
        ({"seed": 1}, "seed"),
        ({"stop": ["."]}, "stop"),
        ({"json_schema": {"type": "object"}}, "json schema"),
    ],
)
def test_what_is_not_declared_stops(tmp_path: Path, changes: dict[str, Any], name: str) -> None:
    other = [request(0, "o"), request(1, "o", **changes), request(2, "o")]
    with pytest.raises(UserError, match=rf"d\|1\|o.*in its {name}"):
        compared(tmp_path, other, [])


def test_options_may_change_the_schema_beside_the_instruction(tmp_path: Path) -> None:
    other = [request(n, "o", json_schema={"type": "object"}) for n in range(3)]
    found = compared(tmp_path, other, ["instruction"])
    assert found == {"json schema": 3, "model": 3}
    assert list(differing(other[0], request(0, "o"))) == ["json schema"]


@pytest.mark.parametrize("numbers", [[0, 1], [0, 1, 3], [0, 1, 2, 3]])
def test_arms_that_ask_other_items_stop(tmp_path: Path, numbers: list[int]) -> None:
    with pytest.raises(UserError, match="the arms ask other items"):
        compared(tmp_path, [request(number, "o") for number in numbers], [])


def test_an_arm_with_options_of_its_own_is_scored_by_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(TASKS._shipped, "multiple_choice", "multiple_choice:TASK")  # type: ignore[index]
    fields = {"stem": "Which is even?", "choices": ["2", "3"], "key_letter": "B"}
    item = ChoiceItem(id="1", dataset="d", cluster_id="1", **fields)
    rows = [
        Prediction(
            custom_id=f"d|1|{condition}|0.0|0|multiple_choice", dataset="d", item_id="1",
            condition=condition, temp="0.0", sample_index=0, type="multiple_choice",
            request_id="r", finish_reason="stop", response_text="B.",
        )
        for condition in ("control", "few", "other")
    ]  # fmt: skip
    settings = ScoreSettings(
        unsupported=Unsupported(),
        abstention_phrases=[],
        options={"multiple_choice": {"letters": "ABC"}},
        options_of_arms={"few": {"multiple_choice": {"letters": "A"}}},
    )
    scorer = TrialScorer(["multiple_choice"], {item.key: item}, settings)
    found = {row.condition: row.number("picked") for row in scorer.outcomes(rows, [])}
    assert found == {"control": 1.0, "few": 0.0, "other": 1.0}


def test_nothing_is_asked_before_the_arms_were_compared(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project.root)
    prompts = {"control": "control", "treatment": "treatment"}
    sets = {**CONFIG["prompt_sets"], "tone": prompts}
    experiment = Experiment(read_config(written(project, prompt_sets=sets)))

    def waits_for(backend: str, model: str, prompt: str) -> list[str]:
        place = {"backend": backend, "model": model, "decoding": "default", "prompt": prompt}
        return [path.split("/", 2)[2] for path in experiment.differences_of_part(place)]

    size, tone = (f"one/small/default/{name}/differences.json" for name in ("size", "tone"))
    assert waits_for("one", "small", "control") == [size, tone]
    assert waits_for("one", "small", "treatment") == [tone]
    other = tone.replace("one/small", "two/large")
    assert waits_for("two", "large", "control") == [size, other]


# From one end to the other


@pytest.fixture
def two_servers() -> Iterator[tuple[CompatibleServer, CompatibleServer]]:
    with running(CompatibleServer()) as one, running(CompatibleServer()) as two:
        gold = {
            row["question"]: row["answers"][0] if row["answers"] else "I don't know."
            for row in map(
                json.loads,
                Path("resources/demo/closed_book.jsonl").read_text(encoding="utf-8").splitlines(),
            )
        }
        for server, name, wrong in ((one, "small", 3), (two, "large", 5)):
            server.be_vllm(f"vllm-{name}")
            server.models = {name: server.models["tiny-3m"]}
            known = {
                asked: answer if number % wrong else "nobody knows"
                for number, (asked, answer) in enumerate(sorted(gold.items()))
            }
            server.answer = lambda asked, known=known: next(
                (answer for key, answer in known.items() if key in asked), "?"
            )
        yield one, two


def on(servers: tuple[CompatibleServer, CompatibleServer], **changes: Any) -> dict[str, Any]:
    one, two = (
        {"local_endpoint": server.url, "model_id": model}
        for server, model in zip(servers, ("small", "large"), strict=True)
    )
    return {"backends": {"one": one, "two": two}, **changes}


def run(project: Project, *arguments: str) -> None:
    project.snakemake("--cores", "2", "--configfile", "config/arms.yaml", *arguments)


def asked(server: CompatibleServer) -> Counter[str]:
    """How often each request was heard, without those that look who is there."""
    chats = (body for body in server.bodies if body["messages"][0]["role"] == "system")
    return Counter(json.dumps(body, sort_keys=True) for body in chats)


TRIAL = "results/arms/one/small/default/size"
TARGET = f"{TRIAL}/significance.json"


def right(project: Project, folder: str) -> dict[tuple[str, str], bool]:
    """By condition and item, whether the server gave the gold answer."""
    path = project.root / folder / "predictions.csv"
    with path.open(encoding="utf-8", newline="") as stream:
        return {
            (row["condition"], row["item_id"]): row["response_text"] != "nobody knows"
            for row in csv.DictReader(stream)
        }


def change(
    one: dict[tuple[str, str], bool], condition: str, other: dict[tuple[str, str], bool], to: str
) -> float:
    """The mean difference over the items of both."""
    items = {item for _, item in one}
    return float(np.mean([other[to, item] - one[condition, item] for item in items]))


def test_prompts_models_and_treatments_are_compared(
    project: Project, two_servers: tuple[CompatibleServer, CompatibleServer]
) -> None:
    one, two = two_servers
    sets = {"size": {"control": "control", "treatment": ["big", "polite"]}}
    written(project, **on(two_servers, prompt_sets=sets))
    run(project, "results/arms/report.html")
    assert [*asked(one).values()] == [*asked(two).values()] == [1] * 2 * N_ITEMS

    other = TRIAL.replace("one/small", "two/large")
    of_one, of_two = right(project, TRIAL), right(project, other)
    results = json.loads(project.read(f"{TRIAL}/significance.json"))["results"]
    for treatment in ("big", "polite"):  # a model against a model, a prompt against a prompt
        found = results[treatment]["0.0"]["closed_book"]["metrics"]["correct"]["difference"]
        assert found == pytest.approx(change(of_one, "control", of_one, treatment))
    assert change(of_one, "control", of_one, "big") != 0
    differing = json.loads(project.read(f"{TRIAL}/differences.json"))["treatments"]
    assert differing["big"]["differing"] == {"backend": N_ITEMS, "model": N_ITEMS}
    assert differing["polite"]["differing"] == {"system prompt": N_ITEMS}

    comparisons = json.loads(project.read("results/arms/comparisons.json"))["comparisons"]
    found = {
        (each["kind"], each["first"]["condition"], each["second"]["condition"]): each
        for each in comparisons
    }
    assert found.keys() == {
        ("treatments", "big", "polite"),
        ("trials", "control", "control"),
        ("trials", "polite", "polite"),
    }
    for (_, condition, to), each in found.items():
        of_second = of_one if each["kind"] == "treatments" else of_two
        difference = each["metrics"]["correct"]["difference"]
        assert difference == pytest.approx(change(of_one, condition, of_second, to))
    pages = (f"{TRIAL}/report.html", f"{other}/report.html", "results/arms/report.html")
    assert all("“big”" in project.read(page) for page in (pages[0], pages[2]))


@pytest.mark.slow
@pytest.mark.not_on_windows("process groups are killed the POSIX way")
def test_killed_runs_with_arms_on_two_models_end_equal(
    project: Project,
    new_clone: NewClone,
    tmp_path: Path,
    two_servers: tuple[CompatibleServer, CompatibleServer],
) -> None:
    """``kill -9`` while the models are asked, then the same command."""
    written(project, **on(two_servers, parts_per_dataset=4))
    run(project, TARGET)
    whole = [asked(server).keys() for server in two_servers]
    killed = new_clone(tmp_path / "killed")
    written(killed, **on(two_servers, parts_per_dataset=4))
    for server in two_servers:
        server.bodies.clear()
        server.latency_s = 0.05

    def heard() -> int:
        return sum(len(server.bodies) for server in two_servers)

    chance = random.Random(20)
    for _ in range(kills(usual=3, search=6)):
        wanted = heard() + chance.randrange(3, 14)
        started = subprocess.Popen(
            [sys.executable, "-m", "workflow_scripts.rules.snakemake_command", "--cores", "2",
             "--nolock", "--configfile", "config/arms.yaml", TARGET],
            cwd=killed.root, env=clean_environment(), start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        while heard() < wanted and started.poll() is None:
            time.sleep(0.01)
        os.killpg(started.pid, signal.SIGKILL)
        assert started.wait() == -signal.SIGKILL, "finished before it was killed"
    run(killed, TARGET)
    assert [asked(server).keys() for server in two_servers] == whole
    for name in ("predictions.csv", "errors.csv", "per_item_scores.csv", "significance.json"):
        one, other = (
            re.sub(r",chatcmpl-\d+,", ",", each.read(f"{TRIAL}/{name}"))  # numbered as they came
            for each in (killed, project)
        )
        assert one == other, name
