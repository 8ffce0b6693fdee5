"""Judges in a whole run: what is sent, what re-runs, what a budget and kills do."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Project
from judging import ARMS
from servers.base import running
from servers.openai import OpenAIServer
from servers.openai_compatible import CompatibleServer
from small_workflow import jobs_in

N_ITEMS = 16
ITEMS = Path("resources/demo/closed_book.jsonl")

TRIAL = "results/judged/openai_compatible/small/default/wording"
OPTIONS = ("--cores", "2", "--configfile", "config/judged.yaml", "--")
RUN = (*OPTIONS, f"{TRIAL}/report.json")
JUDGED = (*OPTIONS, *(f"{TRIAL}/{name}" for name in ("verdicts.csv", "judgements.json")))
SCORED = (*JUDGED, f"{TRIAL}/outcomes.csv")
"""A whole run; one that ends with the verdicts, and one that ends with the scores."""

_GOLDS = re.compile(r"^Reference answers: (.*)$", re.MULTILINE)
_RESPONSE = re.compile(r"^Response: (.*)$", re.MULTILINE)


def by_containment(asked: str) -> str:
    """What the judge's server says: correct if a gold answer is in the response."""
    golds, said = _GOLDS.search(asked), _RESPONSE.search(asked)
    if golds is None or said is None:
        return "?"
    found = any(gold in said[1] for gold in golds[1].split(" | "))
    return json.dumps({"verdict": "correct" if found else "incorrect"})


def n_asked(server: CompatibleServer) -> int:
    """Number of requests, but for the one token by which a server says who it is."""
    return sum(body.get("max_tokens") != 1 for body in server.bodies)


Judging = CompatibleServer | OpenAIServer


def triples(server: Judging) -> Counter[str]:
    """How often the judge was asked about each question, golds and response."""
    billed = isinstance(server, OpenAIServer)
    bodies = [body for _, body in server.bills] if billed else server.bodies
    asked = (body["messages"][-1]["content"] for body in bodies)
    return Counter(text for text in asked if _GOLDS.search(text))


# From one end to the other


@pytest.fixture
def servers() -> Iterator[tuple[CompatibleServer, CompatibleServer]]:
    """The one that answers, and the judge. The treatment's answers differ on every third item."""
    rows = [json.loads(line) for line in ITEMS.read_text(encoding="utf-8").splitlines()]
    gold = {
        row["question"]: (number, row["answers"][0] if row["answers"] else "Not Oslo either.")
        for number, row in enumerate(rows)
    }

    def answer(asked: str) -> str:
        found = (each for question, each in gold.items() if question in asked)
        number, text = next(found, (1, "?"))  # who is there is asked too
        return f"Surely {number}" if asked.startswith("Q: ") and number % 3 == 0 else text

    with running(CompatibleServer()) as answering, running(CompatibleServer()) as judge:
        for server, model in ((answering, "small"), (judge, "large")):
            server.be_vllm(f"vllm-{model}")
            server.models = {model: server.models["tiny-3m"]}
        answering.answer = answer
        judge.answer = by_containment
        yield answering, judge


def write_config(
    project: Project, servers: tuple[CompatibleServer, CompatibleServer], **changes: Any
) -> None:
    answering, judge = servers
    config = {
        "experiment": "judged",
        "backend": "openai_compatible",
        "local_endpoint": answering.url,
        "model_id": "small",
        "max_concurrent_requests": 2,
        "datasets": {
            "demo_closed": {"format": "jsonl", "path": ITEMS.as_posix(), "task": "closed_book"}
        },
        "limit_items": N_ITEMS,
        "parts_per_dataset": 2,
        "arms": {"short": {"system": "control", "template": "prompts/short.txt"}},
        "prompt_sets": {"wording": {"control": "control", "treatment": "short"}},
        "judges": {
            "grader": {"local_endpoint": judge.url, "model_id": "large", "max_new_tokens": 4}
        },
        "correctness": "judge",
        "labels": "labels.csv",
        "judge_bar": 0.9,
        "pricing": {
            "small": {"input_per_million": 0, "output_per_million": 0},
            "large": {"input_per_million": 0, "output_per_million": 1_000_000},
        },
        "stats": {"bootstrap_samples": 100, "permutation_samples": 100},
        **changes,
    }
    text = yaml.safe_dump(config, sort_keys=False)
    (project.root / "config/judged.yaml").write_text(text, encoding="utf-8")


def table(project: Project, name: str) -> list[dict[str, str]]:
    with (project.root / TRIAL / name).open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def said_by(project: Project, judge: str) -> dict[str, str]:
    """The verdicts of a judge by custom_id."""
    rows = table(project, "verdicts.csv")
    return {row["custom_id"]: row["verdict"] for row in rows if row["judge"] == judge}


def label_all(project: Project, verdict: str) -> None:
    """Write a label file with this verdict on all responses."""
    rows = [json.loads(line) for line in ITEMS.read_text(encoding="utf-8").splitlines()]
    lines = [f"demo_closed,{row['id']},{arm},{verdict}" for row in rows for arm in ARMS]
    text = "\n".join(["dataset,item_id,arm,verdict", *lines]) + "\n"
    (project.root / "labels.csv").write_text(text, encoding="utf-8")


def check_verdicts(project: Project, judge: Judging) -> int:
    """Check that each triple was asked about once and its verdict counts; return how many."""
    items = project.read("results/judged/items/closed_book.jsonl").splitlines()
    gold = {row["id"]: (row["question"], row["answers"]) for row in map(json.loads, items)}
    responses = {
        row["custom_id"]: (*gold[row["item_id"]], row["response_text"])
        for row in table(project, "predictions.csv")
    }
    wanted = {json.dumps(each) for each in responses.values() if each[1]}
    assert N_ITEMS / 2 < len(wanted) < 2 * N_ITEMS
    assert len(triples(judge)) == len(wanted)
    assert set(triples(judge).values()) == {1}
    assert all("Q: " not in text and "short" not in text for text in triples(judge))
    said = said_by(project, "grader")
    assert said.keys() == {key for key, each in responses.items() if each[1]}
    for key, verdict in said.items():
        _, golds, text = responses[key]
        assert verdict == ("correct" if any(gold in text for gold in golds) else "incorrect")
    assert len(set(said.values())) == 2
    correct = {row["custom_id"]: float(row["correct"]) for row in table(project, "outcomes.csv")}
    assert all(correct[key] == (verdict == "correct") for key, verdict in said.items())
    return len(wanted)


def test_a_judge_is_asked_once_within_its_budget_and_what_changed_alone_runs_again(
    project: Project, servers: tuple[CompatibleServer, CompatibleServer]
) -> None:
    answering, judge = servers
    (project.root / "prompts/short.txt").write_text("Q: {question}\n", encoding="utf-8")
    label_all(project, "correct")

    # A reply of two tokens costs $2, and one of four, the most, is reserved.
    write_config(project, servers, budget_usd=13)
    stopped = project.snakemake(*RUN, check=False)
    assert stopped.returncode != 0
    assert "budget_usd=13 is reached: $" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert 0 < 2 * sum(triples(judge).values()) <= 13

    write_config(project, servers, budget_usd=1000)
    project.snakemake(*RUN)
    n_triples = check_verdicts(project, judge)

    # People say of all responses that they are correct, so the judge is below the bar.
    summary = json.loads(project.read(f"{TRIAL}/report.json"))
    assert {each["standing"] for each in summary["verdicts"]} == {"withheld"}
    page = project.read(f"{TRIAL}/report.html")
    assert "No verdict is called: κ of judge grader and people" in page
    assert "What the judges said" in page

    assert project.plan(*RUN) == Counter()
    sent = n_asked(answering), n_asked(judge)
    label_all(project, "incorrect")
    planned = project.plan(*RUN)
    assert planned["verdicts"] == planned["score"] == planned["judgements"] == 1
    assert not {"infer", "build", "judge_requests", "parse"} & planned.keys()
    project.snakemake(*JUDGED)
    assert sent == (n_asked(answering), n_asked(judge))
    assert set(said_by(project, "people").values()) == {"incorrect"}

    prompt = project.root / "prompts/judges/correct.md"
    prompt.parent.mkdir()
    prompt.write_text(
        "Right? {question}\nReference answers: {answers}\nResponse: {response}\n{verdicts}\n",
        encoding="utf-8",
    )
    before = triples(judge)
    project.snakemake(*JUDGED)
    anew = triples(judge) - before
    assert len(anew) == n_triples
    assert set(anew.values()) == {1}
    assert all(text.startswith("Right? ") for text in anew)
    assert sent[0] == n_asked(answering)
    assert project.plan(*JUDGED) == Counter()


def test_a_judge_is_asked_through_a_batch_api(
    project: Project, servers: tuple[CompatibleServer, CompatibleServer]
) -> None:
    """Its parts are jobs: each triple is billed once, to a job, and none again."""
    (project.root / "prompts/short.txt").write_text("Q: {question}\n", encoding="utf-8")
    label_all(project, "correct")
    with running(OpenAIServer()) as provider:
        provider.answer = by_containment
        (project.root / ".env").write_text(f"OPENAI_API_KEY={provider.key}\n", encoding="utf-8")
        grader = {
            "backend": "openai",
            "local_endpoint": provider.url,
            "model_id": "gpt-4o-mini",
            "use_batch_api": True,
            "poll_interval_s": 0.05,
        }
        write_config(project, servers, judges={"grader": grader}, pricing={})
        project.snakemake(*SCORED)
        assert jobs_in(project.last_log())["submit"] >= 1
        check_verdicts(project, provider)
        jobs = {job for job, _ in provider.bills}
        assert jobs == set(provider.batches)
        assert all(body["response_format"]["type"] == "json_schema" for _, body in provider.bills)
        report = json.loads(project.read(f"{TRIAL}/judgements.json"))
        (judge,) = report["judges"]
        assert judge["spent"]["requests"] == len(provider.bills)
        assert judge["undecided"] == judge["failed"] == 0
        assert project.plan(*SCORED) == Counter()
