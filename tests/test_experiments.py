"""Several experiments in one results folder: one config each, and the page that people open."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from browser import one, opened, texts
from report_files import make_front, run_main, write_trial
from selenium import webdriver

from workflow_scripts.config.experiment import claim
from workflow_scripts.config.trial import FrontSettings
from workflow_scripts.core.errors import UserError
from workflow_scripts.report import index

# One config for each experiment


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def config(name: str, text: str) -> Path:
    path = Path(name)
    path.write_text(text, encoding="utf-8")
    return path


def test_a_second_config_under_one_name_is_refused(folder: Path) -> None:
    first, second = config("a.yaml", "experiment: x\n"), config("b.yaml", "experiment: x\n")
    claim("x", [first])
    claim("x", [first])
    with pytest.raises(UserError, match=r"^b\.yaml: experiment: 'x' is the experiment of a\.yaml"):
        claim("x", [second])
    with pytest.raises(UserError, match="Choose another name"):
        claim("x", [folder / "b.yaml"])
    claim("y", [config("b.yaml", "experiment: y\n")])


def test_the_file_that_names_the_experiment_counts(folder: Path) -> None:
    base, overlay = config("a.yaml", "experiment: x\n"), config("b.yaml", "limit_items: 5\n")
    claim("x", [base])
    claim("x", [base, overlay])
    claim("x", [folder / "a.yaml", overlay])  # the same file, spelt in another way


def test_a_name_given_on_the_command_line_claims_nothing(folder: Path) -> None:
    claim("z", [config("a.yaml", "experiment: x\n")])
    claim("z", [])
    assert not list(folder.glob("results/*"))


def test_without_a_name_the_default_one_is_claimed(folder: Path) -> None:
    first = config("a.yaml", "limit_items: 5\n")
    claim("experiment", [first, config("overlay.yaml", "limit_items: 7\n")])
    claim("experiment", [first])
    with pytest.raises(UserError, match=r"a\.yaml too"):
        claim("experiment", [config("b.yaml", "limit_items: 6\n")])


@pytest.mark.parametrize("text", [None, "experiment: y\n", "experiment: [\n"])
def test_a_file_that_is_gone_or_names_another_has_no_claim(folder: Path, text: str | None) -> None:
    first, second = config("a.yaml", "experiment: x\n"), config("b.yaml", "experiment: x\n")
    claim("x", [first])
    first.unlink() if text is None else config("a.yaml", text)
    claim("x", [second])
    config("a.yaml", "experiment: x\n")
    with pytest.raises(UserError, match=r"b\.yaml too"):
        claim("x", [first])


# The page to open


def write_experiment(results: Path, name: str, title: str | None, seed: int) -> None:
    place = results / name / "here" / "m" / "default" / "careful"
    trial = write_trial(place, n=40, seed=seed).model_copy(update={"experiment": name})
    settings = FrontSettings(title=title, note=None, trials=[trial])
    make_front(results / name / "report.html", settings)


def make_index(results: Path) -> Path:
    page = results / "report.html"
    run_main(index, ["--results", str(results), "--output", str(page)])
    return page


def links(page: Path) -> list[str]:
    return re.findall(r'<a [^>]*?href="([^"#]+)"', page.read_text(encoding="utf-8"))


def test_the_one_experiments_page_is_the_page(tmp_path: Path) -> None:
    write_experiment(tmp_path, "brief", "Does it <b>?", 1)
    page = make_index(tmp_path)
    own = (tmp_path / "brief/report.html").read_text(encoding="utf-8")
    assert page.read_text(encoding="utf-8").replace('href="brief/', 'href="') == own
    assert {link for link in links(page) if not link.startswith("data:")} == {
        "brief/here/m/default/careful/report.html",
        "brief/report.json",
    }


def test_several_experiments_are_listed_with_their_verdicts(
    tmp_path: Path, browser: webdriver.Chrome
) -> None:
    write_experiment(tmp_path, "brief", "Does it <b>?", 1)
    write_experiment(tmp_path, "wide", None, 2)
    (tmp_path / "downloads").mkdir()
    page = make_index(tmp_path)
    assert links(page) == ["brief/report.html", "wide/report.html"]
    assert all((tmp_path / link).exists() for link in links(page))
    shown = opened(browser, page)
    assert shown.get_log("browser") == []  # type: ignore[no-untyped-call]
    assert texts(shown, "article h2") == ["Does it <b>?", "wide"]
    assert len(texts(shown, "article .verdict")) == 4
    one(shown, "article:nth-child(2) h2 a").click()
    assert shown.current_url.endswith("wide/report.html")


def test_a_damaged_summary_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_experiment(tmp_path, "brief", None, 1)
    (tmp_path / "brief/report.json").write_text("{}", encoding="utf-8")
    with pytest.raises(SystemExit, match=r"brief.report\.json: experiment: "):
        make_index(tmp_path)
