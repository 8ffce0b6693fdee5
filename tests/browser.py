"""Pages in headless Chromium: opening them, and reading what they show."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.select import Select
from selenium.webdriver.support.wait import WebDriverWait


@contextmanager
def chromium(program: Callable[..., str]) -> Iterator[webdriver.Chrome]:
    """Headless Chromium, found by ``program``."""
    driver = program("chromedriver")
    options = webdriver.ChromeOptions()
    options.binary_location = program("chromium", "chromium-browser", "google-chrome", "chrome")
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
