"""The digest of code: it changes exactly when what would run changes."""

from __future__ import annotations

import ast
import functools
import json
import re
import shutil
from pathlib import Path

import pytest
from conftest import REPOSITORY, Project, clone


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return clone(tmp_path_factory.mktemp("digest"))


@pytest.fixture
def copy(original: Project, tmp_path: Path) -> Project:
    shutil.copytree(original.root / "workflow_scripts", tmp_path / "workflow_scripts")
    return Project(tmp_path)


def digest(project: Project, module: str) -> str:
    code = (
        f"from workflow_scripts.core.code_digest import code_digest; print(code_digest({module!r}))"
    )
    return project.run("-c", code).stdout.strip()


@functools.cache
def undisturbed(original: Project, module: str) -> str:
    """The digest in the project that no test changes."""
    return digest(original, module)


SCORE = "workflow_scripts.scoring.items"
REPORT = "workflow_scripts.report.trial"


def append(project: Project, path: str, text: str) -> None:
    file = project.root / "workflow_scripts" / path
    file.write_text(file.read_text(encoding="utf-8") + text, encoding="utf-8")


@pytest.mark.parametrize(
    ("path", "text", "changes_score", "changes_report"),
    [
        ("scoring/completeness.py", "\nNEW = 1\n", True, False),
        ("core/files.py", "\nNEW = 1\n", True, True),
        ("metrics/text.py", "\n# a remark\n", False, False),
        ("comparisons/contrasts.py", "\nNEW = 1\n", False, False),
        ("report/templates/trial.html.j2", "<p>", False, True),
    ],
)
def test_it_covers_the_import_closure(
    original: Project,
    copy: Project,
    path: str,
    text: str,
    changes_score: bool,
    changes_report: bool,
) -> None:
    append(copy, path, text)
    assert (digest(copy, SCORE) != undisturbed(original, SCORE)) == changes_score
    assert (digest(copy, REPORT) != undisturbed(original, REPORT)) == changes_report


def test_docstrings_and_line_ends_do_not_count(original: Project, copy: Project) -> None:
    file = copy.root / "workflow_scripts/metrics/text.py"
    text = file.read_text(encoding="utf-8")
    first = text.split('"""')[1]
    file.write_bytes(text.replace(first, "Something else.").replace("\n", "\r\n").encode())
    assert digest(copy, SCORE) == undisturbed(original, SCORE)


KEPT = "workflow_scripts/__pycache__/parsed_code.json"


def test_what_was_parsed_is_kept_by_content(copy: Project) -> None:
    (copy.root / KEPT).unlink(missing_ok=True)
    parsed = digest(copy, SCORE)
    kept = json.loads(copy.read(KEPT))
    assert digest(copy, SCORE) == parsed
    assert json.loads(copy.read(KEPT)) == kept

    append(copy, "core/files.py", "\nNEW = 1\n")
    assert digest(copy, SCORE) != parsed
    assert len(json.loads(copy.read(KEPT))) == len(kept) + 1
    copy.replace("workflow_scripts/core/files.py", "\nNEW = 1\n", "")
    assert digest(copy, SCORE) == parsed


def test_it_does_without_what_was_kept(copy: Project) -> None:
    parsed = digest(copy, SCORE)
    (copy.root / KEPT).write_text('{"torn', encoding="utf-8")
    assert digest(copy, SCORE) == parsed
    (copy.root / KEPT).unlink()
    (copy.root / KEPT).mkdir()  # neither read nor written
    assert digest(copy, SCORE) == parsed


def reworded(source: str) -> str:
    """Python with one more word in each docstring, attribute docstring and text of help."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        texts = [node.value] if isinstance(node, ast.Expr) else []
        if isinstance(node, ast.keyword) and node.arg in ("description", "help"):
            texts = [node.value]
        for text in texts:
            if isinstance(text, ast.Constant) and isinstance(text.value, str):
                text.value += " Indeed."
    return ast.unparse(tree)


def test_words_do_not_count_in_any_module(original: Project, copy: Project) -> None:
    changed = 0
    for path in (copy.root / "workflow_scripts").rglob("*.py"):
        source = path.read_text(encoding="utf-8")
        new = reworded(source)
        changed += new.count("Indeed.")
        path.write_text(new, encoding="utf-8")
    assert changed > 1000
    for module in (SCORE, REPORT, "workflow_scripts.requests.parts", "workflow_scripts.costs.plan"):
        assert digest(copy, module) == undisturbed(original, module)


CLASS = "class A:\n    x: int = Field(1)\n"


@pytest.mark.parametrize(
    ("code", "same"),
    [
        (CLASS + '    """Of x."""\n', True),
        (CLASS.replace("1", "1, description='Of x.', title='X'"), True),
        (CLASS.replace("1", "1, ge=1"), False),
        (CLASS + "    y = 'Of x.'\n", False),
        (CLASS + "    note('Of x.')\n", False),
        (CLASS + "    note(description='Of x.')\n", False),
    ],
)
def test_words_are_told_from_code(copy: Project, code: str, same: bool) -> None:
    append(copy, "metrics/text.py", CLASS)
    before = digest(copy, SCORE)
    copy.replace("workflow_scripts/metrics/text.py", CLASS, code)
    assert (digest(copy, SCORE) == before) == same


BARE = """
x = 1
y: Annotated[int, pydantic.Field(ge=1)]
parser = argparse.ArgumentParser()
parser.add_argument("--x")
add_argument("--y", type=int)

def f():
    return 1
"""
WORDED = """
"The module."
x = 1
"Of " "x."
y: Annotated[int, pydantic.Field(ge=1, description="Of " "y", title="Y")]
'''Of y,
at length.'''
parser = argparse.ArgumentParser(description=f.__doc__, epilog="See " + PAGE)
parser.add_argument("--x", help=f"of {x}")
add_argument("--y", type=int, help=("of y, " "at length"))

def f():
    "Return " "1."
    return 1
"""


def test_words_in_every_form_are_left_out(original: Project, tmp_path: Path) -> None:
    digests = []
    for name, text in (("bare", BARE), ("worded", WORDED), ("other", BARE.replace("= 1", "= 2"))):
        copy = original.copy_to(tmp_path / name)
        append(copy, "metrics/text.py", text)
        digests.append(digest(copy, SCORE))
    assert digests[0] == digests[1] != digests[2]


def test_every_text_of_help_is_written_where_it_is_left_out() -> None:
    """Not in a table that a loop reads, say: there an edited word would be edited code."""
    found = 0
    for path in (REPOSITORY / "workflow_scripts").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "help":
                assert isinstance(node.value, ast.Constant), f"{path}:{node.value.lineno}"
                found += 1
    assert found > 50


ASKING = {
    "datasets.download",
    "backends.check",
    "retrieval.checkout",
    *(f"answers.{verb}" for verb in ("send", "submit", "poll", "collect", "jobs", "reread")),
}


def test_every_cheap_rule_tracks_the_module_that_it_runs() -> None:
    for path in sorted((REPOSITORY / "rules").glob("*.smk")):
        text = path.read_text(encoding="utf-8")
        for rule in re.split(r"\n(?:rule|checkpoint) ", text)[1:]:
            if "python -m " not in rule:  # `settings` writes what a plan has in memory
                continue
            module = rule.split("python -m ")[1].split()[0].strip('"')
            if module.removeprefix("workflow_scripts.") in ASKING:
                assert "code=code(" not in rule
            else:
                short = module.removeprefix("workflow_scripts.")
                assert f'code=code("{short}"' in rule, rule


def test_no_file_that_a_rule_makes_is_an_ancient_input() -> None:
    """Snakemake would forget the jobs behind it where its own job runs again."""
    own = ("model_files", "tokenizer_files", "chunk_tokenizer")
    users_own = {*(f"EXPERIMENT.{name}" for name in own), "ENTAILMENT"}
    rules = [each.read_text("utf-8") for each in (REPOSITORY / "rules").glob("*.smk")]
    assert {found for text in rules for found in re.findall(r"ancient\((.*)\)", text)} == users_own
