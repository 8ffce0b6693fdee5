"""Tasks and metrics are named where they are declared, and nowhere else in the product."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from conftest import REPOSITORY
from source_code import code_of

from workflow_scripts.core.records import Outcome
from workflow_scripts.metrics.correctness import Correctness
from workflow_scripts.schemas.reply import Form
from workflow_scripts.tasks.registry import TASKS, known_metrics

ROOT = REPOSITORY / "workflow_scripts"

DECLARED_IN = ("tasks", "metrics", "judges")
"""The declarations, the scorers beside them, and the functions that these call."""

ALLOWED = {
    # The publishers of these data sets say whether the passage belongs to the question.
    "datasets/public_formats.py": {"open_book", "closed_book"},
    # Functions, and a word of sentences.
    "config/load.py": {"unknown_names"},
    "export/run_crate.py": {"accuracy"},
    "scoring/accuracy.py": {"accuracy"},
    # A file of pins, envs/rag.txt.
    "retrieval/optional.py": {"rag"},
    # A column that every task with a passage has (`Task.has_passage`).
    "scoring/sensitivity.py": {"support"},
}


def declared_names() -> set[str]:
    """The names of all tasks, of their metrics and further columns, and of their subgroups."""
    metrics = known_metrics().values()
    roles = [task.selective_risk for task in TASKS.values() if task.selective_risk]
    subgroups = {name for metric in metrics for name, _ in metric.subgroup_better}
    subgroups |= {metric.must_hold_in for metric in metrics} | {each.declined for each in roles}
    columns = {name for task in TASKS.values() for name in task.details}
    names = set(TASKS) | {metric.name for metric in metrics} | columns | subgroups
    # Some are called like what they count: an outcome, a form of reply, a level of correctness.
    return names - {"", *get_args(Outcome), *get_args(Form), *get_args(Correctness)}


def texts(path: Path) -> Iterator[str]:
    """What a file says to a machine: not its comments, and not the docstrings of Python."""
    if path.suffix != ".py":
        text = path.read_text(encoding="utf-8")
        yield re.sub(r"{#.*?#}|^\s*//.*?$|/\*.*?\*/", "", text, flags=re.DOTALL | re.MULTILINE)
        return
    for node in ast.walk(code_of(path, with_help=True)):
        match node:
            case ast.Constant(value=str(value)):
                yield value
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name):
                yield name
            case ast.keyword(arg=str(name)):
                yield name


def named(path: Path, names: set[str]) -> set[str]:
    """Which of the names a file has."""
    whole_words = re.compile(r"(?<![\w-])\w+(?![\w-])")
    return {word for text in texts(path) for word in whole_words.findall(text)} & names


def product() -> Iterator[Path]:
    for path in sorted(ROOT.rglob("*")):
        if path.suffix in {".py", ".j2", ".js", ".css"}:
            yield path


def test_no_module_template_or_script_names_a_task_or_a_metric() -> None:
    names = declared_names()
    assert {"open_book", "false_answer_rate", "unanswerable", "support"} <= names
    found = {
        path.relative_to(ROOT).as_posix(): sorted(words)
        for path in product()
        if path.relative_to(ROOT).parts[0] not in DECLARED_IN
        if (words := named(path, names) - ALLOWED.get(path.relative_to(ROOT).as_posix(), set()))
    }
    assert found == {}


def test_what_is_allowed_is_needed() -> None:
    names = declared_names()
    for place, words in ALLOWED.items():
        assert words <= named(ROOT / place, names), place


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.py", 'ORDER = ("f1", "other")'),
        ("a.py", "row.f1"),
        ("a.py", "f(f1=3)"),
        ("a.py", "def f(f1): ..."),
        ("a.py", 'f"{x} and f1"'),
        ("a.j2", '{% for name in ("f1", "other") %}'),
        ("a.js", 'const sorts = { f1: ["F1", null] };'),
        ("a.js", "// a comment\nmetrics['f1']"),
    ],
)
def test_a_name_is_found(name: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    assert named(path, {"f1", "em"}) == {"f1"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.py", '"""The f1."""\nx = 1  # f1'),
        ("a.py", 'x = "f1_rate of-f1"'),
        ("a.js", "// the f1\n/* f1 */"),
        ("a.j2", "{#- f1 -#}"),
    ],
)
def test_comments_and_longer_words_are_no_names(name: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    assert named(path, {"f1"}) == set()
