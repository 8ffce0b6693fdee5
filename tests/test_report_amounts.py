"""Metrics that are compared by ratios: on a trial's page, on the front page, in a table."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from browser import choose, one, opened, texts
from report_files import (
    TOKENS,
    add_amounts,
    amount_estimate,
    declare_amount,
    make_front,
    make_report,
    write_trial,
)
from selenium import webdriver
from selenium.webdriver.common.by import By

from workflow_scripts.comparisons.records import Significance
from workflow_scripts.config.trial import FrontSettings
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import read_settings
from workflow_scripts.export.markdown import markdown
from workflow_scripts.export.table import table_of
from workflow_scripts.report.contrast import contrasts
from workflow_scripts.report.figures.forest import Row, forest, interval_text


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FrontSettings]:
    """Two trials with answer lengths, their reports and their front page."""
    root = tmp_path_factory.mktemp("amounts")
    with pytest.MonkeyPatch.context() as patch:
        declare_amount(patch)
        trials = []
        for number, name in enumerate(("brief", "kind")):
            place = root / name / "default" / name  # each has answers of its own
            trials.append(write_trial(place, n=60, prompt_set=name, seed=number))
            add_amounts(place, times=1 + number)
            make_report(place)
        found = FrontSettings(title="Lengths", note=None, trials=trials)
        make_front(root / "report.html", found)
        yield found


def test_a_trials_page_has_them_in_a_table_and_a_figure_of_their_own(
    browser: webdriver.Chrome, settings: FrontSettings
) -> None:
    page = opened(browser, Path(settings.trials[0].folder) / "report.html")
    assert page.get_log("browser") == []  # type: ignore[no-untyped-call]
    rows = page.find_elements(By.CSS_SELECTOR, f"tr[data-metric={TOKENS.name}]")
    closed_book, open_book = ([*texts(row, "th"), *texts(row, "td")] for row in rows)
    assert open_book == [
        "Answer tokens, tokens\n↓ lower is better",
        *("100", "71.0", "×0.71", "×0.66 to ×0.77", "< 0.001", "▲ better", "0.001"),
    ]
    assert closed_book[3:] == [
        *("×1.02", "×0.95 to ×1.10 ⚠ may be too narrow", "0.400", "○ no clear difference", "0.001")
    ]
    drawn = one(page, "#figure-amounts svg").get_attribute("textContent") or ""
    assert "×0.71  [0.66, 0.77]" in drawn
    assert "×1.02  [0.95, 1.10]" in drawn
    assert re.search(r"×0\.\d×", drawn)  # the axis
    contrasts = one(page, "#figure-contrasts svg").get_attribute("textContent") or ""
    assert "Answer tokens" not in contrasts


def test_the_explorer_shows_them_in_their_unit(
    browser: webdriver.Chrome, settings: FrontSettings
) -> None:
    page = opened(browser, Path(settings.trials[0].folder) / "report.html")
    arms = page.find_elements(By.CSS_SELECTOR, "#detail .arm")
    shown = [dict(zip(texts(arm, "dt"), texts(arm, "dd"), strict=True)) for arm in arms]
    assert [each["Answer tokens"] for each in shown] == ["12.5 tokens", "1,230 tokens"]
    choose(page, "sort", TOKENS.name)
    option = one(page, f"#filters [name=sort] option[value={TOKENS.name}]")
    assert option.text == "answer tokens: rises first"


def test_two_trials_are_compared_by_ratios_in_both_directions(
    browser: webdriver.Chrome, settings: FrontSettings
) -> None:
    page = opened(browser, Path(settings.trials[0].folder).parents[2] / "report.html")
    last = ".pair-table tbody td:last-child"
    for expected in ("×2.00", "×0.50"):
        shown = page.find_elements(By.CSS_SELECTOR, last)
        assert len(shown) == 4
        for cell in shown:
            assert one(cell, "strong").text == expected
            assert f"{expected} to {expected}" in texts(cell, ".interval")
            assert any(each.startswith("p < 0.001, q ") for each in texts(cell, ".interval"))
        one(page, "#pairs-swap").click()


def test_the_front_page_has_them_beside_the_differences(
    browser: webdriver.Chrome, settings: FrontSettings
) -> None:
    root = Path(settings.trials[0].folder).parents[2]
    page = opened(browser, root / "report.html")
    assert page.get_log("browser") == []  # type: ignore[no-untyped-call]
    cells = texts(page, f"#matrix td[data-metric={TOKENS.name}]")
    assert len(cells) == 4
    assert cells.count("×0.71\n×0.66 to ×0.77\n▲ better") == 2
    assert "Open book: answer tokens" in texts(page, "#effects figcaption")
    pairs = texts(page, ".pair-table thead th")
    assert pairs == [*("Arms", "False answers", "Correct answers", "Abstentions", "Answer tokens")]
    data = json.loads((root / "report.json").read_text(encoding="utf-8"))
    found = data["trials"][0]["comparisons"][1]
    assert found["task_name"] == "Open book"
    assert found["amounts"][TOKENS.name]["ratio"] == 0.71


def test_a_paper_table_has_them_with_their_unit(settings: FrontSettings) -> None:
    text = markdown(table_of(settings))
    assert "| Answer tokens (tokens) | 100 | 71.0 | ×0.71 \\[0.66, 0.77\\] | \\< 0.001 |" in text
    assert "| Answer tokens (tokens) | 100 | 102 | ×1.02 \\[0.95, 1.10\\]† | 0.400 |" in text
    assert "× the ratio of treatment to control" in text


def test_a_metric_that_no_task_declares_is_an_error(settings: FrontSettings) -> None:
    trial = settings.trials[0]
    found = read_settings(Path(trial.folder) / "significance.json", Significance)
    with pytest.raises(UserError, match=r"significance\.json has the metric 'abstain_rate'"):
        contrasts(trial, found, ())


HALF = amount_estimate(0.5, 0.25, 1.0)


def test_equal_ratios_are_equally_far_apart() -> None:
    same = replace(HALF, ratio=1.0, ci_low=0.5, ci_high=2.0)
    double = replace(HALF, ratio=2.0, ci_low=1.0, ci_high=4.0)
    drawn = forest([Row("x", each, "unclear") for each in (HALF, same, double)], "x")
    places = [float(x) for x in re.findall(r'<path transform="translate\(([\d.]+),', drawn)]
    half, one_to_one, twice = places[-3:]
    assert one_to_one - half == pytest.approx(twice - one_to_one)
    assert twice > one_to_one


def test_a_ratio_of_nothing_is_drawn_at_the_end_of_the_axis() -> None:
    nothing = replace(HALF, ratio=0.0, ci_low=0.0, ci_high=0.5)
    assert "[0.00, 0.50]" in forest([Row("x", nothing, "unclear")], "x")
    assert interval_text(replace(HALF, ci_low=None)) == "×0.50  (no interval)"
    assert forest([Row("x", replace(HALF, ci_low=None))], "x") == ""
