"""The item explorer in a real browser."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from browser import choose, n_shown, one, opened, texts
from report_files import (
    make_report,
    write_trial,
)
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select

from workflow_scripts.records import TASKS


def test_filters_and_search(page: webdriver.Chrome, trial_folder: Path) -> None:
    assert n_shown(page) == 160
    choose(page, "task", "closed_book")
    choose(page, "answerable", "no")
    assert n_shown(page) == 20
    choose(page, "after", "abstained")
    with (trial_folder / "per_item_scores.csv").open(encoding="utf-8", newline="") as stream:
        abstained = [
            row["item_key"]
            for row in csv.DictReader(stream)
            if (row["condition"], row["type"]) == ("treatment", "closed_book")
            and float(row["abstain_rate"]) == 1
            and int(row["item_key"].rsplit("-", 1)[1]) % 4 == 3
        ]
    assert 0 < n_shown(page) == len(abstained)
    one(page, "#reset").click()
    one(page, "#filters [name=search]").send_keys("PERSON 42")
    assert n_shown(page) == 2
    one(page, "#filters [name=search]").send_keys(" nowhere to be found")
    assert n_shown(page) == 0
    assert "No item matches" in one(page, "#list").text


def test_counts_in_tables_open_their_items(page: webdriver.Chrome, trial_folder: Path) -> None:
    buttons = page.find_elements(By.CSS_SELECTOR, "[data-show]")
    for button in buttons:
        expected = int(button.text)
        page.execute_script("arguments[0].click()", button)
        assert n_shown(page) == expected
    shown = {json.loads(each.get_attribute("data-show") or "")["task"] for each in buttons}
    assert shown == set(TASKS)


def test_sorting_puts_losses_first(page: webdriver.Chrome) -> None:
    choose(page, "sort", "em")
    assert one(page, "#list li:first-child .badges").text == "✓ correct → – abstained"


def test_a_link_opens_its_item(browser: webdriver.Chrome, trial_folder: Path) -> None:
    page = opened(
        browser, trial_folder / "report.html", "#item=closed_book%3Ademo%7Cclosed_book-41"
    )
    assert one(page, "#detail h3").text == "Where does person 41 live?"
    page = opened(browser, trial_folder / "report.html", "#item=open_book%3Ademo%7Cnone")
    assert "no item open_book:demo|none" in one(page, "#shown").text


def test_keys_go_through_the_items_and_the_link_follows(page: webdriver.Chrome) -> None:
    body = one(page, "body")

    def position() -> str:
        return one(page, ".detail-bar .small").text

    choose(page, "task", "open_book")
    page.execute_script("document.activeElement.blur()")
    assert position() == "1 of 80"
    body.send_keys("j")
    body.send_keys(Keys.ARROW_RIGHT)
    assert position() == "3 of 80"
    body.send_keys("k")
    body.send_keys(Keys.ARROW_LEFT)
    assert position() == "1 of 80"
    for _ in range(55):
        body.send_keys("j")
    assert position() == "56 of 80"
    assert one(page, "#page").text == "2 / 2"
    assert one(page, "#list [aria-current] .question").text == one(page, "#detail h3").text
    question = one(page, "#detail h3").text
    page.refresh()
    assert one(page, "#detail h3").text == question
    body = one(page, "body")
    body.send_keys("/")
    page.switch_to.active_element.send_keys("jk")
    assert one(page, "#filters [name=search]").get_attribute("value") == "jk"


def test_several_arms_and_temperatures(browser: webdriver.Chrome, tmp_path: Path) -> None:
    write_trial(tmp_path, n=9, treatments=("careful", "polite"), temps=("0.0", "0.7"))
    page = opened(browser, make_report(tmp_path), "#item=open_book%3Aother%7Copen_book-2&temp=0.7")
    assert len(texts(page, "article.verdict")) == 8
    assert "only 8 items" in one(page, ".warnings").text
    assert Select(one(page, "#filters [name=temp]")).first_selected_option.text == "0.7"
    choose(page, "treatment", "polite")
    assert "“polite”" in texts(page, "#detail .arm h4")[1]
