"""Both pages against axe-core's rules: WCAG 2.2 A and AA, and its best practices."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import one, opened
from report_files import make_front, write_trial
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from workflow_scripts.config.trial import Trial
from workflow_scripts.rules.stages import FrontSettings

AXE = (Path(__file__).parent / "vendor/axe-core/axe.min.js").read_text(encoding="utf-8")

CHECK = """
const done = arguments[arguments.length - 1];
axe.run({ include: arguments[0] }, { resultTypes: ["violations"] }).then(
  ({ violations }) => done(violations.map(({ id, help, nodes }) => ({
    id, help, nodes: nodes.slice(0, 5).map(({ html, failureSummary }) => [html, failureSummary]),
  }))),
  (error) => done(String(error)));
"""


@pytest.fixture(params=[(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")])
def screen(browser: webdriver.Chrome, request: pytest.FixtureRequest) -> Iterator[webdriver.Chrome]:
    """A browser of that width in that colour scheme."""
    width, scheme = request.param
    size = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 600}
    scheme = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", scheme)
    yield browser
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def violations(page: webdriver.Chrome, *within: str) -> str:
    """What axe-core finds in the page, or in parts of it; empty where it finds nothing."""
    page.execute_script(AXE)
    found = page.execute_async_script(CHECK, [[each] for each in within or ("html",)])
    return "" if found == [] else json.dumps(found, indent=1, ensure_ascii=False)


def test_the_trials_page(screen: webdriver.Chrome, trial_folder: Path) -> None:
    link = "#item=open_book%3Ademo%7Copen_book-41"
    page = opened(screen, trial_folder / "report.html", link)
    one(page, "#detail .request summary").click()
    WebDriverWait(page, 5).until(lambda page: page.find_elements(By.CSS_SELECTOR, "pre.raw"))
    for each in page.find_elements(By.CSS_SELECTOR, "details:not([open])"):
        page.execute_script("arguments[0].open = true", each)
    assert not violations(page)


@pytest.fixture(scope="module")
def front_page(trial_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("front")
    first = Trial.model_validate_json((trial_folder / "trial.json").read_text(encoding="utf-8"))
    second = write_trial(folder / "b", n=9, model="other-model", seed=2)
    settings = FrontSettings(title="Two models", note="A demonstration.", trials=[first, second])
    return make_front(folder / "report.html", settings)


def test_the_front_page(screen: webdriver.Chrome, front_page: Path) -> None:
    assert not violations(opened(screen, front_page))


def test_axe_finds_what_is_wrong(page: webdriver.Chrome) -> None:
    page.execute_script("document.body.append(document.createElement('input'))")
    assert '"label"' in violations(page)
