"""Runs that are killed while a judge is asked go on where they were.

A file of its own, so that it runs beside the other long tests.
"""

from __future__ import annotations

import csv
import hashlib
import os
import random
import signal
import time
from pathlib import Path

import pytest
from answering import journaled
from conftest import kills
from judging import ARMS, item, response
from servers.base import running
from servers.openai_compatible import CompatibleServer
from small_workflow import Workflow
from test_judge_workflow import by_containment, triples

from workflow_scripts.answers.parts import ArmParts
from workflow_scripts.answers.settings import InferSettings
from workflow_scripts.backends.settings import BackendSettings
from workflow_scripts.core.files import write_csv, write_json, write_jsonl
from workflow_scripts.core.records import Prediction
from workflow_scripts.judges.requests import JudgeSettings
from workflow_scripts.judges.settings import Measurement
from workflow_scripts.scoring.verdicts import AskedJudge, VerdictsSettings


def named(asked: str) -> str:
    return hashlib.sha256(asked.encode()).hexdigest()


N_REQUESTS = 240

STAGE = """
rule verdicts:
    input: "predictions.csv", "open_book.jsonl", "raw.jsonl"
    output: "verdicts.csv"
    shell: "python -m workflow_scripts.scoring.verdicts --predictions {input[0]}"
        " --items {input[1]} --settings verdicts.json --output {output} --seal verdicts.seal"

rule ask:
    input: "asked.p000.jsonl"
    output: "raw.jsonl"
    shell: "python -m workflow_scripts.answers.send --requests {input} --settings send.json"
        " --journal journal --output {output}"

rule requests:
    input: "predictions.csv", "open_book.jsonl"
    output: "asked.p000.jsonl"
    shell: "python -m workflow_scripts.judges.requests --predictions {input[0]}"
        " --items {input[1]} --settings judge.json --output-stem asked"
"""
"""The rules of the judge stage, without those of an experiment."""

RESPONSES = [
    response(number, arm, f"City {number + (arm == 'treatment') * (number % 2)}")
    for number in range(160)
    for arm in ARMS
]
"""Half of the items have one response in both arms, so that `N_REQUESTS` are different."""


def judge_stage(root: Path, server: CompatibleServer) -> Workflow:
    """The judge stage about `RESPONSES`; each reply names the request that it answers."""
    server.be_vllm()
    server.enforces = False  # no schema allows what the replies add
    server.answer = lambda asked: f"{by_containment(asked)} {named(asked)}"
    server.latency_s = 0.02
    stage = Workflow.of(root, STAGE)
    backend = BackendSettings(
        backend="openai_compatible", local_endpoint=server.url, model_id="tiny-3m",
        max_concurrent_requests=2,
    )  # fmt: skip
    judge = Measurement()
    asked = JudgeSettings(
        name="grader", judge=judge, trial="trial", text=judge.prompt_text(), enforced=True,
        parts=["000"],
    )  # fmt: skip
    parts = ArmParts(inputs_folder="", raw_folder=root.as_posix(), names=["raw.jsonl"])
    gathered = VerdictsSettings(
        asked={"grader": AskedJudge(judge=judge, parts=parts)}, files={}, arms=ARMS, answers={}
    )
    sending = InferSettings(backend=backend, max_retries=2)
    for name, settings in (("judge", asked), ("verdicts", gathered), ("send", sending)):
        write_json(root / f"{name}.json", settings.model_dump(mode="json"))
    write_csv(root / "predictions.csv", Prediction, RESPONSES)
    write_jsonl(root / "open_book.jsonl", map(item, range(160)))
    return stage


@pytest.mark.not_on_windows("process groups are killed the POSIX way")
def test_kills_of_a_run_in_the_judge_stage_change_nothing_and_ask_nothing_twice(
    tmp_path: Path,
) -> None:
    """``kill -9`` of Snakemake and its jobs while a judge is asked, against an undisturbed run."""
    with running(CompatibleServer()) as server:
        undisturbed = judge_stage(tmp_path / "undisturbed", server)
        undisturbed.run()
        assert sorted(triples(server).values()) == [1] * N_REQUESTS
    with running(CompatibleServer()) as server:
        killed = judge_stage(tmp_path / "killed", server)

        def answered() -> list[str]:
            lines = journaled(killed.root / "journal")
            return [line["completion"]["response_text"].split()[-1] for line in lines]

        chance = random.Random(20)
        n_kills = kills(usual=6, search=30)
        for _ in range(n_kills):
            known, heard = answered(), len(server.bodies)
            wanted = len(known) + chance.randrange(1, 9)
            with killed.start("--nolock", "--rerun-incomplete", "--quiet", "all") as run:
                while len(answered()) < wanted and run.poll() is None:
                    time.sleep(chance.uniform(0.01, 0.03))
                os.killpg(run.pid, signal.SIGKILL)
            assert run.returncode == -signal.SIGKILL, "finished before it was killed"
            sent_now = {named(body["messages"][-1]["content"]) for body in server.bodies[heard:]}
            assert sent_now and not sent_now & set(known)
        assert n_kills <= len(answered()) < N_REQUESTS
        killed.run("--nolock", "--rerun-incomplete")
        assert len(answered()) == len(set(answered())) == N_REQUESTS
        # A request in flight at a kill has no answer, so it is sent again: two at most, each time.
        assert len(triples(server)) == N_REQUESTS
        assert triples(server).total() <= N_REQUESTS + n_kills * 2
    for name in ("asked.p000.jsonl", "verdicts.csv"):
        assert killed.read(name) == undisturbed.read(name), name
    with (killed.root / "verdicts.csv").open(encoding="utf-8", newline="") as stream:
        said = {row["custom_id"]: row["verdict"] for row in csv.DictReader(stream)}
    assert said == {
        each.custom_id: "correct" if f"City {each.item_id}" in each.response_text else "incorrect"
        for each in RESPONSES
    }
    assert killed.is_done()
