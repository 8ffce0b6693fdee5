"""A command loads what it needs, and finds prepared what takes long to prepare."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import REPOSITORY

FUNCTIONS = """
import sys
from workflow_scripts.stats import special
assert "scipy" not in sys.modules
found = special.ndtri(0.975), special.stdtrit(7.0, 0.9)
assert not {"numpy.f2py", "numpy.testing", "numpy.ma"} & sys.modules.keys()

import scipy.special
assert found == (scipy.special.ndtri(0.975), scipy.special.stdtrit(7.0, 0.9))

import numpy as np
assert np.ma.sum([1, 2]) == 3
assert np.random.default_rng(1).random() < 1
np.testing.assert_equal(np.f2py.__name__, "numpy.f2py")
"""


def python(code: str, root: Path, **environment: str) -> str:
    """Run code with a copy of the package; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "", **environment},
        capture_output=True, text=True, encoding="utf-8", check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_special_functions_load_no_further_parts_of_numpy() -> None:
    python(FUNCTIONS, REPOSITORY)


RENDER = """
import jinja2
from workflow_scripts.report import page
compiled = []
generate = jinja2.Environment.compile
def noted(environment, source, name=None, *rest, **options):
    compiled.append(name)
    return generate(environment, source, name, *rest, **options)
jinja2.Environment.compile = noted
print(page.render("x.html.j2", styles=[], scripts=[], n=3), compiled)
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the package with a template of two files."""
    copy = tmp_path / "copy"
    shutil.copytree(
        REPOSITORY / "workflow_scripts",
        copy / "workflow_scripts",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    templates(copy).joinpath("x.html.j2").write_text("{% include 'y.html.j2' %}", encoding="utf-8")
    templates(copy).joinpath("y.html.j2").write_text("{{ n }} items", encoding="utf-8")
    return copy


def templates(package: Path) -> Path:
    return package / "workflow_scripts" / "report" / "templates"


def test_templates_are_compiled_once(package: Path) -> None:
    assert python(RENDER, package).split("\n") == ["3 items ['x.html.j2', 'y.html.j2']", ""]
    assert python(RENDER, package) == "3 items []\n"

    templates(package).joinpath("y.html.j2").write_text("{{ n }} trials", encoding="utf-8")
    assert python(RENDER, package) == "3 trials ['y.html.j2']\n"

    # With other settings of the environment.
    code = package / "workflow_scripts" / "report" / "page.py"
    text = code.read_text(encoding="utf-8")
    assert "autoescape=True" in text
    code.write_text(text.replace("autoescape=True", "autoescape=False"), encoding="utf-8")
    assert python(RENDER, package) == "3 trials ['x.html.j2', 'y.html.j2']\n"


BOTH = "3 items ['x.html.j2', 'y.html.j2']\n"


def test_templates_are_kept_only_if_compiled_python_is(package: Path) -> None:
    assert python(RENDER, package, PYTHONDONTWRITEBYTECODE="1") == BOTH
    assert not list(package.rglob("template-*"))


@pytest.mark.not_on_windows("symbolic links need a privilege")
def test_nothing_is_kept_in_a_folder_that_cannot_be_written(package: Path) -> None:
    folder = package / "workflow_scripts" / "report" / "__pycache__"
    folder.symlink_to(package / "nowhere", target_is_directory=True)
    assert python(RENDER, package) == BOTH
    assert python(RENDER, package) == BOTH
