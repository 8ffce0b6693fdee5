"""Data formats and backends are declared once: nothing else in the code knows one by name."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import REPOSITORY
from source_code import code_of

from workflow_scripts.backends.table import BACKENDS
from workflow_scripts.config.load import read_config
from workflow_scripts.core import registry
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.registry import Registry, load
from workflow_scripts.datasets.formats import FORMATS
from workflow_scripts.metrics.text import EVALUATIONS

PACKAGE = REPOSITORY / "workflow_scripts"
THING = "class Thing:\n    def __init__(self, name):\n        self.name = name\n\n"


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Install packages that consist of a module and the entry points of ``assay.things``."""

    def write(package: str, code: str, *entries: str) -> None:
        (tmp_path / f"{package}.py").write_text(code, encoding="utf-8")
        info = tmp_path / f"{package}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Name: {package}\nVersion: 1.0\n", encoding="utf-8")
        text = "\n".join(("[assay.things]", *entries))
        (info / "entry_points.txt").write_text(text, encoding="utf-8")

    monkeypatch.syspath_prepend(tmp_path)
    clear = registry.added.cache_clear
    clear()
    yield write
    clear()


def things() -> Registry[registry.Named]:
    """A table of two things."""
    shipped = {name: f"shipped_things:{name.upper()}" for name in ("one", "two")}
    return Registry("thing", "assay.things", shipped)


SHIPPED = THING + "ONE = Thing('one')\nTWO = Thing('two')\n"


def test_what_ships_comes_first_and_packages_add_to_it(install: Callable[..., None]) -> None:
    install("shipped_things", SHIPPED)
    install("more_things", THING + "A = Thing('a')\nZ = Thing('z')\n", "z = more_things:Z",
            "a = more_things:A")  # fmt: skip
    found = things()
    assert list(found) == ["one", "two", "a", "z"]
    assert {name: entry.name for name, entry in found.items()} == {name: name for name in found}
    assert found["a"] is found["a"]
    assert [path.name for path in registry.added_files("assay.things")] == ["more_things.py"]


def test_an_unknown_name_is_told_with_the_nearest(install: Callable[..., None]) -> None:
    install("more_things", THING + "T = Thing('three')\n", "three = more_things:T")
    with pytest.raises(UserError) as told:
        things()["thre"]
    assert str(told.value) == (
        "unknown thing 'thre'; did you mean 'three'? there are one, two, three"
    )
    assert things().get("thre") is None
    assert "thre" not in things()


@pytest.mark.parametrize(
    ("code", "entries", "name", "message"),
    [
        (THING, ["one = more:ONE"], "three", r"adds the thing 'one' \(more:ONE\), which is there"),
        (THING, ["a = more:A", "a = more:B"], "three", r"adds the thing 'a' \(more:B\)"),
        (THING + "A = Thing('b')\n", ["a = more:A"], "a", r"'a': more:A has another name"),
        (THING, ["a = more:A"], "a", r"'a': more:A cannot be loaded \(AttributeError: "),
        ("1 / 0\n", ["a = more:A"], "a", r"cannot be loaded \(ZeroDivisionError: .*import more"),
        (THING, ["a = nowhere:A"], "a", r"cannot be loaded \(ModuleNotFoundError: "),
    ],
)
def test_a_package_with_a_mistake_is_told_in_words(
    install: Callable[..., None], code: str, entries: list[str], name: str, message: str
) -> None:
    for module in ("more", "nowhere"):
        sys.modules.pop(module, None)
    first, *others = entries
    install("more", code, first)
    for number, entry in enumerate(others):
        install(f"more_{number}", "", entry)
    with pytest.raises(UserError, match=message):
        things()[name]


def test_packages_are_not_looked_for_while_a_shipped_name_will_do(
    install: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(group: str) -> None:
        raise AssertionError(group)

    install("shipped_things", SHIPPED)
    monkeypatch.setattr(registry, "added", refuse)
    assert things()["one"].name == "one"
    assert "two" in things()


def test_all_that_ships_can_be_loaded() -> None:
    for backend in BACKENDS.values():
        assert callable(load(backend.client, backend.name))
    for data_format in FORMATS.values():
        assert data_format.evaluation in (None, *EVALUATIONS)


def test_a_config_is_checked_without_what_is_slow_to_import() -> None:
    code = (
        "import sys; from pathlib import Path; from workflow_scripts.config.load import *\n"
        "for path in Path('config').glob('*.yaml'): read_config(path)\n"
        "print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert "workflow_scripts.backends.fireworks" in loaded
    assert not loaded & {"aiohttp", "llama_cpp", "tenacity", "numpy", "scipy"}


def test_an_engine_written_as_backend_is_told(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("backend: llama_cpp\n", encoding="utf-8")
    with pytest.raises(UserError, match="write backend: local and local_engine: llama_cpp"):
        read_config(path)


def test_a_format_that_names_an_unknown_evaluation_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(REPOSITORY)
    monkeypatch.setitem(FORMATS._found, "jsonl", replace(FORMATS["jsonl"], evaluation="squad"))
    with pytest.raises(UserError, match="names the evaluation 'squad'; did you mean 'squad_v2'"):
        read_config(Path("config/config.yaml"))


# Names

EMBEDDERS = ("llama_cpp", "served", "settings", "table")
OWN_MODULES = {
    **{
        name: {
            *("backends/table.py", f"backends/{name}.py", f"backends/{name}_client.py"),
            "backends/families.py",  # families of models have the names of their providers
            # Libraries that run llama.cpp have its name.
            *("backends/llama_cpp_binding.py", "backends/binding_llama_cpp_python.py"),
            *("backends/encoder_llama_cpp_python.py", "backends/servers.py"),
            # Embedders have the names of the servers and libraries that run them.
            *(f"retrieval/embedders/{part}.py" for part in EMBEDDERS),
        }
        for name in BACKENDS
    },
    **{
        name: {
            *("datasets/formats.py", "datasets/own_formats.py", "datasets/public_formats.py"),
            *("datasets/answer_formats.py", "datasets/answer_rows.py"),
            f"datasets/answers_{name}.py",
            "metrics/text.py",  # official evaluations have the names of their data sets
        }
        for name in FORMATS
    },
}
ENDINGS_OF_FILES = {"answers/job_folder.py": {"jsonl"}, "export/every_eval_ever.py": {"jsonl"}}


def named_by(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """What code compares, prints or calls, and a backend or format in it; docs are left out."""
    for node in ast.walk(tree):
        text = ""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
        for word in (text, getattr(node, "id", ""), getattr(node, "attr", "")):
            yield from ((name, word) for name in BACKENDS if word and is_in(name, word))
        if text in FORMATS:
            yield text, text


def is_in(name: str, text: str) -> bool:
    return re.search(rf"(?<![\w/]){name}(?![\w/])", text) is not None


def test_no_other_code_knows_a_format_or_a_backend_by_name() -> None:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        here = path.relative_to(PACKAGE).as_posix()
        found += [
            f"{here}: {text!r}"
            for name, text in named_by(code_of(path, with_help=False))
            if here not in OWN_MODULES[name] and name not in ENDINGS_OF_FILES.get(here, ())
        ]
    for path in (REPOSITORY / "Snakefile", *sorted((REPOSITORY / "rules").glob("*.smk"))):
        for text in re.findall(r"[\"']([^\"'\n]*)[\"']", path.read_text(encoding="utf-8")):
            known = [name for name in BACKENDS if is_in(name, text)]
            found += [f"{path.name}: {text!r}" for _ in (*known, *({text} & FORMATS.keys()))]
    assert not found
