"""Both pages in Firefox: silent, and the explorer works."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from firefox import Firefox, firefox
from report_files import UNTRUSTED, make_front

from workflow_scripts.config.trial import Trial
from workflow_scripts.rules.stages import FrontSettings


@pytest.fixture(scope="module")
def fox(program: Callable[..., str]) -> Iterator[Firefox]:
    with firefox(program("firefox-esr", "firefox")) as opened:
        yield opened


def text(fox: Firefox, selector: str) -> str:
    return str(fox.run(f"return document.querySelector({json.dumps(selector)}).textContent"))


def test_the_trials_page(fox: Firefox, trial_folder: Path) -> None:
    fox.open(trial_folder / "report.html")
    assert text(fox, "#shown") == "160 of 160 items"
    fox.run("document.getElementById('detail').focus()")
    for untrusted in UNTRUSTED:
        assert text(fox, "#detail h3").endswith(untrusted)
        fox.press("j")
    assert fox.run("return window.hacked") is None
    fox.run("document.querySelector('#filters [name=search]').focus()")
    fox.press("person 42")
    assert text(fox, "#shown") == "2 of 160 items"
    button = "document.querySelector('[data-show]')"
    fox.run(f"{button}.click()")
    assert text(fox, "#shown") == f"{fox.run(f'return {button}.textContent')} of 160 items"
    raw = fox.run(
        """
        const details = document.querySelector("#detail .request");
        details.open = true;
        while (!details.querySelector("pre.raw")) await new Promise((done) => setTimeout(done, 10));
        return details.querySelector("pre.raw:last-child").textContent;
        """
    )
    assert json.loads(raw)["type"] in {"open_book", "closed_book"}
    assert fox.logged == []


def test_a_link_opens_its_item(fox: Firefox, trial_folder: Path) -> None:
    fox.open(trial_folder / "report.html", "#item=closed_book%3Ademo%7Cclosed_book-41")
    assert text(fox, "#detail h3") == "Where does person 41 live? "
    assert fox.logged == []


def test_the_front_page(fox: Firefox, trial_folder: Path, tmp_path: Path) -> None:
    trial = Trial.model_validate_json((trial_folder / "trial.json").read_text(encoding="utf-8"))
    settings = FrontSettings(title="In Firefox", note=None, trials=[trial])
    fox.open(make_front(tmp_path / "report.html", settings))
    assert text(fox, "h1") == "In Firefox"
    fox.run("document.querySelector('.sortable thead button').click()")
    assert fox.run("return document.querySelectorAll('.sortable [aria-sort]').length") == 1
    assert fox.logged == []
