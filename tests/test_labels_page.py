"""The labelling page in Chromium and in Firefox: keys, undo, reload, export, a narrow screen."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import one, opened, texts
from conftest import REPOSITORY
from firefox import Firefox, firefox
from report_files import UNTRUSTED
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from workflow_scripts.labels.collect import read_export
from workflow_scripts.labels.page import Shown, label_page
from workflow_scripts.labels.passages import ShownPassage

SAMPLE = "0123456789abcdef"
HOSTILE = "</script><!-- <script> window.hacked = 1 </script>"


def shown(number: int, text: str) -> Shown:
    return Shown(
        id=f"r{number + 1:04d}",
        dataset="demo",
        question=f"Question {number + 1}? {text}",
        answers=[f"Lyon {text}", "Lugdunum"] if number else [],
        no_answers="none: it has no answer",
        context=f"A passage. {text}" if number % 2 else None,
        context_label="Passage",
        response=f"Response {number + 1}. {text}",
        passages=[
            ShownPassage(f"a {text}.md, line {n}", f"{n} {text}", [2, 5] if n == 1 else [])
            for n in range(number % 3)
        ],
    )


RESPONSES = [shown(number, text) for number, text in enumerate([*UNTRUSTED, HOSTILE])]
N = len(RESPONSES)


@pytest.fixture
def page_file(tmp_path: Path) -> Path:
    path = tmp_path / "labels of #1 (50%).html"
    path.write_text(label_page("pilot", SAMPLE, RESPONSES), encoding="utf-8")
    return path


@pytest.fixture
def labelling(browser: webdriver.Chrome, page_file: Path) -> webdriver.Chrome:
    """The page as somebody opens it for the first time."""
    opened(browser, page_file)
    browser.execute_script("localStorage.clear()")
    browser.set_window_size(1280, 1000)
    return opened(browser, page_file)


def press(page: webdriver.Chrome, keys: str) -> None:
    one(page, "#response").send_keys(keys)


def silent(page: webdriver.Chrome) -> None:
    assert page.get_log("browser") == []
    assert page.execute_script("return window.hacked") is None


# What a download holds is caught where the page makes it: browsers save it somewhere else each.
CATCH = """
    window.caught = [];
    const make = URL.createObjectURL.bind(URL);
    URL.createObjectURL = (blob) => {
      blob.text().then((text) => window.caught.push(text));
      return make(blob);
    };
    HTMLAnchorElement.prototype.click = function () { window.fileName = this.download; };
"""


def test_untrusted_text_is_shown_and_does_nothing(labelling: webdriver.Chrome) -> None:
    for response in RESPONSES:
        for selector, text in (("#question", response.question), ("#text", response.response)):
            assert one(labelling, selector).get_attribute("textContent") == text
        assert one(labelling, "#answers").get_attribute("textContent") == (
            "".join(response.answers) or response.no_answers
        )
        is_shown = response.context is not None or bool(response.passages)
        assert one(labelling, "#context").is_displayed() == is_shown
        passages = labelling.find_elements(By.CSS_SELECTOR, "#passages section")
        assert [each.get_attribute("textContent") for each in passages] == [
            each.place + "cited as [2], [5]" * bool(each.cited) + each.text
            for each in response.passages
        ]
        press(labelling, "j")
    silent(labelling)


def test_labels_by_keyboard(labelling: webdriver.Chrome) -> None:
    assert one(labelling, "#count").text == f"0 of {N} labelled"
    press(labelling, "1")
    assert one(labelling, "#where").text.startswith("Response 2 of")
    press(labelling, "2")
    press(labelling, "3")
    press(labelling, "4")
    assert one(labelling, "#count").text == f"4 of {N} labelled"
    assert one(labelling, "#progress").get_attribute("value") == "4"
    for verdict in ("unsure", "not_attempted", "incorrect", "correct"):
        press(labelling, "k")
        pressed = labelling.find_elements(By.CSS_SELECTOR, "[aria-pressed=true]")
        assert [each.get_attribute("data-verdict") for each in pressed] == [verdict]
    press(labelling, "n")
    assert one(labelling, "#where").text.startswith("Response 5 of")
    silent(labelling)


def test_keys_with_a_modifier_and_keys_in_a_field_are_left_alone(
    labelling: webdriver.Chrome,
) -> None:
    press(labelling, Keys.CONTROL + "1")
    one(labelling, "#annotator").send_keys("Zoé 1")
    assert one(labelling, "#count").text == f"0 of {N} labelled"
    assert one(labelling, "#annotator").get_attribute("value") == "Zoé 1"


def test_the_last_label_shows_where_to_export(labelling: webdriver.Chrome) -> None:
    labelling.set_window_size(400, 700)
    press(labelling, "1" * N)
    assert one(labelling, "#count").text == f"All {N} labelled: export them below"
    top, bottom, bar = labelling.execute_script(
        "const box = (id) => document.querySelector(id).getBoundingClientRect();"
        "return [box('#annotator').top, box('#export-csv').bottom, box('.bar').top]"
    )
    assert 0 < top < bottom <= bar
    silent(labelling)


def test_undo_brings_back_the_label_before(labelling: webdriver.Chrome) -> None:
    assert not one(labelling, "#undo").is_enabled()
    press(labelling, "1")
    press(labelling, "k")
    press(labelling, "2")  # changed, and on to the next without a label
    press(labelling, "z")
    assert one(labelling, "#where").text.startswith("Response 1 of")
    assert texts(labelling, "[aria-pressed=true]") == ["Correct 1"]
    press(labelling, "z")
    assert texts(labelling, "[aria-pressed=true]") == []
    assert one(labelling, "#count").text == f"0 of {N} labelled"
    assert not one(labelling, "#undo").is_enabled()
    press(labelling, "z")  # nothing left
    silent(labelling)


def test_jumping_to_a_number(labelling: webdriver.Chrome) -> None:
    press(labelling, "g")
    labelling.switch_to.active_element.send_keys("3" + Keys.ENTER)
    assert one(labelling, "#where").text.startswith("Response 3 of")
    press(labelling, "g")
    labelling.switch_to.active_element.send_keys("999" + Keys.ENTER)
    assert one(labelling, "#where").text.startswith(f"Response {N} of")
    assert not one(labelling, "#next").is_enabled()


def test_a_reload_keeps_labels_place_and_undo(labelling: webdriver.Chrome) -> None:
    one(labelling, "#annotator").send_keys("ann")
    press(labelling, "1")
    press(labelling, "2")

    def reloaded(page: webdriver.Chrome) -> bool:
        page.refresh()
        return one(page, "#where").text.startswith("Response 3 of")

    # Chromium passes what a page stored on to the page's next process a little later.
    WebDriverWait(labelling, 20).until(reloaded)
    assert one(labelling, "#count").text == f"2 of {N} labelled"
    assert one(labelling, "#annotator").get_attribute("value") == "ann"
    press(labelling, "z")
    assert one(labelling, "#count").text == f"1 of {N} labelled"
    silent(labelling)


def test_another_sample_starts_empty(labelling: webdriver.Chrome, tmp_path: Path) -> None:
    press(labelling, "1")
    other = tmp_path / "other.html"
    other.write_text(label_page("pilot", "f" * 16, RESPONSES), encoding="utf-8")
    assert one(opened(labelling, other), "#count").text == f"0 of {N} labelled"


def test_a_larger_sample_goes_on_with_the_labels_of_the_smaller_one(
    labelling: webdriver.Chrome, tmp_path: Path
) -> None:
    press(labelling, "1")
    larger = tmp_path / "larger.html"
    more = [*RESPONSES, shown(N, "One more.")]
    larger.write_text(label_page("pilot", "e" * 16, more, [SAMPLE]), encoding="utf-8")
    assert one(opened(labelling, larger), "#count").text == f"1 of {N + 1} labelled"
    press(labelling, "2")
    assert one(opened(labelling, larger), "#count").text == f"2 of {N + 1} labelled"


def test_damaged_storage_does_not_stop_the_page(
    labelling: webdriver.Chrome, page_file: Path
) -> None:
    labelling.execute_script(f"localStorage.setItem('assay-labels:{SAMPLE}', '{{')")
    opened(labelling, page_file)
    assert one(labelling, "#count").text == f"0 of {N} labelled"
    assert "Export them before you close" in one(labelling, "#trouble").text


def exported(page: webdriver.Chrome, ending: str) -> str:
    before = page.execute_script("return window.caught.length")
    one(page, f"#export-{ending}").click()
    WebDriverWait(page, 10).until(
        lambda page: page.execute_script("return window.caught.length") > before
    )
    found: str = page.execute_script("return window.caught.at(-1)")
    return found


def test_the_export_is_what_was_typed(labelling: webdriver.Chrome, tmp_path: Path) -> None:
    labelling.execute_script(CATCH)
    one(labelling, "#export-csv").click()
    assert "Enter your name" in one(labelling, "#exported").text
    one(labelling, "#annotator").send_keys("Ann B")
    one(labelling, "#export-csv").click()
    assert one(labelling, "#exported").text == "There are no labels yet."
    for key in "1234":
        press(labelling, key)
    text = exported(labelling, "csv")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["verdict"] for row in rows] == ["correct", "incorrect", "not_attempted", "unsure"]
    assert [row["id"] for row in rows] == ["r0001", "r0002", "r0003", "r0004"]
    assert {(row["sample"], row["annotator"]) for row in rows} == {(SAMPLE, "Ann B")}
    assert labelling.execute_script("return window.fileName") == "pilot.Ann-B.csv"
    (tmp_path / "a.csv").write_text(text, encoding="utf-8", newline="")
    (tmp_path / "a.json").write_text(exported(labelling, "json"), encoding="utf-8")
    by_csv = [each.row for each in read_export(tmp_path / "a.csv")]
    assert by_csv == [each.row for each in read_export(tmp_path / "a.json")]
    assert [row.verdict for row in by_csv] == [row["verdict"] for row in rows]
    silent(labelling)


def test_a_name_that_a_spreadsheet_would_run_is_refused(labelling: webdriver.Chrome) -> None:
    labelling.execute_script(CATCH)
    press(labelling, "1")
    one(labelling, "#annotator").send_keys("=1+1,")
    one(labelling, "#export-csv").click()
    assert "Enter your name" in one(labelling, "#exported").text
    assert labelling.execute_script("return window.caught.length") == 0


def test_chromium_saves_the_file(labelling: webdriver.Chrome, tmp_path: Path) -> None:
    folder = {"behavior": "allow", "downloadPath": str(tmp_path)}
    labelling.execute_cdp_cmd("Browser.setDownloadBehavior", folder)
    press(labelling, "1")
    one(labelling, "#annotator").send_keys("ann")
    one(labelling, "#export-csv").click()
    path = tmp_path / "pilot.ann.csv"
    WebDriverWait(labelling, 20).until(lambda _: path.is_file() and path.stat().st_size)
    (found,) = read_export(path)
    assert (found.row.id, found.row.verdict) == ("r0001", "correct")


@pytest.mark.parametrize("width", [360, 820, 1280])
def test_nothing_is_wider_than_the_screen(labelling: webdriver.Chrome, width: int) -> None:
    size = {"width": width, "height": 740, "deviceScaleFactor": 1, "mobile": width < 800}
    labelling.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        for _ in range(3):
            assert labelling.execute_script("return document.documentElement.scrollWidth") <= width
            # Labels can be given without scrolling, with a finger.
            for button in labelling.find_elements(By.CSS_SELECTOR, "[data-verdict]"):
                box: dict[str, Any] = labelling.execute_script(
                    "const b = arguments[0].getBoundingClientRect();"
                    "return {top: b.top, bottom: b.bottom, height: b.height}",
                    button,
                )
                assert box["top"] >= 0 and box["bottom"] <= 740
                assert box["height"] >= 44
            one(labelling, "[data-verdict=correct]").click()
        assert one(labelling, "#count").text == f"3 of {N} labelled"
    finally:
        labelling.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_axe_finds_nothing(labelling: webdriver.Chrome) -> None:
    source = (REPOSITORY / "tests/vendor/axe-core/axe.min.js").read_text(encoding="utf-8")
    for scheme in ("light", "dark"):
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        labelling.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        labelling.execute_script(source)
        found = labelling.execute_async_script(
            "const done = arguments[arguments.length - 1];"
            "axe.run().then((result) => done(result.violations.map((each) =>"
            " each.id + ': ' + each.nodes.map((node) => node.html).join(' '))));"
        )
        assert found == []
    labelling.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


@pytest.fixture(scope="module")
def fox(program: Callable[..., str]) -> Iterator[Firefox]:
    with firefox(program("firefox-esr", "firefox")) as running:
        yield running


def text(fox: Firefox, selector: str) -> str:
    return str(fox.run(f"return document.querySelector({json.dumps(selector)}).textContent"))


def test_the_page_in_firefox(fox: Firefox, page_file: Path, tmp_path: Path) -> None:
    fox.open(page_file)
    fox.run("document.getElementById('response').focus()")
    fox.press("1234")
    assert text(fox, "#count") == f"4 of {N} labelled"
    fox.press("z")
    fox.open(page_file)  # loaded once more
    assert text(fox, "#count") == f"3 of {N} labelled"
    assert text(fox, "#where").startswith("Response 4 of")
    fox.run("document.getElementById('annotator').focus()")
    fox.press("ben")
    fox.run(CATCH)
    caught = fox.run(
        """
        document.getElementById("export-csv").click();
        while (!window.caught.length) await new Promise((done) => setTimeout(done, 10));
        return window.caught[0];
        """
    )
    (tmp_path / "ben.csv").write_text(caught, encoding="utf-8", newline="")
    rows = [each.row for each in read_export(tmp_path / "ben.csv")]
    assert [(row.id, row.verdict, row.annotator) for row in rows] == [
        ("r0001", "correct", "ben"),
        ("r0002", "incorrect", "ben"),
        ("r0003", "not_attempted", "ben"),
    ]
    assert fox.run("return window.hacked") is None
    assert fox.logged == []


def test_the_colours_are_those_of_the_report() -> None:
    def colours(path: str) -> list[dict[str, str]]:
        sheet = (REPOSITORY / "workflow_scripts" / path).read_text(encoding="utf-8")
        blocks = re.findall(r":root \{(.*?)\}", sheet, re.DOTALL)
        return [dict(re.findall(r"(--[\w-]+): (#\w+)", block)) for block in blocks]

    report = colours("report/assets/style.css")
    ours = colours("labels/assets/label.css")
    assert len(ours) == 2 and all(ours)
    for number in range(2):
        assert ours[number].items() <= report[number].items()
