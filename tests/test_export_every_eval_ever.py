"""Every Eval Ever: its own schemas, its joins, our numbers, and rows that can be made again."""

from __future__ import annotations

import hashlib
import json
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import REPOSITORY
from exported_arm import ANSWERS, METRICS, TIMES, Arm
from jsonschema import Draft7Validator
from report_files import run_main, write_provenance

from workflow_scripts.core.files import write_csv, write_json, write_jsonl
from workflow_scripts.core.metric import Metric
from workflow_scripts.core.records import Answer, ItemScores, custom_id
from workflow_scripts.datasets.settings import HubBenchmark
from workflow_scripts.export import every_eval_ever
from workflow_scripts.export.every_eval_ever import write_evaluation
from workflow_scripts.export.settings import EvalSettings
from workflow_scripts.report.provenance import Provenance
from workflow_scripts.tasks.score_tables import write_metrics

VENDOR = REPOSITORY / "tests/vendor/every_eval_ever"


def schema(name: str) -> Draft7Validator:
    return Draft7Validator(json.loads((VENDOR / name).read_text(encoding="utf-8")))


AGGREGATE, INSTANCE = schema("eval.schema.json"), schema("instance_level_eval.schema.json")


@pytest.fixture
def arm(tmp_path: Path) -> Arm:
    return Arm(tmp_path)


def settings_of(arm: Arm, **changes: Any) -> EvalSettings:
    facts = {
        "deployment_type": "self_deployed",
        "model_availability": "open_weights",
        "confidence": 0.95,
    }
    return EvalSettings(**{**dict(arm.settings), **facts, **changes})


def provenance(folder: Path) -> Provenance:
    return write_provenance(folder).model_copy(update={"answered": TIMES})


def written(arm: Arm, folder: str = "out", **changes: Any) -> tuple[Path, dict[str, Any], list]:
    """The aggregate's path and content, and the instances."""
    root = arm.folder / folder
    path = write_evaluation(
        root,
        settings_of(arm, **changes),
        {item.key: item for item in arm.items},
        arm.answers(),
        arm.outcomes,
        arm.scores,
        METRICS,
        provenance(arm.folder),
    )
    aggregate = json.loads(path.read_text(encoding="utf-8"))
    lines = (root / aggregate["detailed_evaluation_results"]["file_path"]).read_text("utf-8")
    return path, aggregate, [json.loads(line) for line in lines.splitlines()]


def test_both_files_have_the_form_of_the_schemas(arm: Arm) -> None:
    _, aggregate, instances = written(arm)
    AGGREGATE.validate(aggregate)
    assert instances
    for each in instances:
        INSTANCE.validate(each)
    assert aggregate["schema_version"] == AGGREGATE.schema["version"] == "0.3.0"
    assert not AGGREGATE.is_valid({**aggregate, "evaluation_ids": "x"})  # it tells a misspelling


def test_the_files_lie_where_a_data_store_has_them(arm: Arm) -> None:
    path, aggregate, instances = written(arm)
    details = aggregate["detailed_evaluation_results"]
    samples = path.with_name(f"{path.stem}_samples.jsonl")
    place = path.relative_to(arm.folder / "out").as_posix()
    assert place == f"data/demo/llama_cpp/assay-demo/{path.stem}.json"
    assert details["file_path"] == place.removesuffix(".json") + "_samples.jsonl"
    assert uuid.UUID(path.stem).version == 4
    assert details["checksum"] == hashlib.sha256(samples.read_bytes()).hexdigest()
    assert details["total_rows"] == len(instances)


def test_each_instance_belongs_to_one_result(arm: Arm) -> None:
    _, aggregate, instances = written(arm)
    results = {each["evaluation_result_id"]: each for each in aggregate["evaluation_results"]}
    assert len(results) == len(aggregate["evaluation_results"]) == len(METRICS)
    for each in instances:
        result = results[each["evaluation_result_id"]]
        assert each["evaluation_id"] == aggregate["evaluation_id"]
        assert each["model_id"] == aggregate["model_info"]["id"] == "llama_cpp/assay-demo"
        assert each["evaluation_name"] == result["evaluation_name"] == "demo"
    keys = [
        (each["evaluation_result_id"], each["sample_id"], each["metadata"]["sample_index"])
        for each in instances
    ]
    assert len(keys) == len(set(keys)) == (len(ANSWERS) - 1) * len(METRICS)  # one request failed
    assert aggregate["eval_library"]["additional_details"]["failed_requests"] == "1"


def test_scores_are_the_means_of_per_item_scores(arm: Arm) -> None:
    _, aggregate, instances = written(arm)
    for metric, result in zip(METRICS, aggregate["evaluation_results"], strict=True):
        values = [row.score(metric.name) for row in arm.scores]
        details = result["score_details"]
        assert details["score"] == pytest.approx(np.mean(values))
        uncertainty = details["uncertainty"]
        assert uncertainty["standard_deviation"] == pytest.approx(np.std(values, ddof=1))
        assert uncertainty["num_samples"] == len(values)
        assert "confidence_interval" not in uncertainty  # all items share one passage
        assert result["metric_config"]["lower_is_better"] == (metric.better == "lower")
        samples = [
            each["evaluation"]["score"]
            for each in instances
            if each["evaluation_result_id"] == result["evaluation_result_id"]
        ]
        assert len(samples) == len(ANSWERS) - 1


def test_an_interval_is_that_of_independent_items(arm: Arm) -> None:
    """Against Student's t interval of the mean, where each item is a cluster of its own."""
    from scipy import stats

    arm.items = [item.model_copy(update={"cluster_id": item.id}) for item in arm.items]
    _, aggregate, _ = written(arm)
    for metric, result in zip(METRICS, aggregate["evaluation_results"], strict=True):
        values = [row.score(metric.name) for row in arm.scores]
        found = result["score_details"]["uncertainty"]
        assert found["standard_error"]["value"] == pytest.approx(stats.sem(values))
        if len(set(values)) > 1:
            low, high = stats.t.interval(0.95, len(values) - 1, np.mean(values), stats.sem(values))
            interval = found["confidence_interval"]
            ends = (interval["lower"], interval["upper"])
            assert ends == pytest.approx((max(low, 0.0), min(high, 1.0)))


def test_an_amount_has_its_unit_and_no_upper_end(arm: Arm) -> None:
    words = Metric("words", "words", "Words.", "lower", kind="amount", unit="words")
    config = every_eval_ever._metric_config(words)
    assert (config["metric_unit"], config["max_score"]) == ("words", "Infinity")


def test_correctness_and_answers_are_those_of_the_scorer(arm: Arm) -> None:
    _, _, instances = written(arm)
    found = {
        (each["sample_id"], each["metadata"]["sample_index"]): each
        for each in instances
        if each["evaluation_result_id"] == "demo/em"
    }
    assert found["i/0", "0"]["evaluation"] == {"score": 1.0, "is_correct": True}
    assert found["i/5", "1"]["answer_attribution"][0]["extracted_value"] == "Oslo"
    assert found["i/3", "0"]["evaluation"]["is_correct"] is False  # blocked, not an abstention
    assert found["i/3", "0"]["input"]["reference"] == []
    assert found["i/0", "0"]["token_usage"] == {
        **{"input_tokens": 100, "output_tokens": 0, "total_tokens": 100},
        **{"input_tokens_cache_read": 60, "input_tokens_cache_write": 10},
    }
    assert "token_usage" not in found["i/1", "0"]
    assert "performance" not in found["i/1", "1"]
    messages = json.loads(found["i/0", "0"]["input"]["formatted"])
    assert [each["role"] for each in messages] == ["system", "user"]


def rebuilt(record: dict[str, Any]) -> Answer:
    """A row of answers.csv from a record, by nothing but the page docs/exports.md."""
    meta, usage = record["metadata"], record.get("token_usage") or {}
    place = (meta["condition"], meta["temp"], int(meta["sample_index"]), meta["type"])
    dataset, item = record["evaluation_name"], record["sample_id"]
    latency = (record.get("performance") or {}).get("latency_ms")
    return Answer(
        custom_id=custom_id(dataset, item, *place),
        dataset=dataset,
        item_id=item,
        condition=place[0],
        temp=place[1],
        sample_index=place[2],
        type=place[3],
        prompt=meta["prompt"],
        request_digest=meta.get("request_digest"),
        request_id=meta["request_id"],
        finish_reason=meta["finish_reason"],
        response_text=record["output"]["raw"][0],
        prompt_tokens=usage.get("input_tokens"),
        completion_tokens=usage.get("output_tokens"),
        total_tokens=usage.get("total_tokens"),
        cached_tokens=usage.get("input_tokens_cache_read"),
        cache_write_tokens=usage.get("input_tokens_cache_write"),
        latency_s=None if latency is None else latency / 1000,
        served_by=meta.get("served_by", ""),
        at_once=int(meta["at_once"]) if "at_once" in meta else None,
    )


def test_the_rows_of_answers_can_be_made_again(arm: Arm) -> None:
    _, _, instances = written(arm)
    found = {each.custom_id: each for each in map(rebuilt, instances)}
    own = [each for each in arm.answers() if each.condition == "treatment" and not each.failed]
    assert list(found.values()) == own


def test_equal_inputs_give_equal_bytes(arm: Arm) -> None:
    one, other = written(arm, "a")[0], written(arm, "b")[0]
    assert one.name == other.name
    for path in one.parent.iterdir():
        assert path.read_bytes() == (other.parent / path.name).read_bytes()


def test_a_data_set_has_its_source(arm: Arm) -> None:
    def source(**changes: Any) -> dict[str, Any]:
        _, aggregate, _ = written(arm, **changes)
        AGGREGATE.validate(aggregate)
        (found,) = {json.dumps(each["source_data"]) for each in aggregate["evaluation_results"]}
        return json.loads(found)

    benchmark = HubBenchmark(id="rajpurkar/squad_v2", task_id="default", metric="em")
    urls = {"demo": "https://example.org/demo.jsonl?token=secret"}
    named = {"dataset_name": "demo"}
    assert source() == {**named, "source_type": "other"}
    hub = {**named, "source_type": "hf_dataset", "hf_repo": "rajpurkar/squad_v2"}
    assert source(benchmarks={"demo": benchmark}, urls=urls) == hub
    address = "https://example.org/demo.jsonl?…"
    assert source(urls=urls) == {**named, "source_type": "url", "url": [address]}


@pytest.mark.parametrize(
    ("engine", "model", "expected", "folder"),
    [
        ("llama_cpp", "assay-demo", "llama_cpp/assay-demo", "llama_cpp/assay-demo"),
        ("openai_compatible", "Qwen/Qwen3-8B", "Qwen/Qwen3-8B", "Qwen/Qwen3-8B"),
        ("ollama", "llama3:8b", "ollama/llama3:8b", "ollama/llama3-8b"),
        (
            *("fireworks", "accounts/fireworks/models/x"),
            *("fireworks/accounts_fireworks_models_x", "fireworks/accounts_fireworks_models_x"),
        ),
    ],
)
def test_a_model_has_the_id_of_the_hub(
    arm: Arm, engine: str, model: str, expected: str, folder: str
) -> None:
    path, aggregate, _ = written(arm, engine=engine, model=model)
    AGGREGATE.validate(aggregate)
    assert aggregate["model_info"]["id"] == expected
    assert path.parent.relative_to(arm.folder / "out/data/demo").as_posix() == folder


def test_the_command_writes_the_folder(arm: Arm) -> None:
    folder = arm.folder
    write_jsonl(folder / "open_book.jsonl", arm.items)
    write_csv(folder / "answers.csv", Answer, arm.answers())
    write_csv(folder / "outcomes.csv", type(arm.outcomes[0]), arm.outcomes)
    write_csv(folder / "per_item_scores.csv", ItemScores.with_metrics(METRICS), arm.scores)
    write_metrics(folder / "metrics.json", METRICS)
    write_provenance(folder)
    write_json(folder / "settings.json", settings_of(arm).model_dump(mode="json"))
    names = {
        "--settings": "settings.json",
        "--items": "open_book.jsonl",
        "--answers": "answers.csv",
        "--outcomes": "outcomes.csv",
        "--scores": "per_item_scores.csv",
        "--provenance": "provenance.json",
        "--output": "eee",
    }
    run_main(
        every_eval_ever, [part for key, name in names.items() for part in (key, str(folder / name))]
    )
    (aggregate,) = (folder / "eee/data").rglob("*[0-9a-f].json")
    AGGREGATE.validate(json.loads(aggregate.read_text(encoding="utf-8")))
