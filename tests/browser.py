"""Pages in headless Chromium: opening them, and reading what they show."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.select import Select
from selenium.webdriver.support.wait import WebDriverWait


@contextmanager
def chromium() -> Iterator[webdriver.Chrome]:
    """Headless Chromium; a missing one fails the tests, since nothing else checks the pages."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    chromium = next(filter(None, map(shutil.which, names)), None)
    driver = shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.fail(
            "these tests need Chromium and chromedriver on the PATH "
            "(Debian: apt-get install chromium chromium-driver)"
        )
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in (
        "--headless=new",
        "--no-sandbox",  # containers run as root, where Chromium's sandbox does not start
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--window-size=1280,1000",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chrome = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    with chrome:
        yield chrome


def opened(browser: webdriver.Chrome, path: Path, fragment: str = "") -> webdriver.Chrome:
    browser.get("about:blank")
    browser.get_log("browser")  # forget what other pages logged
    browser.get(path.as_uri() + fragment)
    unpacked(browser)
    return browser


def unpacked(browser: webdriver.Chrome) -> None:
    """Wait until the page's explorer, if it has one, has its items."""
    WebDriverWait(browser, 20).until(
        lambda page: not page.find_elements(By.CSS_SELECTOR, "#explorer:not([data-ready])")
    )


def one(page: webdriver.Chrome | WebElement, selector: str) -> WebElement:
    return page.find_element(By.CSS_SELECTOR, selector)


def texts(page: webdriver.Chrome | WebElement, selector: str) -> list[str]:
    return [each.text for each in page.find_elements(By.CSS_SELECTOR, selector)]


def choose(page: webdriver.Chrome, name: str, value: str) -> None:
    Select(one(page, f"#filters [name={name}]")).select_by_value(value)


def n_shown(page: webdriver.Chrome) -> int:
    return int(one(page, "#shown").text.split()[0].replace(",", ""))
