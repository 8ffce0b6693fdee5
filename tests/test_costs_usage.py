"""Tokens and seconds of each item, and how the arms compare in them."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from question_records import Item
from scipy import stats as scipy_stats
from trial_parts import trial_parts

from workflow_scripts.backends.prices import Quote, Rates
from workflow_scripts.backends.tokens import TokenizerFile
from workflow_scripts.comparisons.score_files import table_of
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import write_jsonl
from workflow_scripts.core.records import Answer, RawLine, Usage, custom_id
from workflow_scripts.costs.settings import (
    ArmCostSettings,
    RewritingCostSettings,
    TrialCostSettings,
)
from workflow_scripts.costs.usage import ItemUsage, UsagePerItem, usage
from workflow_scripts.stats.settings import Stats

STATS = Stats(bootstrap_samples=200, permutation_samples=200)
N = 120
ITEMS = [
    Item(id=str(k), dataset="d", question="?", answers=["x"], cluster_id=str(k)) for k in range(N)
]
PRICE = Quote(
    rates=Rates(input_per_million=1.0, output_per_million=10.0), batch_discount=0.5, source="test"
)


def settings(price: Quote | None = None) -> TrialCostSettings:
    parts = trial_parts("in", "raw", {"control": [], "treatment": []})
    return TrialCostSettings(
        arms={
            arm: ArmCostSettings(
                parts=each,
                system="",
                model="m",
                tokenizer=TokenizerFile(path=None, is_own=False),
                n_ctx=9,
                quote=price,
                note=None,
            )
            for arm, each in parts.arms.items()
        },
        spending_folder="spending",
    )


def answer(k: int, arm: str, sample: int = 0, task: str = "open_book", **fields: Any) -> Answer:
    return Answer(
        custom_id=custom_id("d", str(k), arm, "0.0", sample, task),
        dataset="d",
        item_id=str(k),
        condition=arm,
        temp="0.0",
        sample_index=sample,
        type=task,
        prompt="p",
        **{"finish_reason": "stop", **fields},
    )


def test_an_item_s_row_has_the_means_of_its_answered_samples() -> None:
    told = {"prompt_tokens": 10, "latency_s": 0.5}
    rows = UsagePerItem(
        [
            answer(0, "control", 0, completion_tokens=2, total_tokens=12, **told),
            answer(0, "control", 1, completion_tokens=5, total_tokens=15, **told),
            answer(0, "control", 2, finish_reason=None, error_type="timeout"),
            answer(1, "control", 0, completion_tokens=2, **told),
            answer(1, "control", 1, prompt_tokens=10),  # from a batch job that counted no answers
            answer(2, "control", finish_reason=None, error_type="timeout"),
        ],
        settings(PRICE),
    )
    first, second = rows
    assert first.model_dump() == {
        "item_key": "d|0",
        "type": "open_book",
        "condition": "control",
        "temp": "0.0",
        "answers": 2,
        "prompt_tokens": 10.0,
        "completion_tokens": 3.5,
        "total_tokens": 13.5,
        "thought_tokens": None,
        "latency_s": 0.5,
        "cost_usd": pytest.approx((10 + 3.5 * 10) / 1e6),
    }
    assert (second.item_key, second.answers, second.prompt_tokens) == ("d|1", 2, 10.0)
    assert second.completion_tokens is second.latency_s is second.cost_usd is None


def test_each_sample_has_an_equal_part_of_its_question_s_rewriting(tmp_path: Path) -> None:
    used = {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12, "latency_s": 1.0}
    asked = [answer(0, "control", sample, **used) for sample in range(2)]
    warm = answer(0, "control", **used).model_dump() | {"custom_id": "d|0|control|0.7|0|open_book"}
    asked += [Answer.model_validate(warm | {"temp": "0.7"}), answer(1, "control", **used)]
    line = RawLine(
        custom_id="d|0|open_book|0.0|0|rewrite", dataset="d", item_id="0", prompt="open_book",
        temp="0.0", sample_index=0, type="rewrite", response_text="x", finish_reason="stop",
        request_id="r", latency_s=0.3,
        usage=Usage(prompt_tokens=30, completion_tokens=6, total_tokens=36),
    )  # fmt: skip
    write_jsonl(tmp_path / "texts.jsonl", [line])
    parts = trial_parts(tmp_path, tmp_path, {"texts": ["texts.jsonl"]}).arms["texts"]
    of = settings(PRICE)
    rewriting = {"rewritings": [RewritingCostSettings(name="m", parts=parts)]}
    of.arms["control"] = of.arms["control"].model_copy(update=rewriting)
    cold, warm_row, other = UsagePerItem(asked, of)
    for row in (cold, warm_row):  # three samples, at two temperatures
        assert (row.prompt_tokens, row.completion_tokens, row.total_tokens) == (20, 4, 24)
        assert row.latency_s == pytest.approx(1.1)
        assert row.cost_usd == pytest.approx((20 + 4 * 10) / 1e6)
    assert (other.item_key, other.total_tokens, other.latency_s) == ("d|1", 12, 1)


def drawn(task: str = "open_book") -> list[ItemUsage]:
    """Items whose answers are 0.7 times as long under the treatment, with some noise."""
    draw = random.Random(1)
    rows = []
    for k in range(N):
        size = draw.lognormvariate(3, 0.5)
        for arm, ratio in (("control", 1.0), ("treatment", 0.7 * draw.lognormvariate(0, 0.2))):
            rows.append(
                ItemUsage(
                    item_key=f"d|{k}",
                    type=task,
                    condition=arm,
                    temp="0.0",
                    answers=1,
                    prompt_tokens=100.0,
                    completion_tokens=size * ratio,
                    latency_s=None,
                )
            )
    return rows


def compared(rows: Iterable[ItemUsage]) -> dict[str, Any]:
    return usage(rows, table_of(ITEMS), STATS).model_dump(mode="json")


def of(found: dict[str, Any], task: str = "open_book") -> dict[str, Any]:
    comparison: dict[str, Any] = found["results"]["treatment"]["0.0"][task]
    return comparison


def logs(rows: Iterable[ItemUsage]) -> np.ndarray:
    values = {(row.item_key, row.condition): row.completion_tokens or 0.0 for row in rows}
    keys = sorted({key for key, _ in values})
    return np.array([math.log(values[k, "treatment"] / values[k, "control"]) for k in keys])


def test_the_ratio_is_that_of_the_paired_t_interval_of_the_logarithms() -> None:
    rows = drawn()
    found = of(compared(rows))["ratios"]
    assert found.keys() == {"prompt_tokens", "completion_tokens"}  # nobody measured times
    differences = logs(rows)
    interval = scipy_stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    tokens = found["completion_tokens"]
    assert tokens["ratio"] == pytest.approx(math.exp(differences.mean()))
    # Each item is its own cluster: the cluster-robust interval is the plain one.
    by_t = tokens["intervals"]["cluster_t"]
    assert by_t["low"] == pytest.approx(math.exp(interval.low), rel=1e-9)
    assert by_t["high"] == pytest.approx(math.exp(interval.high), rel=1e-9)
    assert tokens["wilcoxon_p"] < 1e-6
    assert found["prompt_tokens"]["ratio"] == 1.0
    assert found["prompt_tokens"]["permutation_p"] == 1.0


def test_q_values_are_of_all_usage_tests_and_of_no_others() -> None:
    rows = [*drawn(), *drawn("closed_book")]
    found = compared(rows)
    assert found["multiplicity"]["families"] == {"usage": 4}
    by_task = [of(found, task)["ratios"] for task in ("open_book", "closed_book")]
    estimates = [each for ratios in by_task for each in ratios.values()]
    p_values = [each["permutation_p"] for each in estimates]
    assert [each["q_value"] for each in estimates] == pytest.approx(
        list(scipy_stats.false_discovery_control(p_values))
    )
    assert {each["family"] for each in estimates} == {"usage"}


def test_thoughts_are_a_family_that_moves_no_other_q_value() -> None:
    rows = drawn()
    plain = of(compared(rows))["ratios"]
    thoughtful = [row.model_copy(update={"thought_tokens": row.completion_tokens}) for row in rows]
    found = compared(thoughtful)
    assert found["multiplicity"]["families"] == {"usage": 2, "thoughts": 1}
    thoughts = of(found)["ratios"].pop("thought_tokens")
    assert of(found)["ratios"] == plain
    assert thoughts["family"] == "thoughts"
    assert thoughts["ratio"] == plain["completion_tokens"]["ratio"]


def test_items_without_a_token_are_left_out_and_counted() -> None:
    rows = drawn()
    whole = of(compared(rows))["ratios"]["completion_tokens"]
    silent = [
        row.model_copy(update={"completion_tokens": 0.0})
        if (row.item_key, row.condition) in {("d|3", "treatment"), ("d|5", "control")}
        else row
        for row in rows
    ]
    found = of(compared(silent))
    kept = [row for row in rows if row.item_key not in {"d|3", "d|5"}]
    assert found["zeros"] == {"completion_tokens": 2}
    tokens = found["ratios"]["completion_tokens"]
    assert (tokens["n_items"], tokens["n_unmeasured"]) == (N - 2, 2)
    assert tokens["ratio"] == pytest.approx(math.exp(logs(kept).mean()))
    assert whole["n_unmeasured"] == 0


def test_what_one_arm_alone_has_is_not_compared() -> None:
    rows = [row for row in drawn() if row.condition == "control"]
    found = compared(rows)
    assert found["results"] == {}
    assert found["multiplicity"]["families"] == {"usage": 0}
    with pytest.raises(UserError, match=r"item 'd\|0' has scores but is not in the item files"):
        usage(rows, table_of(ITEMS[1:]), STATS)
