"""What an avoided false answer costs, and when there is no such number."""

import json
import sys

import pytest

from workflow_scripts.files import write_json
from workflow_scripts.stats.cost_effectiveness import FalseAnswers, cost_effectiveness, main


def answers(difference, low, high):
    return FalseAnswers(
        n_requests=100, difference=difference, ci_low=low, ci_high=high, ci_trusted=True
    )


def test_the_ratio_and_its_ends():
    found = cost_effectiveness(0.002, answers(-0.1, -0.2, -0.05))
    assert found.verdict == "trade_off"
    assert found.per_avoided == pytest.approx(0.02)
    assert (found.per_avoided_low, found.per_avoided_high) == pytest.approx((0.01, 0.04))


@pytest.mark.parametrize(
    ("extra", "low", "high", "verdict"),
    [
        (0.002, -0.2, 0.01, "unclear"),
        (0.002, None, None, "unclear"),
        (-0.002, -0.2, -0.1, "dominates"),
        (0.0, -0.2, -0.1, "dominates"),
        (0.002, 0.1, 0.2, "dominated"),
        (-0.002, 0.1, 0.2, "saves_at_a_loss"),
    ],
)
def test_the_verdict(extra, low, high, verdict):
    difference = 0.0 if low is None else (low + high) / 2
    found = cost_effectiveness(extra, answers(difference, low, high))
    assert found.verdict == verdict
    finite = found.per_avoided is not None
    assert finite == (verdict in ("dominates", "trade_off"))
    if finite:
        assert found.per_avoided_low <= found.per_avoided <= found.per_avoided_high


def run(folder, monkeypatch, costs):
    difference = answers(-0.1, -0.2, -0.05).model_dump()
    write_json(
        folder / "significance.json",
        {"control": "control", "false_answers": {"treatment": difference}, "results": {}},
    )
    write_json(folder / "local_costs.json", {"by_condition": costs})
    write_json(folder / "costs.json", {"by_condition": costs})
    words = [
        *("--significance", folder / "significance.json"),
        *("--local-costs", folder / "local_costs.json"),
        *("--costs", folder / "costs.json"),
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


def test_the_latency_of_batch_jobs_is_unknown(tmp_path, monkeypatch):
    costs = {"requests": 10, "total_latency_s": 0.0}
    found = run(tmp_path, monkeypatch, {"control": costs, "treatment": costs})
    assert found["by_treatment"]["treatment"]["resources"]["total_latency_s"] is None


def test_missing_costs_are_told(tmp_path, monkeypatch):
    with pytest.raises(SystemExit, match="there are no costs of 'treatment'"):
        run(tmp_path, monkeypatch, {"control": {"requests": 1}})
