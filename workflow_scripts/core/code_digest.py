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
    "AnswerFormat": ("description",),
}
"""Calls with the arguments that people alone read: of pydantic, argparse and declarations."""


@functools.cache
def code_digest(*modules: str) -> str:
    """The digest of modules (dotted names) and of their import closure inside this package."""
    closure: dict[str, bytes] = {}
    waiting = list(modules)
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
    code: list[str] = []
    imports: list[ast.Import | ast.ImportFrom] = []
    tree = ast.parse(path.read_text(encoding="utf-8"))
    _flatten(tree, code, imports)
    digest = hashlib.sha256(" ".join(code).encode())
    named: list[str] = []
    for group, places in _registries(tree):
        for other in added_files(group):
            digest.update(other.read_bytes())
        named += [place.partition(":")[0] for place in places]
    if path.name == "__init__.py":
        for other in _data_files(path.parent):
            digest.update(other.name.encode() + other.read_bytes())
    parents = [module.rsplit(".", depth)[0] for depth in range(1, module.count(".") + 1)]
    is_package = path.name == "__init__.py"
    imported = _imported(imports, module, is_package=is_package)
    return digest.digest(), [*parents, *named, *imported]


def _registries(tree: ast.Module) -> Iterator[tuple[str, list[str]]]:
    """The entry point group of each `Registry` that a module makes, and its modules of ours."""
    for statement in tree.body:
        call = getattr(statement, "value", None)
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "Registry":
            _, group, shipped = map(ast.literal_eval, call.args)
            yield group, [place for place in shipped.values() if place.startswith(f"{_PACKAGE}.")]


def _data_files(folder: Path) -> Iterator[Path]:
    """The files of a package that are not code, without those of packages inside it."""
    for path in sorted(folder.iterdir()):
        if path.is_dir() and path.name != "__pycache__" and not (path / "__init__.py").exists():
            yield from _data_files(path)
        elif path.is_file() and path.suffix != ".py":
            yield path


def _imported(
    imports: list[ast.Import | ast.ImportFrom], module: str, *, is_package: bool
) -> Iterator[str]:
    """The modules of this package that a module imports."""
    for node in imports:
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            base = node.module or ""
            if node.level:
                up = node.level - (1 if is_package else 0)
                package = module.rsplit(".", up)[0] if up else module
                base = f"{package}.{base}".rstrip(".")
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
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


def _flatten(node: ast.AST, code: list[str], imports: list[ast.Import | ast.ImportFrom]) -> None:
    """Append the code of a syntax tree, without what people alone read, and collect its imports.

    One pass of our own, because each call of Snakemake makes it for all modules. `ast.dump` with a
    transformer before it takes four times as long.
    """
    code.append(type(node).__name__)
    if isinstance(node, ast.Import | ast.ImportFrom):
        imports.append(node)
    for name in node._fields:
        value = getattr(node, name)
        if isinstance(value, list):
            code.append("[")
            for each in value:
                if not isinstance(each, ast.AST):
                    code.append(repr(each))
                elif not (_is_text(each) or _is_help(each, node)):
                    _flatten(each, code, imports)
            code.append("]")
        elif isinstance(value, ast.AST):
            _flatten(value, code, imports)
        else:
            code.append(repr(value))


def _is_text(node: ast.AST) -> bool:
    """Whether it is a docstring, or that of an attribute: a text that stands alone."""
    if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
        return False
    return isinstance(node.value.value, str)


def _is_help(node: ast.AST, parent: ast.AST) -> bool:
    """Whether it is an argument of a call that people alone read."""
    if not (isinstance(node, ast.keyword) and isinstance(parent, ast.Call)):
        return False
    name = getattr(parent.func, "id", getattr(parent.func, "attr", ""))
    return node.arg in _HELP.get(name, ())
