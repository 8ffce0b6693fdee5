"""A digest of the code that a command runs, by content.

Snakemake sees neither edits of an imported module nor the difference between an edit and a
touched file. This digest changes exactly when the code does: it covers the module and everything
it imports from this package, without comments, docstrings, formatting and texts of help. The
entries of a `Registry` count as imported, also those that other installed packages add.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator
from pathlib import Path

from .parsed_code import ParsedCode, keep_parsed_code, parsed_code
from .registry import added_files

_PACKAGE = __name__.split(".", maxsplit=1)[0]
_ROOT = Path(__file__).parents[2]


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
    keep_parsed_code()
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
    code = parsed_code(path.read_bytes())
    digest = hashlib.sha256(code.digest.encode())
    named: list[str] = []
    for group, places in code.registries:
        for other in added_files(group):
            digest.update(other.read_bytes())
        named += [place.partition(":")[0] for place in places]
    is_package = path.name == "__init__.py"
    if is_package:
        for other in _data_files(path.parent):
            digest.update(other.name.encode() + other.read_bytes())
    parents = [module.rsplit(".", depth)[0] for depth in range(1, module.count(".") + 1)]
    imported = _imported(code, module, is_package=is_package)
    return digest.digest(), [*parents, *named, *imported]


def _data_files(folder: Path) -> Iterator[Path]:
    """The files of a package that are not code, without those of packages inside it."""
    for path in sorted(folder.iterdir()):
        if path.is_dir() and path.name != "__pycache__" and not (path / "__init__.py").exists():
            yield from _data_files(path)
        elif path.is_file() and path.suffix != ".py":
            yield path


def _imported(code: ParsedCode, module: str, *, is_package: bool) -> Iterator[str]:
    """The modules of this package that a module imports."""
    for level, start, imported in code.imports:
        base = start
        if level:
            up = level - (1 if is_package else 0)
            package = module.rsplit(".", up)[0] if up else module
            base = f"{package}.{start}".rstrip(".")
        names = [base, *(f"{base}.{name}" for name in imported)] if base else imported
        yield from (
            name
            for name in names
            if name.split(".", maxsplit=1)[0] == _PACKAGE and _path(name) is not None
        )


@functools.cache
def _path(module: str) -> Path | None:
    base = _ROOT.joinpath(*module.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    return None
