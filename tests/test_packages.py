"""The packages are a ladder: each imports only from those below it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from conftest import REPOSITORY

LADDER = (
    {"core"},
    {"stats", "metrics", "backends"},
    {"tasks"},
    {"datasets"},
    {"config"},
    {"requests", "answers"},
    {"scoring"},
    {"comparisons"},
    {"costs"},
    {"verify"},
    {"report"},
    {"export"},
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


def test_the_picture_in_the_docs_is_the_ladder() -> None:
    text = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
    picture = text.split("<!-- ladder -->\n```\n")[1].split("```")[0]
    rows = [set(line.split("  ")[0].replace(",", "").split()) for line in picture.splitlines()]
    assert rows == list(reversed(LADDER))
