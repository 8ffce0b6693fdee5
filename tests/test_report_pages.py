"""The pages in a real browser: what they show, and what they must never run."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import product
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pytest
from browser import one, opened, texts
from report_files import (
    INJECTIONS,
    UNTRUSTED,
    in_points,
    make_front,
    significance_of,
    trial_arguments,
    write_trial,
)
from selenium import webdriver
from selenium.webdriver.common.by import By

from workflow_scripts.config.trial import Trial
from workflow_scripts.report import trial
from workflow_scripts.rules.stages import FrontSettings


def test_the_page_is_whole_and_silent(page: webdriver.Chrome) -> None:
    assert page.get_log("browser") == []  # type: ignore[no-untyped-call]
    assert page.execute_script("return performance.getEntriesByType('resource').length") == 0
    assert texts(page, "main h2") == ["Verdict", "Effects", "Costs", "Items", "How it was done"]
    # Of the trial: all contrasts (wide and narrow), costs, times; of each task: five.
    assert len(page.find_elements(By.CSS_SELECTOR, ".chart svg")) == 4 + 2 * 5
    assert "The embedded model is a demonstration." in one(page, "#verdict .note").text
    assert "2 requests got no answer (treatment: 2)" in one(page, ".warnings").text
    assert "no answer within 60 s" in one(page, "#how").text


def test_the_numbers_are_those_of_significance_json(
    page: webdriver.Chrome, trial_folder: Path
) -> None:
    chart = one(page, "#figure-contrasts svg").get_attribute("textContent") or ""
    for task, result in significance_of(trial_folder).items():
        card = one(page, f"[id='contrast-treatment-0.0-{task}']")
        for name, numbers in result["metrics"].items():
            row = one(card, f"tr[data-metric={name}]")
            assert one(row, ".difference").text == in_points(numbers["difference"])
            low, high = in_points(numbers["ci_low"]), in_points(numbers["ci_high"])
            assert one(row, ".interval").text == f"{low} to {high}"
            assert f"{in_points(numbers['difference'])}  [{low}, {high}]" in chart
        verdict_text = one(page, f".verdict:has([href='#contrast-treatment-0.0-{task}'])").text
        cut = result["metrics"]["false_answer_rate"]
        assert f"cut false answers by {-100 * cut['difference']:.1f} points" in verdict_text
        assert f"CI {-100 * cut['ci_high']:.1f} to {-100 * cut['ci_low']:.1f}" in verdict_text


def test_untrusted_text_stays_text(page: webdriver.Chrome) -> None:
    for text in UNTRUSTED:
        heading = one(page, "#detail h3").get_property("textContent")
        assert str(heading).endswith(f"live? {text}")
        for response in page.find_elements(By.CSS_SELECTOR, "#detail .response"):
            assert str(response.get_property("textContent")).endswith(text)
        assert page.execute_script("return window.hacked") is None
        one(page, "#detail").send_keys("j")
    breakouts = "main script, img, iframe, [onload], [onerror], [href^=javascript]"
    assert page.find_elements(By.CSS_SELECTOR, breakouts) == []
    assert len(page.find_elements(By.CSS_SELECTOR, "script, style")) == 7
    assert one(page, "h1").text == f"Demo {INJECTIONS[1]}"
    assert INJECTIONS[1] in one(page, ".prompts pre").text
    assert one(page, "body").is_displayed()


def test_the_page_may_not_reach_the_network(page: webdriver.Chrome) -> None:
    blocked = page.execute_async_script(
        """
        const done = arguments[0];
        addEventListener("securitypolicyviolation", (event) => done(event.effectiveDirective));
        fetch("https://example.com").catch(() => {});
        """
    )
    assert blocked == "connect-src"
    inline = "const s = document.createElement('script'); s.textContent = 'window.hacked = 9';"
    page.execute_script(f"{inline} document.body.append(s);")
    assert page.execute_script("return window.hacked") is None


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_sticks_out(page: webdriver.Chrome, width: int) -> None:
    metrics = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 600}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        page.refresh()
        root = "document.documentElement"
        sizes = page.execute_script(f"return [{root}.scrollWidth, {root}.clientWidth]")
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert sizes[0] == sizes[1] <= width


def test_the_same_inputs_give_the_same_bytes(trial_folder: Path) -> None:
    """In another process, where sets and dicts hash differently."""
    command = [sys.executable, "-m", trial.__name__, *trial_arguments(trial_folder, "again.html")]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONHASHSEED": "7"})
    for kind in ("html", "json"):
        again, first = (trial_folder / f"{name}.{kind}" for name in ("again", "report"))
        assert again.read_bytes() == first.read_bytes()


def test_the_front_page_compares_the_trials(
    browser: webdriver.Chrome, trial_folder: Path, tmp_path: Path
) -> None:
    first = Trial.model_validate_json((trial_folder / "trial.json").read_text(encoding="utf-8"))
    second = write_trial(tmp_path / "b", n=9, model="other-model", seed=2)
    settings = FrontSettings(title="Two models", note="A demonstration.", trials=[first, second])
    page = opened(browser, make_front(trial_folder.parent / "report.html", settings))
    assert page.get_log("browser") == []  # type: ignore[no-untyped-call]
    assert one(page, "h1").text == "Two models"
    assert one(page, ".note").text == "A demonstration."
    links = page.find_elements(By.CSS_SELECTOR, "#verdict h3 a")
    assert [link.text for link in links] == ["assay-demo", "other-model"]
    for link, made in zip(links, (trial_folder, tmp_path / "b"), strict=True):
        address = urlsplit(str(link.get_property("href")))
        assert Path(url2pathname(address.path)) == made / "report.html"
        assert not (link.get_dom_attribute("href") or "").startswith(("/", "file:"))
    cells = texts(page, ".sortable tbody td[data-metric=false_answer_rate]")
    for cell, (made, task) in zip(
        cells, product((trial_folder, tmp_path / "b"), ("closed_book", "open_book")), strict=True
    ):
        numbers = significance_of(made)[task]["metrics"]["false_answer_rate"]
        assert cell.startswith(in_points(numbers["difference"]))

    sort = page.find_elements(By.CSS_SELECTOR, ".sortable thead button")[5]
    sort.click()
    ascending = texts(page, ".sortable tbody td[data-metric=false_answer_rate]")
    sort.click()
    assert texts(page, ".sortable tbody td[data-metric=false_answer_rate]") == ascending[::-1]
    assert sorted(ascending) == sorted(cells)
    page.execute_script("arguments[0].click()", links[0])
    assert one(page, "h1").text == f"Demo {INJECTIONS[1]}"
