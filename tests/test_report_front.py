"""Trials against each other: pairs, backends, and the front page that shows them."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import one, opened, texts
from question_records import QUESTIONS, Item, ItemScores
from report_files import make_front, write_trial
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.select import Select
from statsmodels.regression.linear_model import OLS

from workflow_scripts.config.trial import FrontSettings
from workflow_scripts.core.files import read_csv
from workflow_scripts.core.records import Prediction
from workflow_scripts.report.wording import p_equation, points

LEADING_FIRST = ("false_answer_rate", "correct", "abstain_rate")
"""The metrics of overviews in the order of the pages."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four trials: two backends with one model each, two prompt sets; 90 items a task."""
    root = tmp_path_factory.mktemp("experiment")
    trials = []
    for backend in ("here", "there"):
        for number, prompt_set in enumerate(("careful", "polite")):
            place = root / backend / "m" / "default" / prompt_set
            seed = 10 * number + (backend == "there")
            made = write_trial(place, n=90, prompt_set=prompt_set, seed=seed)
            trials.append(made.model_copy(update={"backend": backend}))
    settings = FrontSettings(title="Engines", note=None, trials=trials)
    make_front(root / "report.html", settings)
    return root


@pytest.fixture(scope="module")
def data(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    return found


def between(data: dict[str, Any], first: int, second: int) -> list[dict[str, Any]]:
    """The comparisons of two trials."""
    return [
        each
        for each in data["comparisons"]["comparisons"]
        if each["kind"] == "trials"
        and (each["first"]["trial"], each["second"]["trial"]) == (first, second)
    ]


def scores(folder: Path, task: str, condition: str, metric: str) -> dict[str, float]:
    return {
        row.item_key: getattr(row, metric)
        for row in read_csv(folder / "per_item_scores.csv", ItemScores)
        if (row.type, row.condition) == (task, condition)
    }


def test_differences_are_paired_and_clustered(folder: Path, data: dict[str, Any]) -> None:
    """Against statsmodels' cluster-robust regression (CR1) and plain means."""
    places = [folder / each["report"] for each in data["trials"]]
    items = {
        item.key: f"{item.dataset} {item.cluster_id}"
        for task in QUESTIONS
        for line in (places[0].parent / f"{task}.jsonl").read_text("utf-8").splitlines()
        for item in [Item.model_validate_json(line)]
    }
    assert all(len(between(data, *pair)) == 4 for pair in combinations(range(4), 2))
    compared = data["comparisons"]
    assert (compared["pairs"], compared["pairs_in_all"]) == (6, 6)
    for arm in between(data, 0, 2):
        for metric, found in arm["metrics"].items():
            one_arm, other = (
                scores(places[trial].parent, arm["task"], arm["first"]["condition"], metric)
                for trial in (0, 2)
            )
            shared = sorted(one_arm.keys() & other.keys())
            assert arm["n_items"] == len(shared)
            difference = np.array([other[key] - one_arm[key] for key in shared])
            assert found["difference"] == pytest.approx(difference.mean())
            assert found["first"] == pytest.approx(np.mean([one_arm[key] for key in shared]))
            if not difference.any():
                continue
            groups = np.unique([items[key] for key in shared], return_inverse=True)[1]
            fitted = OLS(difference, np.ones(len(difference))).fit(
                cov_type="cluster", cov_kwds={"groups": groups}
            )
            half = (found["ci_high"] - found["ci_low"]) / 2
            assert half == pytest.approx(fitted.bse[0] * 2.03, rel=0.15)  # t of 36 clusters


def test_the_page_compares_any_two(
    browser: webdriver.Chrome, folder: Path, data: dict[str, Any]
) -> None:
    page = opened(browser, folder / "report.html")
    assert page.get_log("browser") == []  # type: ignore[no-untyped-call]
    first, second = (Select(one(page, f"#pairs [name={name}]")) for name in ("first", "second"))
    assert [option.text for option in first.options] == [each["label"] for each in data["trials"]]
    for swap in (False, True):
        first.select_by_index(3 if swap else 1)
        second.select_by_index(1 if swap else 3)
        arms = between(data, 1, 3)
        rows = page.find_elements(By.CSS_SELECTOR, ".pair-table tbody tr")
        assert len(rows) == len(arms) == 4
        for row, arm in zip(rows, arms, strict=True):
            shown = texts(row, "td strong")
            sign = -1 if swap else 1
            ordered = [arm["metrics"][name] for name in LEADING_FIRST]
            assert shown == [points(sign * m["difference"], signed=True) for m in ordered]
            for each in ordered:
                p, q = each["permutation_p"], each["q_value"]
                assert f"{p_equation('p', p)}, {p_equation('q', q)}" in texts(row, ".interval")
            low, high = (sign * arm["metrics"]["correct"][end] for end in ("ci_low", "ci_high"))
            interval = (
                f"{points(min(low, high), signed=True)} to {points(max(low, high), signed=True)}"
            )
            assert interval in texts(row, ".interval")
            doubtful = [m for m in arm["metrics"].values() if not m["ci_trusted"]]
            warned = [each for each in texts(row, ".interval") if each.startswith("⚠ may be too ")]
            assert len(warned) == len(doubtful)
    one(page, "#pairs-swap").click()
    assert first.first_selected_option.text == data["trials"][1]["label"]
    second.select_by_index(1)
    assert one(page, "#pairs-result").text == "Choose two different trials."
    first.select_by_index(0)  # the same engine and prompts: nothing can differ
    assert (
        texts(page, ".pair-table tbody td[colspan]")
        == ["The same answers: both trials share this arm."] * 4
    )


def test_further_comparisons_have_a_table_for_each_question(
    browser: webdriver.Chrome, folder: Path, data: dict[str, Any]
) -> None:
    page = opened(browser, folder / "report.html")
    assert texts(page, "#further h3") == [
        "Did the effect differ between answerable and unanswerable items?",
        "Did the effect differ between the data sets “demo” and “other”?",
    ]
    tables = page.find_elements(By.CSS_SELECTOR, ".further")
    clear = texts(page, "#further summary .hint")
    for table, first, said in zip(tables, ("answerable", "dataset=demo"), clear, strict=True):
        compared = [
            each
            for each in data["comparisons"]["comparisons"]
            if each["first"]["subgroup"] == first
        ]
        rows = table.find_elements(By.CSS_SELECTOR, "tbody tr")
        assert len(rows) == len(compared) == 8
        n_clear = 0
        for row, each in zip(rows, compared, strict=True):
            cells = row.find_elements(By.CSS_SELECTOR, "td")
            for cell, name in zip(cells, LEADING_FIRST, strict=True):
                m = each["metrics"][name]
                assert one(cell, "strong").text == points(m["difference"], signed=True)
                lines = cell.text.splitlines()
                p, q = m["permutation_p"], m["q_value"]
                assert f"{p_equation('p', p)}, {p_equation('q', q)}" in lines
                parts = [each[side]["subgroup"].partition("=") for side in ("first", "second")]
                for (kind, _, value), end in zip(parts, ("first", "second"), strict=True):
                    assert f"{value or kind}: {points(m[end], signed=True)}" in lines
                is_clear = q < 0.05 and m["ci_low"] * m["ci_high"] > 0
                assert ("■ differs" in lines) == is_clear
                n_clear += is_clear
        assert said == f"{n_clear} of 24 differences {'is' if n_clear == 1 else 'are'} clear"
    assert n_clear == 0  # data sets differ in which items are unanswerable
    assert not clear[0].startswith("0 ")


def test_backends_are_compared_by_their_answers(
    browser: webdriver.Chrome, folder: Path, data: dict[str, Any]
) -> None:
    assert [(each["first"], each["second"]) for each in data["parity"]] == [(0, 2), (1, 3)]
    places = [(folder / each["report"]).parent for each in data["trials"]]
    for found in data["parity"]:
        one_side, other = (
            {row.custom_id: row for row in read_csv(places[i] / "predictions.csv", Prediction)}
            for i in (found["first"], found["second"])
        )
        for condition in ("control", "treatment"):
            shared = [
                key for key in one_side.keys() & other.keys()
                if one_side[key].condition == condition
            ]  # fmt: skip
            equal = [one_side[k].response_text == other[k].response_text for k in shared]
            assert found["compared"][condition] == len(shared)
            assert found["equal"][condition] == sum(equal)
            assert 0 < sum(equal) < len(shared)
    page = opened(browser, folder / "report.html")
    shares = [
        100 * each["equal"][condition] / each["compared"][condition]
        for each in data["parity"]
        for condition in ("control", "treatment")
    ]
    assert texts(page, "#parity [data-equal] strong") == [f"{share:.1f}%" for share in shares]


def test_the_grid_shows_one_metric_or_all(browser: webdriver.Chrome, folder: Path) -> None:
    page = opened(browser, folder / "report.html")
    assert len(page.find_elements(By.CSS_SELECTOR, ".grid")) == 2
    assert texts(page, ".grid thead th") == ["Model", "careful", "polite"] * 2
    assert len(page.find_elements(By.CSS_SELECTOR, ".grid td")) == 8
    Select(one(page, "#grid-show select")).select_by_value("correct")
    visible = {
        each.get_dom_attribute("data-metric")
        for each in page.find_elements(By.CSS_SELECTOR, ".grid [data-metric]")
        if each.is_displayed()
    }
    assert visible == {"correct"}
