"""A digest of the code that a command runs, by content.

Snakemake sees neither edits of an imported module nor the difference between an edit and a
touched file. This digest changes exactly when the code does: it covers the module and everything
it imports from this package, without comments, docstrings, formatting and texts of help. The
entries of a `Registry` count as imported, also those that other installed packages add.
"""

from __future__ import annotations

import ast
import functools
import hashlib
from collections.abc import Iterator
from pathlib import Path

from .registry import added_files

_PACKAGE = __name__.split(".", maxsplit=1)[0]
_ROOT = Path(__file__).parents[2]

_HELP = {
    "Field": ("description", "title"),
    "ArgumentParser": ("description", "epilog"),
    "add_argument": ("help",),
    "Backend": ("description",),
    "DataFormat": ("description",),
}
"""Calls with the arguments that people alone read: of pydantic, argparse and declarations."""


@functools.cache
def code_digest(module: str) -> str:
    """The digest of ``module`` (dotted name) and of its import closure inside this package."""
    closure: dict[str, bytes] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name not in closure:
            closure[name], imported = _read(name)
            waiting.extend(imported)
    digest = hashlib.sha256()
    for name in sorted(closure):
        digest.update(name.encode() + b"\0" + closure[name])
    return digest.hexdigest()[:16]


@functools.cache
def _read(module: str) -> tuple[bytes, list[str]]:
    """The digest of one module and the modules of this package that it imports.

    Files that lie in a package without being code (templates, assets) belong to the package.
    """
    path = _path(module)
    assert path is not None, module  # noqa: S101 - callers name modules that exist
    tree = ast.parse(path.read_text(encoding="utf-8"))
    _Words().visit(tree)
    digest = hashlib.sha256(ast.dump(tree).encode())
    for texts in _registries(tree):
        for other in added_files(texts[1]):
            digest.update(other.read_bytes())
    if path.name == "__init__.py":
        for other in _data_files(path.parent):
            digest.update(other.name.encode() + other.read_bytes())
    parents = [module.rsplit(".", depth)[0] for depth in range(1, module.count(".") + 1)]
    return digest.digest(), [*parents, *_imports(tree, module, is_package=path.stem == "__init__")]


def _registries(tree: ast.Module) -> Iterator[list[str]]:
    """The texts in each call that makes a `Registry`: kind, group, then names and places."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Registry":
            parts = (*node.args[:2], *ast.walk(node.args[2]))
            constants = [each.value for each in parts if isinstance(each, ast.Constant)]
            yield [each for each in constants if isinstance(each, str)]


def _data_files(folder: Path) -> Iterator[Path]:
    """The files of a package that are not code, without those of packages inside it."""
    for path in sorted(folder.iterdir()):
        if path.is_dir() and path.name != "__pycache__" and not (path / "__init__.py").exists():
            yield from _data_files(path)
        elif path.is_file() and path.suffix != ".py":
            yield path


def _imports(tree: ast.Module, module: str, *, is_package: bool) -> Iterator[str]:
    for texts in _registries(tree):
        yield from (text.partition(":")[0] for text in texts if text.startswith(f"{_PACKAGE}."))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                up = node.level - (1 if is_package else 0)
                package = module.rsplit(".", up)[0] if up else module
                base = f"{package}.{base}".rstrip(".")
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        else:
            continue
        yield from (
            name
            for name in names
            if name.split(".", maxsplit=1)[0] == _PACKAGE and _path(name) is not None
        )


def _path(module: str) -> Path | None:
    base = _ROOT.joinpath(*module.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    return None


class _Words(ast.NodeTransformer):
    """Leaves out all that a program does not run on: docstrings, also of attributes, and help."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            return None
        return self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        words = _HELP.get(name, ())
        node.keywords = [each for each in node.keywords if each.arg not in words]
        return self.generic_visit(node)
