"""The sweep of the threshold, against plain loops, statsmodels and the scores themselves."""

import json
import random
import sys

import numpy as np
import pytest
import statsmodels.api as sm
from compared import contrasts
from question_records import Item, SampleOutcome, scored
from scipy import stats

from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import write_csv, write_jsonl
from workflow_scripts.core.records import Prediction, custom_id
from workflow_scripts.metrics.settings import Unsupported
from workflow_scripts.scoring.sensitivity import SensitivitySettings, main, sensitivity
from workflow_scripts.stats.settings import Stats
from workflow_scripts.tasks.settings import ScoreSettings

RULE = Unsupported(threshold=0.42)
SETTINGS = SensitivitySettings(unsupported=RULE, confidence=0.9)
DRAW = random.Random(5)
ITEMS = {
    f"d|{n}": Item(
        id=str(n), dataset="d", question="?", answers=["x"], context="y", cluster_id=str(n // 4)
    )
    for n in range(40)
}


def row(n, condition, support, sample=0, task="open_book", outcome="wrong"):
    return SampleOutcome(
        custom_id=custom_id("d", str(n), condition, "0.0", sample, task),
        item_key=f"d|{n}",
        type=task,
        condition=condition,
        temp="0.0",
        sample_index=sample,
        outcome=outcome,
        em=0,
        f1=0,
        support=support,
    )


ROWS = [
    row(n, condition, DRAW.choice([None, 0.0, 0.25, 0.3, 0.42, 0.6, 1.0]), sample)
    for n in range(40)
    for condition in ("control", "treatment")
    for sample in range(2)
]


def swept(rows, settings=SETTINGS, items=ITEMS):
    content = sensitivity(rows, items, settings)
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    return content["results"]["treatment"]["0.0"]["open_book"]


def rate(condition, n, threshold):
    supports = [each.support for each in ROWS if (each.condition, each.item_key) == (condition, n)]
    return np.mean([s is not None and (s < threshold or s == 0) for s in supports])


def test_rates_and_differences_are_means_over_items():
    found = swept(ROWS)
    assert (found["n_items"], found["n_unpaired"]) == (40, 0)
    thresholds = [each["threshold"] for each in found["thresholds"]]
    assert thresholds == pytest.approx(sorted([*(i / 20 for i in range(1, 21)), 0.42]))
    for each in found["thresholds"]:
        means = {
            condition: np.mean([rate(condition, n, each["threshold"]) for n in ITEMS])
            for condition in ("control", "treatment")
        }
        assert each["control_rate"] == pytest.approx(means["control"], abs=1e-12)
        assert each["treatment_rate"] == pytest.approx(means["treatment"], abs=1e-12)
        assert each["difference"] == pytest.approx(means["treatment"] - means["control"], abs=1e-12)


def test_intervals_are_those_of_a_regression_with_clustered_errors():
    found = swept(ROWS)
    clusters = [int(item.cluster_id) for item in ITEMS.values()]
    for each in found["thresholds"]:
        differences = np.array(
            [
                rate("treatment", n, each["threshold"]) - rate("control", n, each["threshold"])
                for n in ITEMS
            ]
        )
        fit = sm.OLS(differences, np.ones(len(differences))).fit(
            cov_type="cluster", cov_kwds={"groups": clusters}
        )
        half = stats.t.ppf(0.95, len(set(clusters)) - 1) * fit.bse[0]
        assert each["ci_low"] == pytest.approx(differences.mean() - half, abs=1e-9)
        assert each["ci_high"] == pytest.approx(differences.mean() + half, abs=1e-9)


def test_rates_never_fall_as_the_threshold_rises():
    rates = [each["control_rate"] for each in swept(ROWS)["thresholds"]]
    assert rates == sorted(rates)


def test_swapping_the_arms_flips_signs():
    other = {"control": "treatment", "treatment": "control"}
    flipped = swept([each.model_copy(update={"condition": other[each.condition]}) for each in ROWS])
    for one, two in zip(swept(ROWS)["thresholds"], flipped["thresholds"], strict=True):
        assert one["difference"] == pytest.approx(-two["difference"], abs=1e-12)
        assert one["ci_low"] == pytest.approx(-two["ci_high"], abs=1e-12)


def test_row_order_does_not_show():
    assert swept(ROWS[::-1]) == swept(ROWS)


def test_failed_requests_closed_book_and_unpaired_items_are_left_out():
    rows = [
        *ROWS,
        row(0, "control", None, 9, outcome="failed"),
        row(1, "control", None, 0, task="closed_book"),
        row(41, "control", 0.0),
    ]
    found = swept(rows, items={**ITEMS, "d|41": ITEMS["d|0"]})
    assert found["n_unpaired"] == 1
    assert found["thresholds"] == swept(ROWS)["thresholds"]


def test_one_cluster_has_no_interval():
    one_cluster = [
        row(n, condition, 0.5 if n else 0.1)
        for n in range(4)
        for condition in ("control", "treatment")
    ]
    assert all(each["ci_low"] is None for each in swept(one_cluster)["thresholds"])


def test_closed_book_trials_have_an_empty_sweep():
    rows = [row(n, "control", None, task="closed_book") for n in range(3)]
    assert sensitivity(rows, ITEMS, SETTINGS)["results"] == {}


def test_a_missing_control_is_an_error():
    with pytest.raises(UserError, match=r"no rows of the control at temperature 0\.0"):
        sensitivity([row(0, "treatment", 0.5)], ITEMS, SETTINGS)


@pytest.mark.parametrize("strategy", ["baseline", "overlap"])
@pytest.mark.parametrize("threshold", [0.0, 0.4, 1.0])
def test_at_the_configured_threshold_it_says_what_the_scores_say(strategy, threshold):
    rule = Unsupported(strategy=strategy, threshold=threshold)
    texts = ["y", "y z", "z", "I don't know.", "", "y y z"]
    predictions = [
        Prediction(
            custom_id=custom_id("d", str(n), condition, "0.0", 0, "open_book"),
            dataset="d",
            item_id=str(n),
            condition=condition,
            temp="0.0",
            sample_index=0,
            type="open_book",
            request_id="r",
            finish_reason="stop",
            response_text=DRAW.choice(texts),
        )
        for n in range(40)
        for condition in ("control", "treatment")
    ]
    settings = ScoreSettings(unsupported=rule, abstention_phrases=[])
    scores, rows = scored(predictions, ITEMS, settings)
    found = swept(rows, SensitivitySettings(unsupported=rule, confidence=0.95))
    (at,) = [each for each in found["thresholds"] if each["threshold"] == threshold]
    rates = {
        condition: np.mean(
            [each.unsupported_rate for each in scores if each.condition == condition]
        )
        for condition in ("control", "treatment")
    }
    assert (at["control_rate"], at["treatment_rate"]) == pytest.approx(tuple(rates.values()))
    # One number, one interval, whichever file it stands in.
    significance = contrasts(scores, ITEMS, Stats(bootstrap_samples=100))
    tested = significance["results"]["treatment"]["0.0"]["open_book"]["metrics"]
    for name in ("difference", "ci_low", "ci_high"):
        assert at[name] == pytest.approx(tested["unsupported_rate"][name], abs=1e-12)


def test_the_command(tmp_path, monkeypatch):
    write_csv(tmp_path / "outcomes.csv", SampleOutcome, ROWS)
    write_jsonl(tmp_path / "open_book.jsonl", ITEMS.values())
    (tmp_path / "settings.json").write_text(SETTINGS.model_dump_json(), encoding="utf-8")
    arguments = {
        "--outcomes": tmp_path / "outcomes.csv",
        "--items": tmp_path / "open_book.jsonl",
        "--settings": tmp_path / "settings.json",
        "--output": tmp_path / "unsupported_sensitivity.json",
    }
    words = [str(word) for pair in arguments.items() for word in pair]
    monkeypatch.setattr(sys, "argv", ["sensitivity", *words])
    main()
    written = json.loads((tmp_path / "unsupported_sensitivity.json").read_text(encoding="utf-8"))
    assert written == sensitivity(ROWS, ITEMS, SETTINGS)
    assert written["rule"]["threshold"] == 0.42
