"""The packages are a ladder: each imports only from those below it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from conftest import REPOSITORY

from workflow_scripts.core.records import Outcome
from workflow_scripts.tasks.registry import TASKS, known_metrics

LADDER = (
    {"core"},
    {"telemetry", "schemas"},
    {"stats", "metrics", "plans", "backends"},
    {"retrieval"},
    {"tasks"},
    {"datasets", "judges", "labels"},
    {"config"},
    {"requests", "answers"},
    {"scoring"},
    {"comparisons"},
    {"costs"},
    {"verify"},
    {"report"},
    {"export"},
    {"analyses"},
    {"doctor"},
    {"rules"},
)
"""From the bottom up; packages of one rung do not know each other."""

ROOT = REPOSITORY / "workflow_scripts"


def imported(path: Path) -> Iterator[str]:
    """The packages that a module imports from, its own aside."""
    package = path.relative_to(ROOT).parts[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            assert not any(each.name.startswith(ROOT.name) for each in node.names), path
        elif isinstance(node, ast.ImportFrom):
            assert not (node.module or "").startswith(ROOT.name), path
            if node.level:
                above = package[: len(package) - node.level + 1]
                target = (*above, *(node.module.split(".") if node.module else ()))
                names = [target[0]] if target else [each.name for each in node.names]
                yield from (name for name in names if name != package[0])


def test_each_package_imports_from_lower_rungs_alone() -> None:
    rung = {name: number for number, names in enumerate(LADDER) for name in names}
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert rung.keys() == packages
    upward = {
        f"{path.relative_to(ROOT).as_posix()} imports {name}"
        for package in packages
        for path in (ROOT / package).rglob("*.py")
        for name in imported(path)
        if rung[name] >= rung[package]
    }
    assert not upward


def test_statistics_take_arrays_and_know_no_files() -> None:
    """Of `core` they import what a metric is; the settings also kinds of values."""
    of_files = {"csv", "json", "os", "pathlib", "pyarrow"}
    for path in (ROOT / "stats").glob("*.py"):
        allowed = {"metric"}
        if path.name == "settings.py":
            allowed |= {"block", "records", "values"}
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level > 1:
                package, _, module = (node.module or "").partition(".")
                assert package == "core", path.name
                assert module in allowed, f"{path.name} imports core.{module}"
            elif isinstance(node, ast.ImportFrom) and not node.level:
                assert (node.module or "").split(".")[0] not in of_files, path.name
            elif isinstance(node, ast.Import):
                assert not of_files & {each.name for each in node.names}, path.name


def test_statistics_and_comparisons_name_no_task_and_no_metric() -> None:
    names = {*TASKS, *known_metrics()} - {*get_args(Outcome)}  # also a word of the statistics
    assert names
    for path in (*(ROOT / "stats").glob("*.py"), *(ROOT / "comparisons").glob("*.py")):
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        words = {node.value for node in nodes if isinstance(node, ast.Constant)}
        words |= {node.attr for node in nodes if isinstance(node, ast.Attribute)}
        assert not words & names, path.name


def test_the_picture_in_the_docs_is_the_ladder() -> None:
    text = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
    picture = text.split("<!-- ladder -->\n```\n")[1].split("```")[0]
    rows = [set(line.split("  ")[0].replace(",", "").split()) for line in picture.splitlines()]
    assert rows == list(reversed(LADDER))
