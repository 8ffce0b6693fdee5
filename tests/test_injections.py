"""Hostile texts go through the whole pipeline; a real browser looks at what comes out."""

from __future__ import annotations

import csv
import json
import subprocess
import sys

import pytest
import yaml
from browser import one, opened
from conftest import NewClone, Project, clean_environment
from report_files import UNTRUSTED
from selenium import webdriver
from selenium.webdriver.common.by import By
from servers.base import running
from servers.openai_compatible import CompatibleServer

TRIAL = "results/hostile/openai_compatible/tiny-3m/default/hostile"
MARKUP = "</script><script>window.hacked = 'prompt'</script><img src=x onerror='window.hacked=0'>"


def write_inputs(project: Project, url: str) -> None:
    """Items, prompts and a config in which every text that the report shows tries to break out."""
    rows = [
        {
            "id": str(number),
            "question": f"Where? {text}",
            "answers": [f"Here. {text}"],
            "context": f"Here it is. {text}",
            "cluster_id": f"passage {number // 2}",
        }
        for number, text in enumerate(UNTRUSTED)
    ]
    lines = "".join(f"{json.dumps(row)}\n" for row in rows)
    (project.root / "items.jsonl").write_text(lines, encoding="utf-8")
    for name in ("one", "two"):
        prompt = f"Answer as {name}. {MARKUP}"
        (project.root / f"prompts/system/{name}.txt").write_text(prompt, encoding="utf-8")
    config = {
        "experiment": "hostile",
        "title": f"Title {MARKUP}",
        "note": f"Note {MARKUP}",
        "backend": "openai_compatible",
        "local_endpoint": url,
        "model_id": "tiny-3m",
        "stop": ["</never-said>"],
        "datasets": {"hostile": {"format": "jsonl", "path": "items.jsonl", "task": "open_book"}},
        "prompt_sets": {"hostile": {"control": "one", "treatment": "two"}},
        "stats": {"bootstrap_samples": 100, "permutation_samples": 100},
    }
    (project.root / "config/hostile.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")


@pytest.fixture(scope="module")
def hostile(new_clone: NewClone, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A finished run whose server answers with the hostile text that it was asked."""
    project = new_clone(tmp_path_factory.mktemp("hostile"))
    with running(CompatibleServer()) as server:
        server.answer = lambda question: f"You asked: {question}"
        write_inputs(project, server.url)
        command = ["-m", "workflow_scripts.rules.snakemake_command", "--cores", "2"]
        done = subprocess.run(
            [sys.executable, *command, "--configfile", "config/hostile.yaml"],
            cwd=project.root, env=clean_environment(), capture_output=True, text=True,
            encoding="utf-8", check=False, timeout=300,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return project


def test_no_text_becomes_anything_else(browser: webdriver.Chrome, hostile: Project) -> None:
    for path in (hostile.root / TRIAL / "report.html", hostile.root / "results/report.html"):
        page = opened(browser, path)
        assert page.get_log("browser") == []  # type: ignore[no-untyped-call]
        assert MARKUP in one(page, "h1").text
        breakouts = "main script, img, iframe, object, embed, base, [onload], [onerror]"
        assert page.find_elements(By.CSS_SELECTOR, breakouts) == []
        assert page.execute_script("return window.hacked") is None
        for link in page.find_elements(By.CSS_SELECTOR, "a"):
            address = link.get_dom_attribute("href") or ""
            assert not address.lower().startswith(("javascript:", "http:", "https:")), address


def test_every_item_can_be_looked_at(browser: webdriver.Chrome, hostile: Project) -> None:
    page = opened(browser, hostile.root / TRIAL / "report.html")
    for number, text in enumerate(UNTRUSTED):
        address = f"#item=open_book%3Ahostile%7C{number}"
        page.execute_script("location.hash = arguments[0]", address)
        heading = one(page, "#detail h3").get_property("textContent")
        assert str(heading) == f"Where? {text}"
        responses = page.find_elements(By.CSS_SELECTOR, "#detail .response")
        assert len(responses) == 2
        assert all(text in str(each.get_property("textContent")) for each in responses)
        assert page.execute_script("return window.hacked") is None


def test_no_cell_is_a_formula(hostile: Project) -> None:
    for path in sorted((hostile.root / TRIAL).glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as stream:
            for row in csv.reader(stream):
                for cell in row:
                    assert not cell.lstrip().startswith(("=", "+", "@", "\t", "\r")), (path, cell)


def test_the_files_are_named_after_no_hostile_text(hostile: Project) -> None:
    for path in (hostile.root / "results").rglob("*"):
        assert not set(path.name) & set('<>:"|?*\\'), path
        assert len(path.name) < 200, path
