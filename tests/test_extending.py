"""The walks of docs/extending.md, followed word by word."""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import pytest
from browser import n_shown, one, opened
from conftest import REPOSITORY, Project
from selenium import webdriver
from small_workflow import OLD

from workflow_scripts.core.files import read_jsonl
from workflow_scripts.core.records import Request

PORT = "8765"
"""The only word of the page that the tests replace: it may be taken here."""

_BLOCK = re.compile(r"^(?:`(?P<file>[^`\n]+)`:\n\n)?```\w+\n(?P<text>.*?)^```$", re.M | re.S)


@dataclass(frozen=True)
class Walk:
    """A section of the page: the files that it shows, and the commands after them."""

    files: dict[str, str]
    commands: list[list[str]]

    @classmethod
    def of(cls, title: str, port: int = 0) -> Walk:
        page = (REPOSITORY / "docs/extending.md").read_text(encoding="utf-8")
        (section,) = re.findall(rf"^## {title}\n(.*?)(?=^## |\Z)", page, re.M | re.S)
        blocks = list(_BLOCK.finditer(section.replace(PORT, str(port))))
        shown = [each for each in blocks if each["file"] is None]
        return cls(
            {each["file"]: each["text"] for each in blocks if each["file"]},
            [shlex.split(line) for each in shown for line in each["text"].splitlines()],
        )

    def write(self, root: Path) -> None:
        for name, text in self.files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    def follow(self, project: Project, monkeypatch: pytest.MonkeyPatch) -> Path:
        """Write the files, run the commands, and return the last one's target."""
        self.write(project.root)
        with running_servers(project.root, self.commands):
            for program, *arguments in self.commands:
                if program == "pip":
                    install(project.root / arguments[-1], project.root / "site", monkeypatch)
                elif program == "mkdir":
                    (project.root / arguments[0]).mkdir(exist_ok=True)
                elif program == "cp":
                    shutil.copy(REPOSITORY / arguments[0], project.root / arguments[1])
                elif program == "snakemake":
                    project.snakemake("--cores", "2", *arguments)
        return project.root / self.commands[-1][-1]


def install(package: Path, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Do what ``pip install`` does, without building a wheel."""
    about = tomllib.loads((package / "pyproject.toml").read_text(encoding="utf-8"))
    name, version = about["project"]["name"], about["project"]["version"]
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Name: {name}\nVersion: {version}\n", encoding="utf-8")
    lines = []
    for group, entries in about["project"]["entry-points"].items():
        lines += [f"[{group}]", *(f"{key} = {value}" for key, value in entries.items())]
    (info / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")
    for module in about["tool"]["setuptools"]["py-modules"]:
        (package / f"{module}.py").rename(site / f"{module}.py")
    monkeypatch.setenv("PYTHONPATH", str(site))


@contextmanager
def running_servers(root: Path, commands: Sequence[Sequence[str]]) -> Iterator[None]:
    """Run the commands that end in ``&``, until they listen on the port that is their argument."""
    started = [
        subprocess.Popen([sys.executable, *each[1:-1]], cwd=root, stderr=subprocess.DEVNULL)
        for each in commands
        if each[-1] == "&"
    ]
    try:
        for each in commands:
            if each[-1] == "&":
                wait_for(int(each[-2]))
        yield
    finally:
        for server in started:
            server.kill()
            server.wait()


def wait_for(port: int) -> None:
    for _ in range(600):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    pytest.fail("the server of the page did not start")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_data_format_of_another_package(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    walk = Walk.of("A data format")
    predictions = rows(walk.follow(project, monkeypatch))
    assert len(predictions) == 4  # two items under two prompts
    questions = project.read("results/faq/questions/closed_book.jsonl")
    assert "Who painted the ceiling of the Sistine Chapel?" in questions
    assert '["Michelangelo","Michelangelo Buonarroti"]' in project.read(
        "results/faq/items/closed_book.jsonl"
    )

    # A mistake in the file is told by the reader.
    path = project.root / "data/office.txt"
    path.write_text("One line.\n", encoding="utf-8")
    failed = project.snakemake("--cores", "1", "--configfile", "config/faq.yaml", check=False)
    log = project.read("results/faq/logs/items/closed_book.log")
    assert "office.txt, line 1: expected a question, its answers and a blank line" in log
    assert failed.returncode != 0

    # The module is code: a change of it prepares the items again.
    path.write_text(walk.files["data/office.txt"], encoding="utf-8")
    target = "results/faq/items/closed_book.jsonl"
    arguments = ("--configfile", "config/faq.yaml", target)
    project.snakemake("--cores", "1", *arguments)
    assert project.plan(*arguments) == {}
    project.replace("site/faq_format.py", ".hexdigest()[:12]", ".hexdigest()[:16]")
    assert project.plan(*arguments) == {"items": 1}


def test_a_backend_of_another_package(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    walk = Walk.of("A backend", free_port())
    predictions = rows(walk.follow(project, monkeypatch))
    assert len(predictions) == 8  # four items under two prompts
    inputs = (project.root / "results/echo/inputs/default").glob("*.jsonl")
    asked = [request for path in inputs for request in read_jsonl(path, Request)]
    last_lines = {request.messages[-1].content.splitlines()[-1] for request in asked}
    assert {row["response_text"] for row in predictions} == last_lines
    assert len(last_lines) == 4


def table(project: Project, experiment: str, name: str) -> list[dict[str, str]]:
    (path,) = (project.root / "results" / experiment).glob(f"*/*/*/*/{name}")
    return rows(path)


def responses(project: Project, experiment: str) -> dict[tuple[str, str], str]:
    """What was answered, by item and condition."""
    return {
        (f"{row['dataset']}|{row['item_id']}", row["condition"]): row["response_text"].lstrip("'")
        for row in table(project, experiment, "predictions.csv")
    }


def journaled(project: Project) -> list[tuple[Path, int]]:
    files = (project.root / "results/journal").glob("*/*.jsonl")
    return [(path, path.stat().st_size) for path in sorted(files)]


def test_a_metric_of_ones_own(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Walk.of("A metric").follow(project, monkeypatch).is_file()
    (page,) = (project.root / "results/brevity").glob("*/*/*/*/report.html")
    assert "Brief answers" in page.read_text(encoding="utf-8")
    answers = responses(project, "brevity")
    scores = table(project, "brevity", "per_item_scores.csv")
    assert len(scores) == len(answers) == 40
    for row in scores:
        brief = len(answers[row["item_key"], row["condition"]].split()) <= 5
        assert float(row["brevity"]) == brief

    # A changed file, however old, scores again and asks nothing.
    before = journaled(project)
    project.replace("scorers/brevity.py", "return 1.0", "return 0.5")
    os.utime(project.root / "scorers/brevity.py", (OLD, OLD))
    (scored,) = (project.root / "results/brevity").glob("*/*/*/*/per_item_scores.csv")
    scores_path = scored.relative_to(project.root).as_posix()
    project.snakemake("--cores", "2", "--configfile", "config/brevity.yaml", "--", scores_path)
    assert {row["brevity"] for row in table(project, "brevity", "per_item_scores.csv")} <= {
        "0.5",
        "0.0",
    }
    assert journaled(project) == before


def test_a_task_of_another_package(
    project: Project, monkeypatch: pytest.MonkeyPatch, browser: webdriver.Chrome
) -> None:
    front = Walk.of("A task").follow(project, monkeypatch)
    shown = opened(browser, front)
    assert shown.get_log("browser") == []  # type: ignore[no-untyped-call]
    assert "Multiple choice" in one(shown, "main").text
    (page,) = (project.root / "results/choices").glob("*/*/*/*/report.html")
    shown = opened(browser, page)
    assert shown.get_log("browser") == []  # type: ignore[no-untyped-call]
    assert "right choices" in one(shown, "main").text.lower()
    assert n_shown(shown) == 4
    (part,) = (project.root / "results/choices/inputs/default").glob("*.control.*.jsonl")
    first = next(iter(read_jsonl(part, Request)))
    assert first.messages[-1].content == (
        "Which number is even?\n\nA. 2\nB. 3\nC. 5\n\nThe letter of the right choice:"
    )
    assert first.decoding.max_new_tokens == 8

    answers = responses(project, "choices")
    scores = table(project, "choices", "per_item_scores.csv")
    columns = ["picked", "picked_std", "words", "words_std"]
    assert list(scores[0]) == ["item_key", "type", "condition", "temp", *columns]
    right = {"1": "A", "2": "B", "3": "C", "4": "A"}
    assert len(scores) == len(answers) == 8
    for row in scores:
        response = answers[row["item_key"], row["condition"]]
        assert float(row["words"]) == 1 + len(response.split())
        letter = re.match(r"\W*([ABC])\b", response.upper())
        letter_is_right = letter is not None and letter[1] == right[row["item_key"][-1]]
        assert float(row["picked"]) == letter_is_right


def test_a_figure_of_another_package(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    page = Walk.of("A figure").follow(project, monkeypatch).read_text(encoding="utf-8")
    assert "<h4>Effect sizes</h4>" in page
    caption = "“treatment” against “control”, in standard deviations of the differences."
    assert caption in page
    (path,) = (project.root / "results/figure").rglob("significance.json")
    results = json.loads(path.read_text(encoding="utf-8"))["results"]["treatment"]["0.0"]
    found = results["closed_book"]["metrics"]["em"]["cohens_d"]
    assert f"exact match,{found}" in unquote(page)


@pytest.mark.parametrize(
    ("title", "module", "folder", "table", "line", "config"),
    [
        (
            "A data format",
            "faq-format/faq_format.py",
            "datasets",
            "formats.py",
            '"faq": "workflow_scripts.datasets.faq_format:FORMAT",',
            "config/faq.yaml",
        ),
        (
            "A backend",
            "echo-backend/echo_backend.py",
            "backends",
            "table.py",
            '"echo": "workflow_scripts.backends.echo_backend:BACKEND",',
            "config/echo.yaml",
        ),
    ],
)
def test_in_assay_itself_it_is_one_module_and_one_line(
    project: Project, title: str, module: str, folder: str, table: str, line: str, config: str
) -> None:
    walk = Walk.of(title)
    walk.write(project.root)
    package = project.root / "workflow_scripts" / folder
    (project.root / module).rename(package / Path(module).name)
    text = (package / table).read_text(encoding="utf-8")
    (package / table).write_text(text.replace("    },\n)", f"        {line}\n    }},\n)"), "utf-8")
    checked = project.run("-m", "workflow_scripts.config.check", config)
    assert f"{config}: valid, 1 trial\n" in checked.stdout
    project.run("-m", "workflow_scripts.config.reference", "--output", "reference.md")
    assert f"`{line.split(chr(34))[1]}`" in project.read("reference.md")
