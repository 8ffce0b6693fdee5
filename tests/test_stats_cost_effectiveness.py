"""What an avoided false answer costs, and when there is no such number."""

import json
import math
import sys

import numpy as np
import pytest
from compared import significance
from question_records import Item
from scipy import stats
from trial_parts import trial_parts

from workflow_scripts.answers.predictions import answers as rows_of
from workflow_scripts.backends.tokens import TokenizerFile
from workflow_scripts.comparisons.settings import StatsSettings
from workflow_scripts.core.files import write_csv, write_json, write_jsonl
from workflow_scripts.core.records import Answer, RawLine, Usage, custom_id
from workflow_scripts.costs.cost_effectiveness import FalseAnswers, cost_effectiveness, main
from workflow_scripts.costs.settings import ArmCostSettings, TrialCostSettings
from workflow_scripts.stats.settings import Stats


def answers(difference, low, high):
    return FalseAnswers(
        n_requests=100, difference=difference, ci_low=low, ci_high=high, ci_trusted=True
    )


def test_the_ratio_and_its_ends():
    found = cost_effectiveness(0.002, 0.001, answers(-0.1, -0.2, -0.05))
    assert found.verdict == "trade_off"
    assert (found.extra_low, found.extra_high) == pytest.approx((0.001, 0.003))
    assert found.per_avoided == pytest.approx(0.02)
    # 0.001 for each 0.2 avoided at best, 0.003 for each 0.05 at worst.
    assert (found.per_avoided_low, found.per_avoided_high) == pytest.approx((0.005, 0.06))


@pytest.mark.parametrize(
    ("extra", "half_width", "low", "high", "verdict"),
    [
        (0.002, 0.001, -0.2, 0.01, "unclear"),
        (0.002, 0.001, None, None, "unclear"),
        (-0.002, 0.001, -0.2, -0.1, "dominates"),
        (0.0, 0.0, -0.2, -0.1, "dominates"),
        (0.0009, 0.002, -0.2, -0.1, "avoids"),
        (-0.002, 0.003, -0.2, -0.1, "avoids"),
        (0.002, None, -0.2, -0.1, "avoids"),
        (0.002, 0.001, 0.1, 0.2, "dominated"),
        (0.0, 0.0, 0.1, 0.2, "dominated"),
        (-0.002, 0.001, 0.1, 0.2, "saves_at_a_loss"),
        (-0.002, 0.003, 0.1, 0.2, "loses"),
    ],
)
def test_the_verdict(extra, half_width, low, high, verdict):
    difference = 0.0 if low is None else (low + high) / 2
    found = cost_effectiveness(extra, half_width, answers(difference, low, high))
    assert found.verdict == verdict
    finite = found.per_avoided_low is not None
    assert finite == (verdict in ("dominates", "trade_off", "avoids") and half_width is not None)
    if finite:
        assert found.per_avoided_low <= found.per_avoided <= found.per_avoided_high


def latency(k, arm):
    return 1 + 0.3 * math.sin(7 * k + (arm == "treatment"))


def line(k, arm):
    return RawLine(
        custom_id=custom_id("d", str(k), arm, "0.0", 0, "open_book"),
        dataset="d",
        item_id=str(k),
        prompt=arm,
        temp="0.0",
        sample_index=0,
        type="open_book",
        response_text="x",
        finish_reason="stop",
        request_id="r",
        usage=Usage(total_tokens=100 + 10 * (arm == "treatment")),
        latency_s=latency(k, arm),
    )


def run(folder, monkeypatch, costs):
    difference = answers(-0.1, -0.2, -0.05).model_dump()
    found = significance({}, false_answers={"treatment": difference})
    write_json(folder / "significance.json", found)
    items = [
        Item(id=str(k), dataset="d", question="?", answers=["x"], cluster_id=f"p{k // 2}")
        for k in range(40)
    ]
    write_jsonl(folder / "open_book.jsonl", items)
    for arm in ("control", "treatment"):
        write_jsonl(folder / f"{arm}.jsonl", [line(k, arm) for k in range(40)])
    arms = {arm: [f"{arm}.jsonl"] for arm in ("control", "treatment")}
    parts = trial_parts(folder, folder, arms)
    write_csv(folder / "answers.csv", Answer, rows_of(parts))
    settings = TrialCostSettings(
        arms={
            arm: ArmCostSettings(
                parts=each,
                system="",
                model="m",
                tokenizer=TokenizerFile(path=None, is_own=False),
                n_ctx=9,
                quote=None,
                note=None,
            )
            for arm, each in parts.arms.items()
        },
        spending_folder=(folder / "spending").as_posix(),
    )
    write_json(folder / "settings.json", settings.model_dump(mode="json"))
    stats_settings = StatsSettings(stats=Stats(bootstrap_samples=100, permutation_samples=100))
    write_json(folder / "stats.json", stats_settings.model_dump(mode="json"))
    local = {
        arm: {name: value for name, value in each.items() if name != "cost_usd"}
        for arm, each in costs.items()
    }
    money = {arm: {"cost_usd": each.get("cost_usd")} for arm, each in costs.items()}
    write_json(folder / "local_costs.json", {"by_condition": local})
    write_json(folder / "costs.json", {"by_condition": money})
    words = [
        *("--significance", folder / "significance.json"),
        *("--local-costs", folder / "local_costs.json"),
        *("--costs", folder / "costs.json"),
        *("--answers", folder / "answers.csv"),
        *("--settings", folder / "settings.json", "--items", folder / "open_book.jsonl"),
        *("--stats-settings", folder / "stats.json"),
        *("--usage-per-item", folder / "usage_per_item.csv", "--usage", folder / "usage.json"),
        *("--output", folder / "cost_effectiveness.json"),
    ]
    monkeypatch.setattr(sys, "argv", ["cost_effectiveness", *map(str, words)])
    main()
    return json.loads((folder / "cost_effectiveness.json").read_text(encoding="utf-8"))


def test_each_known_resource_is_taken_per_request(tmp_path, monkeypatch):
    found = run(
        tmp_path,
        monkeypatch,
        {
            "control": {
                "requests": 100,
                "cost_usd": 1.0,
                "total_tokens": 5000,
                "total_latency_s": 0.0,
            },
            "treatment": {
                "requests": 50,
                "cost_usd": 1.0,
                "total_tokens": 3000,
                "total_latency_s": 0.0,
            },
        },
    )["by_treatment"]["treatment"]
    assert found["false_answers"]["difference"] == -0.1
    assert found["resources"]["cost_usd"]["per_avoided"] == pytest.approx(0.1)
    assert found["resources"]["total_tokens"]["extra_per_request"] == pytest.approx(10)
    assert found["resources"]["total_latency_s"] is None


def test_the_interval_of_costs_is_paired_and_clustered(tmp_path, monkeypatch):
    arm = {"requests": 40, "total_tokens": 4000, "total_latency_s": 40.0}
    more = {"requests": 40, "total_tokens": 4400, "total_latency_s": 40.036}
    found = run(tmp_path, monkeypatch, {"control": arm, "treatment": more})
    resources = found["by_treatment"]["treatment"]["resources"]
    differences = [latency(k, "treatment") - latency(k, "control") for k in range(40)]
    sums = np.array(differences).reshape(20, 2).sum(axis=1)
    # Pairs as clusters of equal size: the ordinary t interval of the clusters' means.
    half = stats.t.ppf(0.975, 19) * stats.sem(sums / 2)
    times = resources["total_latency_s"]
    assert times["extra_per_request"] == pytest.approx(0.0009)
    assert times["extra_high"] - times["extra_per_request"] == pytest.approx(half)
    assert times["verdict"] == "avoids"  # 0.9 ms, within what times vary by
    tokens = resources["total_tokens"]
    assert (tokens["extra_low"], tokens["extra_high"]) == pytest.approx((10, 10))
    assert tokens["verdict"] == "trade_off"


def test_the_latency_of_batch_jobs_is_unknown(tmp_path, monkeypatch):
    costs = {"requests": 10, "total_latency_s": 0.0}
    found = run(tmp_path, monkeypatch, {"control": costs, "treatment": costs})
    assert found["by_treatment"]["treatment"]["resources"]["total_latency_s"] is None


def test_missing_costs_are_told(tmp_path, monkeypatch):
    with pytest.raises(SystemExit, match="there are no costs of 'treatment'"):
        run(tmp_path, monkeypatch, {"control": {"requests": 1}})
