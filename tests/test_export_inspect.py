"""Logs for Inspect AI: its own schema, the messages sent, the answers, and our scores.

The schema is Inspect AI's, made strict by tests/inspect_reader.py, which also lets Inspect AI
itself read logs.
"""

from __future__ import annotations

import json
import math
import re
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from exported_arm import ANSWERS, METRICS, PARTS, PASSAGE, TIMES, Arm
from jsonschema import Draft202012Validator, ValidationError
from question_records import ItemScores, SampleOutcome
from report_files import run_main, write_provenance

from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import write_csv, write_json, write_jsonl
from workflow_scripts.core.records import (
    Answer,
)
from workflow_scripts.export import inspect_log

METRIC_OF = {metric.short: metric.name for metric in METRICS}

SCHEMA = json.loads(
    (Path(__file__).parent / "data/inspect_log.schema.json").read_text(encoding="utf-8")
)
CHECKS = {
    name: Draft202012Validator({**SCHEMA, "$ref": f"#/$defs/{name}"})
    for name in ("EvalLog", "EvalSample", "EvalSampleSummary")
}


@pytest.fixture
def arm(tmp_path: Path) -> Arm:
    return Arm(tmp_path)


def members(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:
        return {name: json.loads(archive.read(name)) for name in archive.namelist()}


def samples(path: Path) -> Iterator[dict[str, Any]]:
    return (each for name, each in members(path).items() if name.startswith("samples/"))


def check(value: Any, name: str) -> None:
    CHECKS[name].validate(value)


def test_all_members_have_the_form_that_inspect_ai_reads(arm: Arm) -> None:
    found = members(arm.write())
    check(found.pop("header.json"), "EvalLog")
    for summary in found.pop("summaries.json"):
        check(summary, "EvalSampleSummary")
    assert len(found) == len(ANSWERS)
    for name, sample in found.items():
        check(sample, "EvalSample")
        assert name == f"samples/{sample['id']}_epoch_{sample['epoch']}.json"
    with pytest.raises(ValidationError):  # the schema tells a misspelled field
        check({**sample, "targets": []}, "EvalSample")


def test_a_sample_has_what_was_sent_and_what_came_back(arm: Arm) -> None:
    sample = members(arm.write())["samples/demo|i/0_epoch_1.json"]
    sent = [
        {"role": "system", "content": "Answer only if you are sure."},
        {"role": "user", "content": f"Passage: {PASSAGE}\n\nWhere does Mira Holt live?"},
    ]
    answer = {
        "role": "assistant", "content": "Oslo", "source": "generate",
        "model": "llama_cpp/assay-demo",
    }  # fmt: skip
    assert sample["input"] == sent
    assert sample["messages"] == [*sent, answer]
    assert sample["target"] == ["Oslo", "Oslo, Norway"]
    assert sample["output"]["choices"] == [{"message": answer, "stop_reason": "stop"}]
    assert sample["output"]["completion"] == "Oslo"
    assert sample["output"]["time"] == sample["total_time"] == 0.25
    # Inspect AI's input tokens are those that were not cached.
    assert sample["output"]["usage"] == {
        "input_tokens": 30, "output_tokens": 0, "total_tokens": 100,
        "input_tokens_cache_read": 60, "input_tokens_cache_write": 10,
    }  # fmt: skip
    assert sample["metadata"]["custom_id"] == "demo|i/0|treatment|0.7|0|open_book"
    assert sample["metadata"]["cluster_id"] == "passage-1"


def test_every_outcome_is_told(arm: Arm) -> None:
    found = {(each["id"], each["epoch"]): each for each in samples(arm.write())}
    outcome = {key: each["metadata"]["outcome"] for key, each in found.items()}
    stops = {
        key: each["output"]["choices"][0]["stop_reason"]
        for key, each in found.items()
        if each["output"]["choices"]
    }
    failed = found["demo|i/0", 2]
    assert outcome["demo|i/0", 2] == "failed"
    assert failed["error"]["message"] == "timeout: no answer within 60 s"
    assert failed["scores"] == {}
    assert failed["output"]["choices"] == []
    assert failed["messages"] == failed["input"]
    assert found["demo|i/1", 1]["scores"]["abstain"]["value"] == 1
    assert found["demo|i/1", 1]["scores"]["abstain"]["answer"] == "I don't know."
    assert "usage" not in found["demo|i/1", 1]["output"]  # the engine counted no tokens
    assert "total_time" not in found["demo|i/1", 2]  # a batch job's answer has no latency
    assert found["demo|i/2", 1]["scores"]["false_answer"]["value"] == 1
    assert found["demo|i/2", 1]["scores"]["unsupported"]["value"] == 1
    assert stops["demo|i/2", 2] == "max_tokens"
    assert stops["demo|i/3", 1] == "content_filter"
    assert found["demo|i/3", 1]["output"]["metadata"]["finish_reason"] == "refused:content_filter"
    assert found["demo|i/3", 1]["target"] == []
    assert found["demo|i/4", 1]["messages"][-1]["content"] == "<script>alert('1')</script>"
    assert found["demo|i/5", 2]["scores"]["em"]["answer"] == "Oslo"


def test_the_samples_scores_average_to_those_of_per_item_scores(arm: Arm) -> None:
    """The log takes them from outcomes.csv; `score` made its own from the responses."""
    values: dict[tuple[str, str], list[float]] = defaultdict(list)
    for sample in samples(arm.write()):
        for name, found in sample["scores"].items():
            values[sample["id"], METRIC_OF[name]].append(found["value"])
    wanted = {
        (row.item_key, metric): getattr(row, metric)
        for row in arm.scores
        for metric in METRIC_OF.values()
    }
    assert {key: math.fsum(each) / len(each) for key, each in values.items()} == pytest.approx(
        wanted
    )
    assert {metric for _, metric in wanted} == set(METRIC_OF.values())


def test_the_header_has_results_usage_and_settings(arm: Arm) -> None:
    header = members(arm.write())["header.json"]
    means = {each["name"]: each["metrics"]["mean"]["value"] for each in header["results"]["scores"]}
    assert means["em"] == pytest.approx(sum(row.em for row in arm.scores) / len(arm.scores))
    assert set(means) == set(METRIC_OF)
    assert header["results"]["total_samples"] == 12
    assert header["results"]["completed_samples"] == 11
    counted = [each for each in samples(arm.folder / "x.eval") if each["model_usage"]]
    assert len(counted) == 10
    usage = header["stats"]["model_usage"]["llama_cpp/assay-demo"]
    for name in ("input_tokens", "output_tokens", "total_tokens"):
        assert usage[name] == sum(
            each["model_usage"]["llama_cpp/assay-demo"][name] for each in counted
        )
    spec = header["eval"]
    assert spec["model"] == "llama_cpp/assay-demo"
    assert spec["task_args"]["condition"] == "treatment"
    assert spec["dataset"] == {
        "name": "demo", "samples": 6, "sample_ids": [item.key for item in arm.items],
        "shuffled": False,
    }  # fmt: skip
    assert spec["config"]["epochs"] == 2
    assert spec["model_generate_config"] == {
        "temperature": 0.7, "max_tokens": 9, "top_p": 0.9, "stop_seqs": ["\n"],
    }  # fmt: skip
    assert spec["model_args"] == {"backend": "local", "n_ctx": 2048}
    assert header["plan"]["steps"][0]["params"]["template"] == "Answer only if you are sure."
    assert header["stats"]["started_at"] == "2023-11-14T22:13:20+00:00"
    assert header["stats"]["completed_at"] == "2023-11-14T22:14:20+00:00"


def test_closed_book_has_no_unsupported_score(arm: Arm) -> None:
    as_asked = {"type": "closed_book", "support": None, "unsupported_rate": None}
    arm.outcomes = [
        row.model_copy(
            update={**as_asked, "custom_id": row.custom_id.replace("open_book", "closed_book")}
        )
        for row in arm.outcomes
    ]
    unmeasured = {"type": "closed_book", "unsupported_rate": None, "unsupported_rate_std": None}
    arm.scores = [row.model_copy(update=unmeasured) for row in arm.scores]
    arm.settings = arm.settings.model_copy(update={"task": "closed_book"})
    arm.lines = [line.model_copy(update={"type": "closed_book"}) for line in arm.lines]
    for name in PARTS:
        path = arm.folder / "inputs" / name
        text = path.read_text(encoding="utf-8").replace("open_book", "closed_book")
        path.write_text(text, encoding="utf-8")
    found = members(arm.write())
    assert all("unsupported" not in each["scores"] for each in samples(arm.folder / "x.eval"))
    named = {each["name"] for each in found["header.json"]["results"]["scores"]}
    assert named == set(METRIC_OF) - {"unsupported"}


def test_equal_inputs_give_equal_bytes(arm: Arm) -> None:
    assert arm.write("a.eval").read_bytes() == arm.write("b.eval").read_bytes()


def test_summaries_cut_long_texts(arm: Arm) -> None:
    arm.items[0] = arm.items[0].model_copy(update={"answers": ["long " * 1000]})
    summary = members(arm.write())["summaries.json"][0]
    assert len(summary["target"][0]) < 1100
    check(summary, "EvalSampleSummary")


def test_no_requests_are_an_empty_log(arm: Arm) -> None:
    for name in PARTS:
        (arm.folder / "inputs" / name).write_bytes(b"")
    arm.scores, arm.outcomes, arm.lines = [], [], []
    found = members(arm.write())
    check(found["header.json"], "EvalLog")
    assert found["header.json"]["results"]["total_samples"] == 0
    assert found["summaries.json"] == []


def test_a_request_without_outcome_is_named(arm: Arm) -> None:
    arm.outcomes.pop(0)
    with pytest.raises(UserError, match=r"'demo\|i/0\|treatment\|0.7\|0\|open_book' is not in out"):
        arm.write()
    assert not list(arm.folder.glob("*.eval"))


def test_a_request_without_answer_is_named(arm: Arm) -> None:
    missing = arm.lines.pop(5).named("treatment")
    with pytest.raises(UserError, match=rf"where '{re.escape(missing)}' was asked"):
        arm.write()
    assert not list(arm.folder.glob("*.eval"))


def test_an_unknown_item_is_named(arm: Arm) -> None:
    arm.items.pop()
    with pytest.raises(UserError, match=r"'demo\|i/5\|.* is not in the item files"):
        arm.write()


def test_the_command_writes_the_same_log(arm: Arm) -> None:
    write_json(arm.folder / "settings.json", arm.settings.model_dump(mode="json"))
    write_jsonl(arm.folder / "open_book.jsonl", arm.items)
    write_csv(arm.folder / "answers.csv", Answer, arm.answers())
    write_csv(arm.folder / "outcomes.csv", SampleOutcome, arm.outcomes)
    write_csv(arm.folder / "scores.csv", ItemScores, arm.scores)
    provenance = write_provenance(arm.folder).model_copy(update={"answered": TIMES})
    write_json(arm.folder / "provenance.json", provenance.model_dump(mode="json"))
    files = {
        "settings": "settings.json", "items": "open_book.jsonl", "outcomes": "outcomes.csv",
        "answers": "answers.csv", "scores": "scores.csv", "provenance": "provenance.json",
        "output": "y.eval",
    }  # fmt: skip
    run_main(
        inspect_log,
        [part for name, file in files.items() for part in (f"--{name}", str(arm.folder / file))],
    )
    assert (arm.folder / "y.eval").read_bytes() == arm.write().read_bytes()
